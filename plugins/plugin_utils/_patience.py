# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""An end to the wait for a host that let us in and then says nothing, by the timer that Ansible's task timeout uses."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class SilentHostError(BaseException):
    """No ``Exception``: connection plugins try again after those, and then nothing would end it."""


@contextmanager
def patience(seconds: float) -> Iterator[Callable[[], None]]:
    """Ends the block with `SilentHostError` after so many seconds, which begin anew with each call of what it gives.

    ssh and the like that the block started are ended with it. A timer that would end it earlier stays as it is.
    """

    def end(_signal: int, _frame: object) -> None:
        raise SilentHostError

    began, before = time.monotonic(), _children()
    left, _interval = signal.getitimer(signal.ITIMER_REAL)

    def begin_anew() -> None:
        remains = left - (time.monotonic() - began)
        if not left or seconds < remains:
            signal.signal(signal.SIGALRM, end)
            signal.setitimer(signal.ITIMER_REAL, seconds)
        else:
            set_back()

    def set_back() -> None:
        if signal.getsignal(signal.SIGALRM) is end:  # else the other one goes on, or has just ended the block
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, handler)
            signal.setitimer(signal.ITIMER_REAL, max(left - (time.monotonic() - began), 0.001) if left else 0)

    handler = signal.getsignal(signal.SIGALRM)
    try:
        begin_anew()
        yield begin_anew
    except SilentHostError:
        for pid in _children() - before:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        raise
    finally:
        set_back()


def _children() -> set[int]:
    """Our child processes; none where the system does not tell."""
    found: set[int] = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        with suppress(OSError):
            found.update(map(int, listed.read_text().split()))
    return found
