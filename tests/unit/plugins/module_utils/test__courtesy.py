# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
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


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM])
def test_where_the_scheduler_cannot_be_chosen(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """As with musl, or below a filter of system calls: it is nice at least."""

    def refuse(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_courtesy, "running", lambda: 0)
    monkeypatch.setattr(os, "sched_setscheduler", refuse)

    def work() -> int:
        give_way()
        return os.nice(0)

    assert in_child(work) == 19


def test_who_runs_is_counted() -> None:
    assert running() >= 1
