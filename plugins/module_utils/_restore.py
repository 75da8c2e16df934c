# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""From requests to files put back on this host: scan -> group -> judge, then _put_back for each."""

import os
import re
import shlex
import stat
import time
from contextlib import suppress
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import number_of
from ansible_collections.procfs.rescue.plugins.module_utils._cgroup import reopen
from ansible_collections.procfs.rescue.plugins.module_utils._choose import (
    Candidate,
    Wish,
    find,
    may_be_wanted,
    paths_of,
    wish_from,
)
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._folder import target_to_be
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import Frozen
from ansible_collections.procfs.rescue.plugins.module_utils._group import kind_of
from ansible_collections.procfs.rescue.plugins.module_utils._host import LOCAL, Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import judge_content, judge_handle, standing
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata, repairs
from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    NORMAL,
    Missing,
    Mount,
    Scan,
    Sighting,
    Target,
    Terms,
    Witness,
)
from ansible_collections.procfs.rescue.plugins.module_utils._names import original_path, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need, need_fields
from ansible_collections.procfs.rescue.plugins.module_utils._offer import (
    Offer,
    described,
    offer_alive,
    offer_fields,
)
from ansible_collections.procfs.rescue.plugins.module_utils._put_back import Order, Outcome, put_back
from ansible_collections.procfs.rescue.plugins.module_utils._record import RECORD, recorded_link
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._target import prove

Result = Dict[str, Any]

# The loader, the C library, the shells.
_FIRST = [
    re.compile(rb"(?:ld-linux|ld-musl|ld\.so|ld64\.so|ld-[\d.]+\.so)"),
    re.compile(rb"(?:libc|libc-[\d.]+|libc\.musl-\w+)\.so"),
    re.compile(rb"(?:sh|bash|rbash|dash|ash|zsh|ksh|ksh93|mksh|fish|busybox)\Z"),
]


def restore(
    requests: Iterable[Dict[str, Any]],
    terms: Terms,
    log: Callable[[str], None],
    host: Host = LOCAL,
) -> List[Result]:
    """Restores what the ``requests`` (options as `_choose.wish_from` takes them) mean.

    One with ``path_prefix`` means all below a folder, if it says ``packaged`` also what packages have there.

    Returns one result per file, in order. One that fails does not stop the rest: its ``status`` is ``failed``.
    ``log`` gets a line for each file restored.
    """
    return _Rescue(terms, log, host).run(list(requests))


class _Job:
    """One file on its way from the wish to its result. ``wish.path`` is resolved as soon as its place is known.

    ``origin`` is the place where its path leads, ``target`` where it is to go: the same, unless it is copied out.
    ``named`` is False where nobody asked for this very file, but for all of a folder; ``packaged`` where that means
    what packages have there.
    """

    def __init__(self, request: Dict[str, Any], named: bool, packaged: bool = False) -> None:
        self.named = named
        self.packaged = packaged
        source = request.get("source")
        called = source.get("path") if isinstance(source, dict) else None
        self.what = str(request.get("path") or called or source or request)
        self.wish = Wish()
        self.origin: Optional[Target] = None
        self.target: Optional[Target] = None
        # Its place, and who says what belongs there, where it is not there.
        self.lost: Optional[Tuple[bytes, Optional[Witness]]] = None
        self.asked: Optional[bytes] = None
        # What other hosts could get of it, as was found when it was restored or only looked at.
        self.offer: Optional[Offer] = None
        self.result: Result = {}

    def understand(self, request: Dict[str, Any]) -> Result:
        self.wish = wish_from(request)
        self.asked = self.wish.path
        self.what = self.wish.link or self.what if self.wish.path is None else printable(self.wish.path)
        return {}

    def aim_in_place(self, origin: Target) -> None:
        self.origin = self.target = origin
        self.wish = self.wish._replace(path=origin.path)

    def close(self, host: Host) -> None:
        for fd in {place.folder.fd for place in (self.origin, self.target) if place is not None}:
            host.close(fd)
        self.origin = self.target = None


