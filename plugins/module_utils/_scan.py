# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""scan: one pass over /proc of this host; a handle is opened on every deleted file the moment it is seen.

One readlink per descriptor is what it costs; everything else is asked only for the few links that say deleted.
What is done with one process is a `_visit`; here they are shared out, and what was seen is put together.
"""

import os
from functools import partial
from typing import Callable, Dict, List, Sequence

from ansible_collections.procfs.rescue.plugins.module_utils._allowance import Allowance
from ansible_collections.procfs.rescue.plugins.module_utils._deadline import Tell, heard
from ansible_collections.procfs.rescue.plugins.module_utils._handle import open_directory, read_at
from ansible_collections.procfs.rescue.plugins.module_utils._holder import GONE, Holder
from ansible_collections.procfs.rescue.plugins.module_utils._links import Numbers
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, Effort, Mount, Scan, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._mounts import OwnMounts
from ansible_collections.procfs.rescue.plugins.module_utils._sighted import connection
from ansible_collections.procfs.rescue.plugins.module_utils._visit import Common, News, Visit

# Children that walk at once, and the processes that make up for what it costs to start one more.
_MOST_WALKERS = 4
_WORTH_A_WALKER = 100

# Seconds that those who walk have after the time is over, to notice it and to tell what they saw.
_LAST_WORDS = 0.5


def scan(pin: Callable[[Sighting], bool], effort: Effort = NORMAL) -> Scan:
    """Every magic link (exe, fd, map_files) of every process that leads to a file whose name is gone.

    Where ``pin`` says so the sighting keeps its handle (O_PATH): from then on the file cannot be lost. What cannot be
    read, or not in time, is counted in the result, never an error.
    """
    walk = Walk(pin, effort)
    proc = open_directory("/proc")
    try:
        if not os.path.exists("/proc/1"):  # hidepid: processes are not even listed (proc(5))
            walk.unreadable += 1
        unvisited = walk.walk([int(pid) for pid in os.listdir(proc) if pid.isdigit() and int(pid) != os.getpid()], proc)
    finally:
        os.close(proc)
    walk.own.refresh()
    mounts = walk.own.mounts
    return Scan(
        sightings=[_at_last(sighting, mounts) for sighting in walk.sightings],
        processes=walk.processes,
        unreadable=walk.unreadable,
        skipped=walk.skipped,
        silent=walk.silent,
        mounts=mounts,
        unvisited=len(unvisited),
        programs=walk.programs,
        connection=connection(os.getpid(), lambda pid: read_at("/proc/%d/status" % pid)),
        back=walk.back,
    )


def _at_last(sighting: Sighting, mounts: Dict[int, Mount]) -> Sighting:
    """A mount that ended during the walk may have left its id, and with that its place, to one that a user made."""
    mount = sighting.mount
    if sighting.foreign is not None or mount is None or mounts.get(mount.mount_id) == mount:
        return sighting
    return sighting._replace(mount=None, place=None, foreign="untrusted", host_path=None)


class Walk:
    """What is shared by the visits to all processes, and what they told."""

    def __init__(self, pin: Callable[[Sighting], bool], effort: Effort) -> None:
        self.sightings: List[Sighting] = []
        self.back: List[Sighting] = []
        self.processes = 0
        self.unreadable = 0
        self.skipped: Dict[str, int] = {}
        self.silent: List[int] = []
        self.programs: Dict[bytes, List[int]] = {}
        self.own = OwnMounts()
        self.allowance = Allowance(pin, effort)
        self.common = Common(self.own, self.allowance, Numbers(), effort.threads)

    def walk(self, pids: List[int], proc: int) -> List[int]:
        """Visits these processes; returns those for which no time was left.

        Children do it: whoever runs a process, or serves its files, can keep an answer about it from us for ever, and
        even from being killed.
        """
        left = list(pids)
        while left and not self.allowance.is_late():
            walkers = max(1, min(_MOST_WALKERS, len(os.sched_getaffinity(0)), len(left) // _WORTH_A_WALKER))
            shares = [left[number::walkers] for number in range(walkers)]
            works = [partial(self._tell_of, tuple(share), proc, walkers) for share in shares]
            # Their own questions of that length come first.
            for message in heard(works, 1.5 * self.allowance.patience, self.allowance.until + _LAST_WORDS):
                share = shares[message.number]
                if message.is_silent:
                    self.silent.append(share[0])
                    self._hear(News(done=True, unreadable=True), (), share)
                    self.allowance.lose_patience()
                else:
                    self._hear(message.told, message.descriptors, share)
            left = [pid for share in shares for pid in share]
        self._put_in_order(pids)
        return left

    def _put_in_order(self, pids: List[int]) -> None:
        """As one walker would have found them: who comes first must not be left to chance."""
        turn = {pid: number for number, pid in enumerate(pids)}
        for sightings in (self.sightings, self.back):
            sightings.sort(key=lambda one: turn[one.process.pid])
        for users in (self.silent, *self.programs.values()):
            users.sort(key=lambda pid: turn[pid])

    def _hear(self, news: News, handles: Sequence[int], left: List[int]) -> None:
        found = list(news.sightings)
        for number, handle in zip(news.pinned, handles):
            found[number] = found[number]._replace(handle=handle)
        self.allowance.pins_left -= len(handles)
        self.sightings += found
        self.back += news.back
        for mount_id, mount_point in news.skipped:
            self.allowance.note_silent(mount_id)
            self.skipped[mount_point] = self.skipped.get(mount_point, 0) + 1
        if news.program:
            self.programs.setdefault(news.program, []).append(left[0])
        if news.done:
            left.pop(0)
            self.processes += news.there
            self.unreadable += news.unreadable

    def _tell_of(self, pids: Sequence[int], proc: int, walkers: int, tell: Tell) -> None:
        self.allowance.pins_left //= walkers
        for pid in pids:
            if self.allowance.is_late():
                return
            try:
                # An opened /proc/PID never turns into another process.
                directory = open_directory(str(pid), proc)
            except OSError as error:
                is_there = error.errno not in GONE
                tell(News(done=True, there=is_there, unreadable=is_there), ())
                continue
            try:
                Visit(Holder(pid, directory), self.common, tell).tell_all()
            finally:
                os.close(directory)
