# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real files of real processes. Each check has a case of its own, and one that shows what it is good for."""

from __future__ import annotations

import base64
import fcntl
import os
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _free, _reclaim
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters
from ansible_collections.procfs.rescue.plugins.module_utils._handle import unpin
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._may_free import Freeable, Manner
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort, Scan, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._reclaim import Choice, choice_from, manner_from, reclaim
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan
from unit.plugins.holders import Holders, wait_until

SIZE = 1_000_000
TEXT = b"x" * SIZE

# Opens what it is told with these flags, then does what the lines of its input say.
PROGRAM = """
import mmap, os, sys
fd = os.open(sys.argv[1], int(sys.argv[2]))
print("ready", flush=True)
for line in sys.stdin:
    exec(line)
    print("done", flush=True)
"""
APPEND = os.O_WRONLY | os.O_APPEND
FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, APPEND_ONLY = 0x80086601, 0x40086602, 0x20


def scan_here(pin: Callable[[Sighting], bool], effort: Effort) -> Scan:
    """This machine may hide something from its root, which has nothing to do with the files of these tests."""
    return scan(pin, effort)._replace(unreadable=0, skipped={})


HERE = LOCAL._replace(scan=scan_here)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log"
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def program(holders: Holders) -> Callable[..., int]:
    def start(path: Path, flags: int = APPEND) -> int:
        pid = holders.start(sys.executable, "-c", PROGRAM, path, str(flags))
        holders.expect(pid, b"ready\n")
        return pid

    return start


@pytest.fixture
def tell(holders: Holders) -> Callable[[int, str], None]:
    def say(pid: int, line: str) -> None:
        holders.say(pid, line.encode() + b"\n")
        holders.expect(pid, b"done\n")

    return say


def freed(path: Path, host: Host = HERE, **manner: Any) -> dict[str, Any]:
    choice = Choice(None, None, Filters(paths=[str(path)]))
    return reclaim(choice, Manner(**manner), 5, lambda _line: None, host)


def only(path: Path, **manner: Any) -> tuple[str, list[str]]:
    """What became of the one file."""
    (result,) = freed(path, **manner)["files"]
    return result["status"], result["refused"]


def state_of(pid: int) -> os.stat_result:
    link = next(link for link in Path(f"/proc/{pid}/fd").iterdir() if "/log" in os.readlink(link))
    return link.stat()


def test_a_log(log: Path, program: Callable[..., int], tell: Callable[[int, str], None]) -> None:
    pid = program(log)
    log.unlink()
    lines: list[str] = []
    choice = Choice(None, None, Filters(paths=[str(log)]))
    before = state_of(pid).st_blocks * 512
    told = reclaim(choice, Manner(check_mode=True), 5, lines.append, HERE)
    assert (told["freed"], told["files"][0]["status"], lines) == (before, "would_free", [])
    assert state_of(pid).st_size == SIZE
    answer = reclaim(choice, Manner(), 5, lines.append, HERE)
    (result,) = answer["files"]
    assert (result["status"], result["freed"], result["refused"]) == ("freed", before, [])
    assert (result["path"], result["size"]) == (str(log), SIZE)
    assert answer["freed"] == before
    assert [row["freed"] for row in answer["mount_points"].values()] == [before]
    assert len(lines) == 1
    tell(pid, "os.write(fd, b'more')")
    assert state_of(pid).st_size == 4
    assert freed(log)["freed"] > 0  # of what was written since


def test_nothing_is_freed_twice(log: Path, program: Callable[..., int]) -> None:
    program(log)
    log.unlink()
    assert freed(log)["freed"] > 0
    assert freed(log)["freed"] == 0


def test_several_writers(log: Path, program: Callable[..., int]) -> None:
    program(log)
    program(log)
    log.unlink()
    assert only(log) == ("freed", [])


