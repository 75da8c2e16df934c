# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""A file that another host or a package gives, put under its name here: copy -> verify -> publish, as `_put_back` does.

Nobody but this host says what its content must be: the user's checksum, or its own package database.
"""

import shlex
import stat
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Callable, ContextManager, Dict, Iterable, Iterator, List, NamedTuple, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import number_of
from ansible_collections.procfs.rescue.plugins.module_utils._draft import Draft
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import (
    judge_content,
    judge_folder,
    sentence,
    standing,
)
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import (
    ACL,
    CAPABILITY,
    Metadata,
    acl_lets_others_write,
    repairs,
)
from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    File,
    Missing,
    Recorded,
    Target,
    Terms,
    Witness,
)
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need, need_fields
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer
from ansible_collections.procfs.rescue.plugins.module_utils._publish import NotSyncedError
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._target import (
    aimed,
    check_named,
    check_room,
    filling,
    folder_there,
    not_synced,
    try_to_start,
)

Result = Dict[str, Any]

# What may come from another host, besides user.*: labels are for the policy of this one, trusted.* for its root.
_OF_OTHERS = (ACL, CAPABILITY)


class Delivery(NamedTuple):
    """``content`` gives the pieces of a file's content, ``by`` is who gives it, such as ``peer web3``.

    ``came`` are the bytes of it that are in the draft already.
    """

    need: Need
    offer: Offer
    content: Callable[[], Iterable[bytes]]
    by: str
    # As `_draft.draft_in`; `new_draft` unless a part of the content has come before.
    draft_in: Callable[[int], ContextManager[Draft]]
    came: int = 0


@contextmanager
def new_draft(host: Host, folder: int) -> Iterator[Draft]:
    """After what killed runs left in the opened ``folder`` was removed. Raises OSError."""
    host.sweep_once(folder, set())
    with host.draft_in(folder) as draft:
        yield draft


def supply(delivery: Delivery, terms: Terms, log: Callable[[str], None], host: Host) -> Result:
    """The result of one file, as `_restore.restore` gives them; it fails without an exception."""
    started = time.monotonic()
    try:
        result = _supplied(delivery, terms, log, host)
    except RescueError as error:
        result = _result(delivery, "failed", str(error), refused=error.reasons)
    except OSError as error:
        what = printable(delivery.need.path)
        result = _result(delivery, "failed", "%s: %s." % (what, fault(error)), refused=[])
    return dict(result, seconds=round(time.monotonic() - started, 3))


def _supplied(delivery: Delivery, terms: Terms, log: Callable[[str], None], host: Host) -> Result:
    target = aimed(delivery.need.path, {}, host, partial(_to_be_made, delivery, host) if terms.parents else None)
    try:
        if not target.missing and host.mode_of(target.folder.fd, target.name) is not None:
            return _result(delivery, "present", "%s is there and was left alone." % printable(target.path))
        put = _copied if delivery.offer.leads_to is None else _symlinked
        if terms.check_mode:
            return put(delivery, target, terms, log, host)
        with folder_there(target, set(), host) as (there, made):
            result = put(delivery, there, terms, log, host)
        if made:
            reporter = Reporter(host)
            result["made"] = [reporter.folder(one) for one in made]
            result["msg"] += "".join(map(reporter.new_folder, made))
        if terms.try_start:
            try_to_start(result, target.path, host)
        return result
    except FileExistsError:
        text = "%s came back while it was to be restored: that file was left alone."
        return _result(delivery, "present", text % printable(target.path))
    except NotSyncedError as error:
        raise not_synced(target.path, error) from error
    finally:
        host.close(target.folder.fd)


def _to_be_made(delivery: Delivery, host: Host, path: bytes, name: bytes) -> Missing:
    """A folder as this host has a record of it, else as it is where the file comes from, if it is root's there.

    Others than root may write in no folder of which this host has no record, unless they may in the one around it.
    """
    recorded = host.recorded(path)
    known = recorded is not None
    if recorded is None:
        by_path = {one: (owner, group, mode) for one, owner, group, mode in delivery.offer.folders}
        if path not in by_path:
            return Missing(name)
        owner, group, mode = by_path[path]
        recorded = Recorded(mode & ~(stat.S_IWGRP | stat.S_IWOTH), owner, group, delivery.by)
    with suppress(RescueError):  # its users may not be there
        uid = number_of(recorded.owner, host.user_names(), "user")
        gid = number_of(recorded.group, host.group_names(), "group")
        if known or uid == 0:
            return Missing(name, (uid, gid, recorded.mode, recorded.by))
    return Missing(name)


def _symlinked(delivery: Delivery, target: Target, terms: Terms, log: Callable[[str], None], host: Host) -> Result:
    leads_to = delivery.offer.leads_to or b""
    if host.witnesses([target.path]):
        raise RescueError("%s is no symlink in this host's package." % printable(target.path), ["checksum_differs"])
    if not host.may_be_symlink(target.path, leads_to):
        path, text = printable(target.path), "No package of this host has a symlink %s, so that %s is not believed."
        hint = " If it was a symlink, make it again: ln -s TARGET %s" % shlex.quote(path)
        raise RescueError(text % (path, delivery.by) + hint, ["no_digest"])
    status, verb = "restorable", "would be made again"
    if not terms.check_mode:
        host.symlink(target.folder.fd, target.name, leads_to)
        status, verb = "restored", "was made again"
        log("restored the symlink %s from %s" % (printable(target.path), delivery.by))
    msg = "%s %s as a symlink to %s, from %s." % (printable(target.path), verb, printable(leads_to), delivery.by)
    result = _result(delivery, status, msg, changed=True, method="symlink", size=len(leads_to), checksum=None)
    result.update(path_fields(leads_to, "target"), owner="root", group="root", mode="0777", mtime=None)
    return dict(result, content_by=delivery.by, metadata_by=delivery.by, source=_source(delivery))


def _copied(delivery: Delivery, target: Target, terms: Terms, log: Callable[[str], None], host: Host) -> Result:
    witness = _witness(delivery.need, target, host)
    recorded = host.recorded(target.path)
    metadata, by = _metadata(delivery, recorded, host), recorded.by if recorded else delivery.by
    reasons = standing(judge_folder(_file(metadata), target.folder.ancestors, witness), terms.accept)
    if reasons:
        raise RescueError("Refused to restore %s: %s." % (printable(target.path), sentence(reasons)), reasons)
    has_acl = ACL in metadata.xattrs
    if recorded is None and (
        metadata.mode & (stat.S_IWGRP | stat.S_IWOTH) or (has_acl and acl_lets_others_write(metadata.xattrs[ACL]))
    ):
        text = "Refused to restore %s: others than its owner may write to it on %s (mode %04o%s)."
        told = (printable(target.path), delivery.by, metadata.mode, " and an ACL" if has_acl else "")
        raise RescueError(text % told, ["owner_differs"])
    needed = delivery.offer.size - delivery.came
    check_room(target, needed, host)
    if terms.check_mode:
        return _told(delivery, target, metadata, by, witness, {}, [], "restorable", host)
    called = host.path_of(target.folder.fd)
    with filling(target, needed, host), delivery.draft_in(target.folder.fd) as draft:
        host.write_content(delivery.content(), draft.fd)
        digests = host.draft_digests(draft.fd, ["sha256", witness.algorithm])
        reasons = judge_content(witness, digests[witness.algorithm])
        if reasons:
            text = "Refused to restore %s with what %s gave: %s. Nothing was written under its name."
            raise RescueError(text % (printable(target.path), delivery.by, sentence(reasons)), reasons)
        host.apply_metadata(draft.fd, metadata)
        not_kept = host.differences(draft.fd, metadata)
        if has_acl and host.read_metadata(draft.fd).mode & ~metadata.mode:
            text = "Refused to restore %s: its ACL on %s lets more users at it than its mode %04o."
            raise RescueError(text % (printable(target.path), delivery.by, metadata.mode), ["owner_differs"])
        host.publish(draft, target.folder.fd, target.name)
        check_named(draft.fd, target, host, called)
    log("restored %s from %s" % (printable(target.path), delivery.by))
    return _told(delivery, target, metadata, by, witness, digests, not_kept, "restored", host)


def _witness(need: Need, target: Target, host: Host) -> Witness:
    if need.witness is not None and need.witness.by == "checksum":
        return need.witness
    witness = host.witnesses([target.path]).get(target.path)
    if witness is None:
        text = "Nothing on this host tells what content %s must have: give its checksum (rescue_checksums)."
        raise RescueError(text % printable(target.path), ["no_digest"])
    return witness


def _metadata(delivery: Delivery, recorded: Optional[Recorded], host: Host) -> Metadata:
    """By names, which mean the same everywhere; what this host has a record of goes before what another has."""
    offer = delivery.offer
    mode, owner, group = offer.mode, offer.owner, offer.group
    if recorded is not None:
        mode, owner, group = recorded.mode, recorded.owner, recorded.group
    uid, gid = number_of(owner, host.user_names(), "user"), number_of(group, host.group_names(), "group")
    xattrs = {name: value for name, value in offer.xattrs.items() if name in _OF_OTHERS or name.startswith("user.")}
    if recorded is not None:
        xattrs.pop(ACL, None)  # it would change the mode
        if recorded.capabilities is False:
            xattrs.pop(CAPABILITY, None)
    return Metadata(mode, uid, gid, offer.mtime_ns, offer.mtime_ns, xattrs)


def _file(metadata: Metadata) -> File:
    mode = stat.S_IFREG | metadata.mode
    return File(0, 0, mode, 0, metadata.uid, metadata.gid, 0, 0, metadata.mtime_ns)


def _source(delivery: Delivery) -> Dict[str, Any]:
    kind, _separator, name = delivery.by.partition(" ")
    return {kind: name, "link": delivery.offer.source}


def _told(
    delivery: Delivery,
    target: Target,
    metadata: Metadata,
    metadata_by: str,
    witness: Witness,
    digests: Dict[str, str],
    not_kept: List[str],
    status: str,
    host: Host,
) -> Result:
    left_out = sorted(delivery.offer.xattrs.keys() - metadata.xattrs.keys() - {CAPABILITY})
    fix = repairs(target.path, metadata, not_kept)
    verb = "was restored" if status == "restored" else "would be restored"
    msg = "%s %s from %s." % (printable(target.path), verb, delivery.by)
    if fix:
        msg += " It is not usable as before until you run: " + "; ".join(fix)
    reporter = Reporter(host)
    return _result(
        delivery,
        status,
        msg,
        changed=True,
        source=_source(delivery),
        method="copy",
        checksum="sha256:" + digests["sha256"] if digests else None,
        content_by=witness.by,
        metadata_by=metadata_by,
        size=delivery.offer.size,
        owner=reporter.user(metadata.uid),
        group=reporter.group(metadata.gid),
        mode="%04o" % metadata.mode,
        mtime=metadata.mtime_ns / 1e9,
        dropped=["capabilities"] if CAPABILITY in delivery.offer.xattrs and CAPABILITY not in metadata.xattrs else [],
        not_kept=not_kept + left_out,
        usable=not fix,
        fix=fix,
    )


def _result(delivery: Delivery, status: str, msg: str, **more: Any) -> Result:
    result: Result = dict(path_fields(delivery.need.path), status=status, changed=False, msg=msg)
    if status in ("failed", "restorable"):
        result["needs"] = need_fields(delivery.need)
    return dict(result, **more)