class _Rescue:
    def __init__(self, terms: Terms, log: Callable[[str], None], host: Host) -> None:
        self.terms = terms
        self.log = log
        self.host = host
        self.mounts: Dict[int, Mount] = {}
        self.reporter = Reporter(host)
        self.swept: Set[Tuple[int, int]] = set()
        self.unreachable: Set[bytes] = set()

    def run(self, requests: Sequence[Dict[str, Any]]) -> List[Result]:
        prefixes = [(os.fsencode(one["path_prefix"]), one["packaged"]) for one in requests if "path_prefix" in one]
        jobs = [self._job(request) for request in requests if "path_prefix" not in request]
        wishes = [job.wish for job in jobs if not job.result]
        if not wishes and not prefixes:
            return [job.result for job in jobs]
        # Pin first: whatever may be wanted is held open from here on. No path is looked at before, it may take long.
        found = self.host.scan(may_be_wanted(wishes, [prefix for prefix, _packaged in prefixes]), NORMAL)
        try:
            if self.terms.pin and self.host.pin(found.sightings, self.terms.pin):
                self.log("keeps what may be wanted open for %d seconds" % self.terms.pin)
            self.mounts = found.mounts
            seen = _Seen(found, self.host)
            self._ask_for([path for wish in wishes for path in (wish.path, wish.dest) if path is not None])
            for job in jobs:
                self._continue(job, self._aimed)
            resolved = [(self._resolved(prefix), packaged) for prefix, packaged in prefixes]
            below = [path for prefix, _packaged in resolved for path in seen.paths_below(prefix)]
            of_packages = [path for prefix, packaged in resolved if packaged for path in self.host.paths_below(prefix)]
            named = [job.wish.path for job in jobs if job.wish.path is not None]
            witnesses = self.host.witnesses([*below, *map(original_path, below), *of_packages, *named])
            # Only a package's file was renamed by rpm; others may be called like that.
            originals = [path if original_path(path) not in witnesses else original_path(path) for path in below]
            self._ask_for(originals)
            jobs += [self._job(dict(path_fields(path)), named=False) for path in dict.fromkeys(originals)]
            known = {*originals, *named}
            jobs += [
                self._job(dict(path_fields(path)), named=False, packaged=True)
                for path in dict.fromkeys(of_packages)
                if path not in known
            ]
            for job in sorted(jobs, key=_urgency):
                self._continue(job, lambda job: self._aimed(job) or self._restored(job, seen, witnesses))
            jobs = [job for job in jobs if not job.packaged or job.result["status"] != "present"]
            self._tell_needs(jobs)
            if self.terms.offer:
                self._tell_offers(jobs, witnesses)
        finally:
            self.host.unpin(found.sightings)
        return [job.result for job in jobs]

    def _tell_needs(self, jobs: Iterable[_Job]) -> None:
        """What another host, or a package, must have to be a source in place of a holder."""
        missing = ("failed", "restorable") if self.terms.look else ("failed",)
        wanted = (job for job in jobs if job.named or job.packaged or self.terms.look)
        asked = [job for job in wanted if job.result["status"] in missing]
        # A full disk is as full for another source.
        refused = (job for job in asked if job.result["status"] != "failed" or job.result["refused"])
        lost = [(job.result, *job.lost) for job in refused if job.lost is not None]
        for (result, path, witness), need in zip(lost, self._needs([place for _result, *place in lost])):
            result["needs"] = need_fields(need)
            if result["status"] == "failed" and witness is None and need.installed is not None:
                result["msg"] += " If it was a symlink, make it again: ln -s TARGET %s" % shlex.quote(printable(path))

    def _tell_offers(self, jobs: Iterable[_Job], witnesses: Dict[bytes, Witness]) -> None:
        """What other hosts could get of what is there: the very content that a package or the user vouches for."""
        alive: List[Tuple[Result, Offer, bytes, Optional[Witness]]] = []
        for job in jobs:
            if job.result["status"] == "failed" or not job.wish.in_place or job.wish.path is None:
                continue
            witness = job.wish.checksum or witnesses.get(job.wish.path)
            named = [(job.wish.path, witness)]
            named += [(path, None) for path in self._symlink(job.asked) if path != job.wish.path]
            job.result["offers"] = []
            for path, known in named:
                with suppress(OSError, RescueError):  # it is no source then
                    offer = job.offer if path == job.wish.path else None
                    offer = offer or offer_alive(Need(path, known, None, ""), self.host)
                    if offer is not None:
                        alive.append((job.result, offer, path, known))
        needs = self._needs([(path, witness) for _result, _offer, path, witness in alive])
        for (result, offer, _path, _witness), need in zip(alive, needs):
            result["offers"].append(dict(need_fields(need), **offer_fields(offer)))

    def _symlink(self, path: Optional[bytes]) -> List[bytes]:
        """The name that was asked for, where it may be a symlink to what has been found."""
        if path is None:
            return []
        with suppress(OSError, RescueError):
            folder = self.host.open_folder(os.path.dirname(path), self.mounts)
            self.host.close(folder.fd)
            return [os.path.join(folder.path, os.path.basename(path))]
        return []

    def _needs(self, places: Sequence[Sequence[Any]]) -> List[Need]:
        """For each path and witness what a host must have to be a source of it."""
        if not places:
            return []
        witnesses = [witness for _path, witness in places]
        of_packages = all(witness is not None and witness.by == "package" for witness in witnesses)
        packages = {witness.package for witness in witnesses} if of_packages else None
        try:
            release, installed = self.host.release(), self.host.installed([path for path, _witness in places], packages)
        except (OSError, RescueError):  # no package is known then, and only a checksum proves
            release, installed = "", {}
        return [Need(path, witness, installed.get(path), release) for path, witness in places]

    def _job(self, request: Dict[str, Any], named: bool = True, packaged: bool = False) -> _Job:
        job = _Job(request, named, packaged)
        self._attempt(job, lambda: job.understand(request))
        return job

    def _continue(self, job: _Job, step: Callable[[_Job], Result]) -> None:
        """One more step of a job that has no result yet; there may be many jobs: its folders are closed after it."""
        if not job.result:
            self._attempt(job, lambda: step(job))
            job.close(self.host)

    def _attempt(self, job: _Job, work: Callable[[], Result]) -> None:
        started = time.monotonic()
        try:
            result = work()
        except RescueError as error:
            result = _result(job, "failed", str(error), refused=error.reasons)
        except OSError as error:
            result = _result(job, "failed", "%s: %s." % (job.what, fault(error)), refused=[])
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one file, the others must come back)
            result = _result(
                job, "failed", "%s: unexpected %s: %s." % (job.what, type(error).__name__, error), refused=[]
            )
        if result:
            job.result = dict(result, seconds=round(time.monotonic() - started, 3))

    def _resolved(self, path: bytes) -> bytes:
        if not path.startswith(b"/"):
            raise RescueError("path_prefix must be absolute: %s" % printable(path))
        inside = os.path.join(path, b"any")
        self._ask_for([inside])
        if inside in self.unreachable:
            return os.path.normpath(path)
        try:
            folder = self.host.open_folder(path, self.mounts)
        except RescueError:  # it is gone itself
            return os.path.normpath(path)
        self.host.close(folder.fd)
        return folder.path

    def _ask_for(self, paths: Iterable[bytes]) -> None:
        """Before they are walked: whether they can be."""
        self.unreachable |= self.host.unreachable(paths, self.mounts)

    def _reached(self, path: bytes) -> Target:
        if path in self.unreachable:
            raise RescueError(
                "%s was skipped: it is on a network or FUSE file system that does not answer. Look after its server, "
                "or restore elsewhere with dest." % printable(path)
            )
        return self.host.open_target(path, self.mounts)

    def _aimed(self, job: _Job) -> Result:
        """Finds where the file was and where it is to go. Returns a result only where nothing is left to do."""
        wish = job.wish
        if wish.path is not None:
            if wish.in_place:
                job.aim_in_place(self._open_target(wish.path))
            else:
                with suppress(RescueError):  # its folder may be gone: it is to go elsewhere
                    job.origin = self._reached(wish.path)
                    job.wish = wish._replace(path=job.origin.path)
        if wish.dest is not None:
            job.target = self._open_target(wish.dest)
        return {} if job.target is None or job.target.missing else self._settled(job, job.target)

    def _open_target(self, path: bytes) -> Target:
        try:
            target = self._reached(path)
            if self.terms.parents and not self.terms.check_mode:
                # A run that was killed the moment after it made the folder left its hidden one beside it.
                with suppress(RescueError):
                    above = self.host.open_folder(os.path.dirname(target.folder.path), self.mounts)
                    self.host.sweep_once(above.fd, self.swept)
                    self.host.close(above.fd)
            return target
        except RescueError as error:
            if error.reasons != ["folder_gone"] or not self.terms.parents:
                raise
            target = target_to_be(path, lambda folder: self.host.open_folder(folder, self.mounts), self._to_be_made)
            if target.missing and self.host.mode_of(target.folder.fd, target.missing[0].name) is None:
                return target
            self.host.close(target.folder.fd)  # something else has its name, or it was made meanwhile
            raise

    def _to_be_made(self, path: bytes, name: bytes) -> Missing:
        with suppress(RescueError):  # its users may not be there, or the database cannot be asked
            recorded = self.host.recorded(path)
            if recorded is not None:
                uid = number_of(recorded.owner, self.host.user_names(), "user")
                gid = number_of(recorded.group, self.host.group_names(), "group")
                return Missing(name, (uid, gid, recorded.mode, recorded.by))
        return Missing(name)

    def _settled(self, job: _Job, target: Target) -> Result:
        """A result where the name is taken and is to stay so."""
        mode = self.host.mode_of(target.folder.fd, target.name)
        if mode is None:
            return {}
        if stat.S_ISDIR(mode):
            raise RescueError("%s is a folder, not a file." % printable(target.path))
        if not self.terms.force:
            if not self.terms.check_mode:
                # A run that was killed the moment after it named the file left its hidden folder.
                self.host.sweep_once(target.folder.fd, self.swept)
            return _result(job, "present", "%s is there and was left alone." % printable(target.path))
        if not stat.S_ISREG(mode):
            raise RescueError("%s is no regular file, it is not replaced." % printable(target.path))
        return {}

    def _restored(self, job: _Job, seen: "_Seen", witnesses: Dict[bytes, Witness]) -> Result:
        target = job.target
        if target is None:
            target = self._place_of_source(job, seen)
            job.aim_in_place(target)
            settled = {} if target.missing else self._settled(job, target)
            if settled:
                return settled
            witnesses = self.host.witnesses([target.path])
        witness = job.wish.checksum or witnesses.get(job.wish.path or b"")
        if job.wish.in_place and (target.missing or self.host.mode_of(target.folder.fd, target.name) is None):
            job.lost = target.path, witness
        try:
            candidate = seen.find(job.wish, job.origin, self.terms.accept, witness)
        except RescueError as error:
            if error.reasons == ["not_held"] and job.wish.in_place and self._is_back(job.wish, target, witness, seen):
                return _result(job, "present", "%s is there and was left alone." % printable(target.path))
            link = recorded_link(self.host.read_record(), target.path)
            if error.reasons != ["not_held"] or link is None or not job.wish.in_place or witness is not None:
                raise
            return self._linked(job, target, link)
        if candidate.file.file.is_nearly_all_hole and not job.named:
            raise RescueError(
                "%s is %d bytes long and nearly all of it a hole, which takes long to read: restore it by its own path."
                % (job.what, candidate.file.file.size)
            )
        with self.host.readable(candidate.sighting) as source:
            outcome = put_back(
                Order(candidate, source, target, job.wish.in_place, witness, self.terms, self.swept, self.host)
            )
            if self.terms.offer and witness and outcome.content_by == witness.by and not outcome.dropped:
                where = printable(target.path) if outcome.status == "restored" else candidate.sighting.link
                job.offer = described(source, target.path, where, self.host)
        result = self._told(job, target, candidate, outcome)
        if self.terms.prove and outcome.status == "restored" and (job.named or job.packaged):
            prove(result, target.path, self.host)
        return result

    def _is_back(self, wish: Wish, target: Target, witness: Optional[Witness], seen: "_Seen") -> bool:
        """Whether the name leads to the very file that is held, as after a restore by link: it is not deleted then."""
        for sighting in seen.scan.back:
            if not wish.means(sighting) or judge_handle(sighting, wish.claim):
                continue
            with suppress(OSError, RescueError), self.host.readable(sighting) as fd:
                if self.host.is_named(fd, target.folder.fd, target.name):
                    digest = None if witness is None else self.host.digests(fd, [witness.algorithm])[witness.algorithm]
                    return not standing(judge_content(witness, digest), self.terms.accept)
        return False

    def _linked(self, job: _Job, target: Target, link: bytes) -> Result:
        """No process holds a symlink; the lifeline's keeper wrote down where it led."""
        status, verb = "restorable", "would be made again"
        if not self.terms.check_mode:
            self.host.symlink(target.folder.fd, target.name, link)
            status, verb = "restored", "was made again"
            self.log("restored the symlink %s" % printable(target.path))
        msg = "%s %s as a symlink to %s, as the lifeline recorded it." % (printable(target.path), verb, printable(link))
        result = _result(job, status, msg, changed=True, method="symlink", size=len(link), owner="root", group="root")
        result.update(mode="0777", mtime=None, checksum=None, content_by="lifeline", metadata_by="lifeline")
        result.update(source={"link": printable(RECORD)})
        result.update(path_fields(link, "target"))
        return result

    def _place_of_source(self, job: _Job, seen: "_Seen") -> Target:
        """Where a source that was given without a path had its name on this host."""
        path = seen.find(job.wish, None, (), job.wish.checksum).sighting.host_path
        if path is None:
            raise RescueError("%s had no name on this host that it could get back: give dest." % job.what, ["no_name"])
        if self.host.witnesses([original_path(path)]):
            path = original_path(path)
        self._ask_for([path])
        return self._open_target(path)

    def _told(self, job: _Job, target: Target, candidate: Candidate, outcome: Outcome) -> Result:
        path, link = printable(target.path), candidate.sighting.link
        if outcome.intended is None or outcome.metadata is None:
            said = "came back while it was to be restored: that file" if outcome.came_back else "is there and"
            return _result(job, "present", "%s %s was left alone." % (path, said))
        missing = target.missing and outcome.status == "restorable"
        hint = " Its folder %s would be made again." % printable(target.folder.path) if missing else ""
        hint += "".join(self.reporter.new_folder(made) for made in outcome.made)
        fix = repairs(target.path, outcome.intended, outcome.dropped + outcome.not_kept)
        if fix:
            hint += " It is not usable as before until you run: " + "; ".join(fix)
        writers = [] if outcome.method == "link" else self._writers(candidate)
        if writers and outcome.status == "restored":
            hint += " Still written to is the deleted file and not this one, by %s: see writers." % ", ".join(
                sorted({"%d (%s)" % (writer["pid"], writer["comm"]) for writer in writers})
            )
        verb = "would be restored" if outcome.status == "restorable" else "was restored"
        if outcome.status == "restored":
            self.log("restored %s from %s (inode %d)" % (path, link, candidate.file.file.inode))
        result = _result(
            job,
            outcome.status,
            "%s %s from %s.%s" % (path, verb, link, hint),
            changed=True,
            source=self.reporter.holder(candidate.sighting),
            method=outcome.method or None,
            metadata_by="process",
            checksum="sha256:" + outcome.digests["sha256"] if outcome.digests else None,
            content_by=outcome.content_by,
            size=outcome.size,
            accepted=list(outcome.accepted),
            dropped=list(outcome.dropped),
            not_kept=list(outcome.not_kept),
            usable=not fix and not outcome.intended.unread,
            fix=fix,
            consistent=outcome.consistent,
            copies=outcome.copies,
            writers=writers,
        )
        if outcome.made:
            result["made"] = [self.reporter.folder(made) for made in outcome.made]
        if outcome.frozen is not None:
            result["frozen"] = _frozen(outcome.frozen)
        result.update(self._metadata(outcome.metadata))
        if outcome.replaced is not None:
            old = outcome.replaced
            result["replaced"] = dict(self._metadata(old.metadata), checksum="sha256:" + old.sha256, size=old.size)
        if outcome.backup is not None:
            result.update(path_fields(os.path.join(target.folder.path, outcome.backup), "backup_file"))
        return result

    def _metadata(self, metadata: Metadata) -> Dict[str, Any]:
        return {
            "owner": self.reporter.user(metadata.uid),
            "group": self.reporter.group(metadata.gid),
            "mode": "%04o" % metadata.mode,
            "mtime": metadata.mtime_ns / 1e9,
        }

    def _writers(self, candidate: Candidate) -> List[Dict[str, Any]]:
        """Who still writes to the old inode and will not be seen in the restored file."""
        return [
            dict(self.reporter.holder(one), reopen=reopen(one.process.cgroup))
            for one in candidate.file.sightings
            if one.access in ("write", "both")
        ]


