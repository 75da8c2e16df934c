# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import (
    Metadata,
    apply_metadata,
    differences,
    parsed_mode,
    read_metadata,
    repairs,
)
from unit.plugins.holders import NOBODY, in_child

CAPABILITY = "security.capability"
ACL = "system.posix_acl_access"

# cap_net_raw=ep (linux/capability.h, VFS_CAP_REVISION_2)
NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def an_acl(*entries: tuple[int, int, int]) -> bytes:
    """tag, permissions, id (linux/posix_acl_xattr.h)"""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def nobodys_acl(owner: int, mask: int) -> bytes:
    """For the owner, user nobody, the group, the mask and others."""
    none = 0xFFFFFFFF
    return an_acl((1, owner, none), (2, 4, NOBODY), (4, 4, none), (0x10, mask, none), (0x20, 0, none))


NOBODYS = nobodys_acl(6, 6)


def metadata(**changes: Any) -> Metadata:
    wanted = Metadata(0o640, NOBODY, 7, 1_600_000_000_000_000_001, 1_700_000_000_123_456_789, {})
    return wanted._replace(**changes)


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT, 0o600)
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    "wanted",
    [
        metadata(),
        metadata(mode=0o6755, uid=0, gid=0),
        metadata(mode=0o4750),
        metadata(mode=0o1644),
        metadata(mode=0o0),
        metadata(xattrs={"user.note": b"a\0b", "user.empty": b"", "trusted.x": b"1", "user.\udcff": b"odd"}),
        metadata(mode=0o755, uid=0, xattrs={CAPABILITY: NET_RAW}),
        metadata(mode=0o660, xattrs={ACL: NOBODYS}),
        metadata(mode=0o4770, xattrs={ACL: nobodys_acl(7, 7), CAPABILITY: NET_RAW}),
        metadata(xattrs={"security.selinux": b"system_u:object_r:bin_t:s0\0"}),
        metadata(mtime_ns=1, atime_ns=2),
        metadata(mtime_ns=-1_000_000_001),
    ],
)
def test_the_whole_original(fd: int, wanted: Metadata) -> None:
    apply_metadata(fd, wanted)
    assert read_metadata(fd) == wanted
    assert differences(fd, wanted) == []


def test_the_same_from_a_nameless_file_to_another(tmp_path: Path, folder: int) -> None:
    wanted = metadata(mode=0o4770, xattrs={ACL: nobodys_acl(7, 7), CAPABILITY: NET_RAW, "user.note": b"1"})
    source, target = (os.open(tmp_path, os.O_TMPFILE | os.O_RDWR) for _number in range(2))
    apply_metadata(source, wanted)
    apply_metadata(target, read_metadata(source))
    assert differences(target, read_metadata(source)) == []
    os.close(source)
    os.close(target)


def test_an_acl_that_the_folder_hands_down_is_taken_away(tmp_path: Path) -> None:
    subprocess.run(["setfacl", "-d", "-m", f"u:{NOBODY}:rwx", tmp_path], check=True)
    fd = os.open(tmp_path, os.O_TMPFILE | os.O_RDWR, 0o600)
    wanted = metadata(mode=0o600)
    assert ACL in read_metadata(fd).xattrs
    assert ACL in differences(fd, wanted)
    apply_metadata(fd, wanted)
    assert read_metadata(fd) == wanted
    os.close(fd)


def test_differences_are_named(fd: int) -> None:
    found = read_metadata(fd)
    wanted = Metadata(0o755, 1, 2, 0, found.mtime_ns + 1, {"user.b": b"", "user.a": b""})
    assert differences(fd, wanted) == ["owner", "group", "mode", "mtime", "user.a", "user.b"]


def test_atime_is_no_difference(fd: int) -> None:
    found = read_metadata(fd)
    assert differences(fd, found._replace(atime_ns=0)) == []


def test_what_a_file_system_does_not_take_is_named(mounted: Callable[..., Path]) -> None:
    fd = os.open(mounted("-t", "ramfs", "none"), os.O_TMPFILE | os.O_RDWR, 0o600)
    wanted = metadata(xattrs={"user.note": b"1", CAPABILITY: NET_RAW})
    apply_metadata(fd, wanted)
    assert differences(fd, wanted) == [CAPABILITY, "user.note"]
    os.close(fd)


def test_without_root_nothing_is_pretended(open_to_all: Path) -> None:
    open_to_all.chmod(0o777)

    def try_it() -> list[str]:
        fd = os.open(open_to_all, os.O_TMPFILE | os.O_RDWR, 0o600)
        wanted = metadata(uid=0, gid=0, mode=0o755, xattrs={CAPABILITY: NET_RAW})
        apply_metadata(fd, wanted)
        return differences(fd, wanted)

    assert in_child(try_it, user=NOBODY) == ["owner", "group", CAPABILITY]


