# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever the way, the same is decided: each case by the local kernel, and over OpenSSH's own sftp-server."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _hidden
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host, Room
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, Effort, Mount, Recorded, Terms
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_host import _is_of_one_file, sftp_host
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_metadata import NOT_CARRIED
from unit.plugins.holders import NOBODY, Holders
from unit.plugins.samples import a_sighting

CONTENT = b"the original"
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["local", "sftp"])
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    if request.param == "local":
        yield LOCAL._replace(witnesses=lambda *_arguments: {})
    else:
        with sftp_host(lambda: Client(Pipe([b"/usr/lib/openssh/sftp-server"], 10))) as host:
            yield host._replace(witnesses=lambda *_arguments: {})


@pytest.fixture
def restored(host: Host) -> Callable[..., list[dict[str, Any]]]:
    def run(*requests: dict[str, Any], below: Path | None = None, **terms: Any) -> list[dict[str, Any]]:
        prefix = [] if below is None else [{"path_prefix": str(below), "packaged": False}]
        return restore([*requests, *prefix], Terms(**terms), lambda _line: None, host)

    return run


Restored = Callable[..., list[dict[str, Any]]]


def lose(holders: Holders, path: Path, content: bytes = CONTENT, mode: int = 0o640, owner: int = 0) -> None:
    path.write_bytes(content)
    os.chown(path, owner, owner)
    path.chmod(mode)
    os.utime(path, (1, 2))
    holders.open(path)
    path.unlink()


def outcome(results: list[dict[str, Any]]) -> list[tuple[str, list[str]]]:
    return [(result["status"], result.get("refused", [])) for result in results]


def test_it_comes_back(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    lose(holders, tmp_path / "tool")
    (would,) = restored({"path": str(tmp_path / "tool")}, check_mode=True)
    assert os.listdir(tmp_path) == []
    (result,) = restored({"path": str(tmp_path / "tool")})
    found = (tmp_path / "tool").stat()
    assert (tmp_path / "tool").read_bytes() == CONTENT
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_mtime) == (0o640, 0, 2)
    assert (would["status"], result["status"], result["checksum"]) == ("restorable", "restored", CHECKSUM)
    assert result["not_kept"] in ([], list(NOT_CARRIED))
    assert outcome(restored({"path": str(tmp_path / "tool")})) == [("present", [])]
    assert os.listdir(tmp_path) == ["tool"]


