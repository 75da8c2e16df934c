# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import time
from contextlib import suppress

import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils import _progress
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress, reading

MIB = 2**20


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_arrives_is_told_of() -> None:
    clock = Clock()
    progress = Progress("h1", print, clock)
    progress.begins("/x", 100 * MIB)
    clock.now = 10
    progress.at(10 * MIB)
    clock.now = 15
    progress.at(35 * MIB)
    assert progress.line() == "h1: /x: 35.00 MB of 100.00 MB, 5.00 MB/s, 13 s left"
    clock.now = 20  # nothing comes any more
    assert progress.line() == "h1: /x: 35.00 MB of 100.00 MB, 2.50 MB/s, 26 s left"
    progress.at(0)  # once more, from the beginning
    assert progress.line() == "h1: /x: 0.00 Bytes of 100.00 MB, 0.00 Bytes/s"


def test_what_is_waited_for_is_told_of() -> None:
    clock = Clock()
    progress = Progress("h1", print, clock)
    clock.now = 7
    assert progress.line() == "h1: waiting for the host, 7 s so far"
    progress.begins("/x", 100 * MIB)
    progress.waits(reading(100 * MIB))
    clock.now = 9
    assert progress.line() == "h1: /x: reading 100.00 MB for a digest, 2 s so far"
    progress.at(MIB)
    clock.now = 10
    progress.at(2 * MIB)
    assert progress.line() == "h1: /x: 2.00 MB of 100.00 MB, 1.00 MB/s, 98 s left"


def test_lines_come_while_nothing_arrives_and_end_with_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "_PATIENCE", 0.01)
    lines: list[str] = []
    with suppress(KeyboardInterrupt), Progress("h1", lines.append):
        while len(lines) < 3:
            time.sleep(0.01)
        raise KeyboardInterrupt
    count = len(lines)
    time.sleep(0.05)
    assert len(lines) == count and set(lines) == {"h1: waiting for the host, 0 s so far"}


@pytest.mark.parametrize(
    ("output", "watched"), [("/dev/pts/3", True), ("/dev/tty1", True), ("pipe:[1]", False), ("/tmp/log", False)]
)
def test_somebody_sits_before_it(monkeypatch: pytest.MonkeyPatch, output: str, watched: bool) -> None:
    monkeypatch.delenv("AWX_ISOLATED_DATA_DIR", raising=False)
    monkeypatch.setattr(os, "readlink", lambda _path: output)
    assert _progress._is_watched() is watched
    monkeypatch.setenv("AWX_ISOLATED_DATA_DIR", "/runner/artifacts/1")
    assert not _progress._is_watched()
