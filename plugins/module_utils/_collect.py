# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The target's part of collect_files: all that is known of deleted files and of who holds them. Nothing is written."""

import base64
import fcntl
import os
import resource
import struct
import time
from contextlib import ExitStack, suppress
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._handle import file_of, read_at
from ansible_collections.procfs.rescue.plugins.module_utils._ioctl import GET_FLAGS
from ansible_collections.procfs.rescue.plugins.module_utils._keep_open import hold
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import read_metadata
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._source import opened
from ansible_collections.procfs.rescue.plugins.module_utils._stream import stamp
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
    "results": {"type": "dict"},
}

# Seconds for which a process of our own keeps open what was chosen, should nobody end it: an implant may end meanwhile.
_KEPT = 3600.0

# Descriptors that are left for all else.
_SPARE = 64

# Of a file, unknown unless it could be opened and read.
_OF_THE_INODE = ("uid", "gid", "atime_ns", "mtime_ns", "ctime_ns", "btime_ns", "flags", "xattrs", "xattrs_unread")
_OF_THE_CONTENT = ("source", "digests", "consistent", "unread", "kept")

# statx(2), whose answer is the same on all processors: its mask is at the beginning, the time of birth at 80.
_EMPTY_PATH, _BTIME, _SIZE_OF_STATX = 0x1000, 0x800, 256

# Of what user space counts in, whatever the kernel's own clock (time(7)).
_TICKS = os.sysconf("SC_CLK_TCK")


def collect(options: Dict[str, Any]) -> Dict[str, Any]:
    """What `COLLECT_SPEC` chooses: ``host``, ``files`` (youngest holder first) and what could not be read. Raises
    OSError and RescueError."""
    began = time.time()
    told = gather(Filters(via=options["via"], min_size=options["min_size"]), host=LOCAL)
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
    with ExitStack() as stack:
        # All are open before the first is read, which may take long.
        room = _room()
        looked = [_looked_at(entry, options["max_size"], stack) for entry in files[:room]]
        keeper = _kept([(fields, fd) for fields, fd in looked if fd is not None])
        evidence = [_with_digests(fields, fd, algorithms) for fields, fd in looked]
        for entry in files[room:]:
            with ExitStack() as own:
                evidence.append(_with_digests(*_looked_at(entry, options["max_size"], own), algorithms=algorithms))
    return {
        "host": _host(),
        "files": evidence,
        "keeper": keeper,
        "complete": summary["complete"],
        "unreadable_processes": summary["unreadable_processes"],
        "silent_processes": summary["silent_processes"],
        "skipped_mounts": summary["skipped_mounts"],
        "began": began,
        "ended": time.time(),
    }


