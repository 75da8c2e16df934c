# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What the lifeline's keeper recorded of what no process can hold: symlinks."""

import json
import os
import stat
from typing import Optional

# Its folder is root's; it is as old as the last look of the keeper, and gone with a reboot.
RECORD = b"/run/procfs-rescue/keeper.json"


def recorded_symlink(record: bytes, path: bytes) -> Optional[bytes]:
    """Where the symlink ``path`` led when the keeper saw it last; None where the record does not know it."""
    try:
        target = json.loads(record.decode("utf-8"))["links"].get(os.fsdecode(path))
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return os.fsencode(target) if isinstance(target, str) else None


def read_record() -> bytes:
    """The record, if root alone can have written it, else nothing."""
    try:
        fd = os.open(RECORD, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with open(fd, "rb") as file:
        found = os.fstat(fd)
        return file.read() if is_roots(found.st_uid, found.st_mode) else b""


def is_roots(uid: int, mode: int) -> bool:
    return stat.S_ISREG(mode) and uid == 0 and not mode & (stat.S_IWGRP | stat.S_IWOTH)
