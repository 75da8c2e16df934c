# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _folder
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._folder import open_folder, open_target
from ansible_collections.procfs.rescue.plugins.module_utils._model import Ancestor, Mount
from ansible_collections.procfs.rescue.plugins.module_utils._mounts import own_mounts
from unit.plugins.holders import NOBODY, in_child


def opened(path: Path | bytes) -> tuple[bytes, tuple[int, int], list[Ancestor]]:
    """Its own name, its identity, and the folders on the way to it."""
    folder = open_folder(os.fsencode(path), {})
    try:
        result = os.fstat(folder.fd)
        return folder.path, (result.st_dev, result.st_ino), folder.ancestors
    finally:
        os.close(folder.fd)


def aimed(path: Path | bytes) -> bytes:
    target = open_target(os.fsencode(path), {})
    os.close(target.folder.fd)
    return target.path


def refusal(path: Path | bytes, what: object = open_folder) -> tuple[str, list[str]]:
    assert callable(what)
    with pytest.raises(RescueError) as caught:
        what(os.fsencode(path), {})
    return str(caught.value), caught.value.reasons


def identity(path: Path) -> tuple[int, int]:
    result = path.stat()
    return result.st_dev, result.st_ino


def test_root_itself() -> None:
    assert opened(b"/") == (b"/", identity(Path("/")), [Ancestor(b"/", 0, Path("/").stat().st_mode)])


@pytest.mark.parametrize("text", ["{}/a/b", "/{}//a/./b/", "{}/a/../a/b/../b"])
def test_a_folder_and_all_above_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "a").mkdir(0o750)
    (tmp_path / "a/b").mkdir(0o2770)
    os.chown(tmp_path / "a/b", NOBODY, 0)
    (tmp_path / "a/b").chmod(0o2770)
    path, found, ancestors = opened(os.fsencode(text.format(tmp_path)))
    assert (path, found) == (os.fsencode(tmp_path / "a/b"), identity(tmp_path / "a/b"))
    assert [os.fsdecode(one.path) for one in ancestors] == [
        *map(str, reversed((tmp_path / "a/b").parents)),
        path.decode(),
    ]
    assert ancestors[-2:] == [
        Ancestor(os.fsencode(tmp_path / "a"), 0, stat.S_IFDIR | 0o750),
        Ancestor(os.fsencode(tmp_path / "a/b"), NOBODY, stat.S_IFDIR | 0o2770),
    ]


def test_above_root_is_root() -> None:
    assert opened(b"/../../usr/..")[0] == b"/"


def test_names_are_bytes(tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/\xff\n (deleted)"
    os.mkdir(odd)
    assert opened(odd)[0] == odd


def test_the_place_is_that_of_the_file_system(tmp_path: Path) -> None:
    mounts = own_mounts()
    folder = open_folder(os.fsencode(tmp_path), mounts)
    os.close(folder.fd)
    assert folder.place is not None
    below = max((m for m in mounts.values() if os.fsencode(tmp_path).startswith(m.mount_point)), key=_depth)
    assert folder.place.device == below.device
    assert folder.place.inner_path.endswith(os.fsencode(tmp_path.name))


def _depth(mount: Mount) -> int:
    return len(mount.mount_point)


def test_without_its_mount_it_has_no_place(tmp_path: Path) -> None:
    folder = open_folder(os.fsencode(tmp_path), {})
    os.close(folder.fd)
    assert folder.place is None


def test_symlinks_that_root_made_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "absolute").symlink_to(tmp_path / "real")
    (tmp_path / "relative").symlink_to("absolute/../real")
    path, found, ancestors = opened(tmp_path / "relative/deep")
    assert (path, found) == (os.fsencode(tmp_path / "real/deep"), identity(tmp_path / "real/deep"))
    assert [one.path for one in ancestors[-2:]] == [os.fsencode(tmp_path / "real"), os.fsencode(tmp_path / "real/deep")]


@pytest.mark.parametrize("who", ["of another", "in a folder of another", "in a group's folder"])
@pytest.mark.parametrize("what", [open_folder, open_target])
def test_symlinks_that_others_could_have_made_are_not(tmp_path: Path, who: str, what: object) -> None:
    (tmp_path / "d").mkdir(0o755)
    (tmp_path / "d/link").symlink_to("/usr")
    if who == "of another":
        os.chown(tmp_path / "d/link", NOBODY, NOBODY, follow_symlinks=False)
    elif who == "in a folder of another":
        os.chown(tmp_path / "d", NOBODY, NOBODY)
    else:
        (tmp_path / "d").chmod(0o775)
    path = tmp_path / "d/link" if what is open_target else tmp_path / "d/link/bin"
    assert refusal(path, what) == (
        (
            f"{path} leads through a symlink in {tmp_path}/d that others than root could have made: give the path "
            "that it leads to, if that is the right one."
        ),
        ["ancestor_writable"],
    )


