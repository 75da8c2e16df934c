# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress, is_watched


def test_a_line_every_few_seconds() -> None:
    now = 0.0
    lines: list[str] = []
    progress = Progress("h1: /x", 100 * 2**20, lines.append, lambda: now)
    for second in range(1, 13):
        now = float(second)
        progress.at((10 + 5 * second) * 2**20)
    assert lines == [
        "h1: /x: 35.00 MB of 100.00 MB, 4.00 MB/s, 16 s left",
        "h1: /x: 60.00 MB of 100.00 MB, 4.50 MB/s, 9 s left",
    ]


@pytest.mark.parametrize(
    ("output", "watched"), [("/dev/pts/3", True), ("/dev/tty1", True), ("pipe:[1]", False), ("/tmp/log", False)]
)
def test_somebody_sits_before_it(monkeypatch: pytest.MonkeyPatch, output: str, watched: bool) -> None:
    monkeypatch.delenv("AWX_ISOLATED_DATA_DIR", raising=False)
    monkeypatch.setattr(os, "readlink", lambda _path: output)
    assert is_watched() is watched
    monkeypatch.setenv("AWX_ISOLATED_DATA_DIR", "/runner/artifacts/1")
    assert not is_watched()
