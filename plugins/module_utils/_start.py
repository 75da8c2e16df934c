# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A program that came back is started; content that is right does not help when its libraries are gone."""

import os
import signal
import stat
import subprocess
from typing import Optional

from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests

_SECONDS = 5

_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}


def does_start(fd: int, name: bytes, sha256: str) -> Optional[bool]:
    """Whether the program of the opened file starts with ``--version``; None where it is no program to be tried.

    That is one which is root's alone and has the digest that was proven: it runs as root. It is started through the
    descriptor. What it makes of the option is its own affair; only one that cannot be started, or is killed, does not
    start.
    """
    found = os.fstat(fd)
    if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return None
    if not found.st_mode & 0o100 or b".so" in name or os.pread(fd, 4, 0) != b"\x7fELF":
        return None
    if digests(fd, ["sha256"])["sha256"] != sha256:
        return None
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            [name, b"--version"],
            executable=b"/proc/self/fd/%d" % fd,
            pass_fds=[fd],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=_ENVIRONMENT,
            cwd="/",
        )
    except OSError:
        return False
    try:
        return process.wait(_SECONDS) not in (-signal.SIGSEGV, -signal.SIGBUS, -signal.SIGILL, -signal.SIGABRT, 127)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
