# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""copy: the content into a nameless file beside its target, holes kept, by the shortest way the kernel offers."""

import errno
import fcntl
import os
from contextlib import suppress
from typing import Callable, Iterable, Iterator, List

from ansible_collections.procfs.rescue.plugins.module_utils._holes import data_ranges
from ansible_collections.procfs.rescue.plugins.module_utils._ioctl import FICLONE

# At once; and then the disk is given to do what would else be left to the sync at the end.
_CHUNK = 32 * 1024 * 1024
_BUFFER = 1024 * 1024

# The kernel does not offer this way here, another one may do.
_UNSUPPORTED = (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.ETXTBSY, errno.EPERM)


def clone_content(source: int, target: int) -> bool:
    """Makes the empty ``target`` share the blocks of ``source``, at one moment; False where that cannot be."""
    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False
    return True


def copy_content(source: int, target: int) -> None:
    """Makes the content of ``target`` that of ``source``, both descriptors.

    A source that changes meanwhile gives a mixture: only digests tell afterwards. Raises OSError (ENOSPC, EIO).
    """
    os.ftruncate(target, 0)
    size = os.fstat(source).st_size
    begun = 0
    for start, end in data_ranges(source, 0, size):
        for offset in _copy_range(source, target, start, end):
            if offset - begun >= _CHUNK:
                start_writing(target, begun, offset - begun)
                begun = offset
    os.ftruncate(target, size)


def start_writing(fd: int, offset: int = 0, count: int = 0) -> None:
    """The kernel begins to write ``count`` bytes of a file, or all of it, to its disk, and nobody waits for it.

    That is what it does about pages that are not needed and not written yet (mm/fadvise.c).
    """
    with suppress(AttributeError, OSError):  # another system's
        os.posix_fadvise(fd, offset, count, os.POSIX_FADV_DONTNEED)


def write_content(pieces: Iterable[bytes], target: int) -> int:
    """Appends ``pieces`` to ``target``, what is all zeros as a hole; returns its size in bytes. Raises OSError."""
    size = os.fstat(target).st_size
    for piece in pieces:
        if piece.strip(b"\0"):
            view = memoryview(piece)
            while view:
                done = os.pwrite(target, view, size)
                size += done
                view = view[done:]
        else:
            size += len(piece)
    os.ftruncate(target, size)
    return size


def _copy_range(source: int, target: int, start: int, end: int) -> Iterator[int]:
    """How far it came, again and again."""
    offset = start
    for way in _WAYS:
        try:
            while offset < end:
                done = way(source, target, offset, end - offset)
                if not done:
                    break
                offset += done
                yield offset
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        if offset >= end:
            return


def _in_kernel(source: int, target: int, offset: int, count: int) -> int:
    return os.copy_file_range(source, target, min(count, _CHUNK), offset, offset)


def _sendfile(source: int, target: int, offset: int, count: int) -> int:
    os.lseek(target, offset, os.SEEK_SET)
    return os.sendfile(target, source, offset, min(count, _CHUNK))


def _read_write(source: int, target: int, offset: int, count: int) -> int:
    return os.pwrite(target, os.pread(source, min(count, _BUFFER), offset), offset)


# copy_file_range came to Python with 3.8.
_WAYS: List[Callable[[int, int, int, int], int]] = [_in_kernel] if hasattr(os, "copy_file_range") else []
_WAYS += [_sendfile, _read_write]
