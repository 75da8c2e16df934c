# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `_stream.send` sends is what `_receive.Receiver` writes, whatever is there already."""

from __future__ import annotations

import hashlib
import io
import os
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _copy
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._stream import (
    ABOUT,
    DATA,
    END,
    FAILED,
    HEAD,
    HOLE,
    NOTHING,
    PIECE,
    START,
    Kept,
    send,
    tell,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils import _receive
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import BrokenStreamError, Receiver, about


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Data, a hole, data, a hole."""
    path = tmp_path / "source"
    with path.open("wb") as file:
        file.write(random.Random(1).randbytes(3_000_001))
        file.seek(9_000_000)
        file.write(b"x" * 10)
        file.truncate(12_000_000)
    return path


def sent(path: Path, tmp_path: Path, kept: Kept = NOTHING, size: int | None = None) -> bytes:
    with path.open("rb") as file, (tmp_path / "wire").open("wb") as wire:
        send(file.fileno(), path.stat().st_size if size is None else size, wire.fileno(), kept)
    return (tmp_path / "wire").read_bytes()


def received(
    wire: bytes, tmp_path: Path, before: bytes = b"", size: int = 2**40
) -> tuple[bytes, dict[str, Any], Receiver]:
    target = tmp_path / "target"
    target.write_bytes(before)
    with target.open("r+b") as file:
        receiver = Receiver(file, lambda _offset: None)
        end = receiver.stream(io.BytesIO(wire), size)
    return target.read_bytes(), end, receiver


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_content_and_holes(source: Path, tmp_path: Path) -> None:
    wire = sent(source, tmp_path)
    assert len(wire) < 3_100_000
    content, end, receiver = received(wire, tmp_path)
    assert content == source.read_bytes()
    assert end == {"size": 12_000_000, "sha256": sha256(content), "changed": False}
    assert receiver.kept == Kept(12_000_000, sha256(content))
    assert (tmp_path / "target").stat().st_blocks * 512 < 4_000_000


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    content, end, _receiver = received(sent(tmp_path / "empty", tmp_path), tmp_path)
    assert (content, end["size"], end["sha256"]) == (b"", 0, sha256(b""))


@pytest.mark.parametrize("offset", [1, 2_999_999, 3_000_001, 5_000_000, 9_000_005, 11_000_000, 12_000_000])
def test_going_on_after_what_is_there(source: Path, tmp_path: Path, offset: int) -> None:
    before = source.read_bytes()[:offset]
    wire = sent(source, tmp_path, Kept(offset, sha256(before)))
    content, end, receiver = received(wire, tmp_path, before)
    assert content == source.read_bytes() and end["sha256"] == receiver.kept.sha256 == sha256(content)
    assert receiver.began == offset
    assert len(wire) < 3_100_000 - min(offset, 3_000_000)


@pytest.mark.parametrize("before", [b"something else", bytes(13_000_000)])
def test_what_is_there_is_another_file(source: Path, tmp_path: Path, before: bytes) -> None:
    wire = sent(source, tmp_path, Kept(len(before), sha256(before)))
    content, _end, receiver = received(wire, tmp_path, before)
    assert content == source.read_bytes() and receiver.began == 0


def test_a_file_that_is_truncated_meanwhile(source: Path, tmp_path: Path) -> None:
    wire = sent(source, tmp_path, size=99_000_000)
    content, end, _receiver = received(wire, tmp_path)
    assert content == source.read_bytes() and end["size"] == 12_000_000


def test_a_file_that_is_written_to_meanwhile(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.writev

    def writing(fd: int, parts: Sequence[bytes]) -> int:
        with source.open("ab") as file:
            file.write(b"x")
        return write(fd, parts)

    monkeypatch.setattr(os, "writev", writing)
    content, end, _receiver = received(sent(source, tmp_path), tmp_path)
    assert end["changed"] and len(content) == 12_000_000


def test_every_cut_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"content")
    wire = sent(tmp_path / "small", tmp_path)
    for length in range(len(wire)):
        with pytest.raises(BrokenStreamError):
            received(wire[:length], tmp_path)


@pytest.mark.parametrize(
    "frames",
    [
        HEAD.pack(START, 7),
        HEAD.pack(DATA, 1) + b"x",
        HEAD.pack(START, 0) + HEAD.pack(DATA, 2**40),
        HEAD.pack(START, 0) + HEAD.pack(END, 2**40),
        HEAD.pack(START, 0) + b'{"failed": true, "msg": "x"}',
        HEAD.pack(START, 0) + HEAD.pack(DATA, PIECE + 1) + bytes(PIECE + 1),
        HEAD.pack(ABOUT, 2) + b"{}",
        HEAD.pack(FAILED, 2**40),
        HEAD.pack(FAILED, 1) + b"{",
        *(
            HEAD.pack(START, 0) + HEAD.pack(END, len(end)) + end
            for end in (
                b"",
                b"{}",
                b"[]",
                b"\xff",
                b"[" * 100_000,
                b'{"size": "x", "sha256": "", "changed": false}',
                b'{"size": Infinity, "sha256": "", "changed": false}',
                b'{"size": null, "sha256": "", "changed": false}',
                b'{"size": 0, "changed": false}',
            )
        ),
    ],
)
def test_what_no_sender_says(frames: bytes, tmp_path: Path) -> None:
    with pytest.raises(BrokenStreamError):
        received(frames, tmp_path)


@pytest.mark.parametrize(
    ("frames", "arrived"),
    [
        (HEAD.pack(DATA, 5) + b"12345" + HEAD.pack(DATA, 6) + b"678901", b"12345"),
        (HEAD.pack(DATA, 5) + b"12345" + HEAD.pack(HOLE, 2**62), b"12345"),
        (HEAD.pack(HOLE, 11), b""),
    ],
)
def test_no_more_than_what_was_asked_for(frames: bytes, arrived: bytes, tmp_path: Path) -> None:
    """The disk here is not the host's to fill, nor the time its to take."""
    with pytest.raises(BrokenStreamError, match="more than it was asked for"):
        received(HEAD.pack(START, 0) + frames, tmp_path, size=10)
    assert (tmp_path / "target").read_bytes() == arrived


def test_zeros_in_pieces_become_holes(tmp_path: Path) -> None:
    content = bytes(300_000) + b"x" + bytes(700_000)
    with (tmp_path / "target").open("w+b") as file:
        receiver = Receiver(file, lambda _offset: None)
        receiver.piece(content)
        receiver.piece(bytes(2_000_000))
    assert (tmp_path / "target").read_bytes() == content + bytes(2_000_000)
    assert receiver.kept == Kept(3_000_001, sha256(content + bytes(2_000_000)))
    assert (tmp_path / "target").stat().st_blocks * 512 < 300_000


def test_zeros_that_are_no_hole_are_not_sent(tmp_path: Path) -> None:
    content = b"x" + bytes(PIECE * 9) + b"y" * PIECE + bytes(7)
    (tmp_path / "zeros").write_bytes(content)
    wire = sent(tmp_path / "zeros", tmp_path)
    assert len(wire) < 4 * PIECE
    arrived, end, _receiver = received(wire, tmp_path)
    assert arrived == content and end["sha256"] == sha256(content)
    assert (tmp_path / "target").stat().st_blocks * 512 <= 4 * PIECE


def test_a_pipe_that_takes_little_at_a_time(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "writev", lambda fd, parts: os.write(fd, b"".join(parts)[:5]))
    content, _end, _receiver = received(sent(source, tmp_path), tmp_path)
    assert content == source.read_bytes()


def test_the_disk_begins_to_write_while_more_arrives(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sync at the end has little left to do."""
    given: list[tuple[int, int]] = []

    def advised(fd: int, start: int, length: int, advice: int) -> None:
        os.posix_fadvise(fd, start, length, advice)
        assert advice == os.POSIX_FADV_DONTNEED
        given.append((start, start + length))

    with monkeypatch.context() as patch:
        patch.setattr(_copy, "os", SimpleNamespace(**{**vars(os), "posix_fadvise": advised}))
        patch.setattr(_receive, "_WORTH_WRITING", 2_000_000)
        whole = source.read_bytes()
        assert received(sent(source, tmp_path), tmp_path)[0] == whole
    assert [start for start, _end in given] == [0, *(end for _start, end in given[:-1])]
    assert all(end - start >= 2_000_000 for start, end in given)
    assert given[-1][1] > len(whole) - 4_000_000


def test_a_system_that_takes_no_advice(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_receive, "_WORTH_WRITING", 1_000_000)
    monkeypatch.setattr(_copy, "os", SimpleNamespace(**{**vars(os), "posix_fadvise": None}))
    del _copy.os.posix_fadvise
    assert received(sent(source, tmp_path), tmp_path)[0] == source.read_bytes()


def test_what_could_not_be_read(tmp_path: Path) -> None:
    why = b'{"msg": "the device failed"}'
    failed = HEAD.pack(FAILED, len(why)) + why
    for wire in (failed, HEAD.pack(START, 0) + HEAD.pack(DATA, 1) + b"x" + failed):
        with pytest.raises(RescueError, match="the device failed"):
            received(wire, tmp_path)


def test_what_was_chosen_comes_before(tmp_path: Path) -> None:
    chosen = {"path": "/x", "size": 7}
    with (tmp_path / "wire").open("w+b") as wire:
        tell(wire.fileno(), ABOUT, chosen)
        wire.seek(0)
        assert about(wire) == chosen
    for wrong in (HEAD.pack(START, 0), HEAD.pack(ABOUT, 2**40), HEAD.pack(ABOUT, 2) + b"[]", b""):
        with pytest.raises(BrokenStreamError):
            about(io.BytesIO(wrong))
