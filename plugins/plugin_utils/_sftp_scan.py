# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""scan over SFTP: what `_scan` does, with many requests under way at once.

Only what stat calls a regular file is opened, and everything is read from what is open then. What SFTP does not tell is
not guessed: nlink is 0, allocated is the size, and a file whose inode or mount namespace is unknown is ``unproven``.
"""

from __future__ import annotations

import itertools
import math
import os
import re
import stat as modes
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort, File, Mount, Process, Scan, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._sighted import (
    Link,
    access_by,
    connection,
    is_believed,
    mapped,
    names_meant,
    process_from,
    says_deleted,
    sighting_of,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import SessionError, Task
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import (
    READ,
    content,
    lstat,
    names,
    readlink,
    stat,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Facts, Session

# How many files are opened at a time to look at them.
_BATCH = 64
# Descriptors that the server may keep open for us: sshd's own limit is 1024 at least.
_PINS = 512
# How many hanging file systems and processes are got around, each costs one time limit.
_RESTARTS = 5


class _Known(NamedTuple):
    """Of a process, read before its files are opened."""

    process: Process
    mounts: dict[int, Mount]


def scan(session: Session, pin: Callable[[Sighting], bool], alive: set[bytes], effort: Effort) -> Scan:
    """As `_scan.scan`; ``alive`` is given the names of hidden folders that a living run has open.

    What does not answer is waited for as long as the session has patience. Raises SessionError, RescueError.
    """
    if effort.threads:
        raise RescueError("Over SFTP threads cannot be looked at by themselves: leave out threads.")
    stuck: set[bytes] = set()
    silent: set[int] = set()
    until = math.inf if effort.timeout is None else time.monotonic() + effort.timeout
    for attempt in itertools.count():
        walk = _Walk(session, pin, alive, stuck, silent, until)
        try:
            return walk.run()
        except SessionError as error:
            link = None if error.stuck is None else walk.link_of(error.stuck.arguments[0])
            pid = None if error.begun is None else _pid_in(error.begun.arguments[0])
            if attempt == _RESTARTS:
                raise
            if link is not None:
                stuck.add(walk.mount_point_of(link))
            elif pid is not None and pid not in silent:
                silent.add(pid)
            else:
                raise
            session.reopen()
    raise AssertionError


class _Walk:
    def __init__(
        self,
        session: Session,
        pin: Callable[[Sighting], bool],
        alive: set[bytes],
        stuck: set[bytes],
        silent: set[int],
        until: float,
    ) -> None:
        self.session = session
        self.pin = pin
        self.alive = alive
        self.stuck = stuck
        self.silent = silent
        self.until = until
        self.skipped: dict[str, int] = {}
        self.unreadable = set(silent)
        self.back: list[Sighting] = []
        self.own_mounts = _procfs.mounts(session.run(content(b"/proc/self/mountinfo")))
        self.texts: dict[Link, bytes] = {}
        self.programs: dict[bytes, list[int]] = {}
        self.unknown = itertools.count(1)
        self.pins_left = _PINS

    def run(self) -> Scan:
        myself = int(self.session.run(readlink(b"/proc/self")))
        listed = [int(name) for name in self.session.run(names(b"/proc")) if name.isdigit()]
        pids = [pid for pid in listed if pid != myself and pid not in self.silent]
        sightings: list[Sighting] = []
        left = pids
        # All at once is fastest; with little time the first ones are to be known when it is over.
        step = len(pids) if math.isinf(self.until) else _BATCH
        while left and time.monotonic() < self.until:
            sightings += self._visit(left[:step])
            left = left[step:]
        gone = self.session.together([lstat(b"/proc/%d" % pid) for pid in sorted(self.unreadable)])
        unreadable = sum(not isinstance(found, OSError) for found in gone)
        return Scan(
            sightings=sightings,
            processes=len(pids) - len(left),
            unreadable=unreadable,
            skipped=self.skipped,
            silent=sorted(self.silent),
            mounts=self.own_mounts,
            unvisited=len(left),
            programs=self.programs,
            connection=connection(myself, lambda pid: self.session.run(content(b"/proc/%d/status" % pid))),
            back=self.back,
        )

    def _visit(self, pids: list[int]) -> Iterator[Sighting]:
        links = [link for link in self._links(pids) if not self._is_stuck(link)]
        known = self._known(sorted({link.pid for link in links}))
        links = [link for link in links if link.pid in known]
        for start in range(0, len(links), _BATCH):
            yield from self._sightings(links[start : start + _BATCH], known)

    def link_of(self, path: Any) -> Link | None:
        return next((link for link in self.texts if link.path == path), None)

    def mount_point_of(self, link: Link) -> bytes:
        """By its name alone, as far as that is to be believed: the worst is that files are skipped, and named."""
        text = self.texts[link]
        points = [mount.mount_point for mount in self.own_mounts.values()]
        below = [point for point in points if point != b"/" and text.startswith(point + b"/")]
        return max(below, key=len) if below else text

    def _is_stuck(self, link: Link) -> bool:
        point = self.mount_point_of(link)
        if point not in self.stuck:
            return False
        self.skipped[printable(point)] = self.skipped.get(printable(point), 0) + 1
        return True

    def _note(self, pid: int, result: Any, via: str = "") -> bool:
        """Whether there is a result; why there is none is noted unless the process or the link went away.

        A mapping that went may only have been moved (mremap(2)).
        """
        if not isinstance(result, OSError):
            return True
        if via == "map" or not isinstance(result, FileNotFoundError):
            self.unreadable.add(pid)
        return False

    def _links(self, pids: list[int]) -> list[Link]:
        """The links that say deleted."""
        listed = self.session.together([names(b"/proc/%d/fd" % pid) for pid in pids])
        maps = self.session.together([content(b"/proc/%d/maps" % pid) for pid in pids])
        candidates = [Link(pid, "exe", "exe", None, True, "read") for pid in pids]
        found: list[Link] = []
        for pid, descriptors, mappings in zip(pids, listed, maps, strict=True):
            if self._note(pid, descriptors) and not isinstance(descriptors, OSError):
                candidates += [
                    Link(pid, "fd", "fd/" + name.decode(), int(name), False, None)
                    for name in descriptors
                    if name.isdigit()
                ]
            if self._note(pid, mappings) and not isinstance(mappings, OSError):
                found += [mapped(pid, "map_files/", mapping) for mapping in _procfs.deleted_maps(mappings)]
        candidates += found
        texts = self.session.together([readlink(link.path) for link in candidates])
        for link, text in zip(candidates, texts, strict=True):
            if self._note(link.pid, text, link.via) and not isinstance(text, OSError):
                self.texts[link] = text
                if link.via == "exe":
                    self.programs.setdefault(text, []).append(link.pid)
                if b"/.procfs-rescue." in text:
                    self.alive.add(os.path.basename(text))
        return [link for link in candidates if link in self.texts and says_deleted(self.texts[link])]

    def _known(self, pids: list[int]) -> dict[int, _Known]:
        found = self.session.together([_known(pid) for pid in pids])
        return {
            pid: known
            for pid, known in zip(pids, found, strict=True)
            if self._note(pid, known) and not isinstance(known, OSError)
        }

    def _sightings(self, links: list[Link], known: dict[int, _Known]) -> Iterator[Sighting]:
        stats = self.session.together([stat(link.path) for link in links])
        regular = [
            link
            for link, found in zip(links, stats, strict=True)
            if self._note(link.pid, found, link.via) and not isinstance(found, OSError) and modes.S_ISREG(found.st_mode)
        ]
        numbers = self.session.open_files([link.path for link in regular], READ)
        opened = [
            (link, number)
            for link, number in zip(regular, numbers, strict=True)
            if self._note(link.pid, number, link.via)
        ]
        facts = self.session.facts(number for _link, number in opened if not isinstance(number, OSError))
        modes_of_links = self.session.together([lstat(link.path) for link, _number in opened])
        again = self.session.together([content(b"/proc/%d/stat" % link.pid) for link, _number in opened])
        kept: set[int] = set()
        for (link, number), fact, own, now in zip(opened, facts, modes_of_links, again, strict=True):
            if isinstance(fact, OSError) or isinstance(now, OSError) or isinstance(number, OSError):
                self._note(link.pid, fact)
                continue
            if _procfs.start_time(now) != known[link.pid].process.start_time:
                continue  # another process by now
            access = link.access
            if access is None:
                access = access_by(0 if isinstance(own, OSError) else own.st_mode)
            sighting = self._sighting(link, access, fact, known[link.pid])
            if sighting is None:
                continue
            if self.pins_left and self.pin(sighting):
                self.pins_left -= 1
                kept.add(number)
                sighting = sighting._replace(handle=number)
            yield sighting
        self.session.close_all(
            number for _link, number in opened if not isinstance(number, OSError) and number not in kept
        )

    def _sighting(self, link: Link, access: str, fact: Facts, known: _Known) -> Sighting | None:
        """None where the file is live."""
        if not says_deleted(fact.name) or not modes.S_ISREG(fact.stat.st_mode):
            return None
        mount = self.own_mounts.get(fact.mount_id)
        foreign = None
        if mount is None:
            mount = known.mounts.get(fact.mount_id)
            foreign = "untrusted" if mount is None else "unproven"
        if not is_believed(fact.name, mount):
            return None
        if fact.inode is None and foreign is None:
            foreign = "unproven"
        file = file_of(fact, mount, -next(self.unknown))
        found = sighting_of(known.process, link, access, fact.name, file, mount, foreign, self.own_mounts)
        if foreign is not None or not self._is_live(fact.name, file):
            return found
        self.back.append(found)
        return None

    def _is_live(self, text: bytes, file: File) -> bool:
        """Whether the very file has one of the names that its link may mean."""
        candidates = names_meant(text)
        found = self.session.together([lstat(name) for name in candidates])
        for name, status in zip(candidates, found, strict=True):
            if isinstance(status, OSError) or not modes.S_ISREG(status.st_mode):
                continue
            try:
                number = self.session.open_file(name, READ)
            except FileNotFoundError:
                continue
            try:
                fact = self.session.facts_of(number)
            finally:
                self.session.close(number)
            if file_of(fact, self.own_mounts.get(fact.mount_id), 0).identity == file.identity:
                return True
        return False


def _pid_in(path: Any) -> int | None:
    """Of the process that is asked about."""
    match = re.match(rb"/proc/(\d+)/", path) if isinstance(path, bytes) else None
    return None if match is None else int(match.group(1))


def file_of(fact: Facts, mount: Mount | None, unknown: int) -> File:
    """``device`` is that of the mount's row; ``unknown`` is the inode where the kernel does not tell it."""
    status = fact.stat
    return File(
        device=0 if mount is None else device_of(mount),
        inode=unknown if fact.inode is None else fact.inode,
        mode=status.st_mode,
        nlink=0,
        uid=status.st_uid,
        gid=status.st_gid,
        size=status.st_size,
        allocated=status.st_size,
        mtime_ns=status.st_mtime * 10**9,
    )


def device_of(mount: Mount) -> int:
    major, _colon, minor = mount.device.partition(":")
    return os.makedev(int(major), int(minor))


def _known(pid: int) -> Task[_Known]:
    found = yield from process(pid)
    mounts = _procfs.mounts((yield from content(b"/proc/%d/mountinfo" % pid)))
    return _Known(found, mounts)


def process(pid: int) -> Task[Process]:
    """What a process is now."""
    top = b"/proc/%d/" % pid
    stat_text = yield from content(top + b"stat")
    status = yield from content(top + b"status")
    try:
        exe = yield from readlink(top + b"exe")
    except OSError:  # unreadable exe was noted before
        exe = b""
    try:
        cgroup = yield from content(top + b"cgroup")
    except OSError:  # a kernel without cgroups
        cgroup = b""
    return process_from(pid, stat_text, status, exe, cgroup)
