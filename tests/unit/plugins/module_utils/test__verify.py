# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._verify import (
    ALGORITHMS,
    content,
    digests,
    draft_digests,
    new_hash,
    parsed_checksum,
)

MIB = 2**20


def digests_of(path: Path) -> dict[str, str]:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.lseek(fd, 1, os.SEEK_SET)
        found = digests(fd, ALGORITHMS)
        assert os.lseek(fd, 0, os.SEEK_CUR) == 1
    finally:
        os.close(fd)
    return found


@pytest.mark.parametrize("size", [0, 1, 1024 * 1024, 3 * 1024 * 1024 + 1])
def test_digests_in_one_pass(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert digests_of(tmp_path / "file") == {name: hashlib.new(name, content).hexdigest() for name in ALGORITHMS}


@pytest.mark.parametrize(
    "pieces",
    [
        {},
        {0: b"begin"},
        {5 * MIB: b"middle"},
        {0: b"begin", 3 * MIB + 1: b"middle" * MIB, 20 * MIB - 3: b"end"},
    ],
)
def test_what_is_a_hole_in_a_draft_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: dict[int, bytes]
) -> None:
    with open(tmp_path / "draft", "w+b") as file:
        file.truncate(20 * MIB)
        for place, piece in pieces.items():
            os.pwrite(file.fileno(), piece, place)
        wanted = digests(file.fileno(), ["sha256", "md5"])
        real_pread, was_read = os.pread, []

        def pread(fd: int, count: int, offset: int) -> bytes:
            was_read.append(count)
            return real_pread(fd, count, offset)

        monkeypatch.setattr(os, "pread", pread)
        assert draft_digests(file.fileno(), ["sha256", "md5"]) == wanted
        assert sum(was_read) <= sum(map(len, pieces.values())) + len(pieces) * 2 * 4096


def test_a_draft_without_holes_and_an_empty_one(tmp_path: Path) -> None:
    for written in b"", b"x" * (2 * MIB + 1):
        (tmp_path / "draft").write_bytes(written)
        with open(tmp_path / "draft", "rb") as file:
            assert draft_digests(file.fileno(), ["sha256"]) == {"sha256": hashlib.sha256(written).hexdigest()}


def test_a_file_that_grows_faster_than_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(3 * 1024 * 1024)
    (tmp_path / "log").write_bytes(content)
    fd = os.open(tmp_path / "log", os.O_RDWR)
    real_pread = os.pread

    def append(fd: int, count: int, offset: int) -> bytes:
        os.pwrite(fd, b"more" * count, os.fstat(fd).st_size)
        return real_pread(fd, count, offset)

    monkeypatch.setattr(os, "pread", append)
    assert digests(fd, ["md5"]) == {"md5": hashlib.md5(content).hexdigest()}
    assert digests(fd, ["md5"], 10) == {"md5": hashlib.md5(content[:10]).hexdigest()}
    os.close(fd)


def test_a_file_that_shrinks_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"content")
    fd = os.open(tmp_path / "log", os.O_RDONLY)
    assert digests(fd, ["md5"], 10**15) == {"md5": hashlib.md5(b"content").hexdigest()}
    os.close(fd)


def test_no_algorithm(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR)
    assert digests(fd, []) == {}
    os.close(fd)


def test_a_checksum() -> None:
    digest = "0123456789abcdef" * 4
    assert parsed_checksum(f" SHA256:{digest.upper()}\n") == ("sha256", digest)


@pytest.mark.parametrize("text", ["", ":", "sha256", "abcdef", "crc32:00000000", "blake2b:00", "http://x/y"])
def test_a_checksum_of_no_known_algorithm(text: str) -> None:
    with pytest.raises(RescueError) as caught:
        parsed_checksum(text)
    assert str(caught.value) == (
        f"checksum must be ALGORITHM:HEX with one of md5, sha1, sha224, sha256, sha384, sha512; it is {text!r}."
    )


@pytest.mark.parametrize(
    "digest", ["", "00", "0" * 31, "0" * 33, "g" * 32, "\u0660" * 32, "0" * 31 + "\n0", " " + "0" * 32]
)
def test_a_checksum_that_is_no_digest(digest: str) -> None:
    with pytest.raises(RescueError) as caught:
        parsed_checksum("md5:" + digest)
    assert str(caught.value) == f"checksum {'md5:' + digest!r} is no md5 digest in hexadecimal."


@pytest.mark.parametrize(
    ("size", "pieces"), [(None, [2**20, 2**20, 7]), (2**20 + 5, [2**20, 5]), (2**20, [2**20]), (0, []), (-1, [])]
)
def test_it_is_read_a_mebibyte_at_a_time(tmp_path: Path, size: int | None, pieces: list[int]) -> None:
    (tmp_path / "file").write_bytes(bytes(2**21 + 7))
    fd = os.open(tmp_path / "file", os.O_RDONLY)
    assert [len(piece) for piece in content(fd, size)] == pieces
    os.close(fd)


@pytest.mark.parametrize("knows_fips", [True, False])
def test_a_host_with_fips_may_compare_with_old_records(monkeypatch: pytest.MonkeyPatch, knows_fips: bool) -> None:
    """Python has the word for it from 3.9."""
    asked: list[dict[str, bool]] = []
    real_new = hashlib.new

    def new(name: str, **options: bool) -> Any:
        asked.append(options)
        if options and not knows_fips:
            raise TypeError
        return real_new(name)

    monkeypatch.setattr(hashlib, "new", new)
    assert new_hash("md5").digest_size == 16
    assert asked == [{"usedforsecurity": False}, *([] if knows_fips else [{}])]
