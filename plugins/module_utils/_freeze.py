# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""freeze: who writes to a file is stopped while it is copied, and goes on whatever becomes of us.

A child of ours traces the writers (ptrace(2): PTRACE_SEIZE and PTRACE_INTERRUPT of every thread). To let them go it
ends, and the kernel does the rest, just as when somebody kills it. It ends when its time is over and when we end. Where
tracing is refused it sends SIGSTOP, and SIGCONT in the end; if it is killed, we do. Only both together must not be.
"""

import json
import os
import re
import select
import signal
import time
from contextlib import suppress
from functools import partial
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple, TypeVar

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._deadline import SilenceError, end_with, given
from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, read_at
from ansible_collections.procfs.rescue.plugins.module_utils._mounts import own_mounts

T = TypeVar("T")

# ptrace(2), Linux 3.4.
_SEIZE, _INTERRUPT = 0x4206, 0x4207

# The host cannot do without them for a moment: logins, logs, names of users. By comm or by the program's name.
_NEEDED = re.compile(
    rb"(?:sshd.*|dropbear|systemd.*|\(sd-pam\)|init|rsyslogd|syslogd|syslog-ng|auditd|audispd.*|dbus-.*|sssd.*|nscd|unscd"
    rb"|nslcd|polkitd)\Z"
)

_STOPPED = b"tTZX"


def _start_time(pid: int) -> Optional[int]:
    try:
        return _procfs.start_time(read_at("/proc/%d/stat" % pid))
    except OSError:
        return None


# Of the process that loads this and then scans: where the work may never end, a child of its does it.
_OURS = _start_time(os.getpid()) or 0


class Frozen(NamedTuple):
    """``stopped`` tells by pid how: ``ptrace`` or ``signal``; ``spared`` why not. ``seconds`` is how long they stood.

    ``in_time`` is False where they were let go before the work was done.
    """

    stopped: Dict[int, str]
    spared: Dict[int, str]
    seconds: float = 0.0
    in_time: bool = True


def while_frozen(
    work: Callable[[], T], writers: Mapping[int, int], identity: Tuple[int, int], seconds: float
) -> Tuple[T, Frozen]:
    """What ``work`` gives, done while the processes ``writers`` stand still, for ``seconds`` at most.

    ``writers`` are pids with their start times: whoever else has got the number is left alone. Processes that they
    start meanwhile and that have the file (st_dev, st_ino) open or mapped for writing are stopped, too.
    ``work`` must ask none of the host's services for anything. Raises what ``work`` raises.
    """
    there = [pid for pid, started in writers.items() if _start_time(pid) == started]
    spared = protected(there)
    wanted = [pid for pid in there if pid not in spared]
    if not wanted:
        return work(), Frozen({}, spared)
    told, tell = os.pipe()
    held, hold = os.pipe()
    parent = os.getpid()
    watchdog = os.fork()
    if watchdog == 0:
        try:
            _detach(tell, held)
            _watch(partial(_Freezer, wanted, spared, identity, tell, seconds / 8), parent, tell, held, seconds)
        finally:
            os._exit(0)
    for fd in tell, held:
        os.close(fd)
    signalled: Dict[str, Optional[int]] = {}
    try:
        with os.fdopen(told, "rb") as answers:
            frozen = Frozen(*_line(answers, signalled, [{}, spared]))
            answer = work()
            close(hold)
            hold = -1
            stood, in_time = _line(answers, signalled, [0.0, False])
    finally:
        if hold >= 0:
            close(hold)
        with suppress(ChildProcessError):
            if os.waitpid(watchdog, 0)[1]:
                _let_go(signalled)
    stopped = {int(pid): way for pid, way in frozen.stopped.items()}
    return answer, Frozen(stopped, {int(pid): why for pid, why in frozen.spared.items()}, stood, in_time)


def protected(pids: Iterable[int]) -> Dict[int, str]:
    """Which of them must not be stopped, and why."""
    ours = _ancestors()
    found = {}
    for pid in pids:
        why = "it runs this module" if pid in ours else _needed_for(pid)
        if why is not None:
            found[pid] = why
    return found


def _ancestors() -> Set[int]:
    pid = os.getpid()
    found = {1}
    while pid and pid not in found:
        found.add(pid)
        with suppress(OSError):
            pid = _procfs.parent(read_at("/proc/%d/status" % pid)) or 0
    return found


def _needed_for(pid: int) -> Optional[str]:
    with suppress(OSError):
        names = [read_at("/proc/%d/comm" % pid).strip()]
        with suppress(OSError):
            names.append(os.path.basename(os.readlink(b"/proc/%d/exe" % pid)))
        if any(_NEEDED.match(name) for name in names):
            return "the host needs it all the time"
        for link in _descriptors(pid):
            with suppress(OSError):
                if os.readlink(link) == "/dev/fuse":
                    return "it serves a file system"
    return None


def _line(answers: Any, signalled: Dict[str, Optional[int]], otherwise: List[Any]) -> List[Any]:
    """What the watchdog says; ``otherwise`` where it was killed. Then those that it had ``signalled`` go on."""
    while True:
        line = answers.readline()
        if not line.endswith(b"\n"):
            _let_go(signalled)
            return otherwise
        answer: Any = json.loads(line.decode("ascii"))
        if isinstance(answer, list):
            return answer
        signalled.update(answer)


def _say(tell: int, what: Any) -> None:
    os.write(tell, json.dumps(what).encode("ascii") + b"\n")


def _let_go(signalled: Mapping[Any, Optional[int]]) -> None:
    """Those that got SIGSTOP, by pid with their start times."""
    for pid, started in signalled.items():
        if _start_time(int(pid)) == started:
            with suppress(OSError):
                os.kill(int(pid), signal.SIGCONT)


def _detach(*keep: int) -> None:
    """A session of its own, out of reach of whoever kills our process group; nothing of ours stays open."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    for fd in map(int, os.listdir("/proc/self/fd")):
        if fd > 2 and fd not in keep:
            close(fd)
    for number in signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE:
        signal.signal(number, signal.SIG_IGN)


