# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The target folder, opened component by component; only symlinks that root alone could have made are followed.

Afterwards every call is relative to the opened folder: whatever is swapped on the way to it cannot lead us elsewhere.
"""

import os
import stat
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _place
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._handle import link_text, mount_id_of
from ansible_collections.procfs.rescue.plugins.module_utils._model import Ancestor, Folder, Missing, Mount, Target
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._new_folder import folder_mode

# As the kernel has it (path_resolution(7)).
_MAX_SYMLINKS = 40


class Opened(NamedTuple):
    """A folder that stays open as ``fd``; ``path`` is the name that the kernel has for it."""

    fd: int
    path: bytes
    mount_id: int


class Walk(NamedTuple):
    """How a way is walked. What has been reached is a handle of any kind; all raise OSError."""

    # The handle of / or of an opened folder.
    start: Callable[[Optional[int]], Any]
    # The handle of what has a name in a folder; a symlink is not followed.
    enter: Callable[[Any, bytes], Any]
    # (uid, mode)
    owner_and_mode: Callable[[Any], Tuple[int, int]]
    readlink: Callable[[Any], bytes]
    leave: Callable[[Any], None]
    # Opens the very folder that the handle means, nothing that was put in its place.
    open: Callable[[Any], Opened]
    close: Callable[[int], None]


def open_folder(path: bytes, mounts: Dict[int, Mount]) -> Folder:
    return walk_to_folder(path, mounts, _LOCAL)


def open_target(
    path: bytes, mounts: Dict[int, Mount], open_folder: Callable[[bytes, Dict[int, Mount]], Folder] = open_folder
) -> Target:
    return walk_to_target(path, mounts, _LOCAL, open_folder)


def walk_to_folder(path: bytes, mounts: Dict[int, Mount], walk: Walk) -> Folder:
    """Opens the absolute ``path``; the caller closes ``fd``. ``mounts`` are those of our own namespace.

    Raises RescueError where it is not there, is no folder, or is reached through a symlink that others could have made.
    """
    handles = [walk.start(None)]
    try:
        ancestors = [_ancestor(b"/", handles[0], walk)]
        todo = _components(path)
        symlinks = 0
        while todo:
            name = todo.pop()
            if name == b"..":
                if len(handles) > 1:
                    walk.leave(handles.pop())
                    ancestors.pop()
                continue
            handles.append(_entered(handles[-1], name, path, walk))
            reached = _ancestor(os.path.join(ancestors[-1].path, name), handles[-1], walk)
            if not stat.S_ISLNK(reached.mode):
                ancestors.append(reached)
                continue
            symlink = handles.pop()
            symlinks += 1
            try:
                target = _believed_target(symlink, ancestors, path, walk)
            finally:
                walk.leave(symlink)
            if symlinks > _MAX_SYMLINKS:
                raise RescueError("%s leads through too many symlinks." % printable(path))
            todo.extend(_components(target))
            if target.startswith(b"/"):
                while len(handles) > 1:
                    walk.leave(handles.pop())
                del ancestors[1:]
        return _opened(handles[-1], path, ancestors, mounts, walk)
    finally:
        for handle in handles:
            walk.leave(handle)


def walk_to_target(
    path: bytes, mounts: Dict[int, Mount], walk: Walk, open_folder: Callable[[bytes, Dict[int, Mount]], Folder]
) -> Target:
    """Where the absolute ``path`` leads, symlinks at its end followed too; the caller closes the folder.

    The name need not exist. Raises RescueError as `walk_to_folder` does.
    """
    for _symlink in range(_MAX_SYMLINKS):
        parent, name = os.path.split(path)
        if name in (b"", b".", b".."):
            raise RescueError("%s does not name a file." % printable(path))
        folder = open_folder(parent, mounts)
        try:
            symlink = _symlink_target(folder, name, path, walk)
        except (OSError, RescueError):
            walk.close(folder.fd)
            raise
        if symlink is None:
            return Target(folder, name)
        walk.close(folder.fd)
        path = os.path.join(folder.path, symlink)
    raise RescueError("%s leads through too many symlinks." % printable(path))


def target_to_be(
    path: bytes, open_folder: Callable[[bytes], Folder], to_be_made: Callable[[bytes, bytes], Missing]
) -> Target:
    """Where the absolute ``path`` will be when its folder is made again. Raises what `walk_to_folder` raises.

    ``to_be_made`` says what is known of a folder, by its path and name.
    """
    above, name = os.path.split(path)
    missing: Tuple[Missing, ...] = ()
    while True:
        try:
            folder = open_folder(above)
        except RescueError as error:
            gone = above.rstrip(b"/")
            above, last = os.path.split(gone)
            if error.reasons != ["folder_gone"] or not above or last in (b"", b".", b".."):
                raise
            missing = (to_be_made(gone, last), *missing)
        else:
            return Target(_with(folder, missing), name, missing)


def _with(folder: Folder, missing: Iterable[Missing]) -> Folder:
    """As it will be with the folders that are ``missing`` in it; the descriptor stays its own."""
    for name, recorded in missing:
        around = folder.ancestors[-1]
        uid, mode = (around.uid, folder_mode(around.mode)) if recorded is None else (recorded[0], recorded[2])
        new = Ancestor(os.path.join(around.path, name), uid, stat.S_IFDIR | mode)
        place = folder.place
        if place is not None:
            place = place._replace(inner_path=os.path.join(place.inner_path, name))
        folder = folder._replace(path=new.path, place=place, ancestors=[*folder.ancestors, new])
    return folder


def _symlink_target(folder: Folder, name: bytes, path: bytes, walk: Walk) -> Optional[bytes]:
    """Where the symlink ``name`` leads; None where it is no symlink, or nothing at all."""
    start = walk.start(folder.fd)
    try:
        symlink = walk.enter(start, name)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RescueError("%s cannot be opened: %s." % (printable(path), error.strerror)) from error
    finally:
        walk.leave(start)
    try:
        if stat.S_ISLNK(walk.owner_and_mode(symlink)[1]):
            return _believed_target(symlink, folder.ancestors, path, walk)
        return None
    finally:
        walk.leave(symlink)


def _components(path: bytes) -> List[bytes]:
    """The components of ``path``, the first one last: a stack."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]


