# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The target's part of collect_files: all that is known of deleted files and of who holds them. Nothing is written."""

import base64
import os
import time
from contextlib import suppress
from typing import Any, Dict, Iterator, List, Sequence

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._handle import file_of, read_at
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import read_metadata
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._source import opened
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests

COLLECT_SPEC: Dict[str, Dict[str, Any]] = {
    "dest": {"type": "str", "required": True},
    "via": {"type": "list", "elements": "str", "choices": ["exe", "fd", "map"], "default": []},
    "suspicious_only": {"type": "bool", "default": False},
    "min_size": {"type": "bytes", "default": "0"},
    "max_size": {"type": "bytes"},
    "md5": {"type": "bool", "default": False},
    "allow_tmp": {"type": "bool", "default": False},
    "seal": {"type": "bool", "default": False},
}

# Of what user space counts in, whatever the kernel's own clock (time(7)).
_TICKS = os.sysconf("SC_CLK_TCK")


def collect(options: Dict[str, Any]) -> Dict[str, Any]:
    """What `COLLECT_SPEC` chooses: ``host``, ``files`` (youngest holder first) and what could not be read. Raises
    OSError and RescueError."""
    began = time.time()
    told = gather(Filters(via=options["via"], min_size=options["min_size"]))
    summary = told["deleted_files_summary"]
    suspicious = {one["pid"]: one["reasons"] for one in summary["suspicious"]}
    files = [
        dict(entry, suspicious=reasons)
        for entry in told["deleted_files"]
        for reasons in [_reasons(entry, suspicious)]
        if reasons or not options["suspicious_only"]
    ]
    files.sort(key=lambda entry: -max(holder["start_time"] for holder in entry["holders"]))
    algorithms = ["sha256", "md5"] if options["md5"] else ["sha256"]
    return {
        "host": _host(),
        "files": [_evidence(entry, options["max_size"], algorithms) for entry in files],
        "complete": summary["complete"],
        "unreadable_processes": summary["unreadable_processes"],
        "silent_processes": summary["silent_processes"],
        "skipped_mounts": summary["skipped_mounts"],
        "began": began,
        "ended": time.time(),
    }


def _reasons(entry: Dict[str, Any], suspicious: Dict[int, List[str]]) -> List[str]:
    """Why whoever executes the file is suspicious."""
    return sorted({why for one in entry["holders"] if one["via"] == "exe" for why in suspicious.get(one["pid"], ())})


def _host() -> Dict[str, Any]:
    system = os.uname()
    return {
        "hostname": printable(os.fsencode(system.nodename)),
        "kernel": "%s %s %s" % (system.sysname, system.release, system.version),
        "architecture": system.machine,
        "machine_id": _line("/etc/machine-id"),
        "boot_id": _line("/proc/sys/kernel/random/boot_id"),
        "boot_time": _boot_time(),
    }


def _line(path: str) -> Any:
    try:
        return printable(read_at(path).strip())
    except OSError:
        return None


def _boot_time() -> Any:
    """Seconds since the epoch, by the host's clock (btime of proc_stat(5))."""
    for line in read_at("/proc/stat").split(b"\n"):
        if line.startswith(b"btime "):
            return int(line[6:])
    return None


def _evidence(entry: Dict[str, Any], max_size: Any, algorithms: Sequence[str]) -> Dict[str, Any]:
    """The entry with ``digests``, or ``unread``: why there are none."""
    raw = path_bytes(entry) or b""
    fields = dict(entry, path_b64=base64.b64encode(raw).decode("ascii"), digests=None, unread=None)
    fields["holders"] = [dict(holder, **_context(holder["pid"], holder["start_time"])) for holder in entry["holders"]]
    if max_size is not None and entry["size"] > max_size:
        return dict(fields, unread="it is larger than max_size")
    for holder in entry["holders"]:
        try:
            with opened(holder) as fd:
                if file_of(fd).is_nearly_all_hole:
                    return dict(fields, unread="it is nearly all hole: fetch it by itself")
                return dict(fields, source=holder, digests=digests(fd, algorithms, entry["size"]), **_metadata(fd))
        except (OSError, RescueError) as error:
            fields["unread"] = fault(error) if isinstance(error, OSError) else str(error)
    return fields


def _metadata(fd: int) -> Dict[str, Any]:
    status, metadata = os.fstat(fd), read_metadata(fd)
    return {
        "uid": status.st_uid,
        "gid": status.st_gid,
        "atime_ns": status.st_atime_ns,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "xattrs": {name: base64.b64encode(value).decode("ascii") for name, value in metadata.xattrs.items()},
        "xattrs_unread": list(metadata.unread),
    }


def _context(pid: int, start_time: int) -> Dict[str, Any]:
    """What more is known of a holder; what ended meanwhile, or is hidden, is null."""
    fields: Dict[str, Any] = dict.fromkeys(("started", "uid", "cgroup", "cwd", "namespaces", "parents"))
    with suppress(OSError):
        if _procfs.start_time(read_at("/proc/%d/stat" % pid)) != start_time:
            return fields
        boot = _boot_time()
        fields["started"] = None if boot is None else boot + start_time / _TICKS
        fields["uid"] = _procfs.uid(read_at("/proc/%d/status" % pid))
        fields["cgroup"] = printable(read_at("/proc/%d/cgroup" % pid))
        fields["parents"] = list(_parents(pid))
        fields["namespaces"] = _namespaces(pid)
        fields["cwd"] = printable(os.readlink(b"/proc/%d/cwd" % pid))
    return fields


def _namespaces(pid: int) -> Dict[str, str]:
    found = {}
    for name in sorted(os.listdir("/proc/%d/ns" % pid)):
        with suppress(OSError):
            found[name] = os.readlink("/proc/%d/ns/%s" % (pid, name))
    return found


def _parents(pid: int) -> Iterator[Dict[str, Any]]:
    """From the next one up to init."""
    seen = {pid}
    with suppress(OSError):
        while True:
            parent = _procfs.parent(read_at("/proc/%d/status" % pid))
            if not parent or parent in seen:
                return
            seen.add(parent)
            pid = parent
            stat = read_at("/proc/%d/stat" % pid)
            try:
                exe = os.fsencode(os.readlink("/proc/%d/exe" % pid))
            except OSError:  # a kernel thread, or hidden
                exe = b""
            comm = printable(stat[stat.find(b"(") + 1 : stat.rfind(b")")])
            yield dict(path_fields(exe, "exe"), pid=pid, start_time=_procfs.start_time(stat), comm=comm)
