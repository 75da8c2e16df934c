# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import errno
import grp
import hashlib
import json
import os
import shutil
import signal
import stat
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Callable, Dict

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import (
    _deadline,
    _packages,
    _put_back,
    _restore,
    _restore_one,
    _unsynced,
)
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL, local_host
from ansible_collections.procfs.rescue.plugins.module_utils._model import Terms
from ansible_collections.procfs.rescue.plugins.module_utils._publish import NotSyncedError
from ansible_collections.procfs.rescue.plugins.module_utils._report import diff_of
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from unit.plugins.holders import NOBODY, Held, Holders, fields_of, in_child, memfd, wait_until

CONTENT = b"the original"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CHECKSUM = "sha256:" + SHA256

Result = Dict[str, Any]


@pytest.fixture(autouse=True)
def _no_packages(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packages, "INFO", os.fsencode(tmp_path_factory.getbasetemp() / "no dpkg"))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """What the deleted files are below."""
    top = tmp_path / "top"
    top.mkdir()
    return top


@pytest.fixture
def lose(top: Path, holders: Holders) -> Callable[..., Held]:
    """Makes a file, lets a process hold it, and deletes it."""

    def lose_it(
        name: str = "tool", content: bytes = CONTENT, mode: int = 0o755, owner: int = 0, flags: int = os.O_RDONLY
    ) -> Held:
        path = top / name
        path.write_bytes(content)
        os.chown(path, owner, owner)
        path.chmod(mode)
        held = holders.open(path, flags)
        path.unlink()
        return held

    return lose_it


def restored(*requests: Result, below: Path | None = None, host: Host = LOCAL, **terms: Any) -> list[Result]:
    """The results; and no descriptor stays open but the pins."""
    log: list[str] = []
    before = set(os.listdir("/proc/self/fd"))
    prefix = [] if below is None else [{"path_prefix": str(below), "packaged": False}]
    results = restore([*requests, *prefix], Terms(**terms), log.append, host)
    for fd in set(os.listdir("/proc/self/fd")) - before:
        text = os.readlink(f"/proc/self/fd/{fd}")
        assert text.endswith(" (deleted)") or not text.startswith("/"), text
        os.close(int(fd))
    assert len(log) == sum(result["changed"] and result["status"] != "restorable" for result in results)
    assert all("seconds" in result for result in results)
    return results


def outcome(*requests: Result, **more: Any) -> list[tuple[str, str]]:
    return [(result["status"], result["msg"]) for result in restored(*requests, **more)]


def test_the_result(top: Path, lose: Callable[..., Held]) -> None:
    held = lose(owner=NOBODY, mode=0o640)
    os.chown(top, NOBODY, NOBODY)
    (result,) = restored({"path": str(top / "tool")})
    assert {name: value for name, value in result.items() if name not in ("seconds", "mtime", "source")} == {
        "path": str(top / "tool"),
        "status": "restored",
        "changed": True,
        "msg": f"{top}/tool was restored from {held.link}.",
        "method": "copy",
        "checksum": CHECKSUM,
        "content_by": "none",
        "metadata_by": "process",
        "size": len(CONTENT),
        "owner": "nobody",
        "group": grp.getgrgid(NOBODY).gr_name,
        "mode": "0640",
        "accepted": [],
        "dropped": [],
        "not_kept": [],
        "usable": True,
        "fix": [],
        "consistent": True,
        "copies": 1,
        "writers": [],
    }
    assert result["source"]["link"] == held.link
    assert result["mtime"] == (top / "tool").stat().st_mtime_ns / 1e9
    assert (top / "tool").read_bytes() == CONTENT


def test_a_second_run_changes_nothing(top: Path, lose: Callable[..., Held]) -> None:
    lose()
    request = {"path": str(top / "tool")}
    restored(request)
    before = (top / "tool").stat()
    for terms in {}, {"force": True}, {"force": True, "backup": True}, {"check_mode": True}:
        assert outcome(request, **terms) == [("present", f"{top}/tool is there and was left alone.")]
    after = (top / "tool").stat()  # to compare it, it was read: atime may move
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
    assert os.listdir(top) == ["tool"]


def test_a_folder_that_is_gone_is_made_again_only_where_that_is_wanted(top: Path, lose: Callable[..., Held]) -> None:
    top.chmod(0o2775)
    os.chown(top, 0, 7)
    (top / "a" / "b").mkdir(parents=True)
    lose("a/b/tool")
    (top / "a" / "b").rmdir()
    (top / "a").rmdir()
    path = str(top / "a" / "b" / "tool")
    [refused] = restored({"path": path})
    assert (refused["status"], refused["refused"]) == ("failed", ["folder_gone"])
    accept = ["ancestor_writable"]
    [told] = restored({"path": path}, parents=True, accept=accept, check_mode=True)
    assert told["status"] == "restorable"
    assert told["msg"].endswith(f" Its folder {top}/a/b would be made again.")
    assert list(top.iterdir()) == []
    [done] = restored({"path": path}, parents=True, accept=accept)
    assert done["status"] == "restored", done["msg"]
    assert (top / "a" / "b" / "tool").read_bytes() == CONTENT
    assert [(folder["path"], folder["mode"]) for folder in done["made"]] == [
        (f"{top}/a", "2755"),
        (f"{top}/a/b", "2755"),
    ]
    result = (top / "a" / "b").stat()
    assert (result.st_uid, result.st_gid, result.st_mode & 0o7777) == (0, 7, 0o2755)
    assert done["made"][0]["owner"] == "root"
    assert f" Its folder {top}/a is new, root:" in done["msg"]
    assert sorted(str(found.relative_to(top)) for found in top.rglob("*")) == ["a", "a/b", "a/b/tool"]


