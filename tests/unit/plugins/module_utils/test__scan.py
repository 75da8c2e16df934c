# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _links, _mounts, _scan, _visit
from ansible_collections.procfs.rescue.plugins.module_utils._deadline import Message, Tell
from ansible_collections.procfs.rescue.plugins.module_utils._group import kind_of
from ansible_collections.procfs.rescue.plugins.module_utils._holder import Holder, process
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, Effort, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._mounts import own_mounts
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan
from ansible_collections.procfs.rescue.plugins.module_utils._sighted import Link, connection
from unit.plugins import dead_fuse
from unit.plugins.holders import NOBODY, Held, Holders, in_child, mapped_path, memfd, wait_until


@pytest.fixture(autouse=True, params=["one walker", "several"])
def _walkers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "several":
        monkeypatch.setattr(_scan, "_WORTH_A_WALKER", 1)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1, 2, 3})
    else:
        monkeypatch.setattr(_scan, "_MOST_WALKERS", 1)


@pytest.fixture
def tool(tmp_path: Path) -> Path:
    path = tmp_path / "tool"
    path.write_text("content")
    path.chmod(0o755)
    return path


def seen(held: Held | int, effort: Effort = NORMAL) -> list[Sighting]:
    """What a scan shows of one process."""
    pid = held if isinstance(held, int) else held.pid
    found = scan(lambda _sighting: False, effort)
    return [one for one in found.sightings if one.process.pid == pid]


def test_an_open_file(tool: Path, holders: Holders) -> None:
    held = holders.open(tool)
    status = tool.stat()
    tool.unlink()
    (one,) = seen(held)
    assert (one.via, one.fd, one.access, one.executable) == ("fd", held.fd, "read", False)
    assert (one.link, one.path, one.host_path) == (held.link, os.fsencode(tool), os.fsencode(tool))
    assert (one.file.identity, one.file.nlink, one.file.size) == ((status.st_dev, status.st_ino), 0, 7)
    assert (one.file.mode, one.handle, one.foreign) == (stat.S_IFREG | 0o755, None, None)
    assert one.mount in own_mounts().values()
    assert one.place is not None
    assert one.place.inner_path.endswith(os.fsencode(tool.name))
    process = one.process
    assert (process.pid, process.comm, process.uid) == (held.pid, b"cat", 0)
    assert process.exe == os.fsencode(os.readlink(f"/proc/{held.pid}/exe"))
    assert process.start_time == int(Path(f"/proc/{held.pid}/stat").read_text().split()[21])
    assert process.cgroup == Path(f"/proc/{held.pid}/cgroup").read_bytes()


def test_an_executable(tool: Path, holders: Holders) -> None:
    held = holders.run(tool)
    tool.unlink()
    exe, *maps = seen(held)
    assert (exe.via, exe.fd, exe.access, exe.executable, exe.link) == ("exe", None, "read", True, held.link)
    assert (exe.path, exe.process.exe) == (os.fsencode(tool), os.fsencode(tool) + b" (deleted)")
    assert {one.via for one in maps} == {"map"}


def test_a_library_that_is_only_mapped(tool: Path, holders: Holders) -> None:
    held = holders.map_library(tool)
    tool.unlink()
    (one,) = seen(held)
    assert (one.via, one.fd, one.access, one.executable, one.path) == ("map", None, "read", True, os.fsencode(tool))
    assert one.link.startswith(held.link + "/")
    fd = os.open(one.link, os.O_RDONLY)
    assert os.fstat(fd).st_size == one.file.size > 1_000_000
    os.close(fd)


def test_a_mapping_to_write_to(tool: Path, holders: Holders) -> None:
    """Databases write through mappings: the name that comes back will not show it."""
    held = holders.map_shared(tool)
    tool.unlink()
    assert [(one.via, one.access) for one in seen(held)] == [("map", "both")]


