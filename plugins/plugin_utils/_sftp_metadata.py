# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Owner, mode and times of what the SFTP server has open for us: all that SFTP carries of them."""

from __future__ import annotations

import stat as modes
from contextlib import suppress

from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata, differing
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import change, stat
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of

# What SFTP carries of no file. Holes: the server fills them where it copies; through here all zeros become holes.
NOT_CARRIED = ("xattrs", "acls", "capabilities", "subsecond_times", "holes")

# In seconds.
_AMBIGUOUS = 2**31


def read_metadata(session: Session, number: int) -> Metadata:
    status = session.run(stat(path_of(number)))
    return Metadata(
        mode=modes.S_IMODE(status.st_mode),
        uid=status.st_uid,
        gid=status.st_gid,
        atime_ns=status.st_atime * 10**9,
        mtime_ns=status.st_mtime * 10**9,
        xattrs={},
    )


def apply_metadata(session: Session, number: int, wanted: Metadata) -> None:
    """In the order of `_metadata.apply_metadata`: chown(2) takes setuid away."""
    path = path_of(number)
    try:
        session.run(change(path, st_uid=wanted.uid, st_gid=wanted.gid))
    except OSError:
        wanted = wanted.without_privileges()
    with suppress(OSError):
        session.run(change(path, st_mode=wanted.mode))
    with suppress(OSError):
        session.run(change(path, st_atime=wanted.atime_ns // 10**9, st_mtime=wanted.mtime_ns // 10**9))


def differences(session: Session, number: int, wanted: Metadata) -> list[str]:
    """What SFTP never carries is told as well; of times it knows the seconds."""
    seconds = wanted._replace(mtime_ns=wanted.mtime_ns // 10**9 * 10**9)
    lost = differing(read_metadata(session, number), seconds)
    # It has 32 bits for them: a time before 1970 looks like one after 2038.
    if wanted.mtime_ns >= _AMBIGUOUS * 10**9 and "mtime" not in lost:
        lost.append("mtime")
    return lost + list(NOT_CARRIED)
