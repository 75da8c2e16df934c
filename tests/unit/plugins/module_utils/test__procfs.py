# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._model import Mount
from ansible_collections.procfs.rescue.plugins.module_utils._procfs import (
    DeletedMap,
    deleted_maps,
    mount_id,
    mounts,
    slots,
    start_time,
    uid,
)

AFTER_COMM = b" S 1 812 812 0 -1 4194560 1077 0 0 0 3 2 0 0 20 0 1 0 661129 9400320 1024\n"


@pytest.mark.parametrize("comm", [b"cat", b"a b", b"a) S 1 (b", b")", b"(", b"a\nb", b"\xff", b""])
def test_start_time_whatever_the_name(comm: bytes) -> None:
    assert start_time(b"812 (" + comm + b")" + AFTER_COMM) == 661129


def test_start_time_of_this_process() -> None:
    ticks = start_time(Path("/proc/self/stat").read_bytes())
    assert ticks is not None
    age = float(Path("/proc/uptime").read_text().split()[0]) - ticks / os.sysconf("SC_CLK_TCK")
    assert 0 <= age < 3600


@pytest.mark.parametrize("stat", [b"", b"812 (cat", b"812 (cat) S 1 812", b"812 (cat)" + b" x" * 30])
def test_start_time_unknown(stat: bytes) -> None:
    assert start_time(stat) is None


def test_the_effective_uid() -> None:
    assert uid(b"Name:\tUid:\t7\nUmask:\t0022\nUid:\t1000\t0\t1000\t1000\nGid:\t5\t6\t7\t8\n") == 0


@pytest.mark.parametrize("status", [b"", b"Uid:\t1000", b"Uid: 1000 0", b"Name:\tUid:\t1\t2\n", b"\xff\nGid:\t1\t2\n"])
def test_uid_unknown(status: bytes) -> None:
    assert uid(status) is None


def test_slots() -> None:
    with open("/dev/null") as file:
        count = slots(Path("/proc/self/status").read_bytes())
        assert count is not None and count > file.fileno()


@pytest.mark.parametrize("status", [b"", b"FDSize:\t", b"FDSize:\tx\n", b"Name:\tFDSize:\t7\n"])
def test_slots_unknown(status: bytes) -> None:
    assert slots(status) is None


def test_mount_id() -> None:
    assert mount_id(b"pos:\t0\nflags:\t0100000\nmnt_id:\t27\nino:\t4711\n") == 27


@pytest.mark.parametrize("fdinfo", [b"", b"pos:\t0\n", b"mnt_id:\t\n", b"mnt_id:\t-1\n", b"xmnt_id:\t27\n"])
def test_mount_id_unknown(fdinfo: bytes) -> None:
    assert mount_id(fdinfo) is None


MOUNTINFO = rb"""22 27 0:21 / /proc rw,relatime shared:5 - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 27 0:40 /@/var\040lib /srv/a\011b\134c\012d master:1 propagate_from:2 - btrfs /dev/vdb rw,subvol=/@
32 27 254:0 /srv/x//deleted /mnt\777 rw - fuse.sshfs host:/\040-\040x rw
33 27 0:4 net:[4026531840] /run/netns/x rw - nsfs nsfs rw
"""


def test_mounts() -> None:
    assert mounts(MOUNTINFO) == {
        22: Mount(22, "0:21", b"/", b"/proc", "proc"),
        27: Mount(27, "254:0", b"/", b"/", "ext4"),
        31: Mount(31, "0:40", b"/@/var lib", b"/srv/a\tb\\c\nd", "btrfs"),
        32: Mount(32, "254:0", b"/srv/x//deleted", b"/mnt\xff", "fuse.sshfs"),
        33: Mount(33, "0:4", b"net:[4026531840]", b"/run/netns/x", "nsfs"),
    }


