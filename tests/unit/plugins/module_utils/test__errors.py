# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (
            errno.ENOSPC,
            "there is no space left: free some (or inodes: df -i), or restore to another file system with dest",
        ),
        (errno.EDQUOT, "a quota is used up: free some, or restore to another file system with dest"),
        (errno.EROFS, "it is on a read-only file system: remount it writable, or restore elsewhere with dest"),
        (errno.EACCES, "permission was denied: run as root (become), or restore elsewhere with dest"),
        (errno.EPERM, "it was not permitted: run as root (become), and look for an immutable folder (lsattr -d)"),
        (errno.EIO, "the device failed (input/output error): see the kernel's log, restore to another disk with dest"),
        (errno.ENOENT, "the folder was removed meanwhile: make it again, or restore elsewhere with dest"),
        (errno.ENAMETOOLONG, "File name too long"),
    ],
)
def test_faults_say_what_to_do(code: int, sentence: str) -> None:
    assert fault(OSError(code, os.strerror(code))) == sentence


def test_a_fault_without_a_number() -> None:
    assert fault(OSError("odd")) == "odd"


def test_reasons_are_a_list_of_its_own() -> None:
    reasons = ("a", "b")
    error = RescueError("No.", reasons)
    assert (str(error), error.reasons, RescueError("No.").reasons) == ("No.", ["a", "b"], [])
