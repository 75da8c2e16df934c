# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What is deleted and still held on a host, as the facts deleted_files and deleted_files_summary."""

import os
from fnmatch import fnmatchcase
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence

from ansible_collections.procfs.rescue.plugins.module_utils._cgroup import unit_of
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._group import NAMELESS, RENAMED_KINDS, group
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import judge_folder, judge_handle, judge_place
from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    NORMAL,
    DeletedFile,
    Effort,
    Folder,
    Mount,
    Sighting,
)
from ansible_collections.procfs.rescue.plugins.module_utils._names import original_path, printable
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter, reclaimable
from ansible_collections.procfs.rescue.plugins.module_utils._summary import USUAL, Found, Questions, summary

# Folders that are kept open at a time.
_FOLDERS = 64

ORDERS = {
    "reclaimable": lambda found: -reclaimable(found.deleted),
    "size": lambda found: -found.deleted.file.size,
    "mtime": lambda found: -found.deleted.file.mtime_ns,
    "path": lambda found: found.deleted.sightings[0].path,
}


class Filters(NamedTuple):
    """Which entries are wanted. ``paths`` and ``excludes`` are shell patterns or folders, ``units`` and ``users`` shell
    patterns, ``min_size`` is in bytes; of an empty sequence all are wanted."""

    paths: Sequence[str] = ()
    excludes: Sequence[str] = ()
    kinds: Sequence[str] = ()
    states: Sequence[str] = ()
    users: Sequence[str] = ()
    units: Sequence[str] = ()
    via: Sequence[str] = ()
    min_size: int = 0

    def want(self, found: Found, reporter: Reporter) -> bool:
        deleted = found.deleted
        if (
            deleted.file.size < self.min_size
            or (self.kinds and deleted.kind not in self.kinds)
            or (self.states and found.state not in self.states)
            or (self.via and not any(one.via in self.via for one in deleted.sightings))
        ):
            return False
        processes = [one.process for one in deleted.sightings]
        if self.users and not _match({reporter.user(process.uid) for process in processes}, self.users):
            return False
        if self.units and not _match({unit_of(process.cgroup) or "" for process in processes}, self.units):
            return False
        if not self.paths and not self.excludes:
            return True
        names = {printable(name) for one in deleted.sightings for name in (one.path, one.host_path) if name is not None}
        return (not self.paths or _are_at(names, self.paths)) and not _are_at(names, self.excludes)


class Listing(NamedTuple):
    """How the wanted entries are listed, how many, and how many holders of each; ``checksum`` is an algorithm."""

    sort: Optional[str] = None
    limit: Optional[int] = None
    checksum: Optional[str] = None
    package: bool = False
    holders_limit: Optional[int] = None


_ALL = Listing()


def gather(
    filters: Filters,
    effort: Effort = NORMAL,
    questions: Questions = USUAL,
    listing: Listing = _ALL,
    *,
    host: Host,
) -> Dict[str, Any]:
    """``deleted_files`` (what ``filters`` want) and ``deleted_files_summary`` (of all). Raises OSError."""
    seen = host.scan(lambda _sighting: False, effort)
    reporter = Reporter(host)
    places = Places(seen.mounts, host)
    try:
        found = [Found(deleted, places.state(deleted)) for deleted in group(seen.sightings)]
        wanted = [one for one in found if filters.want(one, reporter)]
        listed = wanted if listing.sort is None else sorted(wanted, key=ORDERS[listing.sort])
        listed = listed[: listing.limit]
        entries = [
            reporter.entry(one.deleted, one.state, places.refusals(one.deleted), listing.holders_limit)
            for one in listed
        ]
    finally:
        places.close()
    _add(entries, [one.deleted for one in listed], listing, host)
    told = summary(seen, found, reporter, questions, host)
    return {"deleted_files": entries, "deleted_files_summary": dict(told, wanted=len(wanted), listed=len(listed))}


def _match(names: Iterable[str], patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)


def _are_at(names: Iterable[str], places: Sequence[str]) -> bool:
    return _match(names, places) or any(name.startswith(place.rstrip("/") + "/") for name in names for place in places)


def _add(entries: List[Dict[str, Any]], files: List[DeletedFile], listing: Listing, host: Host) -> None:
    """What is only read when somebody asks for it."""
    if listing.package:
        paths = [original_path(one.sightings[0].host_path or b"") for one in files]
        witnesses = host.witnesses({path for path in paths if path})
        for entry, path in zip(entries, paths):
            entry["package"] = witnesses[path].package if path in witnesses else None
    if listing.checksum is not None:
        for entry, deleted in zip(entries, files):
            digest = _digest(deleted, listing.checksum, host)
            entry["checksum"] = None if digest is None else "%s:%s" % (listing.checksum, digest)


def _digest(deleted: DeletedFile, algorithm: str, host: Host) -> Optional[str]:
    if not deleted.file.is_regular or deleted.file.is_nearly_all_hole:
        return None
    for sighting in deleted.sightings:
        try:
            with host.readable(sighting) as fd:
                return host.digests(fd, [algorithm])[algorithm]
        except (OSError, RescueError):
            continue  # this holder may have ended, another one has it still
    return None


class Places:
    """Where the files had their names: what has the name now, and what the judge has against restoring in place."""

    def __init__(self, mounts: Dict[int, Mount], host: Host) -> None:
        self.mounts = mounts
        self.host = host
        self._folders: Dict[bytes, Any] = {}

    def close(self) -> None:
        for folder in self._folders.values():
            if isinstance(folder, Folder):
                self.host.close(folder.fd)
        self._folders.clear()

    def state(self, deleted: DeletedFile) -> str:
        """``removed`` (the name is free), ``replaced`` (another file has it), or ``unknown`` (we do not see it)."""
        sighting = deleted.sightings[0]
        if deleted.kind in NAMELESS:
            return "removed"
        if deleted.kind in RENAMED_KINDS:
            return "unknown"  # which name it had before
        path = original_path(sighting.host_path or sighting.path)
        try:
            if sighting.host_path is None:
                if sighting.mount is None or sighting.foreign != "trusted":
                    return "unknown"
                mode = self.host.mode_seen_by(sighting.process.pid, path)
            else:
                folder = self._folder(os.path.dirname(path))
                if isinstance(folder, RescueError):
                    return "removed" if "folder_gone" in folder.reasons else "unknown"
                mode = self.host.mode_of(folder.fd, os.path.basename(path))
        except OSError:
            return "unknown"
        return "removed" if mode is None else "replaced"

    def refusals(self, deleted: DeletedFile) -> List[str]:
        """Short of what only its content can tell."""
        return min((self._judged(one, deleted.kind) for one in deleted.sightings), key=len)

    def _judged(self, sighting: Sighting, kind: str) -> List[str]:
        reasons = judge_handle(sighting)
        if sighting.host_path is None or sighting.mount is None:
            return reasons + judge_place(sighting, kind, None, b"")
        parent, name = os.path.split(original_path(sighting.host_path))
        folder = self._folder(parent)
        if isinstance(folder, RescueError):
            return reasons + (folder.reasons or ["folder_gone"])
        return reasons + judge_place(sighting, kind, folder, name) + judge_folder(sighting.file, folder.ancestors)

    def _folder(self, path: bytes) -> Any:
        """The opened folder, or the RescueError that tells why it could not be opened."""
        if path not in self._folders:
            if len(self._folders) >= _FOLDERS:
                self.close()
            try:
                self._folders[path] = self.host.open_folder(path, self.mounts)
            except RescueError as error:
                self._folders[path] = error
        return self._folders[path]
