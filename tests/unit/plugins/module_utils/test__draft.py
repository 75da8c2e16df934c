# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import signal
import stat
import time
from contextlib import suppress
from pathlib import Path
from threading import Timer

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._draft import (
    ENTRIES,
    Draft,
    draft_in,
    hidden_in,
    staged_in,
    staging_in,
    unstage,
)
from ansible_collections.procfs.rescue.plugins.module_utils._hidden import DRAFT, sweep
from unit.plugins.holders import NOBODY, in_child

NAME = re.compile(rb"\.procfs-rescue\.[0-9a-f]{16}\Z")


def test_a_draft_has_no_name(tmp_path: Path, folder: int) -> None:
    with draft_in(folder) as draft:
        assert draft.hidden is None
        assert os.listdir(tmp_path) == []
        made = os.fstat(draft.fd)
        assert (made.st_mode, made.st_size, made.st_nlink) == (stat.S_IFREG | 0o600, 0, 0)


@pytest.mark.usefixtures("no_tmpfile")
def test_where_it_needs_one_it_is_hidden_and_private(tmp_path: Path, folder: int) -> None:
    with draft_in(folder) as draft:
        assert draft.hidden is not None
        [hidden] = tmp_path.iterdir()
        assert NAME.match(os.fsencode(hidden.name))
        assert hidden.stat().st_mode == stat.S_IFDIR | 0o700
        assert os.path.samestat(hidden.stat(), os.fstat(draft.hidden))
        assert os.listdir(hidden) == [os.fsdecode(DRAFT)]
        assert (hidden / os.fsdecode(DRAFT)).stat().st_mode == stat.S_IFREG | 0o600
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("no_tmpfile")
def test_a_file_system_that_lets_go_of_the_draft_late(tmp_path: Path, folder: int) -> None:
    """As libfuse does, which hears of close(2) when that is over."""
    with draft_in(folder):
        [hidden] = tmp_path.iterdir()
        (hidden / ".fuse_hidden1").touch()
        late = Timer(0.1, (hidden / ".fuse_hidden1").unlink)
        late.start()
    assert os.listdir(tmp_path) == []
    late.join()


@pytest.mark.usefixtures("no_tmpfile")
def test_what_libfuse_keeps_for_ever_is_gone(tmp_path: Path, folder: int) -> None:
    """It heard of close(2) and unlink(2) of the draft at the same moment."""
    with draft_in(folder):
        [hidden] = tmp_path.iterdir()
        (hidden / ".fuse_hidden1").touch()
    assert os.listdir(tmp_path) == []


def test_what_libfuse_kept_of_a_run_that_was_killed_is_swept(tmp_path: Path, folder: int) -> None:
    (debris(tmp_path / hidden_name()) / ".fuse_hidden1").touch()
    assert sweep(folder, ENTRIES) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("owner", "name"), [(NOBODY, ".fuse_hidden1"), (0, "fuse_hidden1")])
def test_what_is_not_ours_or_not_called_so_is_kept(tmp_path: Path, folder: int, owner: int, name: str) -> None:
    left = tmp_path / hidden_name()
    left.mkdir(0o700)
    (left / name).touch()
    os.chown(left, owner, owner)
    assert sweep(folder, ENTRIES) == 0
    assert os.listdir(left) == [name]


@pytest.mark.usefixtures("no_tmpfile")
def test_what_is_put_beside_the_draft_is_not_waited_for_long(tmp_path: Path, folder: int) -> None:
    started = time.monotonic()
    with draft_in(folder):
        [hidden] = tmp_path.iterdir()
        (hidden / "others").touch()
    assert os.listdir(hidden) == ["others"] and time.monotonic() - started < 5
    for _number in range(20):
        left = tmp_path / hidden_name()
        left.mkdir(0o700)
        (left / "others").touch()
    started = time.monotonic()
    assert sweep(folder, ENTRIES) == 0 and time.monotonic() - started < 5  # it waits for none of them


@pytest.mark.usefixtures("no_tmpfile")
def test_an_error_takes_it_away(tmp_path: Path, folder: int) -> None:
    with pytest.raises(KeyError), draft_in(folder):
        raise KeyError
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("no_tmpfile")
def test_once_published_it_is_left_alone(tmp_path: Path, folder: int) -> None:
    with draft_in(folder) as draft:
        os.rename(DRAFT, "published", src_dir_fd=draft.hidden, dst_dir_fd=folder)
    assert os.listdir(tmp_path) == ["published"]


@pytest.mark.usefixtures("no_tmpfile")
def test_a_folder_that_is_gone(folder: int, tmp_path: Path) -> None:
    tmp_path.rmdir()
    with pytest.raises(FileNotFoundError), draft_in(folder):
        pass
    tmp_path.mkdir()


