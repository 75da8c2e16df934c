# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plain data as the steps of the pipeline pass it on: a root-owned /srv/tool, deleted, held by a daemon."""

from __future__ import annotations

import stat
from typing import Any

from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    Ancestor,
    DeletedFile,
    File,
    Folder,
    Mount,
    Place,
    Process,
    Scan,
    Sighting,
    Target,
)

# What a host says that it needs.
NEED: dict[str, Any] = {
    "path": "/usr/bin/tool",
    "checksum": "md5:900150983cd24fb0d6963f7d28e17f72",
    "checksum_by": "package",
    "package": "tool",
    "version": "1",
    "architecture": "all",
    "manager": "dpkg",
    "release": "debian 12",
}

# What a host tells of a file that it has for others, as Ansible passes it on.
OFFER: dict[str, Any] = {
    "size": 3,
    "mode": "0755",
    "owner": "root",
    "group": "root",
    "mtime_ns": 0,
    "xattrs": {},
    "leads_to": None,
    "source": "/usr/bin/tool",
    "folders": [],
}

ROOT_MOUNT = Mount(27, "254:0", b"/", b"/", "ext4")


def a_file(**changes: Any) -> File:
    file = File(
        device=65024,
        inode=4711,
        mode=stat.S_IFREG | 0o755,
        nlink=0,
        uid=0,
        gid=0,
        size=1000,
        allocated=4096,
        mtime_ns=1_700_000_000_500_000_000,
    )
    return file._replace(**changes)


def a_process(**changes: Any) -> Process:
    process = Process(pid=812, start_time=77, comm=b"daemon", exe=b"/usr/sbin/daemon", uid=0, cgroup=b"0::/\n")
    return process._replace(**changes)


def a_sighting(**changes: Any) -> Sighting:
    sighting = Sighting(
        process=a_process(),
        via="fd",
        fd=3,
        access="read",
        executable=False,
        link="/proc/812/fd/3",
        path=b"/srv/tool",
        file=a_file(),
        handle=None,
        mount=ROOT_MOUNT,
        place=Place("254:0", b"/srv/tool"),
        foreign=None,
        host_path=b"/srv/tool",
    )
    return sighting._replace(**changes)


def a_deleted_file(*sightings: Sighting, kind: str = "regular") -> DeletedFile:
    seen = list(sightings) or [a_sighting()]
    return DeletedFile(seen[0].file, kind, seen)


def a_scan(**changes: Any) -> Scan:
    return Scan([], 9, 0, {}, [], {27: ROOT_MOUNT}, 0, {}, frozenset())._replace(**changes)


def an_ancestor(path: bytes = b"/srv", uid: int = 0, mode: int = 0o755) -> Ancestor:
    return Ancestor(path, uid, stat.S_IFDIR | mode)


def a_folder(*ancestors: Ancestor, **changes: Any) -> Folder:
    """/srv, not opened."""
    folder = Folder(-1, b"/srv", Place("254:0", b"/srv"), list(ancestors) or [an_ancestor(b"/"), an_ancestor()])
    return folder._replace(**changes)


def a_target(name: bytes = b"tool", **changes: Any) -> Target:
    return Target(a_folder(**changes), name)