def test_a_folder_is_made_as_the_hosts_records_have_it(
    top: Path, lose: Callable[..., Held], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user that is not there any more cannot get one back."""
    dpkg = tmp_path / "dpkg"
    (dpkg / "info").mkdir(parents=True)
    (dpkg / "statoverride").write_text(f"nobody #12 2750 {top}/a\nwho-was-that root 700 {top}/a/b\n")
    monkeypatch.setattr(_packages, "INFO", os.fsencode(dpkg / "info"))
    (top / "a" / "b").mkdir(parents=True)
    lose("a/b/tool", owner=NOBODY)
    (top / "a" / "b").rmdir()
    (top / "a").rmdir()
    [done] = restored({"path": str(top / "a" / "b" / "tool")}, parents=True)
    assert done["status"] == "restored", done["msg"]
    facts = [(folder["mode"], folder["owner"], folder["metadata_by"]) for folder in done["made"]]
    assert facts == [("2750", "nobody", "dpkg-statoverride"), ("2750", "nobody", None)]
    assert f" Its folder {top}/a is new, nobody:" in done["msg"] and " 2750 as dpkg-statoverride has it." in done["msg"]
    assert [(top / name).stat().st_gid for name in ("a", "a/b")] == [12, 12]


def test_no_folder_is_made_for_what_is_refused(top: Path, lose: Callable[..., Held]) -> None:
    (top / "a").mkdir()
    lose("a/tool", owner=NOBODY)
    (top / "a").rmdir()
    [refused] = restored({"path": str(top / "a" / "tool")}, {"path": str(top / "b" / "tool")}, parents=True)[:1]
    assert (refused["status"], refused["refused"]) == ("failed", ["owner_differs"])
    assert list(top.iterdir()) == []


def test_nor_where_a_file_has_its_name(top: Path, lose: Callable[..., Held]) -> None:
    (top / "a").mkdir()
    lose("a/tool")
    (top / "a").rmdir()
    (top / "a").write_text("no folder")
    [refused] = restored({"path": str(top / "a" / "tool")}, parents=True)
    assert (refused["status"], refused["refused"]) == ("failed", ["folder_gone"])


def test_a_copy_into_a_folder_that_is_made(top: Path, lose: Callable[..., Held]) -> None:
    lose()
    [done] = restored({"path": str(top / "tool"), "dest": str(top / "new" / "copy")}, parents=True)
    assert done["status"] == "restored"
    assert (top / "new" / "copy").read_bytes() == CONTENT


def test_a_file_in_use_is_frozen(top: Path, lose: Callable[..., Held]) -> None:
    held = lose(flags=os.O_RDWR)
    [done] = restored({"path": str(top / "tool")}, freeze=5.0)
    assert done["frozen"] == {
        "stopped": [{"pid": held.pid, "by": "ptrace"}],
        "spared": [],
        "seconds": done["frozen"]["seconds"],
        "in_time": True,
    }
    [writer] = done["writers"]
    assert (writer["pid"], writer["fd"], writer["reopen"]) == (held.pid, held.fd, None)
    assert done["msg"].endswith(
        f" Still written to is the deleted file and not this one, by {held.pid} (cat): see writers."
    )


_WRITE_LATER = """
import os, sys
held = os.open(sys.argv[1], os.O_WRONLY)
print("ready", flush=True)
os.write(held, sys.stdin.buffer.readline())
print("written", flush=True)
sys.stdin.read()
"""


def test_what_is_written_after_a_link_was_restored_is_in_the_file(top: Path, holders: Holders) -> None:
    (top / "tool").write_bytes(CONTENT)
    os.link(top / "tool", top / "twin")
    pid = holders.start(sys.executable, "-c", _WRITE_LATER, top / "tool")
    holders.expect(pid, b"ready\n")
    (top / "tool").unlink()
    [done] = restored({"path": str(top / "tool")})
    assert (done["status"], done["method"], done["writers"]) == ("restored", "link", [])
    holders.say(pid, b"afterwards\n")
    holders.expect(pid, b"written\n")
    assert (top / "tool").read_bytes() == b"afterwards\n" + CONTENT[11:]


def test_check_mode_changes_nothing(top: Path, lose: Callable[..., Held]) -> None:
    held = lose()
    request = {"path": str(top / "tool")}
    assert outcome(request, check_mode=True) == [("restorable", f"{top}/tool would be restored from {held.link}.")]
    assert os.listdir(top) == []


def test_check_mode_and_the_run_have_the_same_result(top: Path, lose: Callable[..., Held]) -> None:
    lose(mode=0o4755)
    request = {"path": str(top / "tool")}
    (told,), (done,) = restored(request, check_mode=True), restored(request)
    differ = {name for name in told if told[name] != done[name]}
    assert differ <= {"seconds", "status", "msg", "method", "copies"}


def test_an_executable_and_a_library(top: Path, holders: Holders) -> None:
    program, library = holders.run(top / "program"), holders.map_library(top / "library.so")
    contents = [(top / name).read_bytes() for name in ("program", "library.so")]
    for name in "program", "library.so":
        (top / name).unlink()
    results = restored({"path": str(top / "program")}, {"path": str(top / "library.so")})
    assert [result["source"]["via"] for result in results] == ["exe", "map"]
    assert [result["source"]["pid"] for result in results] == [program.pid, library.pid]
    assert [(top / name).read_bytes() for name in ("program", "library.so")] == contents


def test_privileges_without_proof(top: Path, lose: Callable[..., Held]) -> None:
    held = lose(mode=0o4755)
    (result,) = restored({"path": str(top / "tool")})
    assert result["msg"] == (
        f"{top}/tool was restored from {held.link}. It is not usable as before until you run: chmod 4755 {top}/tool"
    )
    assert (result["usable"], result["dropped"], result["mode"]) == (False, ["setuid"], "0755")


def test_privileges_with_proof(top: Path, lose: Callable[..., Held]) -> None:
    lose(mode=0o4755)
    (result,) = restored({"path": str(top / "tool"), "checksum": CHECKSUM})
    assert (result["usable"], result["content_by"], result["mode"]) == (True, "checksum", "4755")
    assert stat.S_IMODE((top / "tool").stat().st_mode) == 0o4755


def test_one_failure_does_not_stop_the_rest(top: Path, lose: Callable[..., Held]) -> None:
    lose("a")
    lose("b")
    (top / "dir").mkdir()
    results = restored(
        {"path": str(top / "a")},
        {"path": "relative\n"},
        {"path": str(top / "unknown")},
        {"path": str(top / "dir")},
        {"path": str(top / "gone/tool")},
        {"path": str(top / "b"), "checksum": "sha256:" + "0" * 64},
        {"path": str(top / "b"), "checksum": "nonsense"},
        {"path": str(top / "b")},
        {"path": "/"},
        {},
    )
    assert [result["status"] for result in results] == ["restored"] + ["failed"] * 6 + ["restored"] + ["failed"] * 2
    assert [result["refused"] for result in results if "refused" in result] == [
        [],
        ["not_held"],
        [],
        ["folder_gone"],
        ["checksum_differs"],
        [],
        [],
        [],
    ]
    messages = [result["msg"] for result in results]
    assert messages[1] == "path must be absolute: relative\\n"
    assert messages[3] == f"{top}/dir is a folder, not a file."
    assert messages[8:] == ["/ does not name a file.", "Say which file is meant: path, source, pid or inode."]


def test_an_odd_failure_does_not_stop_the_rest_either(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with one, a traceback helps nobody whose /bin/bash is gone."""
    lose("a")
    lose("b")
    real_put_back = _restore_one.put_back

    def fail_once(order: Any) -> Any:
        if order.target.name == b"a":
            raise OverflowError("signed integer is greater than maximum")
        return real_put_back(order)

    monkeypatch.setattr(_restore_one, "put_back", fail_once)
    assert [status for status, _msg in outcome({"path": str(top / "a")}, {"path": str(top / "b")})] == [
        "failed",
        "restored",
    ]


def processes_in_group(group: int) -> list[str]:
    found = {pid: fields_of(pid) for pid in os.listdir("/proc") if pid.isdigit()}
    return [pid for pid, fields in found.items() if fields and fields[0] != "Z" and fields[2] == str(group)]


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are many."""
    monkeypatch.setattr(_restore, "_MANY", 2)
    monkeypatch.setattr(_restore, "_AT_ONCE", 2)


@pytest.mark.usefixtures("many")
def test_many_are_restored_by_several_processes(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(20):
        lose(str(number))
    (top / "there").touch()
    two = [lose("two", content).link for content in (b"one\n", b"two\n")]
    restored_by = top.parent / "restored by"
    restored_by.mkdir()
    real_put_back = _restore_one.put_back

    def put_back(order: Any) -> Any:
        (restored_by / f"{order.target.name.decode()} {os.getpid()}").touch()
        return real_put_back(order)

    monkeypatch.setattr(_restore_one, "put_back", put_back)
    names = ["ld-linux.so", *map(str, range(20)), "there", "unknown"]
    for_one = [{"path": f"{top}/two", "source": {"link": link}} for link in two]
    results = restored(*({"path": f"{top}/{name}"} for name in names), *for_one)
    assert [result["path"] for result in results] == [f"{top}/{name}" for name in [*names, "two", "two"]]
    assert [result["status"] for result in results] == [
        "failed",
        *["restored"] * 20,
        "present",
        "failed",
        "restored",
        "present",
    ]
    assert all((top / str(number)).read_bytes() == CONTENT for number in range(20))
    by = dict(path.name.split() for path in restored_by.iterdir())
    assert len({by[str(number)] for number in range(20)}) > 1
    assert int(by["two"]) == os.getpid()  # what goes to one place goes there in turn


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("way", ["no O_TMPFILE", "replaced", "replaced by link", "without"])
def test_what_takes_a_hidden_folder_is_not_shared(
    top: Path,
    lose: Callable[..., Held],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    way: str,
) -> None:
    """Whoever kills us leaves one of them at most."""
    if way == "no O_TMPFILE":
        request.getfixturevalue("no_tmpfile")
    (top.parent / "twins").mkdir()
    for number in range(20):
        if way == "replaced by link":
            (top / str(number)).write_bytes(CONTENT)
            (top.parent / "twins" / str(number)).hardlink_to(top / str(number))
        lose(str(number))
        if way.startswith("replaced"):
            (top / str(number)).write_text("newer")
    made_by = top.parent / "made by"
    made_by.mkdir()
    real_mkdir = os.mkdir

    def mkdir(*arguments: Any, **more: Any) -> None:
        (made_by / f"{os.getpid()}").touch()
        real_mkdir(*arguments, **more)

    monkeypatch.setattr(os, "mkdir", mkdir)
    results = restored(*({"path": f"{top}/{number}"} for number in range(20)), force=way.startswith("replaced"))
    assert [result["status"] for result in results] == ["restored"] * 20
    assert all((top / str(number)).read_bytes() == CONTENT for number in range(20))
    assert os.listdir(made_by) == ([] if way == "without" else [str(os.getpid())])
    assert sorted(os.listdir(top), key=int) == [str(number) for number in range(20)]


@pytest.mark.usefixtures("many")
def test_what_is_to_be_replaced_is_copied_once(top: Path, lose: Callable[..., Held]) -> None:
    """That takes a hidden folder: it is not even begun by those who may not make one."""
    for number in range(6):
        lose(str(number))
        if number % 2:
            (top / str(number)).write_text("newer")
    shared: list[str] = []
    host = LOCAL._replace(shares=partial(names_shared, names=shared))
    results = restored(*({"path": f"{top}/{number}"} for number in range(6)), host=host, force=True)
    assert [result["status"] for result in results] == ["restored"] * 6
    assert shared == [f"{top}/{number}" for number in (0, 2, 4)]


@pytest.mark.usefixtures("many")
def test_a_library_that_is_damaged_costs_no_file(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        lose(str(number))
    monkeypatch.setitem(sys.modules, "ctypes", types.ModuleType("ctypes"))
    results = restored(*({"path": f"{top}/{number}"} for number in range(4)))
    assert [result["status"] for result in results] == ["restored"] * 4


@pytest.mark.usefixtures("many")
def test_what_a_share_could_not_do_is_done_by_ourselves(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        lose(str(number))
    ours = os.getpid()
    real_settle = _restore._Rescue._settle

    def settle(rescue: Any) -> None:
        if os.getpid() != ours:
            raise ValueError("odd")
        real_settle(rescue)

    monkeypatch.setattr(_restore._Rescue, "_settle", settle)
    results = restored(*({"path": f"{top}/{number}"} for number in range(4)))
    assert [result["status"] for result in results] == ["restored"] * 4


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize("force", [False, True])
def test_what_a_share_had_named_when_it_was_killed_is_told(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch, linked: bool, force: bool
) -> None:
    (top.parent / "twins").mkdir()
    for number in range(8):
        if linked:
            (top / str(number)).touch()
            (top.parent / "twins" / str(number)).hardlink_to(top / str(number))
        lose(str(number))
    (top / "there").touch()
    ours = os.getpid()
    synced: list[str] = []
    real_settle, real_sync = _restore._Rescue._settle, _unsynced.sync

    def settle(rescue: Any) -> None:
        if os.getpid() == ours:
            real_settle(rescue)
            return
        rescue._name_ready()
        os.kill(os.getpid(), signal.SIGKILL)

    def sync(folder: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{folder}"))
        real_sync(folder)

    monkeypatch.setattr(_restore._Rescue, "_settle", settle)
    monkeypatch.setattr(_unsynced, "sync", sync)
    log: list[str] = []
    names = [*map(str, range(8)), "there"]
    requests = [{"path": f"{top}/{name}"} for name in names]
    *results, there = restore(requests, Terms(force=force, backup=force), log.append, LOCAL)
    untold = [result for result in results if result["status"] == "present"]
    assert untold and all((top / str(number)).read_bytes() == CONTENT for number in range(8))
    assert {result["changed"] for result in results} == {True} and there["status"] == ("failed" if force else "present")
    assert {
        result["msg"].partition(" is there again: a process of this run that was killed")[0] for result in untold
    } == {result["path"] for result in untold}
    assert len(log) == 8 and sum("killed" in line for line in log) == len(untold)
    assert synced[0] == str(top)
    assert len(diff_of(results)) == 8 - len(untold)


def names_shared(work: Callable[[int, int, Any], None], names: list[str]) -> Iterator[Any]:
    """In our own process, as one share."""
    told: list[Any] = []
    work(0, 1, lambda what, _fds: told.append(what))
    names += [str(job.what) for _number, jobs, _swept, _lines in told for job in jobs]
    yield from told


@pytest.mark.usefixtures("many")
def test_processes_are_stopped_for_one_file_at_a_time(top: Path, lose: Callable[..., Held]) -> None:
    for number in range(4):
        lose(str(number))
    shared: list[str] = []
    host = LOCAL._replace(shares=partial(names_shared, names=shared))
    results = restored(*({"path": f"{top}/{number}"} for number in range(4)), host=host, freeze=1.0)
    assert {result["status"] for result in results} == {"restored"} and not shared


@pytest.mark.usefixtures("many")
def test_only_what_is_small_is_shared(top: Path, lose: Callable[..., Held]) -> None:
    """Several large ones at once would fill a disk on which there is room for one."""
    for number in range(6):
        lose(str(number), b"x" * (2**21 if number % 2 else 10))
    shared: list[str] = []
    host = LOCAL._replace(shares=partial(names_shared, names=shared))
    requests = [{"path": f"{top}/{number}"} for number in range(6)]
    assert {result["status"] for result in restored(*requests, host=host)} == {"restored"}
    assert shared == [f"{top}/{number}" for number in (0, 2, 4)]
    shared.clear()
    assert {result["status"] for result in restored(*requests, host=host)} == {"present"} and not shared


@pytest.mark.usefixtures("many")
def test_a_folder_is_made_before_its_files_are_shared(top: Path, lose: Callable[..., Held]) -> None:
    for folder in "a", "b", "a/deep":
        (top / folder).mkdir(0o750)
    names = ["a/1", "a/2", "a/deep/1", "b/1", "a/deep/2", "b/2", "b/3"]
    for name in names:
        lose(name)
    shutil.rmtree(top / "a")
    shutil.rmtree(top / "b")
    shared: list[str] = []
    host = LOCAL._replace(shares=partial(names_shared, names=shared))
    no = "sha256:" + "0" * 64
    requests = [{"path": f"{top}/{name}", "checksum": no if name == "b/1" else None} for name in names]
    results = restored(*requests, host=host, parents=True)
    assert [result["status"] for result in results] == ["restored"] * 3 + ["failed"] + ["restored"] * 3
    assert shared == [f"{top}/a/2", f"{top}/a/deep/2"]  # the first one of b failed, and its folder with it
    assert [result["path"] for result in results if "made" in result] == [
        f"{top}/{name}" for name in ("a/1", "a/deep/1", "b/2")
    ]


@pytest.mark.usefixtures("many")
def test_what_a_killed_process_had_not_told_is_looked_at_again(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_deadline, "_MOST_SHARES", 2)
    for number in range(8):
        lose(str(number))
    here = os.getpid()
    real_named = _put_back._named

    def named(order: Any, *others: Any, **more: Any) -> Any:
        if order.target.name == b"7" and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return real_named(order, *others, **more)

    monkeypatch.setattr(_put_back, "_named", named)
    results = restored(*({"path": f"{top}/{number}"} for number in range(8)))
    statuses = [result["status"] for result in results]
    assert statuses == ["restored"] * 5 + ["present"] + ["restored"] * 2  # 5 was restored with 7, and nobody told
    assert {result["changed"] for result in results} == {True}
    assert all((top / str(number)).read_bytes() == CONTENT for number in range(8))


def killed_while_it_restores(requests: list[Result], top: Path) -> None:
    """As soon as there is one more in ``top``, long before all are there; nothing goes on without it."""
    before = len(list(top.iterdir()))
    slow = LOCAL._replace(publish=lambda *draft: time.sleep(0.05) or LOCAL.publish(*draft))
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        with suppress(BaseException):
            restore(requests, Terms(), lambda _line: None, slow)
        os._exit(0)
    wait_until(lambda: len(list(top.iterdir())) > before, 20)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    wait_until(lambda: not processes_in_group(child))


def test_many_where_the_module_is_killed(top: Path, holders: Holders) -> None:
    """What has its name is whole, and another run does what is left."""
    contents = {top / str(number): f"content {number}\n".encode() * 100 for number in range(400)}
    fds = []
    for path, content in contents.items():
        path.write_bytes(content)
        fds.append(os.open(path, os.O_RDONLY))
        path.unlink()
    holders.start("cat", keep=tuple(fds))
    for fd in fds:
        os.close(fd)
    requests = [{"path": str(path)} for path in contents]
    for _time in range(5):
        killed_while_it_restores(requests, top)
        assert all(path.read_bytes() == contents[path] for path in top.iterdir())
    there = len(list(top.iterdir()))
    assert 5 <= there < 400
    assert [result["status"] for result in restored(*requests)].count("restored") == 400 - there
    assert all(path.read_bytes() == content for path, content in contents.items())
    assert len(list(top.iterdir())) == 400


@pytest.mark.usefixtures("many")
def test_many_names_of_which_some_may_be_lost(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(4):
        lose(str(number))

    def sync(_folder: int) -> None:
        raise NotSyncedError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(_unsynced, "sync", sync)
    results = [restore([{"path": f"{top}/{number}"} for number in range(4)], Terms(), print, LOCAL)]
    assert {result["status"] for result in results[0]} == {"failed"}


class Watched:
    """A host of whose drafts it is told what is done with them; ``at_sync`` is called before one is synced."""

    def __init__(self, at_sync: Callable[[int], object] = lambda _number: None, **steps: Any) -> None:
        self.calls: list[str] = []
        self.synced = 0
        self.at_sync = at_sync
        self.host = LOCAL._replace(
            shares=None, start_writing=self.start_writing, sync_draft=self.sync, publish=self.publish, **steps
        )

    def start_writing(self, fd: int) -> None:
        LOCAL.start_writing(fd)
        self.calls.append("begun")

    def sync(self, fd: int) -> None:
        self.synced += 1
        self.at_sync(self.synced - 1)
        os.fsync(fd)
        self.calls.append("synced")

    def publish(self, draft: Any, folder: int, name: bytes, sync: Any, is_synced: bool) -> None:
        LOCAL.publish(draft, folder, name, sync, is_synced)
        self.calls.append(f"{name.decode()} named" + ("" if is_synced else " and synced"))


def test_small_files_are_all_synced_before_the_first_gets_its_name(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_restore, "_AT_ONCE", 3)
    for name in "abcd":
        lose(name)
    watched = Watched()
    results = restored(*({"path": f"{top}/{name}"} for name in "abcd"), host=watched.host)
    assert [result["status"] for result in results] == ["restored"] * 4
    three = ["begun"] * 3 + ["synced"] * 3 + [f"{name} named" for name in "abc"]
    assert watched.calls == [*three, "begun", "synced", "d named"]
    assert sorted(os.listdir(top)) == list("abcd")


def test_a_disk_is_waited_for_once_for_a_hundred_small_files(top: Path, lose: Callable[..., Held]) -> None:
    names = [str(number) for number in range(100)]
    for name in names:
        lose(name)
    watched = Watched(drafts_at_once=lambda: 1000)
    restored(*({"path": f"{top}/{name}"} for name in names), host=watched.host)
    assert watched.calls == ["begun"] * 100 + ["synced"] * 100 + [f"{name} named" for name in names]


def test_not_too_much_waits(top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is lost with who is killed."""
    monkeypatch.setattr(_restore, "_MUCH", 200)
    for name in "abcde":
        lose(name, b"x" * 100)
    watched = Watched()
    restored(*({"path": f"{top}/{name}"} for name in "abcde"), host=watched.host)
    two = ["begun"] * 2 + ["synced"] * 2
    assert watched.calls == [*two, "a named", "b named", *two, "c named", "d named", "begun", "synced", "e named"]


def test_shells_do_not_wait_for_others(top: Path, lose: Callable[..., Held]) -> None:
    for name in "a", "sh", "libc.so.6", "b":
        lose(name)
    watched = Watched()
    restored(*({"path": f"{top}/{name}"} for name in ("a", "sh", "libc.so.6", "b")), host=watched.host)
    ends = [call for call in watched.calls if call.endswith("named")]
    assert ends == ["libc.so.6 named", "sh named", "a named", "b named"]
    assert watched.calls[:6] == ["begun", "synced", "libc.so.6 named", "begun", "synced", "sh named"]


def test_what_is_large_does_not_wait(top: Path, lose: Callable[..., Held]) -> None:
    lose("small")
    lose("large", b"x" * 2**21)
    watched = Watched()
    restored({"path": f"{top}/small"}, {"path": f"{top}/large"}, host=watched.host)
    assert watched.calls == ["begun", "synced", "small named", "large named and synced"]


@pytest.mark.parametrize("why", ["few handles", "no O_TMPFILE", "its folder is gone"])
def test_nothing_waits(top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    (top / "folder").mkdir()
    lose("folder/a")
    if why == "no O_TMPFILE":
        monkeypatch.setattr(os, "O_TMPFILE", 0)  # the folder cannot be opened for writing
    if why == "its folder is gone":
        (top / "folder").rmdir()
    steps = {"drafts_at_once": lambda: 0} if why == "few handles" else {}
    watched = Watched(**steps)
    (result,) = restored({"path": f"{top}/folder/a"}, host=watched.host, parents=True)
    assert (result["status"], watched.calls) == ("restored", ["a named and synced"])
    assert os.listdir(top / "folder") == ["a"]


def failing(number: int, code: int) -> Callable[[int], None]:
    def fail(which: int) -> None:
        if which == number:
            raise OSError(code, os.strerror(code))

    return fail


def test_one_of_several_cannot_be_written(top: Path, lose: Callable[..., Held]) -> None:
    for name in "abc":
        lose(name)
    found = outcome(*({"path": f"{top}/{name}"} for name in "abc"), host=Watched(failing(1, errno.EIO)).host)
    assert [status for status, _msg in found] == ["restored", "failed", "restored"]
    assert found[1][1].startswith(f"{top}/b could not be written: the device failed (input/output error)")
    assert sorted(os.listdir(top)) == ["a", "c"]


def test_the_disk_is_full_as_soon_as_it_is_written(top: Path, lose: Callable[..., Held]) -> None:
    """Room is given to content when that goes to the disk."""
    for name in "ab":
        lose(name)
    watched = Watched(failing(0, errno.ENOSPC))
    free = iter([None, None])

    def room(folder: int) -> Any:
        return LOCAL.room(folder)._replace(free=next(free, 7))

    watched.host = watched.host._replace(room=room)
    found = outcome({"path": f"{top}/a"}, {"path": f"{top}/b"}, host=watched.host)
    assert [status for status, _msg in found] == ["failed", "restored"]
    assert "its file system has 7 free: free some, or restore to another file system with dest." in found[0][1]
    assert os.listdir(top) == ["b"]


def test_a_name_that_comes_back_while_a_draft_waits_for_it(top: Path, lose: Callable[..., Held]) -> None:
    for name in "ab":
        lose(name)
    watched = Watched(lambda _number: (top / "b").write_text("theirs"))
    found = outcome({"path": f"{top}/a"}, {"path": f"{top}/b"}, host=watched.host)
    assert found[1] == ("present", f"{top}/b came back while it was to be restored: that file was left alone.")
    assert found[0][0] == "restored"
    assert ((top / "a").read_bytes(), (top / "b").read_text()) == (CONTENT, "theirs")
    assert sorted(os.listdir(top)) == ["a", "b"]


def test_nobody_is_offered_what_did_not_get_its_name(top: Path, lose: Callable[..., Held]) -> None:
    for name in "ab":
        lose(name)
    watched = Watched(lambda _number: (top / "b").write_text("theirs"))
    requests = [{"path": f"{top}/{name}", "checksum": CHECKSUM} for name in "ab"]
    first, second = restored(*requests, host=watched.host, offer=True)
    assert [offer["path"] for offer in first["offers"]] == [f"{top}/a"]
    assert (second["status"], second["offers"]) == ("present", [])


@pytest.mark.parametrize("way", ["replaced", "linked", "its folder is gone", "large"])
def test_what_waits_gets_its_name_before_what_does_not_wait(
    top: Path, lose: Callable[..., Held], holders: Holders, way: str
) -> None:
    """A program is tried as soon as it has its name, and may need what came before it."""
    (top / "folder").mkdir()
    lose("library")
    program = top / "folder/program"
    program.write_bytes(b"#!/bin/sh" + b" " * (2**21 if way == "large" else 0))
    holders.open(program)
    if way == "linked":
        os.link(program, top / "twin")
    program.unlink()
    if way == "replaced":
        program.write_text("broken")
    elif way == "its folder is gone":
        program.parent.rmdir()
    seen: list[str] = []

    def looked(step: Callable[..., Any]) -> Callable[..., Any]:
        def look(*arguments: Any) -> Any:
            seen.append("library" if (top / "library").exists() else "")
            return step(*arguments)

        return look

    watched = Watched(replace=looked(LOCAL.replace), link_again=looked(LOCAL.link_again))
    watched.host = watched.host._replace(publish=looked(watched.publish))
    requests = [{"path": f"{top}/library"}, {"path": str(program)}]
    results = restored(*requests, host=watched.host, parents=True, force=way == "replaced")
    assert [result["status"] for result in results] == ["restored"] * 2
    assert seen == ["", "library"]


def test_a_folder_does_not_take_the_name_of_a_file_that_waits_for_it(top: Path, lose: Callable[..., Held]) -> None:
    lose("x")
    (top / "x").mkdir()
    lose("x/y")
    (top / "x").rmdir()
    found = outcome({"path": f"{top}/x"}, {"path": f"{top}/x/y"}, parents=True)
    assert [status for status, _msg in found] == ["restored", "failed"]
    assert (top / "x").read_bytes() == CONTENT


def test_a_folder_that_comes_back_in_the_place_of_a_file(top: Path, lose: Callable[..., Held]) -> None:
    lose("a")
    found = outcome({"path": f"{top}/a"}, host=Watched(lambda _number: (top / "a").mkdir()).host)
    assert found == [("failed", f"{top}/a became a folder meanwhile, not a file.")]


def test_what_failed_does_not_hurry_others(top: Path, lose: Callable[..., Held]) -> None:
    for name in "ab":
        lose(name)
    watched = Watched()
    requests = [{"path": f"{top}/{name}"} for name in ("a", "gone/1", "b", "gone/2")]
    assert [result["status"] for result in restored(*requests, host=watched.host)] == ["restored", "failed"] * 2
    assert watched.calls == ["begun", "begun", "synced", "synced", "a named", "b named"]


def test_a_shell_is_there_before_others_are_shared(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_restore, "_MANY", 2)
    names = ["sh", *(f"{folder}/{number}" for folder in "ab" for number in range(2))]
    for folder in "ab":
        (top / folder).mkdir()
    for name in names:
        lose(name)
    watched = Watched()
    host = watched.host._replace(shares=partial(names_shared, names=[]))
    restored(*({"path": f"{top}/{name}"} for name in names), host=host, parents=True)
    assert watched.calls[:3] == ["begun", "synced", "sh named"]
    assert sum(call.endswith("named") for call in watched.calls) == len(names)


def test_a_symlink_in_a_folder_that_is_gone(top: Path) -> None:
    """As the lifeline's keeper recorded it."""
    (top / "there").touch()
    record = json.dumps({"links": {f"{top}/gone/deep/link": "../../there"}}).encode()
    host = LOCAL._replace(read_record=lambda: record)
    request = {"path": f"{top}/gone/deep/link"}
    assert outcome(request, host=host)[0][0] == "failed"
    ((status, msg),) = outcome(request, host=host, parents=True, check_mode=True)
    assert status == "restorable" and f" Its folder {top}/gone/deep would be made again." in msg
    assert os.listdir(top) == ["there"]
    (result,) = restored(request, host=host, parents=True)
    assert (result["status"], [made["path"] for made in result["made"]]) == (
        "restored",
        [f"{top}/gone", f"{top}/gone/deep"],
    )
    assert os.readlink(top / "gone/deep/link") == "../../there" and sorted(os.listdir(top)) == ["gone", "there"]
    assert outcome(request, host=host, parents=True)[0][0] == "present"


@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        (errno.EEXIST, "present", " came back while it was to be restored: that file was left alone."),
        (errno.EIO, "failed", " is there again and complete, but its folder could not be written to the disk: "),
    ],
)
def test_a_symlink_that_comes_back_or_may_be_lost(top: Path, code: int, status: str, said: str) -> None:
    def symlink(*_arguments: object) -> None:
        raise (FileExistsError if code == errno.EEXIST else NotSyncedError)(code, os.strerror(code))

    record = json.dumps({"links": {f"{top}/link": "there"}}).encode()
    host = LOCAL._replace(read_record=lambda: record, symlink=symlink)
    ((found, msg),) = outcome({"path": f"{top}/link"}, host=host)
    assert found == status and msg.startswith(f"{top}/link{said}")


