# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""publish: the complete, verified file gets its name in one step, never over a newer file unless asked to."""

import errno
import os
from contextlib import suppress
from typing import List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._draft import (
    DRAFT,
    Draft,
    backup_names,
    hidden_in,
    settle_backups,
)
from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, open_subfolder
from ansible_collections.procfs.rescue.plugins.module_utils._model import Made, Missing

# renameat2(2), Linux 3.15.
_RENAME_NOREPLACE = 1

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


class NotSyncedError(OSError):
    """The name holds the file, but nobody knows whether it will after a crash."""


class NotSavedError(OSError):
    """The name holds the file, but the one that it replaced still waits in its hidden folder to become a backup."""


class NotKnownError(OSError):
    """The connection ended in the moment in which the name got the file, or did not."""


class Linked(NamedTuple):
    """``backup`` is the name of what was replaced, if it was wanted and needed."""

    backup: Optional[bytes] = None


def link_again(fd: int, folder: int, name: bytes, replacing: bool, backup: bool) -> Optional[Linked]:
    """Gives the inode of ``fd`` itself the name ``name`` in the opened ``folder``; None where that cannot be.

    The kernel allows it only while another link is left. Raises FileExistsError unless ``replacing``, NotSavedError.
    """
    if replacing and is_named(fd, folder, name):  # rename(2) of two links to one file would leave both
        return Linked()
    saved = None
    try:
        if replacing:
            with hidden_in(folder) as hidden:
                _link(fd, hidden, DRAFT)
                saved = _replace(hidden, folder, name, backup)
        else:
            _link(fd, folder, name)
    except (FileExistsError, NotSavedError):
        raise
    except OSError:
        return None
    _sync(folder)
    return Linked(saved)


def publish(draft: Draft, folder: int, name: bytes) -> None:
    """Names the draft. Raises FileExistsError where the name came back meanwhile: that file wins."""
    os.fsync(draft.fd)
    try:
        _link(draft.fd, folder, name)
    except OSError as error:
        if draft.hidden is None or error.errno not in _NO_LINKS:
            raise
        _rename_without_replacing(draft.hidden, folder, name)
    _sync(folder)


def replace(draft: Draft, folder: int, name: bytes, backup: bool) -> Optional[bytes]:
    """Names the draft even where the name is taken; returns the name of the backup, if one was wanted and needed.

    Raises NotSavedError.
    """
    os.fsync(draft.fd)
    if draft.hidden is None:
        with hidden_in(folder) as hidden:
            _link(draft.fd, hidden, DRAFT)
            saved = _replace(hidden, folder, name, backup)
    else:
        saved = _replace(draft.hidden, folder, name, backup)
    _sync(folder)
    return saved


def make_folders(folder: int, missing: Sequence[Missing]) -> Tuple[int, List[Made]]:
    """Makes folders in the opened ``folder``, one in another; returns a descriptor of the last one.

    Owner and mode that nobody recorded are those of the folder around it, but nobody else may write there.
    Raises OSError; then none of them is left.
    """
    made: List[Made] = []
    last = os.dup(folder)
    try:
        for one in missing:
            around = os.fstat(last)
            owned = to_make(one, around.st_uid, around.st_gid, around.st_mode)
            with hidden_in(last) as hidden:  # else its owner could exchange it before it is given away
                os.mkdir(DRAFT, 0o700, dir_fd=hidden)
                new = open_subfolder(DRAFT, hidden)
                try:
                    os.fchown(new, owned.uid, owned.gid)
                    os.fchmod(new, owned.mode)
                    _rename_without_replacing(hidden, last, owned.path)
                except OSError:
                    close(new)
                    raise
            made.append(owned)
            around_it, last = last, new
            try:
                _sync(around_it)
            finally:
                close(around_it)
    except OSError:
        close(last)
        unmake_folders(folder, made)
        raise
    return last, made


def unmake_folders(folder: int, made: Sequence[Made]) -> None:
    """Takes folders away again that `make_folders` made in the opened ``folder``, as far as nothing is in them."""
    if made:
        with suppress(OSError):
            inner = open_subfolder(made[0].path, folder)
            unmake_folders(inner, made[1:])
            close(inner)
            os.rmdir(made[0].path, dir_fd=folder)


def to_make(missing: Missing, uid: int, gid: int, mode: int) -> Made:
    """What a missing folder is to be like in one with that owner, group and mode."""
    if missing.recorded is None:
        return Made(missing.name, uid, gid, folder_mode(mode))
    return Made(missing.name, *missing.recorded)


def folder_mode(around: int) -> int:
    """The permissions of a new folder in one with the mode ``around``."""
    return around & 0o2755


def is_named(fd: int, folder: int, name: bytes) -> bool:
    """Whether ``name`` in the opened ``folder`` is the very file of ``fd``."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))


def _sync(folder: int) -> None:
    """Raises NotSyncedError."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not sync folders
            raise NotSyncedError(error.errno, error.strerror) from error


def _link(fd: int, folder: int, name: bytes) -> None:
    # Without dir_fd Python does not ask to follow the magic link, and the error would be a misleading EXDEV.
    os.link(b"/proc/self/fd/%d" % fd, name, dst_dir_fd=folder)


def _replace(hidden: int, folder: int, name: bytes, backup: bool) -> Optional[bytes]:
    """Killed at any moment, what was replaced is a backup or becomes one in the next run."""
    saved = _saved(hidden, folder, name) if backup else None
    os.rename(DRAFT, name, src_dir_fd=hidden, dst_dir_fd=folder)
    try:
        if saved is not None:
            settle_backups(hidden, folder)
    except OSError as error:
        raise NotSavedError(error.errno, error.strerror) from error
    return saved


def _saved(hidden: int, folder: int, name: bytes) -> Optional[bytes]:
    """A second link in ``hidden`` to the file that has the name, called as its backup is to be."""
    for saved in backup_names(name):
        with suppress(FileNotFoundError):
            os.stat(saved, dir_fd=folder, follow_symlinks=False)
            continue
        try:
            os.link(name, saved, src_dir_fd=folder, dst_dir_fd=hidden, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return saved
    return None


def _rename_without_replacing(hidden: int, folder: int, name: bytes) -> None:
    """For folders, and file systems without hard links, such as vfat. Python has no renameat2."""
    import ctypes  # a Python without libffi has none, and only this needs it

    # glibc has it from 2.28.
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    if renameat2(hidden, DRAFT, folder, name, _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)