@pytest.mark.parametrize(("mode", "left"), [(0o4755, 0o755), (0o2755, 0o755), (0o6755, 0o755), (0o1755, 0o1755)])
def test_setuid_is_not_given_to_a_file_of_somebody_else(open_to_all: Path, mode: int, left: int) -> None:
    """Where chown is refused, setuid would give away the rights of whoever runs the module."""
    open_to_all.chmod(0o777)

    def try_it() -> int:
        fd = os.open(open_to_all, os.O_TMPFILE | os.O_RDWR, 0o600)
        apply_metadata(fd, metadata(uid=0, gid=0, mode=mode))
        return stat.S_IMODE(os.fstat(fd).st_mode)

    assert in_child(try_it, user=NOBODY) == left


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, ()),
        ({"mode": 0o4755}, ("setuid",)),
        ({"mode": 0o2755}, ("setgid",)),
        ({"mode": 0o1755}, ()),
        ({"xattrs": {CAPABILITY: NET_RAW, "user.note": b""}}, ("capabilities",)),
        ({"mode": 0o6755, "xattrs": {CAPABILITY: NET_RAW}}, ("setuid", "setgid", "capabilities")),
    ],
)
def test_privileges(changes: dict[str, Any], names: tuple[str, ...]) -> None:
    assert metadata(**changes).privileges() == names
    assert metadata(**changes).without_privileges().privileges() == ()


def test_without_privileges_all_else_is_kept() -> None:
    full = metadata(mode=0o7755, xattrs={CAPABILITY: NET_RAW, "user.note": b"1"})
    assert full.without_privileges() == metadata(mode=0o1755, xattrs={"user.note": b"1"})


def test_content_that_nobody_vouches_for_is_private() -> None:
    own = metadata(mode=0o6777, xattrs={CAPABILITY: NET_RAW, ACL: NOBODYS}).as_own(5, 6)
    assert own == metadata(mode=0o600, uid=5, gid=6, xattrs={})


def test_what_the_user_gives_instead() -> None:
    assert metadata().with_owner(None, None, None) == metadata()
    assert metadata().with_owner(0, 0, 0) == metadata(uid=0, gid=0, mode=0)


@pytest.mark.parametrize(
    ("value", "mode"), [("0644", 0o644), ("644", 0o644), ("04755", 0o4755), (0o644, 0o644), (0, 0)]
)
def test_a_mode(value: Any, mode: int) -> None:
    assert parsed_mode(value) == mode


@pytest.mark.parametrize(
    "value", ["", "rw", "0999", "00644\n", "0644\n", "077777", 0o10000, -1, True, 1.5, None, ["0644"]]
)
def test_no_mode(value: Any) -> None:
    with pytest.raises(RescueError) as caught:
        parsed_mode(value)
    assert str(caught.value) == f"mode must be an octal string such as '0644', it is {value!r}."


SETFATTR = f"setfattr -n {CAPABILITY} -v 0x{NET_RAW.hex()} /srv/tool"


@pytest.mark.parametrize(
    ("missing", "commands"),
    [
        ((), []),
        (("mtime", "user.note", ACL), []),
        (("mode",), ["chmod 4750 /srv/tool"]),
        (("setuid",), ["chmod 4750 /srv/tool"]),
        (("setgid",), ["chmod 4750 /srv/tool"]),
        (("owner",), ["chown 0:7 /srv/tool", "chmod 4750 /srv/tool", SETFATTR]),
        (("group", "mode"), ["chown 0:7 /srv/tool", "chmod 4750 /srv/tool", SETFATTR]),
        (("capabilities",), [SETFATTR]),
        ((CAPABILITY,), [SETFATTR]),
    ],
)
def test_repairs(missing: tuple[str, ...], commands: list[str]) -> None:
    original = metadata(mode=0o4750, uid=0, xattrs={CAPABILITY: NET_RAW})
    assert repairs(b"/srv/tool", original, missing) == commands


@pytest.mark.parametrize("name", ["tool", "a b'c\"$(exit)", "a\nb", os.fsdecode(b"\xff"), "größe", "-rf", "\\n"])
def test_the_repairs_work_as_they_are(tmp_path: Path, name: str) -> None:
    tool = tmp_path / name
    tool.touch(0o600)
    original = metadata(mode=0o4750, uid=0, xattrs={CAPABILITY: NET_RAW})
    for command in repairs(os.fsencode(tool), original, ["owner", "capabilities"]):
        subprocess.run(["sh", "-c", command], check=True)
    fd = os.open(tool, os.O_RDONLY)
    assert differences(fd, original) == ["mtime"]
    os.close(fd)


def test_a_repair_of_the_owner_does_not_lose_the_capabilities(tmp_path: Path) -> None:
    """chown(2) takes them away, so that they are to be given again even where they were kept."""
    tool = tmp_path / "tool"
    tool.touch(0o600)
    original = metadata(mode=0o755, uid=0, xattrs={CAPABILITY: NET_RAW})
    os.setxattr(tool, CAPABILITY, NET_RAW)
    for command in repairs(os.fsencode(tool), original, ["owner"]):
        subprocess.run(["sh", "-c", command], check=True)
    assert os.getxattr(tool, CAPABILITY) == NET_RAW
