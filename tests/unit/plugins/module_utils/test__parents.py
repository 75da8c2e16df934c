# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._model import Made, Missing
from ansible_collections.procfs.rescue.plugins.module_utils._new_folder import folder_mode
from ansible_collections.procfs.rescue.plugins.module_utils._parents import make_folders, unmake_folders
from unit.plugins.holders import NOBODY


def test_folders_are_made_as_the_one_around_them(tmp_path: Path, folder: int) -> None:
    os.chown(tmp_path, NOBODY, 12)
    tmp_path.chmod(0o2775)
    last, made = make_folders(folder, [Missing(b"data\n"), Missing(b"\xff")])
    os.close(last)
    assert made == [Made(name, NOBODY, 12, 0o2755) for name in (b"data\n", b"\xff")]
    for path in (tmp_path / "data\n", tmp_path / os.fsdecode(b"data\n/\xff")):
        found = path.stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (NOBODY, 12, 0o2755)
        assert [name for name in os.listdir(path) if name.startswith(".procfs-rescue.")] == []
    assert os.listdir(tmp_path) == ["data\n"]


def test_a_folder_that_is_on_record_is_made_as_recorded(tmp_path: Path, folder: int) -> None:
    last, made = make_folders(folder, [Missing(b"spool", (NOBODY, 12, 0o3770, "rpm")), Missing(b"in")])
    os.close(last)
    assert made == [Made(b"spool", NOBODY, 12, 0o3770, "rpm"), Made(b"in", NOBODY, 12, 0o2750)]
    found = (tmp_path / "spool").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (NOBODY, 12, 0o3770)


def test_the_last_folder_that_was_made_is_open(tmp_path: Path, folder: int) -> None:
    last, _made = make_folders(folder, [Missing(b"a"), Missing(b"b")])
    assert os.path.samestat(os.fstat(last), (tmp_path / "a" / "b").stat())
    os.close(last)
    same, made = make_folders(folder, [])
    assert made == [] and os.path.samestat(os.fstat(same), os.fstat(folder))
    os.close(same)


@pytest.mark.parametrize(
    ("around", "mode"),
    [(0o777, 0o755), (0o2775, 0o2755), (0o1777, 0o755), (0o4711, 0o711), (0o700, 0o700), (0, 0), (0o40755, 0o755)],
)
def test_nobody_else_may_write_in_a_new_folder(around: int, mode: int) -> None:
    assert folder_mode(around) == mode


def test_a_new_folder_is_its_owners_alone_until_it_is_given_away(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.chown(tmp_path, NOBODY, NOBODY)
    seen = []
    real_fchown = os.fchown

    def fchown(fd: int, uid: int, gid: int) -> None:
        seen.append(stat.S_IMODE(os.fstat(fd).st_mode))
        real_fchown(fd, uid, gid)

    monkeypatch.setattr(os, "fchown", fchown)
    os.close(make_folders(folder, [Missing(b"data")])[0])
    assert seen == [0o700]


@pytest.mark.parametrize("call", ["mkdir", "fchown", "fchmod", "fsync"])
def test_a_folder_that_cannot_be_made_leaves_nothing_open_and_nothing_hidden(
    tmp_path: Path, folder: int, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """That nothing is left open each test checks."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="Input/output error"):
        make_folders(folder, [Missing(b"data")])
    monkeypatch.undo()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_came_back_meanwhile_is_not_replaced(tmp_path: Path, folder: int) -> None:
    (tmp_path / "data").mkdir(mode=0o711)
    with pytest.raises(FileExistsError):
        make_folders(folder, [Missing(b"data")])
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o711
    assert os.listdir(tmp_path) == ["data"]


def test_what_was_made_is_taken_away_again_as_far_as_nothing_is_in_it(tmp_path: Path, folder: int) -> None:
    last, made = make_folders(folder, [Missing(b"a"), Missing(b"b"), Missing(b"c")])
    os.close(last)
    file = tmp_path / "a" / "b" / "file"
    file.touch()
    unmake_folders(folder, made)
    assert os.listdir(tmp_path / "a" / "b") == ["file"]
    file.unlink()
    unmake_folders(folder, made[:2])
    assert os.listdir(tmp_path) == []
