# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""reclaim: frees the blocks of deleted files that nobody can read again, while their holders go on.

scan -> group -> judge -> archive -> scan and judge again -> free -> compare the room of the file systems.
"""

import os
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._choose import paths_of, wish_from
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, Places
from ansible_collections.procfs.rescue.plugins.module_utils._free import Rooms, appends, free, freeable
from ansible_collections.procfs.rescue.plugins.module_utils._group import group
from ansible_collections.procfs.rescue.plugins.module_utils._handle import unpin
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import Claim
from ansible_collections.procfs.rescue.plugins.module_utils._may_free import (
    REASONS,
    Freeable,
    Manner,
    cut,
    length,
    refusals,
)
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort, Mount, Sighting, Terms
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.module_utils._summary import Found


class Choice(NamedTuple):
    """Which files are meant: by ``path`` or ``claim`` one, else all that the ``filters`` want."""

    path: Optional[bytes]
    claim: Optional[Claim]
    filters: Filters

    @property
    def is_one(self) -> bool:
        return self.path is not None or self.claim is not None

    def means(self, found: Found, reporter: Reporter) -> bool:
        deleted = found.deleted
        if self.claim is not None:
            return any(_is_claimed(self.claim, one) for one in deleted.sightings)
        if self.path is not None and not any(self.path in paths_of(one) for one in deleted.sightings):
            return False
        return self.filters.want(found, reporter)


Identity = Tuple[int, int]


def choice_from(options: Dict[str, Any]) -> Choice:
    """From the options ``path``, ``path_b64``, ``source``, ``paths``, ``excludes``, ``units``, ``min_size``.

    Raises RescueError.
    """
    path = path_bytes(options)
    claim = None
    if options["source"] is not None:
        claim = wish_from({"source": options["source"]}).claim
        if claim.device is None or claim.inode is None:
            raise RescueError("source must be an entry of deleted_files or one of its holders, with device and inode.")
    if path is None and claim is None and not options["paths"] and not options["units"]:
        raise RescueError("Say which files are meant: path, source, paths or units.")
    filters = Filters(
        paths=options["paths"],
        excludes=options["excludes"],
        units=options["units"],
        min_size=options["min_size"],
    )
    return Choice(path, claim, filters)


def manner_from(options: Dict[str, Any], choice: Choice, check_mode: bool) -> Manner:
    """From the options with the names of its fields. Raises RescueError."""
    if options["readable"] and choice.claim is None:
        raise RescueError("readable is for one very inode: give source.")
    if options["readable"] and options["keep_last"]:
        raise RescueError(
            "A file that may be read again is cut off as a whole: keep_last and readable exclude each other."
        )
    return Manner(
        readable=options["readable"],
        sparse_writer=options["sparse_writer"],
        keep_last=options["keep_last"],
        max_bytes=options["max_bytes"],
        archive=path_bytes({"path": options["archive"]}),
        check_mode=check_mode,
    )


def reclaim(choice: Choice, manner: Manner, deadline: float, log: Callable[[str], None], host: Host) -> Dict[str, Any]:
    """``files``, one result per chosen file, ``freed`` bytes of all, and ``mount_points`` with their room.

    ``log`` gets a line for each file that was freed. Raises OSError, and RescueError where nothing may be freed at all.
    """
    work = _Work(choice, manner, Effort(deadline=deadline, threads=True), log, host)
    chosen = work.look(set())
    if choice.is_one and not chosen:
        raise RescueError("No process holds that file: there is nothing to free.", ["not_held"])
    work.limit(chosen.values())
    archived = work.archive(chosen.values())
    if manner.check_mode:
        results = [
            _told(one, "would_free", work.freeable(one), archived.get(identity)) for identity, one in chosen.items()
        ]
        return {"files": results, "freed": sum(one["freed"] for one in results), "mount_points": {}}
    # Right before it is done everything is looked at again: somebody may have opened or mapped it meanwhile.
    wanted = {identity for identity, one in chosen.items() if not one.reasons}
    try:
        again = work.look(wanted) if wanted else {}
        still = {identity: one for identity, one in again.items() if identity in wanted}
        chosen.update(still)
        work.limit(still.values())
        return work.free([(one, archived.get(identity)) for identity, one in chosen.items()], set(still))
    finally:
        work.end()


class _Work:
    def __init__(self, choice: Choice, manner: Manner, effort: Effort, log: Callable[[str], None], host: Host) -> None:
        self.choice = choice
        self.manner = manner
        self.effort = effort
        self.log = log
        self.host = host
        self.reporter = Reporter(host)
        self.mounts: Dict[int, Mount] = {}
        self._pinned: List[Sighting] = []

    def end(self) -> None:
        unpin(self._pinned)

    def look(self, wanted: Set[Identity]) -> Dict[Identity, Freeable]:
        """All candidates as they are now; of those ``wanted`` the file is held from here on."""
        seen = self.host.scan(lambda one: one.file.identity in wanted, self.effort)
        self._pinned = seen.sightings
        self.mounts = seen.mounts
        if not seen.is_complete:
            raise RescueError(
                "Not all of this host could be looked at (unreadable processes: %d, mounts that did not answer: %s). "
                "It is not known who else holds a file, so nothing is freed. It needs root (become)."
                % (seen.unreadable, ", ".join(sorted(seen.skipped)) or "none"),
                ["incomplete"],
            )
        places = Places(seen.mounts, self.host)
        try:
            everything = [Found(deleted, places.state(deleted)) for deleted in group(seen.sightings)]
        finally:
            places.close()
        meant = [found for found in everything if self.choice.means(found, self.reporter)]
        return {
            found.deleted.file.identity: Freeable(found.deleted, refusals(found, self.manner, appends))
            for found in meant
        }

    def freeable(self, one: Freeable) -> int:
        """The bytes that `free` would free of it as it is now; 0 where it is refused, which may turn out here."""
        file = one.deleted.file
        kept_from = length(self.manner, file, file.size if self.manner.archive else None)
        if one.reasons or kept_from is None:
            return 0 if one.reasons else file.allocated
        try:
            return min(file.allocated, freeable(one.best, kept_from))
        except (OSError, RescueError):
            one.reasons.append("failed")
            return 0

    def limit(self, chosen: Iterable[Freeable]) -> None:
        """Refuses what goes beyond ``max_bytes``, the largest files first."""
        left = self.manner.max_bytes
        if left is None:
            return
        for one in sorted(chosen, key=lambda one: -one.deleted.file.allocated):
            freeable = self.freeable(one)
            if one.reasons:
                continue
            if freeable > left:
                one.reasons.append("max_bytes")
            else:
                left -= freeable

    def archive(self, chosen: Iterable[Freeable]) -> Dict[Identity, Dict[str, Any]]:
        """Copies out what is to be freed, verified; what could not be is refused. Gives the results of the copies."""
        if self.manner.archive is None:
            return {}
        ready = [one for one in chosen if not one.reasons]
        self._check_archive(self.manner.archive, ready)
        requests = []
        for one in ready:
            name = b"%s.%d" % (os.path.basename(one.best.path), one.deleted.file.inode)
            dest = path_fields(os.path.join(self.manner.archive, name), "dest")
            requests.append(dict(dest, source=self.reporter.holder(one.best)))
        results = restore(requests, Terms(check_mode=self.manner.check_mode), self.log, self.host)
        for one, result in zip(ready, results):
            if result["status"] not in ("restored", "restorable"):
                one.reasons.append("not_archived")
        return {one.deleted.file.identity: result for one, result in zip(ready, results)}

    def _check_archive(self, path: bytes, ready: Iterable[Freeable]) -> None:
        folder = self.host.open_folder(path, self.mounts)
        self.host.close(folder.fd)
        for one in ready:
            if folder.place is not None and one.best.place is not None and folder.place.device == one.best.place.device:
                raise RescueError(
                    "The archive %s is on the file system of %s: what is copied there frees nothing. Give a folder on "
                    "another one." % (printable(path), printable(one.best.path))
                )

    def free(self, files: Iterable[Tuple[Freeable, Optional[Dict[str, Any]]]], pinned: Set[Identity]) -> Dict[str, Any]:
        rooms = Rooms(self.mounts)
        results = []
        for one, copy in files:
            status, freed = "refused", 0
            if not one.reasons and one.deleted.file.identity not in pinned:
                status = "gone"  # its last holder ended meanwhile, and that freed it
            elif not one.reasons:
                try:
                    freed = self._free(one, copy, rooms)
                    status = "freed"
                except (OSError, RescueError) as error:
                    one.reasons.extend(getattr(error, "reasons", None) or ["failed"])
                    results.append(_told(one, "failed", 0, copy, _sentence(error)))
                    continue
            results.append(_told(one, status, freed, copy))
        return {
            "files": results,
            "freed": sum(result["freed"] for result in results),
            "mount_points": rooms.compared(),
        }

    def _free(self, one: Freeable, copy: Optional[Dict[str, Any]], rooms: Rooms) -> int:
        def digest(size: int) -> str:
            with self.host.readable(one.best) as fd:
                return self.host.digests(fd, ["sha256"], size)["sha256"]

        freed = free(one.best, rooms, lambda file: cut(one, self.manner, file, copy, appends, digest))
        inode = one.deleted.file.inode
        self.log("freed %d bytes of %s (%s, inode %d)" % (freed, printable(one.best.path), one.best.link, inode))
        return freed


def _is_claimed(claim: Claim, sighting: Sighting) -> bool:
    values = (sighting.process.pid, sighting.process.start_time, sighting.file.device, sighting.file.inode)
    return all(wanted in (None, value) for wanted, value in zip(claim, values))


def _told(one: Freeable, status: str, freed: int, copy: Optional[Dict[str, Any]], why: str = "") -> Dict[str, Any]:
    file, path = one.deleted.file, one.best.host_path or one.best.path
    if one.reasons and status != "failed":
        status = "refused"
    what = {
        "freed": "%d bytes of %s were freed" % (freed, printable(path)),
        "would_free": "%d bytes of %s would be freed" % (freed, printable(path)),
        "gone": "%s is not held any more" % printable(path),
    }.get(status, "%s was left as it is" % printable(path))
    because = "; ".join("%s (%s)" % (REASONS[reason], reason) for reason in one.reasons if reason in REASONS)
    result = dict(
        path_fields(path),
        status=status,
        freed=freed,
        refused=list(one.reasons),
        msg=": ".join(part for part in (what, because, why) if part) + ".",
        size=file.size,
        allocated=file.allocated,
        device=file.device,
        inode=file.inode,
        link=one.best.link,
    )
    if copy is not None:
        result.update(archived=copy)
    return result


def _sentence(error: Exception) -> str:
    return fault(error) if isinstance(error, OSError) else str(error).rstrip(".")
