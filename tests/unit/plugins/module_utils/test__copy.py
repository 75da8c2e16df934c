# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _copy
from ansible_collections.procfs.rescue.plugins.module_utils._copy import clone_content, copy_content, start_writing

MIB = 1024 * 1024

WAYS = {"copy_file_range": _copy._in_kernel, "sendfile": _copy._sendfile, "read and write": _copy._read_write}
if not hasattr(os, "copy_file_range"):  # Python 3.8
    del WAYS["copy_file_range"]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[int]:
    yield from _opened(tmp_path / "source")


@pytest.fixture
def target(tmp_path: Path) -> Iterator[int]:
    yield from _opened(tmp_path / "target")


def _opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def content(fd: int) -> bytes:
    return os.pread(fd, 64 * MIB, 0)


def refusing(code: int) -> Callable[[int, int, int, int], int]:
    def way(source: int, target: int, offset: int, count: int) -> int:
        raise OSError(code, os.strerror(code))

    return way


@pytest.mark.parametrize("size", [0, 1, 4096, 3 * MIB + 1])
@pytest.mark.parametrize("way", WAYS)
def test_the_content_by_each_way(
    monkeypatch: pytest.MonkeyPatch, source: int, target: int, way: str, size: int
) -> None:
    monkeypatch.setattr(_copy, "_WAYS", [WAYS[way]])
    monkeypatch.setattr(_copy, "_CHUNK", MIB)
    wanted = os.urandom(size)
    os.pwrite(source, wanted, 0)
    copy_content(source, target)
    assert content(target) == wanted


def test_what_the_target_had_is_gone(source: int, target: int) -> None:
    os.pwrite(target, b"old and longer", 0)
    os.pwrite(source, b"new", 0)
    copy_content(source, target)
    assert content(target) == b"new"


@pytest.mark.parametrize("code", sorted(set(_copy._UNSUPPORTED)))
def test_the_next_way_goes_on_where_one_gave_up(
    monkeypatch: pytest.MonkeyPatch, source: int, target: int, code: int
) -> None:
    calls: list[int] = []

    def first_megabyte_only(source: int, target: int, offset: int, count: int) -> int:
        calls.append(offset)
        if offset:
            raise OSError(code, os.strerror(code))
        return _copy._read_write(source, target, offset, count)

    monkeypatch.setattr(_copy, "_WAYS", [first_megabyte_only, refusing(code), _copy._read_write])
    wanted = os.urandom(3 * MIB)
    os.pwrite(source, wanted, 0)
    copy_content(source, target)
    assert content(target) == wanted
    assert calls == [0, MIB]


def test_a_way_that_gives_nothing_is_left(monkeypatch: pytest.MonkeyPatch, source: int, target: int) -> None:
    monkeypatch.setattr(_copy, "_WAYS", [lambda *_arguments: 0, _copy._sendfile])
    os.pwrite(source, b"content", 0)
    copy_content(source, target)
    assert content(target) == b"content"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_real_fault_is_raised(monkeypatch: pytest.MonkeyPatch, source: int, target: int, code: int) -> None:
    monkeypatch.setattr(_copy, "_WAYS", [refusing(code), _copy._read_write])
    os.pwrite(source, b"content", 0)
    with pytest.raises(OSError, match=os.strerror(code)):
        copy_content(source, target)


def test_a_full_disk(mounted: Callable[..., Path], source: int) -> None:
    os.pwrite(source, os.urandom(2 * MIB), 0)
    disk = mounted("-t", "tmpfs", "-o", "size=1m", "none")
    fd = os.open(disk, os.O_TMPFILE | os.O_RDWR)
    try:
        with pytest.raises(OSError, match="No space left on device"):
            copy_content(source, fd)
    finally:
        os.close(fd)


def test_holes_are_kept(source: int, target: int) -> None:
    os.pwrite(source, b"a" * 4096, 8 * MIB)
    os.pwrite(source, b"b" * 4096, 16 * MIB)
    os.ftruncate(source, 32 * MIB)
    copy_content(source, target)
    assert os.fstat(target).st_size == 32 * MIB
    assert os.fstat(target).st_blocks == os.fstat(source).st_blocks <= 4 * 8
    assert content(target) == content(source)


