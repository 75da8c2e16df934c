# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The nameless file that content is copied into: O_TMPFILE, or where that is missing one in a hidden, locked folder.

In a folder, since a file that is to get its name with its owner, its mode and perhaps setuid must have them before: the
folder (0700) keeps it from everybody while it waits, and after a run that was killed. What is replaced waits there for
its name as a backup.
"""

import errno
import fcntl
import os
from contextlib import ExitStack, contextmanager, suppress
from typing import Iterator, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, open_subfolder
from ansible_collections.procfs.rescue.plugins.module_utils._hidden import (
    DRAFT,
    PAUSES,
    PREFIX,
    Entries,
    new_name,
    remove_hidden,
    sweep,
)


class Draft(NamedTuple):
    """``hidden`` is the opened folder in which it is called DRAFT, None while it has no name at all."""

    fd: int
    hidden: Optional[int]


@contextmanager
def draft_in(folder: int, nameless: bool = False) -> Iterator[Draft]:
    """An empty file, 0600, to be published in the opened ``folder``; the end takes it away if it was not.

    Raises OSError, also where it is to be ``nameless`` and cannot be.
    """
    with ExitStack() as stack:
        hidden = None
        try:
            fd = os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder)
        except OSError:  # EOPNOTSUPP, EISDIR or EINVAL, as the file system likes; a real fault shows again below
            if nameless:
                raise
            hidden = stack.enter_context(hidden_in(folder))
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(DRAFT, flags, 0o600, dir_fd=hidden)
        stack.callback(close, fd)
        yield Draft(fd, hidden)


@contextmanager
def staging_in(folder: int, token: bytes) -> Iterator[int]:
    """The hidden folder of a draft that comes in several calls, known by ``token``, 16 hexadecimal digits.

    It is made at its first use, no run sweeps it before the end, and it stays until `unstage`, or until a run sweeps.
    Raises OSError.
    """
    name = PREFIX + token
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    hidden = open_subfolder(name, folder)
    try:
        found = os.fstat(hidden)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        with suppress(OSError):
            fcntl.flock(hidden, fcntl.LOCK_EX)
        yield hidden
    finally:
        close(hidden)


@contextmanager
def staged_in(hidden: int) -> Iterator[Draft]:
    """The draft in what `staging_in` gave, made at its first use. Raises OSError."""
    fd = os.open(DRAFT, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=hidden)
    try:
        # What was refused as one peer has it must have nothing of that as another one has it.
        with suppress(OSError):
            for name in os.listxattr(fd):
                with suppress(OSError):
                    os.removexattr(fd, name)
        yield Draft(fd, hidden)
    finally:
        close(fd)


def unstage(folder: int, token: bytes) -> None:
    """Takes away what `staging_in` made."""
    with suppress(OSError):
        hidden = open_subfolder(PREFIX + token, folder)
        remove_hidden(PREFIX + token, hidden, folder, ENTRIES, PAUSES)
        close(hidden)


@contextmanager
def hidden_in(folder: int) -> Iterator[int]:
    """A new folder, 0700, in the opened ``folder``; the end takes it and the draft in it away. Raises OSError."""
    name, hidden = _new_hidden(folder)
    try:
        yield hidden
    finally:
        remove_hidden(name, hidden, folder, ENTRIES, PAUSES)
        close(hidden)


def _new_hidden(folder: int) -> Tuple[bytes, int]:
    while True:
        name = new_name()
        os.mkdir(name, 0o700, dir_fd=folder)
        try:
            hidden = open_subfolder(name, folder)
        except FileNotFoundError:  # another run swept in between
            continue
        # Tells a run that sweeps that this one is alive.
        with suppress(OSError):  # no locks here: then no run sweeps here either
            fcntl.flock(hidden, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(hidden)):
                return name, hidden
        os.close(hidden)


def sweep_once(folder: int, swept: Set[Tuple[int, int]]) -> None:
    """`sweep`, unless ``swept`` says that it was done: many files may go to one folder with many names."""
    result = os.fstat(folder)
    if (result.st_dev, result.st_ino) not in swept:
        swept.add((result.st_dev, result.st_ino))
        sweep(folder, ENTRIES)


def _names(folder: int) -> List[bytes]:
    return list(map(os.fsencode, os.listdir(folder)))


def _owner_and_mode(folder: int) -> Tuple[int, int, int]:
    found = os.fstat(folder)
    return found.st_uid, found.st_gid, found.st_mode


def _is_left(_name: bytes, hidden: int) -> bool:
    """No living run has it locked."""
    fcntl.flock(hidden, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return True


def _is_there(name: bytes, folder: int) -> bool:
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def _is_same(name: bytes, folder: int, other: bytes, its_folder: int) -> bool:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.stat(other, dir_fd=its_folder, follow_symlinks=False))


ENTRIES = Entries(
    names=_names,
    subfolder=open_subfolder,
    close=close,
    owner_and_mode=_owner_and_mode,
    is_ours=lambda folder: os.fstat(folder).st_uid == os.geteuid(),
    is_left=_is_left,
    is_there=_is_there,
    is_same=_is_same,
    link=lambda old, its, new, folder: os.link(old, new, src_dir_fd=its, dst_dir_fd=folder, follow_symlinks=False),
    rename=lambda old, its, new, folder: os.rename(old, new, src_dir_fd=its, dst_dir_fd=folder),
    unlink=lambda name, folder: os.unlink(name, dir_fd=folder),
    rmdir=lambda name, folder: os.rmdir(name, dir_fd=folder),
)
