# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""scan: which links of one process say deleted. One readlink per descriptor is what it costs."""

import errno
import os
from typing import Callable, Iterator, List

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._handle import open_directory, read_at
from ansible_collections.procfs.rescue.plugins.module_utils._holder import Holder
from ansible_collections.procfs.rescue.plugins.module_utils._names import DELETED, TOO_LONG
from ansible_collections.procfs.rescue.plugins.module_utils._sighted import Link, mapped

# Who walks looks at the clock once in so many names.
_NAMES_AT_ONCE = 1000

# From so many descriptors on, it pays to look whether nearly all numbers are in use.
_MANY = 100


class Numbers:
    """Made once for all processes."""

    def __init__(self) -> None:
        self._made: List[str] = []

    def first(self, count: int) -> List[str]:
        """0 to ``count`` - 1, as /proc writes them."""
        if len(self._made) < count:
            self._made = [str(number) for number in range(count)]
        return self._made[:count]


def descriptors(holder: Holder, thread: str, numbers: Numbers, is_late: Callable[[], bool]) -> Iterator[Link]:
    """Those of a thread, in one table with all others unless it made its own."""
    try:
        directory = open_directory(thread + "fd", holder.directory)
    except OSError as error:
        holder.note(error)
        return
    readlink = os.readlink
    try:
        names = _names(holder, thread, directory, numbers)
        for start in range(0, len(names), _NAMES_AT_ONCE):
            if is_late():
                holder.unreadable = True
                return
            for name in names[start : start + _NAMES_AT_ONCE]:
                try:
                    text = readlink(name, dir_fd=directory)
                except OSError as error:
                    if error.errno != errno.ENAMETOOLONG:
                        holder.note(error)
                        continue
                    text = os.fsdecode(TOO_LONG + DELETED)  # perhaps: its number of links tells
                # A first sieve, as quick as can be; what the opened handle says decides.
                if text[-1:] != ")" and "/." not in text:
                    continue
                if text.endswith(" (deleted)") or "/.nfs" in text or "/.fuse_hidden" in text:
                    yield Link(holder.pid, "fd", thread + "fd/" + name, int(name), False, None)
    except OSError as error:
        holder.note(error)
    finally:
        os.close(directory)


def _names(holder: Holder, thread: str, directory: int, numbers: Numbers) -> List[str]:
    """The descriptors. Where nearly all numbers are in use, asking for each costs less than to have them listed."""
    used = os.fstat(directory).st_size  # Linux 6.2; nothing but the speed depends on it
    if used >= _MANY:
        slots = _procfs.slots(read_at(thread + "status", holder.directory))
        if slots is not None and slots < 1.4 * used:
            return numbers.first(slots)
    return os.listdir(directory)


def mappings(holder: Holder) -> Iterator[Link]:
    """Those of deleted files."""
    try:
        maps = read_at(holder.thread + "maps", holder.directory)
    except OSError as error:
        holder.note(error)
        return
    # In task/ there are none, but each thread has a folder in /proc as well, which is not listed.
    folder = holder.thread.replace("task/", "../") + "map_files/"
    for mapping in _procfs.deleted_maps(maps):
        yield mapped(holder.pid, folder, mapping)
