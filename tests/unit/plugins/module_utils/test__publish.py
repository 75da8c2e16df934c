# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _hidden
from ansible_collections.procfs.rescue.plugins.module_utils._draft import ENTRIES, Draft, draft_in
from ansible_collections.procfs.rescue.plugins.module_utils._hidden import DRAFT, sweep
from ansible_collections.procfs.rescue.plugins.module_utils._publish import (
    Linked,
    NotSavedError,
    NotSyncedError,
    is_named,
    link_again,
    publish,
    replace,
)
from unit.plugins.holders import NOBODY

SYSTEMS = ["nameless", "hidden"]


@pytest.fixture(params=SYSTEMS)
def draft(request: pytest.FixtureRequest, folder: int) -> Iterator[Draft]:
    """A complete draft, on a file system with O_TMPFILE and on one without."""
    if request.param == "hidden":
        request.getfixturevalue("no_tmpfile")
    with draft_in(folder) as draft:
        os.write(draft.fd, b"restored")
        os.fchmod(draft.fd, 0o644)
        yield draft


def names(path: Path) -> list[str]:
    """What is in the folder besides the draft itself."""
    return sorted(name for name in os.listdir(path) if not name.startswith(".procfs-rescue."))


def hidden_names(path: Path, draft: Draft) -> list[str]:
    hidden = [found for found in path.iterdir() if found.name.startswith(".procfs-rescue.")]
    return [
        found.name for found in hidden if draft.hidden is None or found.stat().st_ino != os.fstat(draft.hidden).st_ino
    ]


def test_publish(tmp_path: Path, folder: int, draft: Draft) -> None:
    publish(draft, folder, b"tool\n\xff")
    published = tmp_path / os.fsdecode(b"tool\n\xff")
    assert published.read_bytes() == b"restored"
    assert os.path.samestat(published.stat(), os.fstat(draft.fd))
    assert hidden_names(tmp_path, draft) == []


@pytest.mark.parametrize(("is_synced", "synced"), [(False, ["draft", "folder"]), (True, ["folder"])])
def test_what_is_synced_already_is_not_synced_again(
    folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch, is_synced: bool, synced: list[str]
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("draft" if fd == draft.fd else str(fd)))
    publish(draft, folder, b"tool", lambda fd: calls.append("folder" if fd == folder else str(fd)), is_synced)
    assert calls == synced


@pytest.mark.parametrize("kind", ["file", "folder", "symlink", "fifo"])
def test_whatever_has_the_name_is_left_alone(tmp_path: Path, folder: int, draft: Draft, kind: str) -> None:
    tool = tmp_path / "tool"
    make: dict[str, Callable[[], object]] = {
        "file": lambda: tool.write_text("newer"),
        "folder": tool.mkdir,
        "symlink": lambda: tool.symlink_to("nowhere"),
        "fifo": lambda: os.mkfifo(tool),
    }
    make[kind]()
    before = tool.lstat()
    with pytest.raises(FileExistsError):
        publish(draft, folder, b"tool")
    assert os.path.samestat(before, tool.lstat())
    assert hidden_names(tmp_path, draft) == []
    if kind == "file":
        assert tool.read_text() == "newer"


def test_publish_into_a_folder_that_is_gone(tmp_path: Path, folder: int, draft: Draft) -> None:
    shutil.rmtree(tmp_path)
    with pytest.raises(FileNotFoundError):
        publish(draft, folder, b"tool")
    tmp_path.mkdir()


