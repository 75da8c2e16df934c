# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._model import Mount, Place
from ansible_collections.procfs.rescue.plugins.module_utils._place import host_path, place_of
from unit.plugins.samples import ROOT_MOUNT


def a_mount(root: bytes, mount_point: bytes, device: str = "254:0") -> Mount:
    return Mount(40, device, root, mount_point, "ext4")


# Rows of real mount tables (of hosts, services with a sandbox, bind mounts), and their edges.
@pytest.mark.parametrize(
    ("root", "mount_point", "path", "inner_path"),
    [
        (b"/", b"/", b"/usr/bin/bash", b"/usr/bin/bash"),
        (b"/usr", b"/usr", b"/usr/bin/x", b"/usr/bin/x"),
        (b"/srv/app", b"/srv/app", b"/srv/app/x", b"/srv/app/x"),
        (b"/a", b"/b", b"/b/x", b"/a/x"),
        (b"/var/tmp/sp/d", b"/usr/bin", b"/usr/bin/bash", b"/var/tmp/sp/d/bash"),
        (b"/var/tmp/sp/bash", b"/usr/bin/bash", b"/usr/bin/bash", b"/var/tmp/sp/bash"),
        (b"/", b"/mnt", b"/mnt", b"/"),
        (b"/", b"/mnt", b"/mnt/x", b"/x"),
        (b"/srv/x//deleted", b"/mnt", b"/mnt/f", b"/srv/x/f"),
        (b"/@", b"/", b"/srv/x", b"/@/srv/x"),
    ],
)
def test_place(root: bytes, mount_point: bytes, path: bytes, inner_path: bytes) -> None:
    assert place_of(a_mount(root, mount_point), path) == Place("254:0", inner_path)


@pytest.mark.parametrize("path", [b"/usr/bin2/bash", b"/usr", b"/", b"", b"usr/bin/bash", b"/usr//bin/bash"])
def test_a_path_that_is_not_below_the_mount(path: bytes) -> None:
    assert place_of(a_mount(b"/usr", b"/usr/bin"), path) is None


def test_a_relative_text_has_no_place() -> None:
    assert place_of(ROOT_MOUNT, b"memfd:x") is None


def test_of_several_mounts_the_one_that_shows_most_wins() -> None:
    mounts = [
        a_mount(b"/srv/app", b"/srv/app"),
        a_mount(b"/", b"/other"),
        a_mount(b"/", b"/", device="0:40"),
        a_mount(b"/srv", b"/s"),
    ]
    assert host_path(Place("254:0", b"/srv/app/x"), mounts) == b"/other/srv/app/x"


def test_of_equal_mounts_the_shortest_wins() -> None:
    assert host_path(Place("254:0", b"/x"), [a_mount(b"/", b"/long"), a_mount(b"/", b"/a")]) == b"/a/x"


def test_the_root_of_a_mount() -> None:
    assert host_path(Place("254:0", b"/srv/file"), [a_mount(b"/srv/file", b"/etc/file")]) == b"/etc/file"


@pytest.mark.parametrize("mounts", [[], [a_mount(b"/", b"/", device="0:40")], [a_mount(b"/sr", b"/sr")]])
def test_a_place_that_this_host_does_not_show(mounts: list[Mount]) -> None:
    assert host_path(Place("254:0", b"/srv/x"), mounts) is None