def _watch(make: Callable[[], "_Freezer"], parent: int, tell: int, held: int, seconds: float) -> None:
    started = time.monotonic()
    # What /proc is asked for may never be answered. This ends us all the same, as no handler of Python's would.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    freezer = make()
    try:
        freezer.stop(started + seconds / 2)
        if not freezer.signalled:  # those that we trace go on when we end; those that got SIGSTOP need us
            end_with(parent)
        signal.setitimer(signal.ITIMER_REAL, 0)
        _say(tell, [freezer.ways, freezer.spared])
        held_on = select.poll()  # select(2) takes no number of 1,024 or more
        held_on.register(held, select.POLLIN)
        in_time = bool(held_on.poll(1000 * max(0.0, started + seconds - time.monotonic())))
    finally:
        _let_go(freezer.signalled)
    # Traced ones go on when this process has ended, in a moment.
    _say(tell, [round(time.monotonic() - started, 3), in_time])


class _Freezer:
    def __init__(
        self,
        pids: List[int],
        spared: Dict[int, str],
        identity: Tuple[int, int],
        tell: int,
        patience: float,
    ) -> None:
        self.pids = pids
        self.spared = spared
        self.ways: Dict[int, str] = {}
        self.signalled: Dict[int, Optional[int]] = {}
        self._identity = identity
        self._tell = tell
        self._patience = patience
        self._answering = {number for number, mount in own_mounts().items() if not mount.may_never_answer}
        self._seized: Set[int] = set()
        self._looked_at: Set[int] = set()
        self._ptrace = _ptrace()
        # The file is one of these; what else a newcomer has open is not to be asked for, its server may be dead.
        self._texts = {text for pid in (*pids, *spared) for _link, text in _written_by(pid)}

    def stop(self, until: float) -> None:
        """Round after round, until neither a thread nor a process is left that runs and could make others."""
        while True:
            running = [pid for pid in self.pids if not self._is_stopped(pid)]
            if not running:
                newcomers = self._newcomers()
                if not newcomers:
                    return
                self.pids += newcomers
            if time.monotonic() > until:
                for pid in running:
                    self.ways.pop(pid, None)
                    self.spared[pid] = "it did not stop in time"
                return
            time.sleep(0.001)

    def _is_stopped(self, pid: int) -> bool:
        """Stops what runs; whether nothing did."""
        all_stopped = True
        threads = _threads(pid)
        for tid in threads:
            if tid not in self._seized and pid not in self.signalled:
                self._stop_thread(pid, tid)
            all_stopped = all_stopped and self._stands(pid, tid)
        # Before it stood a thread may have made others that were not listed yet.
        return all_stopped and set(_threads(pid)).issubset(threads)

    def _stands(self, pid: int, tid: int) -> bool:
        state = _state(pid, tid)
        if state == b"t" and tid not in self._seized:
            # Another one traces it, and may let it go the next moment: it stops then if our signal has arrived.
            return pid in self.signalled and not _is_pending(pid, tid, signal.SIGSTOP)
        return state in _STOPPED

    def _stop_thread(self, pid: int, tid: int) -> None:
        if self._ptrace is not None and self._ptrace(_SEIZE, tid) and self._ptrace(_INTERRUPT, tid):
            self._seized.add(tid)
            self.ways.setdefault(pid, "ptrace")
        elif not self._stands(pid, tid):
            with suppress(OSError):
                started = _start_time(pid)
                _say(self._tell, {pid: started})  # before: we may be killed
                os.kill(pid, signal.SIGSTOP)
                self.signalled[pid] = started
                self.ways[pid] = "signal"

    def _newcomers(self) -> List[int]:
        """Processes that began after us and write to the file: children of those that are stopped now."""
        new = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            if pid in self._looked_at or pid in self.pids or pid in self.spared or pid == os.getpid():
                continue
            self._looked_at.add(pid)
            started = _start_time(pid)
            if started is not None and started >= _OURS and self._writes(pid):
                why = protected([pid])
                self.spared.update(why)
                if not why:
                    new.append(pid)
        return new

    def _writes(self, pid: int) -> bool:
        return any(text in self._texts and self._is_the_file(link) for link, text in _written_by(pid))

    def _is_the_file(self, link: str) -> bool:
        """Its own server may be stopped meanwhile, and who waits for that cannot always be killed: a child asks."""

        def ask_apart() -> Tuple[int, int]:
            close(self._tell)
            return _identity(link)

        with suppress(OSError, SilenceError):
            if _mount_id(link) in self._answering:
                return _identity(link) == self._identity
            return given(ask_apart, self._patience, lambda: False) == self._identity
        return False