def _entered(handle: Any, name: bytes, path: bytes, walk: Walk) -> Any:
    try:
        return walk.enter(handle, name)
    except FileNotFoundError as error:
        raise RescueError(
            "The folder %s is not there any more (%s is missing): make it again with its old owner and mode, or "
            "restore elsewhere with dest." % (printable(path), printable(name)),
            ["folder_gone"],
        ) from error
    except NotADirectoryError as error:
        raise RescueError("%s is no folder." % printable(path), ["folder_gone"]) from error
    except OSError as error:
        raise RescueError("The folder %s cannot be opened: %s." % (printable(path), error.strerror)) from error


def _believed_target(symlink: Any, ancestors: List[Ancestor], path: bytes, walk: Walk) -> bytes:
    """Where the symlink leads, if neither it nor a folder above it can be exchanged by others than root."""
    if is_exchangeable(ancestors) or walk.owner_and_mode(symlink)[0] != 0:
        raise RescueError(
            "%s leads through a symlink in %s that others than root could have made: give the path that it leads to, "
            "if that is the right one." % (printable(path), printable(ancestors[-1].path)),
            reasons=["ancestor_writable"],
        )
    return walk.readlink(symlink)


def is_exchangeable(ancestors: Iterable[Ancestor]) -> bool:
    """Whether others than root could put something else in the place of one of them."""
    return any(folder.uid != 0 or (folder.is_writable_by_others and not folder.is_roots_sticky) for folder in ancestors)


def _ancestor(path: bytes, handle: Any, walk: Walk) -> Ancestor:
    uid, mode = walk.owner_and_mode(handle)
    return Ancestor(path, uid, mode)


def _opened(handle: Any, path: bytes, ancestors: List[Ancestor], mounts: Dict[int, Mount], walk: Walk) -> Folder:
    try:
        folder = walk.open(handle)
    except NotADirectoryError as error:
        raise RescueError("%s is no folder." % printable(path), ["folder_gone"]) from error
    except OSError as error:
        raise RescueError("The folder %s cannot be opened: %s." % (printable(path), error.strerror)) from error
    mount = mounts.get(folder.mount_id)
    place = None if mount is None else _place.place_of(mount, folder.path)
    return Folder(fd=folder.fd, path=ancestors[-1].path, place=place, ancestors=ancestors)


def _start(folder: Optional[int]) -> int:
    return os.open(b"/" if folder is None else b".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)


def _enter(handle: int, name: bytes) -> int:
    return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)


def _owner_and_mode(handle: int) -> Tuple[int, int]:
    result = os.fstat(handle)
    return result.st_uid, result.st_mode


def _readlink(handle: int) -> bytes:
    return os.readlink(b"", dir_fd=handle)


def _open(handle: int) -> Opened:
    folder = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    try:
        return Opened(folder, link_text(folder), mount_id_of(folder))
    except OSError:
        os.close(folder)
        raise


_LOCAL = Walk(_start, _enter, _owner_and_mode, _readlink, os.close, _open, os.close)
