# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The hidden folders in which drafts and backups wait for their names, by whichever way leads to them.

What is done is one piece of code; how it is done on this host is in `_draft`.
"""

import binascii
import errno
import itertools
import os
import re
import time
from contextlib import suppress
from typing import Callable, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple

# What a draft is called in its hidden folder.
DRAFT = b"draft"

# For our own, of which nobody else knows.
PAUSES = (0.01, 0.05, 0.2, 0.5)

# rmdir(2); over SFTP no more is known.
_NOT_EMPTY = (errno.ENOTEMPTY, errno.EEXIST, errno.EREMOTEIO)

# What libfuse calls a file that is deleted while it is open.
_KEPT = b".fuse_hidden"

PREFIX = b".procfs-rescue."

_NAME = re.compile(re.escape(PREFIX) + rb"[0-9a-f]{16}\Z")

# What a file is called that was replaced, as ansible's backups are: NAME.PID.YYYY-MM-DD@hh:mm:ss~
_BACKUP = re.compile(rb"(.+)\.[0-9]+\.[-0-9]{10}@[:0-9]{8}(?:-[0-9]+)?~\Z", re.S)


class Entries(NamedTuple):
    """How names in opened folders are dealt with; what a name is in comes after it. All raise OSError."""

    names: Callable[[int], Iterable[bytes]]
    subfolder: Callable[[bytes, int], int]
    close: Callable[[int], None]
    # (uid, gid, mode) of an opened folder.
    owner_and_mode: Callable[[int], Tuple[int, int, int]]
    # Whether it belongs to us.
    is_ours: Callable[[int], bool]
    # Whether a hidden folder, its name and it opened, belongs to no run that lives.
    is_left: Callable[[bytes, int], bool]
    is_there: Callable[[bytes, int], bool]
    # Whether two names are of the very same file.
    is_same: Callable[[bytes, int, bytes, int], bool]
    # link(2), rename(2): from one name to the other; only the second replaces.
    link: Callable[[bytes, int, bytes, int], None]
    rename: Callable[[bytes, int, bytes, int], None]
    unlink: Callable[[bytes, int], None]
    rmdir: Callable[[bytes, int], None]


def new_name() -> bytes:
    return PREFIX + binascii.hexlify(os.urandom(8))


def sweep(folder: int, entries: Entries) -> int:
    """Removes what killed runs left in the opened ``folder``; returns how many hidden folders. Raises OSError."""
    names = [name for name in entries.names(folder) if _NAME.match(name)]
    return sum(_is_swept(name, folder, entries) for name in names)


def _is_swept(name: bytes, folder: int, entries: Entries) -> bool:
    try:
        hidden = entries.subfolder(name, folder)
    except OSError:
        return False
    try:
        return entries.is_left(name, hidden) and remove_hidden(name, hidden, folder, entries)
    except OSError:
        return False
    finally:
        entries.close(hidden)


def remove_hidden(name: bytes, hidden: int, folder: int, entries: Entries, pauses: Sequence[float] = ()) -> bool:
    """Whether the hidden folder is gone; what else somebody put into it is not ours to delete.

    With ``pauses``, in seconds, it is tried again: a FUSE file system may hear of the draft's close(2) only later, and
    keeps it there by another name until then, or for ever if it hears of it at the same moment (libfuse's hide_node).
    """
    with suppress(OSError):  # published, the draft is not there any more
        entries.unlink(DRAFT, hidden)
    with suppress(OSError):
        entries.rmdir(DRAFT, hidden)
    is_ours = False
    with suppress(OSError):
        is_ours = entries.is_ours(hidden)
        if is_ours:
            settle_backups(hidden, folder, entries)
    for pause in (*pauses, None):
        try:
            entries.rmdir(name, folder)
            return True
        except OSError as error:
            if error.errno not in _NOT_EMPTY:
                return False
        if pause is not None:
            time.sleep(pause)
    with suppress(OSError):
        if is_ours and _are_kept_drafts_gone(hidden, entries):
            entries.rmdir(name, folder)
            return True
    return False


def _are_kept_drafts_gone(hidden: int, entries: Entries) -> bool:
    """Whether there were any, by libfuse's names for what is deleted and open. Raises OSError."""
    kept = [name for name in entries.names(hidden) if name.startswith(_KEPT)]
    for name in kept:
        entries.unlink(name, hidden)
    return bool(kept)


def settle_backups(hidden: int, folder: int, entries: Entries) -> None:
    """What waits in ``hidden`` gets its name as a backup in ``folder``, unless it was not replaced. Raises OSError."""
    for saved in entries.names(hidden):
        replaced = _backed_up(saved)
        if replaced is None:
            continue
        if not any(entries.is_same(name, folder, saved, hidden) for name in (replaced, saved)):
            entries.link(saved, hidden, saved, folder)
        entries.unlink(saved, hidden)


def backup_names(name: bytes) -> Iterator[bytes]:
    """What the backup of ``name`` may be called; the first that is free is to be taken."""
    stamp = time.strftime("%Y-%m-%d@%H:%M:%S", time.localtime())
    for number in itertools.count():
        yield b"%s.%d.%s%s~" % (name, os.getpid(), stamp.encode("ascii"), b"-%d" % number if number else b"")


def _backed_up(saved: bytes) -> Optional[bytes]:
    """The name of what is called like a backup, None where it is none."""
    match = _BACKUP.match(saved)
    return None if match is None else match.group(1)