def _written_by(pid: int) -> Iterator[Tuple[str, bytes]]:
    """Links to what it has open or mapped for writing, and what they read: that asks no file system."""
    for link in _descriptors(pid):
        with suppress(OSError):
            if os.lstat(link).st_mode & 0o200:  # as it was opened (proc(5))
                yield link, os.readlink(os.fsencode(link))
    with suppress(OSError):
        for mapping in _procfs.deleted_maps(read_at("/proc/%d/maps" % pid)):
            if "w" in mapping.permissions and "s" in mapping.permissions:
                link = "/proc/%d/map_files/%s" % (pid, mapping.address)
                with suppress(OSError):
                    yield link, os.readlink(os.fsencode(link))


def _descriptors(pid: int) -> List[str]:
    """The magic links of what it has open; the first thread of a process may have ended, and shows none then."""
    for folder in ["/proc/%d/fd" % pid, *("/proc/%d/task/%d/fd" % (pid, tid) for tid in _threads(pid))]:
        with suppress(OSError):
            found = os.listdir(folder)
            if found:
                return ["%s/%s" % (folder, fd) for fd in found]
    return []


def _identity(link: str) -> Tuple[int, int]:
    found = os.stat(link)
    return found.st_dev, found.st_ino


def _mount_id(link: str) -> Optional[int]:
    """None for a mapping, of which that is not told."""
    folder, _fd, number = link.partition("/fd/")
    return _procfs.mount_id(read_at("%s/fdinfo/%s" % (folder, number))) if number else None


def _ptrace() -> Optional[Callable[[int, int], bool]]:
    try:
        import ctypes  # a Python without libffi has none
    except ImportError:
        return None
    call = ctypes.CDLL(None, use_errno=True).ptrace
    call.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    call.restype = ctypes.c_long
    return lambda request, tid: bool(call(request, tid, None, None) == 0)


def _threads(pid: int) -> List[int]:
    try:
        return [int(tid) for tid in os.listdir("/proc/%d/task" % pid)]
    except OSError:
        return []


def _is_pending(pid: int, tid: int, number: int) -> bool:
    """Whether a signal waits for a thread, or for its process (proc(5), SigPnd and ShdPnd)."""
    try:
        status = read_at("/proc/%d/task/%d/status" % (pid, tid))
    except OSError:  # it ended
        return False
    return any(
        int(mask, 16) >> (number - 1) & 1 for mask in re.findall(rb"^S(?:ig|hd)Pnd:\t([0-9a-f]+)$", status, re.M)
    )


def _state(pid: int, tid: int) -> bytes:
    """One letter (proc(5)); X where it has ended."""
    try:
        return read_at("/proc/%d/task/%d/stat" % (pid, tid)).rpartition(b")")[2].split()[0]
    except (IndexError, OSError):
        return b"X"
