# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""From requests to files put back on a host: scan, and then each in its turn and its time."""

import os
import re
import time
from collections import Counter
from functools import partial
from itertools import islice
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._aim import Aim
from ansible_collections.procfs.rescue.plugins.module_utils._choose import may_be_wanted
from ansible_collections.procfs.rescue.plugins.module_utils._deadline import SilenceError, Tell
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, Mount, Scan, Terms
from ansible_collections.procfs.rescue.plugins.module_utils._names import original_path, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._other_sources import tell_needs, tell_offers
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._restore_job import Job, Result
from ansible_collections.procfs.rescue.plugins.module_utils._restore_one import Tools, named_untold_of, restored
from ansible_collections.procfs.rescue.plugins.module_utils._restore_result import (
    given_up,
    not_tried,
    result_of,
    told_of_unseen,
)
from ansible_collections.procfs.rescue.plugins.module_utils._seen import Seen
from ansible_collections.procfs.rescue.plugins.module_utils._unsynced import Unsynced
from ansible_collections.procfs.rescue.plugins.module_utils._without_folders import NeedsFolderError, without_folders

# For how many deadlines nothing may happen in what was begun: a server may write what it got to a disk meanwhile.
_PATIENCE = 6

# As many files of so few bytes are worth that processes share them.
_MANY = 200
_SMALL = 1024 * 1024

# As many drafts, of so many bytes, go to a disk together: it is waited for a few times, however many there are. Who
# is killed before loses no more than that.
_AT_ONCE = 400
_MUCH = 50 * 1024 * 1024

# How often what is left is looked for once more when an SFTP session ended.
_MOST_SESSIONS = 5

# The loader, the C library, the shells.
_FIRST = [
    re.compile(rb"(?:ld-linux|ld-musl|ld\.so|ld64\.so|ld-[\d.]+\.so)"),
    re.compile(rb"(?:libc|libc-[\d.]+|libc\.musl-\w+)\.so"),
    re.compile(rb"(?:sh|bash|rbash|dash|ash|zsh|ksh|ksh93|mksh|fish|busybox)\Z"),
]


def restore(
    requests: Iterable[Dict[str, Any]],
    terms: Terms,
    log: Callable[[str], None],
    host: Host,
    warn: Callable[[str], object] = lambda _line: None,
) -> List[Result]:
    """Restores what the ``requests`` (options as `_choose.wish_from` takes them) mean.

    One with ``path_prefix`` means all below a folder, if it says ``packaged`` also what packages have there.

    Returns one result per file, in order. One that fails does not stop the rest: its ``status`` is ``failed``.
    ``log`` gets a line for each file restored, ``warn`` one where there may be more below a folder than was found.
    """
    return _Rescue(terms, log, host, warn).run(list(requests))


