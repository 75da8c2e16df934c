# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the real ssh would offer. The transfers themselves are tested with real hosts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils import _own_ssh
from ansible_collections.procfs.rescue.plugins.plugin_utils._own_ssh import _fast, _fast_cipher, _is_connected, _run
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import BrokenStreamError

X86, ARM = b"processor\t: 0\nflags\t\t: fpu aes avx\n", b"processor\t: 0\nFeatures\t: fp aes sha2\n"


def offered(*options: bytes) -> list[bytes]:
    done = subprocess.run([b"ssh", b"-G", *options, b"host"], capture_output=True, check=True)
    return next(line.split()[1] for line in done.stdout.splitlines() if line.startswith(b"ciphers ")).split(b",")


@pytest.mark.parametrize("cpuinfo", [X86, ARM])
def test_the_ciphers_of_ssh_in_another_order(monkeypatch: pytest.MonkeyPatch, cpuinfo: bytes) -> None:
    monkeypatch.setattr(_own_ssh, "_read", lambda _path: cpuinfo)
    theirs = offered(b"-Fnone")
    ours = offered(*_fast_cipher(b"ssh", [b"-Fnone", b"host"]), b"-Fnone")
    assert sorted(ours) == sorted(theirs)
    assert all(b"-gcm@" in name for name in ours[: sum(b"-gcm@" in name for name in ours)])


@pytest.mark.parametrize(
    "ciphers", ["aes256-ctr,aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "-aes128-gcm@openssh.com"]
)
@pytest.mark.parametrize("is_option", [True, False])
def test_what_the_user_chose_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ciphers: str, is_option: bool
) -> None:
    monkeypatch.setattr(_own_ssh, "_read", lambda _path: X86)
    (tmp_path / "config").write_text(f"Ciphers {ciphers}\n")
    own = f"-oCiphers={ciphers}" if is_option else f"-F{tmp_path}/config"
    assert _fast_cipher(b"ssh", [own.encode(), b"host"]) == []


@pytest.mark.parametrize("cpuinfo", [b"flags\t\t: fpu avx\n", b""])
def test_without_instructions_for_it(monkeypatch: pytest.MonkeyPatch, cpuinfo: bytes) -> None:
    monkeypatch.setattr(_own_ssh, "_read", lambda _path: cpuinfo)
    assert _fast_cipher(b"ssh", [b"host"]) == []


def test_what_ssh_refuses_is_left_to_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_own_ssh, "_read", lambda _path: X86)
    assert _fast_cipher(b"ssh", [b"-oNoSuchOption=1", b"host"]) == []


def test_without_compression() -> None:
    ssh = [b"ssh", b"-C", b"-oControlMaster=auto", b"host", b"true"]
    command = _fast(ssh, [b"-oBatchMode=yes"])
    assert command[0] == b"ssh" and command[-4:] == [b"-oCompression=no", b"-oControlMaster=auto", b"host", b"true"]
    assert b"-C" not in command and command.index(b"-oBatchMode=yes") < command.index(b"-oCompression=no")


def test_no_connection_is_there(tmp_path: Path) -> None:
    for options in ([], [b"-oControlPath=%b/none" % bytes(tmp_path)]):
        assert not _is_connected([b"ssh", b"-Fnone", *options, b"host.invalid", b"true"])


def says(code: str) -> list[bytes]:
    begin = "import sys, time; out = sys.stdout.buffer; out.write(b'hello\\0procfs.rescue stream 1\\nX'); "
    return [sys.executable.encode(), b"-c", (begin + code).encode()]


def test_what_comes_after_the_stream_is_the_answer() -> None:
    taken = []

    def take(stream: IO[bytes]) -> None:
        taken.append(stream.read(1))

    assert _run(says("out.write(b'{}')"), b"", take) == (0, b"hello{}", b"")
    assert taken == [b"X"]


def test_what_is_not_wanted_is_ended() -> None:
    assert _run(says("out.flush(); time.sleep(600)"), b"", lambda _stream: b"answer") == (0, b"answer", b"")


def test_a_host_that_never_ends_to_speak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_own_ssh, "_ANSWER", 100_000)
    endless = "\nwhile True: out.write(b'x' * 65536)"
    with pytest.raises(BrokenStreamError, match="says more than"):
        _run(says(endless), b"", lambda _stream: None)
    with pytest.raises(BrokenStreamError, match="says more than"):  # before it begins, too
        _run([sys.executable.encode(), b"-c", b"while True: print('x' * 65536)"], b"", lambda _stream: None)
