# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""`make soak`, for ten rounds."""

from __future__ import annotations

import re

import pytest

from soak import __main__ as soak

pytestmark = pytest.mark.long


def test_ten_rounds_end_without_a_wrong_state(capsys: pytest.CaptureFixture[str]) -> None:
    code = soak.main(10, "1")
    told = capsys.readouterr().out
    assert code == 0, told
    assert "round 10, " in told and "1 playbooks" in told and "; 0 wrong states" in told
    assert re.search(r"\b[1-9]\d* modules killed", told), told


def test_a_wrong_state_is_told_with_its_round(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "wrong", lambda *_lost, **_when: ["other bytes"])
    assert soak.main(10, "1", only=3) == 1
    told = capsys.readouterr().out
    assert "WRONG 1/3 h1, " in told and ": other bytes" in told and "; 3 wrong states" in told