def test_names_differ(tmp_path: Path, folder: int) -> None:
    with hidden_in(folder), hidden_in(folder), hidden_in(folder):
        assert len(os.listdir(tmp_path)) == 3
    assert os.listdir(tmp_path) == []


def assert_only(draft: Draft, path: Path) -> None:
    """The draft with its hidden folder is all that is in ``path``."""
    [hidden] = path.iterdir()
    assert os.path.samestat((hidden / os.fsdecode(DRAFT)).stat(), os.fstat(draft.fd))


def killed_in_the_middle(folder: int) -> None:
    """What kill -9 leaves of a run that copies."""
    child = os.fork()
    if child == 0:
        with draft_in(folder):
            os.kill(os.getpid(), signal.SIGKILL)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def test_a_killed_run_leaves_nothing(tmp_path: Path, folder: int) -> None:
    killed_in_the_middle(folder)
    assert os.listdir(tmp_path) == []


@pytest.mark.usefixtures("no_tmpfile")
def test_the_next_run_sweeps_what_a_killed_one_left(tmp_path: Path, folder: int) -> None:
    killed_in_the_middle(folder)
    assert len(os.listdir(tmp_path)) == 1
    with draft_in(folder) as living:
        assert sweep(folder, ENTRIES) == 1
        assert_only(living, tmp_path)


@pytest.mark.usefixtures("no_tmpfile")
def test_the_draft_of_another_living_run_is_kept(tmp_path: Path, folder: int) -> None:
    with draft_in(folder) as living:
        assert in_child(lambda: sweep(folder, ENTRIES)) == 0
        assert_only(living, tmp_path)