class _Seen:
    """A scan, with its sightings by path: thousands of wishes must not each look at thousands of sightings."""

    def __init__(self, scan: Scan, host: Host) -> None:
        self.scan = scan
        self.host = host
        self._by_path: Dict[bytes, List[Sighting]] = {}
        for sighting in scan.sightings:
            for path in set(paths_of(sighting)):
                self._by_path.setdefault(path, []).append(sighting)

    def find(
        self, wish: Wish, origin: Optional[Target], accept: Sequence[str], witness: Optional[Witness]
    ) -> Candidate:
        sightings = self.scan.sightings if wish.path is None else self._by_path.get(wish.path, [])
        return find(wish, origin, sightings, self.scan, accept, witness, self.host)

    def paths_below(self, prefix: bytes) -> List[bytes]:
        """What was deleted below a folder, as it was called at last."""
        return [
            sighting.host_path
            for sighting in self.scan.sightings
            if sighting.host_path is not None
            and _is_below(sighting, prefix)
            and kind_of(sighting) in ("regular", "shared_memory")
        ]


def _urgency(job: _Job) -> int:
    """What other programs need in order to start comes first."""
    name = os.path.basename(job.wish.path or b"")
    return next((rank for rank, names in enumerate(_FIRST) if names.match(name)), len(_FIRST))


def _is_below(sighting: Sighting, prefix: bytes) -> bool:
    path = sighting.host_path
    return path is not None and path.startswith(prefix.rstrip(b"/") + b"/")


def _frozen(frozen: Frozen) -> Dict[str, Any]:
    return {
        "stopped": [{"pid": pid, "by": way} for pid, way in sorted(frozen.stopped.items())],
        "spared": [{"pid": pid, "reason": why} for pid, why in sorted(frozen.spared.items())],
        "seconds": frozen.seconds,
        "in_time": frozen.in_time,
    }


def _result(job: _Job, status: str, msg: str, **more: Any) -> Result:
    result: Result = {"path": job.what, "status": status, "changed": False, "msg": msg}
    if job.wish.path is not None:
        result.update(path_fields(job.wish.path))
    if job.wish.dest is not None:
        result.update(path_fields(job.wish.dest, "dest"))
    return dict(result, **more)
