# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""One file whose place is known: the one to be restored is chosen, put back, and told of."""

from contextlib import suppress
from functools import partial
from typing import Callable, Dict, NamedTuple, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._aim import Aim
from ansible_collections.procfs.rescue.plugins.module_utils._choose import Candidate, Wish
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import judge_content, judge_handle, standing
from ansible_collections.procfs.rescue.plugins.module_utils._model import Target, Terms, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import original_path, printable
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer, described
from ansible_collections.procfs.rescue.plugins.module_utils._publish import NotSyncedError
from ansible_collections.procfs.rescue.plugins.module_utils._put_back import Order, Outcome, put_back
from ansible_collections.procfs.rescue.plugins.module_utils._record import recorded_symlink
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._restore_job import Job, Result, Waiting
from ansible_collections.procfs.rescue.plugins.module_utils._restore_result import (
    came_back,
    left_alone,
    named_untold,
    result_of,
    told,
    told_of_symlink,
)
from ansible_collections.procfs.rescue.plugins.module_utils._seen import Seen
from ansible_collections.procfs.rescue.plugins.module_utils._target import folder_there, not_synced, try_to_start
from ansible_collections.procfs.rescue.plugins.module_utils._unsynced import Unsynced

# In bytes: before what is larger is copied, what waits gets its name.
_TAKES_LONG = 1024 * 1024


class Tools(NamedTuple):
    """What one file is restored with. ``witnesses`` vouch for the paths of all.

    ``name_ready`` names what waits for that, ``settle`` also makes names last; ``may_wait`` is False where nothing can.
    """

    seen: Seen
    witnesses: Dict[bytes, Witness]
    aim: Aim
    reporter: Reporter
    unsynced: Unsynced
    name_ready: Callable[[], None]
    settle: Callable[[], None]
    may_wait: bool
    terms: Terms
    host: Host


def restored(job: Job, tools: Tools, log: Callable[[str], None]) -> Result:
    """``log`` gets a line if it is. Empty while a draft is ``job.ready``. Raises RescueError, OSError."""
    seen, witnesses, aim, terms, host = tools.seen, tools.witnesses, tools.aim, tools.terms, tools.host
    target = job.target
    if target is None:
        target = _place_of_source(job, tools)
        job.aim_in_place(target)
        settled = {} if target.missing else aim.settled(job, target)
        if settled:
            return settled
        witnesses = host.witnesses([target.path])
    witness = job.wish.checksum or witnesses.get(job.wish.path or b"")
    if job.wish.in_place and (target.missing or host.mode_of(target.folder.fd, target.name) is None):
        job.lost = target.path, witness
    try:
        candidate = seen.find(job.wish, job.origin, terms.accept, witness)
    except RescueError as error:
        if error.reasons == ["not_held"] and job.wish.in_place and _is_back(job.wish, target, witness, tools):
            return left_alone(job, target)
        leads_to = recorded_symlink(host.read_record(), target.path)
        if error.reasons != ["not_held"] or leads_to is None or not job.wish.in_place or witness is not None:
            raise
        return _made_again(job, target, leads_to, tools, log)
    if candidate.file.file.is_nearly_all_hole and not job.named:
        raise RescueError(
            "%s is %d bytes long and nearly all of it a hole, which takes long to read: restore it by its own path."
            % (job.what, candidate.file.file.size)
        )
    sync = partial(tools.unsynced.add, failed=partial(_not_synced, job))
    takes_long = candidate.file.file.size > _TAKES_LONG
    if takes_long or target.missing:  # a folder to be made must not take the name of a file that waits for it
        tools.settle()
    may_wait = tools.may_wait and not takes_long
    by_others = terms, aim.swept, host, sync, may_wait, tools.name_ready
    offer = None
    with host.readable(candidate.sighting) as source:
        outcome = put_back(Order(candidate, source, target, job.wish.in_place, witness, *by_others))
        if terms.offer and witness and outcome.content_by == witness.by and not outcome.dropped:
            where = printable(target.path) if outcome.status in ("restored", "ready") else candidate.sighting.link
            with suppress(OSError, RescueError):  # it is there all the same
                offer = described(source, target.path, where, host)
    told_at_last = partial(_told_at_last, job, target, candidate, offer, tools, log)
    ready = outcome.ready
    if ready is None:
        return told_at_last(outcome)
    job.ready = Waiting(ready.sync, lambda: told_at_last(ready.name()), outcome.size)
    return {}


