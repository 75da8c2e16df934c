# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pieces, as a module on the host would answer them, one call for each."""

from __future__ import annotations

import hashlib
import itertools
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._fetch import chosen
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._source import beginning, piece
from ansible_collections.procfs.rescue.plugins.plugin_utils import _content
from ansible_collections.procfs.rescue.plugins.plugin_utils._content import Content
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import Receiver
from unit.plugins.holders import Holders

CONTENT = random.Random(3).randbytes(10_000) + bytes(50_000) + random.Random(4).randbytes(5_000)


class Pieces(Content):
    """Its calls are those of this process."""

    def __init__(self, before_a_piece: Callable[[], object]) -> None:
        super().__init__(None, {}, Progress("h1", print))  # type: ignore[arg-type]
        self.calls: list[tuple[str, Any]] = []
        self.before_a_piece = before_a_piece

    def asked(self, found: dict[str, Any], step: str, how: Any) -> dict[str, Any]:
        self.calls.append((step, how))
        if step == "beginning":
            return beginning(found["source"], how)
        self.before_a_piece()
        return piece(found["source"], how["offset"], how["length"])


@pytest.fixture
def found(tmp_path: Path, holders: Holders) -> dict[str, Any]:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    held = holders.open(path)
    path.unlink()
    with chosen({"source": {"link": held.link}}, LOCAL, with_digest=False) as (description, _fd):
        return description


def nothing() -> None:
    """Happens on the host."""


def arrived(
    found: dict[str, Any],
    tmp_path: Path,
    before: bytes,
    has_changed: bool = False,
    before_a_piece: Callable[[], object] = nothing,
) -> tuple[Pieces, Receiver, bytes, str]:
    target = tmp_path / "target"
    target.write_bytes(before)
    content = Pieces(before_a_piece)
    with target.open("r+b") as file:
        told: list[int] = []
        receiver = Receiver(file, told.append)
        came_as, digest, changed = content._pieces(found, receiver)
    assert (came_as, changed) == ("pieces", has_changed)
    assert told[0] == receiver.began and told == sorted(told), "a rate counts from before the first piece"
    return content, receiver, target.read_bytes(), digest


@pytest.mark.parametrize("offset", [0, 1, 4096, 30_000, len(CONTENT)])
def test_going_on_after_what_is_there(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: int
) -> None:
    monkeypatch.setattr(_content, "_PIECE", 3000)
    content, receiver, all_of_it, digest = arrived(found, tmp_path, CONTENT[:offset])
    assert all_of_it == CONTENT and receiver.began == offset
    assert digest == "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    assert all(how["offset"] >= offset for step, how in content.calls if step == "piece")


@pytest.mark.parametrize("before", [b"something else", CONTENT + b"more", CONTENT[:9_999] + b"x"])
def test_what_is_there_is_another_file(found: dict[str, Any], tmp_path: Path, before: bytes) -> None:
    content, receiver, all_of_it, _digest = arrived(found, tmp_path, before)
    assert all_of_it == CONTENT and receiver.began == 0
    assert content.calls[0] == ("beginning", len(before))


def test_a_file_that_was_truncated_meanwhile(found: dict[str, Any], tmp_path: Path) -> None:
    os.truncate(found["source"]["link"], 5000)
    _content_of_it, receiver, all_of_it, _digest = arrived(found, tmp_path, b"", has_changed=True)
    assert all_of_it == CONTENT[:5000] and receiver.offset == 5000


@pytest.mark.parametrize("checksum", [None, "sha256:" + hashlib.sha256(CONTENT).hexdigest()])
@pytest.mark.parametrize("number", [1, 3])
def test_a_file_that_grows_meanwhile(
    found: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checksum: str | None, number: int
) -> None:
    """All that was described arrives; that there is more by now is told, whichever piece it came before."""
    monkeypatch.setattr(_content, "_PIECE", 30_000)
    count = itertools.count(1)
    with open(found["source"]["link"], "ab", buffering=0) as log:
        content, _receiver, all_of_it, digest = arrived(
            dict(found, checksum=checksum),
            tmp_path,
            b"",
            has_changed=True,
            before_a_piece=lambda: next(count) == number and log.write(b"more"),
        )
    assert all_of_it == CONTENT and [step for step, _how in content.calls].count("piece") == 3
    assert digest == "sha256:" + hashlib.sha256(CONTENT).hexdigest()


def test_a_file_in_which_something_is_written_in_place(found: dict[str, Any], tmp_path: Path) -> None:
    def write() -> None:
        with open(found["source"]["link"], "r+b") as file:
            file.write(CONTENT[:1])  # the same, so that no digest tells

    time.sleep(0.02)  # times count in ticks of the kernel
    checksum = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    arrived(found, tmp_path, b"", has_changed=True, before_a_piece=write)
    arrived(dict(found, checksum=checksum), tmp_path, b"")


def test_zeros_that_are_written_become_a_hole(found: dict[str, Any], tmp_path: Path) -> None:
    content = b"x" * 1000 + bytes(9_000_000) + b"x" * 1000
    with open(found["source"]["link"], "wb") as file:
        file.write(content)
    assert arrived(dict(found, size=len(content)), tmp_path, b"")[2] == content
    assert (tmp_path / "target").stat().st_blocks * 512 < 500_000


def test_a_piece_has_8_mib_at_most(found: dict[str, Any], tmp_path: Path) -> None:
    with open(found["source"]["link"], "wb") as file:
        file.write(b"x" * 20_000_000)
    calls, _receiver, _all_of_it, _digest = arrived(dict(found, size=20_000_000), tmp_path, b"")
    lengths = [how["length"] for step, how in calls.calls if step == "piece"]
    assert len(lengths) == 3 and max(lengths) == 8 * 2**20
