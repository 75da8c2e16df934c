# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""copy -> verify -> publish of one judged file: its name then holds the whole verified file, or nothing changed."""

import errno
import stat
from contextlib import ExitStack, suppress
from functools import partial
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._choose import Candidate
from ansible_collections.procfs.rescue.plugins.module_utils._draft import Draft
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import Frozen
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import judge_content, sentence, standing
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata
from ansible_collections.procfs.rescue.plugins.module_utils._model import Made, Target, Terms, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._publish import (
    NotKnownError,
    NotSavedError,
    NotSyncedError,
    sync,
)
from ansible_collections.procfs.rescue.plugins.module_utils._target import (
    check_named,
    check_room,
    filling,
    folder_there,
    not_synced,
)


class Order(NamedTuple):
    """``source`` is a readable descriptor of the chosen file, ``swept`` is for `sweep_once`, ``sync`` for `publish`.

    ``may_wait``: where it can be, the file need not have its name yet, but is made ready for it (`Outcome.ready`).
    ``name_ready`` names those that wait, before a file that does not. ``called`` is what the kernel calls the folder.
    """

    candidate: Candidate
    source: int
    target: Target
    in_place: bool
    witness: Optional[Witness]
    terms: Terms
    swept: Set[Tuple[int, int]]
    host: Host
    sync: Callable[[int], None] = sync
    may_wait: bool = False
    name_ready: Callable[[], None] = lambda: None
    called: Optional[bytes] = None

    @property
    def algorithms(self) -> List[str]:
        return ["sha256"] if self.witness is None else ["sha256", self.witness.algorithm]


class Existing(NamedTuple):
    """The file that has the name already, ``opened`` as long as it is to be told from others."""

    fd: int
    opened: ExitStack
    metadata: Metadata
    size: int
    sha256: str


class Outcome(NamedTuple):
    """What became of it. ``status`` is ``restored``, ``restorable`` (check mode) or ``present`` (nothing was done).

    It is ``ready`` where a verified draft waits for its name; until it has it, or not, its target must stay open.

    ``digests`` are of what has the name now, empty for a ``link`` or ``reflink`` that nobody wanted proven. ``dropped``
    are privileges that were withheld, ``not_kept`` what the file system did not take, ``accepted`` what was waived.
    ``came_back`` tells of a file that is ``present`` only since this was under way.
    """

    status: str
    method: str = ""
    digests: Dict[str, str] = {}  # noqa: RUF012  (never written to)
    content_by: str = "none"
    size: int = 0
    intended: Optional[Metadata] = None
    metadata: Optional[Metadata] = None
    dropped: Tuple[str, ...] = ()
    accepted: Tuple[str, ...] = ()
    not_kept: Tuple[str, ...] = ()
    consistent: bool = True
    copies: int = 0
    frozen: Optional[Frozen] = None
    made: Tuple[Made, ...] = ()
    replaced: Optional[Existing] = None
    backup: Optional[bytes] = None
    came_back: bool = False
    ready: Optional["Ready"] = None


class _Judged(NamedTuple):
    """What the content's digests allow."""

    metadata: Metadata
    dropped: Tuple[str, ...]
    accepted: Tuple[str, ...]
    content_by: str


class _Copied(NamedTuple):
    """``original`` are the metadata of the source as they were with this content."""

    method: str
    size: int
    digests: Dict[str, str]
    consistent: bool
    copies: int
    original: Metadata
    frozen: Optional[Frozen] = None


def put_back(order: Order) -> Outcome:
    """Carries ``order`` out. Raises RescueError; then nothing was changed, unless it says so."""
    original = order.host.read_metadata(order.source)
    if order.terms.check_mode:
        return _told(order, partial(_put_back, order, original))
    with folder_there(order.target, order.swept, order.host) as (target, made):
        called = order.host.path_of(target.folder.fd)
        order = order._replace(target=target, may_wait=order.may_wait and not made, called=called)
        return _told(order, partial(_put_back, order, original))._replace(made=made)


def _told(order: Order, work: Callable[[], Outcome]) -> Outcome:
    """What ``work`` gives; its errors as what they mean for the target. Raises RescueError."""
    target = order.target
    try:
        return work()
    except FileExistsError as error:
        with suppress(OSError):
            if stat.S_ISDIR(order.host.mode_of(target.folder.fd, target.name) or 0):
                raise RescueError("%s became a folder meanwhile, not a file." % printable(target.path)) from error
        return Outcome("present", came_back=True)
    except NotSyncedError as error:
        raise not_synced(target.path, error) from error
    except NotSavedError as error:
        raise RescueError(
            "%s is there again and complete, but what it replaced could not become a backup: %s. It waits in a folder "
            ".procfs-rescue.* beside it, and the next run tries again." % (printable(target.path), fault(error))
        ) from error
    except NotKnownError as error:
        raise RescueError(
            "Whether %s is there again is not known: %s. It is complete or not there at all: run this once more."
            % (printable(target.path), fault(error))
        ) from error
    except OSError as error:
        raise RescueError("%s could not be written: %s." % (printable(target.path), fault(error))) from error


