# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The target folder, opened component by component; only symlinks that root alone could have made are followed.

Afterwards every call is relative to the opened folder: whatever is swapped on the way to it cannot lead us elsewhere.
"""

import os
import stat
from typing import Dict, List, Optional

from ansible_collections.procfs.rescue.plugins.module_utils import _place
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._handle import link_text, mount_id_of
from ansible_collections.procfs.rescue.plugins.module_utils._model import Ancestor, Folder, Mount, Target
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable

# As the kernel has it (path_resolution(7)).
_MAX_SYMLINKS = 40


def open_folder(path: bytes, mounts: Dict[int, Mount]) -> Folder:
    """Opens the absolute ``path``; the caller closes ``fd``. ``mounts`` are those of our own namespace.

    Raises RescueError where it is not there, is no folder, or is reached through a symlink that others could have made.
    """
    handles = [os.open(b"/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
    try:
        ancestors = [_ancestor(b"/", handles[0])]
        todo = _components(path)
        symlinks = 0
        while todo:
            name = todo.pop()
            if name == b"..":
                if len(handles) > 1:
                    os.close(handles.pop())
                    ancestors.pop()
                continue
            handles.append(_entered(handles[-1], name, path))
            if not stat.S_ISLNK(os.fstat(handles[-1]).st_mode):
                ancestors.append(_ancestor(os.path.join(ancestors[-1].path, name), handles[-1]))
                continue
            symlink = handles.pop()
            symlinks += 1
            try:
                target = _believed_target(symlink, ancestors, path)
            finally:
                os.close(symlink)
            if symlinks > _MAX_SYMLINKS:
                raise RescueError("%s leads through too many symlinks." % printable(path))
            todo.extend(_components(target))
            if target.startswith(b"/"):
                while len(handles) > 1:
                    os.close(handles.pop())
                del ancestors[1:]
        return _opened(handles[-1], path, ancestors, mounts)
    finally:
        for handle in handles:
            os.close(handle)


def open_target(path: bytes, mounts: Dict[int, Mount]) -> Target:
    """Where the absolute ``path`` leads, symlinks at its end followed too; the caller closes the folder.

    The name need not exist. Raises RescueError as `open_folder` does.
    """
    for _symlink in range(_MAX_SYMLINKS):
        parent, name = os.path.split(path)
        if name in (b"", b".", b".."):
            raise RescueError("%s does not name a file." % printable(path))
        folder = open_folder(parent, mounts)
        try:
            symlink = _symlink_target(folder, name, path)
        except (OSError, RescueError):
            os.close(folder.fd)
            raise
        if symlink is None:
            return Target(folder, name)
        os.close(folder.fd)
        path = os.path.join(folder.path, symlink)
    raise RescueError("%s leads through too many symlinks." % printable(path))


def _symlink_target(folder: Folder, name: bytes, path: bytes) -> Optional[bytes]:
    """Where the symlink ``name`` leads; None where it is no symlink, or nothing at all."""
    try:
        symlink = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RescueError("%s cannot be opened: %s." % (printable(path), error.strerror)) from error
    try:
        if stat.S_ISLNK(os.fstat(symlink).st_mode):
            return _believed_target(symlink, folder.ancestors, path)
        return None
    finally:
        os.close(symlink)


def _components(path: bytes) -> List[bytes]:
    """The components of ``path``, the first one last: a stack."""
    return [name for name in reversed(path.split(b"/")) if name not in (b"", b".")]


def _entered(handle: int, name: bytes, path: bytes) -> int:
    try:
        return os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=handle)
    except FileNotFoundError as error:
        raise RescueError(
            "The folder %s is not there any more (%s is missing): make it again with its old owner and mode, or "
            "restore elsewhere with dest." % (printable(path), printable(name)),
            ["folder_gone"],
        ) from error
    except NotADirectoryError as error:
        raise RescueError("%s is no folder." % printable(path)) from error
    except OSError as error:
        raise RescueError("The folder %s cannot be opened: %s." % (printable(path), error.strerror)) from error


def _believed_target(symlink: int, ancestors: List[Ancestor], path: bytes) -> bytes:
    """Where the symlink leads, if neither it nor a folder above it can be exchanged by others than root."""
    exchangeable = any(
        folder.uid != 0 or (folder.is_writable_by_others and not folder.is_roots_sticky) for folder in ancestors
    )
    if exchangeable or os.fstat(symlink).st_uid != 0:
        raise RescueError(
            "%s leads through a symlink in %s that others than root could have made: give the path that it leads to, "
            "if that is the right one." % (printable(path), printable(ancestors[-1].path)),
            reasons=["ancestor_writable"],
        )
    return os.readlink(b"", dir_fd=symlink)


def _ancestor(path: bytes, handle: int) -> Ancestor:
    result = os.fstat(handle)
    return Ancestor(path, result.st_uid, result.st_mode)


def _opened(handle: int, path: bytes, ancestors: List[Ancestor], mounts: Dict[int, Mount]) -> Folder:
    try:
        folder = os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    except NotADirectoryError as error:
        raise RescueError("%s is no folder." % printable(path)) from error
    except OSError as error:
        raise RescueError("The folder %s cannot be opened: %s." % (printable(path), error.strerror)) from error
    try:
        name = link_text(folder)
        mount = mounts.get(mount_id_of(folder))
        place = None if mount is None else _place.place_of(mount, name)
    except OSError:
        os.close(folder)
        raise
    return Folder(fd=folder, path=ancestors[-1].path, place=place, ancestors=ancestors)
