# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._group import KINDS, group, internal_device, kind_of
from ansible_collections.procfs.rescue.plugins.module_utils._model import DeletedFile
from unit.plugins.holders import memfd
from unit.plugins.samples import a_file, a_process, a_sighting

INTERNAL: dict[str, Any] = {"mount": None, "place": None, "foreign": "untrusted", "host_path": None}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/memfd:x", "memfd"),
        (b"/memfd:../../usr/bin/bash", "memfd"),
        (b"/memfd:a\n{{ 7*7 }}", "memfd"),
        (b"/memfd:", "memfd"),
        (b"/SYSV0001e240", "sysv_shm"),
        (b"/SYSV0001e24", "anonymous"),
        (b"/SYSV0001e240\n", "anonymous"),
        (b"/dev/zero", "shared_memory"),
        (b"/dev/zero2", "anonymous"),
        (b"/i915", "anonymous"),
        (b"/usr/bin/bash", "anonymous"),
    ],
)
def test_kinds_on_the_kernels_own_mount(path: bytes, kind: str) -> None:
    assert kind_of(a_sighting(path=path, file=a_file(device=internal_device()), **INTERNAL)) == kind


def test_the_kernels_own_mount() -> None:
    """Which number it has is the kernel's affair."""
    fd = memfd("x")
    assert internal_device() == os.fstat(fd).st_dev
    os.close(fd)


@pytest.mark.parametrize(("path", "kind"), [(b"/memfd:huge", "memfd"), (b"/usr/bin/bash", "regular")])
def test_kinds_on_a_mount_that_nobody_knows(path: bytes, kind: str) -> None:
    assert kind_of(a_sighting(path=path, file=a_file(device=15), **INTERNAL)) == kind


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (b"/usr/bin/bash", "regular"),
        (b"/memfd:x", "regular"),
        (b"/SYSV00000000", "regular"),
        (b"/srv/.nfs000000000012d687000000aa", "nfs_silly"),
        (b"/srv/a\nb/.nfs000000000012d687000000aa", "nfs_silly"),
        (b"/srv/.nfsrc", "regular"),
        (b"/srv/.nfs00000000/x", "regular"),
        (b"/srv/.fuse_hidden0000000300000001", "fuse_hidden"),
        (b"/tmp/#1234", "tmpfile"),
        (b"/tmp/#1234\n", "regular"),
        (b"/tmp/#main.c#", "regular"),
        (b"/dev/shm/ring", "shared_memory"),
        (b"/srv/dev/shm/ring", "regular"),
    ],
)
def test_kinds_on_a_file_system(path: bytes, kind: str) -> None:
    assert kind_of(a_sighting(path=path)) == kind


@pytest.mark.parametrize(
    ("file_type", "kind"),
    [
        (stat.S_IFDIR, "directory"),
        (stat.S_IFIFO, "fifo"),
        (stat.S_IFSOCK, "socket"),
        (stat.S_IFCHR, "device"),
        (stat.S_IFBLK, "device"),
        (stat.S_IFLNK, "symlink"),
    ],
)
def test_kinds_by_type(file_type: int, kind: str) -> None:
    assert kind_of(a_sighting(path=b"/tmp/#1234", file=a_file(mode=file_type | 0o644))) == kind
    assert kind in KINDS


def test_one_file_per_inode_in_the_order_of_their_discovery() -> None:
    seen = [a_sighting(file=a_file(inode=inode), link=link) for inode, link in ((2, "a"), (1, "b"), (2, "c"))]
    assert group(seen) == [
        DeletedFile(a_file(inode=2), "regular", [seen[0], seen[2]]),
        DeletedFile(a_file(inode=1), "regular", [seen[1]]),
    ]


def test_equal_inodes_of_two_devices_are_two_files() -> None:
    assert len(group([a_sighting(), a_sighting(file=a_file(device=7))])) == 2


def test_the_most_credible_holder_comes_first() -> None:
    """A decoy with a lower pid does not decide what the file is called or is."""
    best_to_worst = [
        a_sighting(via="exe", link="1"),
        a_sighting(via="fd", link="2"),
        a_sighting(via="fd", link="3", process=a_process(pid=900)),
        a_sighting(via="map", link="4"),
        a_sighting(via="fd", link="5", path=b"/srv/.nfs000000000012d687000000aa"),
        a_sighting(via="exe", link="6", foreign="trusted"),
        a_sighting(via="exe", link="7", foreign="untrusted"),
        a_sighting(via="exe", link="8", path=b"/memfd:x", **INTERNAL),
    ]
    seen = [one._replace(process=one.process._replace(pid=one.process.pid - int(one.link))) for one in best_to_worst]
    (found,) = group(seen[::-1])
    assert [one.link for one in found.sightings] == ["1", "2", "3", "4", "5", "6", "7", "8"]
    assert found.kind == "regular"


def test_that_a_process_maps_what_it_executes_is_not_told_twice() -> None:
    exe, own_map = a_sighting(via="exe"), a_sighting(via="map")
    other_map = a_sighting(via="map", process=a_process(pid=7))
    other_file = a_sighting(via="map", file=a_file(inode=5))
    assert group([exe, own_map, other_map, other_file]) == [
        DeletedFile(a_file(), "regular", [exe, other_map]),
        DeletedFile(a_file(inode=5), "regular", [other_file]),
    ]


def test_nothing() -> None:
    assert group([]) == []
