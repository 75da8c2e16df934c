# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The target's part of collect_files: what is known of a file, before it is read, and who keeps it afterwards."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _collect, _source
from ansible_collections.procfs.rescue.plugins.module_utils._collect import collect
from ansible_collections.procfs.rescue.plugins.module_utils._facts import gather
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._keep_open import let_go
from ansible_collections.procfs.rescue.plugins.module_utils._stream import (
    DATA,
    END,
    FAILED,
    HEAD,
    MAGIC,
    NOTHING,
    START,
    parsed,
)
from unit.plugins.holders import Holders, wait_until

CONTENT = b"evidence"
OPTIONS: dict[str, Any] = {"via": [], "suspicious_only": False, "min_size": 0, "max_size": None, "md5": False}


@pytest.fixture(autouse=True)
def _only_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What else this machine holds deleted is nobody's business."""

    def gather_here(filters: Any, host: Host) -> dict[str, Any]:
        return gather(filters._replace(paths=[str(tmp_path)]), host=host)

    monkeypatch.setattr(_collect, "gather", gather_here)


@pytest.fixture
def keepers() -> Iterator[list[dict[str, int]]]:
    found: list[dict[str, int]] = []
    yield found
    for keeper in found:
        let_go(**keeper)


@pytest.fixture
def collected(keepers: list[dict[str, int]]) -> Any:
    def run(**options: Any) -> list[dict[str, Any]]:
        told = collect({**OPTIONS, **options})
        if told["keeper"]:
            keepers.append(told["keeper"])
        files: list[dict[str, Any]] = told["files"]
        return files

    return run


def gone(path: Path, holders: Holders, content: bytes = CONTENT) -> int:
    path.write_bytes(content)
    held = holders.open(path)
    path.unlink()
    return held.pid


def frames(wire: bytes) -> list[tuple[bytes, bytes]]:
    """Type and content of each; the controller's own reader needs a newer Python than hosts have."""
    stream = io.BytesIO(wire)
    assert stream.read(len(MAGIC)) == MAGIC
    found = []
    for head in iter(lambda: stream.read(HEAD.size), b""):
        kind, count = HEAD.unpack(head)
        found.append((kind, stream.read(count) if kind in (DATA, END, FAILED) else b""))
    return found


