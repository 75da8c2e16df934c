# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, Listing, Places, gather
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._summary import Found
from unit.plugins.holders import NOBODY, Holders, in_child, memfd
from unit.plugins.samples import a_deleted_file, a_sighting


def facts_below(top: Path, **filters: Any) -> list[dict[str, Any]]:
    found = gather(Filters(**filters), host=LOCAL)["deleted_files"]
    return [entry for entry in found if entry["path"].startswith(f"{top}/")]


def states(top: Path) -> dict[str, tuple[str, bool, list[str]]]:
    return {
        os.path.basename(entry["path"]): (entry["state"], entry["restorable"], entry["refused"])
        for entry in facts_below(top)
    }


def make(path: Path, holders: Holders, delete: bool = True) -> int:
    held = holders.open(path, os.O_RDWR | os.O_CREAT)
    if delete:
        path.unlink()
    return held.pid


def test_a_deleted_file(tmp_path: Path, holders: Holders) -> None:
    pid = make(tmp_path / "tool", holders)
    (entry,) = facts_below(tmp_path)
    assert (entry["path"], entry["state"], entry["kind"], entry["nlink"]) == (
        f"{tmp_path}/tool",
        "removed",
        "regular",
        0,
    )
    assert (entry["restorable"], entry["refused"]) == (True, [])
    assert [(holder["pid"], holder["via"], holder["access"]) for holder in entry["holders"]] == [(pid, "fd", "both")]


GATHER = """
import json
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
print(json.dumps(gather(Filters(), host=LOCAL)))
"""


def test_as_root_of_a_container_mappings_are_not_to_be_read(tmp_path: Path, holders: Holders) -> None:
    """Without CAP_SYS_ADMIN, as most containers are: what is not known is not said to be nothing."""
    pid = holders.map_library(tmp_path / "library.so").pid
    (tmp_path / "library.so").unlink()
    dropped = "-sys_admin,-checkpoint_restore"
    command = ["setpriv", f"--inh-caps={dropped}", f"--bounding-set={dropped}", sys.executable, "-c", GATHER]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
    seen, limited = gather(Filters(), host=LOCAL), json.loads(done.stdout)
    assert pid in [holder["pid"] for entry in seen["deleted_files"] for holder in entry["holders"]]
    assert pid not in [holder["pid"] for entry in limited["deleted_files"] for holder in entry["holders"]]
    unreadable = [found["deleted_files_summary"]["unreadable_processes"] for found in (seen, limited)]
    assert unreadable[1] > unreadable[0]
    assert not limited["deleted_files_summary"]["complete"]


def test_states(tmp_path: Path, holders: Holders) -> None:
    make(tmp_path / "removed", holders)
    make(tmp_path / "replaced", holders)
    (tmp_path / "replaced").touch()
    make(tmp_path / "folder-now", holders)
    (tmp_path / "folder-now").mkdir()
    make(tmp_path / "symlink-now", holders)
    (tmp_path / "symlink-now").symlink_to("nowhere")
    (tmp_path / "gone").mkdir()
    make(tmp_path / "gone/file", holders)
    (tmp_path / "gone").rmdir()
    assert states(tmp_path) == {
        "removed": ("removed", True, []),
        "replaced": ("replaced", True, []),
        "folder-now": ("replaced", True, []),
        "symlink-now": ("replaced", True, []),
        "file": ("removed", False, ["folder_gone"]),
    }


def test_a_file_that_was_linked_again_is_not_replaced(tmp_path: Path, holders: Holders) -> None:
    """Its holder's link says deleted for ever; but the name has the very file."""
    make(tmp_path / "tool", holders, delete=False)
    os.link(tmp_path / "tool", tmp_path / "other")
    (tmp_path / "tool").unlink()
    os.link(tmp_path / "other", tmp_path / "tool")
    assert states(tmp_path) == {}