def _put_back(order: Order, original: Metadata) -> Outcome:
    if not order.terms.check_mode:
        order.host.sweep_once(order.target.folder.fd, order.swept)
    with ExitStack() as opened:
        return _put_over(order, original, _existing(order, opened))


def _put_over(order: Order, original: Metadata, existing: Optional[Existing]) -> Outcome:
    folder, host = order.target.folder.fd, order.host
    if existing is not None and not order.terms.force:
        return Outcome("present", came_back=True)
    if not order.target.missing and host.is_named(order.source, folder, order.target.name):
        return Outcome("present")
    if existing is not None or order.terms.check_mode:
        found = host.digests(order.source, order.algorithms)
        judged = _judged(order, original, found)
        if existing is not None and _is_already(order, existing, judged.metadata, found["sha256"]):
            return Outcome("present")
        if order.terms.check_mode:
            if not _is_linkable(order) or judged.dropped:
                check_room(order.target, order.candidate.file.file.allocated, host)
            copied = _Copied("", order.host.size(order.source), found, True, 0, original)
            return _outcome("restorable", order, judged, copied)._replace(replaced=existing)
    done = _named_again(order, original, existing) or _copied_and_named(order, original, existing)
    return done._replace(replaced=existing)


def _judged(order: Order, original: Metadata, found: Dict[str, str]) -> _Judged:
    """What a file with these digests may get. Raises RescueError where it may not get the name."""
    digest = None if order.witness is None else found[order.witness.algorithm]
    reasons = judge_content(order.witness, digest)
    standing_reasons = standing(reasons, order.terms.accept)
    if standing_reasons:
        link = order.candidate.sighting.link
        raise RescueError("Refused to restore from %s: %s." % (link, sentence(standing_reasons)), standing_reasons)
    proven = order.witness is not None and not reasons
    accepted = tuple(order.candidate.reasons + reasons)
    metadata = original if order.in_place or proven else original.as_own(*order.host.own_ids())
    dropped: Tuple[str, ...] = ()
    if not proven or order.candidate.reasons:
        dropped = metadata.privileges()
        metadata = metadata.without_privileges()
    if not order.in_place:
        metadata = metadata.with_owner(order.terms.owner, order.terms.group, order.terms.mode)
    return _Judged(metadata, dropped, accepted, order.witness.by if order.witness is not None and proven else "none")


def _is_linkable(order: Order) -> bool:
    return order.in_place and order.candidate.file.file.nlink > 0


def _named_again(order: Order, original: Metadata, existing: Optional[Existing]) -> Optional[Outcome]:
    """The shortest way: the inode itself gets its name back, if it has another link and nothing is to be withheld."""
    if not _is_linkable(order):
        return None
    found = order.host.digests(order.source, order.algorithms) if order.witness is not None else {}
    judged = _judged(order, original, found)
    if judged.dropped:
        return None
    folder = order.target.folder.fd
    done = _Copied("link", order.host.size(order.source), found, True, 0, original)  # nothing may fail once it is there
    order.name_ready()
    if existing is not None and not _is_still_there(order, existing):
        return Outcome("present", came_back=True)
    linked = order.host.link_again(
        order.source, folder, order.target.name, existing is not None, order.terms.backup, order.sync
    )
    if linked is None:
        return None
    check_named(order.source, order.target, order.host, order.called)
    return _outcome("restored", order, judged, done)._replace(backup=linked.backup)


def _copied_and_named(order: Order, original: Metadata, existing: Optional[Existing]) -> Outcome:
    host, folder, name = order.host, order.target.folder.fd, order.target.name
    with ExitStack() as stack:
        stack.enter_context(filling(order.target, order.candidate.file.file.allocated, host))
        draft = stack.enter_context(host.draft_in(folder))
        copied = _copied(order, original, draft.fd)
        judged = _judged(order, copied.original, copied.digests)
        host.apply_metadata(draft.fd, judged.metadata)
        not_kept = tuple(host.differences(draft.fd, judged.metadata))
        done = _outcome("restored", order, judged, copied)._replace(not_kept=not_kept)
        if existing is not None:
            order.name_ready()
            if not _is_still_there(order, existing):
                return Outcome("present", came_back=True)
            backup = host.replace(draft, folder, name, order.terms.backup, order.sync)
            check_named(draft.fd, order.target, host, order.called)
            return done._replace(backup=backup)
        if not order.may_wait or draft.hidden is not None:
            order.name_ready()
            return _named(order, draft, done)
        host.start_writing(draft.fd)
        return done._replace(status="ready", ready=Ready(order, draft, done, stack.pop_all()))


def _named(order: Order, draft: Draft, done: Outcome, is_synced: bool = False) -> Outcome:
    order.host.publish(draft, order.target.folder.fd, order.target.name, order.sync, is_synced)
    check_named(draft.fd, order.target, order.host, order.called)
    return done


