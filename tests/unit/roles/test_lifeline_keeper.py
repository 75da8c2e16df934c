# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The parts of the lifeline's keeper that need no systemd: where paths lead, and who vouches for a file."""

from __future__ import annotations

import hashlib
import json
import os

import keeper
import pytest


def test_symlinks_on_the_way(tmp_path):
    top = os.path.realpath(tmp_path)
    (tmp_path / "usr" / "bin").mkdir(parents=True)
    (tmp_path / "usr" / "bin" / "dash").write_text("x")
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "usr" / "bin" / "sh").symlink_to("../bin/./dash")
    (tmp_path / "usr" / "bin" / "abs").symlink_to(f"{top}/bin/sh")
    links, real = keeper.followed(f"{top}/bin/abs")
    assert real == f"{top}/usr/bin/dash"
    assert links == {
        f"{top}/bin": "usr/bin",
        f"{top}/usr/bin/abs": f"{top}/bin/sh",
        f"{top}/usr/bin/sh": "../bin/./dash",
    }
    (tmp_path / "usr" / "bin" / "dash").unlink()
    assert keeper.followed(f"{top}/bin/sh") == (
        {f"{top}/bin": "usr/bin", f"{top}/usr/bin/sh": "../bin/./dash"},
        None,
    )


def test_a_loop_of_symlinks_ends(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert keeper.followed(f"{tmp_path}/a")[1] is None


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    for name in ("fifo", "link", "none", "."):
        assert keeper.opened(f"{tmp_path}/{name}") is None, name
    fd = keeper.opened(f"{tmp_path}/file")
    assert os.pread(fd, 9, 0) == b"x"
    os.close(fd)


def test_the_list(tmp_path, monkeypatch):
    for name in ("b1", "b2"):
        (tmp_path / name).write_text("x")
    files = tmp_path / "files.json"
    files.write_text(json.dumps(["/no/such", f"{tmp_path}/b[12]", f"{tmp_path}/b2", f"{tmp_path}/c*"]))
    monkeypatch.setattr(keeper, "FILES", str(files))
    assert keeper.listed() == ["/no/such", f"{tmp_path}/b1", f"{tmp_path}/b2"]


@pytest.fixture
def dpkg(tmp_path, monkeypatch):
    """``dpkg(line, …)`` makes a database with these lines; no other package manager is asked."""
    folder = tmp_path / "dpkg"
    (folder / "info").mkdir(parents=True)
    monkeypatch.setattr(keeper, "DPKG", str(folder))
    monkeypatch.setenv("PATH", "/no/such")

    def fill(*lines, diversions=""):
        (folder / "info" / "tool.md5sums").write_text("".join(f"{line}\n" for line in lines))
        if diversions:
            (folder / "diversions").write_text(diversions)

    return fill


MD5 = hashlib.md5(b"x").hexdigest()


@pytest.mark.parametrize(
    ("path", "lines", "diversions", "vouched"),
    [
        ("/usr/bin/tool", [f"{MD5}  usr/bin/tool"], "", True),
        ("/usr/bin/tool", ["0" * 32 + "  usr/bin/other", f"{MD5}  bin/tool"], "", True),
        ("/bin/tool", [f"{MD5}  usr/bin/tool"], "", True),
        ("/usr/bin/tool", ["0" * 32 + "  usr/bin/tool"], "", False),
        ("/usr/bin/tool", [f"{MD5}  usr/bin/tool2", f"{MD5}  x/usr/bin/tool"], "", False),
        ("/opt/bin/tool", [f"{MD5}  bin/tool"], "", False),
        ("/usr/bin/tool", [f"{MD5}  usr/bin/tool"], "/usr/bin/tool\n/usr/bin/tool.real\n:\n", False),
        ("/usr/bin/tool", [f"{MD5}  usr/bin/tool"], "/bin/tool\n/bin/tool.real\n:\n", False),
        ("/usr/bin/tool", [], "", False),
    ],
)
def test_what_dpkg_vouches_for(tmp_path, dpkg, path, lines, diversions, vouched):
    dpkg(*lines, diversions=diversions)
    with open(tmp_path / "file", "wb+", buffering=0) as file:
        file.write(b"x")
        assert keeper.is_packages_own(path, file.fileno()) is vouched


def test_what_rpm_vouches_for(tmp_path, dpkg, monkeypatch):
    """Simulated: the answer of rpm with our query format."""
    program = tmp_path / "rpm"
    sha256 = hashlib.sha256(b"x").hexdigest()
    program.write_text(f"#!/bin/sh\nprintf '/usr/bin/other\\t{'0' * 64}\\n/usr/bin/tool\\t{sha256}\\n/dir\\t\\n'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with open(tmp_path / "file", "wb+", buffering=0) as file:
        file.write(b"x")
        assert keeper.is_packages_own("/usr/bin/tool", file.fileno())
        assert not keeper.is_packages_own("/usr/bin/other", file.fileno())
        assert not keeper.is_packages_own("/dir", file.fileno())
        assert not keeper.is_packages_own("/usr/bin/third", file.fileno())
