# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hosts tell, in the form that deleted_files_facts and restore_file give it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.procfs.rescue.plugins.plugin_utils._report_data import HostReport, from_saved, merged
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_page import page
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_plots import plots
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import view

GIB = 1 << 30
# As a host that was taken over might name things: markup, templates, formulas, screen codes, bidirectional text.
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "</title></svg><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "=cmd|' /C calc'!A0",
    "\u202egpj.exe\u2066",
    "line\nbreak\r\x1b[2J\x9b",
    "'; touch owned; '",
    "\ud800",
)


def a_holder(**changes: Any) -> dict[str, Any]:
    holder = {
        "pid": 812,
        "start_time": 114332,
        "comm": "nginx",
        "exe": "/usr/sbin/nginx",
        "user": "www-data",
        "via": "fd",
        "fd": 3,
        "access": "write",
        "executable": False,
        "unit": "nginx.service",
        "user_unit": None,
        "container": None,
        "link": "/proc/812/fd/3",
        "device": 65024,
        "inode": 392841,
    }
    return {**holder, **changes}


def an_entry(path: str = "/var/log/access.log", size: int = GIB, **changes: Any) -> dict[str, Any]:
    entry = {
        "path": path,
        "state": "removed",
        "kind": "regular",
        "size": size,
        "allocated": size,
        "reclaimable": size,
        "in_memory": False,
        "visible": True,
        "device": 65024,
        "inode": 392841,
        "nlink": 0,
        "mode": "0644",
        "owner": "root",
        "group": "root",
        "mtime": 1682253120.5,
        "restorable": True,
        "refused": [],
        "holders": [a_holder()],
    }
    return {**entry, **changes}


def bash(**changes: Any) -> dict[str, Any]:
    """Gone, and somebody's shell."""
    holder = a_holder(comm="bash", exe="/usr/bin/bash (deleted)", user="root", via="exe", executable=True, unit=None)
    return an_entry("/usr/bin/bash", 1265648, holders=[holder], **changes)


def runners(**changes: list[Any]) -> dict[str, list[Any]]:
    return {"units": [], "careful_units": [], "containers": [], "processes": [], **changes}


def facts(*entries: dict[str, Any], running: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    held = sum(entry["reclaimable"] for entry in entries)
    total = {"count": len(entries), "reclaimable": held, "memory": 0}
    summary = {
        "complete": True,
        "way": "module",
        "ways_closed": [],
        "processes": 142,
        "unreadable_processes": 0,
        "unvisited_processes": 0,
        "skipped_mounts": {},
        "count": len(entries),
        "wanted": len(entries),
        "listed": len(entries),
        "reclaimable": held,
        "memory": 0,
        "kinds": {"regular": len(entries)},
        "mount_points": {"/var": {**total, "size": 100 * GIB, "free": GIB}} if entries else {},
        "units": {"nginx.service": total} if entries else {},
        "users": {"www-data": total} if entries else {},
        "running": {"replaced": runners(), "removed": runners(), "unknown": runners(), **(running or {})},
        "suspicious": [],
        "critical_missing": [],
    }
    return {"deleted_files": list(entries), "deleted_files_summary": {**summary, **changes}}


def a_result(path: str = "/usr/bin/bash", status: str = "restored", **changes: Any) -> dict[str, Any]:
    source = {"pid": 812, "via": "exe", "link": "/proc/812/exe", "comm": "bash", "user": "root"}
    result = {"path": path, "status": status, "msg": f"{path} was {status}.", "seconds": 0.012, "source": source}
    return {**result, "checksum": "sha256:2b2a", "content_by": "package", "usable": True, "consistent": True, **changes}


def reports(when: float = 1000.0, **hosts: dict[str, Any]) -> list[HostReport]:
    return merged(from_saved(hosts, "facts.json", when))


def page_of(hosts: Iterable[HostReport]) -> str:
    told = view(list(hosts))
    return page(told, plots(told), 2000.0, "r.csv", "r.json")
