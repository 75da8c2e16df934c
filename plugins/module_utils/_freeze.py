# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""freeze: who writes to a file is stopped while it is copied, and goes on whatever becomes of us.

A child of ours traces the writers (ptrace(2): PTRACE_SEIZE and PTRACE_INTERRUPT of every thread). To let them go it
ends, and the kernel does the rest, just as when somebody kills it. It ends when its time is over and when we end. Where
tracing is refused it sends SIGSTOP, and SIGCONT in the end; only then it must not be killed.
"""

import json
import os
import re
import select
import signal
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple, TypeVar

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, read_at

T = TypeVar("T")

# ptrace(2), Linux 3.4.
_SEIZE, _INTERRUPT = 0x4206, 0x4207

# The host cannot do without them for a moment: logins, logs, names of users. By comm or by the program's name.
_NEEDED = re.compile(
    rb"(?:sshd.*|systemd.*|\(sd-pam\)|init|rsyslogd|syslog-ng|auditd|audispd.*|dbus-.*|sssd.*|nscd|unscd|nslcd|polkitd)\Z"
)

_STOPPED = b"tTZX"


class Frozen(NamedTuple):
    """``stopped`` tells by pid how: ``ptrace`` or ``signal``; ``spared`` why not. ``seconds`` is how long they stood.

    ``in_time`` is False where they were let go before the work was done.
    """

    stopped: Dict[int, str]
    spared: Dict[int, str]
    seconds: float = 0.0
    in_time: bool = True


def while_frozen(
    work: Callable[[], T], writers: Iterable[int], identity: Tuple[int, int], seconds: float
) -> Tuple[T, Frozen]:
    """What ``work`` gives, done while the processes ``writers`` stand still, for ``seconds`` at most.

    Processes that they start meanwhile and that have the file (st_dev, st_ino) open or mapped for writing are stopped,
    too.
    ``work`` must ask none of the host's services for anything. Raises what ``work`` raises.
    """
    since = _procfs.start_time(read_at("/proc/self/stat")) or 0
    spared = protected(writers)
    wanted = [pid for pid in dict.fromkeys(writers) if pid not in spared]
    if not wanted:
        return work(), Frozen({}, spared)
    told, tell = os.pipe()
    held, hold = os.pipe()
    watchdog = os.fork()
    if watchdog == 0:
        try:
            _detach(tell, held)
            _watch(_Freezer(wanted, spared, identity, since), tell, held, seconds)
        finally:
            os._exit(0)
    for fd in tell, held:
        os.close(fd)
    try:
        with os.fdopen(told, "rb") as answers:
            frozen = Frozen(*_line(answers, [{}, spared]))
            answer = work()
            close(hold)
            hold = -1
            stood, in_time = _line(answers, [0.0, False])
    finally:
        if hold >= 0:
            close(hold)
        with suppress(ChildProcessError):
            os.waitpid(watchdog, 0)
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
        for fd in os.listdir("/proc/%d/fd" % pid):
            with suppress(OSError):
                if os.readlink("/proc/%d/fd/%s" % (pid, fd)) == "/dev/fuse":
                    return "it serves a file system"
    return None


def _line(answers: Any, otherwise: List[Any]) -> List[Any]:
    """What the watchdog says; ``otherwise`` where it was killed."""
    line = answers.readline()
    answer: List[Any] = json.loads(line.decode("ascii")) if line.endswith(b"\n") else otherwise
    return answer


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


def _watch(freezer: "_Freezer", tell: int, held: int, seconds: float) -> None:
    started = time.monotonic()
    try:
        freezer.stop(started + seconds / 2)
        os.write(tell, json.dumps([freezer.ways, freezer.spared]).encode("ascii") + b"\n")
        in_time = bool(select.select([held], [], [], max(0.0, started + seconds - time.monotonic()))[0])
    finally:
        freezer.let_go()
    # Traced ones go on when this process has ended, in a moment.
    os.write(tell, json.dumps([round(time.monotonic() - started, 3), in_time]).encode("ascii") + b"\n")


class _Freezer:
    def __init__(self, pids: List[int], spared: Dict[int, str], identity: Tuple[int, int], since: int) -> None:
        self.pids = pids
        self.spared = spared
        self.ways: Dict[int, str] = {}
        self._identity = identity
        self._since = since
        self._seized: Set[int] = set()
        self._signalled: Dict[int, Optional[int]] = {}
        self._looked_at: Set[int] = set()
        self._ptrace = _ptrace()

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

    def let_go(self) -> None:
        for pid, started in self._signalled.items():
            if _start_time(pid) == started:
                with suppress(OSError):
                    os.kill(pid, signal.SIGCONT)

    def _is_stopped(self, pid: int) -> bool:
        """Stops what runs; whether nothing did."""
        all_stopped = True
        for tid in _threads(pid):
            if tid not in self._seized and pid not in self._signalled:
                self._stop_thread(pid, tid)
            all_stopped = all_stopped and _state(pid, tid) in _STOPPED
        return all_stopped

    def _stop_thread(self, pid: int, tid: int) -> None:
        if self._ptrace is not None and self._ptrace(_SEIZE, tid) and self._ptrace(_INTERRUPT, tid):
            self._seized.add(tid)
            self.ways.setdefault(pid, "ptrace")
        elif _state(pid, tid) not in _STOPPED:
            with suppress(OSError):
                started = _start_time(pid)
                os.kill(pid, signal.SIGSTOP)
                self._signalled[pid] = started
                self.ways[pid] = "signal"

    def _newcomers(self) -> List[int]:
        """Processes that began after us and write to the file: children of those that are stopped now."""
        new = []
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            if pid in self._looked_at or pid in self.pids or pid in self.spared or pid == os.getpid():
                continue
            self._looked_at.add(pid)
            started = _start_time(pid)
            if started is not None and started >= self._since and (self._writes(pid) or self._maps(pid)):
                why = protected([pid])
                self.spared.update(why)
                if not why:
                    new.append(pid)
        return new

    def _writes(self, pid: int) -> bool:
        with suppress(OSError):
            for fd in os.listdir("/proc/%d/fd" % pid):
                with suppress(OSError):
                    found = os.stat("/proc/%d/fd/%s" % (pid, fd))
                    if (found.st_dev, found.st_ino) == self._identity:
                        mode = os.lstat("/proc/%d/fd/%s" % (pid, fd)).st_mode
                        if mode & 0o200:  # as it was opened (proc(5))
                            return True
        return False

    def _maps(self, pid: int) -> bool:
        with suppress(OSError):
            for mapping in _procfs.deleted_maps(read_at("/proc/%d/maps" % pid)):
                with suppress(OSError):
                    found = os.stat("/proc/%d/map_files/%s" % (pid, mapping.address))
                    is_shared = "w" in mapping.permissions and "s" in mapping.permissions
                    if is_shared and (found.st_dev, found.st_ino) == self._identity:
                        return True
        return False


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


def _state(pid: int, tid: int) -> bytes:
    """One letter (proc(5)); X where it has ended."""
    try:
        return read_at("/proc/%d/task/%d/stat" % (pid, tid)).rpartition(b")")[2].split()[0]
    except (IndexError, OSError):
        return b"X"


def _start_time(pid: int) -> Optional[int]:
    try:
        return _procfs.start_time(read_at("/proc/%d/stat" % pid))
    except OSError:
        return None
