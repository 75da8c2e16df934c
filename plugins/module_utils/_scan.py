# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""scan: one pass over /proc of this host; a handle is opened on every deleted file the moment it is seen.

One readlink per descriptor is what it costs; everything else is asked only for the few links that say deleted.
"""

import errno
import fcntl
import math
import os
import resource
import stat
import time
from functools import partial
from typing import Callable, Dict, FrozenSet, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _place, _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._deadline import Tell, answers, heard
from ansible_collections.procfs.rescue.plugins.module_utils._handle import (
    file_of,
    link_text,
    mount_id_of,
    open_directory,
    read_at,
)
from ansible_collections.procfs.rescue.plugins.module_utils._ioctl import NS_GET_USERNS
from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    NORMAL,
    Effort,
    File,
    Mount,
    Place,
    Process,
    Scan,
    Sighting,
)
from ansible_collections.procfs.rescue.plugins.module_utils._names import (
    DELETED,
    RENAMED,
    TOO_LONG,
    printable,
)

_ACCESS = {stat.S_IRUSR: "read", stat.S_IWUSR: "write", stat.S_IRUSR | stat.S_IWUSR: "both"}

# The process went away or is a zombie: it holds nothing any more.
_GONE = (errno.ENOENT, errno.ESRCH)


# Descriptors left over for the work itself.
_SPARE_HANDLES = 64

# Any user can make processes and mounts that never answer, as many as she likes: each gets half the time of the one
# before, but no less than this, in seconds.
_LEAST_PATIENCE = 0.1

# Sightings are told so many at a time: a message has room for 253 descriptors.
_AT_ONCE = 100

# Children that walk at once, and the processes that make up for what it costs to start one more.
_MOST_WALKERS = 4
_WORTH_A_WALKER = 100

# Who walks looks at the clock once in so many names.
_NAMES_AT_ONCE = 1000

# Seconds that those who walk have after the time is over, to notice it and to tell what they saw.
_LAST_WORDS = 0.5

# From so many descriptors on, it pays to look whether nearly all numbers are in use.
_MANY = 100


class _Link(NamedTuple):
    via: str
    name: str  # below /proc/PID
    fd: Optional[int]
    executable: bool
    access: Optional[str]  # None where only the link's own mode tells


class _News(NamedTuple):
    """What the one who walks tells of the next process: what was seen, and of ``pinned`` ones the handles come along.

    ``skipped`` are (mount id, mount point) of links into a mount that does not answer, ``back`` is as in `Scan`. Only
    the last news of a process say ``done``.
    """

    sightings: Sequence[Sighting] = ()
    pinned: Sequence[int] = ()
    skipped: Sequence[Tuple[int, str]] = ()
    program: bytes = b""
    back: Sequence[Sighting] = ()
    done: bool = False
    there: bool = True
    unreadable: bool = False


def scan(pin: Callable[[Sighting], bool], effort: Effort = NORMAL) -> Scan:
    """Every magic link (exe, fd, map_files) of every process that leads to a file whose name is gone.

    Where ``pin`` says so the sighting keeps its handle (O_PATH): from then on the file cannot be lost. What cannot be
    read, or not in time, is counted in the result, never an error.
    """
    walk = _Walk(pin, effort)
    proc = open_directory("/proc")
    try:
        if not os.path.exists("/proc/1"):  # hidepid: processes are not even listed (proc(5))
            walk.unreadable += 1
        unvisited = walk.walk([int(pid) for pid in os.listdir(proc) if pid.isdigit() and int(pid) != os.getpid()], proc)
    finally:
        os.close(proc)
    mounts = own_mounts()
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


def connection(pid: int, status_of: Callable[[int], bytes]) -> FrozenSet[int]:
    """``pid`` and its ancestors, except init and init's own child: that is the daemon, which serves others too."""
    pids: List[int] = []
    while True:
        try:
            parent = _procfs.parent(status_of(pid))
        except OSError:
            parent = None
        if not parent or parent == 1 or pid in pids:
            return frozenset(pids)
        pids.append(pid)
        pid = parent


def process(pid: int) -> Process:
    """What a process is now. Raises OSError."""
    directory = open_directory("/proc/%d" % pid)
    try:
        return _process(pid, directory, "")
    finally:
        os.close(directory)


