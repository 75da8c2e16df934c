# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""group: from magic links to distinct unlinked inodes, each with what it is and everybody who holds it."""

import mmap
import os
import re
import stat
from contextlib import closing
from functools import lru_cache
from typing import Dict, List, Optional, Pattern, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._handle import read_at
from ansible_collections.procfs.rescue.plugins.module_utils._model import DeletedFile, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import RENAMED

_INTERNAL_KINDS = (
    ("memfd", re.compile(rb"/memfd:")),
    ("sysv_shm", re.compile(rb"/SYSV[0-9a-f]{8}\Z")),
    ("shared_memory", re.compile(rb"/dev/zero\Z")),
)

_NAMED_KINDS = (
    ("nfs_silly", re.compile(rb".*/\.nfs[0-9a-f]{8,}\Z", re.S)),
    ("fuse_hidden", re.compile(rb".*/\.fuse_hidden[0-9a-f]{8,}\Z", re.S)),
    ("tmpfile", re.compile(rb".*/#\d+\Z", re.S)),
    ("shared_memory", re.compile(rb"/dev/shm/", re.S)),
)

_TYPE_KINDS = {
    stat.S_IFDIR: "directory",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFLNK: "symlink",
}

KINDS = (
    "regular",
    "memfd",
    "sysv_shm",
    "shared_memory",
    "anonymous",
    "tmpfile",
    "nfs_silly",
    "fuse_hidden",
    "directory",
    "fifo",
    "socket",
    "device",
    "symlink",
)

# Kinds that never had a name in a file system.
NAMELESS = ("memfd", "sysv_shm", "anonymous", "tmpfile")

# Kinds whose name was given by the client of a file system when the file was deleted: the one link that is left.
RENAMED_KINDS = ("nfs_silly", "fuse_hidden")

# Links that a person would look at first.
_VIA_ORDER = {"exe": 0, "fd": 1, "map": 2}


def group(sightings: Sequence[Sighting]) -> List[DeletedFile]:
    """One DeletedFile per distinct inode, in the order in which they were first seen.

    Different holders can show different paths for one inode; those that our own mounts confirm come first.
    """
    running = {(one.process.pid, one.file.identity) for one in sightings if one.via == "exe"}
    files: Dict[Tuple[int, int], List[Sighting]] = {}
    for sighting in sightings:
        # That a process also maps the file that it executes tells nobody anything.
        if sighting.via != "map" or (sighting.process.pid, sighting.file.identity) not in running:
            files.setdefault(sighting.file.identity, []).append(sighting)
    return [_deleted_file(sorted(seen, key=_credibility)) for seen in files.values()]


def _credibility(sighting: Sighting) -> Tuple[bool, bool, bool, bool, int, int]:
    return (
        sighting.place is None,
        sighting.foreign is not None,
        sighting.foreign == "untrusted",
        RENAMED.search(sighting.path) is not None,  # who had it open before knows the name that it had
        _VIA_ORDER[sighting.via],
        sighting.process.pid,
    )


def _deleted_file(sightings: List[Sighting]) -> DeletedFile:
    best = sightings[0]
    return DeletedFile(file=best.file, kind=kind_of(best), sightings=sightings)


def kind_of(sighting: Sighting) -> str:
    """``regular``, or the name of what is no ordinary deleted file."""
    file_type = stat.S_IFMT(sighting.file.mode)
    if file_type in _TYPE_KINDS:
        return _TYPE_KINDS[file_type]
    if sighting.file.device == internal_device():
        return _first(_INTERNAL_KINDS, sighting.path) or "anonymous"
    if sighting.mount is None:  # memfd with huge pages has an internal mount of its own
        return _first(_INTERNAL_KINDS, sighting.path) or "regular"
    return _first(_NAMED_KINDS, sighting.path) or "regular"


@lru_cache(maxsize=None)
def internal_device() -> int:
    """The device of the kernel's own mount, on which memfd, SysV shm and anonymous shared memory live.

    Kernels number it differently: an anonymous shared mapping of our own tells.
    """
    with closing(mmap.mmap(-1, mmap.PAGESIZE)):
        maps = read_at("/proc/self/maps")
    match = re.search(rb" ([0-9a-f]+):([0-9a-f]+) \d+ +/dev/zero \(deleted\)$", maps, re.M)
    return os.makedev(int(match.group(1), 16), int(match.group(2), 16)) if match else 1


def _first(kinds: Sequence[Tuple[str, Pattern[bytes]]], path: bytes) -> Optional[str]:
    return next((kind for kind, names in kinds if names.match(path)), None)
