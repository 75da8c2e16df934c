# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What the steps ask of a host, whichever way leads to it: its own kernel (`LOCAL`), or SFTP from the controller.

What is decided is one piece of code; only how it is asked and done differs. A descriptor is the number by which the
host knows an opened file or folder.
"""

import os
from functools import partial
from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import group_names, user_names
from ansible_collections.procfs.rescue.plugins.module_utils._copy import clone_content, copy_content, write_content
from ansible_collections.procfs.rescue.plugins.module_utils._courtesy import give_way
from ansible_collections.procfs.rescue.plugins.module_utils._draft import Draft, draft_in, sweep_once
from ansible_collections.procfs.rescue.plugins.module_utils._folder import open_folder, open_target
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import Frozen, while_frozen
from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, readable, unpin
from ansible_collections.procfs.rescue.plugins.module_utils._installed import installed, paths_below, recorded, release
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import (
    Metadata,
    apply_metadata,
    differences,
    read_metadata,
)
from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    Effort,
    Folder,
    Installed,
    Made,
    Missing,
    Mount,
    Process,
    Recorded,
    Scan,
    Sighting,
    Target,
    Witness,
)
from ansible_collections.procfs.rescue.plugins.module_utils._packages import package_witnesses
from ansible_collections.procfs.rescue.plugins.module_utils._pin import keep_open
from ansible_collections.procfs.rescue.plugins.module_utils._prove import does_start
from ansible_collections.procfs.rescue.plugins.module_utils._publish import (
    Linked,
    is_named,
    link_again,
    make_folders,
    publish,
    replace,
    unmake_folders,
)
from ansible_collections.procfs.rescue.plugins.module_utils._reach import unreachable
from ansible_collections.procfs.rescue.plugins.module_utils._record import read_record
from ansible_collections.procfs.rescue.plugins.module_utils._scan import process, scan
from ansible_collections.procfs.rescue.plugins.module_utils._verify import content, digests


class Room(NamedTuple):
    """Of a file system, in bytes; ``free`` and ``size`` are None where it does not count them."""

    read_only: bool
    free: Optional[int]
    size: Optional[int]


class Host(NamedTuple):
    """The steps as functions; each is described where `LOCAL` has it from. All raise OSError and RescueError."""

    scan: Callable[[Callable[[Sighting], bool], Effort], Scan]
    unpin: Callable[[Iterable[Sighting]], None]
    # Keeps what is pinned open for so many seconds after the task; how many files.
    pin: Callable[[Iterable[Sighting], float], int]
    readable: Callable[[Sighting], ContextManager[int]]
    close: Callable[[int], None]
    # Lets everything else on the host go first.
    give_way: Callable[[], None]

    # Those of some paths that lead over a file system that does not answer.
    unreachable: Callable[[Iterable[bytes], Dict[int, Mount]], Set[bytes]]
    open_folder: Callable[[bytes, Dict[int, Mount]], Folder]
    open_target: Callable[[bytes, Dict[int, Mount]], Target]
    # The mode of what has the name in an opened folder, None where nothing has.
    mode_of: Callable[[int, bytes], Optional[int]]
    # The same of a path as a process sees it, whose mount namespace is believed.
    mode_seen_by: Callable[[int, bytes], Optional[int]]
    # Where the symlink of that name in an opened folder leads.
    readlink: Callable[[int, bytes], bytes]
    # A regular file of that name in an opened folder, to be read; None where there is none.
    open_file: Callable[[int, bytes], Optional[int]]
    room: Callable[[int], Room]
    process: Callable[[int], Process]

    witnesses: Callable[[Iterable[bytes]], Dict[bytes, Witness]]
    # Which packages put paths there; where their names are known, these.
    installed: Callable[..., Dict[bytes, Installed]]
    # Files and symlinks that packages put below a folder.
    paths_below: Callable[[bytes], List[bytes]]
    # What a package database says of a path's owner and mode.
    recorded: Callable[[bytes], Optional[Recorded]]
    release: Callable[[], str]
    user_names: Callable[[], Dict[int, str]]
    group_names: Callable[[], Dict[int, str]]

    # What the lifeline's keeper wrote down.
    read_record: Callable[[], bytes]
    # symlink(2): a folder, a name in it, where it is to lead. Fails where the name is taken.
    symlink: Callable[[int, bytes, bytes], None]
    # Our own uid and gid there.
    own_ids: Callable[[], Tuple[int, int]]
    # Folders in an opened folder, one in another; the descriptor of the last one, and what they have got.
    make_folders: Callable[[int, Sequence[Missing]], Tuple[int, List[Made]]]
    # Takes those away again in which there is nothing.
    unmake_folders: Callable[[int, Sequence[Made]], None]
    # Work, the pids to be stopped meanwhile, the file's (st_dev, st_ino), for how many seconds at most.
    while_frozen: Callable[[Callable[[], Any], Iterable[int], Tuple[int, int], float], Tuple[Any, Frozen]]

    size: Callable[[int], int]
    # Of the first so many bytes, where a number is given.
    content: Callable[..., Iterator[bytes]]
    digests: Callable[..., Dict[str, str]]
    read_metadata: Callable[[int], Metadata]
    apply_metadata: Callable[[int, Metadata], None]
    differences: Callable[[int, Metadata], List[str]]

    sweep_once: Callable[[int, Set[Tuple[int, int]]], None]
    draft_in: Callable[..., ContextManager[Draft]]
    clone_content: Callable[[int, int], bool]
    copy_content: Callable[[int, int], None]
    # Appends pieces to a draft; the size that it has then.
    write_content: Callable[[Iterable[bytes], int], int]
    publish: Callable[[Draft, int, bytes], None]
    replace: Callable[[Draft, int, bytes, bool], Optional[bytes]]
    link_again: Callable[[int, int, bytes, bool, bool], Optional[Linked]]
    is_named: Callable[[int, int, bytes], bool]
    # Whether the opened program of that name starts, None where that is not tried.
    does_start: Callable[[int, bytes], Optional[bool]]


def _mode_of(folder: int, name: bytes) -> Optional[int]:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _open_file(folder: int, name: bytes) -> Optional[int]:
    try:
        return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None


def _room(folder: int) -> Room:
    found = os.fstatvfs(folder)
    read_only = bool(found.f_flag & os.ST_RDONLY)
    if not found.f_blocks:
        return Room(read_only, None, None)
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return Room(read_only, found.f_frsize * free, found.f_frsize * found.f_blocks)


def _mode_seen_by(pid: int, path: bytes) -> Optional[int]:
    try:
        return os.stat(b"/proc/%d/root%s" % (pid, path), follow_symlinks=False).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _readlink(folder: int, name: bytes) -> bytes:
    return os.readlink(name, dir_fd=folder)


def _symlink(folder: int, name: bytes, target: bytes) -> None:
    os.symlink(target, name, dir_fd=folder)


def _own_ids() -> Tuple[int, int]:
    return os.geteuid(), os.getegid()


def _size(fd: int) -> int:
    return os.fstat(fd).st_size


LOCAL = Host(
    scan=scan,
    unpin=unpin,
    pin=keep_open,
    readable=readable,
    close=close,
    give_way=give_way,
    unreachable=unreachable,
    open_folder=open_folder,
    open_target=open_target,
    mode_of=_mode_of,
    mode_seen_by=_mode_seen_by,
    readlink=_readlink,
    open_file=_open_file,
    room=_room,
    process=process,
    witnesses=package_witnesses,
    installed=installed,
    paths_below=paths_below,
    recorded=recorded,
    release=release,
    user_names=user_names,
    group_names=group_names,
    read_record=read_record,
    symlink=_symlink,
    own_ids=_own_ids,
    make_folders=make_folders,
    unmake_folders=unmake_folders,
    while_frozen=while_frozen,
    size=_size,
    content=content,
    digests=digests,
    read_metadata=read_metadata,
    apply_metadata=apply_metadata,
    differences=differences,
    sweep_once=sweep_once,
    draft_in=draft_in,
    clone_content=clone_content,
    copy_content=copy_content,
    write_content=write_content,
    publish=publish,
    replace=replace,
    link_again=link_again,
    is_named=is_named,
    does_start=does_start,
)


def local_host(warn: Callable[[str], object]) -> Host:
    """`LOCAL`, which tells ``warn`` when its package database cannot be asked."""
    return LOCAL._replace(witnesses=partial(package_witnesses, warn=warn))