def test_refusals(tmp_path: Path, holders: Holders) -> None:
    for name in "others", "sticky", "own":
        (tmp_path / name).mkdir()
        make(tmp_path / name / name, holders, delete=False)
        os.chown(tmp_path / name / name, NOBODY, NOBODY)
        (tmp_path / name / name).unlink()
    (tmp_path / "sticky").chmod(0o1777)
    os.chown(tmp_path / "own", NOBODY, NOBODY)
    make(tmp_path / "own" / "writable", holders)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    make(tmp_path / "open" / "open", holders)
    assert states(tmp_path) == {
        "others": ("removed", False, ["owner_differs"]),
        "sticky": ("removed", True, []),
        "own": ("removed", True, []),
        "writable": ("removed", True, []),
        "open": ("removed", False, ["ancestor_writable", "checksum_wanted"]),
    }


def test_a_memfd(holders: Holders) -> None:
    fd = memfd("../../usr/bin/bash\n")
    pid = holders.keep(fd).pid
    os.close(fd)
    (entry,) = [
        one for one in gather(Filters(kinds=["memfd"]), host=LOCAL)["deleted_files"] if one["holders"][0]["pid"] == pid
    ]
    assert (entry["path"], entry["restorable"], entry["refused"]) == (
        "/memfd:../../usr/bin/bash\\n",
        False,
        ["no_name"],
    )


def test_a_file_on_a_mount_that_nobody_knows_has_no_known_state(tmp_path: Path, holders: Holders) -> None:
    """It is not known whether its name is free: unknown is not reported as removed."""
    (tmp_path / "mount").mkdir()
    script = 'mount -t tmpfs none "$1"; exec 3>"$1/x"; rm "$1/x"; umount -l "$1"; echo ready; exec cat'
    pid = holders.start(
        *("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", tmp_path / "mount")
    )
    holders.expect(pid, b"ready\n")
    (entry,) = [one for one in gather(Filters(), host=LOCAL)["deleted_files"] if one["holders"][0]["pid"] == pid]
    assert (entry["state"], entry["refused"]) == ("unknown", ["mount_unknown"])


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({}, True),
        ({"paths": ["/srv"]}, True),
        ({"paths": ["/srv/"]}, True),
        ({"paths": ["/srv/t*"]}, True),
        ({"paths": ["/s*"]}, True),
        ({"paths": ["/srv/tool"]}, True),
        ({"paths": ["/bound/tool"]}, True),
        ({"paths": ["/sr"]}, False),
        ({"paths": ["tool"]}, False),
        ({"paths": ["/x", "/srv"]}, True),
        ({"excludes": ["/srv"]}, False),
        ({"excludes": ["/x"]}, True),
        ({"paths": ["/srv"], "excludes": ["*/tool"]}, False),
        ({"kinds": ["regular"]}, True),
        ({"kinds": ["memfd"]}, False),
        ({"min_size": 1000}, True),
        ({"min_size": 1001}, False),
        ({"paths": ["/srv/[t]ool"]}, True),
        ({"paths": ["/"]}, True),
        ({"states": ["removed", "unknown"]}, True),
        ({"states": ["replaced"]}, False),
        ({"users": ["ro*"]}, True),
        ({"users": ["nobody"]}, False),
        ({"units": ["nginx.service"]}, False),
        ({"via": ["exe", "fd"]}, True),
        ({"via": ["map"]}, False),
    ],
)
def test_filters(filters: dict[str, Any], wanted: bool) -> None:
    found = Found(a_deleted_file(a_sighting(path=b"/bound/tool")), "removed")
    assert Filters(**filters).want(found, Reporter(LOCAL)) is wanted


def test_the_summary_is_of_all_whatever_is_filtered(tmp_path: Path, holders: Holders) -> None:
    make(tmp_path / "tool", holders)
    facts = gather(Filters(paths=["/no such path"]), host=LOCAL)
    assert facts["deleted_files"] == []
    assert facts["deleted_files_summary"]["count"] >= 1


def test_order_and_limit(tmp_path: Path, holders: Holders) -> None:
    for name, size in (("a", 5000), ("b", 500_000), ("c", 50_000)):
        path = tmp_path / name
        held = holders.open(path, os.O_RDWR | os.O_CREAT)
        Path(held.link).write_bytes(b"x" * size)
        path.unlink()
    filters = Filters(paths=[str(tmp_path)])

    def names(**listing: Any) -> list[str]:
        return [
            os.path.basename(one["path"])
            for one in gather(filters, listing=Listing(**listing), host=LOCAL)["deleted_files"]
        ]

    assert names(sort="path") == ["a", "b", "c"]
    assert names(sort="reclaimable") == names(sort="size") == ["b", "c", "a"]
    assert names(sort="mtime") == ["c", "b", "a"]
    assert names(sort="size", limit=1) == ["b"]
    summary = gather(filters, listing=Listing(limit=2), host=LOCAL)["deleted_files_summary"]
    assert (summary["wanted"], summary["listed"]) == (3, 2)
    assert summary["count"] >= 3


