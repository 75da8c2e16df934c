# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the real ssh would offer. The transfers themselves are tested with real hosts."""

from __future__ import annotations

import subprocess

import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils import _own_ssh
from ansible_collections.procfs.rescue.plugins.plugin_utils._own_ssh import _fast_cipher

X86, ARM = b"processor\t: 0\nflags\t\t: fpu aes avx\n", b"processor\t: 0\nFeatures\t: fp aes sha2\n"


def offered(*options: bytes) -> list[bytes]:
    done = subprocess.run([b"ssh", b"-G", *options, b"host"], capture_output=True, check=True)
    return next(line.split()[1] for line in done.stdout.splitlines() if line.startswith(b"ciphers ")).split(b",")


@pytest.mark.parametrize("cpuinfo", [X86, ARM])
@pytest.mark.parametrize(
    "own", [(), (b"-oCiphers=aes256-ctr,aes256-gcm@openssh.com",), (b"-oCiphers=chacha20-poly1305@openssh.com",)]
)
def test_the_users_ciphers_in_another_order(
    monkeypatch: pytest.MonkeyPatch, cpuinfo: bytes, own: tuple[bytes, ...]
) -> None:
    monkeypatch.setattr(_own_ssh, "_read", lambda _path: cpuinfo)
    ours = offered(*_fast_cipher(b"ssh", [*own, b"host"]), *own)
    assert sorted(ours) == sorted(offered(*own))
    assert all(b"-gcm@" in name for name in ours[: sum(b"-gcm@" in name for name in ours)])


@pytest.mark.parametrize("cpuinfo", [b"flags\t\t: fpu avx\n", b""])
def test_without_instructions_for_it(monkeypatch: pytest.MonkeyPatch, cpuinfo: bytes) -> None:
    monkeypatch.setattr(_own_ssh, "_read", lambda _path: cpuinfo)
    assert _fast_cipher(b"ssh", [b"host"]) == []


def test_what_ssh_refuses_is_left_to_ssh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_own_ssh, "_read", lambda _path: X86)
    assert _fast_cipher(b"ssh", [b"-oNoSuchOption=1", b"host"]) == []
