# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The nameless file that content is copied into: O_TMPFILE, or where that is missing one in a hidden, locked folder.

In a folder, since a file that is to get its name with its owner, its mode and perhaps setuid must have them before: the
folder (0700) keeps it from everybody while it waits, and after a run that was killed. What is replaced waits there for
its name as a backup.
"""

import binascii
import errno
import fcntl
import itertools
import os
import re
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import Iterator, NamedTuple, Optional, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, open_subfolder

# What a draft is called in its hidden folder.
DRAFT = b"draft"

# What a file is called that was replaced, as ansible's backups are: NAME.PID.YYYY-MM-DD@hh:mm:ss~
_BACKUP = re.compile(rb"(.+)\.[0-9]+\.[-0-9]{10}@[:0-9]{8}(?:-[0-9]+)?~\Z", re.S)

_PREFIX = b".procfs-rescue."
_NAME = re.compile(re.escape(_PREFIX) + rb"[0-9a-f]{16}\Z")


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
def staged_in(folder: int, token: bytes) -> Iterator[Draft]:
    """The draft that comes in several calls, known by ``token``, 16 hexadecimal digits; made at its first use.

    It stays until it is published with `unstage`, or until a run sweeps. Raises OSError.
    """
    name = _PREFIX + token
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    hidden = open_subfolder(name, folder)
    try:
        found = os.fstat(hidden)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        with suppress(OSError):
            fcntl.flock(hidden, fcntl.LOCK_EX)
        fd = os.open(DRAFT, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=hidden)
        try:
            yield Draft(fd, hidden)
        finally:
            close(fd)
    finally:
        close(hidden)


def unstage(folder: int, token: bytes) -> None:
    """Takes away what `staged_in` made."""
    with suppress(OSError):
        hidden = open_subfolder(_PREFIX + token, folder)
        _remove(_PREFIX + token, hidden, folder)
        close(hidden)


@contextmanager
def hidden_in(folder: int) -> Iterator[int]:
    """A new folder, 0700, in the opened ``folder``; the end takes it and the draft in it away. Raises OSError."""
    name, hidden = _new_hidden(folder)
    try:
        yield hidden
    finally:
        _remove(name, hidden, folder)
        close(hidden)


def _new_hidden(folder: int) -> Tuple[bytes, int]:
    while True:
        name = _PREFIX + binascii.hexlify(os.urandom(8))
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


def _remove(name: bytes, hidden: int, folder: int) -> bool:
    """Whether the hidden folder is gone; what else somebody put into it is not ours to delete."""
    with suppress(OSError):  # published, the draft is not there any more
        os.unlink(DRAFT, dir_fd=hidden)
    with suppress(OSError):
        os.rmdir(DRAFT, dir_fd=hidden)
    with suppress(OSError):
        if os.fstat(hidden).st_uid == os.geteuid():
            settle_backups(hidden, folder)
    with suppress(OSError):
        os.rmdir(name, dir_fd=folder)
        return True
    return False


def settle_backups(hidden: int, folder: int) -> None:
    """What waits in ``hidden`` gets its name as a backup in ``folder``, unless it was not replaced. Raises OSError."""
    for saved in map(os.fsencode, os.listdir(hidden)):
        replaced = backed_up(saved)
        if replaced is None:
            continue
        if not any(_is_same(name, folder, saved, hidden) for name in (replaced, saved)):
            os.link(saved, saved, src_dir_fd=hidden, dst_dir_fd=folder, follow_symlinks=False)
        os.unlink(saved, dir_fd=hidden)


def backup_names(name: bytes) -> Iterator[bytes]:
    """What the backup of ``name`` may be called; the first that is free is to be taken."""
    stamp = time.strftime("%Y-%m-%d@%H:%M:%S", time.localtime())
    for number in itertools.count():
        yield b"%s.%d.%s%s~" % (name, os.getpid(), stamp.encode("ascii"), b"-%d" % number if number else b"")


def backed_up(saved: bytes) -> Optional[bytes]:
    """The name of what is called like a backup, None where it is none."""
    match = _BACKUP.match(saved)
    return None if match is None else match.group(1)


def _is_same(name: bytes, folder: int, saved: bytes, hidden: int) -> bool:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.stat(saved, dir_fd=hidden, follow_symlinks=False))


def sweep_once(folder: int, swept: Set[Tuple[int, int]]) -> None:
    """`sweep`, unless ``swept`` says that it was done: many files may go to one folder with many names."""
    result = os.fstat(folder)
    if (result.st_dev, result.st_ino) not in swept:
        swept.add((result.st_dev, result.st_ino))
        sweep(folder)


def sweep(folder: int) -> int:
    """Removes what killed runs left in the opened ``folder``; returns how many hidden folders."""
    names = [name for name in map(os.fsencode, os.listdir(folder)) if _NAME.match(name)]
    return sum(_is_swept(name, folder) for name in names)


def _is_swept(name: bytes, folder: int) -> bool:
    """Removes a hidden folder that no living run has locked."""
    try:
        hidden = open_subfolder(name, folder)
    except OSError:
        return False
    try:
        fcntl.flock(hidden, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _remove(name, hidden, folder)
    except OSError:
        return False
    finally:
        close(hidden)
