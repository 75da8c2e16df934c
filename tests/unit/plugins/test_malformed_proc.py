# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever /proc says: nothing fails, and what belongs to one process, mount or mapping is not taken for another's."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import names_by_number
from ansible_collections.procfs.rescue.plugins.module_utils._cgroup import container_of, unit_of
from ansible_collections.procfs.rescue.plugins.module_utils._group import KINDS, group
from ansible_collections.procfs.rescue.plugins.module_utils._holder import Holder
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort, Mount, Place
from ansible_collections.procfs.rescue.plugins.module_utils._place import host_path, place_of
from ansible_collections.procfs.rescue.plugins.module_utils._procfs import (
    deleted_maps,
    mount_id,
    mounts,
    start_time,
    uid,
)
from ansible_collections.procfs.rescue.plugins.module_utils._scan import Walk
from ansible_collections.procfs.rescue.plugins.module_utils._visit import Visit
from unit.plugins.hostile import FEWER, LINKS, NAMES, PATHS, TEXTS

IDS = st.integers(0, 2**32 - 1)

LINES = [
    b"812 (cat) S 1 812 812 0 -1 4194560 1077 0 0 0 3 2 0 0 20 0 1 0 661129 9400320 1024",
    b"Name:\tcat",
    b"Uid:\t1000\t0\t1000\t1000",
    b"mnt_id:\t27",
    b"27 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
    b"31 27 0:40 /@/var\\040lib /srv/a\\134b master:1 propagate_from:2 - fuse.sshfs host: rw",
    b"55d0c8a00000-55d0c8a02000 r-xp 00002000 fe:00 4711                       /srv/tool (deleted)",
    b"7f0000001000-7f0000002000 rw-s 00000000 00:01 1024 /dev/zero (deleted)",
    b"1:name=systemd:/system.slice/ssh.service",
    b"0::/machine.slice/machine-web.scope",
    b"root:x:0:0::/root:/bin/sh",
]


@st.composite
def contents(draw: st.DrawFn) -> bytes:
    """Lines of the kernel, cut off, repeated, mixed, with digits of any number and noise between them."""
    noise = st.one_of(TEXTS, st.sampled_from([b"9" * 5000, b"-1", b"\xb2", b"\n", b"\0", b" - ", b"(deleted)\n"]))
    parts = st.lists(st.one_of(st.sampled_from(LINES), noise), max_size=8)
    text = draw(st.sampled_from([b"\n", b"", b" "])).join(draw(parts)) + draw(st.sampled_from([b"", b"\n"]))
    return text[draw(st.integers(0, 20)) :] if draw(st.booleans()) else text


@given(contents())
@example(b"1 (x)" + b" 9" * 18 + b" " + b"9" * 5000)
@example(b"Uid:\t1\t" + b"9" * 5000 + b"\t1\t1\n")
@example(b"mnt_id:\t" + b"9" * 5000 + b"\n")
@example(b"9" * 5000 + LINES[4][2:])
def test_no_content_makes_a_parser_fail(content: bytes) -> None:
    for number in (start_time(content), uid(content), mount_id(content)):
        assert number is None or 0 <= number < 10**20
    for key, mount in mounts(content).items():
        assert key == mount.mount_id
        for path in (b"/srv/tool", content):
            place = place_of(mount, path)
            assert place is None or host_path(place, [mount]) is not None or not mount.root.startswith(b"/")
    for found in deleted_maps(content):
        assert re.fullmatch("[0-9a-f]+-[0-9a-f]+", found.address)
        assert re.fullmatch("[r-][w-][x-][ps]", found.permissions)
    for name in (unit_of(content), container_of(content)):
        assert name is None or (name and name.isprintable())


@given(TEXTS, st.lists(IDS, min_size=50, max_size=50))
def test_the_start_time_whatever_the_process_is_called(comm: bytes, numbers: list[int]) -> None:
    rest = b" ".join(b"%d" % number for number in numbers)
    assert start_time(b"812 (" + comm + b") S " + rest + b"\n") == numbers[18]


def escaped(text: bytes, characters: bytes) -> bytes:
    r"""As seq_escape() and mangle_path() of the kernel write it."""
    return b"".join(b"\\%03o" % byte if byte in characters else bytes([byte]) for byte in text)