@pytest.mark.parametrize(
    ("options", "may_never_answer"),
    [
        (b"lowerdir=/a:/b,upperdir=/c,workdir=/d", False),
        (b"lowerdir=/a:/net/x/y,upperdir=/c,workdir=/d", True),
        (b"lowerdir=/a,upperdir=/net/c,workdir=/net/d", True),
        (b"lowerdir+=/a,lowerdir+=/net", True),
        (b"lowerdir=/network,upperdir=/nets/c", False),
        (b"lowerdir=/over/a", True),
        (b"lowerdir=relative:", False),
        (b"workdir=/net", False),
    ],
)
def test_an_overlay_may_never_answer_if_one_of_its_layers_may_not(options: bytes, may_never_answer: bool) -> None:
    rows = b"27 1 254:0 / / rw - ext4 /dev/vda rw\n"
    rows += b"28 27 0:30 / /net rw - nfs4 host:/ rw\n"
    rows += b"30 27 0:32 / /over rw - overlay overlay rw,lowerdir=/net/lower\n"
    assert mounts(rows + b"31 27 0:33 / /merged rw - overlay overlay rw,%b" % options)[31].may_never_answer == (
        may_never_answer
    )


def test_who_mounts_many_overlays_costs_no_memory() -> None:
    """500 layers each, one on another."""
    rows = b"28 27 0:30 / /net rw - fuse x rw\n"
    for number in range(100):
        below = b"/over%d" % (number - 1) if number else b"/net"
        layers = b":".join(b"%b/%d" % (below, layer) for layer in range(500))
        rows += b"%d 27 0:32 / /over%d rw - overlay overlay rw,lowerdir=%b\n" % (100 + number, number, layers)
    assert {mount.remote_layers for number, mount in mounts(rows).items() if number >= 100} == {(b"/net",)}


@pytest.mark.parametrize(
    "layers",
    [b"//x", b"/a::/data", b"", b"/l\\\\::/u", b"relative", b"/", b"//", b"/a//b/"],
)
@pytest.mark.parametrize("root", [b"fuse", b"ext4"])
def test_layers_may_be_called_anything(root: bytes, layers: bytes) -> None:
    """By a holder that has another root and mounts of its own."""
    rows = b"27 1 0:30 / / rw - %b x rw\n28 27 0:31 / /fuse rw - fuse x rw\n" % root
    rows += b"31 27 0:33 / /merged rw - overlay overlay rw,lowerdir=%b\n" % layers
    rows += b"32 27 0:33 / /over rw - overlay overlay rw,lowerdir=%b,upperdir=/merged\n" % layers
    assert set(mounts(rows)) == {27, 28, 31, 32}
    without_root = rows.partition(b"\n")[2]
    assert set(mounts(without_root)) == {28, 31, 32}


def test_a_layer_is_on_the_mount_that_is_nearest() -> None:
    rows = b"""27 1 0:30 / / rw - nfs host:/ rw
28 27 8:1 / /disk rw - ext4 /dev/sda rw
29 27 0:31 / /covered rw - fuse x rw
30 27 8:2 / /covered rw - ext4 /dev/sdb rw
31 27 0:33 / /merged rw - overlay overlay rw,lowerdir=/disk/a:/covered/b,upperdir=/disk/u
32 27 0:33 / /over rw - overlay overlay rw,lowerdir=/disk/a,upperdir=/diskless
"""
    found = mounts(rows)
    assert (found[31].remote_layers, found[32].remote_layers) == ((), (b"/",))


def test_the_layers_that_may_never_answer_are_told() -> None:
    rows = rb"""28 27 0:30 / /net rw - nfs4 host:/ rw
29 27 0:31 / /other\040net rw - fuse.x x rw
30 27 0:32 / /over rw - overlay overlay rw,lowerdir=/net/a\040b:/local:/other\040net:/net/c,upperdir=/up,workdir=/work
31 27 0:33 / /above rw - overlay overlay rw,lowerdir=/over/x:/net/d
"""
    found = mounts(rows)
    assert (found[30].remote_layers, found[31].remote_layers) == ((b"/net", b"/other net"), (b"/net", b"/other net"))


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"27 1 254:0 / / rw,relatime",
        b"27 1 254:0 / - ext4 /dev/vda rw",
        b"x27 1 254:0 / / rw - ext4 /dev/vda rw",
        "²7 1 254:0 / / rw - ext4 /dev/vda rw".encode(),
    ],
)
def test_an_odd_row_is_left_out(row: bytes) -> None:
    good = b"28 27 0:30 / /dev/shm rw - tmpfs tmpfs rw"
    assert mounts(row + b"\n" + good) == {28: Mount(28, "0:30", b"/", b"/dev/shm", "tmpfs")}


