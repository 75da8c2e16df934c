# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter, reclaimable
from unit.plugins.samples import a_deleted_file, a_file, a_process, a_sighting

HOLDER = {
    "exe": "/usr/sbin/daemon",
    "pid": 812,
    "start_time": 77,
    "comm": "daemon",
    "user": "root",
    "via": "fd",
    "fd": 3,
    "access": "read",
    "executable": False,
    "unit": None,
    "user_unit": None,
    "container": None,
    "link": "/proc/812/fd/3",
    "device": 65024,
    "inode": 4711,
}


def test_holder() -> None:
    assert Reporter(LOCAL).holder(a_sighting()) == HOLDER


def test_a_hostile_holder() -> None:
    process = a_process(
        comm=b"a\n{{ 7*7 }}\xff",
        exe=b"/tmp/\x1b[2J (deleted)",
        uid=4_000_000_000,
        cgroup=b"0::/lxc/web/nginx.service\n",
    )
    assert Reporter(LOCAL).holder(a_sighting(process=process, via="exe", fd=None, executable=True)) == {
        **HOLDER,
        "exe": "/tmp/\\x1b[2J (deleted)",
        "exe_b64": "L3RtcC8bWzJKIChkZWxldGVkKQ==",
        "comm": "a\\n{{ 7*7 }}\\xff",
        "user": "4000000000",
        "via": "exe",
        "fd": None,
        "executable": True,
        "unit": None,
        "container": "web",
    }


def test_entry() -> None:
    assert Reporter(LOCAL).entry(a_deleted_file(), "removed", []) == {
        "path": "/srv/tool",
        "size": 1000,
        "mode": "0755",
        "owner": "root",
        "group": "root",
        "mtime": 1_700_000_000.5,
        "state": "removed",
        "kind": "regular",
        "allocated": 4096,
        "reclaimable": 4096,
        "device": 65024,
        "inode": 4711,
        "nlink": 0,
        "in_memory": False,
        "visible": True,
        "restorable": True,
        "refused": [],
        "holders": [HOLDER],
        "holders_count": 1,
    }


@pytest.mark.parametrize(
    ("kind", "changes", "visible"),
    [
        ("regular", {"host_path": None}, False),  # as of a container
        ("regular", {"host_path": None, "mount": None}, False),  # on a disk that was detached
        ("memfd", {"host_path": None, "mount": None}, None),
        ("sysv_shm", {"host_path": None, "mount": None}, None),
        ("anonymous", {"host_path": None, "mount": None}, None),
        ("shared_memory", {"host_path": None, "mount": None}, None),
        ("shared_memory", {"path": b"/dev/shm/x", "host_path": b"/dev/shm/x"}, True),
        ("tmpfile", {}, None),
    ],
)
def test_whether_this_host_has_its_place(kind: str, changes: dict[str, Any], visible: bool | None) -> None:
    entry = Reporter(LOCAL).entry(a_deleted_file(a_sighting(**changes), kind=kind), "removed", [])
    assert entry["visible"] is visible


def test_entry_of_a_file_that_this_host_calls_otherwise() -> None:
    entry = Reporter(LOCAL).entry(
        a_deleted_file(a_sighting(path=b"/b/\xff", host_path=b"/a/\xff")), "unknown", ["owner_differs"]
    )
    names = ("path", "path_b64", "host_path", "host_path_b64", "restorable", "refused")
    assert [entry[name] for name in names] == ["/b/\\xff", "L2Iv/w==", "/a/\\xff", "L2Ev/w==", False, ["owner_differs"]]


@pytest.mark.parametrize(("nlink", "freed"), [(0, 4096), (1, 0), (2, 0)])
def test_a_file_with_a_link_left_frees_nothing(nlink: int, freed: int) -> None:
    assert reclaimable(a_deleted_file(a_sighting(file=a_file(nlink=nlink)))) == freed


@pytest.mark.parametrize("kind", ["nfs_silly", "fuse_hidden"])
@pytest.mark.parametrize(("nlink", "freed"), [(1, 4096), (2, 0)])
def test_the_name_that_a_client_gave_is_no_link(kind: str, nlink: int, freed: int) -> None:
    """It goes with the last holder."""
    assert reclaimable(a_deleted_file(a_sighting(file=a_file(nlink=nlink)), kind=kind)) == freed