def _told_at_last(
    job: Job,
    target: Target,
    candidate: Candidate,
    offer: Optional[Offer],
    tools: Tools,
    log: Callable[[str], None],
    outcome: Outcome,
) -> Result:
    terms, host = tools.terms, tools.host
    if outcome.status == "present" and job.begun and job.was_free:
        return named_untold_of(job, target, tools, log)
    job.offer = None if outcome.came_back else offer
    if outcome.status == "restored":
        found = (printable(target.path), candidate.sighting.link, candidate.file.file.inode)
        log("restored %s from %s (inode %d)" % found)
    result = told(job, target, candidate, outcome, tools.reporter)
    if terms.try_start and outcome.status == "restored" and (job.named or job.packaged):
        try_to_start(result, target.path, host)
    return result


def named_untold_of(job: Job, target: Target, tools: Tools, log: Callable[[str], None]) -> Result:
    """A file whose name is taken since another process of ours was about to give it, and was killed. Raises OSError."""
    tools.unsynced.add(target.folder.fd, partial(_not_synced, job))
    log("restored %s, by a process that was killed before it told" % printable(target.path))
    return named_untold(job, target)


def _not_synced(job: Job, error: OSError) -> None:
    failure = not_synced(job.place or b"", error)
    job.result = dict(result_of(job, "failed", str(failure), refused=failure.reasons), seconds=round(job.seconds, 3))


def _is_back(wish: Wish, target: Target, witness: Optional[Witness], tools: Tools) -> bool:
    """Whether the name leads to the very file that is held, as after a restore by link: it is not deleted then."""
    for sighting in () if target.missing else tools.seen.scan.back:
        if not wish.means(sighting) or judge_handle(sighting, wish.claim):
            continue
        with suppress(OSError, RescueError), tools.host.readable(sighting) as fd:
            if tools.host.is_named(fd, target.folder.fd, target.name):
                digest = None if witness is None else tools.host.digests(fd, [witness.algorithm])[witness.algorithm]
                return not standing(judge_content(witness, digest), tools.terms.accept)
    return False


def _made_again(job: Job, target: Target, leads_to: bytes, tools: Tools, log: Callable[[str], None]) -> Result:
    """No process holds a symlink; the lifeline's keeper wrote down where it led."""
    if tools.terms.check_mode:
        return told_of_symlink(job, target, leads_to, "restorable", (), tools.reporter)
    tools.settle()
    try:
        with folder_there(target, tools.aim.swept, tools.host) as (there, made):
            tools.host.symlink(there.folder.fd, there.name, leads_to)
    except FileExistsError:
        return came_back(job, target)
    except NotSyncedError as error:
        raise not_synced(target.path, error) from error
    log("restored the symlink %s" % printable(target.path))
    return told_of_symlink(job, target, leads_to, "restored", made, tools.reporter)


def _place_of_source(job: Job, tools: Tools) -> Target:
    """Where a source that was given without a path had its name on this host."""
    path = tools.seen.find(job.wish, None, (), job.wish.checksum).sighting.host_path
    if path is None:
        raise RescueError("%s had no name on this host that it could get back: give dest." % job.what, ["no_name"])
    if tools.host.witnesses([original_path(path)]):
        path = original_path(path)
    tools.aim.ask_for([path])
    return tools.aim.open_target(path)
