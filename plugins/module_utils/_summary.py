# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""deleted_files_summary: what all deleted files of a host cost and mean, whatever of them is listed."""

import os
import stat
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._cgroup import container_of, unit_of
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import DeletedFile, Mount, Process, Scan
from ansible_collections.procfs.rescue.plugins.module_utils._names import DELETED, path_bytes, printable
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter, in_memory, reclaimable
from ansible_collections.procfs.rescue.plugins.module_utils._rules import (
    CAREFUL,
    Rule,
    is_careful,
    is_harmless,
    parsed_rules,
)

# For files of mounts that this host does not have, as some of containers.
ELSEWHERE = "(elsewhere)"


class Questions(NamedTuple):
    """What a user wants to know: ``harmless`` and ``careful_units`` as in `_rules`, ``critical`` are paths."""

    harmless: Sequence[Rule]
    careful_units: Sequence[str]
    critical: Sequence[str] = ()


USUAL = Questions(parsed_rules([]), CAREFUL)


class Found(NamedTuple):
    deleted: DeletedFile
    state: str


def summary(seen: Scan, found: Sequence[Found], reporter: Reporter, questions: Questions, host: Host) -> Dict[str, Any]:
    files = [one.deleted for one in found]
    return {
        "complete": seen.is_complete,
        "processes": seen.processes,
        "unreadable_processes": seen.unreadable,
        "unvisited_processes": seen.unvisited,
        "silent_processes": seen.silent,
        "skipped_mounts": seen.skipped,
        "count": len(files),
        "reclaimable": sum(reclaimable(deleted) for deleted in files if not in_memory(deleted)),
        "memory": sum(reclaimable(deleted) for deleted in files if in_memory(deleted)),
        "kinds": _kinds(files),
        "mount_points": _mount_points(files, seen.mounts, host),
        "units": _totals((deleted, _units(deleted)) for deleted in files),
        "users": _totals((deleted, _users(deleted, reporter)) for deleted in files),
        "running": _running(seen, found, reporter, questions),
        "suspicious": _suspicious(seen, found, reporter, host),
        "critical_missing": [path for path in questions.critical if _is_missing(path, seen.mounts, host)],
    }


def _kinds(files: Iterable[DeletedFile]) -> Dict[str, int]:
    kinds: Dict[str, int] = {}
    for deleted in files:
        kinds[deleted.kind] = kinds.get(deleted.kind, 0) + 1
    return kinds


def _units(deleted: DeletedFile) -> Set[str]:
    units = {unit_of(one.process.cgroup) for one in deleted.sightings}
    return {unit for unit in units if unit is not None}


def _users(deleted: DeletedFile, reporter: Reporter) -> Set[str]:
    return {reporter.user(one.process.uid) for one in deleted.sightings}


def _totals(rows: Iterable[Tuple[DeletedFile, Iterable[str]]]) -> Dict[str, Dict[str, Any]]:
    table: Dict[str, Dict[str, Any]] = {}
    for deleted, keys in rows:
        for key in keys:
            row = table.setdefault(key, {"count": 0, "reclaimable": 0, "memory": 0})
            row["count"] += 1
            row["memory" if in_memory(deleted) else "reclaimable"] += reclaimable(deleted)
    return table


def _mount_points(files: Iterable[DeletedFile], mounts: Dict[int, Mount], host: Host) -> Dict[str, Dict[str, Any]]:
    """Each file system once, under the mount point of ours that shows most of it."""
    rows: List[Tuple[DeletedFile, List[str]]] = []
    known: Dict[str, Mount] = {}
    for deleted in files:
        theirs = deleted.sightings[0].mount
        if theirs is None and in_memory(deleted):
            continue  # of the kernel's own
        # None also where somebody detached it (umount -l): its file system is still there.
        ours = None if theirs is None else mount_of_ours(theirs, mounts)
        name = ELSEWHERE if ours is None else printable(ours.mount_point)
        if ours is not None:
            known[name] = ours
        rows.append((deleted, [name]))
    table = _totals(rows)
    for name, row in table.items():
        row["size"], row["free"] = _room(known[name], mounts, host) if name in known else (None, None)
    return table


def mount_of_ours(theirs: Mount, mounts: Dict[int, Mount]) -> Optional[Mount]:
    """The mount of the same file system that shows most of it on this host, whoever else has it mounted where."""
    ours = [mount for mount in mounts.values() if mount.device == theirs.device]
    return min(ours, key=lambda one: (len(one.root), len(one.mount_point))) if ours else None


