# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The formats of /proc/PID/* (proc(5)), parsed from bytes: they may be odd, cut off, or shaped by an attacker."""

import os
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._model import Mount

# No number of the kernel has more digits, and longer ones Python may refuse.
_NUMBER = re.compile(rb"[0-9]{1,20}\Z")

_OCTAL = re.compile(rb"\\([0-7]{3})")

# In the options of an overlay: folders, of which some may be joined by colons.
_LAYERS = re.compile(rb"[ ,](?:lowerdir\+?|datadir\+|upperdir)=([^ ,]*)")

# start-end perms offset dev inode path: only lines whose path says deleted are of interest, and only their range
# and permissions are believed; the name comes from the map_files link, since maps escapes newlines ambiguously.
_DELETED_MAP = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ([r-][w-][x-][ps]) [0-9a-f]+ (\S+ \d+) +(.* \(deleted\))$", re.M)


class DeletedMap(NamedTuple):
    """One mapping of a deleted file: ``address`` is its name in map_files, ``hint`` tells apart files, no more."""

    address: str
    permissions: str
    hint: bytes


def start_time(stat: bytes) -> Optional[int]:
    """Field 22 of /proc/PID/stat: clock ticks between boot and the start of the process. comm may hold anything."""
    fields = stat.rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 and _NUMBER.match(fields[19]) else None


def uid(status: bytes) -> Optional[int]:
    """The effective uid of /proc/PID/status."""
    match = re.search(rb"^Uid:\t[0-9]+\t([0-9]{1,20})\t", status, re.M)
    return int(match.group(1)) if match else None


def parent(status: bytes) -> Optional[int]:
    """PPid of /proc/PID/status; 0 where the parent is outside the PID namespace."""
    match = re.search(rb"^PPid:\t([0-9]{1,10})$", status, re.M)
    return int(match.group(1)) if match else None


def slots(status: bytes) -> Optional[int]:
    """FDSize of /proc/PID/status: the kernel's table has room for so many descriptors, each number is below."""
    match = re.search(rb"^FDSize:\t([0-9]{1,10})$", status, re.M)
    return int(match.group(1)) if match else None


def mount_id(fdinfo: bytes) -> Optional[int]:
    """The mount that a handle was opened through (/proc/self/fdinfo/FD, Linux 3.15)."""
    match = re.search(rb"^mnt_id:\t([0-9]{1,20})$", fdinfo, re.M)
    return int(match.group(1)) if match else None


def flags(fdinfo: bytes) -> Optional[int]:
    """The flags that a descriptor was opened with (open(2)), as far as they still hold."""
    match = re.search(rb"^flags:\t0([0-7]{1,11})$", fdinfo, re.M)
    return int(match.group(1), 8) if match else None


def mounts(mountinfo: bytes) -> Dict[int, Mount]:
    """The rows of /proc/PID/mountinfo by mount id; a row that is cut off or odd is left out."""
    rows = list(_rows(mountinfo))
    remote = [mount.mount_point for mount, _options in rows if mount.may_never_answer]
    if remote:
        # By mount point, whom to ask there; the last mount covers those before.
        asked: Dict[bytes, Tuple[bytes, ...]] = {}
        for number, (mount, options) in enumerate(rows):
            layers = _remote_layers(options, asked, remote) if mount.fs_type == "overlay" else ()
            rows[number] = mount._replace(remote_layers=layers), options
            remote += [mount.mount_point] if layers else []
            asked[mount.mount_point] = layers or (mount.mount_point,) * mount.may_never_answer
    return {mount.mount_id: mount for mount, _options in rows}


def _remote_layers(options: bytes, asked: Dict[bytes, Tuple[bytes, ...]], remote: List[bytes]) -> Tuple[bytes, ...]:
    """Of an overlay, by the names of its layers alone; most are below none of the ``remote`` mount points."""
    above = tuple(point.rstrip(b"/") + b"/" for point in remote)
    found: Dict[bytes, None] = {}
    for layers in _LAYERS.findall(options):
        for layer in map(_unescaped, layers.split(b":")):
            path = b"/" + layer.lstrip(b"/")
            if layer.startswith(b"/") and (path + b"/").startswith(above):
                found.update(dict.fromkeys(_asked_at(path, asked)))
    return tuple(found)


def _asked_at(path: bytes, asked: Dict[bytes, Tuple[bytes, ...]]) -> Tuple[bytes, ...]:
    while path not in asked:
        below, path = path, os.path.dirname(path)
        if path == below:  # the root of a holder that sees no mount there
            return ()
    return asked[path]


def _rows(mountinfo: bytes) -> Iterator[Tuple[Mount, bytes]]:
    """Each with its type, source and options."""
    for line in mountinfo.split(b"\n"):
        before, separator, after = line.partition(b" - ")
        fields = before.split(b" ")
        if not separator or len(fields) < 6 or not _NUMBER.match(fields[0]):
            continue
        mount = Mount(
            mount_id=int(fields[0]),
            device=fields[2].decode("ascii", "replace"),
            root=_unescaped(fields[3]),
            mount_point=_unescaped(fields[4]),
            fs_type=after.split(b" ")[0].decode("ascii", "replace"),
        )
        yield mount, after


def _unescaped(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match.group(1), 8) & 0xFF]), field)


def deleted_maps(maps: bytes) -> Iterator[DeletedMap]:
    """The mappings of /proc/PID/maps whose file is deleted, one per file, with what any of its mappings permits."""
    if b" (deleted)\n" not in maps:
        return
    found: Dict[Tuple[bytes, bytes], DeletedMap] = {}
    for match in _DELETED_MAP.finditer(maps):
        start, end, permissions, hint, name = match.groups()
        # The kernel prints 8 digits at least, map_files as many as it needs.
        address = "%x-%x" % (int(start, 16), int(end, 16))
        seen = found.get((hint, name), DeletedMap(address, "---p", hint))
        found[hint, name] = seen._replace(permissions=_either(seen.permissions, permissions.decode("ascii")))
    yield from found.values()


def _either(one: str, other: str) -> str:
    """Permissions such as r-xp of two mappings together."""
    letters = [mine if mine != "-" else theirs for mine, theirs in zip(one[:3], other[:3])]
    return "".join(letters) + ("s" if "s" in (one[3], other[3]) else "p")
