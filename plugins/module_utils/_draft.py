# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The nameless file that content is copied into: O_TMPFILE, or where that is missing a hidden, locked, private one."""

import binascii
import fcntl
import os
import re
import stat
from contextlib import contextmanager, suppress
from typing import Iterator, NamedTuple, Optional, Set, Tuple

_PREFIX = b".procfs-rescue."
_NAME = re.compile(re.escape(_PREFIX) + rb"[0-9a-f]{16}\Z")


class Draft(NamedTuple):
    """``name`` is None while the file has no name at all, as with O_TMPFILE."""

    fd: int
    name: Optional[bytes]


@contextmanager
def draft_in(folder: int) -> Iterator[Draft]:
    """An empty file in the opened ``folder``, 0600; unless published by then, the end takes it away. Raises OSError."""
    draft = _new_draft(folder)
    try:
        yield draft
    finally:
        if draft.name is not None:
            with suppress(OSError):  # published, it has that name no more
                os.unlink(draft.name, dir_fd=folder)
        os.close(draft.fd)


def _new_draft(folder: int) -> Draft:
    while True:
        try:
            draft = Draft(os.open(b".", os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600, dir_fd=folder), None)
        except OSError:  # EOPNOTSUPP, EISDIR or EINVAL, as the file system likes; a real fault shows again below
            name = draft_name()
            flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            draft = Draft(os.open(name, flags, 0o600, dir_fd=folder), name)
        # Tells a run that sweeps that this one is alive; one that swept in between took the name.
        with suppress(OSError):  # no locks here: then no run sweeps here either
            fcntl.flock(draft.fd, fcntl.LOCK_EX)
        if draft.name is None or os.fstat(draft.fd).st_nlink:
            return draft
        os.close(draft.fd)


def draft_name() -> bytes:
    return _PREFIX + binascii.hexlify(os.urandom(8))


def sweep_once(folder: int, swept: Set[Tuple[int, int]]) -> None:
    """`sweep`, unless ``swept`` says that it was done: many files may go to one folder with many names."""
    result = os.fstat(folder)
    if (result.st_dev, result.st_ino) not in swept:
        swept.add((result.st_dev, result.st_ino))
        sweep(folder)


def sweep(folder: int) -> int:
    """Removes what a killed run left in the opened ``folder``; returns how many files."""
    removed = 0
    for name in os.listdir(folder):
        if _NAME.match(os.fsencode(name)) and _is_debris(name, folder):
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)
                removed += 1
    return removed


def _is_debris(name: str, folder: int) -> bool:
    """A regular file, whoever owns it (it may have had its last owner by then), that no living run has locked."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return stat.S_ISREG(os.fstat(fd).st_mode)
    except OSError:
        return False
    finally:
        os.close(fd)
