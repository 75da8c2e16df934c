# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _freeze
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import Frozen, protected, while_frozen
from unit.plugins import dead_fuse
from unit.plugins.holders import Holders, in_child, wait_until

# Four threads that write all the time, beside one that makes threads and processes that write, too.
_WRITE = """
import itertools, os, sys, threading
held = open(sys.argv[1], "r+b", 0)
def write(numbers):
    for number in numbers:
        os.pwrite(held.fileno(), b"%20d" % number, number * 512 % (1 << 20))
def spawn():
    while True:
        thread = threading.Thread(target=write, args=(range(9),))
        thread.start()
        thread.join()
        child = os.fork()
        if child == 0:
            write(range(1000000))  # until it is met: to stop the others takes a while on a busy machine
            os._exit(0)
        os.waitpid(child, 0)
for work in [lambda: write(itertools.count())] * 4 + [spawn] * (len(sys.argv) > 2):
    threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""

_SERVE = """
import ctypes, os, sys, threading
os.open("/dev/fuse", os.O_RDWR)
threading.Thread(target=sys.stdin.read).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""

WAYS = ["ptrace", "signal"]


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    path = tmp_path / "busy"
    path.write_bytes(bytes(1 << 20))
    return path


@pytest.fixture
def write(busy: Path, holders: Holders) -> Callable[..., int]:
    def start(*options: str) -> int:
        pid = holders.start(sys.executable, "-c", _WRITE, busy, *options)
        holders.expect(pid, b"ready\n")
        return pid

    return start


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "signal":
        monkeypatch.setattr(_freeze, "_ptrace", lambda: lambda _request, _tid: False)
    return str(request.param)


def identity(path: Path) -> tuple[int, int]:
    return path.stat().st_dev, path.stat().st_ino


def seen(*pids: int) -> dict[int, int]:
    """As a scan tells of them: with their start times."""
    stats = {pid: Path(f"/proc/{pid}/stat").read_text() for pid in pids}
    return {pid: int(stat.rpartition(")")[2].split()[19]) for pid, stat in stats.items()}


def moves(path: Path, seconds: float = 0.05) -> bool:
    before = path.read_bytes()
    time.sleep(seconds)
    return path.read_bytes() != before


