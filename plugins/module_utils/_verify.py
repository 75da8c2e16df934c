# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""verify: digests of opened descriptors, computed in one pass and constant memory."""

import hashlib
import os
from typing import Any, Dict, Iterable, Iterator, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._holes import data_ranges

_CHUNK = 1024 * 1024
_ZEROS = bytes(64 * 1024)

ALGORITHMS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")


def digests(fd: int, algorithms: Iterable[str], size: Optional[int] = None) -> Dict[str, str]:
    """Hex digests of the content of ``fd`` by algorithm, of as much as `content` gives."""
    return digests_of(content(fd, size), algorithms)


def digests_of(pieces: Iterable[bytes], algorithms: Iterable[str]) -> Dict[str, str]:
    """Hex digests of all ``pieces`` together."""
    hashes = {algorithm: new_hash(algorithm) for algorithm in algorithms}
    for piece in pieces:
        for state in hashes.values():
            state.update(piece)
    return {algorithm: state.hexdigest() for algorithm, state in hashes.items()}


def content(fd: int, size: Optional[int] = None) -> Iterator[bytes]:
    """The first ``size`` bytes of ``fd``, or as many as it has now, piece by piece; a file may grow without an end.

    The file offset is neither used nor changed.
    """
    return _pieces(fd, 0, os.fstat(fd).st_size if size is None else size)


def _pieces(fd: int, offset: int, end: int) -> Iterator[bytes]:
    while offset < end:
        piece = os.pread(fd, min(_CHUNK, end - offset), offset)
        if not piece:
            return
        yield piece
        offset += len(piece)


def draft_digests(fd: int, algorithms: Iterable[str]) -> Dict[str, str]:
    """As `digests`, of what we wrote ourselves: what is a hole there is not read. That takes longer than its digest.

    Whether the file system told the holes of a source right, when it was copied, only all of its content shows.
    """
    return digests_of(_without_holes(fd), algorithms)


def _without_holes(fd: int) -> Iterator[bytes]:
    size = os.fstat(fd).st_size
    before = 0
    for start, end in data_ranges(fd, 0, size):
        yield from _zeros(start - before)
        yield from _pieces(fd, start, end)
        before = end
    yield from _zeros(size - before)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield _ZEROS[:count]
        count -= len(_ZEROS)


def parsed_checksum(text: str) -> Tuple[str, str]:
    """(algorithm, hex digest) of a checksum as in ansible.builtin.get_url: ``sha256:HEX``. Raises RescueError."""
    algorithm, separator, digest = text.strip().lower().partition(":")
    if not separator or algorithm not in ALGORITHMS:
        raise RescueError("checksum must be ALGORITHM:HEX with one of %s; it is %r." % (", ".join(ALGORITHMS), text))
    if len(digest) != 2 * new_hash(algorithm).digest_size or any(char not in "0123456789abcdef" for char in digest):
        raise RescueError("checksum %r is no %s digest in hexadecimal." % (text, algorithm))
    return algorithm, digest


def new_hash(algorithm: str) -> Any:
    try:
        return hashlib.new(algorithm, usedforsecurity=False)  # Python 3.9: a FIPS host knows MD5 for records, too
    except TypeError:
        return hashlib.new(algorithm)
