# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Transfers that are killed and go on: what arrived is kept under a hidden name and used, or thrown away."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._stream import send
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import BusyError, DifferentError, LocalFile
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import Receiver

SIZE = 48 * 2**20


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "source"
    with path.open("wb") as file:
        for number in range(16):
            file.seek(number * 3 * 2**20 + number)
            file.write(os.urandom(2 * 2**20))
        file.truncate(SIZE)
    return path


def transfer(source: Path, local: LocalFile) -> int:
    """How much of an earlier one was used."""
    with local.written(resume=True) as file:
        receiver = Receiver(file, lambda _offset: time.sleep(0.001))
        reader, writer = os.pipe()
        descriptor = os.open(source, os.O_RDONLY)
        sender = threading.Thread(target=send, args=(descriptor, SIZE, writer, receiver.kept), daemon=True)
        sender.start()
        with open(reader, "rb") as stream:
            end = receiver.stream(stream, SIZE)
        sender.join()
        os.close(writer)
        os.close(descriptor)
        assert end["sha256"] == receiver.kept.sha256
        return receiver.began


def killed_after(seconds: float, source: Path, local: LocalFile) -> bool:
    pid = os.fork()
    if pid == 0:
        try:
            transfer(source, local)
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def parts(folder: Path) -> list[Path]:
    return list(folder.glob(".procfs-rescue.*.part"))


def interrupted(local: LocalFile, content: bytes, by: BaseException) -> None:
    with suppress(type(by)), local.written(resume=True) as file:
        file.write(content)
        file.flush()
        raise by


def test_ten_kills_at_random_points(source: Path, tmp_path: Path) -> None:
    chance = random.Random(8)
    folder = tmp_path / "dest"
    kills = 0
    used = 0
    while kills < 10:
        local = LocalFile(os.fsencode(folder), [b"file"])
        if killed_after(chance.uniform(0, 0.12), source, local):
            kills += 1
            assert not (folder / "file").exists()
        if (folder / "file").exists() or chance.random() < 0.3:
            used += transfer(source, local)
            assert (folder / "file").read_bytes() == source.read_bytes()
            assert parts(folder) == []
            (folder / "file").unlink()
    assert used > 0, "no transfer went on where one was killed"


def test_what_is_there_of_another_file_is_thrown_away(source: Path, tmp_path: Path) -> None:
    local = LocalFile(os.fsencode(tmp_path), [b"file"])
    interrupted(local, b"of another file" * 1000, KeyboardInterrupt())
    assert len(parts(tmp_path)) == 1
    assert transfer(source, local) == 0
    assert (tmp_path / "file").read_bytes() == source.read_bytes() and parts(tmp_path) == []


def test_nothing_is_left_of_what_is_wrong(tmp_path: Path) -> None:
    local = LocalFile(os.fsencode(tmp_path), [b"file"])
    interrupted(local, b"wrong", DifferentError("wrong"))
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_where_nothing_came(tmp_path: Path) -> None:
    local = LocalFile(os.fsencode(tmp_path), [b"file"])
    interrupted(local, b"", RescueError("its holder ended"))
    assert list(tmp_path.iterdir()) == []


def test_what_another_one_writes_by_now_is_not_taken_away(tmp_path: Path) -> None:
    """Who gives up a name does so before others can begin to use it."""
    local = LocalFile(os.fsencode(tmp_path), [b"file"])
    unlink = os.unlink

    def and_another_one(name: bytes, *, dir_fd: int) -> None:
        with pytest.raises(BusyError), local.written(resume=True):
            pass
        unlink(name, dir_fd=dir_fd)

    with pytest.MonkeyPatch.context() as patch, suppress(DifferentError), local.written(resume=True):
        patch.setattr(os, "unlink", and_another_one)
        raise DifferentError("it is there")
    assert list(tmp_path.iterdir()) == []


def test_one_transfer_at_a_time(tmp_path: Path) -> None:
    local = LocalFile(os.fsencode(tmp_path), [b"file"])
    with local.written(resume=True) as file:
        file.write(b"first")
        with pytest.raises(BusyError), local.written(resume=True):
            pass
    assert (tmp_path / "file").read_bytes() == b"first" and parts(tmp_path) == []


def test_a_part_that_is_no_regular_file(tmp_path: Path) -> None:
    local = LocalFile(os.fsencode(tmp_path), [b"file"])
    interrupted(local, b"part", KeyboardInterrupt())
    (part,) = parts(tmp_path)
    part.unlink()
    os.mkfifo(part)
    with pytest.raises(RescueError, match="is no regular file"), local.written(resume=True):
        pass
    part.unlink()
    part.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic links"), local.written(resume=True):
        pass
    assert not (tmp_path / "elsewhere").exists()
