# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Courtesy: whatever else the host does is more urgent than a look at it."""

import os
import re
from contextlib import suppress


def give_way() -> None:
    """Runs on at nice 19, and where processors are idle on these alone (SCHED_IDLE, sched(7)).

    Where all are busy SCHED_IDLE would hardly run at all; where they get busy later see `waits_for_a_processor`.
    """
    os.nice(19)
    # Who runs now is one of them.
    if running() <= len(os.sched_getaffinity(0)):
        with suppress(OSError):  # musl's says ENOSYS, and a filter of system calls may say EPERM
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def waits_for_a_processor(pid: int) -> bool:
    """Whether our child wants to run and is not let: then it hangs not, and neither it nor we give way any longer than
    nice 19 does."""
    with open("/proc/%d/stat" % pid, "rb") as file:
        if file.read().rpartition(b")")[2].split()[0] != b"R":
            return False
    for starved in pid, 0:
        with suppress(OSError):
            if os.sched_getscheduler(starved) == os.SCHED_IDLE:
                os.sched_setscheduler(starved, os.SCHED_OTHER, os.sched_param(0))
    return True


def running() -> int:
    """How many threads of the host run or wait for a processor (proc(5), procs_running)."""
    with open("/proc/stat", "rb") as file:
        match = re.search(rb"^procs_running (\d+)$", file.read(), re.M)
    return int(match.group(1)) if match else 0