@given(TEXTS, st.lists(IDS, min_size=4, max_size=4))
def test_the_uid_whatever_the_process_is_called(comm: bytes, ids: list[int]) -> None:
    """The kernel writes a newline of the name as two characters."""
    name = comm.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
    rows = b"\t".join(b"%d" % number for number in ids)
    status = b"Name:\t" + name + b"\nUmask:\t0022\nUid:\t" + rows + b"\nGid:\t1\t2\t3\t4\n"
    assert uid(status) == ids[1]


@given(IDS, TEXTS)
def test_the_mount_whatever_follows(number: int, more: bytes) -> None:
    """Sockets, epoll and inotify add lines of their own."""
    assert mount_id(b"pos:\t0\nflags:\t0100000\nmnt_id:\t%d\nino:\t7\n" % number + more) == number


@st.composite
def mount_tables(draw: st.DrawFn) -> dict[int, tuple[Mount, bytes]]:
    """Mounts by id, each with its row as the kernel writes it."""
    table = {}
    for number in draw(st.lists(IDS, max_size=5, unique=True)):
        root, point = draw(st.one_of(PATHS, st.just(b"/"))), draw(st.one_of(PATHS, st.just(b"/")))
        kind, source, options = draw(NAMES), draw(TEXTS), draw(TEXTS)
        device = "%d:%d" % (draw(st.integers(0, 4095)), draw(st.integers(0, 2**20)))
        tags = b"".join(draw(st.lists(st.sampled_from([b" shared:7", b" master:1", b" unbindable"]), max_size=2)))
        row = b"%d 1 %s %s %s rw%s - %s %s %s" % (
            *(number, device.encode(), escaped(root, b" \t\n\\"), escaped(point, b" \t\n\\"), tags),
            *(escaped(text, b" \t\n\\#") for text in (kind, source, options)),
        )
        known_as = escaped(kind, b" \t\n\\#").decode("ascii", "replace")
        table[number] = (Mount(number, device, root, point, known_as), row)
    return table


@given(mount_tables(), TEXTS)
def test_every_row_of_a_mount_table_is_itself(table: dict[int, tuple[Mount, bytes]], cut: bytes) -> None:
    rows = b"".join(row + b"\n" for _mount, row in table.values())
    found = mounts(rows + cut.partition(b"\n")[0][:9])  # what is cut off makes no row
    assert found == {number: mount for number, (mount, _row) in table.items()}


@given(PATHS, PATHS, PATHS)
def test_a_place_leads_back_to_its_path(root: bytes, point: bytes, below: bytes) -> None:
    for top, mounted in ((root, point), (b"/", point), (root, b"/"), (b"/", b"/")):
        mount = Mount(27, "254:0", top, mounted, "ext4")
        path = below if mounted == b"/" else mounted + below
        place = place_of(mount, path)
        deleted_root = top.endswith(b"//deleted")
        assert place is not None
        assert deleted_root or place == Place("254:0", below if top == b"/" else top + below)
        assert deleted_root or host_path(place, [mount]) == path
        assert host_path(place._replace(device="254:1"), [mount]) is None


@given(LINKS, PATHS)
@example(b"//deleted", b"/x")
def test_no_text_has_a_place_outside_of_its_mount(text: bytes, point: bytes) -> None:
    mount = Mount(27, "254:0", b"/a", point, "ext4")
    for path in (text, point + text):
        place = place_of(mount, path)
        assert (place is not None) == (path == point or path.startswith(point + b"/"))
        assert place is None or place.inner_path == b"/a" + path[len(point) :]


@st.composite
def mappings(draw: st.DrawFn) -> list[dict[str, Any]]:
    few_paths = st.sampled_from([b"/srv/tool", b"/srv/too", b"/srv/a\nb"])
    return [
        {
            "address": f"{0x1000 * number + 0x10000:x}-{0x1000 * number + 0x11000:x}",
            "permissions": "".join(draw(st.sampled_from(pair)) for pair in ("r-", "w-", "x-", "ps")),
            "inode": draw(st.integers(1, 3)),
            "path": draw(st.one_of(few_paths, LINKS)),
            "deleted": draw(st.booleans()),
        }
        for number in range(draw(st.integers(0, 6)))
    ]