def own_mounts() -> Dict[int, Mount]:
    """The mounts of our own namespace by mount id."""
    return _procfs.mounts(read_at("/proc/self/mountinfo"))


def _raised_handle_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # the system's own limit (fs.nr_open) may be lower than an infinite hard limit
        return soft
    return hard


class _Walk:
    """What is shared by the visits to all processes."""

    def __init__(self, pin: Callable[[Sighting], bool], effort: Effort) -> None:
        self.effort = effort
        self.sightings: List[Sighting] = []
        self.back: List[Sighting] = []
        self.processes = 0
        self.unreadable = 0
        self.skipped: Dict[str, int] = {}
        self.silent: List[int] = []
        self.patience = effort.deadline
        self.own_mounts = own_mounts()
        self.own_user_namespace = os.stat("/proc/self/ns/user").st_ino
        self.own_mount_namespace = os.stat("/proc/self/ns/mnt").st_ino
        self.programs: Dict[bytes, List[int]] = {}
        self._answering: Dict[int, bool] = {}
        self._pin = pin
        self._until = math.inf if effort.timeout is None else time.monotonic() + effort.timeout
        self._numbers: List[str] = []
        # Beyond this many handles a sighting has none and its link is opened again when needed.
        self._pins_left = _raised_handle_limit() - len(os.listdir("/proc/self/fd")) - _SPARE_HANDLES

    def walk(self, pids: List[int], proc: int) -> List[int]:
        """Visits these processes; returns those for which no time was left.

        Children do it: whoever runs a process, or serves its files, can keep an answer about it from us for ever, and
        even from being killed.
        """
        left = list(pids)
        while left and not self.is_late():
            walkers = max(1, min(_MOST_WALKERS, len(os.sched_getaffinity(0)), len(left) // _WORTH_A_WALKER))
            shares = [left[number::walkers] for number in range(walkers)]
            works = [partial(self._tell_of, tuple(share), proc, walkers) for share in shares]
            # Their own questions of that length come first.
            for message in heard(works, 1.5 * self.patience, self._until + _LAST_WORDS):
                share = shares[message.number]
                if message.is_silent:
                    self.silent.append(share[0])
                    self._hear(_News(done=True, unreadable=True), (), share)
                    self.lose_patience()
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

    def lose_patience(self) -> None:
        self.patience = max(self.patience / 2, _LEAST_PATIENCE)

    def _hear(self, news: _News, handles: Sequence[int], left: List[int]) -> None:
        found = list(news.sightings)
        for number, handle in zip(news.pinned, handles):
            found[number] = found[number]._replace(handle=handle)
        self._pins_left -= len(handles)
        self.sightings += found
        self.back += news.back
        for mount_id, mount_point in news.skipped:
            if mount_id not in self._answering:
                self._answering[mount_id] = False
                self.lose_patience()
            self.skipped[mount_point] = self.skipped.get(mount_point, 0) + 1
        if news.program:
            self.programs.setdefault(news.program, []).append(left[0])
        if news.done:
            left.pop(0)
            self.processes += news.there
            self.unreadable += news.unreadable

    def _tell_of(self, pids: Sequence[int], proc: int, walkers: int, tell: Tell) -> None:
        self._pins_left //= walkers
        for pid in pids:
            if self.is_late():
                return
            try:
                # An opened /proc/PID never turns into another process.
                directory = open_directory(str(pid), proc)
            except OSError as error:
                is_there = error.errno not in _GONE
                tell(_News(done=True, there=is_there, unreadable=is_there), ())
                continue
            try:
                _Visit(self, pid, directory, tell).tell_all()
            finally:
                os.close(directory)

    def pins(self, sighting: Sighting) -> bool:
        if self._pins_left <= 0 or not self._pin(sighting):
            return False
        self._pins_left -= 1
        return True

    def is_late(self) -> bool:
        return time.monotonic() > self._until

    def numbers(self, count: int) -> List[str]:
        """0 to ``count`` - 1, as /proc writes them."""
        if len(self._numbers) < count:
            self._numbers = [str(number) for number in range(count)]
        return self._numbers[:count]

    def answers(self, mount_id: int, mount: Optional[Mount], foreign: Optional[str], handle: int) -> bool:
        """Whether the file system behind ``handle`` answers at all.

        Each mount is asked once, by a child process with a deadline. ``mount`` is None for memfd and the like, but also
        for a dead mount that somebody detached with umount -l. What a user mounted may ask others in its turn.
        """
        if mount is not None and not mount.may_never_answer and foreign != "untrusted":
            return True
        if mount_id not in self._answering:
            patience = max(0.0, min(self.patience, self._until - time.monotonic()))
            self._answering[mount_id] = answers(lambda: os.fstat(handle), patience)
            if not self._answering[mount_id]:
                self.lose_patience()
        return self._answering[mount_id]


class _Visit:
    """One process, seen through its opened /proc/PID. ``unreadable`` becomes true when it would not show everything."""

    def __init__(self, walk: _Walk, pid: int, directory: int, tell: Tell) -> None:
        self.walk = walk
        self.tell = tell
        self.pid = pid
        self.directory = directory
        self.thread = ""  # where below /proc/PID the descriptors are: with the first thread, if that lives
        self.unreadable = False
        self._mounts: Optional[Dict[int, Mount]] = None
        self._held: Set[Tuple[int, Tuple[int, int]]] = set()
        self._seen: List[Sighting] = []
        self._back: List[Sighting] = []
        self._pinned: List[int] = []
        self._handles: List[int] = []
        self._skipped: List[Tuple[int, str]] = []
        self._program = b""

    def tell_all(self) -> None:
        holder = None
        for link in self._links():
            if self.walk.is_late():
                self.unreadable = True
                break
            try:
                holder = holder or _process(self.pid, self.directory, self.thread)
                sighting = self._look(holder, link)
            except OSError as error:
                self._note(error)
                continue
            if sighting is not None:
                if sighting.handle is not None:
                    self._pinned.append(len(self._seen))
                    self._handles.append(sighting.handle)
                self._seen.append(sighting._replace(handle=None))
            if len(self._seen) >= _AT_ONCE:
                self._tell_what_was_seen()
        self._tell_what_was_seen(done=True)

    def _tell_what_was_seen(self, done: bool = False) -> None:
        """Before a question that may never be answered, and now and then."""
        if done or self._seen or self._skipped or self._back:
            news = _News(
                self._seen, self._pinned, self._skipped, self._program, self._back, done, True, self.unreadable
            )
            self.tell(news, self._handles)
            self._program = b""
        for handle in self._handles:
            os.close(handle)
        self._seen, self._pinned, self._handles, self._skipped, self._back = [], [], [], [], []

    def _note(self, error: OSError) -> None:
        if error.errno not in _GONE:
            self.unreadable = True

    def _links(self) -> Iterator[_Link]:
        """The links that say deleted, the executable first: it is what people miss most."""
        text = self._exe()
        if not text:  # a kernel thread, a zombie, or a process whose first thread ended
            self._turn_to_a_living_thread()
            text = self._exe() if self.thread else ""
        self._program = self._as_this_host_sees(os.fsencode(text))
        if text.endswith(" (deleted)"):
            yield _Link("exe", self.thread + "exe", None, True, "read")
        yield from self._descriptors(self.thread)
        if self.walk.effort.threads:
            for thread in self._other_threads():
                yield from self._descriptors(thread)
        yield from self._mapped()

    def _exe(self) -> str:
        try:
            return os.readlink(self.thread + "exe", dir_fd=self.directory)
        except OSError as error:
            self._note(error)
            return ""

    def _as_this_host_sees(self, program: bytes) -> bytes:
        """The path of the executable on this host, empty where it has none, as in a container.

        Where a user made the namespace nothing else than the text is to be had, and what she runs is not to be hidden.
        """
        try:
            namespace = os.stat(self.thread + "ns/mnt", dir_fd=self.directory).st_ino
            if namespace == self.walk.own_mount_namespace:
                return program
            handle = os.open(self.thread + "exe", os.O_PATH | os.O_CLOEXEC, dir_fd=self.directory)
            try:
                mount, foreign = self._mount(mount_id_of(handle))
            finally:
                os.close(handle)
        except OSError:
            return program
        if foreign != "trusted" or mount is None:
            return program
        path = program[: -len(DELETED)] if program.endswith(DELETED) else program
        return self._host_path(path, _place.place_of(mount, path), foreign) or b""

    def _turn_to_a_living_thread(self) -> None:
        """A process whose first thread ended looks like a zombie, while its other threads hold everything."""
        others = self._other_threads()
        if others:
            self.thread = others[0]

    def _other_threads(self) -> List[str]:
        try:
            threads = open_directory("task", self.directory)
            try:
                paths = ["task/%s/" % name for name in os.listdir(threads) if name != str(self.pid)]
            finally:
                os.close(threads)
        except OSError as error:
            self._note(error)
            return []
        return [path for path in paths if path != self.thread]

    def _descriptors(self, thread: str) -> Iterator[_Link]:
        try:
            directory = open_directory(thread + "fd", self.directory)
        except OSError as error:
            self._note(error)
            return
        readlink = os.readlink
        try:
            numbers = self._numbers(thread, directory)
            for start in range(0, len(numbers), _NAMES_AT_ONCE):
                if self.walk.is_late():
                    self.unreadable = True
                    return
                for name in numbers[start : start + _NAMES_AT_ONCE]:
                    try:
                        text = readlink(name, dir_fd=directory)
                    except OSError as error:
                        if error.errno != errno.ENAMETOOLONG:
                            self._note(error)
                            continue
                        text = os.fsdecode(TOO_LONG + DELETED)  # perhaps: its number of links tells
                    # A first sieve, as quick as can be; what the opened handle says decides.
                    if text[-1:] != ")" and "/." not in text:
                        continue
                    if text.endswith(" (deleted)") or "/.nfs" in text or "/.fuse_hidden" in text:
                        yield _Link("fd", thread + "fd/" + name, int(name), False, None)
        except OSError as error:
            self._note(error)
        finally:
            os.close(directory)

    def _numbers(self, thread: str, directory: int) -> List[str]:
        """The descriptors. Where nearly all numbers are in use, asking for each costs less than to have them listed."""
        used = os.fstat(directory).st_size  # Linux 6.2; nothing but the speed depends on it
        if used >= _MANY:
            slots = _procfs.slots(read_at(thread + "status", self.directory))
            if slots is not None and slots < 1.4 * used:
                return self.walk.numbers(slots)
        return os.listdir(directory)

    def _mapped(self) -> Iterator[_Link]:
        self._tell_what_was_seen()
        try:
            maps = read_at(self.thread + "maps", self.directory)
        except OSError as error:
            self._note(error)
            return
        # In task/ there are none, but each thread has a folder in /proc as well, which is not listed.
        folder = self.thread.replace("task/", "../") + "map_files/"
        for mapping in _procfs.deleted_maps(maps):
            permissions = mapping.permissions
            access = "both" if "w" in permissions and "s" in permissions else "read"
            yield _Link("map", folder + mapping.address, None, "x" in permissions, access)

    def _look(self, holder: Process, link: _Link) -> Optional[Sighting]:
        handle = os.open(link.name, os.O_PATH | os.O_CLOEXEC, dir_fd=self.directory)
        pinned = False
        try:
            sighting = self._sighting(holder, link, handle)
            if sighting is None or self._is_held_by_another_thread(sighting):
                return None
            if self.walk.pins(sighting):
                pinned = True
                return sighting._replace(handle=handle)
            return sighting
        finally:
            if not pinned:
                os.close(handle)

    def _is_held_by_another_thread(self, sighting: Sighting) -> bool:
        """Nearly all threads share one table of descriptors, and procfs shows it for each of them."""
        if sighting.fd is None or not self.walk.effort.threads:
            return False
        key = (sighting.fd, sighting.file.identity)
        if key in self._held:
            return True
        self._held.add(key)
        return False

    def _sighting(self, holder: Process, link: _Link, handle: int) -> Optional[Sighting]:
        """None where the file is live, or its file system does not answer."""
        # What the link said before it was opened may have been said of another file: descriptors are quickly exchanged.
        text = _text_of(handle)
        if not text.endswith(DELETED) and not RENAMED.search(text):
            return None
        mount_id = mount_id_of(handle)
        mount, foreign = self._mount(mount_id)
        if not self.walk.answers(mount_id, mount, foreign, handle):
            self._skipped.append((mount_id, "(detached)" if mount is None else printable(mount.mount_point)))
            return None
        if not text.endswith(DELETED) and (mount is None or not mount.fs_type.startswith(("nfs", "fuse"))):
            return None
        file = file_of(handle)
        path = text[: -len(DELETED)] if text.endswith(DELETED) else text
        place = None if mount is None or path == TOO_LONG else _place.place_of(mount, path)
        if path == TOO_LONG and file.nlink:
            return None
        found = Sighting(
            process=holder,
            via=link.via,
            fd=link.fd,
            access=self._access(link),
            executable=link.executable,
            link="/proc/%d/%s" % (self.pid, link.name),
            path=path,
            file=file,
            handle=None,
            mount=mount,
            place=place,
            foreign=foreign,
            host_path=self._host_path(path, place, foreign),
        )
        if not self._is_live(text, file, foreign):
            return found
        self._back.append(found)
        return None

    def _host_path(self, path: bytes, place: Optional[Place], foreign: Optional[str]) -> Optional[bytes]:
        if foreign is None:
            return None if path == TOO_LONG else path
        return None if place is None else _place.host_path(place, self.walk.own_mounts.values())

    def _access(self, link: _Link) -> str:
        if link.access is not None:
            return link.access
        mode = os.stat(link.name, dir_fd=self.directory, follow_symlinks=False).st_mode
        return _ACCESS.get(mode & (stat.S_IRUSR | stat.S_IWUSR), "read")

    def _mount(self, mount_id: int) -> Tuple[Optional[Mount], Optional[str]]:
        """The row of a handle's mount; with it None where it is one of ours, else how far the holder's is believed.

        An id cannot be given to another mount while the handle is open.
        """
        if mount_id not in self.walk.own_mounts and self._mounts is None:
            self.walk.own_mounts = own_mounts()  # it may be new
        if mount_id in self.walk.own_mounts:
            return self.walk.own_mounts[mount_id], None
        if self._mounts is None:
            self._mounts = _procfs.mounts(read_at(self.thread + "mountinfo", self.directory))
        return self._mounts.get(mount_id), "trusted" if self._mounts_are_believed() else "untrusted"

    def _mounts_are_believed(self) -> bool:
        """Whether the holder's mountinfo speaks of paths as we see them, and no user made its mount namespace."""
        try:
            if os.readlink(self.thread + "root", dir_fd=self.directory) != "/":
                return False  # mountinfo is written as seen from the root of that process
            namespace = os.open(self.thread + "ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.directory)
            try:
                owner = fcntl.ioctl(namespace, NS_GET_USERNS)
            finally:
                os.close(namespace)
        except OSError:
            return False
        try:
            return os.fstat(owner).st_ino == self.walk.own_user_namespace
        finally:
            os.close(owner)

    def _is_live(self, text: bytes, file: File, foreign: Optional[str]) -> bool:
        """Whether this very file has the link's whole text for a name, or has its own again: then it is not deleted.

        nlink does not tell: overlayfs keeps 1 for a deleted file of its lower layer. An untrusted holder's root is not
        looked into: whoever made it may have mounted there something that never answers.
        """
        if file.nlink == 0 or not text.endswith(DELETED) or foreign == "untrusted":
            return False
        top = b"/" if foreign is None else b"/proc/%d/root/" % self.pid
        for name in (text, text[: -len(DELETED)]):
            try:
                named = os.stat(top + name.lstrip(b"/"), follow_symlinks=False)
            except OSError:
                continue
            if (named.st_dev, named.st_ino) == file.identity:
                return True
        return False


def _text_of(handle: int) -> bytes:
    try:
        return link_text(handle)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        return TOO_LONG + DELETED


def _process(pid: int, directory: int, thread: str) -> Process:
    stat_text = read_at("stat", directory)
    started = _procfs.start_time(stat_text)
    uid = _procfs.uid(read_at("status", directory))
    if started is None or uid is None:
        raise OSError(errno.EIO, "odd content of /proc/%d/stat or status" % pid)
    try:
        exe = os.fsencode(os.readlink(thread + "exe", dir_fd=directory))
    except OSError:  # unreadable exe was noted by _links already
        exe = b""
    try:
        cgroup = read_at("cgroup", directory)
    except OSError:  # a kernel without cgroups
        cgroup = b""
    return Process(
        pid=pid,
        start_time=started,
        comm=stat_text[stat_text.find(b"(") + 1 : stat_text.rfind(b")")],
        exe=exe,
        uid=uid,
        cgroup=cgroup,
    )
