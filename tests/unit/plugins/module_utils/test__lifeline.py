# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The texts of the lifeline: accounts, keys and the Include; what sshd makes of them is for the integration tests."""

from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _lifeline, _sshd
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBxX5pxjeGbvVY0SbeUdOqe8cKtdtCoGLhVTwdZDkj1r"
PORT = {"mode": "port", "port": 2222, "user": None, "keys": [KEY], "addresses": []}


@pytest.fixture
def accounts(tmp_path, monkeypatch):
    for name, text in (
        ("passwd", "root:x:0:0:root:/root:/bin/bash\nodd\x0b\x85:x:7:7:\udcff:/:/bin/sh\n"),
        ("shadow", "root:$y$secret:1:0:99999:7:::\nodd:*:1:::::: \n"),
    ):
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        path.chmod(0o640)
        monkeypatch.setattr(_lifeline, f"_{name.upper()}", str(path))
    monkeypatch.setattr(_lifeline, "_LOCK", str(tmp_path / "lock"))
    return tmp_path


def test_an_account_comes_and_goes_and_no_other_line_changes(accounts):
    before = [(accounts / name).read_bytes() for name in ("passwd", "shadow")]
    _lifeline._write_account("line")
    assert (accounts / "passwd").read_bytes() == before[0] + (
        b"line:x:0:0:procfs.rescue lifeline:/nonexistent:/usr/sbin/nologin\n"
    )
    assert (accounts / "shadow").read_bytes() == before[1] + b"line:*:::::::\n"
    assert stat.S_IMODE((accounts / "shadow").stat().st_mode) == 0o640
    _lifeline._write_account("other")
    assert b"\nline:" not in (accounts / "passwd").read_bytes() + (accounts / "shadow").read_bytes()
    _lifeline._write_account(None)
    assert [(accounts / name).read_bytes() for name in ("passwd", "shadow")] == before
    assert sorted(os.listdir(accounts)) == ["lock", "passwd", "shadow"]


def test_root_is_never_taken_for_the_lifelines_account(accounts):
    (accounts / "passwd").write_text("root:x:0:0:procfs.rescue lifeline:/nonexistent:/usr/sbin/nologin\n")
    before = (accounts / "passwd").read_bytes()
    _lifeline._write_account(None)
    assert (accounts / "passwd").read_bytes() == before


@pytest.mark.parametrize(
    "key",
    [
        KEY,
        f"{KEY} somebody",
        f'from="192.0.2.1",restrict {KEY}',
        f"  {KEY}\n",
        "sk-ssh-ed25519@openssh.com AAAAGnNr somebody",
    ],
)
def test_keys(key):
    assert _lifeline.wish_from(dict(PORT, keys=[key])).keys == (key.strip(),)


@pytest.mark.parametrize("key", ["", "#", f"# {KEY}", f"{KEY}\n{KEY}", "AAAA", "/root/.ssh/key.pub", f"x{KEY}"])
def test_no_keys(key):
    with pytest.raises(RescueError):
        _lifeline.wish_from(dict(PORT, keys=[key]))


def test_the_include_is_spelled_out_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(_sshd, "_FOLDER", str(tmp_path))
    monkeypatch.setattr(_sshd, "DROP_IN", str(tmp_path / "d/00-x.conf"))
    (tmp_path / "d").mkdir()
    for name in ("00-a.conf", "50-b.conf", "c.txt"):
        (tmp_path / "d" / name).touch()
    for include in (f"Include {tmp_path}/d/*.conf", "include=d/*.conf", '\tINCLUDE "d/*.conf" # ours'):
        assert _sshd._spelled_out(f"# x\nPort 22\n{include}\nMatch all\n", "/draft") == (
            f'# x\nPort 22\nInclude "{tmp_path}/d/00-a.conf" "/draft" "{tmp_path}/d/50-b.conf"\nMatch all\n'
        )
    for main in ("", "#Include d/*.conf\n", "Include e/*.conf\n", "Match User x\nInclude d/*.conf\n"):
        with pytest.raises(RescueError, match="has no Include"):
            _sshd._spelled_out(main, "/draft")


def test_a_drop_in_that_changes_the_usual_logins_is_refused(monkeypatch):
    """No configuration is known that it does this to: here sshd is simulated, with one setting that leaks."""

    def settings(login, drop_in):
        addresses = {_sshd.Address("0.0.0.0", 22)}
        if drop_in is None:
            return _sshd.Settings(["permittty yes"], addresses)
        return _sshd.Settings(["permittty no"], addresses | {_sshd.Address("0.0.0.0", 2222)})

    monkeypatch.setattr(_sshd, "refuse_unfit", lambda: None)
    monkeypatch.setattr(_sshd, "own_login", lambda: _sshd.Login("oncall", "192.0.2.1", "192.0.2.2", 22))
    monkeypatch.setattr(_sshd, "settings", settings)
    with pytest.raises(RescueError, match=r"would treat root differently on port 22 .* permittty no; permittty yes"):
        _lifeline.planned(_lifeline.wish_from(PORT))
