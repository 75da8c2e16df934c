# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Pieces, as a module on the host would answer them, one call for each."""

from __future__ import annotations

import hashlib
import os
import random
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._fetch import chosen
from ansible_collections.procfs.rescue.plugins.module_utils._source import beginning, piece
from ansible_collections.procfs.rescue.plugins.plugin_utils import _content
from ansible_collections.procfs.rescue.plugins.plugin_utils._content import Content
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import Receiver
from unit.plugins.holders import Holders

CONTENT = random.Random(3).randbytes(10_000) + bytes(50_000) + random.Random(4).randbytes(5_000)


class Pieces(Content):
    """Its calls are those of this process."""

    def __init__(self) -> None:
        super().__init__(None, {})  # type: ignore[arg-type]
        self.calls: list[tuple[str, Any]] = []

    def asked(self, found: dict[str, Any], step: str, how: Any) -> dict[str, Any]:
        self.calls.append((step, how))
        if step == "beginning":
            return {"sha256": beginning(found["source"], how)}
        return piece(found["source"], how["offset"], how["length"])


@pytest.fixture
def found(tmp_path: Path, holders: Holders) -> dict[str, Any]:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    held = holders.open(path)
    path.unlink()
    with chosen({"source": {"link": held.link}}, with_digest=False) as (description, _fd):
        return description


def arrived(found: dict[str, Any], tmp_path: Path, before: bytes) -> tuple[Pieces, Receiver, bytes, str]:
    target = tmp_path / "target"
    target.write_bytes(before)
    content = Pieces()
    with target.open("r+b") as file:
        receiver = Receiver(file, lambda _offset: None)
        came_as, digest, changed = content._pieces(found, receiver)
    assert (came_as, changed) == ("pieces", False)
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
    _content_of_it, receiver, all_of_it, _digest = arrived(found, tmp_path, b"")
    assert all_of_it == CONTENT[:5000] and receiver.offset == 5000
