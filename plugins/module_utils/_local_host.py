# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The steps by the kernel of the host that this runs on."""

import errno
import os
import stat
from contextlib import contextmanager
from functools import partial
from typing import Any, Callable, Iterator, Optional, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import group_names, user_names
from ansible_collections.procfs.rescue.plugins.module_utils._allowance import handles_left
from ansible_collections.procfs.rescue.plugins.module_utils._copy import (
    clone_content,
    copy_content,
    start_writing,
    write_content,
)
from ansible_collections.procfs.rescue.plugins.module_utils._courtesy import give_way
from ansible_collections.procfs.rescue.plugins.module_utils._deadline import answers, given, shares
from ansible_collections.procfs.rescue.plugins.module_utils._draft import draft_in, sweep_once
from ansible_collections.procfs.rescue.plugins.module_utils._folder import open_folder, open_target
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import while_frozen
from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, readable, unpin
from ansible_collections.procfs.rescue.plugins.module_utils._holder import process, program
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host, Room
from ansible_collections.procfs.rescue.plugins.module_utils._installed import (
    installed,
    may_be_symlink,
    paths_below,
    recorded,
    release,
)
from ansible_collections.procfs.rescue.plugins.module_utils._keep_open import keep_open
from ansible_collections.procfs.rescue.plugins.module_utils._known_folders import KnownFolders
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import apply_metadata, differences, read_metadata
from ansible_collections.procfs.rescue.plugins.module_utils._packages import package_witnesses
from ansible_collections.procfs.rescue.plugins.module_utils._parents import make_folders, unmake_folders
from ansible_collections.procfs.rescue.plugins.module_utils._publish import (
    is_named,
    link_again,
    publish,
    replace,
    sync,
)
from ansible_collections.procfs.rescue.plugins.module_utils._reach import unreachable
from ansible_collections.procfs.rescue.plugins.module_utils._record import read_record
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan
from ansible_collections.procfs.rescue.plugins.module_utils._start import does_start
from ansible_collections.procfs.rescue.plugins.module_utils._verify import content, digests, draft_digests


def _in_time(work: Callable[[], Any], seconds: float, asked: Sequence[str], patience: float) -> Any:
    return given(work, seconds, lambda: all(answers(partial(os.statvfs, path), patience) for path in asked))


def _drafts_at_once() -> int:
    return handles_left() // 8  # each has its folders, and what is done meanwhile needs some


def _path_of(folder: int) -> Optional[bytes]:
    """What the kernel calls an opened folder now, which asks no file system; None where that is too long for it."""
    try:
        return os.readlink(b"/proc/self/fd/%d" % folder)
    except OSError:
        return None


def _mode_of(folder: int, name: bytes) -> Optional[int]:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None


def _open_file(folder: int, name: bytes) -> Optional[int]:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENXIO):  # a symlink, a socket
            return None
        raise
    if stat.S_ISREG(os.fstat(fd).st_mode):
        return fd
    os.close(fd)
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
    sync(folder)


def _own_ids() -> Tuple[int, int]:
    return os.geteuid(), os.getegid()


def _size(fd: int) -> int:
    return os.fstat(fd).st_size


LOCAL = Host(
    scan=scan,
    is_of_one_file=lambda one, other: one.file.identity == other.file.identity,
    unpin=unpin,
    keep_open=keep_open,
    readable=readable,
    close=close,
    give_way=give_way,
    unreachable=unreachable,
    in_time=_in_time,
    shares=shares,
    has_ended=lambda: False,
    open_folder=open_folder,
    open_target=open_target,
    path_of=_path_of,
    mode_of=_mode_of,
    mode_seen_by=_mode_seen_by,
    readlink=_readlink,
    open_file=_open_file,
    room=_room,
    process=process,
    program=program,
    witnesses=package_witnesses,
    installed=installed,
    paths_below=paths_below,
    may_be_symlink=may_be_symlink,
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
    draft_digests=draft_digests,
    read_metadata=read_metadata,
    apply_metadata=apply_metadata,
    differences=differences,
    sweep_once=sweep_once,
    draft_in=draft_in,
    clone_content=clone_content,
    copy_content=copy_content,
    write_content=write_content,
    drafts_at_once=_drafts_at_once,
    start_writing=start_writing,
    sync_draft=os.fsync,
    publish=publish,
    replace=replace,
    link_again=link_again,
    is_named=is_named,
    does_start=does_start,
)


@contextmanager
def local_host(warn: Callable[[str], object]) -> Iterator[Host]:
    """`LOCAL` for one task; it tells ``warn`` when its package database cannot be asked."""
    folders = KnownFolders()
    try:
        yield LOCAL._replace(
            open_folder=folders.open_folder,
            open_target=folders.open_target,
            witnesses=partial(package_witnesses, warn=warn),
        )
    finally:
        folders.close()
