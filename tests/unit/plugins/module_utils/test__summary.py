# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import Mount, Process, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._mounts import own_mounts
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan
from ansible_collections.procfs.rescue.plugins.module_utils._summary import USUAL, Found, summary
from unit.plugins.holders import NOBODY, Holders, memfd, wait_until
from unit.plugins.samples import ROOT_MOUNT, a_deleted_file, a_file, a_process, a_scan, a_sighting

NGINX = b"0::/system.slice/nginx.service\n"
SESSION = b"0::/user.slice/user-0.slice/session-3.scope\n"
DOCKER = b"0::/system.slice/docker-" + b"5" * 64 + b".scope\n"


def told(*found: Found, critical: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    return summary(a_scan(**changes), found, Reporter(LOCAL), USUAL._replace(critical=critical), LOCAL)


def executed_by(*holders: Process, state: str = "replaced", **changes: Any) -> Found:
    sightings = [a_sighting(process=one, via="map", executable=True, **changes) for one in holders]
    return Found(a_deleted_file(*sightings), state)


def test_totals() -> None:
    nginx = a_process(cgroup=NGINX, uid=NOBODY)
    session = a_process(cgroup=SESSION)
    log = a_deleted_file(a_sighting(process=nginx), a_sighting(process=session))
    linked = a_deleted_file(a_sighting(process=nginx, file=a_file(inode=1, nlink=1)))
    memfd = a_deleted_file(a_sighting(path=b"/memfd:x", mount=None), kind="memfd")
    on_tmpfs = a_deleted_file(a_sighting(mount=Mount(30, "0:30", b"/", b"/tmp", "tmpfs")))
    detached = a_deleted_file(a_sighting(mount=None, file=a_file(inode=2)))  # by umount -l
    summary = told(*(Found(one, "removed") for one in (log, linked, memfd, on_tmpfs, detached)))
    row = {"count": 2, "reclaimable": 4096, "memory": 0}
    assert summary["count"] == 5
    assert (summary["reclaimable"], summary["memory"]) == (8192, 8192)
    assert summary["kinds"] == {"regular": 4, "memfd": 1}
    assert summary["units"] == {"nginx.service": row, "session-3.scope": dict(row, count=1)}
    assert summary["users"] == {"nobody": row, "root": {"count": 4, "reclaimable": 8192, "memory": 8192}}
    elsewhere = {"count": 2, "reclaimable": 4096, "memory": 4096, "size": None, "free": None}
    assert set(summary["mount_points"]) == {"/", "(elsewhere)"}
    assert summary["mount_points"]["/"]["count"] == 2
    assert summary["mount_points"]["(elsewhere)"] == elsewhere


def test_the_room_of_a_mount_point_is_that_of_df() -> None:
    mount = next(mount for mount in own_mounts().values() if mount.mount_point == b"/")
    row = told(Found(a_deleted_file(a_sighting(mount=mount)), "removed"), mounts=own_mounts())["mount_points"]["/"]
    df = os.statvfs("/")
    assert row["size"] == df.f_blocks * df.f_frsize
    assert abs(row["free"] - df.f_bfree * df.f_frsize) < 2**30


def test_a_bind_mount_is_no_file_system_of_its_own() -> None:
    """Nor is what a container calls its /: the host's own mount of that device is named."""
    mounts = {
        27: ROOT_MOUNT,
        40: Mount(40, "254:0", b"/srv/app", b"/srv/app", "ext4"),
        41: Mount(41, "0:41", b"/", b"/var/lib/box", "overlay"),
    }
    bound = a_deleted_file(a_sighting(mount=mounts[40]))
    inside = a_deleted_file(a_sighting(mount=Mount(99, "0:41", b"/", b"/", "overlay"), foreign="trusted"))
    rows = told(Found(bound, "removed"), Found(inside, "removed"), mounts=mounts)["mount_points"]
    assert {name: rows[name]["count"] for name in rows} == {"/": 1, "/var/lib/box": 1}


@pytest.mark.parametrize("changes", [{"unreadable": 1}, {"skipped": {"/mnt": 2}}, {"unvisited": 3}])
def test_what_was_not_seen_makes_it_incomplete(changes: dict[str, Any]) -> None:
    assert told()["complete"]
    assert not told(**changes)["complete"]


def test_who_runs_what_is_gone() -> None:
    dbus = a_process(pid=2, cgroup=b"0::/system.slice/dbus.service\n")
    boxed, alone = a_process(pid=3, cgroup=DOCKER), a_process(pid=4)
    running = told(
        executed_by(a_process(pid=1, cgroup=NGINX), dbus, boxed, alone),
        executed_by(dbus, state="removed"),
        executed_by(boxed, state="unknown"),
    )["running"]
    (process,) = running["replaced"].pop("processes")
    assert (process["pid"], process["comm"], process["start_time"]) == (4, "daemon", 77)
    assert running == {
        "replaced": {"units": ["nginx.service"], "careful_units": ["dbus.service"], "containers": ["5" * 64]},
        "removed": {"units": [], "careful_units": ["dbus.service"], "containers": [], "processes": []},
        "unknown": {"units": [], "careful_units": [], "containers": ["5" * 64], "processes": []},
    }


def test_who_only_reads_it_need_not_be_restarted() -> None:
    reader = Found(a_deleted_file(a_sighting(process=a_process(cgroup=NGINX))), "replaced")
    jit = executed_by(a_process(cgroup=NGINX), path=b"/tmp/ffiA1b2C3", state="removed")
    running = told(reader, jit)["running"]
    assert not any(running[state]["units"] for state in running)


def test_our_own_connection_is_left_out() -> None:
    ours, theirs = a_process(pid=5), a_process(pid=6)
    found = executed_by(ours, theirs)
    exe = Found(
        a_deleted_file(*(a_sighting(process=one, via="exe", executable=True) for one in (ours, theirs))), "removed"
    )
    summary = told(found, exe, connection=frozenset([5]))
    assert [one["pid"] for one in summary["running"]["replaced"]["processes"]] == [6]
    assert [one["pid"] for one in summary["suspicious"]] == [6]


def suspects(holders: list[int]) -> dict[int, list[str]]:
    """What a scan of this machine finds suspicious about some processes."""
    seen = scan(lambda _sighting: False)
    found = [Found(a_deleted_file(one), _state(one)) for one in seen.sightings if one.path.startswith(b"/tmp/")]
    memfds = [
        Found(a_deleted_file(one, kind="memfd"), "removed") for one in seen.sightings if one.path.startswith(b"/memfd:")
    ]
    rows = summary(seen, [*found, *memfds], Reporter(LOCAL), USUAL, LOCAL)["suspicious"]
    return {row["pid"]: row["reasons"] for row in rows if row["pid"] in holders}


def _state(sighting: Sighting) -> str:
    return "replaced" if os.path.lexists(sighting.path) else "removed"


def test_suspicious_executables(tmp_path: Path, open_to_all: Path, holders: Holders) -> None:
    writable = open_to_all / "writable"
    (writable / "below").mkdir(parents=True)
    writable.chmod(0o777)
    removed = holders.run(tmp_path / "removed").pid
    (tmp_path / "removed").unlink()
    live = holders.run(writable / "below/live").pid
    fd = memfd("kworker")
    os.write(fd, Path("/bin/cat").read_bytes())
    fileless = holders.start(f"/proc/self/fd/{fd}", keep=(fd,))
    os.close(fd)
    found = suspects([removed, live, fileless])
    assert "removed" in found[removed]
    assert found[live] == ["world_writable_folder"]
    assert found[fileless] == ["memfd"]


def test_what_is_not_suspicious(tmp_path: Path, holders: Holders) -> None:
    """An upgraded program, a holder of memfds, one that maps a removed library to execute it."""
    upgraded = holders.run(tmp_path / "upgraded").pid
    (tmp_path / "upgraded").unlink()
    (tmp_path / "upgraded").touch()
    fd = memfd("data")
    keeps = holders.keep(fd).pid
    os.close(fd)
    library = holders.map_library(tmp_path / "jna123.tmp").pid
    (tmp_path / "jna123.tmp").unlink()
    writable_anyway = any(stat.S_IMODE(one.stat().st_mode) & 0o002 for one in (tmp_path, *tmp_path.parents))
    found = suspects([upgraded, keeps, library])
    assert found == ({upgraded: ["world_writable_folder"]} if writable_anyway else {})


IN_A_NAMESPACE = """
{mount}
cp /bin/cat "$2/program"
echo ready
exec "$2/program"
"""


@pytest.mark.parametrize(
    ("mount", "place", "options", "reasons"),
    [
        # A container's folder is not the one of the same name that everybody may write to here.
        ('mount -t tmpfs -o mode=755 box "$2"', None, (), None),
        # What a service calls otherwise is judged by what it is here.
        ('mount --bind "$1" "$2"', "/mnt", (), ["world_writable_folder"]),
        # A user who makes a namespace has not hidden what she runs.
        ('mount -t tmpfs -o mode=755 box "$2"', None, ("--user", "--map-root-user"), ["world_writable_folder"]),
    ],
)
def test_executables_that_others_see_elsewhere(
    open_to_all: Path,
    holders: Holders,
    mount: str,
    place: str | None,
    options: tuple[str, ...],
    reasons: list[str] | None,
) -> None:
    open_to_all.chmod(0o777)
    pid = holders.start(
        *("unshare", "--mount", "--propagation", "private", *options, "sh", "-ec", IN_A_NAMESPACE.format(mount=mount)),
        *("sh", open_to_all, place or open_to_all),
    )
    holders.expect(pid, b"ready\n")
    program = f"{place or open_to_all}/program"
    wait_until(lambda: os.readlink(f"/proc/{pid}/exe") == program)
    assert suspects([pid]).get(pid) == reasons


@pytest.mark.parametrize(("options", "reason"), [((), "removed"), (("--user", "--map-root-user"), "removed_elsewhere")])
def test_executables_that_were_removed_elsewhere(
    tmp_path: Path, holders: Holders, options: tuple[str, ...], reason: str
) -> None:
    """Nor has a user hidden what she removed in mounts of her own."""
    script = 'mount -t tmpfs -o mode=755 box "$1"; cp /bin/cat "$1/program"; echo ready; exec "$1/program"'
    pid = holders.start(
        *("unshare", "--mount", "--propagation", "private", *options, "sh", "-ec", script, "sh", tmp_path)
    )
    holders.expect(pid, b"ready\n")
    program = f"{tmp_path}/program"
    wait_until(lambda: os.readlink(f"/proc/{pid}/exe") == program)
    entering = ["nsenter", "--target", str(pid), "--mount", *(["--user", "--preserve-credentials"] if options else [])]
    subprocess.run([*entering, "rm", program], check=True)
    found = gather(Filters(), host=LOCAL)["deleted_files_summary"]["suspicious"]
    (row,) = [row for row in found if row["pid"] == pid]
    assert row["reasons"][0] == reason


def test_critical_paths(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "link").symlink_to("there")
    paths = tuple(str(tmp_path / name) for name in ("there", "gone", "dangling", "link", "no folder/file"))
    missing = told(critical=(*paths, "/bin/sh"), mounts=own_mounts())["critical_missing"]
    assert [os.path.basename(path) for path in missing] == ["gone", "dangling", "file"]
