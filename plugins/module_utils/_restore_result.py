# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The results of restore_file, and how they are worded."""

import os
from typing import Any, Dict, List, Sequence

from ansible_collections.procfs.rescue.plugins.module_utils._cgroup import reopen
from ansible_collections.procfs.rescue.plugins.module_utils._choose import Candidate, unseen
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import Frozen
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata, repairs
from ansible_collections.procfs.rescue.plugins.module_utils._model import Made, Scan, Target
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._put_back import Outcome
from ansible_collections.procfs.rescue.plugins.module_utils._record import RECORD
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._restore_job import Job, Result


def result_of(job: Job, status: str, msg: str, **more: Any) -> Result:
    result: Result = {"path": job.what, "status": status, "changed": False, "msg": msg}
    if job.wish.path is not None:
        result.update(path_fields(job.wish.path))
    if job.wish.dest is not None:
        result.update(path_fields(job.wish.dest, "dest"))
    return dict(result, **more)


def left_alone(job: Job, target: Target) -> Result:
    return result_of(job, "present", "%s is there and was left alone." % printable(target.path))


def came_back(job: Job, target: Target) -> Result:
    msg = "%s came back while it was to be restored: that file was left alone."
    return result_of(job, "present", msg % printable(target.path))


def named_untold(job: Job, target: Target) -> Result:
    msg = (
        "%s is there again: a process of this run that was killed in that moment had put it back, whole and verified, "
        "if nobody else did."
    )
    return result_of(job, "present", msg % printable(target.path), changed=True)


def given_up(job: Job, silent: Sequence[str]) -> Result:
    msg = (
        "%s was given up: its source or its target is on a network or FUSE file system that does not answer any more "
        "(%s). Nothing is there by half. Look after its server and run this once more, or restore elsewhere with dest."
    )
    return result_of(job, "failed", msg % (job.what, ", ".join(silent)), refused=[])


def not_tried(job: Job) -> Result:
    msg = "%s was not tried: the SFTP session ended, and no other could be had. Run this once more." % job.what
    return result_of(job, "failed", msg, refused=[])


def told_of_unseen(prefixes: Sequence[bytes], seen: Scan, host: Host) -> str:
    where = ", ".join(map(printable, prefixes))
    first = "Not all processes could be looked at: there may be more deleted files below %s than were found." % where
    return " ".join([first, *unseen(seen, host)])


def told_of_symlink(
    job: Job, target: Target, leads_to: bytes, status: str, made: Sequence[Made], reporter: Reporter
) -> Result:
    verb = "was made again" if status == "restored" else "would be made again"
    msg = "%s %s as a symlink to %s, as the lifeline recorded it." % (printable(target.path), verb, printable(leads_to))
    msg += _of_folders(target, status, made, reporter)
    result = result_of(job, status, msg, changed=True, method="symlink", size=len(leads_to), owner="root", group="root")
    result.update(mode="0777", mtime=None, checksum=None, content_by="lifeline", metadata_by="lifeline")
    result.update(source={"link": printable(RECORD)})
    result.update(path_fields(leads_to, "target"))
    if made:
        result["made"] = [reporter.folder(one) for one in made]
    return result


def _of_folders(target: Target, status: str, made: Sequence[Made], reporter: Reporter) -> str:
    if target.missing and status == "restorable":
        return " Its folder %s would be made again." % printable(target.folder.path)
    return "".join(reporter.new_folder(one) for one in made)


def told(job: Job, target: Target, candidate: Candidate, outcome: Outcome, reporter: Reporter) -> Result:
    """What came of a file that was found."""
    path, link = printable(target.path), candidate.sighting.link
    if outcome.intended is None or outcome.metadata is None:
        return (came_back if outcome.came_back else left_alone)(job, target)
    hint = _of_folders(target, outcome.status, outcome.made, reporter)
    fix = repairs(target.path, outcome.intended, outcome.dropped + outcome.not_kept)
    if fix:
        hint += " It is not usable as before until you run: " + "; ".join(fix)
    writers = [] if outcome.method == "link" else _writers(candidate, reporter)
    if writers and outcome.status == "restored":
        hint += " Still written to is the deleted file and not this one, by %s: see writers." % ", ".join(
            sorted({"%d (%s)" % (writer["pid"], writer["comm"]) for writer in writers})
        )
    verb = "would be restored" if outcome.status == "restorable" else "was restored"
    result = result_of(
        job,
        outcome.status,
        "%s %s from %s.%s" % (path, verb, link, hint),
        changed=True,
        source=reporter.holder(candidate.sighting),
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
        result["made"] = [reporter.folder(made) for made in outcome.made]
    if outcome.frozen is not None:
        result["frozen"] = _frozen(outcome.frozen)
    result.update(_metadata(outcome.metadata, reporter))
    if outcome.replaced is not None:
        old = outcome.replaced
        result["replaced"] = dict(_metadata(old.metadata, reporter), checksum="sha256:" + old.sha256, size=old.size)
    if outcome.backup is not None:
        result.update(path_fields(os.path.join(target.folder.path, outcome.backup), "backup_file"))
    return result


def _metadata(metadata: Metadata, reporter: Reporter) -> Dict[str, Any]:
    return {
        "owner": reporter.user(metadata.uid),
        "group": reporter.group(metadata.gid),
        "mode": "%04o" % metadata.mode,
        "mtime": metadata.mtime_ns / 1e9,
    }


def _writers(candidate: Candidate, reporter: Reporter) -> List[Dict[str, Any]]:
    """Who still writes to the old inode and will not be seen in the restored file."""
    return [
        dict(reporter.holder(one), reopen=reopen(one.process.cgroup))
        for one in candidate.file.sightings
        if one.access in ("write", "both")
    ]


def _frozen(frozen: Frozen) -> Dict[str, Any]:
    return {
        "stopped": [{"pid": pid, "by": way} for pid, way in sorted(frozen.stopped.items())],
        "spared": [{"pid": pid, "reason": why} for pid, why in sorted(frozen.spared.items())],
        "seconds": frozen.seconds,
        "in_time": frozen.in_time,
    }