class Ready:
    """A verified draft that waits for its name.

    Many are all synced before the first is named: naming one changes the list of nameless inodes, in which it stands
    between others (ext4), and these would have to be written once more.
    """

    def __init__(self, order: Order, draft: Draft, done: Outcome, kept: ExitStack) -> None:
        self._order = order
        self._draft = draft
        self._done = done
        self._kept = kept
        self._error: Optional[OSError] = None

    def sync(self) -> None:
        """`name` raises what goes wrong."""
        try:
            self._order.host.sync_draft(self._draft.fd)
        except OSError as error:
            self._error = error

    def name(self) -> Outcome:
        """Raises RescueError."""
        return _told(self._order, self._named)

    def _named(self) -> Outcome:
        with self._kept:
            if self._error is not None:
                raise self._error
            return _named(self._order, self._draft, self._done, is_synced=True)


def _copied(order: Order, original: Metadata, target: int) -> _Copied:
    """While those who write stand still, where the user wants that."""
    if order.terms.freeze is None:
        return _copied_until_equal(order, original, target)
    file = order.candidate.file
    writers = {one.process.pid: one.process.start_time for one in file.sightings if one.access in ("write", "both")}
    work = partial(_copied_until_equal, order, original, target)
    copied, frozen = order.host.while_frozen(work, writers, file.file.identity, order.terms.freeze)
    done: _Copied = copied._replace(frozen=frozen)
    return done


def _copied_until_equal(order: Order, original: Metadata, target: int) -> _Copied:
    """Copies until the copy's digest is the source's, at most ``max_copies`` times."""
    host = order.host
    copies = 0
    while True:
        copies += 1
        # Never of a later moment than the content: who sees that nothing changed since may do without the source. It
        # may have changed since it was opened, though; only our own reading moves its atime.
        latest = host.read_metadata(order.source)._replace(atime_ns=original.atime_ns)
        cloned = host.clone_content(order.source, target)
        if not cloned:
            if copies == 1:  # later copies take the place of the first
                check_room(order.target, order.candidate.file.file.allocated, host)
            host.copy_content(order.source, target)
            if order.witness is None:  # the second digest will tell what is written after this
                latest = host.read_metadata(order.source)._replace(atime_ns=original.atime_ns)
        # A clone that nobody wants proven need not be read: it takes no longer for a large file than for a small one.
        found = {} if cloned and order.witness is None else host.draft_digests(target, order.algorithms)
        # A clone is of one moment, whatever is written to the source since; proven content needs no other proof.
        consistent = (
            cloned
            or (order.witness is not None and found[order.witness.algorithm] == order.witness.digest)
            or host.digests(order.source, ["sha256"])["sha256"] == found["sha256"]
        )
        if consistent or copies >= order.terms.max_copies:
            return _Copied("reflink" if cloned else "copy", host.size(target), found, consistent, copies, latest)


def _is_already(order: Order, existing: Existing, wanted: Metadata, sha256: str) -> bool:
    """Whether the file that has the name is what the restored one would be, as far as metadata is taken there."""
    if existing.sha256 != sha256:
        return False
    found = existing.metadata._replace(atime_ns=wanted.atime_ns)
    if found == wanted:
        return True
    host = order.host
    try:
        # Check mode makes nothing that anybody could see: where that needs a name, it is taken for another file.
        with host.draft_in(order.target.folder.fd, nameless=order.terms.check_mode) as draft:
            host.apply_metadata(draft.fd, wanted)
            return found == host.read_metadata(draft.fd)._replace(atime_ns=wanted.atime_ns)
    except OSError:
        if order.terms.check_mode:
            return False
        raise


def _existing(order: Order, opened: ExitStack) -> Optional[Existing]:
    host = order.host
    fd = None if order.target.missing else host.open_file(order.target.folder.fd, order.target.name)
    if fd is None:
        return None
    opened.callback(host.close, fd)
    return Existing(fd, opened, host.read_metadata(fd), host.size(fd), host.digests(fd, ["sha256"])["sha256"])


def _is_still_there(order: Order, existing: Existing) -> bool:
    """Whether nobody gave the name to another file since ``existing`` was looked at; it may be gone, too.

    That is closed then: the kernel's SMB client can lose a file that is replaced while it is open.
    """
    host, folder, name = order.host, order.target.folder.fd, order.target.name
    with existing.opened:
        try:
            return host.is_named(existing.fd, folder, name) or host.mode_of(folder, name) is None
        except OSError as error:
            if error.errno != errno.ESTALE:  # NFS, when its server has it no more
                raise
            return False


def _outcome(status: str, order: Order, judged: _Judged, copied: _Copied) -> Outcome:
    return Outcome(
        status=status,
        method=copied.method,
        digests=copied.digests,
        content_by=judged.content_by,
        size=copied.size,
        intended=copied.original if order.in_place else judged.metadata,
        metadata=judged.metadata,
        dropped=judged.dropped,
        accepted=judged.accepted,
        consistent=copied.consistent,
        copies=copied.copies,
        frozen=copied.frozen,
    )