@pytest.mark.parametrize(("flags", "access"), [(os.O_RDONLY, "read"), (os.O_WRONLY, "write"), (os.O_RDWR, "both")])
def test_access(tool: Path, holders: Holders, flags: int, access: str) -> None:
    held = holders.open(tool, flags)
    tool.unlink()
    assert [one.access for one in seen(held)] == [access]


@pytest.mark.parametrize(
    "name", [b"a\nb", b"\xff\xfe", b"{{ 7*7 }}", b"x (deleted)", b"x (deleted) (deleted)", b"\\012"]
)
def test_hostile_names(tmp_path: Path, holders: Holders, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    held = holders.open(path, os.O_RDWR | os.O_CREAT)
    mapped = holders.map_shared(Path(os.fsdecode(path)))
    assert seen(held) == []
    assert seen(mapped) == []
    os.unlink(path)
    assert [one.path for one in seen(held)] == [path]
    assert [one.path for one in seen(mapped)] == [path]


def test_a_live_file_that_is_called_deleted(tmp_path: Path, holders: Holders) -> None:
    live = holders.open(tmp_path / "x (deleted)", os.O_RDWR | os.O_CREAT)
    dead = holders.open(tmp_path / "x", os.O_RDWR | os.O_CREAT)
    (tmp_path / "x").unlink()
    assert seen(live) == []
    assert [one.path for one in seen(dead)] == [os.fsencode(tmp_path / "x")]


@pytest.mark.parametrize("name", [".nfsrc", ".nfs-share/db", ".fuse_hiddenfiles", ".nfs00000001/x", ".nfs0000000x"])
def test_a_live_file_whose_name_only_begins_so(tmp_path: Path, holders: Holders, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    assert seen(holders.open(tmp_path / name, os.O_RDWR | os.O_CREAT)) == []


def test_a_live_file_that_nfs_did_not_rename(tmp_path: Path, holders: Holders) -> None:
    """On a local file system it is an ordinary name, that a user may choose to be taken for a deleted file."""
    assert seen(holders.open(tmp_path / ".nfs000000000012d687000000aa", os.O_RDWR | os.O_CREAT)) == []


def test_a_file_with_another_name_left(tool: Path, holders: Holders) -> None:
    held = holders.open(tool)
    os.link(tool, tool.parent / "other")
    tool.unlink()
    assert [(one.path, one.file.nlink) for one in seen(held)] == [(os.fsencode(tool), 1)]


def test_they_come_in_the_order_of_the_processes(tool: Path, holders: Holders) -> None:
    pids = [holders.open(tool).pid for _number in range(8)]
    tool.unlink()
    listed = [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) in pids]
    assert [one.process.pid for one in scan(lambda _one: False).sightings if one.process.pid in pids] == listed


def test_live_files_are_no_sightings(tool: Path, holders: Holders) -> None:
    assert seen(holders.open(tool)) == []
    assert seen(os.getpid()) == []


@pytest.mark.parametrize(
    ("fs_type", "name", "kind"),
    [
        ("nfs4", ".nfs000000000012d687000000aa", "nfs_silly"),
        ("nfs", ".nfs000000000012d687000000aa", "nfs_silly"),
        ("fuse.sshfs", ".fuse_hidden0000000100000002", "fuse_hidden"),
        ("ext4", ".nfs000000000012d687000000aa", None),
        ("nfs4", "tool", None),
    ],
)
def test_what_a_client_of_a_server_renamed(
    tmp_path: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch, fs_type: str, name: str, kind: str | None
) -> None:
    """Only the row of the mount is made up: the file has its one link, and a name like that."""
    held = holders.open(tmp_path / name, os.O_RDWR | os.O_CREAT)
    real = own_mounts
    monkeypatch.setattr(
        _mounts, "own_mounts", lambda: {number: row._replace(fs_type=fs_type) for number, row in real().items()}
    )
    found = seen(held)
    assert [(one.path, one.file.nlink, kind_of(one)) for one in found] == (
        [(os.fsencode(tmp_path / name), 1, kind)] if kind else []
    )


def test_other_types_are_seen_and_not_opened(tmp_path: Path, holders: Holders) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "dir").mkdir()
    fifo = holders.open(tmp_path / "fifo", os.O_RDWR)
    directory = holders.open(tmp_path / "dir")
    (tmp_path / "fifo").unlink()
    (tmp_path / "dir").rmdir()
    assert [stat.S_IFMT(one.file.mode) for held in (fifo, directory) for one in seen(held)] == [
        stat.S_IFIFO,
        stat.S_IFDIR,
    ]