def test_an_executable_and_a_library(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    program, library = tmp_path / "program", tmp_path / "library"
    holders.run(program)
    holders.map_library(library)
    content = program.read_bytes(), library.read_bytes()
    program.unlink()
    library.unlink()
    results = restored({"path": str(program)}, {"path": str(library)})
    assert [(result["status"], result["source"]["via"]) for result in results] == [
        ("restored", "exe"),
        ("restored", "map"),
    ]
    assert (program.read_bytes(), library.read_bytes()) == content


@pytest.mark.parametrize("name", [b"a\nb", b"\xff", b"{{ 7*7 }}", b"x (deleted)", b"-rf", b"\\012"])
def test_hostile_names(tmp_path: Path, holders: Holders, restored: Restored, name: bytes) -> None:
    lose(holders, tmp_path / os.fsdecode(name))
    assert outcome(restored(below=tmp_path)) == [("restored", [])]
    assert os.listdir(os.fsencode(tmp_path)) == [name]


def test_a_live_file_is_no_candidate(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    (tmp_path / "tool (deleted)").write_bytes(b"live")
    holders.open(tmp_path / "tool (deleted)")
    assert outcome(restored({"path": str(tmp_path / "tool")})) == [("failed", ["not_held"])]


def test_force_where_the_very_file_has_its_name_again(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    (tmp_path / "tool").write_bytes(CONTENT)
    holders.open(tmp_path / "tool")
    (tmp_path / "twin").hardlink_to(tmp_path / "tool")
    (tmp_path / "tool").unlink()
    (tmp_path / "tool").hardlink_to(tmp_path / "twin")
    assert outcome(restored({"path": str(tmp_path / "tool")}, force=True)) == [("present", [])]


def test_several_versions(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    lose(holders, tmp_path / "tool")
    lose(holders, tmp_path / "tool", b"another")
    assert outcome(restored({"path": str(tmp_path / "tool")})) == [("failed", ["ambiguous"])]
    wrong = {"path": str(tmp_path / "tool"), "checksum": "md5:" + "0" * 32}
    assert outcome(restored(wrong))[0][0] == "failed"
    assert outcome(restored({"path": str(tmp_path / "tool"), "checksum": CHECKSUM})) == [("restored", [])]
    assert (tmp_path / "tool").read_bytes() == CONTENT


def test_the_owner_of_another(open_to_all: Path, holders: Holders, restored: Restored) -> None:
    folder = open_to_all / "folder"
    folder.mkdir(mode=0o755)
    lose(holders, folder / "tool", owner=NOBODY)
    assert outcome(restored({"path": str(folder / "tool")}))[0][1] == ["owner_differs"]
    assert outcome(restored({"path": str(folder / "tool")}, accept=["owner_differs"])) == [("restored", [])]


def test_a_folder_that_others_may_write_in(open_to_all: Path, holders: Holders, restored: Restored) -> None:
    folder = open_to_all / "folder"
    folder.mkdir()
    folder.chmod(0o775)
    lose(holders, folder / "tool")
    assert outcome(restored({"path": str(folder / "tool")}))[0][1] == ["ancestor_writable"]


def test_symlinks_on_the_way(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    lose(holders, tmp_path / "folder" / "tool")
    (tmp_path / "alias").symlink_to("link/tool")
    assert outcome(restored({"path": str(tmp_path / "alias")})) == [("restored", [])]
    assert (tmp_path / "alias").read_bytes() == CONTENT
    os.lchown(tmp_path / "link", NOBODY, NOBODY)
    assert outcome(restored({"path": str(tmp_path / "link" / "other")}))[0][1] == ["ancestor_writable"]


def test_folders_that_are_gone_or_none(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    (tmp_path / "folder").mkdir()
    lose(holders, tmp_path / "folder" / "tool")
    (tmp_path / "folder").rmdir()
    (result,) = restored({"path": str(tmp_path / "folder" / "tool")})
    assert result["refused"] == ["folder_gone"]
    (tmp_path / "folder").write_text("a file now")
    (result,) = restored({"path": str(tmp_path / "folder" / "tool")})
    assert "is no folder" in result["msg"]


def test_privileges_need_proof(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    lose(holders, tmp_path / "tool", mode=0o4755)
    (result,) = restored({"path": str(tmp_path / "tool")})
    assert (result["dropped"], result["usable"], stat.S_IMODE((tmp_path / "tool").stat().st_mode)) == (
        ["setuid"],
        False,
        0o755,
    )
    assert result["fix"] == [f"chmod 4755 {tmp_path}/tool"]
    (tmp_path / "tool").unlink()
    (result,) = restored({"path": str(tmp_path / "tool"), "checksum": CHECKSUM})
    assert (result["dropped"], stat.S_IMODE((tmp_path / "tool").stat().st_mode)) == ([], 0o4755)


def test_a_source_of_the_facts(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    lose(holders, tmp_path / "tool")
    (would,) = restored({"path": str(tmp_path / "tool")}, check_mode=True)
    source = would["source"]
    changed = dict(source, start_time=source["start_time"] + 1)
    assert outcome(restored({"source": changed})) == [("failed", ["holder_changed"])]
    assert outcome(restored({"source": source})) == [("restored", [])]


def test_replacing_and_copying(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    lose(holders, tmp_path / "tool")
    (tmp_path / "tool").write_text("newer")
    assert outcome(restored({"path": str(tmp_path / "tool")})) == [("present", [])]
    (copy,) = restored({"path": str(tmp_path / "tool"), "dest": str(tmp_path / "copy")}, mode=0o600)
    assert (copy["status"], (tmp_path / "copy").read_bytes()) == ("restored", CONTENT)
    (result,) = restored({"path": str(tmp_path / "tool")}, force=True, backup=True)
    assert (tmp_path / "tool").read_bytes() == CONTENT
    assert Path(result["backup_file"]).read_text() == "newer"
    assert len(os.listdir(tmp_path)) == 3


def test_what_a_killed_run_left_is_taken_away(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    hidden = tmp_path / ".procfs-rescue.0123456789abcdef"
    hidden.mkdir(mode=0o700)
    (hidden / "draft").write_text("half")
    lose(holders, tmp_path / "tool")
    assert outcome(restored({"path": str(tmp_path / "tool")})) == [("restored", [])]
    assert os.listdir(tmp_path) == ["tool"]


def test_a_hidden_folder_of_a_run_that_lives_is_kept(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    hidden = tmp_path / ".procfs-rescue.0123456789abcdef"
    hidden.mkdir(mode=0o700)
    code = (
        "import fcntl, os, sys; fd = os.open(sys.argv[1], 0); fcntl.flock(fd, 2); print('ready', flush=True); input()"
    )
    holders.expect(holders.start(sys.executable, "-c", code, hidden), b"ready\n")
    lose(holders, tmp_path / "tool")
    assert outcome(restored({"path": str(tmp_path / "tool")})) == [("restored", [])]
    assert sorted(os.listdir(tmp_path)) == [hidden.name, "tool"]


def test_a_name_that_comes_back_meanwhile(tmp_path: Path, holders: Holders, host: Host) -> None:
    """Someone installs the package again: that file wins, ours is dropped, and that is said."""
    lose(holders, tmp_path / "tool")

    def apply(fd: int, metadata: Metadata) -> None:
        (tmp_path / "tool").write_text("installed again")
        host.apply_metadata(fd, metadata)

    meanwhile = host._replace(apply_metadata=apply)
    (result,) = restore([{"path": str(tmp_path / "tool")}], Terms(), lambda _line: None, meanwhile)
    assert (result["status"], result["changed"]) == ("present", False)
    assert result["msg"] == f"{tmp_path}/tool came back while it was to be restored: that file was left alone."
    assert (tmp_path / "tool").read_text() == "installed again"
    assert os.listdir(tmp_path) == ["tool"]


@pytest.mark.parametrize(("times", "copies", "consistent"), [(0, 1, True), (1, 2, True), (2, 3, True), (9, 3, False)])
def test_a_file_that_changes_while_it_is_copied(
    tmp_path: Path, holders: Holders, host: Host, times: int, copies: int, consistent: bool
) -> None:
    """It is copied again, and what came of it is said as it is."""
    path = tmp_path / "log"
    path.write_bytes(CONTENT)
    holders.open(path)
    written = []

    with path.open("r+b", buffering=0) as log:
        path.unlink()

        def copy(source: int, target: int) -> None:
            host.copy_content(source, target)
            if len(written) < times:
                written.append(log.write(b"%d" % len(written)))
                log.seek(0)

        terms = Terms(max_copies=3)
        (result,) = restore([{"path": str(path)}], terms, lambda _line: None, host._replace(copy_content=copy))
    assert (result["status"], result["copies"], result["consistent"]) == ("restored", copies, consistent)
    assert result["checksum"] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_folder_that_is_deleted_meanwhile(tmp_path: Path, holders: Holders, host: Host) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    lose(holders, folder / "tool")
    lose(holders, tmp_path / "other")

    def delete(number: int, wanted: Metadata) -> None:
        host.apply_metadata(number, wanted)
        shutil.rmtree(folder, ignore_errors=True)

    requests = [{"path": str(folder / "tool")}, {"path": str(tmp_path / "other")}]
    results = restore(requests, Terms(), lambda _line: None, host._replace(apply_metadata=delete))
    assert outcome(results) == [("failed", []), ("restored", [])]
    assert os.listdir(tmp_path) == ["other"]


def test_a_folder_that_is_gone_is_made_again(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    """With the owner of the one around it, and its mode but for the rights of others to write."""
    os.chown(tmp_path, 0, 12)
    tmp_path.chmod(0o2775)
    (tmp_path / "a" / "b").mkdir(parents=True)
    lose(holders, tmp_path / "a" / "b" / "tool")
    (tmp_path / "a" / "b").rmdir()
    (tmp_path / "a").rmdir()
    request, terms = {"path": str(tmp_path / "a/b/tool")}, {"parents": True, "accept": ["ancestor_writable"]}
    (would,) = restored(request, check_mode=True, **terms)
    assert (would["status"], os.listdir(tmp_path)) == ("restorable", [])
    (result,) = restored(request, **terms)
    assert result["status"] == "restored", result["msg"]
    assert [(made["path"], made["mode"], made["metadata_by"]) for made in result["made"]] == [
        (f"{tmp_path}/a", "2755", None),
        (f"{tmp_path}/a/b", "2755", None),
    ]
    assert (tmp_path / "a/b/tool").read_bytes() == CONTENT
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        found = folder.stat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, len(os.listdir(folder))) == (0o2755, 0, 12, 1)


def test_a_folder_is_made_as_recorded(tmp_path: Path, holders: Holders, host: Host) -> None:
    (tmp_path / "a").mkdir()
    lose(holders, tmp_path / "a" / "tool", owner=NOBODY)
    (tmp_path / "a").rmdir()
    known = host._replace(recorded=lambda _path: Recorded(0o2751, "nobody", "12", "rpm"))
    (result,) = restore([{"path": f"{tmp_path}/a/tool"}], Terms(parents=True), lambda _line: None, known)
    assert result["status"] == "restored", result["msg"]
    found = (tmp_path / "a").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o2751, NOBODY, 12)
    assert result["made"][0]["metadata_by"] == "rpm"


def test_no_new_folder_stays_for_a_file_that_did_not_come_back(tmp_path: Path, holders: Holders, host: Host) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    lose(holders, tmp_path / "a" / "b" / "tool")
    (tmp_path / "a" / "b").rmdir()
    (tmp_path / "a").rmdir()
    full = host._replace(room=lambda _folder: Room(False, 0, 1))
    content = {"path": f"{tmp_path}/a/b/tool"}
    (result,) = restore([content], Terms(parents=True), lambda _line: None, full)
    assert (result["status"], os.listdir(tmp_path)) == ("failed", [])
    assert "its file system has 0 free" in result["msg"]


def test_one_folder_that_cannot_be_made_leaves_none(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    """The second name is too long."""
    lose(holders, tmp_path / "tool")
    request = {"path": str(tmp_path / "tool"), "dest": f"{tmp_path}/new/{'x' * 256}/copy"}
    (result,) = restored(request, parents=True)
    assert (result["status"], os.listdir(tmp_path)) == ("failed", [])


@pytest.mark.parametrize("was_replaced", [False, True])
def test_a_backup_that_a_killed_run_left_waiting(
    tmp_path: Path, holders: Holders, restored: Restored, was_replaced: bool
) -> None:
    """It becomes one if the file was replaced; if it was not, it is not needed."""
    (tmp_path / "other").write_text("older")
    hidden = tmp_path / ".procfs-rescue.0123456789abcdef"
    hidden.mkdir(mode=0o700)
    saved = "other.812.2026-11-28@10:11:12~"
    (hidden / saved).hardlink_to(tmp_path / "other")
    if was_replaced:
        (tmp_path / "new").write_text("newer")
        (tmp_path / "new").rename(tmp_path / "other")
    lose(holders, tmp_path / "tool")
    assert outcome(restored({"path": str(tmp_path / "tool")})) == [("restored", [])]
    assert sorted(os.listdir(tmp_path)) == ["other", *([saved] if was_replaced else []), "tool"]
    assert not was_replaced or (tmp_path / saved).read_text() == "older"


@pytest.mark.parametrize("host", ["sftp"], indirect=True)
def test_what_is_called_like_a_backup_and_is_no_file_stays(
    tmp_path: Path, holders: Holders, restored: Restored
) -> None:
    """Opened, a FIFO would hang the session."""
    waiting = tmp_path / ".procfs-rescue.0123456789abcdef" / "other.812.2026-11-28@10:11:12~"
    waiting.parent.mkdir(mode=0o700)
    os.mkfifo(waiting)
    lose(holders, tmp_path / "tool")
    assert outcome(restored({"path": str(tmp_path / "tool")})) == [("restored", [])]
    assert (waiting.is_fifo(), sorted(os.listdir(tmp_path))) == (True, [waiting.parent.name, "tool"])


def test_two_backups_in_one_second(
    tmp_path: Path, holders: Holders, restored: Restored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hidden.time, "strftime", lambda *_arguments: "2026-11-28@10:11:12")
    for content in (b"one", b"two"):
        lose(holders, tmp_path / "tool", content)
        (tmp_path / "tool").write_bytes(b"before " + content)
        request = {"path": str(tmp_path / "tool"), "checksum": "sha256:" + hashlib.sha256(content).hexdigest()}
        assert outcome(restored(request, force=True, backup=True)) == [("restored", [])]
    names = [f"tool.{os.getpid()}.2026-11-28@10:11:12{number}~" for number in ("", "-1")]
    assert [(tmp_path / name).read_bytes() for name in names] == [b"before one", b"before two"]
    assert len(os.listdir(tmp_path)) == 3


def test_a_holder_that_ends_after_the_copy(tmp_path: Path, holders: Holders, host: Host) -> None:
    """What was opened in time is compared once more, and named."""
    (tmp_path / "tool").write_bytes(CONTENT)
    pid = holders.open(tmp_path / "tool").pid
    (tmp_path / "tool").unlink()

    def copy(source: int, target: int) -> None:
        host.copy_content(source, target)
        holders.end(pid)

    ending = host._replace(copy_content=copy)
    (result,) = restore([{"path": str(tmp_path / "tool")}], Terms(), lambda _line: None, ending)
    assert (result["status"], result["consistent"]) == ("restored", True), result["msg"]
    assert (tmp_path / "tool").read_bytes() == CONTENT


def test_a_holder_that_ends_before_the_copy(tmp_path: Path, holders: Holders, host: Host) -> None:
    (tmp_path / "tool").write_bytes(CONTENT)
    pid = holders.open(tmp_path / "tool").pid
    (tmp_path / "tool").unlink()

    def copy(source: int, target: int) -> None:
        holders.end(pid)
        host.copy_content(source, target)

    ending = host._replace(copy_content=copy)
    (result,) = restore([{"path": str(tmp_path / "tool")}], Terms(), lambda _line: None, ending)
    assert (result["status"], (tmp_path / "tool").read_bytes()) == ("restored", CONTENT)


def test_a_writer_that_is_to_be_frozen(tmp_path: Path, holders: Holders, restored: Restored) -> None:
    """Over SFTP nobody can be stopped, and that is said."""
    (tmp_path / "tool").write_bytes(CONTENT)
    pid = holders.open(tmp_path / "tool", os.O_RDWR).pid
    (tmp_path / "tool").unlink()
    (result,) = restored({"path": str(tmp_path / "tool")}, freeze=5.0)
    assert result["status"] == "restored"
    frozen = {name: result["frozen"][name] for name in ("stopped", "spared")}
    assert frozen in (
        {"stopped": [{"pid": pid, "by": "ptrace"}], "spared": []},
        {"stopped": [], "spared": [{"pid": pid, "reason": "over SFTP nobody can be stopped"}]},
    )
    assert [writer["pid"] for writer in result["writers"]] == [pid]


def test_a_file_with_a_link_left(tmp_path: Path, holders: Holders, restored: Restored, host: Host) -> None:
    """SFTP does not tell that there is one: it is a copy then, to which its writers do not write."""
    (tmp_path / "twin").write_bytes(CONTENT)
    (tmp_path / "tool").hardlink_to(tmp_path / "twin")
    pid = holders.open(tmp_path / "tool", os.O_RDWR).pid
    (tmp_path / "tool").unlink()
    (result,) = restored({"path": str(tmp_path / "tool")})
    told = result["method"], [writer["pid"] for writer in result["writers"]]
    assert told == (("link", []) if host.link_again is LOCAL.link_again else ("copy", [pid]))
    assert (tmp_path / "tool").samefile(tmp_path / "twin") is (result["method"] == "link")
    assert (tmp_path / "tool").read_bytes() == CONTENT


def test_time_and_threads(tmp_path: Path, holders: Holders) -> None:
    """What was asked for and not done is told."""
    lose(holders, tmp_path / "tool")
    with sftp_host(lambda: Client(Pipe([b"/usr/lib/openssh/sftp-server"], 10))) as host:
        everything = host.scan(lambda _sighting: False, NORMAL)
        enough = host.scan(lambda _sighting: False, Effort(timeout=60))
        none = host.scan(lambda _sighting: False, Effort(timeout=0))
        with pytest.raises(RescueError, match="threads"):
            host.scan(lambda _sighting: False, Effort(threads=True))
    paths = [os.fsencode(tmp_path / "tool")]
    assert [[one.path for one in seen.sightings if one.path in paths] for seen in (everything, enough)] == [paths] * 2
    assert everything.unvisited == enough.unvisited == 0
    assert (none.sightings, none.processes, none.is_complete) == ([], 0, False)
    assert none.unvisited > 0


@pytest.mark.parametrize("call", ["openat", "read"])
def test_a_process_about_which_the_host_never_answers(tmp_path: Path, holders: Holders, call: str) -> None:
    """It is named, and what others hold is seen and comes back."""
    for name in "silent", "tool":
        (tmp_path / name).write_bytes(CONTENT)
    silent, staying = holders.open(tmp_path / "silent").pid, holders.open(tmp_path / "tool").pid
    for name in "silent", "tool":
        (tmp_path / name).unlink()
    hangs = f"strace -qq -o /dev/null -P /proc/{silent}/maps -e inject={call}:delay_enter=600s"
    command = [*map(os.fsencode, hangs.split()), b"/usr/lib/openssh/sftp-server"]
    with sftp_host(lambda: Client(Pipe(command, 1))) as host:
        found = host.scan(lambda _sighting: False, NORMAL)
        assert found.silent == [silent]
        assert found.unreadable >= 1
        pids = {one.process.pid for one in found.sightings}
        assert staying in pids and silent not in pids
        requests = [{"path": str(tmp_path / name)} for name in ("tool", "silent")]
        back, failed = restore(requests, Terms(), lambda _line: None, host)
    assert (back["status"], failed["status"]) == ("restored", "failed")
    assert f"The kernel gave no answer about these of them: {silent}." in failed["msg"]


@pytest.mark.parametrize("is_last", [False, True])
def test_a_session_that_ends_while_a_file_is_copied(tmp_path: Path, holders: Holders, is_last: bool) -> None:
    """The others come back in another one; where none can be had that is said of each."""
    for name in "first", "second":
        lose(holders, tmp_path / name)
    clients: list[Client] = []

    def connect() -> Client:
        if clients and is_last:
            raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        clients.append(Client(Pipe([b"/usr/lib/openssh/sftp-server"], 10)))
        return clients[-1]

    with sftp_host(connect) as host:

        def copy(source: int, target: int) -> None:
            if len(clients) == 1:
                clients[0].close()
            host.copy_content(source, target)

        requests = [{"path": str(tmp_path / name)} for name in ("first", "second")]
        first, second = restore(requests, Terms(), lambda _line: None, host._replace(copy_content=copy))
    assert first["status"] == "failed"
    if is_last:
        assert second["msg"].startswith(f"{tmp_path}/second was not tried: the SFTP session ended, and no other could")
    else:
        assert (second["status"], (tmp_path / "second").read_bytes()) == ("restored", CONTENT)


def test_one_file_of_which_subvolumes_have_two() -> None:
    root, home = Mount(27, "0:24", b"/@", b"/", "btrfs"), Mount(28, "0:24", b"/@home", b"/home", "btrfs")
    one = a_sighting(path=b"/srv/a", mount=root)
    assert _is_of_one_file(one, a_sighting(path=b"/srv/b", mount=root))
    assert not _is_of_one_file(one, a_sighting(path=b"/home/b", mount=home))
    assert _is_of_one_file(one, a_sighting(path=b"/srv/a", mount=home))
    assert not _is_of_one_file(one, a_sighting(path=b"/srv/b", mount=None))
    assert not _is_of_one_file(one, one._replace(file=one.file._replace(inode=one.file.inode + 1)))