class _Rescue:
    def __init__(self, terms: Terms, log: Callable[[str], None], host: Host, warn: Callable[[str], object]) -> None:
        self.terms = terms
        self.log = log
        self.host = host
        self.warn = warn
        self.aim = Aim(terms, host)
        self.reporter = Reporter(host)
        self.unsynced = Unsynced()
        # Whose drafts wait for their names.
        self.ready: List[Job] = []
        self.ready_bytes = 0
        self.ready_at_once = 0

    def run(self, requests: Sequence[Dict[str, Any]]) -> List[Result]:
        prefixes = [(os.fsencode(one["path_prefix"]), one["packaged"]) for one in requests if "path_prefix" in one]
        jobs = [self._job(request) for request in requests if "path_prefix" not in request]
        wishes = [job.wish for job in jobs if not job.result]
        if not wishes and not prefixes:
            return [job.result for job in jobs]
        # Pin first: whatever may be wanted is held open from here on. No path is looked at before, it may take long.
        found = self.host.scan(may_be_wanted(wishes, [prefix for prefix, _packaged in prefixes]), NORMAL)
        try:
            if self.terms.pin and self.host.keep_open(found.sightings, self.terms.pin):
                self.log("keeps what may be wanted open for %d seconds" % self.terms.pin)
            self.ready_at_once = min(_AT_ONCE, self.host.drafts_at_once())
            self.aim.mounts = found.mounts
            seen = Seen(found, self.host)
            if prefixes and not found.is_complete:
                self.warn(told_of_unseen([prefix for prefix, _packaged in prefixes], found, self.host))
            self._ask_for_places(jobs)
            for job in jobs:
                self._continue(job, self.aim.take)
            resolved = [(self.aim.resolved(prefix), packaged) for prefix, packaged in prefixes]
            called = [(prefix, top) for (prefix, _packaged), (top, _also) in zip(prefixes, resolved)]
            below = [path for prefix, _packaged in resolved for path in seen.paths_below(prefix)]
            of_packages = [path for prefix, packaged in resolved if packaged for path in self.host.paths_below(prefix)]
            named = [job.wish.path for job in jobs if job.wish.path is not None]
            witnesses = self.host.witnesses([*below, *map(original_path, below), *of_packages, *named])
            # Only a package's file was renamed by rpm; others may be called like that.
            originals = [path if original_path(path) not in witnesses else original_path(path) for path in below]
            self.aim.ask_for(originals)
            jobs += [self._job(self._request(path, called), named=False) for path in dict.fromkeys(originals)]
            known = {*originals, *named}
            jobs += [
                self._job(self._request(path, called), named=False, packaged=True)
                for path in dict.fromkeys(of_packages)
                if path not in known
            ]
            left = sorted(jobs, key=_urgency)
            for _session in range(_MOST_SESSIONS):
                may_wait = self.ready_at_once > 0
                waiting = self.unsynced, self._name_ready, self._settle, may_wait
                tools = Tools(seen, witnesses, self.aim, self.reporter, *waiting, self.terms, self.host)
                left = self._all_restored(left, tools)
                if not left:
                    break
                found = found._replace(sightings=[])  # what was pinned went with its session
                try:
                    found = self._found_again(left)
                except (OSError, RescueError):
                    break
                seen = Seen(found, self.host)
            for job in left:
                job.result = dict(not_tried(job), seconds=0.0)
            jobs = [
                job for job in jobs if not job.packaged or job.result["status"] != "present" or job.result["changed"]
            ]
            tell_needs(jobs, self.terms.look, self.host)
            if self.terms.offer:
                tell_offers(jobs, witnesses, self.aim.mounts, self.host)
        finally:
            self.host.unpin(found.sightings)
        return [job.result for job in jobs]

    def _job(self, request: Dict[str, Any], named: bool = True, packaged: bool = False) -> Job:
        job = Job(request, named, packaged)
        self._attempt(job, lambda: job.understand(request))
        return job

    def _request(self, path: bytes, called: Sequence[Tuple[bytes, bytes]]) -> Dict[str, Any]:
        """For what is below a folder, ``called`` by the user and resolved: its digest may be given by either path."""
        tops = [(prefix, top.rstrip(b"/") + b"/") for prefix, top in called]
        below = [os.path.join(prefix, path[len(top) :]) for prefix, top in tops if path.startswith(top)]
        given = (self.terms.checksums.get(one.decode("utf-8", "surrogateescape")) for one in [path, *below])
        return dict(path_fields(path), checksum=next((one for one in given if one is not None), None))

    def _continue(self, job: Job, step: Callable[[Job], Result]) -> None:
        """One more step of a job that has no result yet; there may be many jobs: its folders are closed after it."""
        if not job.result:
            if self.ready and (len(self.ready) >= self.ready_at_once or self.ready_bytes >= _MUCH):
                self._name_ready()
            self._attempt(job, lambda: step(job))
            if job.ready is None:
                job.close(self.host)
            else:
                self.ready.append(job)
                self.ready_bytes += job.ready.size

    def _name_ready(self) -> None:
        """What waits for its name gets it: many drafts go to a disk together in far less time than in turn."""
        waiting = [(job, job.ready) for job in self.ready if job.ready is not None]
        self.ready = []
        self.ready_bytes = 0
        for job, draft in waiting:
            started = time.monotonic()
            draft.sync()
            job.seconds += time.monotonic() - started
        for job, draft in waiting:
            job.ready = None
            self._attempt(job, draft.name)
            job.close(self.host)

    def _settle(self) -> None:
        """Of all results so far none is too early then."""
        self._name_ready()
        self.unsynced.sync()

    def _all_restored(self, jobs: Sequence[Job], tools: Tools) -> List[Job]:
        """Those that are left when the session ends before."""
        urgent = sum(_urgency(job) < len(_FIRST) for job in jobs)
        for number, job in enumerate(jobs):
            if number <= urgent:
                self._settle()
            if number == urgent:
                self._restored_by_shares(jobs[urgent:], tools)
            if job.result:
                continue
            if self.host.has_ended():
                return [one for one in jobs[number:] if not one.result]
            if any(None in (one.place, job.place) or one.place == job.place for one in self.ready):
                self._name_ready()
            self._continue_in_time(job, islice(jobs, number + 1, None), tools)
        self._settle()
        return []

    def _restored_by_shares(self, jobs: Sequence[Job], tools: Tools) -> None:
        """Small ones of many that have nothing to do with each other, by several processes.

        For what is larger each must find what others have left of the disk.
        """
        if self.host.shares is None or self.terms.freeze is not None:
            return  # processes are stopped for one file at a time
        places = Counter(job.place for job in jobs)
        alone = [
            job
            for job in jobs
            if not job.result
            and job.place is not None
            and places[job.place] == 1
            and job.was_free
            and all(one.file.allocated <= _SMALL for one in tools.seen.meant(job.wish))
            and not self._may_never_answer(job, tools.seen)
        ]
        if len(alone) < _MANY:
            return
        if self.terms.parents:
            alone = self._in_folders_that_are_there(alone, tools)

        tools = tools._replace(host=without_folders(self.host))

        def work(own: int, shares: int, tell: Tell) -> None:
            share = range(own, len(alone), shares)
            for start in range(0, len(share), _AT_ONCE):
                numbers = share[start : start + _AT_ONCE]
                lines: List[str] = []
                if not self.terms.check_mode:
                    tell((numbers, [], set(), []), ())  # what has its name after this may be by us
                for number in numbers:
                    self._continue(alone[number], partial(self._last_step, tools=tools, log=lines.append))
                self._settle()
                tell((numbers, [alone[number] for number in numbers], self.aim.swept, lines), ())

        # Whose process was killed before it told of them, and what needs a hidden folder, are looked at once more.
        for numbers, done, swept, lines in self.host.shares(work):
            for number in numbers:
                alone[number].begun = not alone[number].result
            for number, of_share in zip(numbers, done):
                vars(alone[number]).update(vars(of_share))
            self._note(swept, lines)

    def _in_folders_that_are_there(self, jobs: Sequence[Job], tools: Tools) -> List[Job]:
        """What is left when the first file of each folder has made it; one that failed took it away again."""
        first: Dict[bytes, Job] = {}
        for job in jobs:
            if first.setdefault(_folder_of(job), job) is job:
                self._continue(job, partial(self._last_step, tools=tools, log=self.log))
        self._settle()
        return [job for job in jobs if not job.result and first[_folder_of(job)].result["status"] != "failed"]

    def _found_again(self, jobs: Sequence[Job]) -> Scan:
        found = self.host.scan(may_be_wanted([job.wish for job in jobs]), NORMAL)
        self.aim.mounts = found.mounts
        self._ask_for_places(jobs)
        return found

    def _continue_in_time(self, job: Job, others: Iterable[Job], tools: Tools) -> None:
        """The last step of a job, which can be given up where a file system may never answer."""
        asked = self._may_never_answer(job, tools.seen)
        if not asked:
            self._continue(job, partial(self._last_step, tools=tools, log=self.log))
            return

        def work() -> Tuple[Job, Set[Tuple[int, int]], List[str]]:
            lines: List[str] = []
            self._continue(job, partial(self._last_step, tools=tools, log=lines.append))
            self._settle()
            return job, self.aim.swept, lines

        self._settle()
        started = time.monotonic()
        try:
            asked_by = list(asked.values())
            done, swept, lines = self.host.in_time(work, _PATIENCE * NORMAL.deadline, asked_by, NORMAL.deadline)
            vars(job).update(vars(done))
            self._note(swept, lines)
        except SilenceError:
            job.result = dict(given_up(job, list(asked)), seconds=round(time.monotonic() - started, 3))
            self._ask_for_places(others)
        except Exception as error:  # noqa: BLE001  (no process can be had for it, or none that works)
            job.result = dict(_failure(job, error), seconds=0.0)

    def _last_step(self, job: Job, tools: Tools, log: Callable[[str], None]) -> Result:
        taken = self.aim.take(job)
        if taken and job.begun and job.was_free and job.target is not None:
            return named_untold_of(job, job.target, tools, log)
        return taken or restored(job, tools, log)

    def _note(self, swept: Set[Tuple[int, int]], lines: Iterable[str]) -> None:
        """What another process did for us."""
        self.aim.swept |= swept
        for line in lines:
            self.log(line)

    def _may_never_answer(self, job: Job, seen: Seen) -> Dict[str, str]:
        """What a job needs of network and FUSE file systems: how it is called, and a path to ask them by."""
        found = {}
        needed = []
        for one in seen.meant(job.wish):
            if one.may_never_answer:
                name = one.link if one.mount is None else printable(one.mount.mount_point)
                found[name] = one.link if one.handle is None else "/proc/self/fd/%d" % one.handle
                needed.append(one.mount)
        places = {mount.mount_point: mount for mount in self.aim.mounts.values()}
        for path in job.wish.path, job.place or job.wish.dest:
            mount = None if path is None else _mount_of(path, places)
            if mount is not None and mount.may_never_answer:
                found[printable(mount.mount_point)] = os.fsdecode(mount.mount_point)
                needed.append(mount)
        layers = [layer for mount in needed if mount is not None for layer in mount.remote_layers]
        # An overlay itself answers without asking them.
        found.update((printable(layer), os.fsdecode(layer)) for layer in layers)
        return found

    def _ask_for_places(self, jobs: Iterable[Job]) -> None:
        wishes = [job.wish for job in jobs if not job.result]
        self.aim.ask_for([path for wish in wishes for path in (wish.path, wish.dest) if path is not None])

    def _attempt(self, job: Job, work: Callable[[], Result]) -> None:
        started = time.monotonic()
        try:
            result = work()
        except NeedsFolderError:
            result = {}
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one file, the others must come back)
            result = _failure(job, error)
        job.seconds += time.monotonic() - started
        if result:
            job.result = dict(result, seconds=round(job.seconds, 3))


def _failure(job: Job, error: Exception) -> Result:
    if isinstance(error, RescueError):
        return result_of(job, "failed", str(error), refused=error.reasons)
    if isinstance(error, OSError):
        return result_of(job, "failed", "%s: %s." % (job.what, fault(error)), refused=[])
    return result_of(job, "failed", "%s: unexpected %s: %s." % (job.what, type(error).__name__, error), refused=[])


def _folder_of(job: Job) -> bytes:
    return os.path.dirname(job.place or b"")


def _mount_of(path: bytes, places: Dict[bytes, Mount]) -> Optional[Mount]:
    """By its name alone."""
    place, below = os.path.dirname(path), path
    while place not in places and place != below:
        place, below = os.path.dirname(place), place
    return places.get(place)


def _urgency(job: Job) -> int:
    """What other programs need in order to start comes first."""
    name = os.path.basename(job.wish.path or b"")
    return next((rank for rank, names in enumerate(_FIRST) if names.match(name)), len(_FIRST))