def test_a_memfd(holders: Holders) -> None:
    fd = memfd("../../usr/bin/bash\n{{ 7*7 }}")
    held = holders.keep(fd)
    os.close(fd)
    (one,) = seen(held)
    assert one.path == b"/memfd:../../usr/bin/bash\n{{ 7*7 }}"
    assert (one.mount, one.place, one.host_path) == (None, None, None)


def pinned(pin: Callable[[Sighting], bool]) -> list[Sighting]:
    return [one for one in scan(pin).sightings if one.handle is not None]


def test_what_is_wanted_is_pinned(tool: Path, holders: Holders) -> None:
    held = holders.open(tool)
    tool.unlink()
    (one,) = pinned(lambda sighting: sighting.path == os.fsencode(tool))
    holders.end(held.pid)
    assert one.handle is not None
    assert os.fstat(one.handle).st_ino == one.file.inode
    fd = os.open(f"/proc/self/fd/{one.handle}", os.O_RDONLY)
    assert os.read(fd, 99) == b"content"
    os.close(fd)
    os.close(one.handle)


def test_with_few_descriptors_left_the_rest_is_seen_without_a_pin(tmp_path: Path, holders: Holders) -> None:
    """A host may allow 4096, and the caller may have opened most of them."""
    import resource

    fds = [os.open(tmp_path / str(number), os.O_RDWR | os.O_CREAT) for number in range(100)]
    held = holders.start("cat", keep=tuple(fds))
    for number, fd in enumerate(fds):
        os.close(fd)
        (tmp_path / str(number)).unlink()

    def few() -> tuple[int, int]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
        for _number in range(100):
            os.open("/", os.O_PATH)
        found = [one for one in scan(lambda _one: True).sightings if one.process.pid == held]
        return len(found), sum(one.handle is not None for one in found)

    number, with_pin = in_child(few)
    assert number == 100
    assert with_pin <= 100


EXCHANGE = """
import os, sys
fds = [int(text) for text in sys.argv[1:]]
for line in sys.stdin:
    os.dup2(fds[1], fds[0])
    print("exchanged", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The walk is done by this process, which may have a hand in it."""

    def heard(works: Sequence[Callable[[Tell], None]], _seconds: float, _until: float) -> Iterator[Message]:
        told: list[Message] = []
        for number, work in enumerate(works):
            work(lambda what, fds, number=number: told.append(Message(number, what, [os.dup(fd) for fd in fds])))
        return iter(told)

    monkeypatch.setattr(_scan, "heard", heard)


