# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""scan: what is made of what /proc says of a process and of an opened link, whoever asked it: the kernel, or SFTP."""

import errno
import stat
from typing import Callable, Dict, FrozenSet, List, NamedTuple, Optional, Sequence

from ansible_collections.procfs.rescue.plugins.module_utils import _place, _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import File, Mount, Place, Process, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import DELETED, RENAMED, TOO_LONG

_ACCESS = {stat.S_IRUSR: "read", stat.S_IWUSR: "write", stat.S_IRUSR | stat.S_IWUSR: "both"}


class Link(NamedTuple):
    pid: int
    via: str
    name: str  # below /proc/PID
    fd: Optional[int]
    executable: bool
    access: Optional[str]  # None where only the link's own mode tells

    @property
    def path(self) -> bytes:
        return b"/proc/%d/%s" % (self.pid, self.name.encode())


def mapped(pid: int, folder: str, mapping: _procfs.DeletedMap) -> Link:
    """The link of a mapping in ``folder``, which is below /proc/PID."""
    permissions = mapping.permissions
    access = "both" if "w" in permissions and "s" in permissions else "read"
    return Link(pid, "map", folder + mapping.address, None, "x" in permissions, access)


def access_by(mode: int) -> str:
    """What a descriptor permits, by the mode of its link."""
    return _ACCESS.get(mode & (stat.S_IRUSR | stat.S_IWUSR), "read")


def process_from(pid: int, stat_text: bytes, status: bytes, exe: bytes, cgroup: bytes) -> Process:
    """Raises OSError where /proc says nothing that makes sense."""
    started = _procfs.start_time(stat_text)
    uid = _procfs.uid(status)
    if started is None or uid is None:
        raise OSError(errno.EIO, "odd content of /proc/%d/stat or status" % pid)
    return Process(
        pid=pid,
        start_time=started,
        comm=stat_text[stat_text.find(b"(") + 1 : stat_text.rfind(b")")],
        exe=exe,
        uid=uid,
        cgroup=cgroup,
    )


def says_deleted(text: bytes) -> bool:
    """Whether a link with this text may lead to a deleted file."""
    return text.endswith(DELETED) or RENAMED.search(text) is not None


def is_believed(text: bytes, mount: Optional[Mount]) -> bool:
    """Whether what says deleted is: only clients of file servers rename instead."""
    return text.endswith(DELETED) or (mount is not None and mount.fs_type.startswith(("nfs", "fuse")))


def names_meant(text: bytes) -> Sequence[bytes]:
    """The names under which a file is live whose link has this text: the whole text, or its own again."""
    return (text, text[: -len(DELETED)]) if text.endswith(DELETED) else ()


def sighting_of(
    process: Process,
    link: Link,
    access: str,
    text: bytes,
    file: File,
    mount: Optional[Mount],
    foreign: Optional[str],
    own_mounts: Dict[int, Mount],
) -> Sighting:
    """``text`` is what the link's opened file is called, ``own_mounts`` are those of our own namespace."""
    path = text[: -len(DELETED)] if text.endswith(DELETED) else text
    place = None if mount is None or path == TOO_LONG else _place.place_of(mount, path)
    return Sighting(
        process=process,
        via=link.via,
        fd=link.fd,
        access=access,
        executable=link.executable,
        link=link.path.decode(),
        path=path,
        file=file,
        handle=None,
        mount=mount,
        place=place,
        foreign=foreign,
        host_path=host_path_of(path, place, mount, own_mounts),
    )


def host_path_of(
    path: bytes, place: Optional[Place], mount: Optional[Mount], own_mounts: Dict[int, Mount]
) -> Optional[bytes]:
    """The path as this host sees it."""
    if mount is not None and mount.mount_id in own_mounts:
        return None if path == TOO_LONG else path
    return None if place is None else _place.host_path(place, own_mounts.values())


def link_is_gone(sighting: Sighting) -> RescueError:
    return RescueError("%s is gone: its holder ended or closed the file." % sighting.link, ["holder_changed"])


def leads_to_no_file(sighting: Sighting) -> RescueError:
    return RescueError("%s leads to no regular file." % sighting.link, ["not_regular"])


def check_same(sighting: Sighting, now: File) -> None:
    """What is opened ``now`` must be what was sighted. Raises RescueError."""
    then = sighting.file
    if (now.identity, now.uid, now.mode) != (then.identity, then.uid, then.mode):
        other = "%s leads to another file by now, or its owner or mode changed." % sighting.link
        raise RescueError(other, ["holder_changed"])


def connection(pid: int, status_of: Callable[[int], bytes]) -> FrozenSet[int]:
    """``pid`` and its ancestors, except init and init's own child: that is the daemon, which serves others too."""
    pids: List[int] = []
    while True:
        try:
            parent = _procfs.parent(status_of(pid))
        except OSError:
            parent = None
        if not parent or parent == 1 or pid in pids:
            return frozenset(pids)
        pids.append(pid)
        pid = parent