def _room(mount: Mount, mounts: Dict[int, Mount], host: Host) -> Tuple[Optional[int], Optional[int]]:
    try:
        folder = host.open_folder(mount.mount_point, mounts)
        try:
            room = host.room(folder.fd)
        finally:
            host.close(folder.fd)
    except (OSError, RescueError):
        return None, None
    return room.size, room.free


def _running(seen: Scan, found: Sequence[Found], reporter: Reporter, questions: Questions) -> Dict[str, Any]:
    """Who executes code of files that are gone, by what became of their names."""
    result = {}
    for state in ("replaced", "removed", "unknown"):
        processes: Dict[int, Process] = {}
        for deleted, its_state in found:
            names = (printable(deleted.sightings[0].path), deleted.kind)
            if its_state == state and not is_harmless(questions.harmless, names[1], names[0]):
                processes.update((one.process.pid, one.process) for one in deleted.sightings if one.executable)
        result[state] = _by_owner(
            [process for pid, process in sorted(processes.items()) if pid not in seen.connection], reporter, questions
        )
    return result


def _by_owner(processes: Iterable[Process], reporter: Reporter, questions: Questions) -> Dict[str, List[Any]]:
    units, careful, containers, others = set(), set(), set(), []
    for process in processes:
        container, unit = container_of(process.cgroup), unit_of(process.cgroup)
        if container is not None:
            containers.add(container)
        elif unit is None:
            others.append(reporter.process(process))
        elif is_careful(unit, questions.careful_units):
            careful.add(unit)
        else:
            units.add(unit)
    return {
        "units": sorted(units),
        "careful_units": sorted(careful),
        "containers": sorted(containers),
        "processes": others,
    }


def _suspicious(seen: Scan, found: Sequence[Found], reporter: Reporter, host: Host) -> List[Dict[str, Any]]:
    """Processes whose executable is where no package puts one, for people who look for intruders."""
    reasons: Dict[int, List[str]] = {}
    processes: Dict[int, Process] = {}
    for deleted, state in found:
        reason = _why_suspicious(deleted, state)
        for one in deleted.sightings:
            if one.via == "exe" and reason is not None:
                reasons.setdefault(one.process.pid, []).append(reason)
                processes[one.process.pid] = one.process
    folders: Dict[bytes, bool] = {}
    for text, pids in seen.programs.items():
        folder = os.path.dirname(text[: -len(DELETED)] if text.endswith(DELETED) else text)
        if folder not in folders:
            folders[folder] = _is_anybodys(folder, seen.mounts, host)
        for pid in pids if folders[folder] else ():
            reasons.setdefault(pid, []).append("world_writable_folder")
    result = []
    for pid in sorted(set(reasons) - seen.connection):
        try:
            process = processes[pid] if pid in processes else host.process(pid)
        except OSError:
            continue  # it ended
        result.append(dict(reporter.process(process), reasons=reasons[pid]))
    return result


def _why_suspicious(deleted: DeletedFile, state: str) -> Optional[str]:
    if deleted.kind == "memfd":
        return "memfd"
    if state == "removed":
        return "removed"
    # What a user mounted in a namespace of her own is not looked into: that must not hide what she removed there.
    is_unseen = state == "unknown" and deleted.sightings[0].foreign == "untrusted"
    return "removed_elsewhere" if is_unseen and not deleted.file.nlink else None


def _is_anybodys(path: bytes, mounts: Dict[int, Mount], host: Host) -> bool:
    """Whether everybody may write in the folder or in one above it, as in /tmp and all below."""
    while path.startswith(b"/"):
        try:
            folder = host.open_folder(path, mounts)
        except RescueError as error:
            if "folder_gone" in error.reasons and path != b"/":
                path = os.path.dirname(path)
                continue
            return False
        host.close(folder.fd)
        return any(ancestor.mode & stat.S_IWOTH for ancestor in folder.ancestors)
    return False


def _is_missing(path: str, mounts: Dict[int, Mount], host: Host) -> bool:
    """Whether nothing has that name, or nobody can tell."""
    try:
        target = host.open_target(path_bytes({"path": path}) or b"", mounts)
        try:
            return host.mode_of(target.folder.fd, target.name) is None
        finally:
            host.close(target.folder.fd)
    except (OSError, RescueError):
        return True