def test_a_name_and_an_inode_are_never_paired_wrongly(
    in_this_process: None, tmp_path: Path, tool: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user exchanges a descriptor of a deleted file for one of any file that root owns, between two looks at it."""
    other = tmp_path / "log"
    other.write_text("what the user would like the tool to be")
    fds = [os.open(path, os.O_RDONLY) for path in (tool, other)]
    pid = holders.start(sys.executable, "-c", EXCHANGE, *map(str, fds), keep=tuple(fds))
    inode = os.fstat(fds[0]).st_ino
    for fd in fds:
        os.close(fd)
    tool.unlink()
    real_open = os.open
    exchanged = []

    def exchange_first(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if path == f"fd/{fds[0]}" and not exchanged and os.readlink(path, dir_fd=dir_fd) == f"{tool} (deleted)":
            holders.say(pid, b"now\n")
            holders.expect(pid, b"exchanged\n")
            exchanged.append(pid)
        return real_open(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", exchange_first)
    found = seen(pid)
    assert exchanged
    assert {one.file.inode for one in found if one.path == os.fsencode(tool)} <= {inode}


@pytest.mark.parametrize("step", ["/proc/PID", "/proc/PID/fd"])
def test_a_process_that_ends_meanwhile(
    in_this_process: None, tool: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It holds nothing any more, which is no fault, and the others are still seen."""
    ending, staying = holders.open(tool), holders.open(tool)
    tool.unlink()
    unreadable = scan(lambda _sighting: False).unreadable  # of this machine: some do not let root read /proc/1/exe
    real_open = _scan.open_directory

    def end_it(name: str, dir_fd: int | None = None) -> int:
        fd = real_open(name, dir_fd)
        if os.readlink(f"/proc/self/fd/{fd}") == step.replace("PID", str(ending.pid)):
            holders.end(ending.pid)
        return fd

    for module in _scan, _links:
        monkeypatch.setattr(module, "open_directory", end_it)
    found = scan(lambda _sighting: False)
    pids = {one.process.pid for one in found.sightings}
    assert ending.pid not in pids
    assert staying.pid in pids
    assert found.unreadable <= unreadable


def test_a_holder_whose_first_thread_ended(tool: Path, holders: Holders, tmp_path: Path) -> None:
    """/proc/PID then looks like a zombie's; what it holds is to be seen in /proc/PID/task."""
    program = tmp_path / "program"
    shutil.copy2(os.path.realpath(sys.executable), program)
    library = tmp_path / "library.so"
    shutil.copy2(mapped_path(os.getpid(), "/libc.so.6"), library)
    fd = os.open(tool, os.O_RDONLY)
    held = holders.keep_in_second_thread(fd, program, library)
    os.close(fd)
    tool.unlink()
    program.unlink()
    library.unlink()
    sightings = seen(held)
    found = {one.path: one.via for one in sightings if one.path != os.fsencode(program) or one.via == "exe"}
    assert found == {os.fsencode(tool): "fd", os.fsencode(program): "exe", os.fsencode(library): "map"}
    for one in sightings:
        assert os.stat(one.link).st_ino == one.file.inode
        assert one.process.start_time == int(Path(f"/proc/{held.pid}/stat").read_text().rpartition(")")[2].split()[19])


def scan_as_nobody() -> tuple[int, int, set[int]]:
    found = scan(lambda _sighting: False)
    return found.processes, found.unreadable, {one.process.pid for one in found.sightings}


def test_without_root_it_says_what_it_did_not_see(open_to_all: Path, holders: Holders) -> None:
    mine = holders.open(open_to_all / "mine", os.O_RDWR | os.O_CREAT, user=NOBODY)
    roots = holders.open(open_to_all / "roots", os.O_RDWR | os.O_CREAT)
    for path in open_to_all.iterdir():
        path.unlink()
    processes, unreadable, pids = in_child(scan_as_nobody, user=NOBODY)
    assert mine.pid in pids
    assert roots.pid not in pids
    assert 0 < unreadable < processes


def in_namespace(holders: Holders, script: str, *arguments: str | Path, options: tuple[str, ...] = ()) -> int:
    """A process that made mounts of its own with a script, which ends with the holder it execs."""
    pid = holders.start(
        *("unshare", "--mount", "--propagation", "private", *options, "sh", "-ec", script, "sh"),
        *arguments,
    )
    holders.expect(pid, b"ready\n")
    return pid


def test_a_service_with_its_folder_bound_on_itself(tmp_path: Path, tool: Path, holders: Holders) -> None:
    pid = in_namespace(holders, 'mount --bind "$1" "$1"; exec 3<"$1/tool"; echo ready; exec cat', tmp_path)
    plain = holders.open(tool)
    tool.unlink()
    (one,), (other,) = seen(pid), seen(plain)
    assert (one.foreign, one.place, one.host_path) == ("trusted", other.place, os.fsencode(tool))


def test_a_service_that_has_a_folder_under_another_name(tmp_path: Path, tool: Path, holders: Holders) -> None:
    (tmp_path / "seen").mkdir()
    script = 'mount --bind "$1" "$1/seen"; exec 3<"$1/seen/tool"; echo ready; exec cat'
    pid = in_namespace(holders, script, tmp_path)
    tool.unlink()
    (one,) = seen(pid)
    assert (one.foreign, one.path) == ("trusted", os.fsencode(tmp_path / "seen/tool"))
    assert one.host_path == os.fsencode(tool)


def test_a_namespace_that_a_user_could_have_made(tmp_path: Path, tool: Path, holders: Holders) -> None:
    (tmp_path / "evil").mkdir()
    (tmp_path / "evil/tool").write_text("evil")
    script = 'mount --bind "$1/evil" "$1"; exec 3<"$1/tool"; echo ready; exec cat'
    pid = in_namespace(holders, script, tmp_path, options=("--user", "--map-root-user"))
    (tmp_path / "evil/tool").unlink()
    (one,) = seen(pid)
    assert (one.path, one.foreign) == (os.fsencode(tool), "untrusted")
    assert one.place is not None
    assert one.place.inner_path.endswith(b"/evil/tool")


def test_a_process_that_sees_another_root(tmp_path: Path, tool: Path, holders: Holders) -> None:
    """Its mountinfo speaks of other paths than its links."""
    script = 'mount --bind "$1" "$1"; exec 3<"$1/tool"; echo ready; exec chroot "$1" ./cat'
    in_chroot = tmp_path / "cat"
    busybox = Path("/bin/busybox")
    if not busybox.exists():
        pytest.skip("no static program (busybox) to run in a chroot")
    in_chroot.write_bytes(busybox.read_bytes())
    in_chroot.chmod(0o755)
    pid = in_namespace(holders, script, tmp_path)
    wait_until(lambda: os.readlink(f"/proc/{pid}/root") != "/")
    tool.unlink()
    assert [one.foreign for one in seen(pid) if one.via == "fd"] == ["untrusted"]


def test_a_mount_that_was_detached(tmp_path: Path, holders: Holders) -> None:
    (tmp_path / "mount").mkdir()
    script = (
        'mount -t tmpfs none "$1"; echo content >"$1/x"; exec 3<"$1/x"; rm "$1/x"; umount -l "$1"; echo ready; exec cat'
    )
    pid = in_namespace(holders, script, tmp_path / "mount")
    (one,) = seen(pid)
    assert (one.mount, one.place, one.host_path) == (None, None, None)


@pytest.fixture
def dead(tmp_path: Path, holders: Holders) -> Callable[..., int]:
    """Starts a holder of a file whose file system does not answer any more, and may be unmounted (umount -l)."""
    if not os.path.exists("/dev/fuse"):
        pytest.skip("no /dev/fuse")
    (tmp_path / "dead").mkdir()

    def start(*options: str) -> int:
        command = (sys.executable, Path(dead_fuse.__file__), tmp_path / "dead", *options)
        pid = holders.start("unshare", "--mount", "--propagation", "private", *command)
        holders.expect(pid, b"ready\n")
        return pid

    return start


def skipped(deadline: float) -> tuple[list[int], dict[str, int]]:
    found = scan(lambda _sighting: False, Effort(deadline))
    return [one.process.pid for one in found.sightings], found.skipped


def test_a_file_system_that_never_answers(tmp_path: Path, dead: Callable[..., int]) -> None:
    pid = dead()
    pids, mounts = in_child(lambda: skipped(0.2), seconds=5)
    assert pid not in pids
    assert mounts == {f"{tmp_path}/dead": 1}


def test_a_file_system_that_never_answers_and_was_unmounted(dead: Callable[..., int]) -> None:
    """umount -l is what people do to a dead NFS: then its mount is in no list, and still does not answer."""
    pid = dead("unmounted")
    pids, mounts = in_child(lambda: skipped(0.2), seconds=5)
    assert pid not in pids
    assert sum(mounts.values()) == 1


def test_a_process_of_which_nothing_is_to_be_learned(
    tool: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is counted as not read, and the others are still seen; each further one costs less time."""
    silent = [holders.open(tool).pid for _number in range(8)]
    staying = holders.open(tool)
    tool.unlink()
    before = scan(lambda _sighting: False)
    real_open = _scan.open_directory

    def never(name: str, dir_fd: int | None = None) -> int:
        if name in map(str, silent):
            time.sleep(60)
        return real_open(name, dir_fd)

    monkeypatch.setattr(_scan, "open_directory", never)
    started = time.monotonic()
    found = scan(lambda _sighting: False, Effort(deadline=0.4))
    assert time.monotonic() - started < 8 * 0.4
    pids = {one.process.pid for one in found.sightings}
    assert staying.pid in pids
    assert pids.isdisjoint(silent)
    assert found.silent == silent
    assert found.unreadable >= before.unreadable + len(silent)


def test_the_id_of_a_mount_that_ended_meanwhile(tmp_path: Path, tool: Path, holders: Holders) -> None:
    """It is the next one's, which may be a user's: the same id, another mount, and the path of the old one."""
    held = holders.open(tool)
    tool.unlink()
    (one,) = seen(held)
    assert one.mount is not None
    mounts = own_mounts()
    assert _scan._at_last(one, mounts) == one
    for now in ({}, {one.mount.mount_id: one.mount._replace(mount_point=b"/elsewhere")}):
        changed = _scan._at_last(one, now)
        assert (changed.mount, changed.place, changed.host_path, changed.foreign) == (None, None, None, "untrusted")


def test_all_processes_are_counted() -> None:
    before = set(os.listdir("/proc"))
    found = scan(lambda _sighting: False)
    staying = {name for name in before.intersection(os.listdir("/proc")) if name.isdigit()}
    assert found.processes >= len(staying) - 1  # our own is not looked at


def test_many_descriptors(tool: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nearly all numbers are in use each is asked for: the first, the last, and those behind a gap."""
    fds = [os.open("/dev/null", os.O_RDONLY) for _number in range(200)]
    of_tool = {fds[0], fds[150], fds[-1]}
    for fd in of_tool:
        os.close(fd)
        assert os.open(tool, os.O_RDONLY) == fd
    pid = holders.start("cat", keep=tuple(fds[:100] + fds[110:]))
    for fd in fds:
        os.close(fd)
    tool.unlink()
    listed = []
    real = os.listdir

    def listdir(folder: int | str) -> list[str]:
        listed.append(os.readlink(f"/proc/self/fd/{folder}") if isinstance(folder, int) else folder)
        return real(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    assert {one.fd for one in seen(pid)} == of_tool
    assert (f"/proc/{pid}/fd" in listed) is (os.stat(f"/proc/{pid}/fd").st_size == 0)  # before Linux 6.2


@pytest.mark.parametrize("used", [0, 3, 10**6])
def test_the_kernels_number_of_descriptors_is_but_a_hint(
    tool: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch, used: int
) -> None:
    """It may be missing (before Linux 6.2), or wrong a moment later: whoever opens and closes files is not hidden."""
    held = holders.open(tool)
    tool.unlink()
    real = os.fstat

    def fstat(fd: int) -> os.stat_result:
        result = real(fd)
        if not os.readlink(f"/proc/self/fd/{fd}").endswith("/fd"):
            return result
        return os.stat_result((*result[:6], used, *result[7:]))

    monkeypatch.setattr(os, "fstat", fstat)
    assert [one.fd for one in seen(held)] == [held.fd]


THREAD = """
import ctypes, os, sys, threading
def work():
    assert ctypes.CDLL(None).unshare(0x400) == 0  # CLONE_FILES
    hidden = os.open(sys.argv[1], os.O_RDONLY)
    print("ready", flush=True)
    threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
shared = threading.Thread(target=threading.Event().wait, daemon=True).start()
sys.stdin.read()
os._exit(0)
"""


def test_a_thread_with_descriptors_of_its_own(tool: Path, holders: Holders) -> None:
    other = tool.parent / "other"
    other.touch()
    fd = os.open(other, os.O_RDONLY)
    pid = holders.start(sys.executable, "-c", THREAD, tool, keep=(fd,))
    holders.expect(pid, b"ready\n")
    os.close(fd)
    tool.unlink()
    other.unlink()
    assert [one.path for one in seen(pid)] == [os.fsencode(other)]
    found = seen(pid, Effort(threads=True))
    # The other file is in all tables: it is told once.
    assert sorted(one.path for one in found) == sorted([os.fsencode(tool), os.fsencode(other)])
    (hidden,) = [one for one in found if one.path == os.fsencode(tool)]
    assert hidden.link.startswith(f"/proc/{pid}/task/")
    assert os.stat(hidden.link).st_ino == hidden.file.inode


MOVER = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.mmap.restype = libc.mremap.restype = ctypes.c_void_p
fd = os.open(sys.argv[1], os.O_RDWR)
at = libc.mmap(None, 4096, 1, 1, fd, 0)  # PROT_READ, MAP_SHARED
os.close(fd)
print("ready", flush=True)
for _line in sys.stdin:
    to = libc.mmap(None, 4096, 0, 0x22, -1, 0)  # MAP_PRIVATE | MAP_ANONYMOUS
    moved = libc.mremap(ctypes.c_void_p(at), 4096, 4096, 3, ctypes.c_void_p(to))  # MREMAP_MAYMOVE | MREMAP_FIXED
    assert moved == to != at
    at = moved
    print("moved", flush=True)
"""


@pytest.mark.parametrize(("times", "is_seen"), [(1, True), (3, True), (1000, False)])
def test_a_mapping_that_moves_meanwhile(
    in_this_process: None, tool: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch, times: int, is_seen: bool
) -> None:
    """It is found where it is by then, or at least its process is said not to have been read."""
    pid = holders.start(sys.executable, "-c", MOVER, tool)
    holders.expect(pid, b"ready\n")
    tool.unlink()
    unreadable = scan(lambda _sighting: False).unreadable
    real_open = os.open
    moved = []

    def move_first(path: str, flags: int, *rest: int, dir_fd: int | None = None) -> int:
        if "map_files/" in path and os.readlink(f"/proc/self/fd/{dir_fd}") == f"/proc/{pid}" and len(moved) < times:
            moved.append(path)
            holders.say(pid, b"move\n")
            holders.expect(pid, b"moved\n")
        return real_open(path, flags, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(_visit.os, "open", move_first)
    found = scan(lambda _sighting: False)
    monkeypatch.undo()
    assert moved
    assert [one.path for one in found.sightings if one.process.pid == pid] == [os.fsencode(tool)] * is_seen
    assert found.unreadable == unreadable + (not is_seen)


def test_without_time_left_nothing_is_claimed(tool: Path, holders: Holders) -> None:
    held = holders.open(tool)
    tool.unlink()
    found = scan(lambda _sighting: False, Effort(timeout=0))
    assert held.pid not in [one.process.pid for one in found.sightings]
    assert found.unvisited > 0
    assert not found.is_complete


@pytest.mark.parametrize(("deadline", "timeout"), [(1.0, None), (20.0, 1.0)])
def test_what_was_found_before_the_time_was_over(
    tool: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch, deadline: float, timeout: float | None
) -> None:
    """A process of which nothing is to be learned takes no longer than that, however long a mount may take."""
    held = [str(holders.open(tool).pid) for _number in range(9)]
    tool.unlink()
    real_open, real_listdir = _scan.open_directory, os.listdir

    def never(name: str, dir_fd: int | None = None) -> int:
        if name == held[4]:
            time.sleep(60)
        return real_open(name, dir_fd)

    def only_these(where: str | int) -> list[str]:
        is_proc = isinstance(where, int) and os.readlink(f"/proc/self/fd/{where}") == "/proc"
        return held if is_proc else real_listdir(where)

    monkeypatch.setattr(_scan, "open_directory", never)
    monkeypatch.setattr(_scan, "_MOST_WALKERS", 1)
    monkeypatch.setattr(os, "listdir", only_these)
    started = time.monotonic()
    found = scan(lambda _sighting: False, Effort(deadline=deadline, timeout=timeout))
    seconds = time.monotonic() - started
    pids = [str(one.process.pid) for one in found.sightings]
    assert not found.is_complete
    if timeout is None:
        assert (pids, found.silent, found.unvisited) == (held[:4] + held[5:], [int(held[4])], 0)
        assert seconds >= 0.75
    else:
        assert (pids, found.silent, found.unvisited) == (held[:4], [], 5)
        assert 1.0 <= seconds < 10.0


def test_a_process_with_many_names_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is not only looked at where something is deleted."""
    fds = [os.open("/dev/null", os.O_RDONLY) for _number in range(100)]
    monkeypatch.setattr(_links, "_NAMES_AT_ONCE", 10)
    looks = iter([False, False, True])
    read: list[str] = []
    monkeypatch.setattr(os, "readlink", lambda name, *_, **__: read.append(name) or "/dev/null")
    directory = _scan.open_directory("/proc/self")
    holder = Holder(os.getpid(), directory)
    assert list(_links.descriptors(holder, "", _links.Numbers(), lambda: next(looks))) == []
    assert len(read) == 20
    assert holder.unreadable
    for fd in (*fds, directory):
        os.close(fd)


def test_a_process_that_takes_too_long(tool: Path, holders: Holders, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is visited, yet not to the end: then it counts as not fully read."""
    held = holders.open(tool)
    tool.unlink()
    start, late = time.monotonic(), False
    real = _visit.Visit._descriptors

    def descriptors(visit: _visit.Visit, thread: str) -> Iterator[Link]:
        nonlocal late
        late = visit.holder.pid == held.pid
        return real(visit, thread)

    monkeypatch.setattr(_visit.Visit, "_descriptors", descriptors)
    monkeypatch.setattr(time, "monotonic", lambda: start + 100 * late)
    found = scan(lambda _sighting: False, Effort(timeout=60))
    assert held.pid not in [one.process.pid for one in found.sightings]
    assert found.unreadable > 0
    assert not found.is_complete


def test_which_processes_are_there_for_our_own_sake() -> None:
    parents = {10: 9, 9: 8, 8: 7, 7: 1, 1: 0}

    def status_of(pid: int) -> bytes:
        return b"Name:\tx\nPPid:\t%d\n" % parents[pid]

    assert connection(10, status_of) == {10, 9, 8}
    assert connection(7, status_of) == frozenset()


def test_of_a_connection_whose_parents_cannot_be_read() -> None:
    def status_of(pid: int) -> bytes:
        raise ProcessLookupError

    assert connection(10, status_of) == frozenset()


def test_programs(tool: Path, holders: Holders) -> None:
    held = holders.run(tool)
    assert held.pid in scan(lambda _sighting: False).programs[os.fsencode(tool)]
    tool.unlink()
    assert held.pid in scan(lambda _sighting: False).programs[os.fsencode(tool) + b" (deleted)"]


def test_what_a_process_is(holders: Holders) -> None:
    pid = holders.start("cat")
    assert process(pid).comm == b"cat"
    holders.end(pid)
    with pytest.raises(FileNotFoundError):
        process(pid)
