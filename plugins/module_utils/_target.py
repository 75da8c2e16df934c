# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Where a file is to go: its folder is made ready, and once it has its name that is looked at."""

import errno
import os
from contextlib import contextmanager, suppress
from typing import Any, Callable, Dict, Iterator, Optional, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._folder import target_to_be
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import Made, Missing, Mount, Target
from ansible_collections.procfs.rescue.plugins.module_utils._names import DELETED, printable
from ansible_collections.procfs.rescue.plugins.module_utils._publish import (
    NotKnownError,
    NotSavedError,
    NotSyncedError,
)


def aimed(
    path: bytes, mounts: Dict[int, Mount], host: Host, to_be_made: Optional[Callable[[bytes, bytes], Missing]]
) -> Target:
    """Where the absolute ``path`` leads; where its folder is gone, as it will be with what is ``to_be_made``.

    None allows no folder to be made. Raises RescueError.
    """
    try:
        return host.open_target(path, mounts)
    except RescueError as error:
        if error.reasons != ["folder_gone"] or to_be_made is None:
            raise
        target = target_to_be(path, lambda folder: host.open_folder(folder, mounts), to_be_made)
        if target.missing and host.mode_of(target.folder.fd, target.missing[0].name) is None:
            return target
        host.close(target.folder.fd)  # something else has its name, or it was made meanwhile
        raise


@contextmanager
def folder_there(target: Target, swept: Set[Tuple[int, int]], host: Host) -> Iterator[Tuple[Target, Tuple[Made, ...]]]:
    """``target`` with the folders that it misses, which are taken away again if the block fails. Raises RescueError."""
    if not target.missing:
        yield target, ()
        return
    try:
        host.sweep_once(target.folder.fd, swept)
        folder, made = host.make_folders(target.folder.fd, target.missing)
    except FileExistsError as error:
        raise RescueError(
            "%s came back while it was to be made again: run this once more." % printable(target.folder.path)
        ) from error
    except OSError as error:
        raise RescueError("%s could not be made again: %s." % (printable(target.folder.path), fault(error))) from error
    try:
        paths = [ancestor.path for ancestor in target.folder.ancestors[-len(made) :]]
        told = tuple(one._replace(path=path) for one, path in zip(made, paths))
        yield Target(target.folder._replace(fd=folder), target.name), told
    except _RenamedError:  # another one may have the name by now
        raise
    except Exception:
        host.unmake_folders(target.folder.fd, made)
        raise
    finally:
        host.close(folder)


def try_to_start(result: Dict[str, Any], path: bytes, host: Host) -> None:
    """Adds to the result of a program that came back whether it ``starts``, None where that is not tried.

    Nothing of a user's is started, nor what a user could put in its place.
    """
    started = None
    # A symlink has no digest.
    if result["content_by"] != "none" and result["checksum"]:
        with suppress(OSError, RescueError):
            started = _started(path, result["checksum"].partition(":")[2], host)
    result["starts"] = started
    if started is False:
        result["msg"] += " But it does not start: look for the libraries that it needs (ldd)."


def _started(path: bytes, sha256: str, host: Host) -> Optional[bool]:
    target = host.open_target(path, {})
    try:
        if any(ancestor.uid != 0 or ancestor.is_writable_by_others for ancestor in target.folder.ancestors):
            return None
        fd = host.open_file(target.folder.fd, target.name)
        if fd is None:
            return None
        try:
            return host.does_start(fd, target.name, sha256)
        finally:
            host.close(fd)
    finally:
        host.close(target.folder.fd)


class _RenamedError(RescueError):
    """A file is there, but not where it was to be."""


def check_named(fd: int, target: Target, host: Host, called: Optional[bytes] = None) -> None:
    """Whether what was just named has its name, in a folder that is still ``called`` so. Raises RescueError."""
    try:
        named = host.is_named(fd, target.folder.fd, target.name)
    except OSError as error:
        raise RescueError(
            "%s is there again and complete, but could not be looked at: %s." % (printable(target.path), fault(error))
        ) from error
    if not named:
        raise RescueError("%s was taken away or replaced the moment it came back." % printable(target.path))
    now = None if called is None else host.path_of(target.folder.fd)
    # NFS and FUSE may have forgotten the name of one that is there: nothing could be put into one that is deleted.
    if called is not None and now not in (called, called + DELETED, None):
        raise _RenamedError(
            "%s is not there: its folder was renamed while it was restored, and it is in %s now."
            % (printable(target.path), printable(now or b""))
        )


def not_synced(path: bytes, error: OSError) -> RescueError:
    return RescueError(
        "%s is there again and complete, but its folder could not be written to the disk: %s. Until sync(1) "
        "succeeds its name may be lost when the host goes down." % (printable(path), fault(error))
    )


def check_room(target: Target, needed: int, host: Host) -> Optional[int]:
    """A rescue must not fill the disk of a host in trouble to the brim only to fail then.

    ``needed`` is in bytes, as is what is free; that is None where it is not counted. Raises RescueError, OSError.
    """
    room = host.room(target.folder.fd)
    if room.read_only:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    if room.free is not None and needed > room.free:
        raise RescueError(
            "%s needs %d bytes, its file system has %d free: free some, or restore to another file system with dest."
            % (printable(target.path), needed, room.free)
        )
    return room.free


@contextmanager
def filling(target: Target, needed: int, host: Host) -> Iterator[None]:
    """The block takes as much room, and leaves nothing of it where it fails: what fills the disk meanwhile is told as
    `check_room` tells it before. Raises RescueError, OSError."""
    try:
        yield
    except (NotKnownError, NotSavedError, NotSyncedError):  # it has its name, or may have it
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EREMOTEIO):
            raise
        free = check_room(target, needed, host)
        if free is None:
            raise
        # A quota, inodes, or what came free again: its own figures do not say why.
        raise RescueError(
            "%s could not be written: it needs %d bytes, its file system has %d free, but %s."
            % (printable(target.path), needed, free, fault(error))
        ) from error