def states(pid: int) -> set[str]:
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return {(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks}


def test_writers_stand_still_and_go_on(busy: Path, write: Callable[..., int], way: str) -> None:
    pid = write()
    wait_until(lambda: moves(busy))
    moved, frozen = while_frozen(lambda: moves(busy, 0.2), seen(pid), identity(busy), 10)
    assert not moved
    assert frozen == Frozen({pid: way}, {}, frozen.seconds, in_time=True)
    assert 0.2 <= frozen.seconds < 2
    wait_until(lambda: moves(busy))


def test_threads_that_are_made_after_they_were_listed_stand_still_too(
    busy: Path, write: Callable[..., int], way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one makes them, and stands before anybody looks again."""
    pid = write()
    all_threads, stop_thread = _freeze._threads, _freeze._Freezer._stop_thread

    def threads(of: int) -> list[int]:
        return all_threads(of) if _freeze._state(pid, pid) in (b"t", b"T") else [pid]

    def stop(freezer: _freeze._Freezer, of: int, tid: int) -> None:
        stop_thread(freezer, of, tid)
        wait_until(lambda: freezer._stands(of, tid))

    monkeypatch.setattr(_freeze, "_threads", threads)
    monkeypatch.setattr(_freeze._Freezer, "_stop_thread", stop)
    moved, frozen = while_frozen(lambda: moves(busy, 0.2), seen(pid), identity(busy), 10)
    assert not moved and frozen.in_time and frozen.stopped == {pid: way}


def test_threads_and_processes_that_are_made_meanwhile_stand_still_too(
    busy: Path, write: Callable[..., int], way: str
) -> None:
    pid = write("spawning")
    stopped: set[int] = set()
    until = time.monotonic() + 60  # on a busy machine a child may not live when we look
    while stopped <= {pid} and time.monotonic() < until:
        moved, frozen = while_frozen(lambda: moves(busy), seen(pid), identity(busy), 10)
        assert not moved
        assert not frozen.spared
        stopped.update(frozen.stopped)
    assert stopped > {pid}, "no child was met"
    wait_until(lambda: moves(busy))


# A process that maps the file and does nothing; its child writes through the mapping, and neither has a descriptor.
_MAP = """
import ctypes, itertools, mmap, os, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
fd = os.open(sys.argv[1], os.O_RDWR)
address = libc.mmap(None, ctypes.c_size_t(1 << 20), 3, 1, fd, ctypes.c_long(0))
os.close(fd)
os.unlink(sys.argv[1])
if os.fork() == 0:
    for number in itertools.count():
        ctypes.memmove(address + number * 512 % (1 << 20), b"%20d" % number, 20)
        if number % 100 == 0 and os.getppid() == 1:
            os._exit(0)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_child_that_only_maps_the_file_stands_still_too(busy: Path, holders: Holders, way: str) -> None:
    with open(busy, "rb") as file:
        pid = holders.start(sys.executable, "-c", _MAP, busy)
        holders.expect(pid, b"ready\n")
        opened = Path(f"/proc/self/fd/{file.fileno()}")
        wait_until(lambda: moves(opened))
        moved, frozen = while_frozen(lambda: moves(opened, 0.2), seen(pid), identity(opened), 10)
        assert not moved
        assert len(frozen.stopped) == 2 and frozen.stopped[pid] == way
        wait_until(lambda: moves(opened))


# In vfork(2): it waits, and no signal and no tracer stops it, until its child has opened the FIFO.
# (os.posix_spawn is of Python 3.8.)
_VFORK = """
import ctypes, os, sys
held = open(sys.argv[1], "r+b", 0)
libc, actions = ctypes.CDLL(None), ctypes.create_string_buffer(1024)
libc.posix_spawn_file_actions_init(actions)
libc.posix_spawn_file_actions_addopen(actions, 9, os.fsencode(sys.argv[2]), os.O_WRONLY, 0)
argv, environ = (ctypes.c_char_p * 2)(b"true"), (ctypes.c_char_p * 1)()
print("ready", flush=True)
libc.posix_spawn(ctypes.byref(ctypes.c_int()), b"/bin/true", actions, None, argv, environ)
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def in_vfork(busy: Path, tmp_path: Path, holders: Holders) -> Iterator[int]:
    os.mkfifo(tmp_path / "fifo")
    pid = holders.start(sys.executable, "-c", _VFORK, busy, tmp_path / "fifo")
    holders.expect(pid, b"ready\n")
    wait_until(lambda: states(pid) == {"D"})
    yield pid
    with open(tmp_path / "fifo", "rb"):
        holders.expect(pid, b"done\n")
    wait_until(lambda: states(pid) == {"S"})


def test_one_that_cannot_be_stopped_is_told(busy: Path, in_vfork: int) -> None:
    """It has not to be waited for, and it is not left standing when it could be stopped at last."""
    started = time.monotonic()
    done, frozen = while_frozen(lambda: 7, seen(in_vfork), identity(busy), 0.6)
    assert time.monotonic() - started < 3
    assert (done, frozen.stopped.get(in_vfork)) == (7, None)
    assert frozen.spared[in_vfork] == "it did not stop in time"


def test_they_are_let_go_when_the_time_is_over(busy: Path, write: Callable[..., int], way: str) -> None:
    def look() -> bool:
        stood = not moves(busy)
        wait_until(lambda: moves(busy), 20)
        return stood

    stood, frozen = while_frozen(look, seen(write()), identity(busy), 1.5)
    assert stood and not frozen.in_time
    assert 1.5 <= frozen.seconds < 10


@pytest.mark.parametrize("whole_group", [False, True])
def test_they_go_on_when_we_are_killed(busy: Path, write: Callable[..., int], way: str, whole_group: bool) -> None:
    pid = write()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)

        def wait() -> None:
            os.write(writer, b"frozen")
            signal.pause()

        while_frozen(wait, seen(pid), identity(busy), 60)
    assert os.read(reader, 6) == b"frozen"
    os.close(reader)
    os.close(writer)
    assert states(pid) == ({"t"} if way == "ptrace" else {"T"})
    assert not moves(busy)
    (os.killpg if whole_group else os.kill)(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_until(lambda: moves(busy))


def test_they_go_on_when_the_one_that_traces_them_is_killed(busy: Path, write: Callable[..., int]) -> None:
    pid = write()

    def kill() -> bool:
        tracer = int(Path(f"/proc/{pid}/status").read_text().split("TracerPid:")[1].split()[0])
        os.kill(tracer, signal.SIGKILL)
        wait_until(lambda: moves(busy))
        return True

    done, frozen = while_frozen(kill, seen(pid), identity(busy), 60)
    assert done
    assert (frozen.stopped, frozen.in_time) == ({pid: "ptrace"}, False)


def frozen_beside_a_dead_mount(busy: Path, pid: int, point: Path, timeout: float = 10) -> tuple[bool, Frozen, float]:
    """Whether it moves meanwhile, what was told, and the seconds it took; the dead mount's holder began after us."""

    def work() -> tuple[bool, Frozen, float]:
        holders = Holders()
        try:
            command = (sys.executable, dead_fuse.__file__, point)
            holders.expect(holders.start("unshare", "--mount", "--propagation", "private", *command), b"ready\n")
            started = time.monotonic()
            # What is let go may have to wait for a processor.
            moved, frozen = while_frozen(
                lambda: any(moves(busy) for _time in range(10)), seen(pid), identity(busy), timeout
            )
            return moved, frozen, time.monotonic() - started
        finally:
            holders.end_all()

    return in_child(work)


def test_what_else_a_newcomer_has_open_is_not_asked_for(
    busy: Path, write: Callable[..., int], way: str, tmp_path: Path
) -> None:
    pid = write()
    moved, frozen, _seconds = frozen_beside_a_dead_mount(busy, pid, tmp_path)
    assert not moved
    assert frozen == Frozen({pid: way}, {}, frozen.seconds, in_time=True)
    wait_until(lambda: moves(busy))


def all_open(pid: int) -> Iterator[tuple[str, bytes]]:
    """As if all that anybody has open were called like the file."""
    with suppress(OSError):
        yield from [(f"/proc/{pid}/fd/{fd}", b"the file") for fd in os.listdir(f"/proc/{pid}/fd")]


def test_what_never_answers_whether_it_is_the_file_is_not_waited_for(
    busy: Path, write: Callable[..., int], way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = write()
    monkeypatch.setattr(_freeze, "_written_by", all_open)
    moved, frozen, seconds = frozen_beside_a_dead_mount(busy, pid, tmp_path)
    assert not moved
    assert frozen == Frozen({pid: way}, {}, frozen.seconds, in_time=True)
    assert seconds < 5
    wait_until(lambda: moves(busy))


def test_they_are_let_go_in_time_when_proc_never_answers(
    busy: Path, write: Callable[..., int], way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_all(pid: int) -> Iterator[tuple[str, bytes]]:
        for link, text in all_open(pid):
            with suppress(OSError):
                os.stat(link)
            yield link, text

    pid = write()
    monkeypatch.setattr(_freeze, "_written_by", ask_all)
    moved, frozen, seconds = frozen_beside_a_dead_mount(busy, pid, tmp_path, 0.5)
    assert moved
    assert frozen == Frozen({}, {}, 0.0, in_time=False)
    assert 0.5 <= seconds < 2
    wait_until(lambda: moves(busy))


@pytest.mark.parametrize("way", ["signal"], indirect=True)
def test_they_go_on_when_the_one_that_signalled_them_is_killed(busy: Path, write: Callable[..., int], way: str) -> None:
    pid = write()

    def kill() -> None:
        children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        for child in set(map(int, children)) - {pid}:
            os.kill(child, signal.SIGKILL)

    _nothing, frozen = while_frozen(kill, seen(pid), identity(busy), 60)
    assert (frozen.stopped, frozen.in_time) == ({pid: way}, False)
    wait_until(lambda: moves(busy))


def test_an_error_lets_them_go(busy: Path, write: Callable[..., int], way: str) -> None:
    pid = write()

    def fail() -> None:
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        while_frozen(fail, seen(pid), identity(busy), 60)
    wait_until(lambda: moves(busy))


def test_what_was_stopped_already_stays_so(busy: Path, write: Callable[..., int], way: str) -> None:
    pid = write()
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: states(pid) == {"T"})
    moved, frozen = while_frozen(lambda: moves(busy), seen(pid), identity(busy), 10)
    assert not moved
    assert frozen.spared == {}
    time.sleep(0.05)
    assert states(pid) == {"T"}


def test_one_that_somebody_else_traces_gets_a_signal(busy: Path, write: Callable[..., int], holders: Holders) -> None:
    pid = write()
    tracer = subprocess.Popen(["strace", "-f", "-p", str(pid), "-o", "/dev/null"], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "TracerPid:\t0\n" not in Path(f"/proc/{pid}/task/{pid}/status").read_text())
        wait_until(lambda: all("TracerPid:\t0\n" not in (task / "status").read_text() for task in threads(pid)))
        moved, frozen = while_frozen(lambda: moves(busy), seen(pid), identity(busy), 10)
        assert not moved
        assert frozen.stopped == {pid: "signal"}
        wait_until(lambda: moves(busy))
    finally:
        tracer.kill()
        tracer.wait()


def threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


@pytest.fixture
def called(busy: Path, tmp_path: Path, holders: Holders) -> Iterator[Callable[[str], int]]:
    """A process of that name that holds the file."""

    def start(name: str) -> int:
        program = tmp_path / name
        program.symlink_to(sys.executable)
        script = "import sys; held = open(sys.argv[1], 'r+b'); print('ready', flush=True); sys.stdin.read()"
        pid = holders.start(program, "-c", script, busy)
        holders.expect(pid, b"ready\n")
        return pid

    return start


@pytest.mark.parametrize(
    "name",
    [
        "sshd",
        "sshd-session",
        "dropbear",
        "systemd-journal",
        "rsyslogd",
        "syslogd",
        "auditd",
        "dbus-daemon",
        "sssd",
        "nscd",
    ],
)
def test_what_the_host_needs_is_never_stopped(busy: Path, called: Callable[[str], int], name: str) -> None:
    pid = called(name)
    _nothing, frozen = while_frozen(lambda: None, seen(pid), identity(busy), 10)
    assert frozen == Frozen({}, {pid: "the host needs it all the time"})


def test_nor_are_the_first_process_and_our_own() -> None:
    ours = [1, os.getppid(), os.getpid()]
    assert in_child(lambda: protected(ours)) == dict.fromkeys(ours, "it runs this module")


def test_nor_is_one_that_serves_a_file_system(busy: Path, holders: Holders) -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    held = holders.keep(device)
    os.close(device)
    assert protected([held.pid]) == {held.pid: "it serves a file system"}


def test_a_process_that_has_ended_is_no_fault(busy: Path, holders: Holders) -> None:
    held = holders.open(busy)
    writers = seen(held.pid)
    holders.end(held.pid)
    assert while_frozen(lambda: 7, writers, identity(busy), 10) == (7, Frozen({}, {}, pytest.approx(0, abs=1)))


def test_nor_is_who_has_the_number_of_one_that_has_ended(busy: Path, write: Callable[..., int]) -> None:
    pid = write()
    before = {pid: seen(pid)[pid] - 1}
    assert while_frozen(lambda: states(pid) & {"t", "T"}, before, identity(busy), 10)[0] == set()


def test_nor_is_a_server_whose_first_thread_has_ended(holders: Holders) -> None:
    pid = holders.start(sys.executable, "-c", _SERVE)
    holders.expect(pid, b"ready\n")
    wait_until(lambda: states(pid) >= {"Z"})
    assert protected([pid]) == {pid: "it serves a file system"}


def test_they_stand_where_we_have_more_files_open_than_select_takes(
    busy: Path, write: Callable[..., int], way: str
) -> None:
    pid = write()

    def work() -> tuple[bool, Frozen]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1200, 1200))
        for _number in range(1100):
            os.open(os.devnull, os.O_RDONLY)
        return while_frozen(lambda: moves(busy, 0.2), seen(pid), identity(busy), 10)

    moved, frozen = in_child(work)
    assert (moved, frozen.stopped, frozen.in_time) == (False, {pid: way}, True)


def test_they_go_on_when_we_are_killed_and_the_one_that_traces_them_was_stopped(
    busy: Path, write: Callable[..., int]
) -> None:
    pid = write()
    read, told = os.pipe()
    child = os.fork()
    if child == 0:
        while_frozen(lambda: (os.write(told, b"stands"), time.sleep(60)), seen(pid), identity(busy), 60)
        os._exit(0)
    os.read(read, 6)
    for fd in read, told:
        os.close(fd)
    [watchdog] = map(int, Path(f"/proc/{child}/task/{child}/children").read_text().split())
    os.kill(watchdog, signal.SIGSTOP)
    wait_until(lambda: states(watchdog) == {"T"})
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        wait_until(lambda: moves(busy))
    finally:
        with suppress(ProcessLookupError):
            os.kill(watchdog, signal.SIGKILL)


def test_a_writer_that_began_after_the_scan_is_met_by_a_child_that_works_for_us(
    busy: Path, write: Callable[..., int]
) -> None:
    pid, later = write(), write()
    # As where a file system may never answer: whoever works was forked after both.
    _nothing, frozen = in_child(lambda: while_frozen(lambda: None, seen(pid), identity(busy), 10))
    assert set(frozen.stopped) == {pid, later}
