# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What arrives of a file, as a stream of frames or in pieces, written and hashed as it comes."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Any, BinaryIO

from ansible_collections.procfs.rescue.plugins.module_utils._hashing import Sha256
from ansible_collections.procfs.rescue.plugins.module_utils._stream import (
    DATA,
    END,
    HEAD,
    HOLE,
    LARGEST,
    START,
    Kept,
    parsed_end,
)
from ansible_collections.procfs.rescue.plugins.module_utils._verify import content

# Zeros of this size become a hole; a page of most file systems.
_BLOCK = bytes(64 * 1024)


class BrokenStreamError(OSError):
    """It ended early, or no host of ours wrote it."""


class Receiver:
    """Writes to ``file``, whose content at the beginning is ``kept`` of an earlier transfer; ``tell`` gets the offset.

    ``began`` is how much of that was used.
    """

    def __init__(self, file: BinaryIO, tell: Callable[[int], object]) -> None:
        self._fd = file.fileno()
        self._tell = tell
        self._hash = Sha256()
        self.offset = self.began = os.fstat(self._fd).st_size
        for piece in content(self._fd, self.offset):
            self._hash.update(piece)

    @property
    def kept(self) -> Kept:
        return Kept(self.offset, self._hash.hexdigest())

    def start_anew(self) -> None:
        os.ftruncate(self._fd, 0)
        self._hash = Sha256()
        self.offset = self.began = 0

    def data(self, piece: bytes | memoryview) -> None:
        self._hash.update(piece)
        view = memoryview(piece)
        while view:
            done = os.pwrite(self._fd, view, self.offset)
            self.offset += done
            view = view[done:]
        self._tell(self.offset)

    def hole(self, count: int) -> None:
        self._hash.zeros(count)
        self.offset += count
        os.ftruncate(self._fd, self.offset)
        self._tell(self.offset)

    def piece(self, piece: bytes) -> None:
        """Of which nobody said where holes are."""
        if piece.count(0) == len(piece):
            self.hole(len(piece))
            return
        for start in range(0, len(piece), len(_BLOCK)):
            block = piece[start : start + len(_BLOCK)]
            if block == _BLOCK:
                self.hole(len(block))
            else:
                self.data(block)

    def stream(self, stream: IO[bytes]) -> dict[str, Any]:
        """All frames after the magic; gives what END tells. Raises BrokenStreamError."""
        start = _head(stream)
        if start == (START, 0):
            self.start_anew()
        elif start != (START, self.offset):
            raise BrokenStreamError("what arrived is no stream of this collection")
        while True:
            kind, count = _head(stream)
            if kind == HOLE:
                self.hole(count)
            elif kind == DATA and count <= LARGEST:
                self.data(_filled(stream, count))
            elif kind == END and count <= LARGEST:
                return parsed_end(bytes(_filled(stream, count)))
            else:
                raise BrokenStreamError("what arrived is no stream of this collection")


def _head(stream: IO[bytes]) -> tuple[bytes, int]:
    kind, count = HEAD.unpack(_filled(stream, HEAD.size))
    return kind, count


def _filled(stream: IO[bytes], count: int) -> memoryview:
    buffer = left = memoryview(bytearray(count))
    while left:
        done = stream.readinto(left)  # type: ignore[attr-defined]
        if not done:
            raise BrokenStreamError("the connection ended in the middle")
        left = left[done:]
    return buffer
