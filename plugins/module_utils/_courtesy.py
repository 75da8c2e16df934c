# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Courtesy: whatever else the host does is more urgent than a look at it."""

import os
import re
from contextlib import suppress

from ansible_collections.procfs.rescue.plugins.module_utils._handle import read_at


def give_way() -> None:
    """Runs on at nice 19, and where processors are idle on these alone (SCHED_IDLE, sched(7)).

    Where all are busy SCHED_IDLE would hardly run at all, and a child that does not run is taken for one that hangs.
    """
    os.nice(19)
    # Who runs now is one of them.
    if running() <= len(os.sched_getaffinity(0)):
        with suppress(OSError):  # musl's says ENOSYS, and a filter of system calls may say EPERM
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def running() -> int:
    """How many threads of the host run or wait for a processor (proc(5), procs_running)."""
    match = re.search(rb"^procs_running (\d+)$", read_at("/proc/stat"), re.M)
    return int(match.group(1)) if match else 0