def _room() -> int:
    """How many files may be open at a time."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _SPARE


def _kept(files: Sequence[Tuple[Dict[str, Any], int]]) -> Optional[Dict[str, int]]:
    """Who keeps them open until the controller has them; ``kept`` of each is its source for that."""
    if not files:
        return None
    try:
        pid, start_time = hold([fd for _fields, fd in files], _KEPT)
    except OSError:  # no more processes: then only their holders keep them
        return None
    for fields, fd in files:
        link = "/proc/%d/fd/%d" % (pid, fd)
        its_own = {name: fields[name] for name in ("device", "inode")}
        fields["kept"] = dict(its_own, link=link, start_time=start_time)
    return {"pid": pid, "start_time": start_time}


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


def _looked_at(entry: Dict[str, Any], max_size: Any, stack: ExitStack) -> Tuple[Dict[str, Any], Optional[int]]:
    """All that is known of the entry without its content, and the opened file; None where ``unread`` says why not."""
    raw = path_bytes(entry) or b""
    fields = dict(entry, path_b64=base64.b64encode(raw).decode("ascii"))
    fields.update(dict.fromkeys(_OF_THE_INODE + _OF_THE_CONTENT))
    fields["holders"] = [dict(holder, **_context(holder["pid"], holder["start_time"])) for holder in entry["holders"]]
    for holder in entry["holders"]:
        try:
            fd = stack.enter_context(opened(holder))
            fields.update(_metadata(fd), source=holder, unread=None)
        except (OSError, RescueError) as error:
            fields["unread"] = _why(error)
            continue
        if max_size is not None and entry["size"] > max_size:
            return dict(fields, unread="it is larger than max_size"), None
        if file_of(fd).is_nearly_all_hole:
            return dict(fields, unread="it is nearly all hole: fetch it by itself"), None
        return fields, fd
    return fields, None


def _with_digests(fields: Dict[str, Any], fd: Optional[int], algorithms: Sequence[str]) -> Dict[str, Any]:
    if fd is None:
        return fields
    try:
        found = digests(fd, algorithms, fields["size"])
        seen = fields["size"], fields["mtime_ns"], fields["ctime_ns"]
        return dict(fields, digests=found, consistent=seen == stamp(fd))
    except OSError as error:
        return dict(fields, unread=_why(error))


def _why(error: Exception) -> str:
    return fault(error) if isinstance(error, OSError) else str(error)


def _metadata(fd: int) -> Dict[str, Any]:
    """Before anything is read."""
    status, metadata = os.fstat(fd), read_metadata(fd)
    return {
        "uid": status.st_uid,
        "gid": status.st_gid,
        "atime_ns": status.st_atime_ns,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
        "btime_ns": _born(fd),
        "flags": _flags(fd),
        "xattrs": {name: base64.b64encode(value).decode("ascii") for name, value in metadata.xattrs.items()},
        "xattrs_unread": list(metadata.unread),
    }


def _born(fd: int) -> Optional[int]:
    """When the inode was made, in nanoseconds since the epoch; None where that is not known. Python has no statx."""
    try:
        import ctypes  # a Python without libffi has none

        statx = ctypes.CDLL(None).statx  # glibc has it from 2.28
    except (ImportError, OSError, AttributeError):
        return None
    answer = ctypes.create_string_buffer(_SIZE_OF_STATX)
    if statx(fd, b"", _EMPTY_PATH, _BTIME, answer) != 0 or not struct.unpack_from("=I", answer)[0] & _BTIME:
        return None  # an old kernel, or a file system that does not write it down
    seconds, nanoseconds = struct.unpack_from("=qI", answer, 80)
    return int(seconds) * 10**9 + int(nanoseconds)


def _flags(fd: int) -> Optional[int]:
    """Such as immutable (ioctl_iflags(2)); None where the file system knows none."""
    try:
        answer = fcntl.ioctl(fd, GET_FLAGS, bytes(struct.calcsize("l")))
    except OSError:
        return None
    return int(struct.unpack("i", answer[: struct.calcsize("i")])[0])


def _context(pid: int, start_time: int) -> Dict[str, Any]:
    """What more is known of a holder; what ended meanwhile, or is hidden, is null."""
    readers: Dict[str, Callable[[], Any]] = {
        "started": lambda: _started(start_time),
        "uid": lambda: _procfs.uid(read_at("/proc/%d/status" % pid)),
        "cgroup": lambda: printable(read_at("/proc/%d/cgroup" % pid)),
        "parents": lambda: list(_parents(pid)),
        "namespaces": lambda: _namespaces(pid),
        "cwd": lambda: printable(os.readlink(b"/proc/%d/cwd" % pid)),
    }
    fields: Dict[str, Any] = dict.fromkeys(readers)
    with suppress(OSError):
        if _procfs.start_time(read_at("/proc/%d/stat" % pid)) == start_time:
            for name, read in readers.items():
                with suppress(OSError):  # a kernel may lack one of them
                    fields[name] = read()
    return fields


def _started(start_time: int) -> Optional[float]:
    boot = _boot_time()
    return None if boot is None else boot + start_time / _TICKS


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
