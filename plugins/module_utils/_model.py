# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The plain data that travels from step to step: scan -> group -> judge -> copy -> verify -> publish."""

import os
import stat
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence, Tuple


class File(NamedTuple):
    """What fstat says of an opened handle. Sizes are bytes, times nanoseconds since the epoch."""

    device: int
    inode: int
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    allocated: int
    mtime_ns: int

    @property
    def identity(self) -> Tuple[int, int]:
        return (self.device, self.inode)

    @property
    def is_regular(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_nearly_all_hole(self) -> bool:
        """Whether anybody could have made it in no time, while it takes long to read: 15 TiB take hours."""
        return self.size > 16 * 2**30 and self.size > 64 * self.allocated

    @property
    def permissions(self) -> int:
        return stat.S_IMODE(self.mode)


# File systems that may never answer.
_REMOTE = ("nfs", "cifs", "smb", "fuse", "9p", "ceph", "afs", "gfs2", "ocfs2", "lustre", "glusterfs", "virtiofs")


class Mount(NamedTuple):
    """One row of /proc/PID/mountinfo (proc(5)). ``device`` is its text, such as ``254:0``.

    ``remote_layers`` are the mount points that layers of an overlay are on, and that may never answer.
    """

    mount_id: int
    device: str
    root: bytes
    mount_point: bytes
    fs_type: str
    remote_layers: Tuple[bytes, ...] = ()

    @property
    def may_never_answer(self) -> bool:
        if self.remote_layers:
            return True
        return self.fs_type.startswith(_REMOTE) and self.fs_type != "fusectl"  # the kernel's own


class Place(NamedTuple):
    """Where a file truly is: the device of its mount and the path inside that file system, whoever looks."""

    device: str
    inner_path: bytes


class Process(NamedTuple):
    """A holder. ``start_time`` is field 22 of /proc/PID/stat in clock ticks since boot: with the pid it is unique."""

    pid: int
    start_time: int
    comm: bytes
    exe: bytes
    uid: int
    cgroup: bytes


class Sighting(NamedTuple):
    """One magic link that leads to a file whose name is gone.

    ``link`` is the magic link itself, ``path`` what it reads without " (deleted)". ``handle`` is an O_PATH descriptor
    of the file where it was pinned. ``mount`` and ``place`` are None where the handle's mount is in nobody's mountinfo;
    ``foreign`` is None where it is in ours, else how far the holder's is believed: ``trusted``, ``untrusted``, or over
    SFTP ``unproven``, as also a file whose inode is not known there.
    ``host_path`` is the path as this host sees it, None where it does not.
    """

    process: Process
    via: str
    fd: Optional[int]
    access: str
    executable: bool
    link: str
    path: bytes
    file: File
    handle: Optional[int]
    mount: Optional[Mount]
    place: Optional[Place]
    foreign: Optional[str]
    host_path: Optional[bytes]

    @property
    def may_never_answer(self) -> bool:
        return self.mount is None or self.mount.may_never_answer or self.foreign == "untrusted"


class Effort(NamedTuple):
    """What a scan may cost, in seconds: ``deadline`` for each network or FUSE mount, ``timeout`` for the whole.

    With ``threads`` it also looks at threads with a descriptor table of their own.
    """

    deadline: float = 5.0
    timeout: Optional[float] = None
    threads: bool = False


NORMAL = Effort()


class Scan(NamedTuple):
    """What was seen, and what could not be: unknown is never reported as none.

    ``unreadable`` counts processes that could not be read fully, ``skipped`` maps a mount point that did not answer to
    the number of magic links into it, ``silent`` are the pids about which the kernel gave no answer, ``unvisited``
    counts processes for which no time was left. ``mounts`` are those of our own namespace. ``programs`` tells which
    processes execute what, as this host sees it, ``connection`` which ones are there for our own sake: from the process
    that asks up to what a daemon made for our login. ``back`` are links that say deleted although the file
    has its name again.
    """

    sightings: List[Sighting]
    processes: int
    unreadable: int
    skipped: Dict[str, int]
    silent: List[int]
    mounts: Dict[int, Mount]
    unvisited: int
    programs: Dict[bytes, List[int]]
    connection: FrozenSet[int]
    back: Sequence[Sighting] = ()

    @property
    def is_complete(self) -> bool:
        return not (self.unreadable or self.skipped or self.unvisited)


class DeletedFile(NamedTuple):
    """One distinct unlinked inode with everybody who holds it, the most credible sighting first."""

    file: File
    kind: str
    sightings: List[Sighting]


class Ancestor(NamedTuple):
    """One folder on the way from / to the target folder, the target folder itself last."""

    path: bytes
    uid: int
    mode: int

    @property
    def is_writable_by_others(self) -> bool:
        """Whether its mode lets more than its owner write (an ACL shows in the group's bits)."""
        return bool(self.mode & (stat.S_IWGRP | stat.S_IWOTH))

    @property
    def is_anybodys(self) -> bool:
        """Whether everybody may take away and exchange what others have in it."""
        return bool(self.mode & stat.S_IWOTH) and not self.mode & stat.S_ISVTX

    @property
    def is_roots_sticky(self) -> bool:
        """Like /tmp: anybody may add names, but only their owner may take them away again."""
        return self.uid == 0 and bool(self.mode & stat.S_ISVTX)


class Folder(NamedTuple):
    """A target folder, opened component by component; ``fd`` stays open, ``path`` is its own resolved name."""

    fd: int
    path: bytes
    place: Optional[Place]
    ancestors: List[Ancestor]


class Made(NamedTuple):
    """A folder that was made again, or would be; ``by`` recorded owner and mode, None: as the one around it."""

    path: bytes
    uid: int
    gid: int
    mode: int
    by: Optional[str] = None


class Missing(NamedTuple):
    """A folder to be made again; ``recorded`` are uid, gid, permissions and who says so, where anybody does."""

    name: bytes
    recorded: Optional[Tuple[int, int, int, str]] = None


class Witness(NamedTuple):
    """Who says what the content must be: ``by`` is ``checksum`` (the user) or ``package``."""

    by: str
    algorithm: str
    digest: str
    package: str


class Installed(NamedTuple):
    """Which package put a path there. ``version`` has epoch and revision, ``manager`` is dpkg or rpm."""

    package: str
    version: str
    architecture: str
    manager: str


class Recorded(NamedTuple):
    """What a package database says of owner and mode: names, or numbers as text; ``by`` says which one.

    ``capabilities`` tells whether the file has any, None where that is not known.
    """

    mode: int
    owner: str
    group: str
    by: str
    capabilities: Optional[bool] = None


class Target(NamedTuple):
    """Where a file is to go: a name in an opened folder.

    Where the folder is gone, ``missing`` are those to be made, one in another, and ``folder`` is what it will be,
    but for its descriptor: that is of the nearest folder that is there.
    """

    folder: Folder
    name: bytes
    missing: Tuple[Missing, ...] = ()

    @property
    def path(self) -> bytes:
        return os.path.join(self.folder.path, self.name)


class Terms(NamedTuple):
    """How the user wants files restored. ``owner`` (uid), ``group`` (gid) and ``mode`` are for what is copied out.

    ``freeze`` is for how many seconds whoever writes to a file may be stopped while it is copied, None for not at all.
    ``parents`` allows to make a folder that is gone. ``look`` is a check mode that also says what another source would
    need. ``pin`` is for how many seconds what may be wanted is kept open after the task. ``try_start`` starts programs
    that came back. ``offer`` tells what other hosts could get of what is there. ``checksums`` are digests by path of
    files that nobody asked for by name, but for all of a folder.
    """

    accept: Sequence[str] = ()
    force: bool = False
    backup: bool = False
    owner: Optional[int] = None
    group: Optional[int] = None
    mode: Optional[int] = None
    max_copies: int = 3
    check_mode: bool = False
    freeze: Optional[float] = None
    parents: bool = False
    look: bool = False
    pin: float = 0
    try_start: bool = False
    offer: bool = False
    checksums: Dict[str, str] = {}  # noqa: RUF012  (never written to)