def test_a_symlink_below_a_folder_that_others_could_have_exchanged(tmp_path: Path) -> None:
    """Root made folder and symlink, but somebody else may rename the folder, and another one to its name."""
    (tmp_path / "users/roots").mkdir(parents=True)
    (tmp_path / "users/roots/link").symlink_to("/usr")
    os.chown(tmp_path / "users", NOBODY, NOBODY)
    assert refusal(tmp_path / "users/roots/link/bin")[1] == ["ancestor_writable"]


def test_a_symlink_of_root_in_a_sticky_folder_of_root(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp").chmod(0o1777)
    (tmp_path / "tmp/link").symlink_to("/usr")
    assert opened(tmp_path / "tmp/link")[0] == b"/usr"


def test_symlinks_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert refusal(tmp_path / "a/x") == (f"{tmp_path}/a/x leads through too many symlinks.", [])
    message, reasons = refusal(tmp_path / "a", open_target)
    assert message.endswith(" leads through too many symlinks.")
    assert reasons == []


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    assert refusal(tmp_path / "gone\n/deep") == (
        (
            f"The folder {tmp_path}/gone\\n/deep is not there any more (gone\\n is missing): make it again with its "
            "old owner and mode, or restore elsewhere with dest."
        ),
        ["folder_gone"],
    )


def test_a_file_on_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file") == (f"{tmp_path}/file is no folder.", ["folder_gone"])
    assert refusal(tmp_path / "file/deep") == (f"{tmp_path}/file/deep is no folder.", ["folder_gone"])


def test_a_fifo_on_the_way_does_not_stop_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert refusal(tmp_path / "fifo") == (f"{tmp_path}/fifo is no folder.", ["folder_gone"])


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    long = "x" * 300
    assert refusal(tmp_path / long) == (f"The folder {tmp_path}/{long} cannot be opened: File name too long.", [])


def test_a_target_with_a_name_that_is_too_long(tmp_path: Path) -> None:
    message, _reasons = refusal(tmp_path / ("x" * 300), open_target)
    assert "File name too long" in message


@pytest.mark.parametrize("path", [b"/", b"/usr/", b"/usr/.", b"/usr/.."])
def test_what_names_no_file(path: bytes) -> None:
    assert refusal(path, open_target) == (f"{path.decode()} does not name a file.", [])


def test_a_target_need_not_exist(tmp_path: Path) -> None:
    assert aimed(tmp_path / "new") == os.fsencode(tmp_path / "new")
    (tmp_path / "old").touch()
    assert aimed(tmp_path / "old") == os.fsencode(tmp_path / "old")
    (tmp_path / "dir").mkdir()
    assert aimed(tmp_path / "dir") == os.fsencode(tmp_path / "dir")


def test_symlinks_at_the_end_are_followed_even_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "sh").symlink_to("real/../link")
    (tmp_path / "link").symlink_to(tmp_path / "real/gone")
    assert aimed(tmp_path / "sh") == os.fsencode(tmp_path / "real/gone")


@pytest.mark.parametrize("step", range(6))
def test_what_is_swapped_on_the_way_does_not_lead_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Before one of the last steps of the walk a folder becomes a symlink of another user."""
    (tmp_path / "elsewhere/deep").mkdir(parents=True)
    (tmp_path / "honest/deep").mkdir(parents=True)
    real_open = os.open
    left = [len((tmp_path / "honest/deep").parents) + 2 - step]

    def swapping(path: bytes, flags: int, *, dir_fd: int | None = None) -> int:
        left[0] -= 1
        if left[0] == 0:
            (tmp_path / "honest").rename(tmp_path / "moved")
            (tmp_path / "honest").symlink_to("elsewhere")
            os.chown(tmp_path / "honest", NOBODY, NOBODY, follow_symlinks=False)
        return real_open(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", swapping)
    with suppress(RescueError):  # it met the symlink, or had passed by already
        folder = open_folder(os.fsencode(tmp_path / "honest/deep"), {})
        assert os.path.samestat(os.fstat(folder.fd), (tmp_path / "moved/deep").stat())
        os.close(folder.fd)
    assert left[0] <= 0


def test_a_folder_that_may_be_entered_but_not_listed(open_to_all: Path) -> None:
    """Without root this is no crash but a sentence."""
    (open_to_all / "private").mkdir(0o711)

    def look() -> str:
        try:
            open_folder(os.fsencode(open_to_all / "private"), {})
        except RescueError as error:
            return str(error)
        return ""

    assert in_child(look, user=NOBODY) == (f"The folder {open_to_all}/private cannot be opened: Permission denied.")


def test_nothing_is_left_open_when_the_mount_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_handle: int) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(_folder, "mount_id_of", broken)
    with pytest.raises(RescueError, match="Input/output error"):
        open_folder(os.fsencode(tmp_path), {})
