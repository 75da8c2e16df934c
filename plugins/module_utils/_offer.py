# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What a host offers to another that lost a file: the same file, alive on its disk or held by one of its processes."""

import base64
import os
import stat
from contextlib import ExitStack, suppress
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter


class Offer(NamedTuple):
    """Owner and group are names, so that they mean the same on another host. ``leads_to`` is where a symlink leads.

    ``source`` says where it is here: its path, or the magic link of a holder. ``folders`` are those around it, from the
    top: path, owner, group, permissions.
    """

    size: int
    mode: int
    owner: str
    group: str
    mtime_ns: int
    xattrs: Dict[str, bytes]
    leads_to: Optional[bytes]
    source: str
    folders: Tuple[Tuple[bytes, str, str, int], ...] = ()


def offer_fields(offer: Offer) -> Dict[str, Any]:
    """As plain data."""
    fields = dict(offer._asdict(), mode="%04o" % offer.mode)
    fields["xattrs"] = {name: _base64(value) for name, value in offer.xattrs.items()}
    fields["leads_to"] = None if offer.leads_to is None else _base64(offer.leads_to)
    fields["folders"] = [
        dict(path_fields(path), owner=owner, group=group, mode="%04o" % mode)
        for path, owner, group, mode in offer.folders
    ]
    return fields


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def offer_from(fields: Dict[str, Any]) -> Offer:
    """From what `offer_fields` gave. Raises RescueError."""
    try:
        offer = Offer(
            size=int(fields["size"]),
            mode=int(fields["mode"], 8) & 0o7777,
            owner=str(fields["owner"]),
            group=str(fields["group"]),
            mtime_ns=int(fields["mtime_ns"]),
            xattrs={str(name): base64.b64decode(value) for name, value in fields["xattrs"].items()},
            leads_to=None if fields["leads_to"] is None else base64.b64decode(fields["leads_to"]),
            source=str(fields["source"]),
            folders=tuple(
                (path_bytes(one) or b"", str(one["owner"]), str(one["group"]), int(one["mode"], 8) & 0o7777)
                for one in fields["folders"]
            ),
        )
        # What no file has would be an exception where it is to be set.
        if not (0 <= offer.size < _BEYOND and -_BEYOND < offer.mtime_ns < _BEYOND):
            raise ValueError("its size or mtime is that of no file")
        if b"\0" in (offer.leads_to or b"") + b"".join(map(os.fsencode, offer.xattrs)):
            raise ValueError("a name in it has a NUL byte")
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise RescueError("This is no offer of another host: %s." % error) from error
    return offer


# Sizes and times are numbers of 64 bits.
_BEYOND = 1 << 63


def offer_alive(need: Need, host: Host) -> Optional[Offer]:
    """What has the name on disk, if it is what is needed. Raises as `alive_in`."""
    with ExitStack() as stack:
        alive = alive_in(stack, need, host)
    return None if alive is None else alive[0]


def alive_in(stack: ExitStack, need: Need, host: Host, is_proven: bool = False) -> Optional[Tuple[Offer, int]]:
    """The same, with a descriptor of its content until ``stack`` ends, -1 for a symlink.

    Where it ``is_proven`` its content is not read: it was before, and whoever gets it will read all of it.

    Raises RescueError, with the reason ``checksum_differs`` or ``no_digest``, and OSError.
    """
    try:
        folder = host.open_folder(os.path.dirname(need.path), {})
    except RescueError as error:
        if error.reasons == ["folder_gone"]:
            return None
        raise
    stack.callback(host.close, folder.fd)
    name = os.path.basename(need.path)
    mode = host.mode_of(folder.fd, name)
    if mode is None:
        return None
    if stat.S_ISLNK(mode):
        if need.witness is not None:
            raise RescueError("%s is a symlink there" % printable(need.path), ["checksum_differs"])
        link = host.readlink(folder.fd, name)
        return Offer(len(link), 0o777, "root", "root", 0, {}, link, printable(need.path), _folders(need.path, host)), -1
    if need.witness is None:
        raise RescueError("nothing tells what content %s must have" % printable(need.path), ["no_digest"])
    fd = host.open_file(folder.fd, name) if stat.S_ISREG(mode) else None
    if fd is None:
        return None
    stack.callback(host.close, fd)
    try:
        algorithm = need.witness.algorithm
        if is_proven or host.digests(fd, [algorithm])[algorithm] == need.witness.digest:
            return described(fd, need.path, printable(need.path), host), fd
    except OSError as error:
        raise RescueError("%s could not be read: %s" % (printable(need.path), fault(error))) from error
    return None


def described(fd: int, path: bytes, source: str, host: Host) -> Offer:
    """An offer of the opened file, which is or was ``path``. Raises OSError."""
    metadata, reporter = host.read_metadata(fd), Reporter(host)
    owner, group = reporter.user(metadata.uid), reporter.group(metadata.gid)
    folders = _folders(path, host)
    return Offer(host.size(fd), metadata.mode, owner, group, metadata.mtime_ns, metadata.xattrs, None, source, folders)


def _folders(path: bytes, host: Host) -> Tuple[Tuple[bytes, str, str, int], ...]:
    """What is there of the folders around ``path``: they may be gone where it is needed."""
    found: List[Tuple[bytes, str, str, int]] = []
    reporter = Reporter(host)
    above = os.path.dirname(path)
    while above.strip(b"/"):
        with suppress(OSError, RescueError):
            folder = host.open_folder(above, {})
            try:
                metadata = host.read_metadata(folder.fd)
            finally:
                host.close(folder.fd)
            owner, group = reporter.user(metadata.uid), reporter.group(metadata.gid)
            found.insert(0, (above, owner, group, metadata.mode))
        above = os.path.dirname(above)
    return tuple(found)
