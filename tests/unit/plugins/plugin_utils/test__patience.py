# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.plugin_utils._patience import SilentHostError, patience


@pytest.fixture(autouse=True)
def timer() -> Iterator[list[int]]:
    """What Ansible's task timeout sets; each time that it ends something."""
    ended: list[int] = []

    def end(*_how: Any) -> None:
        ended.append(1)
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, end)
    yield ended
    assert signal.getsignal(signal.SIGALRM) is end, "it is set back"
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def wait(seconds: float, *moments: float) -> None:
    """For ever; the time begins anew at each of the ``moments``, in seconds after the one before."""
    with patience(seconds) as begin_anew:
        for moment in moments:
            time.sleep(moment)
            begin_anew()
        started.append(subprocess.Popen(["sleep", "60"]))
        started[-1].wait()


started: list[subprocess.Popen[bytes]] = []


def test_it_ends_what_says_nothing_and_what_was_started_for_it() -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        with pytest.raises(SilentHostError):
            wait(1)
        assert started[-1].wait(timeout=10) == -signal.SIGTERM and other.poll() is None
        other.kill()
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_it_begins_anew() -> None:
    began = time.monotonic()
    with patience(1.5) as begin_anew:
        for _time in range(4):
            time.sleep(0.5)
            begin_anew()
    assert time.monotonic() - began >= 2 and signal.getitimer(signal.ITIMER_REAL)[0] == 0


@pytest.mark.parametrize("seconds", [2, 60])
def test_another_timer_stays_as_it_is(timer: list[int], seconds: float) -> None:
    """Whether it comes first from the beginning, or only since the time has begun anew."""
    signal.setitimer(signal.ITIMER_REAL, 3)
    with pytest.raises(TimeoutError):
        wait(seconds, 1.5)
    time.sleep(0.1)
    assert timer == [1] and started[-1].poll() is None
    started[-1].kill()


def test_another_timer_goes_on_afterwards(timer: list[int]) -> None:
    signal.setitimer(signal.ITIMER_REAL, 3)
    with pytest.raises(SilentHostError):
        wait(0.5)
    with pytest.raises(TimeoutError):
        time.sleep(60)
    assert timer == [1]
