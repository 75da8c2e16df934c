# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import LocalFile, components


@pytest.fixture
def top(tmp_path: Path) -> Path:
    return tmp_path / "dest"


def local(top: Path, *names: bytes) -> LocalFile:
    return LocalFile(os.fsencode(top), list(names))


def write(file: LocalFile, content: bytes = b"content") -> Path:
    with file.written() as stream:
        stream.write(content)
    return Path(os.fsdecode(file.path))


def tree(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


@pytest.mark.parametrize(
    ("remote", "names"),
    [
        (b"/usr/bin/bash", [b"usr", b"bin", b"bash"]),
        (b"//a///b/", [b"a", b"b"]),
        (b"/memfd:../../usr/bin/bash", [b"memfd:..", b"%2E%2E", b"usr", b"bin", b"bash"]),
        (b"/./a/../..", [b"%2E", b"a", b"%2E%2E", b"%2E%2E"]),
        (b"/...", [b"..."]),
        (b"/\xff\n", [b"\xff\n"]),
        (b"/", []),
        (b"", []),
    ],
)
def test_components(remote: bytes, names: list[bytes]) -> None:
    assert components(remote) == names


def test_a_file_in_new_folders(top: Path) -> None:
    path = write(local(top, b"host", b"usr", b"ba\nsh\xff"))
    assert path.read_bytes() == b"content"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (top, top / "host", top / "host/usr")} == {0o700}


def test_all_folders_that_it_makes_are_private(tmp_path: Path) -> None:
    write(local(tmp_path / "a/b/dest", b"x"))
    assert {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/dest")} == {0o700}


def test_a_mode_that_the_user_gives(top: Path) -> None:
    file = local(top, b"host", b"x")
    with file.written(0o644) as stream:
        assert stat.S_IMODE(os.fstat(stream.fileno()).st_mode) == 0o600
    assert stat.S_IMODE((top / "host/x").stat().st_mode) == 0o644
    assert stat.S_IMODE((top / "host").stat().st_mode) == 0o700
    found = file.existing()
    assert found is not None and found.mode == 0o644


def test_a_relative_dest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(local(Path("dest"), b"x"))
    assert tree(tmp_path) == ["dest", "dest/x"]


def test_folders_that_are_there_keep_their_mode(top: Path) -> None:
    (top / "host").mkdir(parents=True)
    (top / "host").chmod(0o755)
    write(local(top, b"host", b"x"))
    assert stat.S_IMODE((top / "host").stat().st_mode) == 0o755


def test_an_older_file_is_replaced_only_when_all_is_there(top: Path) -> None:
    file = local(top, b"x")
    path = write(file, b"old")
    with file.written() as stream:
        stream.write(b"new")
        stream.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert tree(top) == ["x"]


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_a_failure_leaves_nothing(top: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with local(top, b"host", b"x").written() as stream:
            stream.write(b"half")
            raise error

    with pytest.raises(error):
        fail()
    assert tree(top) == ["host"]


def test_a_failure_leaves_the_older_file(top: Path) -> None:
    file = local(top, b"x")
    path = write(file, b"old")
    with pytest.raises(KeyError), file.written():
        raise KeyError
    assert (path.read_bytes(), tree(top)) == (b"old", ["x"])


def test_a_folder_in_the_way_of_the_file(top: Path) -> None:
    (top / "x").mkdir(parents=True)
    with pytest.raises(IsADirectoryError):
        write(local(top, b"x"))
    assert tree(top) == ["x"]


def test_what_is_there(top: Path) -> None:
    file = local(top, b"host", b"x")
    assert file.existing() is None
    write(file)
    assert file.existing() == ("sha256:" + hashlib.sha256(b"content").hexdigest(), 0o600)


def test_looking_makes_nothing(top: Path) -> None:
    assert local(top, b"host", b"x").existing() is None
    assert not top.exists()


def in_the_way(call: Callable[[], object]) -> str:
    with pytest.raises(RescueError) as caught:
        call()
    return str(caught.value)


def test_symlinks_below_dest_are_not_followed(top: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    top.mkdir()
    (top / "host").symlink_to(tmp_path / "outside")
    file = local(top, b"host", b"x")
    message = f"host on the way to {top}/host/x is no folder, or a symlink, which is not followed."
    assert in_the_way(file.existing) == message
    assert in_the_way(lambda: write(file)) == message
    assert tree(tmp_path / "outside") == []


def test_a_symlink_in_the_place_of_the_file_is_replaced_and_not_followed(top: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("kept")
    top.mkdir()
    (top / "x").symlink_to(tmp_path / "outside")
    file = local(top, b"x")
    assert in_the_way(file.existing) == f"{top}/x is in the way: Too many levels of symbolic links."
    write(file)
    assert (tmp_path / "outside").read_text() == "kept"
    assert not (top / "x").is_symlink()


def test_dest_itself_may_be_a_symlink(top: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    top.symlink_to("real")
    write(local(top, b"x"))
    assert tree(tmp_path / "real") == ["x"]


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file(top: Path, make: Callable[[Path], None]) -> None:
    top.mkdir()
    make(top / "x")
    assert in_the_way(local(top, b"x").existing) == f"{top}/x is in the way: it is no regular file."


def test_a_file_in_the_way_of_a_folder(top: Path) -> None:
    write(local(top, b"host"))
    message = f"host on the way to {top}/host/x is no folder, or a symlink, which is not followed."
    assert in_the_way(local(top, b"host", b"x").existing) == message
    assert in_the_way(lambda: write(local(top, b"host", b"x"))) == message


def test_no_name() -> None:
    assert in_the_way(lambda: LocalFile(b"/tmp", [])) == (
        "The file has no name that it could be stored under: use flat with a full dest."
    )


@pytest.mark.parametrize("names", [(b"x" * 300,), (b"x" * 300, b"y")])
def test_a_name_that_is_too_long(top: Path, names: tuple[bytes, ...]) -> None:
    """Hosts may allow names that the controller does not."""
    with pytest.raises(OSError, match="File name too long"):
        write(local(top, *names))
    assert tree(top) == []


def test_a_nul_byte(top: Path) -> None:
    with pytest.raises(ValueError, match="embedded null"):
        write(local(top, b"a\0b"))
    assert tree(top) == []


def test_a_dest_that_is_a_file(top: Path) -> None:
    top.touch()
    with pytest.raises(FileExistsError):
        write(local(top, b"x"))
    with pytest.raises(NotADirectoryError):
        local(top, b"x").existing()