def test_the_recorded_access_time_is_that_before_we_read(tmp_path: Path, holders: Holders, collected: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    os.utime(path, ns=(10**18, 2 * 10**18))  # a read now would change it, whatever relatime says
    held = holders.open(path)
    path.unlink()
    (file,) = collected()
    assert (file["atime_ns"], file["mtime_ns"]) == (10**18, 2 * 10**18)
    assert file["digests"] == {"sha256": hashlib.sha256(CONTENT).hexdigest()}
    assert os.stat(held.link).st_atime_ns == 10**18, "and nobody sees that we read it"


def test_the_keeper_has_it_when_its_holder_ended(
    tmp_path: Path, holders: Holders, collected: Any, keepers: list[dict[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = gone(tmp_path / "implant", holders)
    (file,) = collected()
    holders.end(pid)
    wire = tmp_path / "wire"
    with wire.open("wb") as out:
        for name in ("begin", "tell"):
            original = getattr(_source, name)
            monkeypatch.setattr(_source, name, lambda _out, *rest, _as=original: _as(out.fileno(), *rest))
        send = _source.send
        monkeypatch.setattr(_source, "send", lambda fd, size, _out, kept: send(fd, size, out.fileno(), kept))
        wanted = {"size": file["size"], "kept": NOTHING}
        _source.streams(
            [{"sources": [file["source"]], **wanted}, {"sources": [file["kept"], file["source"]], **wanted}]
        )
    (kind, refusal), *whole = frames(wire.read_bytes())
    assert kind == FAILED and "is gone: its holder ended" in parsed(refusal)["msg"]
    assert [one for one, _content in whole] == [START, DATA, END] and whole[1][1] == CONTENT
    (keeper,) = keepers
    let_go(keeper["pid"], keeper["start_time"] + 1)
    assert Path(f"/proc/{keeper['pid']}/comm").read_text() == "procfs-rescue\n"
    let_go(**keeper)
    wait_until(lambda: not Path(f"/proc/{keeper['pid']}/fd/0").exists())


def test_the_youngest_first_and_what_is_not_read(tmp_path: Path, holders: Holders, collected: Any) -> None:
    gone(tmp_path / "first", holders)
    time.sleep(0.05)  # start times count in hundredths of a second
    gone(tmp_path / "second", holders)
    gone(tmp_path / "large", holders, bytes(5000))
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(2**43)
    gone_hole = holders.open(tmp_path / "hole")
    (tmp_path / "hole").unlink()
    os.mkfifo(tmp_path / "pipe")
    holders.open(tmp_path / "pipe", os.O_RDWR)
    (tmp_path / "pipe").unlink()
    files = {file["path"]: file for file in collected(max_size=2**44)}
    assert list(files).index(f"{tmp_path}/second") < list(files).index(f"{tmp_path}/first")
    hole, pipe = files[f"{tmp_path}/hole"], files[f"{tmp_path}/pipe"]
    assert hole["unread"] == "it is nearly all hole: fetch it by itself" and hole["mtime_ns"]
    assert hole["holders"][0]["pid"] == gone_hole.pid
    assert "leads to no regular file" in pipe["unread"] and pipe["digests"] is None
    files = {file["path"]: file for file in collected(max_size=4999, md5=True)}
    assert files[f"{tmp_path}/large"]["unread"] == "it is larger than max_size"
    assert files[f"{tmp_path}/first"]["digests"]["md5"] == hashlib.md5(CONTENT).hexdigest()
    assert {file["path"] for file in collected(min_size=5000)} == {f"{tmp_path}/large", f"{tmp_path}/hole"}


def test_more_files_than_may_be_open(
    tmp_path: Path, holders: Holders, collected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        gone(tmp_path / str(number), holders)
    monkeypatch.setattr(_collect, "_room", lambda: 1)
    files = collected()
    assert [file["kept"] is not None for file in files] == [True, False, False]
    assert all(file["digests"] for file in files)


def test_what_ended_meanwhile(
    tmp_path: Path, holders: Holders, collected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = gone(tmp_path / "file", holders)
    gather_here = _collect.gather

    def and_end(filters: Any, host: Host) -> dict[str, Any]:
        told: dict[str, Any] = gather_here(filters, host=host)
        holders.end(pid)
        return told

    monkeypatch.setattr(_collect, "gather", and_end)
    (file,) = collected()
    assert "is gone: its holder ended" in file["unread"] and file["digests"] is None
    assert (file["source"], file["uid"], file["xattrs"], file["consistent"]) == (None, None, None, None)
    assert file["holders"][0]["namespaces"] is None


def test_a_file_that_grows_while_its_digest_is_computed(
    tmp_path: Path, holders: Holders, collected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone(tmp_path / "calm", holders)
    path = tmp_path / "log"
    path.write_bytes(CONTENT * 2)
    holders.open(path)
    with path.open("ab", buffering=0) as log:
        path.unlink()
        digests = _collect.digests

        def read(fd: int, algorithms: list[str], size: int) -> dict[str, str]:
            found: dict[str, str] = digests(fd, algorithms, size)
            if size == 2 * len(CONTENT):
                log.write(b"more")
            return found

        monkeypatch.setattr(_collect, "digests", read)
        files = {file["path"]: file for file in collected()}
    assert files[f"{tmp_path}/calm"]["consistent"] is True
    assert files[f"{tmp_path}/log"]["consistent"] is False
    assert files[f"{tmp_path}/log"]["digests"]["sha256"] == hashlib.sha256(CONTENT * 2).hexdigest()


@pytest.mark.parametrize(
    ("file", "field"), [("status", "uid"), ("cgroup", "cgroup"), ("ns", "namespaces"), ("cwd", "cwd")]
)
def test_what_a_kernel_lacks_hides_nothing_else(
    tmp_path: Path, holders: Holders, collected: Any, monkeypatch: pytest.MonkeyPatch, file: str, field: str
) -> None:
    lacking = f"/proc/{gone(tmp_path / 'file', holders)}/{file}"

    def without(function: Any) -> Any:
        def asked(path: Any, *rest: Any, **how: Any) -> Any:
            if path in (lacking, lacking.encode("ascii")):
                raise FileNotFoundError(2, "No such file or directory", path)
            return function(path, *rest, **how)

        return asked

    monkeypatch.setattr(_collect, "read_at", without(_collect.read_at))
    monkeypatch.setattr(os, "readlink", without(os.readlink))
    monkeypatch.setattr(os, "listdir", without(os.listdir))
    (holder,) = collected()[0]["holders"]
    assert [name for name in ("started", "uid", "cgroup", "namespaces", "cwd", "parents") if holder[name] is None] == [
        field
    ]


def test_flags(tmp_path: Path, holders: Holders, collected: Any) -> None:
    """Where the file system has them (lsattr); never a failure."""
    gone(tmp_path / "file", holders)
    (file,) = collected()
    assert file["flags"] is None or file["flags"] >= 0


def test_when_an_inode_was_born(tmp_path: Path) -> None:
    """As stat(1) says, to the nanosecond; nothing where no C library, kernel or file system knows."""
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    os.utime(path, ns=(1, 2))
    said = subprocess.check_output(["stat", "--format=%W %w", path]).decode("ascii").split()
    with path.open("rb") as file:
        born = _collect._born(file.fileno())
    if said[0] == "0":
        assert born is None
    else:
        assert born is not None and divmod(born, 10**9) == (int(said[0]), int(said[2].partition(".")[2]))
    reader, writer = os.pipe()
    assert _collect._born(reader) is None, "pipefs knows none"
    os.close(writer)
    os.close(reader)
    assert _collect._born(reader) is None, "it is closed"


@pytest.mark.parametrize("libc", [ImportError, OSError, object()])
def test_a_host_without_statx(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, libc: Any) -> None:
    def load(_name: None) -> Any:
        if isinstance(libc, type):
            raise libc
        return libc

    monkeypatch.setattr(ctypes, "CDLL", load)
    with tmp_path.joinpath("file").open("wb") as file:
        assert _collect._born(file.fileno()) is None
