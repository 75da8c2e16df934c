# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What files may be like and where they may be, one test each, after the list of situations that CRIU tests.

Each is restored by `restore` from a real holder; what needs a mount runs in a mount namespace of its own.
"""

from __future__ import annotations

import ctypes
import hashlib
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _packages, _reach, _restore, _restore_task
from ansible_collections.procfs.rescue.plugins.module_utils._draft import draft_in
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._group import group
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host, Room
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, Terms
from ansible_collections.procfs.rescue.plugins.module_utils._publish import publish
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.module_utils._restore_spec import RESTORE_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_host import sftp_host
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_metadata import NOT_CARRIED
from unit.plugins import dead_fuse
from unit.plugins.holders import NOBODY, Holders, in_child, wait_until

MIB, GIB, TIB = 2**20, 2**30, 2**40
CONTENT = b"the original"

Result = dict[str, Any]
Way = Callable[[], AbstractContextManager[Host]]


@pytest.fixture(autouse=True)
def _no_packages(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packages, "INFO", os.fsencode(tmp_path_factory.getbasetemp() / "no dpkg"))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    path = tmp_path / "top"
    path.mkdir()
    return path


def by_sftp() -> AbstractContextManager[Host]:
    """A shell stands for ssh: it can be killed when the server waits for ever."""
    return sftp_host(lambda: Client(Pipe([b"sh", b"-c", b"/usr/lib/openssh/sftp-server; exit"], 2)))


def by_itself() -> AbstractContextManager[Host]:
    return nullcontext(LOCAL)


both_ways = pytest.mark.parametrize("way", [by_itself, by_sftp])


def all_back(requests: list[Result], way: Way = by_itself, **terms: Any) -> list[Result]:
    """The results, in a child: pins end with it."""

    def work() -> list[Result]:
        with way() as host:
            return restore(requests, Terms(**terms), lambda _line: None, host)

    return in_child(work, seconds=300)


def back(request: Result, way: Way = by_itself, **terms: Any) -> Result:
    [result] = all_back([request], way, **terms)
    return result


def restored(path: Path | bytes, way: Way = by_itself, **options: Any) -> Result:
    terms = {name: options.pop(name) for name in list(options) if name in Terms._fields}
    result = back({"path": os.fsdecode(path), **options}, way, **terms)
    assert result["status"] == "restored", result["msg"]
    assert result["not_kept"] == not_carried(way)
    return result


def not_carried(way: Way) -> list[str]:
    return list(NOT_CARRIED) if way is by_sftp else []


def unit(way: Way) -> int:
    """Of times, in nanoseconds."""
    return 10**9 if way is by_sftp else 1


def locally(**steps: Any) -> Way:
    """With other steps."""
    return lambda: nullcontext(LOCAL._replace(**steps))


def lose(holders: Holders, path: Path, content: bytes = CONTENT) -> int:
    """Returns the pid of the one that holds it."""
    path.write_bytes(content)
    pid = holders.open(path).pid
    path.unlink()
    return pid


# What the file is like.


def test_a_hard_linked_twin(top: Path, holders: Holders) -> None:
    (top / "twin").write_bytes(CONTENT)
    (top / "tool").hardlink_to(top / "twin")
    holders.open(top / "tool")
    (top / "tool").unlink()
    assert restored(top / "tool")["method"] == "link"
    assert (top / "tool").samefile(top / "twin")


@pytest.mark.parametrize("check_mode", [False, True])
def test_a_second_run_with_force_after_a_link(top: Path, holders: Holders, check_mode: bool) -> None:
    (top / "twin").write_bytes(CONTENT)
    (top / "tool").hardlink_to(top / "twin")
    pid = holders.open(top / "tool").pid
    (top / "tool").unlink()
    request = {"path": str(top / "tool"), "checksum": "sha256:" + hashlib.sha256(CONTENT).hexdigest()}
    inode = (top / "twin").stat().st_ino
    assert back(request, force=True)["method"] == "link"
    for chosen in {}, {"pid": pid}, {"inode": inode}:
        again = back({**request, **chosen}, force=True, backup=True, check_mode=check_mode)
        assert (again["status"], again["changed"]) == ("present", False), again["msg"]
    assert sorted(path.name for path in top.iterdir()) == ["tool", "twin"]
    assert (top / "tool").stat().st_ino == inode
    for wrong in {"checksum": "sha256:" + "0" * 64}, {"inode": inode + 1}:
        assert back({**request, **wrong}, force=True)["refused"] == ["not_held"]
    (top / "tool").unlink()
    (top / "tool").write_text("newer")
    assert back(request, force=True)["status"] == "restored"
    assert (top / "tool").stat().st_ino == inode


@both_ways
def test_only_mapped(top: Path, holders: Holders, way: Way) -> None:
    held = holders.map_library(top / "lib.so")
    before = (top / "lib.so").read_bytes()
    (top / "lib.so").unlink()
    result = restored(top / "lib.so", way)
    assert (result["source"]["via"], result["source"]["pid"]) == ("map", held.pid)
    assert (top / "lib.so").read_bytes() == before


@both_ways
def test_many_holes(top: Path, holders: Holders, way: Way) -> None:
    with open(top / "tool", "wb") as file:
        for number in range(40):
            os.pwrite(file.fileno(), b"%d" % number * 100, number * MIB)
        file.truncate(50 * MIB)
    before = digest(top / "tool")
    holders.open(top / "tool")
    (top / "tool").unlink()
    restored(top / "tool", way)
    assert digest(top / "tool") == before
    # The server of SFTP fills them where it copies.
    assert ((top / "tool").stat().st_blocks * 512 < MIB) is (way is by_itself)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("size", [4 * GIB + 5, TIB])
def test_a_large_file_that_is_nearly_all_hole(top: Path, holders: Holders, size: int) -> None:
    """With digests of some of it: whole ones take more time than a test has (make bench-restore-huge)."""
    pieces = {0: CONTENT, size // 2: b"middle", size - 3: b"end"}

    def read(fd: int) -> list[bytes]:
        return [os.pread(fd, len(piece), place) for place, piece in pieces.items()]

    with open(top / "tool", "wb") as file:
        for place, piece in pieces.items():
            os.pwrite(file.fileno(), piece, place)
    holders.open(top / "tool")
    (top / "tool").unlink()

    def digests(fd: int, _algorithms: object, _size: object = None) -> dict[str, str]:
        return {"sha256": hashlib.sha256(b"".join(read(fd))).hexdigest()}

    assert restored(top / "tool", locally(digests=digests, draft_digests=digests))["size"] == size
    with open(top / "tool", "rb") as file:
        assert read(file.fileno()) == list(pieces.values())
    result = (top / "tool").stat()
    assert result.st_size == size
    assert result.st_blocks * 512 < MIB


@both_ways
def test_an_empty_file(top: Path, holders: Holders, way: Way) -> None:
    lose(holders, top / "tool", b"")
    restored(top / "tool", way)
    assert (top / "tool").read_bytes() == b""


@both_ways
def test_a_file_that_never_had_a_name(top: Path, holders: Holders, way: Way) -> None:
    fd = os.open(top, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, CONTENT)
    held = holders.keep(fd)
    os.close(fd)
    result = back({"source": {"pid": held.pid, "link": held.link}, "dest": str(top / "copy")}, way)
    assert result["status"] == "restored", result["msg"]
    assert (top / "copy").read_bytes() == CONTENT


@both_ways
def test_a_memfd(top: Path, holders: Holders, way: Way) -> None:
    fd = os.memfd_create("memory")
    os.write(fd, CONTENT)
    held = holders.keep(fd)
    os.close(fd)
    result = back({"source": {"pid": held.pid, "link": held.link}, "dest": str(top / "copy")}, way)
    assert result["status"] == "restored", result["msg"]
    assert (top / "copy").read_bytes() == CONTENT


# What it is on.


@both_ways
def test_on_tmpfs(top: Path, way: Way) -> None:
    def work(holders: Holders) -> None:
        mount("-t", "tmpfs", "none", str(top))
        lose(holders, top / "tool")
        restored(top / "tool", way)
        assert (top / "tool").read_bytes() == CONTENT

    apart(work)


@both_ways
@pytest.mark.parametrize("layer", ["lower", "upper"])
def test_on_an_overlay(top: Path, layer: str, way: Way) -> None:
    def work(holders: Holders) -> None:
        mount("-t", "tmpfs", "none", str(top))
        for name in "lower", "upper", "work", "merged":
            (top / name).mkdir()
        (top / layer / "tool").write_bytes(CONTENT)
        layers = f"lowerdir={top}/lower,upperdir={top}/upper,workdir={top}/work"
        mount("-t", "overlay", "-o", layers, "none", str(top / "merged"))
        holders.open(top / "merged" / "tool")
        (top / "merged" / "tool").unlink()
        restored(top / "merged" / "tool", way)
        assert (top / "merged" / "tool").read_bytes() == CONTENT
        assert os.listdir(top / "merged") == ["tool"]

    apart(work)


@pytest.mark.parametrize("kind", ["btrfs", "xfs"])
def test_where_blocks_can_be_shared(top: Path, kind: str) -> None:
    def work(holders: Holders) -> None:
        place = volume(top, kind)
        if kind == "btrfs":
            subprocess.run(["btrfs", "-q", "subvolume", "create", place / "sub"], check=True)
            place = place / "sub"
        lose(holders, place / "tool", CONTENT * 10_000)
        result = restored(place / "tool")
        assert (result["method"], result["checksum"], result["consistent"]) == ("reflink", None, True)
        assert (place / "tool").read_bytes() == CONTENT * 10_000

    apart(work)


@both_ways
def test_on_a_volume_that_really_gets_full(top: Path, way: Way) -> None:
    """It has room for what is told to be free, but not for what was reserved meanwhile."""

    @contextmanager
    def blind(times: int = 2) -> Iterator[Host]:
        with way() as host:
            looks = iter([Room(False, None, None)] * times)
            yield host._replace(room=lambda folder: next(looks, None) or host.room(folder))

    def work(holders: Holders) -> None:
        place = volume(top, "ext4", 64 * MIB)
        lose(holders, place / "tool", os.urandom(20 * MIB))
        free = os.statvfs(place).f_bfree * os.statvfs(place).f_frsize
        (place / "filler").write_bytes(bytes(free - 10 * MIB))
        told = back({"path": str(place / "tool")}, way)
        needs = f"{place}/tool needs {20 * MIB} bytes, its file system has "
        assert needs in told["msg"]
        assert sorted(os.listdir(place)) == ["filler", "lost+found"]
        failed = back({"path": str(place / "tool")}, blind)
        # SFTP has no word for it.
        assert ("there is no space left" if way is by_itself else "look whether the file system is full") in failed[
            "msg"
        ]
        assert sorted(os.listdir(place)) == ["filler", "lost+found"]
        filled = back({"path": str(place / "tool")}, lambda: blind(1))
        assert needs in filled["msg"]
        assert sorted(os.listdir(place)) == ["filler", "lost+found"]
        (place / "filler").unlink()
        restored(place / "tool", way)

    apart(work)


@both_ways
def test_where_a_quota_is_used_up(top: Path, way: Way) -> None:
    """Its file system has room, and says so."""

    def work(holders: Holders) -> None:
        lose(holders, top / "tool", os.urandom(4 * MIB))
        place = volume(top, "btrfs")
        subprocess.run(["btrfs", "quota", "enable", place], check=True)
        subprocess.run(["btrfs", "-q", "subvolume", "create", place / "sub"], check=True)
        subprocess.run(["btrfs", "qgroup", "limit", "1M", place / "sub"], check=True)
        told = back({"path": str(top / "tool"), "dest": str(place / "sub" / "copy")}, way)["msg"]
        if way is by_itself:
            assert f"{place}/sub/copy could not be written: it needs {4 * MIB} bytes, its file system has " in told
            assert " free, but a quota is used up: free some, or restore to another file system with dest." in told
        else:  # SFTP has no word for it
            assert "look whether the file system is full" in told
        assert os.listdir(place / "sub") == []
        subprocess.run(["btrfs", "qgroup", "limit", "none", place / "sub"], check=True)
        restored(top / "tool", way, dest=str(place / "sub" / "copy"))

    apart(work)


@both_ways
def test_from_one_file_system_to_another(top: Path, way: Way) -> None:
    def work(holders: Holders) -> None:
        lose(holders, top / "tool")
        (top / "elsewhere").mkdir()
        mount("-t", "tmpfs", "none", str(top / "elsewhere"))
        restored(top / "tool", way, dest=str(top / "elsewhere" / "copy"))
        assert (top / "elsewhere" / "copy").read_bytes() == CONTENT

    apart(work)


@both_ways
def test_to_a_fuse_file_system(top: Path, way: Way) -> None:
    """A real one, without O_TMPFILE."""

    def work(holders: Holders) -> None:
        (top / "tool").write_bytes(CONTENT)
        before = (top / "tool").stat().st_mtime_ns
        holders.open(top / "tool")
        (top / "tool").unlink()
        place, _server = fuse(top, holders)
        result = back({"path": str(top / "tool"), "dest": str(place / "copy")}, way)
        assert (result["status"], result["method"]) == ("restored", "copy")
        lost = ["mtime"] if (place / "copy").stat().st_mtime_ns // unit(way) != before // unit(way) else []
        assert result["not_kept"] == lost + not_carried(way)
        assert (place / "copy").read_bytes() == CONTENT
        assert sorted(os.listdir(place)) == ["copy", "lost+found"]

    apart(work)


def test_a_fuse_file_system_keeps_no_draft(top: Path) -> None:
    """libfuse keeps a fifth of them under a name of its own for ever: those whose close(2) and unlink(2) meet."""

    def work(holders: Holders) -> None:
        place, _server = fuse(top, holders)
        folder = os.open(place, os.O_RDONLY)
        for number in range(40):
            with draft_in(folder) as draft:
                os.write(draft.fd, CONTENT)
                publish(draft, folder, b"%d" % number)
            assert [name for name in os.listdir(place) if name.startswith(".")] == []
        os.close(folder)  # or it could not be unmounted

    apart(work)


def test_from_a_fuse_file_system(top: Path) -> None:
    """libfuse renames what is deleted and still open. Who had it open shows its own name, who opens it now the new."""

    def work(holders: Holders) -> None:
        place, _server = fuse(top, holders)
        (place / "tool").write_bytes(CONTENT)
        first = holders.open(place / "tool")
        (place / "tool").unlink()
        (renamed,) = place.glob(".fuse_hidden*")
        second = holders.open(renamed)
        assert told(first.pid, second.pid) == [("regular", os.fsencode(place / "tool"), 2)]
        assert told(second.pid) == [("fuse_hidden", os.fsencode(renamed), 1)]
        restored(place / "tool")
        assert (place / "tool").read_bytes() == CONTENT
        result = back({"source": {"pid": second.pid, "fd": second.fd}, "dest": str(top / "copy")})
        assert (result["status"], (top / "copy").read_bytes()) == ("restored", CONTENT)

    apart(work)


def told(*pids: int) -> list[tuple[str, bytes, int]]:
    """Kind, path and number of holders of what these processes hold deleted."""
    seen = [one for one in scan(lambda _one: False).sightings if one.process.pid in pids]
    return [(one.kind, one.sightings[0].path, len(one.sightings)) for one in group(seen)]


def fuse(top: Path, holders: Holders) -> tuple[Path, int]:
    """A real file system in user space, and the pid of its server."""
    image, place = top / "image", top / "place"
    with open(image, "wb") as file:
        file.truncate(64 * MIB)
    place.mkdir()
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    server = holders.start("fuse2fs", "-f", image, place)
    wait_until(lambda: os.path.ismount(place))
    return place, server


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in _restore, _reach:
        monkeypatch.setattr(module, "NORMAL", NORMAL._replace(deadline=0.4))


@both_ways
@pytest.mark.usefixtures("impatient")
def test_targets_that_never_answer(top: Path, way: Way) -> None:
    """They fail by their names, the others come back. One is only seen to be there when the symlink is walked.

    FUSE stands for what is mounted over a network, too: not every kernel that tests run on has NFS.
    """

    def work(holders: Holders) -> None:
        (top / "dead").mkdir()
        (top / "way").symlink_to("dead")
        lose(holders, top / "tool")
        lose(holders, top / "other")
        holders.expect(holders.start(sys.executable, dead_fuse.__file__, top / "dead"), b"ready\n")
        dead = [{"path": f"{top}/dead/{number}"} for number in range(100)]
        out = {"path": f"{top}/other", "dest": f"{top}/dead/copy"}
        around = {"path": f"{top}/way/tool"}
        results = all_back([*dead, {"path": f"{top}/tool"}, out, around], way)
        assert [one["status"] for one in results] == ["failed"] * 100 + ["restored", "failed", "failed"]
        for one, path in (results[0], "dead/0"), (results[-2], "dead/copy"), (results[-1], "way/tool"):
            assert one["msg"].startswith(f"{top}/{path} was skipped: it is on a network or FUSE file system that does")
        assert (top / "tool").read_bytes() == CONTENT

    apart(work, seconds=40)


@both_ways
@pytest.mark.usefixtures("impatient")
def test_a_stopped_server_of_source_and_target(top: Path, way: Way) -> None:
    def work(holders: Holders) -> None:
        place, server = fuse(top, holders)
        lose(holders, place / "tool")
        lose(holders, top / "tool")
        os.kill(server, signal.SIGSTOP)
        try:
            results = all_back([{"path": f"{place}/tool"}, {"path": f"{top}/tool"}], way)
        finally:
            os.kill(server, signal.SIGCONT)
        assert [one["status"] for one in results] == ["failed", "restored"]
        assert "was skipped: it is on a network or FUSE file system" in results[0]["msg"]
        assert (top / "tool").read_bytes() == CONTENT

    apart(work, seconds=40)


def below(folder: Path, way: Way, user: int = 0) -> tuple[list[Result], list[str]]:
    """The results for a folder, and what was warned of."""

    def work() -> tuple[list[Result], list[str]]:
        told: list[str] = []
        with way() as host:
            request = {"path_prefix": str(folder), "packaged": False}
            return restore([request], Terms(), lambda _line: None, host, told.append), told

    return in_child(work, user=user)


@both_ways
@pytest.mark.usefixtures("impatient")
def test_what_was_skipped_is_told_with_a_whole_folder_too(top: Path, way: Way) -> None:
    def work(holders: Holders) -> None:
        for name in "dead", "folder":
            (top / name).mkdir()
        lose(holders, top / "folder" / "tool")
        [result], told = below(top / "folder", way)
        assert (result["status"], told) == ("restored", [])
        holders.expect(holders.start(sys.executable, dead_fuse.__file__, top / "dead"), b"ready\n")
        [result], [warning] = below(top / "folder", way)
        assert result["status"] == "present"
        assert warning.startswith(f"Not all processes could be looked at: there may be more deleted files below {top}/")
        assert f"Skipped were file systems that do not answer: {top}/dead." in warning

    apart(work, seconds=60)


def test_so_it_is_when_processes_could_not_be_read(top: Path, holders: Holders) -> None:
    lose(holders, top / "tool")
    results, [warning] = below(top, by_itself, NOBODY)
    assert results == []
    assert "It may be held by one that could not be read (" in warning and "without root (use become)" in warning


def test_the_answer_of_the_task_says_so(top: Path) -> None:
    params = {name: option.get("default") for name, option in RESTORE_SPEC["argument_spec"].items()}

    def answer(**request: Any) -> dict[str, Any]:
        return _restore_task.run(dict(params, requests=[request]), Setting(False, False, lambda _line: None, LOCAL))

    def work(holders: Holders) -> None:
        lose(holders, top / "tool")
        folder = {"path_prefix": str(top), "packaged": False}
        unread = in_child(lambda: answer(**folder), NOBODY)
        assert (unread["files"], unread["complete"], len(unread["warnings"])) == ([], False, 1)
        assert "complete" not in answer(path=str(top / "tool"))
        whole = answer(**folder)
        assert whole["complete"]
        assert "warnings" not in whole

    apart(work)


def is_cached(pages: mmap.mmap) -> bool:
    """Whether the kernel could give any of a mapped file without asking its server (mincore(2))."""
    resident = (ctypes.c_ubyte * (-(-len(pages) // mmap.PAGESIZE)))()
    start = ctypes.c_char.from_buffer(pages)
    try:
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(ctypes.addressof(start)), len(pages), resident) == 0
    finally:
        del start
    return any(one & 1 for one in resident)


def stopping(way: Way, server: int, source: int | None) -> Way:
    """The server is stopped right when a copy begins, and has nothing of the ``source`` given before."""
    pages = None if source is None else mmap.mmap(source, 0, access=mmap.ACCESS_COPY)

    @contextmanager
    def found() -> Iterator[Host]:
        with way() as host:

            def copy(number: int, target: int) -> None:
                while True:
                    os.kill(server, signal.SIGSTOP)
                    wait_until(lambda: Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[0] == "T")
                    if source is None or pages is None or not is_cached(pages):
                        break
                    os.kill(server, signal.SIGCONT)
                    os.posix_fadvise(source, 0, 0, os.POSIX_FADV_DONTNEED)
                host.copy_content(number, target)

            try:
                yield host._replace(copy_content=copy)
            finally:  # who waits for it cannot even be killed
                os.kill(server, signal.SIGCONT)

    return found


@both_ways
@pytest.mark.parametrize("end", ["source", "target"])
@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_stopped_while_its_file_is_copied(top: Path, way: Way, end: str) -> None:
    """It is given up, the others come back."""

    def work(holders: Holders) -> None:
        place, server = fuse(top, holders)
        lost = place / "tool" if end == "source" else top / "first"
        copy = top / "copy" if end == "source" else place / "copy"
        lost.touch()
        source = os.open(lost, os.O_RDONLY) if end == "source" else None
        lose(holders, lost, CONTENT * 100_000)
        lose(holders, top / "tool")
        lose(holders, top / "third")
        on_it = {"path": str(top / "third"), "dest": str(place / "third")}
        requests = [{"path": str(lost), "dest": str(copy)}, on_it, {"path": str(top / "tool")}]
        started = time.monotonic()
        results = all_back(requests, stopping(way, server, source), freeze=1.0)
        assert [one["status"] for one in results] == ["failed", "failed", "restored"], results
        if way is by_itself:
            assert "does not answer any more" in results[0]["msg"] and str(place) in results[0]["msg"]
        else:
            assert "the host did not answer over SFTP" in results[0]["msg"]
        assert "was skipped: it is on a network or FUSE file system" in results[1]["msg"]
        assert (top / "tool").read_bytes() == CONTENT
        assert not (top / "copy").exists()
        assert time.monotonic() - started < 20

    apart(work, seconds=60)


@pytest.mark.usefixtures("impatient")
def test_a_server_of_a_layer_that_is_stopped_while_a_file_of_the_overlay_is_copied(top: Path) -> None:
    """As below containers whose images are fetched as they are read: an overlay itself is no remote file system."""

    def work(holders: Holders) -> None:
        place, server = fuse(top, holders)
        (top / "local").mkdir()
        mount("-t", "tmpfs", "none", str(top / "local"))
        for folder in place / "lower", top / "local" / "upper", top / "local" / "work", top / "local" / "merged":
            folder.mkdir()
        (place / "lower" / "tool").write_bytes(CONTENT * 100_000)
        merged = top / "local" / "merged"
        layers = f"lowerdir={place}/lower,upperdir={top}/local/upper,workdir={top}/local/work"
        mount("-t", "overlay", "-o", layers, "none", str(merged))
        source = os.open(merged / "tool", os.O_RDONLY)
        (merged / "tool").unlink()
        lose(holders, top / "tool")
        requests = [{"path": str(merged / "tool"), "dest": str(top / "copy")}, {"path": str(top / "tool")}]
        started = time.monotonic()
        results = all_back(requests, stopping(by_itself, server, source))
        assert [one["status"] for one in results] == ["failed", "restored"], results
        assert "does not answer any more" in results[0]["msg"] and str(merged) in results[0]["msg"]
        assert (time.monotonic() - started < 40, (top / "copy").exists()) == (True, False)

    apart(work, seconds=90)


@both_ways
def test_in_an_immutable_folder(top: Path, way: Way) -> None:
    def work(holders: Holders) -> None:
        place = volume(top, "ext4", 64 * MIB)
        lose(holders, place / "tool")
        subprocess.run(["chattr", "+i", place], check=True)
        assert "look for an immutable folder (lsattr -d)" in back({"path": str(place / "tool")}, way)["msg"]
        subprocess.run(["chattr", "-i", place], check=True)
        restored(place / "tool", way)
        assert sorted(os.listdir(place)) == ["lost+found", "tool"]

    apart(work)


@both_ways
def test_in_a_read_only_mount(top: Path, way: Way) -> None:
    def work(holders: Holders) -> None:
        lose(holders, top / "tool")
        mount("--bind", str(top), str(top))
        mount("-o", "remount,bind,ro", str(top))
        assert "it is on a read-only file system: remount it writable" in back({"path": str(top / "tool")}, way)["msg"]
        mount("-o", "remount,bind,rw", str(top))
        restored(top / "tool", way)

    apart(work)


# Where its name is.


@both_ways
def test_many_files_of_folders_that_are_gone(
    top: Path, holders: Holders, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_restore, "_MANY", 4)
    paths = [top / folder / f"tool{number}" for folder in ("one", "one/more", "other") for number in range(3)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        lose(holders, path)
    shutil.rmtree(top / "one")
    (top / "other").rmdir()
    results = all_back([{"path": str(path)} for path in paths], way, parents=True)
    assert [result["status"] for result in results] == ["restored"] * len(paths)
    assert all(path.read_bytes() == CONTENT for path in paths)


@both_ways
def test_a_folder_that_is_gone(top: Path, holders: Holders, way: Way) -> None:
    (top / "folder").mkdir()
    lose(holders, top / "folder" / "tool")
    (top / "folder").rmdir()
    assert back({"path": str(top / "folder" / "tool")}, way)["refused"] == ["folder_gone"]
    [made] = restored(top / "folder" / "tool", way, parents=True)["made"]
    assert (made.pop("path"), made.pop("metadata_by")) == (str(top / "folder"), None)
    assert made == {"owner": "root", "group": "root", "mode": "0755"}
    assert (top / "folder" / "tool").read_bytes() == CONTENT


@both_ways
def test_a_name_that_is_used_again(top: Path, holders: Holders, way: Way) -> None:
    lose(holders, top / "tool")
    (top / "tool").write_text("newer")
    assert back({"path": str(top / "tool")}, way)["status"] == "present"
    assert (top / "tool").read_text() == "newer"
    restored(top / "tool", way, force=True)
    assert (top / "tool").read_bytes() == CONTENT


def test_a_holder_in_another_mount_namespace(top: Path, holders: Holders) -> None:
    (top / "tool").write_bytes(CONTENT)
    script = 'exec 3<"$1"; echo ready; exec cat'
    pid = holders.start("unshare", "--mount", "sh", "-ec", script, "sh", top / "tool")
    holders.expect(pid, b"ready\n")
    (top / "tool").unlink()
    restored(top / "tool")
    assert (top / "tool").read_bytes() == CONTENT


@both_ways
def test_a_symlinked_folder(top: Path, holders: Holders, way: Way) -> None:
    (top / "real").mkdir()
    (top / "way").symlink_to("real")
    lose(holders, top / "way" / "tool")
    assert restored(top / "way" / "tool", way)["path"] == str(top / "real" / "tool")
    assert (top / "real" / "tool").read_bytes() == CONTENT


@both_ways
def test_the_longest_name(top: Path, holders: Holders, way: Way) -> None:
    lose(holders, top / ("x" * 255))
    restored(top / ("x" * 255), way)
    assert os.listdir(top) == ["x" * 255]


@pytest.mark.parametrize("length", [4085, 4095])
def test_the_longest_path(top: Path, holders: Holders, length: int) -> None:
    """Longer than 4085 bytes the kernel does not tell it together with " (deleted)": then its holder is chosen."""
    folder = os.open(top, os.O_RDONLY)
    path = os.fsencode(top)
    while len(path) < length - 300:
        os.mkdir(b"d" * 200, dir_fd=folder)
        inner = os.open(b"d" * 200, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder, path = inner, path + b"/" + b"d" * 200
    for name in (b"e" * 100, b"f" * (length - len(path) - 102)):
        if name.startswith(b"e"):
            os.mkdir(name, dir_fd=folder)
            inner = os.open(name, os.O_RDONLY, dir_fd=folder)
            os.close(folder)
            folder = inner
        path += b"/" + name
    assert len(path) == length
    name = os.path.basename(path)
    fd = os.open(name, os.O_RDWR | os.O_CREAT, dir_fd=folder)
    os.write(fd, CONTENT)
    held = holders.keep(fd)
    os.close(fd)
    os.unlink(name, dir_fd=folder)
    os.close(folder)
    if length == 4085:
        restored(path)
        assert Path(os.fsdecode(path)).read_bytes() == CONTENT
        return
    with pytest.raises(OSError, match="File name too long"):
        os.readlink(held.link)
    told = back({"path": os.fsdecode(path)})
    assert (told["status"], told["refused"]) == ("failed", ["not_held"])
    source = {"pid": held.pid, "link": held.link}
    assert back({"source": source})["refused"] == ["no_name"]
    assert back({"source": source, "dest": str(top / "copy")})["status"] == "restored"
    assert (top / "copy").read_bytes() == CONTENT
    [entry] = [one for one in gather(Filters(), host=LOCAL)["deleted_files"] if one["holders"][0]["pid"] == held.pid]
    assert (entry["path"], entry["visible"]) == ("(too long)", False)
    (top / "copy").unlink()
    assert back({"source": entry, "dest": str(top / "copy")})["status"] == "restored"
    assert (top / "copy").read_bytes() == CONTENT


def test_thousands_under_one_name(top: Path, holders: Holders) -> None:
    """All of them different: none is chosen silently, each can be chosen by its inode."""
    count = 2000
    fds = []
    for number in range(count):
        fds.append(os.open(top / "tool", os.O_RDWR | os.O_CREAT | os.O_EXCL))
        os.write(fds[-1], b"%d" % number)
        (top / "tool").unlink()
    pid = holders.start("cat", keep=tuple(fds))
    inodes = [os.fstat(fd).st_ino for fd in fds]
    for fd in fds:
        os.close(fd)
    told = back({"path": str(top / "tool")})
    assert told["refused"] == ["ambiguous"]
    assert told["msg"].startswith(f"{count} different deleted files were called {top}/tool and no digest proves one")
    result = restored(top / "tool", inode=inodes[1234])
    assert result["source"]["pid"] == pid
    assert (top / "tool").read_bytes() == b"1234"


# Who holds it.


def test_a_holder_that_ends_while_it_is_copied(top: Path, holders: Holders) -> None:
    pid = lose(holders, top / "tool")

    def copy(source: int, target: int) -> None:
        os.kill(pid, 9)
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")
        LOCAL.copy_content(source, target)

    restored(top / "tool", locally(copy_content=copy))
    assert (top / "tool").read_bytes() == CONTENT


@both_ways
def test_a_holder_in_an_uninterruptible_wait(top: Path, holders: Holders, way: Way) -> None:
    """In D state, as one that waits for a dead disk: vfork(2) waits like that for its child, which waits for a FIFO."""
    (top / "tool").write_bytes(CONTENT)
    os.mkfifo(top / "fifo")
    pid = holders.start(sys.executable, "-c", _WAITING, top / "tool", top / "fifo")
    # Who is only just started waits for the disk now and then, too.
    try:
        holders.expect(pid, b"held\n")
        wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D")
        (top / "tool").unlink()
        result = restored(top / "tool", way)
        assert (top / "tool").read_bytes() == CONTENT
        assert pid in [result["source"]["pid"], *(writer["pid"] for writer in result["writers"])]
    finally:
        os.close(os.open(top / "fifo", os.O_RDONLY | os.O_NONBLOCK))  # the child would wait for ever


_WAITING = """
import os, sys
held = open(sys.argv[1], "r+b")
print("held", flush=True)
os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 9, sys.argv[2], os.O_WRONLY, 0)])
"""


@both_ways
def test_a_holder_that_has_ended(top: Path, holders: Holders, way: Way) -> None:
    holders.end(lose(holders, top / "tool"))
    assert back({"path": str(top / "tool")}, way)["refused"] == ["not_held"]


@pytest.fixture
def limited() -> Iterator[tuple[Path, str]]:
    """A control group with little memory, and its file that counts whom that killed."""
    top = Path("/sys/fs/cgroup")
    if (top / "memory/memory.limit_in_bytes").exists():  # cgroup v1
        parent, limit, count = top / "memory", "memory.limit_in_bytes", "memory.oom_control"
    elif "memory" in (top / "cgroup.subtree_control").read_text().split():
        parent, limit, count = top, "memory.max", "memory.events"
    else:
        pytest.skip("no memory controller for control groups here")
    group = parent / f"procfs-rescue-{os.getpid()}"
    group.mkdir()
    (group / limit).write_text(str(32 * MIB))
    if (group / "memory.swap.max").exists():
        (group / "memory.swap.max").write_text("0")
    yield group, count
    group.rmdir()


def test_a_holder_that_runs_out_of_memory_while_it_is_copied(
    top: Path, holders: Holders, limited: tuple[Path, str]
) -> None:
    group, count = limited
    try:
        (top / "tool").write_bytes(CONTENT)
        script = "import sys; held = open(sys.argv[1]); print('ready', flush=True); sys.stdin.read(1); x = b'x' * 2**30"
        pid = holders.start(sys.executable, "-c", script, top / "tool")
        holders.expect(pid, b"ready\n")
        (group / "cgroup.procs").write_text(str(pid))
        (top / "tool").unlink()

        def copy(source: int, target: int) -> None:
            holders.say(pid, b"x")
            wait_until(lambda: Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z")
            LOCAL.copy_content(source, target)

        restored(top / "tool", locally(copy_content=copy))
        assert (top / "tool").read_bytes() == CONTENT
        assert "oom_kill 1\n" in (group / count).read_text()
        assert holders.ended(pid) == -signal.SIGKILL
    finally:
        holders.end_all()


# What it has besides its content.


@pytest.mark.parametrize("bit", [1 << number for number in range(12)], ids=oct)
def test_every_bit_of_the_mode(top: Path, holders: Holders, bit: int) -> None:
    keeps(top, holders, lambda path: path.chmod(bit))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user.note", b"\0\xff binary"),
        ("user.empty", b""),
        ("trusted.note", b"root's"),
        ("security.note", b"a module's"),
        ("security.selinux", b"system_u:object_r:bin_t:s0\0"),
        ("security.capability", struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)),
    ],
)
def test_extended_attributes(top: Path, holders: Holders, name: str, value: bytes) -> None:
    keeps(top, holders, lambda path: os.setxattr(path, name, value))


def test_access_control_lists(top: Path, holders: Holders) -> None:
    keeps(top, holders, lambda path: subprocess.run(["setfacl", "-m", "u:7:r,g:8:rw,m::rw", path], check=True))


def test_owners_without_names(top: Path, holders: Holders) -> None:
    def change(path: Path) -> None:
        os.chown(path, 4_000_000_000, 3_999_999_999)
        os.chown(top, 4_000_000_000, 3_999_999_999)

    keeps(top, holders, change)


def test_a_time_for_which_sftp_has_no_bits_is_named(top: Path, holders: Holders) -> None:
    path = top / "tool"
    path.write_bytes(CONTENT)
    os.utime(path, (-1, -1))
    holders.open(path)
    path.unlink()
    result = back({"path": str(path)}, by_sftp)
    assert (result["status"], result["not_kept"]) == ("restored", ["mtime", *not_carried(by_sftp)])
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("nanoseconds", [0, 1, 1_700_000_000_999_999_999, -1_000_000_001, 4_300_000_000_000_000_007])
def test_times(top: Path, holders: Holders, nanoseconds: int) -> None:
    keeps(top, holders, lambda path: os.utime(path, ns=(nanoseconds, nanoseconds)))


def keeps(top: Path, holders: Holders, change: Callable[[Path], object]) -> None:
    """With proven content everything is as it was."""
    path = top / "tool"
    path.write_bytes(CONTENT)
    path.chmod(0o640)
    change(path)
    before = everything(path)
    holders.open(path)
    path.unlink()
    checksum = "sha256:" + hashlib.sha256(CONTENT).hexdigest()
    result = restored(path, checksum=checksum, accept=["owner_differs", "ancestor_writable"])
    assert result["dropped"] == []
    assert everything(path) == before
    assert path.read_bytes() == CONTENT


def everything(path: Path) -> tuple[Any, ...]:
    result = path.stat()
    xattrs = {name: os.getxattr(path, name) for name in os.listxattr(path)}
    return result.st_mode, result.st_uid, result.st_gid, result.st_mtime_ns, xattrs


# Mounts and processes of its own.


def apart(work: Callable[[Holders], None], seconds: int = 120) -> None:
    libc = ctypes.CDLL(None)

    def inside() -> None:
        assert libc.unshare(0x00020000) == 0  # CLONE_NEWNS
        mount("--make-rprivate", "/")
        assert libc.unshare(0x20000000) == 0  # CLONE_NEWPID: for its children
        in_child(first, seconds=seconds)

    def first() -> None:
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no alarm ends the first process of a namespace
        mount("-t", "proc", "proc", "/proc")
        holders = Holders()
        try:
            work(holders)
        finally:
            holders.end_all()

    in_child(inside, seconds=seconds)


def mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True)


def volume(top: Path, kind: str, size: int = 400 * MIB) -> Path:
    """A new file system of that kind; its loop device goes with the namespace."""
    image, place = top / "image", top / "place"
    with open(image, "wb") as file:
        file.truncate(size)
    place.mkdir()
    subprocess.run([f"mkfs.{kind}", "-q", image], check=True)
    mount("-o", "loop", str(image), str(place))
    return place