def test_a_library_that_all_use(tmp_path: Path, holders: Holders) -> None:
    """A file has no more holders in the facts than is wanted, all are counted, and filters see all."""
    fd = os.open(tmp_path / "shared", os.O_RDWR | os.O_CREAT)
    pids = [holders.keep(fd).pid for _number in range(5)]
    holders.keep(fd, user=NOBODY)
    os.close(fd)
    (tmp_path / "shared").unlink()
    for limit, listed in ((None, 6), (2, 2), (0, 0), (100, 6)):
        filters = Filters(paths=[str(tmp_path)], users=["nobody"])
        (entry,) = gather(filters, listing=Listing(holders_limit=limit), host=LOCAL)["deleted_files"]
        assert (len(entry["holders"]), entry["holders_count"]) == (listed, 6)
        assert [one["pid"] for one in entry["holders"]][:5] == pids[:listed]


def test_digest_and_package(tmp_path: Path, holders: Holders) -> None:
    make(tmp_path / "tool", holders)
    (entry,) = gather(Filters(paths=[str(tmp_path)]), listing=Listing(checksum="md5", package=True), host=LOCAL)[
        "deleted_files"
    ]
    assert entry["checksum"] == "md5:d41d8cd98f00b204e9800998ecf8427e"
    assert entry["package"] is None


def test_no_digest_of_what_cannot_be_read(tmp_path: Path, holders: Holders) -> None:
    os.mkfifo(tmp_path / "fifo")
    holders.open(tmp_path / "fifo", os.O_RDWR)
    (tmp_path / "fifo").unlink()
    huge = holders.open(tmp_path / "huge", os.O_RDWR | os.O_CREAT)
    os.truncate(huge.link, 2**40)
    (tmp_path / "huge").unlink()
    entries = gather(Filters(paths=[str(tmp_path)]), listing=Listing(checksum="sha256"), host=LOCAL)["deleted_files"]
    assert [entry["checksum"] for entry in entries] == [None, None]


def test_many_folders(tmp_path: Path, holders: Holders) -> None:
    """They are not all kept open: a host may have few descriptors to give."""
    for number in range(100):
        (tmp_path / str(number)).mkdir()
    fds = [os.open(tmp_path / str(number) / "file", os.O_RDWR | os.O_CREAT) for number in range(100)]
    holders.start("cat", keep=tuple(fds))
    for number, fd in enumerate(fds):
        os.close(fd)
        (tmp_path / str(number) / "file").unlink()
    before = len(os.listdir("/proc/self/fd"))
    entries = facts_below(tmp_path)
    assert len(entries) == 100
    assert all(entry["state"] == "removed" and entry["restorable"] for entry in entries)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_name_that_nfs_gave_is_not_the_one_it_had() -> None:
    """Its own .nfs name is there, which does not mean that another file replaced it."""
    deleted = a_deleted_file(a_sighting(path=b"/srv/.nfs0000000012345678"), kind="nfs_silly")
    places = Places({}, LOCAL)
    assert places.state(deleted) == "unknown"


def test_without_root_it_says_so(open_to_all: Path, holders: Holders) -> None:
    top = open_to_all / "top"
    top.mkdir(0o711)  # others may enter it and not list it
    fd = os.open(top / "mine", os.O_RDWR | os.O_CREAT)
    (top / "mine").unlink()
    holders.keep(fd, user=NOBODY)
    os.close(fd)

    def look() -> tuple[list[str], bool]:
        facts = gather(Filters(paths=[str(top)]), host=LOCAL)
        return [one["path"] for one in facts["deleted_files"]], facts["deleted_files_summary"]["complete"]

    assert in_child(look, user=NOBODY) == ([f"{top}/mine"], False)
