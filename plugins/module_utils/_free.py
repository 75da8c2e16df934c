# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""free: gives back the blocks of a deleted file through a descriptor of it, and compares the room before and after."""

import ctypes
import errno
import os
import time
from typing import Any, Callable, Dict, Optional

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._handle import file_of, read_at, readable, writable
from ansible_collections.procfs.rescue.plugins.module_utils._holes import data_ranges
from ansible_collections.procfs.rescue.plugins.module_utils._model import File, Mount, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._summary import ELSEWHERE, mount_of_ours

# The room of some file systems shows what was freed only after a moment, that of Btrfs when it was committed.
_SETTLE_SECONDS = 5.0
# What others write and free meanwhile is no reason to say that less came free.
_SLACK = 1024 * 1024

_APPEND = 0o2000
_KEEP_SIZE, _PUNCH_HOLE = 1, 2


class Rooms:
    """The free bytes of file systems before and after."""

    def __init__(self, mounts: Dict[int, Mount]) -> None:
        self._mounts = mounts
        self._handles: Dict[str, int] = {}
        self._rows: Dict[str, Dict[str, Any]] = {}

    def before(self, sighting: Sighting, fd: int) -> None:
        name = self._name(sighting)
        if name not in self._rows:
            self._handles[name] = os.dup(fd)
            self._rows[name] = {"free_before": _free_bytes(fd), "freed": 0}

    def after(self, sighting: Sighting, freed: int) -> None:
        self._rows[self._name(sighting)]["freed"] += freed

    def compared(self) -> Dict[str, Dict[str, Any]]:
        until = time.monotonic() + _SETTLE_SECONDS
        for name, row in self._rows.items():
            fd = self._handles[name]
            while True:
                row["free_after"] = _free_bytes(fd)
                gained = row["free_after"] - row["free_before"]
                if gained + _SLACK >= row["freed"] or time.monotonic() > until:
                    break
                ctypes.CDLL(None).syncfs(fd)
                time.sleep(0.1)
            os.close(fd)
            if gained + _SLACK < row["freed"]:
                row["less_because"] = (
                    "%d bytes less came free than were cut off: snapshots or reflinks have them still, or what is left "
                    "of their extents (Btrfs), or others wrote meanwhile." % (row["freed"] - gained)
                )
        return self._rows

    def _name(self, sighting: Sighting) -> str:
        ours = None if sighting.mount is None else mount_of_ours(sighting.mount, self._mounts)
        return ELSEWHERE if ours is None else printable(ours.mount_point)


def free(sighting: Sighting, rooms: Rooms, length_of: Callable[[File], Optional[int]]) -> int:
    """Frees as much from the beginning on as ``length_of`` says of the file as it is now, for None all of it.

    Returns how many bytes that gave. Raises OSError, RescueError.
    """
    with writable(sighting) as fd:
        rooms.before(sighting, fd)
        before = file_of(fd)
        if before.nlink:
            raise RescueError("It was linked again.", ["linked"])
        length = length_of(before)
        if length is None:
            os.ftruncate(fd, 0)
        else:
            _punch(fd, length)
        os.fsync(fd)
        freed = max(0, before.allocated - file_of(fd).allocated)
        rooms.after(sighting, freed)
    return freed


def freeable(sighting: Sighting, length: int) -> int:
    """The bytes of the whole blocks in the first ``length`` bytes that are no hole: what `free` would free.

    Raises OSError, RescueError.
    """
    with readable(sighting) as fd:
        block = os.fstatvfs(fd).f_frsize
        return sum(end - start for start, end in data_ranges(fd, 0, length - length % block))


def appends(sighting: Sighting) -> bool:
    """False also where the descriptor is gone: then it is looked at again anyway."""
    try:
        flags = _procfs.flags(read_at(sighting.link.replace("/fd/", "/fdinfo/")))
    except OSError:
        return False
    return flags is not None and bool(flags & _APPEND)


def _free_bytes(fd: int) -> int:
    found = os.fstatvfs(fd)
    return found.f_bfree * found.f_frsize


def _punch(fd: int, length: int) -> None:
    """Frees the first ``length`` bytes; the size stays, and who reads them reads zeros (fallocate(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    fallocate = libc.fallocate64 if hasattr(libc, "fallocate64") else libc.fallocate  # where offsets have 32 bits
    if length and fallocate(fd, _KEEP_SIZE | _PUNCH_HOLE, ctypes.c_longlong(0), ctypes.c_longlong(length)):
        number = ctypes.get_errno()
        if number == errno.EOPNOTSUPP:
            raise RescueError("Its file system cannot free a part of a file.")
        raise OSError(number, os.strerror(number))
