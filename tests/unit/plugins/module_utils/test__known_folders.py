# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _known_folders
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._folder import open_folder
from ansible_collections.procfs.rescue.plugins.module_utils._known_folders import KnownFolders
from ansible_collections.procfs.rescue.plugins.module_utils._model import Folder, Mount
from ansible_collections.procfs.rescue.plugins.module_utils._mounts import own_mounts
from unit.plugins.holders import NOBODY


@pytest.fixture
def walked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The paths that were walked."""
    paths: list[bytes] = []

    def walk(path: bytes, mounts: dict[int, Mount]) -> Folder:
        paths.append(path)
        return open_folder(path, mounts)

    monkeypatch.setattr(_known_folders, "open_folder", walk)
    return paths


@pytest.fixture
def known() -> Iterator[KnownFolders]:
    before = os.listdir("/proc/self/fd")
    folders = KnownFolders()
    yield folders
    folders.close()
    assert os.listdir("/proc/self/fd") == before


def reached(known: KnownFolders, path: Path) -> int:
    """The inode of the folder."""
    folder = known.open_folder(os.fsencode(path), {})
    as_walked = open_folder(os.fsencode(path), {})
    os.close(as_walked.fd)
    assert folder == as_walked._replace(fd=folder.fd)
    try:
        return os.fstat(folder.fd).st_ino
    finally:
        os.close(folder.fd)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir(0o755)
    return tmp_path / "folder"


def test_it_is_walked_to_once(known: KnownFolders, walked: list[bytes], place: Path) -> None:
    assert [reached(known, place) for _time in range(3)] == [place.stat().st_ino] * 3
    assert walked == [os.fsencode(place)]


def test_so_are_the_folders_of_files(known: KnownFolders, walked: list[bytes], place: Path) -> None:
    (place / "link").symlink_to("b")
    for name in b"a", b"b", b"link":
        target = known.open_target(os.path.join(os.fsencode(place), name), {})
        assert target.path == os.path.join(os.fsencode(place), b"b" if name == b"link" else name)
        os.close(target.folder.fd)
    assert walked == [os.fsencode(place)]


def test_each_is_read_for_itself(known: KnownFolders, place: Path) -> None:
    for name in "abc":
        (place / name).touch()
    first, second = (known.open_folder(os.fsencode(place), {}) for _time in range(2))
    assert sorted(os.listdir(first.fd)) == sorted(os.listdir(second.fd)) == ["a", "b", "c"]
    os.lseek(first.fd, 1, os.SEEK_SET)
    assert os.lseek(second.fd, 0, os.SEEK_CUR) != 1
    os.close(first.fd)
    os.close(second.fd)


def test_another_one_in_its_place(known: KnownFolders, walked: list[bytes], place: Path) -> None:
    old = reached(known, place)
    place.rename(place.with_name("old"))
    with pytest.raises(RescueError) as caught:
        reached(known, place)
    assert caught.value.reasons == ["folder_gone"]
    place.mkdir()
    assert reached(known, place) == place.stat().st_ino != old
    assert reached(known, place) == place.stat().st_ino
    assert walked == [os.fsencode(place)] * 3


def test_its_place_is_told_by_the_mounts_that_are_given(known: KnownFolders, place: Path) -> None:
    for mounts in {}, own_mounts(), {}, own_mounts():
        folder = known.open_folder(os.fsencode(place), mounts)
        os.close(folder.fd)
        assert (folder.place is not None) == bool(mounts)


def test_where_others_could_exchange_it_it_is_walked_to_each_time(
    known: KnownFolders, walked: list[bytes], place: Path
) -> None:
    os.chown(place, NOBODY, NOBODY)
    reached(known, place)
    reached(known, place)
    assert walked == [os.fsencode(place)] * 2


def test_not_all_stay_open(known: KnownFolders, walked: list[bytes], place: Path) -> None:
    paths = [place / str(number) for number in range(20)]
    for path in paths:
        path.mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for path in paths:
        reached(known, path)
        reached(known, path)
    assert len(os.listdir("/proc/self/fd")) == before + 8 and len(walked) == 20