def test_an_offer_that_cannot_be_described_costs_nothing(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    lose("a")
    monkeypatch.setattr(_restore_one, "described", fail)
    (result,) = restored({"path": f"{top}/a", "checksum": CHECKSUM}, offer=True)
    assert result["status"] == "restored"


def test_no_process_can_be_had_for_what_may_never_answer(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in "ab":
        lose(name)

    def fail(*_arguments: object) -> Any:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    asked = iter([{"/mnt": "/mnt"}, {}])
    monkeypatch.setattr(_restore._Rescue, "_may_never_answer", lambda *_arguments: next(asked))
    host = LOCAL._replace(in_time=fail, shares=None)
    found = outcome({"path": f"{top}/a"}, {"path": f"{top}/b"}, host=host)
    assert [status for status, _msg in found] == ["failed", "restored"]


def test_two_for_one_place_do_not_wait_for_each_other(top: Path, lose: Callable[..., Held]) -> None:
    first, second = lose("a"), lose("b", b"another")
    watched = Watched()
    requests = [{"source": {"link": one.link}, "dest": f"{top}/new"} for one in (first, second)]
    found = outcome(*requests, {"path": f"{top}/a"}, {"source": {"link": first.link}}, host=watched.host)
    assert [status for status, _msg in found] == ["restored", "present", "restored", "present"]
    assert all(msg.endswith(" is there and was left alone.") for _status, msg in (found[1], found[3]))
    assert (top / "new").read_bytes() == CONTENT


@pytest.mark.parametrize("name", [b"a\nb", b"\xff", b"{{ 7*7 }}", b"x (deleted)", b"-rf", b"..."])
def test_hostile_names(top: Path, holders: Holders, name: bytes) -> None:
    path = os.fsencode(top) + b"/" + name
    holders.open(path, os.O_RDWR | os.O_CREAT)
    os.unlink(path)
    (result,) = restored({"path_b64": base64.b64encode(path).decode()})
    assert (result["status"], os.listdir(os.fsencode(top))) == ("restored", [name])
    assert result["msg"].isprintable()


def test_a_file_that_is_there_and_was_never_deleted(top: Path) -> None:
    (top / "tool").write_text("fine")
    assert outcome({"path": str(top / "tool")}) == [("present", f"{top}/tool is there and was left alone.")]


def test_a_path_through_symlinks(top: Path, lose: Callable[..., Held]) -> None:
    lose()
    (top.parent / "link").symlink_to("top")
    (top / "sh").symlink_to("tool")
    (result,) = restored({"path": str(top.parent / "link/sh")})
    assert (result["status"], result["path"]) == ("restored", str(top / "tool"))


@pytest.mark.parametrize("through", ["path", "symlink", "prefix", "prefix through a symlink"])
def test_the_holder_may_end_as_soon_as_any_path_is_looked_at(
    top: Path, lose: Callable[..., Held], holders: Holders, through: str
) -> None:
    """Pin first: looking at a path may take long, and the holder may be a login shell about to close."""
    (top / "merged").symlink_to(".")
    (top / "folder").mkdir()
    lose("folder/tool")

    def end_holder(step: Callable[..., Any]) -> Callable[..., Any]:
        def look(*arguments: Any) -> Any:
            holders.end_all()
            return step(*arguments)

        return look

    steps = ("open_target", "open_folder", "mode_of", "witnesses")
    host = LOCAL._replace(**{step: end_holder(getattr(LOCAL, step)) for step in steps})
    folder = top / "merged" / "folder" if "symlink" in through else top / "folder"
    requests = [] if "prefix" in through else [{"path": str(folder / "tool")}]
    results = restored(*requests, below=folder if "prefix" in through else None, host=host)
    assert [result["status"] for result in results] == ["restored"]
    assert (top / "folder" / "tool").read_bytes() == CONTENT


def test_the_same_file_twice_in_one_call(top: Path, lose: Callable[..., Held]) -> None:
    lose()
    (top.parent / "link").symlink_to("top")
    results = restored({"path": str(top / "tool")}, {"path": str(top.parent / "link/tool")})
    assert [result["status"] for result in results] == ["restored", "present"]


def test_two_versions_for_one_name_in_one_call(top: Path, lose: Callable[..., Held]) -> None:
    """The second one finds the first one in its place, and has no force."""
    first, second = lose(content=b"one"), lose(content=b"two")
    sources = [{"link": held.link} for held in (first, second)]
    results = restored(*({"path": str(top / "tool"), "source": source} for source in sources))
    assert [result["status"] for result in results] == ["restored", "present"]
    assert (top / "tool").read_bytes() == b"one"


def test_a_source_of_the_facts_unchanged(top: Path, lose: Callable[..., Held]) -> None:
    lose("entry")
    lose("holder", content=b"other")
    facts = gather(Filters(paths=[str(top)]), host=LOCAL)["deleted_files"]
    entry, other = sorted(facts, key=lambda one: one["path"])
    results = restored({"source": entry}, {"source": other["holders"][0]})
    assert [(result["status"], result["path"]) for result in results] == [
        ("restored", str(top / "entry")),
        ("restored", str(top / "holder")),
    ]


@pytest.mark.parametrize("name", ["start_time", "device", "inode", "pid"])
def test_a_source_that_changed_since_the_facts(top: Path, lose: Callable[..., Held], name: str) -> None:
    lose()
    (entry,) = gather(Filters(paths=[str(top)]), host=LOCAL)["deleted_files"]
    (holder,) = entry["holders"]
    (result,) = restored({"source": dict(holder, **{name: holder[name] + 1})})
    assert (result["status"], result["refused"]) == ("failed", ["holder_changed"])
    assert os.listdir(top) == []


def test_a_source_whose_holder_is_gone(top: Path, lose: Callable[..., Held], holders: Holders) -> None:
    held = lose()
    (entry,) = gather(Filters(paths=[str(top)]), host=LOCAL)["deleted_files"]
    holders.end(held.pid)
    (result,) = restored({"source": entry["holders"][0]})
    assert result["refused"] == ["not_held"]
    assert result["path"] == held.link


def test_a_memfd_goes_nowhere_but_to_dest(top: Path, holders: Holders) -> None:
    fd = memfd("../../usr/bin/bash")
    os.write(fd, CONTENT)
    held, inode = holders.keep(fd), os.fstat(fd).st_ino
    os.close(fd)
    (entry,) = [one for one in gather(Filters(kinds=["memfd"]), host=LOCAL)["deleted_files"] if one["inode"] == inode]
    for number, source in enumerate([{"source": {"link": held.link}}, {"source": entry}]):
        in_place, copied = restored(source, dict(source, dest=str(top / f"copy{number}")))
        assert (in_place["status"], in_place["refused"]) == ("failed", ["no_name"])
        assert (copied["status"], (top / f"copy{number}").read_bytes()) == ("restored", CONTENT)
    assert in_place["path"] == "/memfd:../../usr/bin/bash"
    assert in_place["msg"].startswith("/memfd:../../usr/bin/bash had no name on this host")


def test_a_copy_elsewhere(top: Path, lose: Callable[..., Held]) -> None:
    lose(owner=NOBODY, mode=0o4777)
    (result,) = restored({"path": str(top / "tool"), "dest": str(top / "copy")})
    assert (result["status"], result["dest"], result["path"]) == ("restored", str(top / "copy"), str(top / "tool"))
    assert (result["owner"], result["mode"], result["usable"]) == ("root", "0600", True)
    assert os.listdir(top) == ["copy"]


def test_a_copy_of_a_file_whose_folder_is_gone(top: Path, tmp_path: Path, lose: Callable[..., Held]) -> None:
    lose()
    top.rmdir()
    in_place, copied = restored(
        {"path": str(top / "tool")}, {"path": str(top / "tool"), "dest": str(tmp_path / "copy")}
    )
    assert in_place["refused"] == ["folder_gone"]
    assert copied["status"] == "restored"


def test_how_to_repair_a_copy_is_no_way_to_give_away_privileges(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not believed enough to get them; the commands are for what the copy was to get."""
    lose(owner=NOBODY, mode=0o4755)
    monkeypatch.setattr(os, "fchmod", lambda *_arguments: None)
    (result,) = restored({"path": str(top / "tool"), "dest": str(top / "copy"), "mode": None}, mode=0o640)
    assert result["not_kept"] == ["mode"]
    assert result["fix"] == [f"chmod 0640 {top}/copy"]


@pytest.mark.parametrize(("asked", "given"), [("top", "top"), ("link", "link"), ("link", "top")])
def test_what_is_below_a_folder_is_held_to_the_checksum_of_its_path(
    top: Path, lose: Callable[..., Held], asked: str, given: str
) -> None:
    for name in ("right", "wrong", "other"):
        lose(name)
    (top.parent / "link").symlink_to("top")
    checksums = {
        str(top.parent / given / name): f"sha256:{digest}" for name, digest in (("right", SHA256), ("wrong", "0" * 64))
    }
    results = restored(below=top.parent / asked, checksums=checksums)
    by_name = {os.path.basename(result["path"]): result for result in results}
    assert by_name["right"]["content_by"] == "checksum" and by_name["other"]["content_by"] == "none"
    assert by_name["wrong"]["refused"] == ["checksum_differs"] and not (top / "wrong").exists()


def test_all_below_a_folder(top: Path, lose: Callable[..., Held]) -> None:
    (top / "deep").mkdir()
    lose("a")
    lose("deep/b")
    (top.parent / "topmost").mkdir()
    lose("../topmost/c")
    results = restored(below=top)
    assert sorted(result["path"] for result in results) == [f"{top}/a", f"{top}/deep/b"]
    assert {result["status"] for result in results} == {"restored"}


def test_all_below_a_folder_through_a_symlink(top: Path, lose: Callable[..., Held]) -> None:
    lose()
    (top.parent / "link").symlink_to("top")
    assert [result["path"] for result in restored(below=top.parent / "link/")] == [f"{top}/tool"]


def test_all_below_a_folder_but_what_is_nearly_all_hole(top: Path, lose: Callable[..., Held], holders: Holders) -> None:
    """Any user could stall the rescue of all others with it. By its own path it comes back, however long it takes."""
    lose("tool")
    held = holders.open(top / "hole", os.O_RDWR | os.O_CREAT)
    os.truncate(held.link, 17 * 2**30)
    (top / "hole").unlink()
    by_path = {result["path"]: result for result in restored(below=top)}
    assert by_path[f"{top}/tool"]["status"] == "restored"
    assert by_path[f"{top}/hole"]["msg"] == (
        f"{top}/hole is 18253611008 bytes long and nearly all of it a hole, which takes long to read: restore it by "
        "its own path."
    )
    assert os.listdir(top) == ["tool"]


def test_in_a_folder_for_all_a_decoy_is_told_and_the_user_chooses(top: Path, lose: Callable[..., Held]) -> None:
    """In /tmp everybody may have had that name: nothing tells whose file is meant, but the owners are named."""
    top.chmod(0o1777)
    mine, decoy = lose(), lose(content=b"evil", owner=NOBODY)
    (result,) = restored({"path": f"{top}/tool"})
    assert (result["status"], result["refused"], os.listdir(top)) == ("failed", ["ambiguous"], [])
    for held, owner in ((mine, 0), (decoy, NOBODY)):
        assert f"{held.link} (inode " in result["msg"]
        assert f"bytes, owner {owner}, modified" in result["msg"]
    for choice in ({"source": {"link": mine.link}}, {"checksum": CHECKSUM}):
        (result,) = restored({"path": f"{top}/tool", **choice})
        assert (result["status"], (top / "tool").read_bytes()) == ("restored", CONTENT)
        (top / "tool").unlink()


def test_nothing_below_a_folder(top: Path) -> None:
    assert restored(below=top) == []


def test_what_never_had_a_name_was_not_deleted_below_a_folder(top: Path, holders: Holders) -> None:
    """Programs keep nameless scratch files (O_TMPFILE): they are no reason for a failure."""
    fd = os.open(top, os.O_TMPFILE | os.O_RDWR)
    held = holders.keep(fd)
    os.close(fd)
    assert held.pid
    assert restored(below=top) == []


def test_a_name_that_only_looks_like_rpms(top: Path, lose: Callable[..., Held]) -> None:
    """A file called report;20240101 is not to come back as report."""
    lose("report;20240101")
    (result,) = restored(below=top)
    assert (result["path"], os.listdir(top)) == (f"{top}/report;20240101", ["report;20240101"])


def test_a_name_that_only_looks_like_rpms_hides_no_other(top: Path, lose: Callable[..., Held]) -> None:
    lose("report", content=b"this year's")
    lose("report;20240101", content=b"an old one")
    assert {result["status"] for result in restored(below=top)} == {"restored"}
    assert (top / "report").read_bytes() == b"this year's"
    assert (top / "report;20240101").read_bytes() == b"an old one"


@pytest.fixture
def owned(top: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a package owns, by the database."""
    info = top.parent / "info"
    info.mkdir()
    (info / "tool.md5sums").write_text(f"{hashlib.md5(CONTENT).hexdigest()}  {top}/tool\n".replace("  /", "  "))
    (info / "tool.list").write_text(f"{top}/tool\n")
    monkeypatch.setattr(_packages, "INFO", os.fsencode(info))
    return info


@pytest.mark.parametrize("by", ["path", "source", "folder"])
def test_the_name_that_rpm_gave_is_taken_off_what_a_package_owns(
    top: Path, owned: Path, lose: Callable[..., Held], by: str
) -> None:
    held = lose("tool;5f3a2b1c", mode=0o4755)
    request = {"path": f"{top}/tool"} if by == "path" else {"source": {"link": held.link}}
    (result,) = restored(below=top) if by == "folder" else restored(request)
    assert (result["status"], result["path"], result["content_by"]) == ("restored", f"{top}/tool", "package")
    assert os.listdir(top) == ["tool"]


def test_the_name_that_rpm_could_have_given_stays_where_no_package_owns_it(
    top: Path, lose: Callable[..., Held]
) -> None:
    held = lose("tool;5f3a2b1c")
    (by_path,) = restored({"path": f"{top}/tool"})
    assert (by_path["status"], by_path["refused"]) == ("failed", ["not_held"])
    assert held.link in by_path["msg"]
    (by_source,) = restored({"source": {"link": held.link}})
    assert (by_source["status"], by_source["path"]) == ("restored", f"{top}/tool;5f3a2b1c")
    assert os.listdir(top) == ["tool;5f3a2b1c"]
    (by_both,) = restored({"path": f"{top}/tool", "source": {"link": held.link}})
    assert (by_both["status"], by_both["path"]) == ("restored", f"{top}/tool")


def test_an_old_version_and_configuration_of_a_package(top: Path, owned: Path, lose: Callable[..., Held]) -> None:
    lose(content=b"an old version")
    (result,) = restored({"path": f"{top}/tool"})
    assert (result["status"], result["refused"], os.listdir(top)) == ("failed", ["superseded"], [])
    (owned / "tool.conffiles").write_text(f"{top}/tool\n")
    (result,) = restored({"path": f"{top}/tool"})
    assert (result["status"], result["content_by"]) == ("restored", "none")


def test_a_database_that_cannot_be_asked_proves_nothing_and_is_told(
    top: Path, owned: Path, lose: Callable[..., Held]
) -> None:
    lose(mode=0o4755)
    (owned / "tool.list").unlink()
    (owned / "tool.list").mkdir()
    warnings: list[str] = []
    with local_host(warnings.append) as host:
        (result,) = restore([{"path": f"{top}/tool"}], Terms(), print, host)
    assert (result["status"], result["content_by"], result["dropped"]) == ("restored", "none", ["setuid"])
    assert warnings[0].startswith("The package database could not be asked: Is a directory.")


def test_files_in_shared_memory_have_names(holders: Holders) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "ring"
        holders.open(path, os.O_RDWR | os.O_CREAT)
        path.unlink()
        assert [(result["path"], result["status"]) for result in restored(below=Path(folder))] == [
            (str(path), "restored")
        ]


def test_a_folder_is_swept_once_for_all_files_in_it(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be thousands: reading it for each would take minutes, even where nothing is left to do."""
    paths = [f"{top}/{number}" for number in range(20)]
    for path in paths:
        lose(path)
    read: list[str] = []
    real_listdir = os.listdir

    def listdir(folder: Any) -> list[Any]:
        if isinstance(folder, int) and os.readlink(f"/proc/self/fd/{folder}") == str(top):
            read.append(str(top))
        return real_listdir(folder)

    monkeypatch.setattr(os, "listdir", listdir)
    for status in "restored", "present":
        read.clear()
        assert {result["status"] for result in restored(*({"path": path} for path in paths))} == {status}
        assert len(read) <= 2


def test_a_prefix_is_absolute() -> None:
    with pytest.raises(RescueError) as caught:
        restore([{"path_prefix": "etc", "packaged": False}], Terms(check_mode=True), print, LOCAL)
    assert str(caught.value) == "path_prefix must be absolute: etc"


def test_who_still_writes_to_the_old_file(top: Path, lose: Callable[..., Held], holders: Holders) -> None:
    held = lose(flags=os.O_RDWR)
    (result,) = restored({"path": str(top / "tool")})
    assert [(writer["pid"], writer["access"]) for writer in result["writers"]] == [(held.pid, "both")]


@pytest.mark.parametrize("chosen_by", ["pid", "source", "name"])
@pytest.mark.parametrize("freeze", [None, 5.0])
def test_who_writes_is_told_and_stopped_whoever_the_file_is_taken_from(
    top: Path, holders: Holders, chosen_by: str, freeze: float | None
) -> None:
    (top / "tool").write_bytes(CONTENT)
    (top / "twin").hardlink_to(top / "tool")
    reader = holders.open(top / "tool")
    writer = holders.open(top / "twin", os.O_RDWR)
    (top / "tool").unlink()
    (top / "twin").unlink()
    path = {"path": str(top / "tool")}
    request = {
        "pid": {**path, "pid": reader.pid},
        "source": {"source": {"link": reader.link}, "dest": str(top / "copy")},
        "name": path,
    }[chosen_by]
    (result,) = restored(request, freeze=freeze)
    assert (result["status"], result["source"]["pid"]) == ("restored", reader.pid)
    assert [writer["pid"] for writer in result["writers"]] == [writer.pid]
    assert f"Still written to is the deleted file and not this one, by {writer.pid} (cat)" in result["msg"]
    if freeze is not None:
        assert [one["pid"] for one in result["frozen"]["stopped"]] == [writer.pid]


@pytest.mark.parametrize("size", [1, 2**21])
def test_a_folder_that_is_renamed_meanwhile_is_told(top: Path, lose: Callable[..., Held], size: int) -> None:
    """What was put back is not where it was asked for, by whichever names its folder has been opened."""
    (top / "a").mkdir()
    for number in range(3):
        lose(f"a/{number}", b"x" * size)
    names: list[bytes] = []

    def publish(draft: Any, folder: int, name: bytes, *more: Any) -> None:
        names.append(name)
        if len(names) == 2:
            (top / "a").rename(top / "b")
            (top / "a").mkdir()
        LOCAL.publish(draft, folder, name, *more)

    requests = ({"path": f"{top}/a/{number}"} for number in range(3))
    first, second, third = outcome(*requests, host=LOCAL._replace(publish=publish))
    renamed = f"is not there: its folder was renamed while it was restored, and it is in {top}/b now."
    assert (first[0], second) == ("restored", ("failed", f"{top}/a/1 {renamed}"))
    if size == 1:  # both waited for their names
        assert third == ("failed", f"{top}/a/2 {renamed}")
    else:
        assert (third[0], os.listdir(top / "a")) == ("restored", ["2"])


def test_a_folder_of_somebody_else_is_not_taken_away(top: Path, lose: Callable[..., Held]) -> None:
    """The one that was made again was renamed, and another one has its name."""
    (top / "a").mkdir()
    lose("a/tool")
    (top / "a").rmdir()

    def publish(*draft: Any) -> None:
        LOCAL.publish(*draft)
        (top / "a").rename(top / "b")
        (top / "a").mkdir()

    [(status, msg)] = outcome({"path": f"{top}/a/tool"}, host=LOCAL._replace(publish=publish), parents=True)
    assert status == "failed" and f"it is in {top}/b now." in msg
    assert sorted(os.listdir(top)) == ["a", "b"] and (top / "b" / "tool").read_bytes() == CONTENT


def test_a_folder_that_is_renamed_when_its_file_is_linked_again(top: Path, lose: Callable[..., Held]) -> None:
    (top / "a").mkdir()
    (top / "a" / "tool").touch()
    (top / "twin").hardlink_to(top / "a" / "tool")
    lose("a/tool")

    def link_again(*arguments: Any) -> Any:
        (top / "a").rename(top / "b")
        return LOCAL.link_again(*arguments)

    [(status, msg)] = outcome({"path": f"{top}/a/tool"}, host=LOCAL._replace(link_again=link_again))
    assert status == "failed" and f"it is in {top}/b now." in msg


def test_what_the_kernel_does_not_call_by_its_name_is_not_said_to_be_renamed(
    top: Path, lose: Callable[..., Held]
) -> None:
    for called in [b"/a", b"/a (deleted)"], [b"/a", None], [None, b"/a"]:
        lose()
        names = iter(called)
        host = LOCAL._replace(path_of=lambda _folder, names=names: next(names))
        assert outcome({"path": f"{top}/tool"}, host=host)[0][0] == "restored"
        (top / "tool").unlink()


def test_a_folder_that_comes_back_while_it_is_made_again(top: Path, lose: Callable[..., Held]) -> None:
    (top / "gone").mkdir()
    lose("gone/tool")
    (top / "gone").rmdir()

    def make(*arguments: Any) -> Any:
        (top / "gone").mkdir()
        return LOCAL.make_folders(*arguments)

    request = {"path": str(top / "gone" / "tool")}
    assert outcome(request, host=LOCAL._replace(make_folders=make), parents=True) == [
        ("failed", f"{top}/gone came back while it was to be made again: run this once more.")
    ]
    assert outcome(request, parents=True)[0][0] == "restored"
    assert os.listdir(top) == ["gone"]


def test_the_size_is_that_of_the_restored_file(
    top: Path, lose: Callable[..., Held], monkeypatch: pytest.MonkeyPatch
) -> None:
    held = lose()
    real_put_back = _restore_one.put_back

    def grow(order: Any) -> Any:
        with open(held.link, "ab") as file:
            file.write(b" grew")
        return real_put_back(order)

    monkeypatch.setattr(_restore_one, "put_back", grow)
    (result,) = restored({"path": str(top / "tool")})
    assert result["size"] == (top / "tool").stat().st_size


def test_the_log_has_one_line_for_each_file(top: Path, lose: Callable[..., Held]) -> None:
    held = lose("a\nb")
    inode = os.stat(held.link).st_ino

    def lines() -> list[str]:
        log: list[str] = []
        restore([{"path": f"{top}/a\nb"}, {"path": f"{top}/unknown"}], Terms(), log.append, LOCAL)
        return log

    assert in_child(lines) == [f"restored {top}/a\\nb from {held.link} (inode {inode})"]


def test_more_files_than_descriptors(top: Path, holders: Holders) -> None:
    """Some hosts allow 4096, and a call may name more files than that, each in a folder of its own."""
    import resource

    number = 150
    paths = [top / str(one) / "tool" for one in range(number)]
    fds = []
    for path in paths:
        path.parent.mkdir()
        fds.append(os.open(path, os.O_RDWR | os.O_CREAT))
        path.unlink()
    holders.start("cat", keep=tuple(fds))
    for fd in fds:
        os.close(fd)

    def few() -> list[str]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 256))
        with local_host(print) as host:
            results = restore([{"path": str(path)} for path in paths], Terms(), lambda _: None, host)
        return [result["status"] for result in results]

    assert in_child(few) == ["restored"] * number


def test_without_root_nothing_is_pretended(open_to_all: Path, holders: Holders) -> None:
    top = open_to_all / "top"
    top.mkdir(0o755)
    holders.open(top / "tool", os.O_RDWR | os.O_CREAT)
    (top / "tool").unlink()

    def try_it() -> Result:
        return restore([{"path": str(top / "tool")}], Terms(), print, LOCAL)[0]

    result = in_child(try_it, user=NOBODY)
    assert (result["status"], result["refused"]) == ("failed", ["not_held"])
    assert "without root (use become)" in result["msg"]