CASES: dict[str, tuple[int, list[str]]] = {
    "reader": (os.O_RDONLY, ["may_read"]),
    "both": (os.O_RDWR | os.O_APPEND, ["may_read"]),
    "offset": (os.O_WRONLY, ["sparse_writer"]),
    "path": (os.O_PATH, ["may_read"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_one_holder_may_do(log: Path, program: Callable[..., int], case: str) -> None:
    """Another holder that only appends does not make it better."""
    flags, reasons = CASES[case]
    program(log)
    pid = program(log, flags)
    log.unlink()
    assert only(log) == ("refused", reasons)
    assert state_of(pid).st_size == SIZE


def test_a_reader_that_is_another_thread(
    log: Path, program: Callable[..., int], tell: Callable[[int, str], None]
) -> None:
    pid = program(log)
    tell(
        pid,
        "import ctypes, threading; e = threading.Event(); threading.Thread(target=lambda: "
        "(ctypes.CDLL(None).unshare(0x400), os.open(sys.argv[1], 0), e.set(), threading.Event().wait()), daemon=True)"
        ".start(); e.wait()",
    )
    log.unlink()
    assert only(log) == ("refused", ["may_read"])


@pytest.mark.parametrize(
    ("flags", "reason"), [("os.O_RDONLY", "may_read"), ("os.O_WRONLY", "sparse_writer")], ids=["reader", "writer"]
)
def test_another_thread_has_the_same_number_for_it(
    log: Path, program: Callable[..., int], tell: Callable[[int, str], None], flags: str, reason: str
) -> None:
    """In a table of its own, where it opened it anew: nothing but how it was opened tells the two apart."""
    pid = program(log)
    tell(
        pid,
        "import ctypes, threading; e = threading.Event(); fd = next(int(n) for n in os.listdir('/proc/self/fd') "
        "if os.readlink('/proc/self/fd/' + n) == sys.argv[1]); threading.Thread(target=lambda: "
        f"(ctypes.CDLL(None).unshare(0x400), os.close(fd), os.dup2(os.open(sys.argv[1], {flags}), fd), e.set(), "
        "threading.Event().wait()), daemon=True).start(); e.wait()",
    )
    log.unlink()
    assert only(log) == ("refused", [reason])


@pytest.mark.parametrize("permissions", ["PROT_READ", "PROT_WRITE"])
def test_a_mapping(log: Path, holders: Holders, program: Callable[..., int], permissions: str) -> None:
    program(log)
    held = holders.map_shared(log)
    log.unlink()
    status, reasons = only(log)
    assert (status, "mapped" in reasons) == ("refused", True)
    assert Path(f"/proc/{held.pid}").exists()


def test_an_executable(tmp_path: Path, holders: Holders) -> None:
    held = holders.run(tmp_path / "log")
    (tmp_path / "log").unlink()
    status, reasons = only(tmp_path / "log")
    assert (status, "mapped" in reasons) == ("refused", True)
    assert held.pid


def test_a_link_that_is_left(log: Path, program: Callable[..., int]) -> None:
    other = log.parent / "other"
    os.link(log, other)
    program(log)
    log.unlink()
    assert only(log) == ("refused", ["linked"])
    assert other.read_bytes() == TEXT


def test_a_name_that_is_taken(log: Path, program: Callable[..., int]) -> None:
    program(log)
    log.unlink()
    log.touch()
    assert only(log) == ("refused", ["not_removed"])


def test_what_is_no_ordinary_file(tmp_path: Path, holders: Holders) -> None:
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY | os.O_APPEND)
    holders.keep(fd)
    os.write(fd, TEXT)
    os.close(fd)
    assert only(tmp_path) == ("refused", ["not_ordinary"])


def test_a_scan_that_is_not_complete(log: Path, program: Callable[..., int]) -> None:
    pid = program(log)
    log.unlink()
    for changes in ({"unreadable": 1}, {"skipped": {"/mnt": 1}}, {"unvisited": 1}):
        host = HERE._replace(scan=lambda pin, effort, changes=changes: scan_here(pin, effort)._replace(**changes))
        with pytest.raises(RescueError, match="nothing is freed") as caught:
            freed(log, host)
        assert caught.value.reasons == ["incomplete"]
    assert state_of(pid).st_size == SIZE


@pytest.mark.parametrize(("event", "told"), [("open", ["may_read"]), ("map", ["mapped", "may_read"])])
def test_what_happens_between_the_looks(
    log: Path, program: Callable[..., int], tell: Callable[[int, str], None], event: str, told: list[str]
) -> None:
    """Somebody who is a reader only since the first look is seen by the second."""
    pid = program(log)
    path = f"/proc/{pid}/fd"
    log.unlink()
    looks = 0

    def look(pin: Callable[[Sighting], bool], effort: Effort) -> Scan:
        nonlocal looks
        looks += 1
        if looks == 2:
            tell(pid, "new = os.open('/proc/self/fd/%d' % fd, os.O_RDWR)")
            if event == "map":
                tell(pid, "shared = mmap.mmap(new, 4096)")
        return scan_here(pin, effort)

    (result,) = freed(log, HERE._replace(scan=look))["files"]
    assert result["status"] == "refused"
    assert set(told) <= set(result["refused"])
    assert os.path.isdir(path)
    assert state_of(pid).st_size == SIZE


@pytest.mark.parametrize("manner", [{}, {"keep_last": 1000, "max_bytes": SIZE}])
def test_a_holder_that_ends_between_the_looks(
    log: Path, program: Callable[..., int], holders: Holders, manner: dict[str, int]
) -> None:
    pid = program(log)
    log.unlink()
    looks = 0

    def look(pin: Callable[[Sighting], bool], effort: Effort) -> Scan:
        nonlocal looks
        looks += 1
        if looks == 2:
            holders.end(pid)
        return scan_here(pin, effort)

    (result,) = freed(log, HERE._replace(scan=look), **manner)["files"]
    assert (result["status"], result["freed"]) == ("gone", 0)


def by_source(pid: int) -> dict[str, Any]:
    status = state_of(pid)
    return {"device": status.st_dev, "inode": status.st_ino}


OPTIONS: dict[str, Any] = {
    "path": None,
    "source": None,
    "paths": [],
    "excludes": [],
    "units": [],
    "min_size": 0,
    "keep_last": 0,
    "archive": None,
    "max_bytes": None,
    "readable": False,
    "sparse_writer": False,
}


def chosen(check_mode: bool = False, **options: Any) -> dict[str, Any]:
    merged = dict(OPTIONS, **options)
    choice = choice_from(merged)
    return reclaim(choice, manner_from(merged, choice, check_mode), 5, lambda _line: None, HERE)


def test_a_reader_that_does_not_matter(log: Path, program: Callable[..., int]) -> None:
    pid = program(log, os.O_RDONLY)
    other = program(log.with_name("other-log"), os.O_RDWR | os.O_CREAT)
    log.unlink()
    assert chosen(source=by_source(pid), readable=True)["freed"] > 0
    assert state_of(pid).st_size == 0
    assert other


def is_mapped(log: Path, holders: Holders) -> None:
    holders.map_shared(log)
    log.unlink()


def is_linked(log: Path, _holders: Holders) -> None:
    os.link(log, log.with_name("twin"))
    log.unlink()


def is_replaced(log: Path, _holders: Holders) -> None:
    log.unlink()
    log.touch()


def is_written_anywhere(log: Path, holders: Holders) -> None:
    holders.open(log, os.O_RDWR)
    log.unlink()


@pytest.mark.parametrize(
    ("befalls", "waived", "reasons"),
    [
        (is_mapped, "readable", ["mapped"]),
        (is_linked, "readable", ["linked"]),
        (is_replaced, "readable", ["not_removed"]),
        (is_written_anywhere, "readable", ["sparse_writer"]),
        (is_written_anywhere, "sparse_writer", ["may_read"]),
    ],
)
def test_one_reason_is_waived_and_no_other(
    log: Path,
    program: Callable[..., int],
    holders: Holders,
    befalls: Callable[[Path, Holders], None],
    waived: str,
    reasons: list[str],
) -> None:
    pid = program(log)
    befalls(log, holders)
    (result,) = chosen(source=by_source(pid), **{waived: True})["files"]
    assert (result["status"], result["refused"]) == ("refused", reasons)
    assert state_of(pid).st_size == SIZE


def test_a_file_without_a_name_is_no_log_even_if_nobody_minds(tmp_path: Path, holders: Holders) -> None:
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    os.write(fd, TEXT)
    status = os.fstat(fd)
    holders.keep(fd)
    source = {"device": status.st_dev, "inode": status.st_ino}
    (result,) = chosen(source=source, readable=True)["files"]
    assert (result["status"], "not_ordinary" in result["refused"]) == ("refused", True)
    assert os.fstat(fd).st_size == SIZE
    os.close(fd)


def test_a_writer_whose_offset_does_not_matter(
    log: Path, program: Callable[..., int], tell: Callable[[int, str], None]
) -> None:
    pid = program(log, os.O_WRONLY)
    tell(pid, "os.lseek(fd, 0, 2)")
    log.unlink()
    assert chosen(path=str(log), sparse_writer=True)["freed"] > 0
    tell(pid, "os.write(fd, b'x')")
    assert state_of(pid).st_size == SIZE + 1
    assert state_of(pid).st_blocks * 512 <= 65536


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "Say which files are meant"),
        ({"min_size": 1 << 30}, "Say which files are meant: path, source, paths or units"),
        ({"path": "/x", "readable": True}, "readable is for one very inode"),
        ({"source": {"pid": 1}}, "with device and inode"),
        ({"source": {"device": 1, "inode": 1}, "readable": True, "keep_last": 1 << 20}, "exclude each other"),
        ({"path": "/no such file"}, "No process holds that file"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RescueError, match=sentence):
        chosen(**options)


def test_the_end_is_kept(log: Path, program: Callable[..., int]) -> None:
    log.write_bytes(b"a" * SIZE + b"b" * 1000)
    pid = program(log, os.O_WRONLY)  # its offset does not matter: the size stays
    log.unlink()
    assert chosen(path=str(log), keep_last=1000)["freed"] > SIZE * 0.9
    assert state_of(pid).st_size == SIZE + 1000
    with open(f"/proc/{pid}/fd/{fd_of(pid)}", "rb") as file:
        file.seek(-1001, 2)
        assert file.read() == b"\0" + b"b" * 1000


def test_a_name_that_is_no_text(tmp_path: Path, program: Callable[..., int]) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/log\xff\n"))
    path.write_bytes(TEXT)
    pid = program(path)
    path.unlink()
    (result,) = chosen(path_b64=base64.b64encode(os.fsencode(path)).decode())["files"]
    assert (result["status"], result["path"]) == ("freed", f"{tmp_path}/log\\xff\\n")
    assert base64.b64decode(result["path_b64"]) == os.fsencode(path)
    assert state_of(pid).st_size == 0


def fd_of(pid: int) -> str:
    return next(link.name for link in Path(f"/proc/{pid}/fd").iterdir() if "/log" in os.readlink(link))


def extended(path: Path) -> None:
    """Data, a hole, data that ends within a block."""
    with open(path, "wb") as file:
        file.write(TEXT)
        file.seek(5 * SIZE)
        file.write(TEXT)


def appended(path: Path) -> None:
    """As a log grows, with blocks that some file systems set aside beyond its end."""
    for _piece in range(50):
        with open(path, "ab") as file:
            file.write(TEXT[:33_333])


PLANS: list[tuple[Callable[[Path], None], int, bool]] = [
    (appended, 0, False),
    (appended, 5000, False),
    (extended, 1_234_567, False),
    (appended, 0, True),
    (extended, 5000, True),
]


@pytest.mark.parametrize("disk", ["tmpfs", "ext4", "xfs", "btrfs"], indirect=True)
def test_what_would_be_freed_is_what_is_freed(
    disk: Path, program: Callable[..., int], holders: Holders, elsewhere: Path
) -> None:
    for number, (make, keep_last, archive) in enumerate(PLANS):
        path = disk / f"log{number}"  # the next one may get its inode
        make(path)
        pid = program(path)
        path.unlink()
        before = state_of(pid).st_blocks * 512
        options = {"path": str(path), "keep_last": keep_last, "archive": str(elsewhere) if archive else None}
        planned = chosen(check_mode=True, **options)["freed"]
        done = chosen(**options)["freed"]
        assert planned == done == before - state_of(pid).st_blocks * 512 > 0
        holders.end(pid)


def test_what_is_less_than_would_be_freed_is_not_allowed(log: Path, program: Callable[..., int]) -> None:
    program(log)
    log.unlink()
    options: dict[str, Any] = {"path": str(log), "keep_last": 5000}
    freeable = chosen(check_mode=True, **options)["freed"]
    assert freeable < SIZE - 5000
    (result,) = chosen(check_mode=True, max_bytes=freeable - 1, **options)["files"]
    assert (result["status"], result["refused"], result["freed"]) == ("refused", ["max_bytes"], 0)


def test_a_file_that_cannot_be_opened_to_see_its_holes(
    log: Path, program: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(log)
    log.unlink()

    def refuse(_sighting: Sighting) -> None:
        raise PermissionError

    monkeypatch.setattr(_free, "readable", refuse)
    (result,) = chosen(check_mode=True, path=str(log), keep_last=1)["files"]
    assert (result["status"], result["refused"], result["freed"]) == ("refused", ["failed"], 0)


def test_a_file_that_is_shorter_than_what_is_kept(log: Path, program: Callable[..., int]) -> None:
    pid = program(log)
    log.unlink()
    assert chosen(path=str(log), keep_last=10 << 20)["freed"] == 0
    assert state_of(pid).st_blocks * 512 >= SIZE


def test_no_more_than_allowed(tmp_path: Path, holders: Holders) -> None:
    for name, size in (("small", 100_000), ("large", 1_000_000), ("middle", 500_000)):
        path = tmp_path / name
        path.write_bytes(b"x" * size)
        held = holders.open(path, APPEND)
        assert held.fd
        path.unlink()
    results = freed(tmp_path, max_bytes=700_000)["files"]
    assert {os.path.basename(one["path"]): (one["status"], one["refused"]) for one in results} == {
        "large": ("refused", ["max_bytes"]),
        "middle": ("freed", []),
        "small": ("freed", []),
    }


def test_what_grew_between_the_looks_is_no_more_than_allowed(
    log: Path, program: Callable[..., int], tell: Callable[[int, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = program(log)
    log.unlink()
    event = iter([lambda: None, lambda: tell(pid, f"os.write(fd, b'x' * {SIZE})")])

    def look(*arguments: Any) -> Any:
        next(event)()
        return real(*arguments)

    real = _reclaim._Work.look
    monkeypatch.setattr(_reclaim._Work, "look", look)
    assert only(log, max_bytes=SIZE + 100_000) == ("refused", ["max_bytes"])
    assert state_of(pid).st_size == 2 * SIZE


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A folder on another file system."""
    path = Path(tempfile.mkdtemp(prefix="archive-", dir="/dev/shm"))
    path.chmod(0o755)
    yield path
    subprocess.run(["rm", "-r", path], check=True)


def test_what_is_archived_first(log: Path, program: Callable[..., int], elsewhere: Path) -> None:
    pid = program(log)
    inode = state_of(pid).st_ino
    log.unlink()
    answer = chosen(path=str(log), archive=str(elsewhere))
    assert (elsewhere / f"log.{inode}").read_bytes() == TEXT
    assert answer["freed"] > SIZE * 0.9
    assert answer["files"][0]["archived"]["status"] == "restored"


def test_what_was_appended_after_it_was_archived_stays(
    log: Path,
    program: Callable[..., int],
    tell: Callable[[int, str], None],
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pid = program(log)
    log.unlink()
    between_the_looks(monkeypatch, lambda: tell(pid, "os.write(fd, b'late')"))
    assert chosen(path=str(log), archive=str(elsewhere))["freed"] > SIZE * 0.9
    with open(f"/proc/{pid}/fd/{fd_of(pid)}", "rb") as file:
        file.seek(SIZE)
        assert file.read() == b"late"


@pytest.mark.parametrize(
    ("flags", "line", "content"),
    [
        (os.O_WRONLY, "os.write(fd, b'late')", b"late" + TEXT[4:]),
        # As logrotate's copytruncate does it; then more was appended than was there before.
        (APPEND, f"os.ftruncate(fd, 0), os.write(fd, b'new' * {SIZE})", b"new" * SIZE),
    ],
)
def test_what_was_overwritten_after_it_was_archived_is_not_freed(
    log: Path,
    program: Callable[..., int],
    tell: Callable[[int, str], None],
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: int,
    line: str,
    content: bytes,
) -> None:
    pid = program(log, flags)
    log.unlink()
    between_the_looks(monkeypatch, lambda: tell(pid, line))
    (result,) = chosen(path=str(log), archive=str(elsewhere))["files"]
    assert (result["status"], result["refused"], result["freed"]) == ("failed", ["changed"], 0)
    assert state_of(pid).st_blocks * 512 >= SIZE
    assert Path(f"/proc/{pid}/fd/{fd_of(pid)}").read_bytes() == content


def test_what_is_overwritten_right_after_it_was_compared_is_not_freed(
    log: Path,
    program: Callable[..., int],
    tell: Callable[[int, str], None],
    elsewhere: Path,
) -> None:
    """Its size is the same, and its time must not be taken for that of what was copied."""
    pid = program(log, os.O_WRONLY)
    inode = state_of(pid).st_ino
    log.unlink()

    def digests(fd: int, *more: Any) -> Any:
        found = LOCAL.digests(fd, *more)
        if os.fstat(fd).st_ino == inode:
            tell(pid, "os.write(fd, b'late')")
        return found

    host = HERE._replace(digests=digests)
    (result,) = freed(log, host, archive=os.fsencode(elsewhere))["files"]
    assert (result["status"], result["refused"]) == ("failed", ["changed"])
    with open(f"/proc/{pid}/fd/{fd_of(pid)}", "rb") as file:
        assert file.read(4) == b"late"


def between_the_looks(monkeypatch: pytest.MonkeyPatch, event: Callable[[], None]) -> None:
    def archive(*arguments: Any) -> Any:
        results = real(*arguments)
        event()
        return results

    real = _reclaim.restore
    monkeypatch.setattr(_reclaim, "restore", archive)


def test_an_archive_that_has_the_name_already(log: Path, program: Callable[..., int], elsewhere: Path) -> None:
    pid = program(log)
    (elsewhere / f"log.{state_of(pid).st_ino}").write_text("of an earlier run")
    log.unlink()
    (result,) = chosen(path=str(log), archive=str(elsewhere))["files"]
    assert (result["status"], result["refused"]) == ("refused", ["not_archived"])
    assert state_of(pid).st_size == SIZE


def test_an_archive_on_the_same_file_system(log: Path, program: Callable[..., int], tmp_path: Path) -> None:
    pid = program(log)
    log.unlink()
    with pytest.raises(RescueError, match="frees nothing"):
        chosen(path=str(log), archive=str(tmp_path))
    assert state_of(pid).st_size == SIZE


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file system of the kind that the test names, on a loop device."""
    image, folder = tmp_path / "image", tmp_path / "disk"
    folder.mkdir()
    if request.param == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "disk", folder], check=True)
    else:
        with open(image, "wb") as file:
            file.truncate(400 * 1024 * 1024)
        subprocess.check_output([f"mkfs.{request.param}", "-q", image], stderr=subprocess.STDOUT)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def cloned(path: Path) -> None:
    subprocess.run(["cp", "--reflink=always", path, path.with_name("clone")], check=True)


def in_a_snapshot(path: Path) -> None:
    subprocess.run(["btrfs", "-q", "subvolume", "snapshot", "-r", path.parent, path.with_name("snapshot")], check=True)


SHARED = [("xfs", cloned), ("btrfs", cloned), ("btrfs", in_a_snapshot)]


@pytest.mark.parametrize(("disk", "share"), SHARED, indirect=["disk"])
def test_blocks_that_something_else_has_too(
    disk: Path, share: Callable[[Path], None], program: Callable[..., int], holders: Holders
) -> None:
    path = disk / "log"
    path.write_bytes(TEXT * 20)
    os.sync()
    share(path)
    pid = program(path)
    path.unlink()
    try:
        answer = freed(path)
        assert answer["freed"] >= SIZE * 20
        assert state_of(pid).st_size == 0
        row = next(iter(answer["mount_points"].values()))
        assert row["free_after"] - row["free_before"] < SIZE * 10
        assert "snapshots or reflinks" in row["less_because"]
    finally:
        holders.end(pid)


@pytest.mark.parametrize(
    ("disk", "keep"),
    [("ext4", 0), ("ext4", 1 << 20), ("xfs", 0), ("xfs", 1 << 20), ("btrfs", 0)],
    indirect=["disk"],
)
def test_blocks_that_nothing_else_has(disk: Path, keep: int, program: Callable[..., int], holders: Holders) -> None:
    row = room_after(disk / "log", keep, program, holders)
    assert row["free_after"] - row["free_before"] >= SIZE * 17
    assert "less_because" not in row


@pytest.mark.parametrize("disk", ["btrfs"], indirect=True)
def test_a_part_of_a_large_extent(disk: Path, program: Callable[..., int], holders: Holders) -> None:
    """Btrfs gives an extent back when nothing of it is needed any more."""
    row = room_after(disk / "log", 1 << 20, program, holders)
    assert row["freed"] >= SIZE * 17
    assert row["free_after"] - row["free_before"] < SIZE
    assert "extents" in row["less_because"]


def room_after(path: Path, keep: int, program: Callable[..., int], holders: Holders) -> dict[str, Any]:
    path.write_bytes(TEXT * 20)
    os.sync()
    pid = program(path)
    path.unlink()
    try:
        row = next(iter(chosen(path=str(path), keep_last=keep)["mount_points"].values()))
    finally:
        holders.end(pid)
    return dict(row)


@pytest.mark.parametrize("disk", ["ext4"], indirect=True)
def test_a_file_that_refuses(disk: Path, program: Callable[..., int], holders: Holders) -> None:
    """As after chattr +a: nobody can cut it off, not even root."""
    path = disk / "log"
    path.write_bytes(TEXT)
    pid = program(path)
    with open(path, "rb") as handle:
        path.unlink()
        (flags,) = struct.unpack("l", fcntl.ioctl(handle, FS_IOC_GETFLAGS, bytes(8)))
        fcntl.ioctl(handle, FS_IOC_SETFLAGS, struct.pack("l", flags | APPEND_ONLY))
        try:
            assert only(path) == ("failed", ["failed"])
            assert state_of(pid).st_size == SIZE
        finally:
            fcntl.ioctl(handle, FS_IOC_SETFLAGS, struct.pack("l", flags))
    holders.end(pid)


def test_a_file_system_that_gets_nothing_back(
    log: Path, program: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a snapshot has the same blocks."""
    log.write_bytes(TEXT * 5)
    program(log)
    log.unlink()
    monkeypatch.setattr(_free, "_free_bytes", lambda _fd: 1000)
    monkeypatch.setattr(_free, "_SETTLE_SECONDS", 0.1)
    row = next(iter(freed(log)["mount_points"].values()))
    assert "snapshots or reflinks" in row["less_because"]


# What would happen without the checks.


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_reclaim, "refusals", lambda *_arguments: [])


@pytest.mark.usefixtures("unchecked")
def test_without_the_check_a_reader_loses_its_data(
    log: Path, program: Callable[..., int], tell: Callable[[int, str], None], holders: Holders
) -> None:
    pid = program(log, os.O_RDWR)
    log.unlink()
    only(log)
    holders.say(pid, b"print(len(os.pread(fd, 10, 0)))\n")
    holders.expect(pid, b"0\n")
    assert tell


@pytest.mark.usefixtures("unchecked")
def test_without_the_check_who_maps_it_dies(log: Path, program: Callable[..., int], holders: Holders) -> None:
    pid = program(log, os.O_RDWR)
    holders.say(pid, b"shared = mmap.mmap(fd, 0)\n")
    holders.expect(pid, b"done\n")
    log.unlink()
    only(log)
    holders.say(pid, b"shared[0]\n")
    wait_until(lambda: b"Z (zombie)" in Path(f"/proc/{pid}/status").read_bytes())
    assert os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT).si_status == signal.SIGBUS


@pytest.mark.usefixtures("unchecked")
def test_without_the_check_the_file_seems_as_large_as_before(
    log: Path, program: Callable[..., int], tell: Callable[[int, str], None]
) -> None:
    pid = program(log, os.O_WRONLY)
    tell(pid, "os.lseek(fd, 0, 2)")
    log.unlink()
    only(log)
    tell(pid, "os.write(fd, b'x')")
    assert state_of(pid).st_size == SIZE + 1


@pytest.mark.usefixtures("unchecked")
def test_without_the_check_what_never_had_a_name_loses_its_content(tmp_path: Path, holders: Holders) -> None:
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    try:
        holders.keep(fd)
        os.write(fd, TEXT)
        only(tmp_path)
        assert os.fstat(fd).st_size == 0
    finally:
        os.close(fd)


@pytest.mark.usefixtures("unchecked")
def test_without_the_check_of_the_name_the_older_log_is_gone(log: Path, program: Callable[..., int]) -> None:
    """A rotated log that nobody could see is not done yet: its daemon goes on, and here are its last lines."""
    pid = program(log)
    log.unlink()
    log.write_bytes(b"newer")
    assert only(log) == ("freed", [])
    assert (state_of(pid).st_size, log.read_bytes()) == (0, b"newer")


def test_without_the_limit_more_is_gone_than_allowed(
    log: Path, program: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    program(log)
    log.unlink()
    monkeypatch.setattr(_reclaim._Work, "limit", lambda *_arguments: None)
    assert freed(log, max_bytes=10_000)["freed"] > 10_000


def test_without_the_check_of_the_copy_the_content_is_nowhere(
    log: Path, program: Callable[..., int], elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(work: _reclaim._Work, files: Iterable[Freeable]) -> dict[Any, Any]:
        files = list(files)
        real(work, files)
        for one in files:
            one.reasons.clear()
        return {}

    real = _reclaim._Work.archive
    monkeypatch.setattr(_reclaim._Work, "archive", careless)
    pid = program(log)
    copy = elsewhere / f"log.{state_of(pid).st_ino}"
    copy.write_text("of an earlier run")
    log.unlink()
    assert chosen(path=str(log), archive=str(elsewhere))["freed"] > 0
    assert (state_of(pid).st_size, copy.read_text()) == (0, "of an earlier run")


def test_without_the_check_that_all_was_seen_a_reader_loses_its_data(log: Path, program: Callable[..., int]) -> None:
    """What a scan cannot see, it cannot spare."""
    program(log)
    reader = program(log, os.O_RDONLY)
    log.unlink()

    def blind(pin: Callable[[Sighting], bool], effort: Effort) -> Scan:
        seen = scan_here(pin, effort)
        unpin(one for one in seen.sightings if one.process.pid == reader)
        return seen._replace(sightings=[one for one in seen.sightings if one.process.pid != reader])

    assert freed(log, HERE._replace(scan=blind))["freed"] > 0
    assert state_of(reader).st_size == 0


def test_without_the_check_what_was_written_since_is_in_no_archive(
    log: Path,
    program: Callable[..., int],
    tell: Callable[[int, str], None],
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pid = program(log, os.O_WRONLY)
    inode = state_of(pid).st_ino
    log.unlink()
    between_the_looks(monkeypatch, lambda: tell(pid, "os.write(fd, b'late')"))
    monkeypatch.setattr(_reclaim, "cut", lambda *_arguments: None)
    chosen(path=str(log), archive=str(elsewhere), sparse_writer=True)
    assert b"late" not in (elsewhere / f"log.{inode}").read_bytes()
    assert state_of(pid).st_size == 0


@pytest.mark.usefixtures("unchecked")
def test_even_without_the_check_another_name_keeps_its_content(log: Path, program: Callable[..., int]) -> None:
    """A second one stands right before it is done: the file may have been linked again since."""
    other = log.parent / "other"
    os.link(log, other)
    program(log)
    log.unlink()
    assert only(log) == ("failed", ["linked"])
    assert other.read_bytes() == TEXT


@pytest.mark.usefixtures("unchecked")
def test_without_both_checks_another_name_loses_its_content(
    log: Path, program: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = log.parent / "other"
    os.link(log, other)
    program(log)
    log.unlink()
    real = _free.file_of
    monkeypatch.setattr(_free, "file_of", lambda fd: real(fd)._replace(nlink=0))
    assert only(log) == ("freed", [])
    assert other.read_bytes() == b""
