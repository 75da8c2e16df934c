# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The content of a file as one stream of frames: what the host sends, and what the controller understands.

A frame is its type and a number of 8 bytes, the highest byte first. After ``MAGIC`` there is one START, with the offset
at which the sender begins, then DATA (that many bytes follow) and HOLE (that many zeros, which are not sent), and at
last END (JSON of that many bytes). Whoever reads no END has no whole file.
"""

import fcntl
import json
import os
import struct
from contextlib import suppress
from typing import Any, Dict, NamedTuple, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._copy import data_ranges
from ansible_collections.procfs.rescue.plugins.module_utils._hashing import Sha256
from ansible_collections.procfs.rescue.plugins.module_utils._verify import content

# A shell, sudo or a banner may say something first.
MAGIC = b"\0procfs.rescue stream 1\n"

HEAD = struct.Struct("!cQ")

START, DATA, HOLE, END = b"S", b"D", b"H", b"E"

# Bytes of a DATA frame at most: what each end holds of a file at any time.
LARGEST = 1024 * 1024

# Bytes that the pipe to sshd holds, so that both processes get on (fcntl(2), F_SETPIPE_SZ, which Python 3.6 lacks).
_PIPE, _SET_PIPE_SIZE = 1024 * 1024, 1031


class Kept(NamedTuple):
    """What the receiver has already: so many bytes from the beginning, with this sha256."""

    offset: int
    sha256: str


def send(fd: int, size: int, out: int, kept: Kept) -> None:
    """Writes the first ``size`` bytes of ``fd`` to ``out``, or what is left to send if ``kept`` is its beginning.

    The END tells ``size`` (how much there was), ``sha256`` of it all, and ``changed``: whether the file was written to
    meanwhile, so that what was read is no state that it ever had, or lacks what was added. Raises OSError.
    """
    with suppress(OSError):  # no pipe, or the user's limit is reached
        fcntl.fcntl(out, _SET_PIPE_SIZE, _PIPE)
    before = _stamp(fd)
    digest, at = _begun(fd, size, kept)
    _write(out, MAGIC + HEAD.pack(START, at))
    for start, end in data_ranges(fd, at, size):
        _hole(out, digest, start - at)
        at = start
        while at < end:
            piece = os.pread(fd, min(LARGEST, end - at), at)
            if not piece:  # it was truncated
                break
            digest.update(piece)
            _write(out, HEAD.pack(DATA, len(piece)), piece)
            at += len(piece)
    size = min(size, max(at, os.fstat(fd).st_size))  # it may have been truncated
    _hole(out, digest, size - at)
    told = {"size": size, "sha256": digest.hexdigest(), "changed": before != _stamp(fd)}
    answer = json.dumps(told).encode("ascii")
    _write(out, HEAD.pack(END, len(answer)) + answer)


def _begun(fd: int, size: int, kept: Kept) -> Tuple[Sha256, int]:
    """The hash of what need not be sent, and how much that is."""
    digest = Sha256()
    if 0 < kept.offset <= size:
        for piece in content(fd, kept.offset):
            digest.update(piece)
        if digest.hexdigest() == kept.sha256:
            return digest, kept.offset
    return Sha256(), 0


def _stamp(fd: int) -> Tuple[int, int, int]:
    status = os.fstat(fd)
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hole(out: int, digest: Sha256, count: int) -> None:
    if count > 0:
        _write(out, HEAD.pack(HOLE, count))
        digest.zeros(count)


def _write(out: int, *parts: Any) -> None:
    """All of it: a pipe takes as much as it has room for."""
    for part in parts:
        left = memoryview(part)
        while left:
            left = left[os.write(out, left) :]


def parsed_end(text: bytes) -> Dict[str, Any]:
    """Raises ValueError."""
    end = json.loads(text.decode("ascii"))
    return {"size": int(end["size"]), "sha256": str(end["sha256"]), "changed": bool(end["changed"])}
