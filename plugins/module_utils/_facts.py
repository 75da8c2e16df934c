# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What is deleted and still held on this host, as the facts deleted_files and deleted_files_summary."""

import fnmatch
import os
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Set

from ansible_collections.procfs.rescue.plugins.module_utils._cgroup import unit_of
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._folder import open_folder
from ansible_collections.procfs.rescue.plugins.module_utils._group import NAMELESS, group
from ansible_collections.procfs.rescue.plugins.module_utils._judge import judge_folder, judge_handle, judge_place
from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    DeletedFile,
    Effort,
    Folder,
    Mount,
    Scan,
    Sighting,
)
from ansible_collections.procfs.rescue.plugins.module_utils._names import original_path, printable
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter, reclaimable
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan


class Filters(NamedTuple):
    """Which entries are wanted; ``paths`` and ``excludes`` are shell patterns or folders, ``min_size`` is in bytes."""

    paths: Sequence[str] = ()
    excludes: Sequence[str] = ()
    kinds: Sequence[str] = ()
    min_size: int = 0

    def want(self, deleted: DeletedFile) -> bool:
        if deleted.file.size < self.min_size or (self.kinds and deleted.kind not in self.kinds):
            return False
        names = {printable(name) for one in deleted.sightings for name in (one.path, one.host_path) if name is not None}
        return (not self.paths or _matches(names, self.paths)) and not _matches(names, self.excludes)


def gather(filters: Filters, effort: Effort) -> Dict[str, Any]:
    """``deleted_files`` (what ``filters`` want) and ``deleted_files_summary`` (of all)."""
    seen = scan(lambda _sighting: False, effort)
    found = group(seen.sightings)
    reporter = Reporter()
    refusals = _Refusals(seen.mounts)
    try:
        entries = [
            reporter.entry(deleted, _state(deleted), refusals.of(deleted)) for deleted in found if filters.want(deleted)
        ]
    finally:
        refusals.close()
    return {"deleted_files": entries, "deleted_files_summary": _summary(seen, found, reporter)}


def _matches(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(
        fnmatch.fnmatchcase(name, pattern) or name.startswith(pattern.rstrip("/") + "/")
        for name in names
        for pattern in patterns
    )


def _state(deleted: DeletedFile) -> str:
    """``removed`` (the name is free), ``replaced`` (another file has it), or ``unknown`` (we do not see that place)."""
    sighting = deleted.sightings[0]
    if deleted.kind in NAMELESS:
        return "removed"
    path = original_path(sighting.host_path or sighting.path)
    if sighting.host_path is None:
        if sighting.mount is None or sighting.foreign != "trusted":
            return "unknown"
        path = b"/proc/%d/root%s" % (sighting.process.pid, path)
    try:
        os.stat(path, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return "removed"
    except OSError:
        return "unknown"
    return "replaced"


class _Refusals:
    """What the judge has against restoring a file in place, short of reading its content. Opens each folder once."""

    def __init__(self, mounts: Dict[int, Mount]) -> None:
        self.mounts = mounts
        self._folders: Dict[bytes, Optional[Folder]] = {}

    def close(self) -> None:
        for folder in self._folders.values():
            if folder is not None:
                os.close(folder.fd)

    def of(self, deleted: DeletedFile) -> List[str]:
        return min((self._judged(one, deleted.kind) for one in deleted.sightings), key=len)

    def _judged(self, sighting: Sighting, kind: str) -> List[str]:
        reasons = judge_handle(sighting)
        if sighting.host_path is None or sighting.mount is None:
            return reasons + judge_place(sighting, kind, None, b"")
        parent, name = os.path.split(original_path(sighting.host_path))
        folder = self._folder(parent)
        if folder is None:
            return reasons + ["folder_gone"]
        return reasons + judge_place(sighting, kind, folder, name) + judge_folder(sighting.file, folder.ancestors)

    def _folder(self, path: bytes) -> Optional[Folder]:
        if path not in self._folders:
            try:
                self._folders[path] = open_folder(path, self.mounts)
            except RescueError:
                self._folders[path] = None
        return self._folders[path]


def _summary(seen: Scan, found: Sequence[DeletedFile], reporter: Reporter) -> Dict[str, Any]:
    kinds: Dict[str, int] = {}
    mount_points: Dict[str, Dict[str, int]] = {}
    units: Dict[str, Dict[str, int]] = {}
    users: Dict[str, Dict[str, int]] = {}
    running: Set[str] = set()
    for deleted in found:
        kinds[deleted.kind] = kinds.get(deleted.kind, 0) + 1
        mount = deleted.sightings[0].mount
        _count(mount_points, {printable(mount.mount_point)} if mount is not None else set(), deleted)
        holders = [one.process for one in deleted.sightings]
        held_by = {unit for unit in (unit_of(process.cgroup) for process in holders) if unit is not None}
        _count(units, held_by, deleted)
        _count(users, {reporter.user(process.uid) for process in holders}, deleted)
        if deleted.kind == "regular" and any(one.executable for one in deleted.sightings):
            running.update(held_by)
    return {
        "complete": seen.is_complete,
        "processes": seen.processes,
        "unreadable_processes": seen.unreadable,
        "unvisited_processes": seen.unvisited,
        "skipped_mounts": seen.skipped,
        "count": len(found),
        "reclaimable": sum(reclaimable(deleted) for deleted in found),
        "kinds": kinds,
        "mount_points": mount_points,
        "units": units,
        "users": users,
        "units_running_deleted": sorted(running),
    }


def _count(table: Dict[str, Dict[str, int]], keys: Set[str], deleted: DeletedFile) -> None:
    for key in keys:
        row = table.setdefault(key, {"count": 0, "reclaimable": 0})
        row["count"] += 1
        row["reclaimable"] += reclaimable(deleted)
