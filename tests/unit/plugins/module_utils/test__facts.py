# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, _summary, gather
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort, Scan
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from unit.plugins.holders import NOBODY, Holders, in_child
from unit.plugins.samples import a_deleted_file, a_file, a_process, a_sighting


def facts_below(top: Path, **filters: Any) -> list[dict[str, Any]]:
    found = gather(Filters(**filters), Effort())["deleted_files"]
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
    fd = os.memfd_create("../../usr/bin/bash\n")
    pid = holders.keep(fd).pid
    os.close(fd)
    (entry,) = [
        one for one in gather(Filters(kinds=["memfd"]), Effort())["deleted_files"] if one["holders"][0]["pid"] == pid
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
    (entry,) = [one for one in gather(Filters(), Effort())["deleted_files"] if one["holders"][0]["pid"] == pid]
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
    ],
)
def test_filters(filters: dict[str, Any], wanted: bool) -> None:
    assert Filters(**filters).want(a_deleted_file(a_sighting(path=b"/bound/tool"))) is wanted


def test_summary() -> None:
    nginx = a_process(cgroup=b"0::/system.slice/nginx.service\n", uid=NOBODY)
    session = a_process(cgroup=b"0::/user.slice/session-3.scope\n")
    log = a_deleted_file(a_sighting(process=nginx), a_sighting(process=session))
    library = a_deleted_file(a_sighting(process=nginx, via="map", executable=True, file=a_file(inode=1, nlink=1)))
    memfd = a_deleted_file(a_sighting(path=b"/memfd:x", mount=None, executable=True), kind="memfd")
    seen = Scan([], processes=9, unreadable=0, skipped={}, mounts={})
    assert _summary(seen, [log, library, memfd], Reporter()) == {
        "complete": True,
        "processes": 9,
        "unreadable_processes": 0,
        "unvisited_processes": 0,
        "skipped_mounts": {},
        "count": 3,
        "reclaimable": 8192,
        "kinds": {"regular": 2, "memfd": 1},
        "mount_points": {"/": {"count": 2, "reclaimable": 4096}},
        "units": {
            "nginx.service": {"count": 2, "reclaimable": 4096},
            "session-3.scope": {"count": 1, "reclaimable": 4096},
        },
        "users": {"nobody": {"count": 2, "reclaimable": 4096}, "root": {"count": 2, "reclaimable": 8192}},
        "units_running_deleted": ["nginx.service"],
    }


@pytest.mark.parametrize(("unreadable", "skipped"), [(1, {}), (0, {"/mnt": 2})])
def test_what_was_not_seen_makes_the_summary_incomplete(unreadable: int, skipped: dict[str, int]) -> None:
    summary = _summary(Scan([], 9, unreadable, skipped, {}), [], Reporter())
    assert (summary["complete"], summary["unreadable_processes"], summary["skipped_mounts"]) == (
        False,
        unreadable,
        skipped,
    )


def test_the_summary_is_of_all_whatever_is_filtered(tmp_path: Path, holders: Holders) -> None:
    make(tmp_path / "tool", holders)
    facts = gather(Filters(paths=["/no such path"]), Effort())
    assert facts["deleted_files"] == []
    assert facts["deleted_files_summary"]["count"] >= 1


def test_without_root_it_says_so(open_to_all: Path, holders: Holders) -> None:
    top = open_to_all / "top"
    top.mkdir(0o711)  # others may enter it and not list it
    fd = os.open(top / "mine", os.O_RDWR | os.O_CREAT)
    (top / "mine").unlink()
    holders.keep(fd, user=NOBODY)
    os.close(fd)

    def look() -> tuple[list[str], bool]:
        facts = gather(Filters(paths=[str(top)]), Effort())
        return [one["path"] for one in facts["deleted_files"]], facts["deleted_files_summary"]["complete"]

    assert in_child(look, user=NOBODY) == ([f"{top}/mine"], False)
