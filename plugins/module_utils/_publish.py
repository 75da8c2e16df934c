# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""publish: the complete, verified file gets its name in one step, never over a newer file unless asked to."""

import errno
import os
from typing import Callable, NamedTuple, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._draft import ENTRIES, Draft, hidden_in
from ansible_collections.procfs.rescue.plugins.module_utils._hidden import DRAFT, Entries, backup_names, settle_backups

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


def sync(folder: int) -> None:
    """Makes the names in an opened folder last. Raises NotSyncedError."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not sync folders
            raise NotSyncedError(error.errno, error.strerror) from error


def link_again(
    fd: int, folder: int, name: bytes, replacing: bool, backup: bool, sync: Callable[[int], None] = sync
) -> Optional[Linked]:
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
                saved = name_over(hidden, folder, name, backup, ENTRIES)
        else:
            _link(fd, folder, name)
    except (FileExistsError, NotSavedError):
        raise
    except OSError:
        return None
    sync(folder)
    return Linked(saved)


def publish(
    draft: Draft, folder: int, name: bytes, sync: Callable[[int], None] = sync, is_synced: bool = False
) -> None:
    """Names the draft; ``sync`` makes that last. Raises FileExistsError where the name came back: that file wins."""
    if not is_synced:
        os.fsync(draft.fd)
    try:
        _link(draft.fd, folder, name)
    except OSError as error:
        if draft.hidden is None or error.errno not in _NO_LINKS:
            raise
        rename_without_replacing(draft.hidden, folder, name)
    sync(folder)


def replace(
    draft: Draft, folder: int, name: bytes, backup: bool, sync: Callable[[int], None] = sync
) -> Optional[bytes]:
    """Names the draft even where the name is taken; returns the name of the backup, if one was wanted and needed.

    Raises NotSavedError.
    """
    os.fsync(draft.fd)
    if draft.hidden is None:
        with hidden_in(folder) as hidden:
            _link(draft.fd, hidden, DRAFT)
            saved = name_over(hidden, folder, name, backup, ENTRIES)
    else:
        saved = name_over(draft.hidden, folder, name, backup, ENTRIES)
    sync(folder)
    return saved


def name_over(hidden: int, folder: int, name: bytes, backup: bool, entries: Entries) -> Optional[bytes]:
    """Names the draft in ``hidden`` even where the name is taken; returns the name of the backup, if there is one.

    Killed at any moment, what was replaced is a backup or becomes one in the next run. Raises OSError, NotSavedError.
    """
    saved = _saved(hidden, folder, name, entries) if backup else None
    entries.rename(DRAFT, hidden, name, folder)
    try:
        if saved is not None:
            settle_backups(hidden, folder, entries)
    except OSError as error:
        raise NotSavedError(error.errno, error.strerror) from error
    return saved


def _saved(hidden: int, folder: int, name: bytes, entries: Entries) -> Optional[bytes]:
    """A second link in ``hidden`` to the file that has the name, called as its backup is to be."""
    saved = next(one for one in backup_names(name) if not entries.is_there(one, folder))
    try:
        entries.link(name, folder, saved, hidden)
    except FileNotFoundError:
        return None
    return saved


def is_named(fd: int, folder: int, name: bytes) -> bool:
    """Whether ``name`` in the opened ``folder`` is the very file of ``fd``."""
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(fd))


def rename_without_replacing(hidden: int, folder: int, name: bytes) -> None:
    """Gives `DRAFT` in ``hidden`` its name: for folders, and file systems without hard links, such as vfat.

    Python has no renameat2.
    """
    try:
        import ctypes  # a Python without libffi has none, and only this needs it
    except ImportError as error:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name) from error

    # glibc has it from 2.28.
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), name)
    if renameat2(hidden, DRAFT, folder, name, _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), name)


def _link(fd: int, folder: int, name: bytes) -> None:
    # Without dir_fd Python does not ask to follow the magic link, and the error would be a misleading EXDEV.
    os.link(b"/proc/self/fd/%d" % fd, name, dst_dir_fd=folder)