def test_a_file_that_is_one_hole(source: int, target: int) -> None:
    os.ftruncate(source, MIB)
    copy_content(source, target)
    assert (os.fstat(target).st_size, os.fstat(target).st_blocks) == (MIB, 0)


def test_a_file_system_that_knows_no_holes(monkeypatch: pytest.MonkeyPatch, source: int, target: int) -> None:
    real_seek = os.lseek

    def seek(fd: int, offset: int, whence: int) -> int:
        if whence in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "Invalid argument")
        return real_seek(fd, offset, whence)

    monkeypatch.setattr(os, "lseek", seek)
    os.pwrite(source, b"end", MIB)
    copy_content(source, target)
    assert content(target) == b"\0" * MIB + b"end"


def test_a_source_that_shrinks_meanwhile_ends(monkeypatch: pytest.MonkeyPatch, source: int, target: int) -> None:
    os.pwrite(source, b"a" * 3 * MIB, 0)

    def shrinking(source: int, target: int, offset: int, count: int) -> int:
        os.ftruncate(source, MIB)
        return _copy._read_write(source, target, offset, count)

    monkeypatch.setattr(_copy, "_WAYS", [shrinking])
    copy_content(source, target)
    assert content(target) == b"a" * MIB + b"\0" * 2 * MIB


@pytest.mark.parametrize("way", WAYS)
def test_the_disk_begins_to_write_while_more_is_copied(
    monkeypatch: pytest.MonkeyPatch, source: int, target: int, way: str
) -> None:
    """Its digests are computed meanwhile, and the sync at the end has little left to do."""
    given: list[tuple[int, int]] = []

    def advised(fd: int, start: int, length: int, advice: int) -> None:
        assert (fd, advice) == (target, os.POSIX_FADV_DONTNEED)
        assert len(os.pread(fd, 64 * MIB, 0)) >= start + length
        given.append((start, start + length))

    monkeypatch.setattr(_copy, "_WAYS", [WAYS[way]])
    monkeypatch.setattr(_copy, "_CHUNK", 2 * MIB)
    monkeypatch.setattr(os, "posix_fadvise", advised)
    wanted = os.urandom(4 * MIB) + bytes(8 * MIB) + os.urandom(7 * MIB)
    os.pwrite(source, wanted, 0)
    copy_content(source, target)
    assert content(target) == wanted
    assert [start for start, _end in given] == [0, *(end for _start, end in given[:-1])]
    assert all(end - start >= 2 * MIB for start, end in given)
    assert given[-1][1] > len(wanted) - 2 * MIB


def test_small_files_are_left_to_the_sync(monkeypatch: pytest.MonkeyPatch, source: int, target: int) -> None:
    """Or to who makes many of them."""
    monkeypatch.setattr(os, "posix_fadvise", lambda *_arguments: pytest.fail("one more system call"))
    os.pwrite(source, b"content", 0)
    copy_content(source, target)
    assert content(target) == b"content"


def test_writing_is_started(target: int, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    def advised(*arguments: int) -> None:
        calls.append(arguments)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    os.pwrite(target, b"restored", 0)
    start_writing(target)
    assert content(target) == b"restored"
    monkeypatch.setattr(os, "posix_fadvise", advised)
    start_writing(target)  # what goes wrong is told by fsync
    assert calls == [(target, 0, 0, os.POSIX_FADV_DONTNEED)]


def test_no_reflink(mounted: Callable[..., Path]) -> None:
    disk = mounted("-t", "tmpfs", "none")
    fds = [os.open(disk, os.O_TMPFILE | os.O_RDWR) for _number in range(2)]
    try:
        os.pwrite(fds[0], b"content", 0)
        assert not clone_content(fds[0], fds[1])
        assert content(fds[1]) == b""
    finally:
        for fd in fds:
            os.close(fd)


def test_no_reflink_to_another_file_system(source: int, mounted: Callable[..., Path]) -> None:
    fd = os.open(mounted("-t", "tmpfs", "none"), os.O_TMPFILE | os.O_RDWR)
    try:
        assert not clone_content(source, fd)
    finally:
        os.close(fd)
