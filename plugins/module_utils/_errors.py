# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The one exception that modules and actions of this collection turn into a failure message."""

import errno
from typing import List, Sequence

# What could not restore, fetch, supply or collect a file begins with it: the content lives only as long as somebody
# holds it. Facts, reclaim_space and what works without holders begin with what failed.
DO_NOT = "Do not reboot, do not restart or end the processes that hold the file, do not close their shells. "


class RescueError(Exception):
    """Something was refused or failed; the text is a sentence that a tired person can act on.

    ``reasons`` names the checks of the judge that refused (see _judge.REASONS), for automation.
    """

    def __init__(self, message: str, reasons: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.reasons: List[str] = list(reasons)


_FAULTS = {
    errno.ENOSPC: "there is no space left: free some (or inodes: df -i), or restore to another file system with dest",
    errno.EDQUOT: "a quota is used up: free some, or restore to another file system with dest",
    errno.EROFS: "it is on a read-only file system: remount it writable, or restore elsewhere with dest",
    errno.EACCES: "permission was denied: run as root (become), or restore elsewhere with dest",
    errno.EPERM: "it was not permitted: run as root (become), and look for an immutable folder (lsattr -d)",
    errno.EIO: "the device failed (input/output error): see the kernel's log, restore to another disk with dest",
    errno.EREMOTEIO: "the SFTP server does not say why: look whether the file system is full or read-only, or restore "
    "to another one with dest",
    errno.ENOENT: "the folder was removed meanwhile: make it again, or restore elsewhere with dest",
}


def fault(error: OSError) -> str:
    """What went wrong and what to do, as the end of a sentence."""
    return _FAULTS.get(error.errno or 0, error.strerror or str(error))