@given(mappings())
def test_every_deleted_mapping_is_told_once_and_no_other(rows: list[dict[str, Any]]) -> None:
    maps = b""
    expected: dict[tuple[int, bytes], set[str]] = {}
    for row in rows:
        text = escaped(row["path"], b"\n") + (b" (deleted)" if row["deleted"] else b"")
        maps += b"%s %s 00000000 fe:00 %d %s\n" % (
            *(row["address"].encode(), row["permissions"].encode(), row["inode"]),
            text.rjust(len(text) + 20),
        )
        if text.endswith(b" (deleted)"):
            expected.setdefault((row["inode"], text.lstrip()), set()).update(row["permissions"])
    found = list(deleted_maps(maps))
    addresses = {row["address"]: row for row in rows}
    assert len(found) == len(expected)
    for one in found:
        row = addresses[one.address]  # one of ours, of the file that it stands for
        text = (escaped(row["path"], b"\n") + (b" (deleted)" if row["deleted"] else b"")).lstrip()
        permitted = expected.pop((row["inode"], text))
        assert one.hint == b"fe:00 %d" % row["inode"]
        assert {letter for letter in "rwxs" if letter in one.permissions} == permitted & set("rwxs")


SLICES = st.lists(NAMES.map(lambda name: name.replace(b"\n", b"") + b".slice"), max_size=3)


@given(SLICES, st.sampled_from([b"web.service", b"session-3.scope"]), LINKS)
def test_nobody_poses_as_another_unit(slices: list[bytes], unit: bytes, inside: bytes) -> None:
    """Below its unit a user may make any cgroups; the kernel takes no newline in their names."""
    path = b"/" + b"/".join([*slices, unit]) + b"/" + inside.replace(b"\n", b"")
    assert unit_of(b"1:name=systemd:" + path + b"\n0::/sshd.service\n") == unit.decode()
    assert unit_of(b"0::" + path + b"\n") == unit.decode()


@given(contents())
@example(b"root:x:" + b"9" * 5000 + b":0::/:/bin/sh\n")
def test_no_list_of_accounts_stops_a_rescue(content: bytes) -> None:
    for number, name in names_by_number(content).items():
        assert number >= 0
        assert ":" not in name


@st.composite
def process_files(draw: st.DrawFn) -> dict[str, bytes]:
    """What a process has in /proc; some of it may be missing, some may be right."""
    right = {"stat": LINES[0], "status": b"\n".join(LINES[1:3]), "cgroup": LINES[8], "mountinfo": LINES[4], "maps": b""}
    files = {name: draw(st.one_of(st.just(content), contents(), st.none())) for name, content in right.items()}
    return {name: content for name, content in files.items() if content is not None}


@FEWER
@given(process_files(), NAMES)
def test_no_process_stops_a_scan(files: dict[str, bytes], name: bytes) -> None:
    """One with odd files and a deleted one: it is told right, or counted as unreadable."""
    with tempfile.TemporaryDirectory() as folder, open(os.path.join(os.fsencode(folder), name), "wb") as stream:
        os.unlink(stream.name)
        for file, content in files.items():
            Path(folder, file).write_bytes(content)
        Path(folder, "fd").mkdir()
        # A link that reads as one of procfs does, and leads to the real one.
        real = f"{folder}/real (deleted)"
        os.symlink(f"/proc/{os.getpid()}/fd/{stream.fileno()}", real)
        os.symlink(real, f"{folder}/fd/3")
        os.symlink("/usr/bin/cat", f"{folder}/exe")
        directory = os.open(folder, os.O_RDONLY)
        seen = []
        holder = Holder(os.getpid(), directory)
        common = Walk(lambda _sighting: False, Effort()).common
        visit = Visit(holder, common, lambda news, _fds: seen.extend(news.sightings))
        try:
            visit.tell_all()
        finally:
            os.close(directory)
        if start_time(files.get("stat", b"")) is None or uid(files.get("status", b"")) is None:
            assert seen == []
            assert holder.unreadable or not {"stat", "status"} <= files.keys()
            return
        (sighting,) = seen
        assert sighting.path == stream.name
        assert (sighting.process.start_time, sighting.process.uid) == (start_time(files["stat"]), uid(files["status"]))
        assert group(seen)[0].kind in KINDS
