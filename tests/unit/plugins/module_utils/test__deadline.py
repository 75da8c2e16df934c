# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import signal
import sys
import time

from ansible_collections.procfs.rescue.plugins.module_utils._deadline import answers


def test_an_answer() -> None:
    assert answers(os.getpid, 5)


def test_an_error_is_an_answer() -> None:
    assert answers(lambda: os.stat("/no such file"), 5)


def test_the_end_of_the_asking_process_is_no_mess() -> None:
    """Exit handlers and buffers are those of the asking process; the child must not run them."""
    assert answers(lambda: sys.exit(3), 5)


def test_no_answer() -> None:
    started = time.monotonic()
    assert not answers(lambda: time.sleep(60), 0.2)
    assert 0.2 <= time.monotonic() - started < 1
    child, status = os.waitpid(-1, 0)
    assert child > 0
    assert os.WTERMSIG(status) == signal.SIGKILL


def test_an_answer_shortly_before_the_deadline_counts() -> None:
    """The pauses between two looks grow: the last look must be at the deadline, not long before it."""
    assert answers(lambda: time.sleep(0.235), 0.325)


def test_whoever_waits_for_our_output_does_not_wait_for_the_child() -> None:
    for fd in range(3):
        assert answers(lambda fd=fd: os.fstat(fd) and time.sleep(60), 5)
