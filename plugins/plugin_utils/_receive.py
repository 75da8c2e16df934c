# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What arrives of a file, as a stream of frames or in pieces, written and hashed as it comes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import IO, Any, BinaryIO

from ansible_collections.procfs.rescue.plugins.module_utils._copy import start_writing
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._stream import (
    ABOUT,
    DATA,
    END,
    FAILED,
    HEAD,
    HOLE,
    LARGEST,
    PIECE,
    START,
    Kept,
    add_zeros,
    parsed,
    parsed_end,
)
from ansible_collections.procfs.rescue.plugins.module_utils._verify import content

# Zeros of this size become a hole; a page of most file systems.
_BLOCK = bytes(64 * 1024)


# Bytes from which on the disk is given to do what would else be left to the sync at the end.
_WORTH_WRITING = 32 * 1024 * 1024

_NOT_OURS = "what arrived is no stream of this collection"


class BrokenStreamError(OSError):
    """It ended early, or no host of ours wrote it."""


class Receiver:
    """Writes to ``file``, whose content at the beginning is ``kept`` of an earlier transfer; ``tell`` gets the offset.

    ``began`` is how much of that was used.
    """

    def __init__(self, file: BinaryIO, tell: Callable[[int], object]) -> None:
        self._fd = file.fileno()
        self._tell = tell
        self._hash = hashlib.sha256()
        self.offset = self.began = self._given = os.fstat(self._fd).st_size
        for piece in content(self._fd, self.offset):
            self._hash.update(piece)

    @property
    def kept(self) -> Kept:
        return Kept(self.offset, self._hash.hexdigest())

    def start_anew(self) -> None:
        os.ftruncate(self._fd, 0)
        self._hash = hashlib.sha256()
        self.offset = self.began = self._given = 0

    def begin(self) -> None:
        """From now on something comes."""
        self._tell(self.offset)

    def data(self, piece: bytes | memoryview) -> None:
        self._hash.update(piece)
        view = memoryview(piece)
        while view:
            done = os.pwrite(self._fd, view, self.offset)
            self.offset += done
            view = view[done:]
        self._go_on()

    def hole(self, count: int) -> None:
        add_zeros(self._hash, count)
        self.offset += count
        os.ftruncate(self._fd, self.offset)
        self._go_on()

    def _go_on(self) -> None:
        if self.offset - self._given >= _WORTH_WRITING:
            start_writing(self._fd, self._given, self.offset - self._given)
            self._given = self.offset
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

    def stream(self, stream: IO[bytes], size: int) -> dict[str, Any]:
        """All frames of one file, of which the host was asked for ``size`` bytes; gives what its END tells.

        Raises BrokenStreamError, and RescueError where the host could not read it.
        """
        kind, count = _head(stream)
        if (kind, count) == (START, 0):
            self.start_anew()
        elif kind == FAILED:
            raise _failed(stream, count)
        elif (kind, count) != (START, self.offset):
            raise BrokenStreamError(_NOT_OURS)
        self.begin()
        buffer = memoryview(bytearray(PIECE))
        while True:
            kind, count = _head(stream)
            if kind in (HOLE, DATA) and count > size - self.offset:
                raise BrokenStreamError("the host sends more than it was asked for")
            if kind == HOLE:
                self.hole(count)
            elif kind == DATA and count <= PIECE:
                self.data(_filled(stream, buffer[:count]))
            elif kind == END:
                return _told(stream, count, parsed_end)
            elif kind == FAILED:
                raise _failed(stream, count)
            else:
                raise BrokenStreamError(_NOT_OURS)


def about(stream: IO[bytes]) -> dict[str, Any]:
    """What the sender says it chose, before it sends that. Raises BrokenStreamError."""
    kind, count = _head(stream)
    if kind != ABOUT:
        raise BrokenStreamError(_NOT_OURS)
    return _told(stream, count, parsed)


def _failed(stream: IO[bytes], count: int) -> RescueError:
    return RescueError(str(_told(stream, count, parsed).get("msg")))


def _told(stream: IO[bytes], count: int, parse: Callable[[bytes], dict[str, Any]]) -> dict[str, Any]:
    if count > LARGEST:
        raise BrokenStreamError(_NOT_OURS)
    try:
        return parse(bytes(_filled(stream, memoryview(bytearray(count)))))
    except ValueError as error:
        raise BrokenStreamError(_NOT_OURS) from error


def _head(stream: IO[bytes]) -> tuple[bytes, int]:
    kind, count = HEAD.unpack(_filled(stream, memoryview(bytearray(HEAD.size))))
    return kind, count


def _filled(stream: IO[bytes], buffer: memoryview) -> memoryview:
    left = buffer
    while left:
        done = stream.readinto(left)  # type: ignore[attr-defined]
        if not done:
            raise BrokenStreamError("the connection ended in the middle")
        left = left[done:]
    return buffer