@pytest.mark.usefixtures("no_tmpfile")
def test_a_draft_that_is_swept_before_it_is_locked_is_made_again(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_lock = fcntl.flock

    def sweep_first(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real_lock)
        in_child(lambda: sweep(folder, ENTRIES))
        real_lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", sweep_first)
    with draft_in(folder) as draft:
        assert_only(draft, tmp_path)


@pytest.mark.usefixtures("no_tmpfile")
def test_a_draft_that_is_swept_before_it_is_opened_is_made_again(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_mkdir = os.mkdir

    def mkdir_and_sweep(name: bytes, mode: int, dir_fd: int) -> None:
        monkeypatch.setattr(os, "mkdir", real_mkdir)
        real_mkdir(name, mode, dir_fd=dir_fd)
        assert in_child(lambda: sweep(dir_fd, ENTRIES)) == 1

    monkeypatch.setattr(os, "mkdir", mkdir_and_sweep)
    with draft_in(folder) as draft:
        assert_only(draft, tmp_path)


@pytest.mark.usefixtures("no_tmpfile")
def test_a_file_system_without_locks(tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFS may be: nothing is left behind, neither a descriptor nor a file, even if it should not work."""

    def no_locks(_fd: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with suppress(OSError), draft_in(folder):
        pass
    assert os.listdir(tmp_path) == []


def debris(path: Path) -> Path:
    path.mkdir(mode=0o700)
    (path / os.fsdecode(DRAFT)).write_text("half a file")
    return path


def hidden_name() -> str:
    return f".procfs-rescue.{secrets.token_hex(8)}"


@pytest.mark.parametrize(
    "name",
    ["procfs-rescue.0123456789abcdef", ".procfs-rescue", "x.procfs-rescue.0123456789abcdef"]
    + [".procfs-rescue.conf", ".procfs-rescue.0123456789abcdef.bak", ".procfs-rescue.0123456789abcdef\n"],
)
def test_folders_that_are_called_otherwise_are_kept(tmp_path: Path, folder: int, name: str) -> None:
    debris(tmp_path / name)
    assert sweep(folder, ENTRIES) == 0
    assert os.listdir(tmp_path) == [name]


def test_what_is_no_folder_is_kept(tmp_path: Path, folder: int) -> None:
    kept = debris(tmp_path / "kept")
    names = [hidden_name() for _number in range(3)]
    (tmp_path / names[0]).symlink_to(kept)
    (tmp_path / names[1]).touch()
    os.mkfifo(tmp_path / names[2], 0o600)
    assert sweep(folder, ENTRIES) == 0
    assert sorted(os.listdir(tmp_path)) == sorted([*names, "kept"])


def test_a_full_folder_of_names_that_are_not_text(tmp_path: Path, folder: int) -> None:
    (tmp_path / os.fsdecode(b"\xff\n")).touch()
    debris(tmp_path / hidden_name())
    assert sweep(folder, ENTRIES) == 1
    assert os.listdir(os.fsencode(tmp_path)) == [b"\xff\n"]


def test_what_got_its_owner_and_mode_before_the_run_was_killed_is_debris_too(tmp_path: Path, folder: int) -> None:
    for owner in (0, NOBODY):
        left = debris(tmp_path / hidden_name()) / os.fsdecode(DRAFT)
        os.chown(left, owner, owner)
        left.chmod(0o4755)
    assert sweep(folder, ENTRIES) == 2
    assert os.listdir(tmp_path) == []


def test_an_empty_hidden_folder_is_swept(tmp_path: Path, folder: int) -> None:
    """Left by a run that was killed the moment after it published."""
    (tmp_path / hidden_name()).mkdir(mode=0o700)
    assert sweep(folder, ENTRIES) == 1
    assert os.listdir(tmp_path) == []


def test_what_others_put_into_a_hidden_folder_is_kept(tmp_path: Path, folder: int) -> None:
    others = debris(tmp_path / hidden_name()) / "others"
    others.write_text("precious")
    assert sweep(folder, ENTRIES) == 0
    assert others.read_text() == "precious"


def test_a_backup_among_what_others_put_there(tmp_path: Path, folder: int) -> None:
    hidden = debris(tmp_path / hidden_name())
    saved = "tool.1.2026-11-23@06:30:00~"
    for name in ("others", saved, "yet another"):
        (hidden / name).write_text(name)
    assert sweep(folder, ENTRIES._replace(names=lambda opened: sorted(ENTRIES.names(opened)))) == 0
    assert (tmp_path / saved).read_text() == saved
    assert sorted(os.listdir(hidden)) == ["others", "yet another"]


# A draft that comes in several calls.

TOKEN = b"0123456789abcdef"
STAGED = ".procfs-rescue.0123456789abcdef"


def stage(folder: int, piece: bytes) -> int:
    """How much there is afterwards."""
    with staging_in(folder, TOKEN) as hidden, staged_in(hidden) as draft:
        assert draft.hidden == hidden and not os.get_inheritable(draft.fd)
        os.pwrite(draft.fd, piece, os.fstat(draft.fd).st_size)
        return os.fstat(draft.fd).st_size


def test_a_draft_that_comes_in_pieces(tmp_path: Path, folder: int) -> None:
    assert (stage(folder, b"one"), stage(folder, b" more")) == (3, 8)
    assert os.listdir(tmp_path) == [STAGED]
    staged = tmp_path / STAGED / os.fsdecode(DRAFT)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (staged.parent, staged)] == [0o700, 0o600]
    assert staged.read_bytes() == b"one more"
    unstage(folder, TOKEN)
    assert os.listdir(tmp_path) == []
    unstage(folder, TOKEN)  # a second time


def test_between_its_pieces_it_may_be_swept_and_not_while_one_comes(tmp_path: Path, folder: int) -> None:
    with staging_in(folder, TOKEN):
        assert in_child(lambda: sweep(folder, ENTRIES)) == 0
    assert sweep(folder, ENTRIES) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("owner", "mode"), [(NOBODY, 0o700), (0, 0o750), (0, 0o701), (0, 0o707)])
def test_a_hidden_folder_that_others_made_or_can_enter(tmp_path: Path, folder: int, owner: int, mode: int) -> None:
    (tmp_path / STAGED).mkdir()
    (tmp_path / STAGED).chmod(mode)
    os.chown(tmp_path / STAGED, owner, owner)
    with pytest.raises(PermissionError):
        stage(folder, b"secret")
    assert list((tmp_path / STAGED).iterdir()) == []


def test_a_draft_that_others_put_there(tmp_path: Path, folder: int) -> None:
    (tmp_path / "other").write_text("other")
    (tmp_path / STAGED).mkdir(mode=0o700)
    (tmp_path / STAGED / os.fsdecode(DRAFT)).symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        stage(folder, b"mine")
    assert (tmp_path / "other").read_text() == "other"


@pytest.mark.usefixtures("no_tmpfile")
def test_a_hidden_folder_is_exchanged_before_it_is_locked(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run took it for debris, and its name is a symlink to it: one more is made."""
    real_lock = fcntl.flock

    def exchange_first(fd: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", real_lock)
        [hidden] = tmp_path.iterdir()
        hidden.rename(tmp_path / "moved")
        hidden.symlink_to("moved")
        real_lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", exchange_first)
    with draft_in(folder) as draft:
        assert draft.hidden is not None
        assert not os.path.samestat(os.fstat(draft.hidden), (tmp_path / "moved").stat())
