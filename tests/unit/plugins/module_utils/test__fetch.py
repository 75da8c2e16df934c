# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _packages
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import chosen
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._options import FETCH_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._source import piece
from unit.plugins.holders import NOBODY, Held, Holders, memfd

CONTENT = b"the original"
CHECKSUM = "sha256:" + hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _no_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packages, "INFO", os.fsencode(tmp_path / "no dpkg"))


@pytest.fixture
def held(tmp_path: Path, holders: Holders) -> Held:
    path = tmp_path / "tool"
    path.write_bytes(CONTENT)
    os.chown(path, NOBODY, 0)
    path.chmod(0o4750)
    held = holders.open(path)
    path.unlink()
    return held


def described(**request: Any) -> dict[str, Any]:
    before = set(os.listdir("/proc/self/fd"))
    try:
        with chosen({**dict.fromkeys(FETCH_SPEC), **request}, LOCAL) as (description, _fd):
            return description
    finally:  # the pins end with the process of the module
        for fd in set(os.listdir("/proc/self/fd")) - before:
            if os.path.lexists(f"/proc/self/fd/{fd}") and os.readlink(f"/proc/self/fd/{fd}").endswith(" (deleted)"):
                os.close(int(fd))


def refusal(call: Callable[[], object]) -> tuple[str, list[str]]:
    with pytest.raises(RescueError) as caught:
        call()
    return str(caught.value), caught.value.reasons


def test_the_description(tmp_path: Path, held: Held) -> None:
    found = described(path=str(tmp_path / "tool"))
    assert found.pop("source")["link"] == held.link
    assert found.pop("mtime") > 1_600_000_000
    assert not found.pop("has_writers") and not found.pop("mapped_writable")
    assert found == {
        "path": f"{tmp_path}/tool",
        "size": len(CONTENT),
        "owner": "nobody",
        "group": "root",
        "mode": "4750",
        "checksum": CHECKSUM,
    }


def test_a_file_that_could_not_be_restored_can_be_fetched(tmp_path: Path, held: Held) -> None:
    """Its folder is gone, and it belongs to somebody else."""
    tmp_path.rmdir()
    assert described(path=str(tmp_path / "tool"))["checksum"] == CHECKSUM
    tmp_path.mkdir()


def test_a_memfd(holders: Holders) -> None:
    fd = memfd("../../x\n")
    os.write(fd, CONTENT)
    held = holders.keep(fd)
    os.close(fd)
    found = described(source={"link": held.link})
    assert (found["path"], base64.b64decode(found["path_b64"])) == ("/memfd:../../x\\n", b"/memfd:../../x\n")


def test_a_wrong_checksum(tmp_path: Path, held: Held) -> None:
    assert refusal(lambda: described(path=str(tmp_path / "tool"), checksum="md5:" + "0" * 32)) == (
        f"Refused to fetch {held.link}: its content does not have the wanted checksum (checksum_differs).",
        ["checksum_differs"],
    )


def test_a_right_checksum(tmp_path: Path, held: Held) -> None:
    md5 = hashlib.md5(CONTENT).hexdigest()
    assert described(path=str(tmp_path / "tool"), checksum="md5:" + md5)["checksum"] == CHECKSUM


def test_nobody_holds_it(tmp_path: Path) -> None:
    assert refusal(lambda: described(path=str(tmp_path / "x")))[1] == ["not_held"]


def test_a_directory_is_not_fetched(tmp_path: Path, holders: Holders) -> None:
    (tmp_path / "dir").mkdir()
    holders.open(tmp_path / "dir")
    (tmp_path / "dir").rmdir()
    assert refusal(lambda: described(path=str(tmp_path / "dir")))[1] == ["not_regular"]


@pytest.fixture
def source(tmp_path: Path, held: Held) -> dict[str, Any]:
    return described(path=str(tmp_path / "tool"))["source"]


@pytest.mark.parametrize(("offset", "length"), [(0, 99), (0, 3), (3, 3), (len(CONTENT), 9), (999, 9)])
def test_pieces(source: dict[str, Any], offset: int, length: int) -> None:
    answer = piece(source, offset, length)
    assert (answer["hole"], base64.b64decode(answer["content"])) == (0, CONTENT[offset : offset + length])


def test_a_piece_after_a_hole(tmp_path: Path, holders: Holders) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.seek(10 * 2**20)
        file.write(CONTENT)
        file.truncate(30 * 2**20)
    holders.open(path)
    path.unlink()
    source = described(path=str(path))["source"]
    after = piece(source, 4096, 2**23)
    assert after["hole"] == 10 * 2**20 - 4096 and base64.b64decode(after["content"]).startswith(CONTENT)
    at_the_end = piece(source, 20 * 2**20, 9)
    assert (at_the_end["hole"], at_the_end["content"]) == (10 * 2**20, "")


@pytest.mark.parametrize("name", ["start_time", "device", "inode"])
def test_a_piece_of_another_file(source: dict[str, Any], name: str) -> None:
    assert refusal(lambda: piece(dict(source, **{name: source[name] + 1}), 0, 9)) == (
        f"{source['link']} leads to another file by now.",
        ["holder_changed"],
    )


def test_a_piece_of_a_holder_that_is_gone(source: dict[str, Any], holders: Holders) -> None:
    holders.end(source["pid"])
    assert refusal(lambda: piece(source, 0, 9)) == (
        f"{source['link']} is gone: its holder ended or closed the file.",
        ["holder_changed"],
    )


def test_a_piece_of_a_holder_whose_first_thread_ended(tmp_path: Path, holders: Holders) -> None:
    fd = os.open(tmp_path / "tool", os.O_RDWR | os.O_CREAT)
    os.write(fd, CONTENT)
    (tmp_path / "tool").unlink()
    holders.keep_in_second_thread(fd)
    os.close(fd)
    found = described(path=str(tmp_path / "tool"))
    assert base64.b64decode(piece(found["source"], 0, 99)["content"]) == CONTENT


@pytest.mark.parametrize("link", ["/proc/../etc/passwd", "/etc/passwd", "", "/proc/self/../../etc/passwd"])
def test_a_piece_of_what_is_no_magic_link(source: dict[str, Any], link: str) -> None:
    assert refusal(lambda: piece(dict(source, link=link), 0, 9))[1] == ["holder_changed"]


def test_the_program_of_a_process_that_is_still_there(holders: Holders, held: Held) -> None:
    pid = described(path=os.fsdecode(os.readlink(held.link)).replace(" (deleted)", ""))["source"]["pid"]
    found = described(pid=pid, executable=True)
    exe = os.readlink(f"/proc/{pid}/exe")
    assert (found["path"], found["source"]["link"]) == (exe, f"/proc/{pid}/exe")
    assert found["checksum"] == "sha256:" + hashlib.sha256(Path(exe).read_bytes()).hexdigest()
    start = base64.b64decode(piece(found["source"], 0, 4)["content"])
    assert start == b"\x7fELF"


def test_the_program_of_another_process(holders: Holders, held: Held) -> None:
    pid = int(held.link.split("/")[2])
    assert refusal(lambda: described(pid=pid, executable=True, start_time=1))[1] == ["holder_changed"]
    assert refusal(lambda: described(pid=2**22 + 5, executable=True))[1] == ["not_held"]
    assert "by pid alone" in refusal(lambda: described(path="/bin/sh", executable=True))[0]
