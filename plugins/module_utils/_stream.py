# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The content of files as one stream of frames: what the host sends, and what the controller understands.

A frame is its type and a number of 8 bytes, the highest byte first. After ``MAGIC`` there may be one ABOUT (JSON of
that many bytes: what was chosen). Then for each file there is one START, with the offset at which the sender begins,
DATA (that many bytes follow) and HOLE (that many zeros, which are not sent), and at last END (JSON), or FAILED (JSON)
from where on it could not be read. Whoever reads no END has no whole file.
"""

import fcntl
import hashlib
import json
import os
import struct
from contextlib import suppress
from typing import Any, Dict, NamedTuple, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._holes import data_ranges
from ansible_collections.procfs.rescue.plugins.module_utils._verify import content

# A shell, sudo or a banner may say something first.
MAGIC = b"\0procfs.rescue stream 1\n"

HEAD = struct.Struct("!cQ")

ABOUT, START, DATA, HOLE, END, FAILED = b"A", b"S", b"D", b"H", b"E", b"F"

# Bytes of JSON at most.
LARGEST = 1024 * 1024

# Bytes of DATA at most: read, hashed and sent while they are in the processor's cache.
PIECE = 256 * 1024
_ZEROS = bytes(PIECE)

# Bytes that the pipe to sshd holds, so that both processes get on (fcntl(2), F_SETPIPE_SZ, which Python 3.6 lacks).
_PIPE, _SET_PIPE_SIZE = 1024 * 1024, 1031


class Kept(NamedTuple):
    """What the receiver has already: so many bytes from the beginning, with this sha256."""

    offset: int
    sha256: str


NOTHING = Kept(0, hashlib.sha256().hexdigest())


def begin(out: int) -> None:
    """Before the first frame on ``out``."""
    with suppress(OSError):  # no pipe, or the user's limit is reached
        fcntl.fcntl(out, _SET_PIPE_SIZE, _PIPE)
    _write(out, MAGIC)


def tell(out: int, kind: bytes, what: Dict[str, Any]) -> None:
    """An ABOUT, END or FAILED."""
    text = json.dumps(what).encode("ascii")
    _write(out, HEAD.pack(kind, len(text)), text)


def send(fd: int, size: int, out: int, kept: Kept = NOTHING) -> None:
    """Writes the first ``size`` bytes of ``fd`` to ``out``, or what is left to send if ``kept`` is its beginning.

    The END tells ``size`` (how much there was), ``sha256`` of it all, and ``changed``: whether the file was written to
    meanwhile, so that what was read is no state that it ever had, or lacks what was added. Raises OSError.
    """
    before = stamp(fd)
    digest, at = _begun(fd, size, kept)
    _write(out, HEAD.pack(START, at))
    piece = bytearray(PIECE)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        for start, end in data_ranges(fd, at, size):
            _hole(out, digest, start - at)
            at = start
            file.seek(start)
            while at < end:
                count = file.readinto(memoryview(piece)[: end - at]) or 0
                if not count:  # it was truncated
                    break
                if count == PIECE and piece == _ZEROS:
                    _hole(out, digest, count)
                else:
                    digest.update(memoryview(piece)[:count])
                    _write(out, HEAD.pack(DATA, count), memoryview(piece)[:count])
                at += count
    size = min(size, max(at, os.fstat(fd).st_size))  # it may have been truncated
    _hole(out, digest, size - at)
    tell(out, END, {"size": size, "sha256": digest.hexdigest(), "changed": before != stamp(fd)})


def _begun(fd: int, size: int, kept: Kept) -> Tuple[Any, int]:
    """The hash of what need not be sent, and how much that is."""
    digest = hashlib.sha256()
    if 0 < kept.offset <= size:
        for piece in content(fd, kept.offset):
            digest.update(piece)
        if digest.hexdigest() == kept.sha256:
            return digest, kept.offset
    return hashlib.sha256(), 0


def stamp(fd: int) -> Tuple[int, int, int]:
    """What is another when the file was written to."""
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hole(out: int, digest: Any, count: int) -> None:
    if count > 0:
        _write(out, HEAD.pack(HOLE, count))
        add_zeros(digest, count)


def add_zeros(digest: Any, count: int) -> None:
    """To a hash, as many bytes that are 0."""
    for left in range(count, 0, -PIECE):
        digest.update(_ZEROS if left >= PIECE else memoryview(_ZEROS)[:left])


def _write(out: int, *parts: Any) -> None:
    """All of it: a pipe takes as much as it has room for."""
    done = os.writev(out, parts)
    for part in parts:
        left = memoryview(part)[done:]
        done = max(0, done - len(part))
        while left:
            left = left[os.write(out, left) :]


def parsed(text: bytes) -> Dict[str, Any]:
    """The JSON of an ABOUT or FAILED. Raises ValueError."""
    try:
        told = json.loads(text.decode("ascii"))
    except RecursionError as error:
        raise ValueError("it is too deep") from error
    if not isinstance(told, dict):
        raise ValueError("it is no object")
    return told


def parsed_end(text: bytes) -> Dict[str, Any]:
    """Raises ValueError."""
    end = parsed(text)
    try:
        return {"size": int(end["size"]), "sha256": str(end["sha256"]), "changed": bool(end["changed"])}
    except (KeyError, TypeError, OverflowError) as error:
        raise ValueError("it does not say what an end says") from error
