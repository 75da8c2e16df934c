# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _courtesy
from ansible_collections.procfs.rescue.plugins.module_utils._courtesy import give_way, running
from unit.plugins.holders import in_child


@pytest.mark.parametrize(("busy", "policy"), [(0, os.SCHED_IDLE), (1, os.SCHED_OTHER)])
def test_who_gives_way(monkeypatch: pytest.MonkeyPatch, busy: int, policy: int) -> None:
    """Also its children do."""
    monkeypatch.setattr(_courtesy, "running", lambda: len(os.sched_getaffinity(0)) + busy)

    def work() -> tuple[int, int]:
        give_way()
        return in_child(lambda: (os.nice(0), os.sched_getscheduler(0)))

    assert in_child(work) == (19, policy)


def test_who_runs_is_counted() -> None:
    assert running() >= 1