def without_links(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def link(*_arguments: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("no_tmpfile")
@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK])
def test_a_file_system_without_hard_links(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with draft_in(folder) as draft:
        os.write(draft.fd, b"restored")
        without_links(monkeypatch, code)
        publish(draft, folder, b"tool")
    assert os.listdir(tmp_path) == ["tool"]
    assert (tmp_path / "tool").read_text() == "restored"


@pytest.mark.usefixtures("no_tmpfile")
def test_a_file_system_without_hard_links_where_the_name_is_taken(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tool").write_text("newer")
    without_links(monkeypatch, errno.EPERM)
    with pytest.raises(FileExistsError), draft_in(folder) as draft:
        publish(draft, folder, b"tool")
    assert os.listdir(tmp_path) == ["tool"]
    assert (tmp_path / "tool").read_text() == "newer"


@pytest.mark.usefixtures("no_tmpfile")
def test_a_libc_without_renameat2(tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """glibc has it from 2.28 (Ubuntu 18.04: 2.27): it must not end in an AttributeError."""
    import ctypes

    monkeypatch.setattr(ctypes, "CDLL", lambda *_arguments, **_options: object())
    without_links(monkeypatch, errno.EPERM)
    with suppress(OSError), draft_in(folder) as draft:
        publish(draft, folder, b"tool")


@pytest.mark.usefixtures("no_tmpfile")
@pytest.mark.parametrize("links", [True, False])
def test_a_hidden_folder_that_the_owner_of_the_folder_exchanges_has_no_say(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """Nothing is found by its name: whoever may write to the folder cannot put anything in the draft's place."""
    if not links:
        without_links(monkeypatch, errno.EPERM)
    with draft_in(folder) as draft:
        os.write(draft.fd, b"restored")
        [hidden] = tmp_path.iterdir()
        hidden.rename(tmp_path / "taken")
        hidden.mkdir()
        (hidden / os.fsdecode(DRAFT)).write_text("evil")
        publish(draft, folder, b"tool")
    assert (tmp_path / "tool").read_text() == "restored"


@pytest.mark.usefixtures("no_tmpfile")
def test_nor_when_it_replaces(tmp_path: Path, folder: int) -> None:
    (tmp_path / "tool").write_text("older")
    with draft_in(folder) as draft:
        os.write(draft.fd, b"restored")
        [hidden] = [found for found in tmp_path.iterdir() if found.is_dir()]
        hidden.rename(tmp_path / "taken")
        (tmp_path / hidden.name).symlink_to("taken")
        replace(draft, folder, b"tool", backup=False)
    assert (tmp_path / "tool").read_text() == "restored"


def test_replace(tmp_path: Path, folder: int, draft: Draft) -> None:
    (tmp_path / "tool").write_text("older")
    assert replace(draft, folder, b"tool", backup=False) is None
    assert (tmp_path / "tool").read_text() == "restored"
    assert names(tmp_path) == ["tool"]


def test_replace_a_name_that_is_free_by_then(tmp_path: Path, folder: int, draft: Draft) -> None:
    assert replace(draft, folder, b"tool", backup=True) is None
    assert names(tmp_path) == ["tool"]


def test_replace_with_a_backup(tmp_path: Path, folder: int, draft: Draft) -> None:
    (tmp_path / "tool").write_text("older")
    (tmp_path / "tool").chmod(0o640)
    before = (tmp_path / "tool").stat()
    saved = replace(draft, folder, b"tool", backup=True)
    assert saved is not None
    assert names(tmp_path) == ["tool", saved.decode()]
    backup = tmp_path / saved.decode()
    assert (backup.stat().st_ino, stat.S_IMODE(backup.stat().st_mode)) == (before.st_ino, 0o640)
    assert backup.read_text() == "older"
    assert saved.startswith(b"tool.%d.2" % os.getpid())
    assert saved.endswith(b"~")


def test_a_link_that_replaces_leaves_a_backup_too(tmp_path: Path, folder: int, linked: int) -> None:
    (tmp_path / "tool").write_text("newer")
    done = link_again(linked, folder, b"tool", replacing=True, backup=True)
    assert done is not None and done.backup is not None
    assert (tmp_path / os.fsdecode(done.backup)).read_text() == "newer"
    assert sorted(os.listdir(tmp_path)) == ["other", "tool", os.fsdecode(done.backup)]


@pytest.mark.parametrize("moment", range(1, 7))
def test_a_backup_is_complete_after_the_next_run_or_was_not_needed(tmp_path: Path, folder: int, moment: int) -> None:
    """Whenever the run is killed: what was replaced is not lost, and what was not has no second name."""
    (tmp_path / "tool").write_text("older")
    child = os.fork()
    if child == 0:
        left = iter(range(moment, 0, -1))

        def counted(real: Callable[..., None], *arguments: object, **options: object) -> None:
            if next(left) == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            real(*arguments, **options)

        for call in "mkdir", "link", "rename", "unlink", "rmdir":
            setattr(os, call, partial(counted, getattr(os, call)))
        with draft_in(folder) as draft:
            os.write(draft.fd, b"restored")
            replace(draft, folder, b"tool", backup=True)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    sweep(folder, ENTRIES)
    replaced = (tmp_path / "tool").read_text() == "restored"
    backups = [path.read_text() for path in tmp_path.iterdir() if path.name != "tool"]
    assert backups == (["older"] if replaced else [])
    assert (tmp_path / "tool").stat().st_nlink == 1


def test_a_backup_that_cannot_get_its_name_is_not_lost(
    tmp_path: Path, folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tool").write_text("older")
    real_link = os.link

    def full(source: object, target: object, **options: Any) -> None:
        if source == target:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real_link(source, target, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(NotSavedError):
        replace(draft, folder, b"tool", backup=True)
    monkeypatch.undo()
    assert (tmp_path / "tool").read_text() == "restored"
    if draft.hidden is not None:
        fcntl.flock(draft.hidden, fcntl.LOCK_UN)
    sweep(folder, ENTRIES)
    [backup] = [path for path in tmp_path.iterdir() if path.name.startswith("tool.")]
    assert backup.read_text() == "older"


def test_a_backup_in_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path, folder: int) -> None:
    """Whoever owns the folder could have put anything there."""
    hidden = tmp_path / ".procfs-rescue.0123456789abcdef"
    hidden.mkdir(mode=0o700)
    (hidden / "passwd.1.2026-11-23@06:30:00~").write_text("evil")
    os.chown(hidden, NOBODY, NOBODY)
    sweep(folder, ENTRIES)
    assert os.listdir(tmp_path) == [hidden.name]


def test_replace_a_symlink_and_not_what_it_leads_to(tmp_path: Path, folder: int, draft: Draft) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / "tool").symlink_to("other")
    saved = replace(draft, folder, b"tool", backup=True)
    assert (tmp_path / "other").read_text() == "other"
    assert (tmp_path / "tool").read_text() == "restored"
    assert os.readlink(tmp_path / os.fsdecode(saved or b"")) == "other"


def test_a_folder_is_not_replaced(tmp_path: Path, folder: int, draft: Draft) -> None:
    (tmp_path / "tool").mkdir()
    with pytest.raises(IsADirectoryError):
        replace(draft, folder, b"tool", backup=False)
    assert names(tmp_path) == ["tool"]
    assert hidden_names(tmp_path, draft) == []


def test_a_backup_that_cannot_be_made_stops_it_and_leaves_nothing(tmp_path: Path, folder: int, draft: Draft) -> None:
    name = "x" * 240  # the backup's would be too long
    (tmp_path / name).write_text("older")
    with pytest.raises(OSError, match="File name too long"):
        replace(draft, folder, name.encode(), backup=True)
    assert (tmp_path / name).read_text() == "older"
    assert names(tmp_path) == [name]
    assert hidden_names(tmp_path, draft) == []


def test_two_backups_in_one_second(tmp_path: Path, folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hidden.time, "strftime", lambda *_arguments: "2026-11-23@06:30:00")
    (tmp_path / "tool").write_text("oldest")
    with draft_in(folder) as first:
        os.write(first.fd, b"older")
        replace(first, folder, b"tool", backup=True)
    saved = replace(draft, folder, b"tool", backup=True)
    assert (tmp_path / os.fsdecode(saved or b"")).read_text() == "older"
    assert (tmp_path / "tool").read_text() == "restored"
    assert len(names(tmp_path)) == 3
    assert hidden_names(tmp_path, draft) == []


def assert_private(path: Path) -> None:
    """What a killed run left is one folder at most, and nobody but its owner gets at what is in it."""
    left = [found for found in path.iterdir() if found.name.startswith(".procfs-rescue.")]
    assert len(left) <= 1
    assert [stat.S_IMODE(found.lstat().st_mode) for found in left] == [0o700] * len(left)


@pytest.mark.parametrize(
    ("system", "call"),
    [("nameless", call) for call in ("mkdir", "link", "rename", "rmdir")]
    + [("hidden", call) for call in ("rename", "unlink", "rmdir")],
)
def test_a_run_that_is_killed_while_it_replaces_leaves_nothing_for_long(
    tmp_path: Path, folder: int, request: pytest.FixtureRequest, system: str, call: str
) -> None:
    """Whenever it is killed: the file has its last owner and mode by then."""
    if system == "hidden":
        request.getfixturevalue("no_tmpfile")
    (tmp_path / "tool").write_text("older")
    child = os.fork()
    if child == 0:
        with draft_in(folder) as draft:
            os.fchown(draft.fd, NOBODY, NOBODY)
            os.fchmod(draft.fd, 0o4755)
            setattr(os, call, lambda *_arguments, **_options: os.kill(os.getpid(), signal.SIGKILL))
            replace(draft, folder, b"tool", backup=False)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert_private(tmp_path)
    assert (tmp_path / "tool").stat().st_nlink == 1
    sweep(folder, ENTRIES)
    assert os.listdir(tmp_path) == ["tool"]


def test_a_file_that_is_being_replaced_is_not_swept_by_another_run(
    tmp_path: Path, folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_rename = os.rename

    def sweep_first(*arguments: str, **options: int) -> None:
        child = os.fork()
        if child == 0:
            sweep(folder, ENTRIES)
            os._exit(0)
        os.waitpid(child, 0)
        real_rename(*arguments, **options)

    monkeypatch.setattr(os, "rename", sweep_first)
    (tmp_path / "tool").write_text("older")
    replace(draft, folder, b"tool", backup=False)
    assert (tmp_path / "tool").read_text() == "restored"


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[int]:
    """A descriptor of a file with another link left."""
    (tmp_path / "other").write_text("original")
    fd = os.open(tmp_path / "other", os.O_RDONLY)
    yield fd
    os.close(fd)


def test_link_again(tmp_path: Path, folder: int, linked: int) -> None:
    assert link_again(linked, folder, b"tool", replacing=False, backup=False) == Linked()
    assert (tmp_path / "tool").stat().st_nlink == 2
    assert is_named(linked, folder, b"tool")


def test_link_again_does_not_replace(tmp_path: Path, folder: int, linked: int) -> None:
    (tmp_path / "tool").write_text("newer")
    with pytest.raises(FileExistsError):
        link_again(linked, folder, b"tool", replacing=False, backup=True)
    assert (tmp_path / "tool").read_text() == "newer"
    assert sorted(os.listdir(tmp_path)) == ["other", "tool"]


def test_link_again_replaces_when_asked_to(tmp_path: Path, folder: int, linked: int) -> None:
    (tmp_path / "tool").write_text("newer")
    assert link_again(linked, folder, b"tool", replacing=True, backup=False) == Linked()
    assert is_named(linked, folder, b"tool")
    assert sorted(os.listdir(tmp_path)) == ["other", "tool"]


def test_link_again_where_it_has_the_name_already(tmp_path: Path, folder: int, linked: int) -> None:
    """rename(2) of two links to one file does nothing, and leaves both."""
    link_again(linked, folder, b"other", replacing=True, backup=True)
    assert os.listdir(tmp_path) == ["other"]


@pytest.mark.parametrize("replacing", [False, True])
def test_an_inode_without_a_link_cannot_be_linked(tmp_path: Path, folder: int, linked: int, replacing: bool) -> None:
    (tmp_path / "other").unlink()
    assert link_again(linked, folder, b"tool", replacing, backup=True) is None
    assert os.listdir(tmp_path) == []


def test_a_file_of_another_file_system_cannot_be_linked(
    tmp_path: Path, folder: int, mounted: Callable[..., Path]
) -> None:
    other = mounted("-t", "tmpfs", "none") / "other"
    other.touch()
    fd = os.open(other, os.O_RDONLY)
    assert link_again(fd, folder, b"tool", replacing=False, backup=False) is None
    os.close(fd)
    assert not (tmp_path / "tool").exists()


def test_is_named(tmp_path: Path, folder: int, linked: int) -> None:
    (tmp_path / "copy").write_text("original")
    (tmp_path / "symlink").symlink_to("other")
    found = {name: is_named(linked, folder, name) for name in (b"other", b"copy", b"symlink", b"nothing")}
    assert found == {b"other": True, b"copy": False, b"symlink": False, b"nothing": False}


def test_content_and_name_are_on_disk_before_it_says_so(
    folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    monkeypatch.setattr(os, "fsync", written.append)
    publish(draft, folder, b"tool")
    assert written == [draft.fd, folder]


def not_synced(monkeypatch: pytest.MonkeyPatch, folder: int, code: int) -> None:
    real_fsync = os.fsync

    def fsync(fd: int) -> None:
        if fd == folder:
            raise OSError(code, os.strerror(code))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", fsync)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_name_that_may_not_last_is_told(
    tmp_path: Path, folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    not_synced(monkeypatch, folder, code)
    with pytest.raises(NotSyncedError) as told:
        publish(draft, folder, b"tool")
    assert told.value.errno == code
    assert (tmp_path / "tool").read_text() == "restored"


def test_a_file_system_that_syncs_no_folders(
    tmp_path: Path, folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_synced(monkeypatch, folder, errno.EINVAL)
    publish(draft, folder, b"tool")
    assert (tmp_path / "tool").read_text() == "restored"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_where_links_are_possible_it_is_not_renamed_instead(
    tmp_path: Path, folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    without_links(monkeypatch, code)
    with pytest.raises(OSError, match=os.strerror(code)):
        publish(draft, folder, b"tool")
    assert not (tmp_path / "tool").exists()


def test_a_draft_without_a_name_cannot_be_renamed(tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with draft_in(folder) as draft:
        without_links(monkeypatch, errno.EPERM)
        with pytest.raises(PermissionError):
            publish(draft, folder, b"tool")
    assert os.listdir(tmp_path) == []


def test_linking_again_what_is_there_already_does_not_say_that_it_was_done(folder: int, linked: int) -> None:
    with pytest.raises(FileExistsError):
        link_again(linked, folder, b"other", replacing=False, backup=False)


def test_a_backups_name_that_a_symlink_to_nowhere_has_is_taken(
    tmp_path: Path, folder: int, draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_hidden.time, "strftime", lambda *_arguments: "now")
    taken = "tool.%d.now~" % os.getpid()
    (tmp_path / taken).symlink_to("nowhere")
    (tmp_path / "tool").write_text("older")
    saved = replace(draft, folder, b"tool", backup=True)
    assert saved == b"tool.%d.now-1~" % os.getpid()
    assert (tmp_path / taken).is_symlink()
