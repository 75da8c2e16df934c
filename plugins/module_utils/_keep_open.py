# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.
"""A process of our own keeps what may be wanted open, for holders may end before its turn comes.

It is a holder as any other: whoever restores later finds the file through it.
"""

import os
import signal
import time
from contextlib import suppress
from typing import Callable, Container, Dict, Iterable, List, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, read_at
from ansible_collections.procfs.rescue.plugins.module_utils._model import Sighting

# What it is called in the lists of processes (PR_SET_NAME takes 15 bytes).
_COMM = b"procfs-rescue"

# Seconds between two looks whether the names are there again.
_PAUSE = 1.0


def keep_open(sightings: Iterable[Sighting], seconds: float) -> int:
    """Keeps the pinned files open for so long, or until their names are there again; returns how many. Raises OSError.

    The process has no parent here and nothing else open, so that nobody waits for it.
    """
    kept: Dict[Tuple[int, int], Tuple[int, bytes]] = {}
    for sighting in sightings:
        if sighting.handle is not None and sighting.host_path is not None:
            kept.setdefault(sighting.file.identity, (sighting.handle, sighting.host_path))
    if kept:
        _in_background({fd for fd, _path in kept.values()}, lambda: _stay(list(kept.values()), seconds))
    return len(kept)


def hold(fds: Iterable[int], seconds: float) -> Tuple[int, int]:
    """Keeps opened descriptors in such a process for so long: its pid and start time. `let_go` ends it. Raises OSError.

    There ``/proc/PID/fd/FD`` leads to them, by the same numbers.
    """
    pid = _in_background(set(fds), lambda: time.sleep(seconds))
    return pid, _procfs.start_time(read_at("/proc/%d/stat" % pid)) or 0


def let_go(pid: int, start_time: int) -> None:
    """Ends what `hold` began, unless it ended before."""
    with suppress(OSError):
        stat = read_at("/proc/%d/stat" % pid)
        if _procfs.start_time(stat) == start_time and b"(" + _COMM + b")" in stat:
            os.kill(pid, signal.SIGKILL)


def _in_background(kept: Container[int], work: Callable[[], None]) -> int:
    """Does it in a process without a parent here, which has only ``kept`` open; its pid."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if os.fork() == 0:
                os.chdir("/")
                with suppress(OSError), open("/proc/self/comm", "wb") as file:
                    file.write(_COMM)
                os.write(writer, b"%d" % os.getpid())  # not before it is called so: `let_go` asks
                _close_others(kept)
                work()
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    told = os.read(reader, 20)
    os.close(reader)
    return int(told or b"0")


def _stay(kept: List[Tuple[int, bytes]], seconds: float) -> None:
    until = time.monotonic() + seconds
    while kept and time.monotonic() < until:
        time.sleep(_PAUSE)
        for fd, path in kept:
            if os.path.lexists(path):
                os.close(fd)
        kept = [(fd, path) for fd, path in kept if not os.path.lexists(path)]


def _close_others(kept: Container[int]) -> None:
    """By their list: the limit of how many there may be can be a billion, and Python 3.9 would try each."""
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd not in kept and fd > 2:
            close(fd)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        if fd not in kept:
            os.dup2(null, fd)
    close(null)