def test_the_mounts_of_this_machine() -> None:
    rows = Path("/proc/self/mountinfo").read_bytes()
    assert len(mounts(rows)) == rows.count(b"\n")


MAPS = rb"""55d0c8a00000-55d0c8a02000 r--p 00000000 fe:00 4711                       /srv/tool (deleted)
55d0c8a02000-55d0c8a06000 r-xp 00002000 fe:00 4711                       /srv/tool (deleted)
55d0c8a06000-55d0c8a08000 rw-p 00006000 fe:00 4711                       /srv/tool (deleted)
7f0000000000-7f0000001000 r--s 00000000 fe:00 4712                       /srv/a\012b (deleted) (deleted)
7f0000001000-7f0000002000 r--p 00000000 fe:00 4713                       /srv/tool (deleted)
7f0000002000-7f0000003000 rw-p 00000000 00:00 0                          [heap]
7f0000003000-7f0000004000 r-xp 00000000 fe:00 4714                       /usr/lib/libc.so.6
7f0000004000-7f0000005000 rw-s 00000000 00:01 1024                       /dev/zero (deleted)
00010000-00011000 r--p 00000000 fe:00 4715                               /srv/low (deleted)
"""


def test_one_mapping_per_deleted_file_with_what_any_of_its_mappings_permits() -> None:
    assert list(deleted_maps(MAPS)) == [
        DeletedMap("55d0c8a00000-55d0c8a02000", "rwxp", b"fe:00 4711"),
        DeletedMap("7f0000000000-7f0000001000", "r--s", b"fe:00 4712"),
        DeletedMap("7f0000001000-7f0000002000", "r--p", b"fe:00 4713"),
        DeletedMap("7f0000004000-7f0000005000", "rw-s", b"00:01 1024"),
        DeletedMap("10000-11000", "r--p", b"fe:00 4715"),
    ]


def test_a_mapping_to_write_to_is_not_hidden_by_one_to_execute() -> None:
    line = b"%x000-%x000 %b 00000000 fe:00 4711    /srv/tool (deleted)\n"
    found = list(deleted_maps(line % (1, 2, b"r-xp") + line % (2, 3, b"rw-s")))
    assert {"x", "w"} <= set("".join(one.permissions for one in found))


@pytest.mark.parametrize(
    "maps",
    [
        b"",
        b"7f0000001000-7f0000002000 r--p 00000000 fe:00 4713    /srv/tool\n",
        b"7f0000001000-7f0000002000 r--p 00000000 fe:00 4713    /srv/tool (deleted)",
        b"7f0000001000 r--p 00000000 fe:00 4713    /srv/tool (deleted)\n",
        b"zz-7f0000002000 r--p 00000000 fe:00 4713    /srv/tool (deleted)\n",
        b" (deleted)\n",
    ],
)
def test_no_deleted_mapping(maps: bytes) -> None:
    assert list(deleted_maps(maps)) == []


def test_a_map_that_was_cut_gives_the_whole_lines() -> None:
    assert [one.hint for one in deleted_maps(MAPS[:120])] == [b"fe:00 4711"]


def test_a_name_of_a_socket_cannot_pose_as_a_mount_id(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "mnt_id:\t1"))
        fdinfo = Path(f"/proc/self/fdinfo/{server.fileno()}").read_bytes()
    assert mount_id(fdinfo) not in (None, 1)
