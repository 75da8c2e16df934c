# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make soak` takes for a wrong state, and what for a right one."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from soak.lost import TOP, Lost
from soak.proof import wrong

HIDDEN = "folder/.procfs-rescue.{:016x}"


class Here:
    """As much of a host as the loss needs; its processes hold nothing."""

    def __init__(self, top: Path) -> None:
        self._top = top

    def root(self) -> Path:
        return self._top

    def spawn(self, _command: Any, **streams: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen(["sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, **streams)


@pytest.fixture
def lose(tmp_path: Path) -> Iterator[Callable[[str], Lost]]:
    (tmp_path / TOP).mkdir(parents=True)
    there: list[Lost] = []

    def one(kind: str) -> Lost:
        host: Any = Here(tmp_path)
        there.append(Lost(host, len(there), kind, random.Random(1)))
        return there[-1]

    yield one
    for this in there:
        for holder in this.holders:
            assert holder.stdin is not None
            holder.stdin.close()
        this.end()


def put_back(this: Lost) -> Path:
    """What a rescue does."""
    (file,) = this.files
    path, source = this.path(file.name), f"/proc/{os.getpid()}/fd/{file.source}"
    subprocess.run(["cp", "--sparse=always", source, path], check=True)
    shutil.copystat(source, path)
    os.chown(path, file.original.uid, file.original.gid)
    path.chmod(file.original.mode)
    return path


def test_what_is_right(lose: Callable[[str], Lost]) -> None:
    for kind in "regular", "sparse", "replaced":
        this = lose(kind)
        assert wrong(this, in_the_end=False) == []
        (told,) = wrong(this, in_the_end=True)
        assert "it was" in told and "should be" in told
        put_back(this)
        assert wrong(this, in_the_end=True) == []


def other_byte(_this: Lost, path: Path) -> None:
    times = path.stat()
    with path.open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def other_mode(_this: Lost, path: Path) -> None:
    path.chmod(path.stat().st_mode ^ 0o002)


def other_owner(_this: Lost, path: Path) -> None:
    os.chown(path, 7, -1)


def other_time(_this: Lost, path: Path) -> None:
    os.utime(path, ns=(1, 1))


def removed(_this: Lost, path: Path) -> None:
    path.unlink()


def without_holes(_this: Lost, path: Path) -> None:
    times = path.stat()
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def changed_source(this: Lost, _path: Path) -> None:
    with open(f"/proc/self/fd/{this.files[0].source}", "ab") as file:
        file.write(b"x")


def changed_neighbour(this: Lost, _path: Path) -> None:
    (this.folder / "neighbour").write_bytes(b"NOT to be touched")


def exchanged_neighbour(this: Lost, _path: Path) -> None:
    neighbour, new = this.folder / "neighbour", this.folder / "new"
    shutil.copyfile(neighbour, new)
    shutil.copystat(neighbour, new)
    new.rename(neighbour)


def foreign_file(this: Lost, _path: Path) -> None:
    (this.folder / "left").touch()


def hidden_folder(this: Lost, _path: Path) -> None:
    (this.top / HIDDEN.format(1)).mkdir()


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("regular", other_byte, "should be"),
        ("regular", other_mode, "should be"),
        ("regular", other_owner, "should be"),
        ("regular", other_time, "should be"),
        ("regular", removed, "should be"),
        ("sparse", without_holes, "lost its holes"),
        ("regular", changed_source, "the source of"),
        ("regular", changed_neighbour, "'folder/neighbour' changed"),
        ("regular", exchanged_neighbour, "'folder/neighbour' changed"),
        ("regular", foreign_file, "foreign: 'folder/left'"),
        ("regular", hidden_folder, "foreign: 'folder/.procfs-rescue.0000000000000001'"),
    ],
)
def test_what_is_wrong(lose: Callable[[str], Lost], kind: str, change: Callable[[Lost, Path], None], told: str) -> None:
    this = lose(kind)
    change(this, put_back(this))
    (found,) = wrong(this, in_the_end=True)
    assert told in found


def test_what_a_killed_run_may_leave(lose: Callable[[str], Lost]) -> None:
    this = lose("regular")
    (this.top / HIDDEN.format(1)).mkdir()
    (this.top / HIDDEN.format(1) / "draft").write_bytes(b"half")
    assert wrong(this, in_the_end=False, was_killed=True) == []
    (this.top / HIDDEN.format(2)).mkdir()
    (found,) = wrong(this, in_the_end=False, was_killed=True)
    assert found.startswith("debris: ")
    assert len(wrong(this, in_the_end=False)) == 3
    foreign_file(this, this.folder)
    assert "foreign: 'folder/left'" in wrong(this, in_the_end=False, was_killed=True)


def test_the_backup(lose: Callable[[str], Lost]) -> None:
    this = lose("backup")
    path = this.path(this.files[0].name)
    backup = path.with_name(f"{path.name}.1.2026-11-28~")
    path.rename(backup)
    put_back(this)
    assert wrong(this, in_the_end=True) == []
    again = path.with_name(f"{path.name}.2.2026-11-28~")
    shutil.copyfile(backup, again)
    shutil.copystat(backup, again)
    assert wrong(this, in_the_end=True) == ["2 backups"]
    again.unlink()
    other_byte(this, backup)
    assert wrong(this, in_the_end=True) == ["the backup is not what was replaced"]
    backup.unlink()
    assert wrong(this, in_the_end=True) == ["0 backups"]
    assert wrong(this, in_the_end=True, was_killed=True) == []  # it may wait in the hidden folder
