# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _unsynced
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import Terms
from ansible_collections.procfs.rescue.plugins.module_utils._publish import NotSyncedError
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.module_utils._unsynced import Unsynced
from unit.plugins.holders import Holders, in_child

MIB = 2**20


@pytest.fixture
def folders(tmp_path: Path) -> Iterator[list[int]]:
    made = []
    for name in "one", "other":
        (tmp_path / name).mkdir()
        made.append(os.open(tmp_path / name, os.O_RDONLY))
    yield made
    for fd in made:
        os.close(fd)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was synced, by path; of the folder "other" it fails."""
    paths: list[str] = []

    def fsync(fd: int) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{fd}"))
        if paths[-1].endswith("/other"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def opened() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_each_folder_is_synced_once_and_closed(folders: list[int], synced: list[str]) -> None:
    before = opened()
    unsynced, told = Unsynced(), []
    for number in range(6):
        unsynced.add(folders[number % 2], lambda error, number=number: told.append((number, error.errno)))
    assert synced == []
    unsynced.sync()
    assert sorted(path.rpartition("/")[2] for path in synced) == ["one", "other"]
    assert told == [(number, errno.EIO) for number in (1, 3, 5)]
    assert opened() == before
    unsynced.sync()
    assert len(synced) == 2


def test_it_does_not_need_the_caller_to_keep_the_folder_open(tmp_path: Path, synced: list[str]) -> None:
    unsynced = Unsynced()
    folder = os.open(tmp_path, os.O_RDONLY)
    unsynced.add(folder, lambda _error: None)
    os.close(folder)
    unsynced.sync()
    assert synced == [str(tmp_path)]


def test_many_folders_are_not_all_kept(tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_unsynced, "_MOST", 2)
    unsynced = Unsynced()
    for name in "abcd":
        (tmp_path / name).mkdir()
        folder = os.open(tmp_path / name, os.O_RDONLY)
        unsynced.add(folder, lambda _error: None)
        os.close(folder)
    assert len(synced) == 2
    unsynced.sync()
    assert len(synced) == 4


def test_what_cannot_be_kept_is_synced_at_once(
    folders: list[int], synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(os, "dup", fail)
    unsynced = Unsynced()
    unsynced.add(folders[0], lambda _error: None)
    assert len(synced) == 1
    with pytest.raises(NotSyncedError):
        unsynced.add(folders[1], lambda _error: None)


# What a rescue of several files does with it.

Lose = Callable[[str, int], Path]


@pytest.fixture
def lose(tmp_path: Path, holders: Holders) -> Lose:
    def lose_it(name: str, size: int) -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x" * size)
        holders.open(path)
        path.unlink()
        return path

    return lose_it


def brought_back(paths: list[Path], synced: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    def work() -> tuple[list[tuple[str, str]], list[str]]:
        host = LOCAL._replace(sync_draft=os.fsync)
        results = restore([{"path": str(path)} for path in paths], Terms(), lambda _line: None, host)
        return [(result["status"], result["msg"]) for result in results], synced

    return in_child(work)


def test_many_names_of_one_folder_are_made_to_last_at_once(tmp_path: Path, lose: Lose, synced: list[str]) -> None:
    paths = [lose(f"one/{number}", 10) for number in range(5)]
    results, calls = brought_back(paths, synced)
    assert [status for status, _msg in results] == ["restored"] * 5
    assert [path.read_bytes() for path in paths] == [b"x" * 10] * 5
    assert len(calls) == 6  # each file, before it gets its name, and the folder
    assert calls[-1] == str(tmp_path / "one")


def test_nothing_is_said_to_be_restored_whose_name_may_be_lost(lose: Lose, synced: list[str]) -> None:
    paths = [lose(f"{folder}/{number}", 10) for number in range(2) for folder in ("one", "other")]
    results, _calls = brought_back(paths, synced)
    assert [status for status, _msg in results] == ["restored", "failed"] * 2
    for path, (_status, msg) in zip(paths[1::2], results[1::2]):
        assert msg.startswith(f"{path} is there again and complete, but its folder could not be written to the disk: ")


def test_no_name_waits_for_a_large_file(tmp_path: Path, lose: Lose, synced: list[str]) -> None:
    _results, calls = brought_back([lose("one/small", 10), lose("one/large", 2 * MIB)], synced)
    folder = str(tmp_path / "one")
    assert [path == folder for path in calls] == [False, True, False, True]


def test_one_that_is_not_told_of_yet_is_not_made_to_last_with_others(
    tmp_path: Path, lose: Lose, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its result is not there yet, and could not say that it failed."""
    monkeypatch.setattr(_unsynced, "_MOST", 1)
    paths = [lose("one/a", 10), lose("other/b", 10), lose("three/c", 10)]
    results, _calls = brought_back(paths, synced)
    assert [status for status, _msg in results] == ["restored", "failed", "restored"]
    assert "its folder could not be written to the disk" in results[1][1]
