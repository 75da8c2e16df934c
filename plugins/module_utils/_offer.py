# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What a host offers to another that lost a file: the same file, alive on its disk or held by one of its processes."""

import base64
import os
import stat
from contextlib import ExitStack, contextmanager
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import chosen
from ansible_collections.procfs.rescue.plugins.module_utils._host import LOCAL, Host
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata
from ansible_collections.procfs.rescue.plugins.module_utils._model import Folder, Installed
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter


class Offer(NamedTuple):
    """Owner and group are names, so that they mean the same on another host. ``link`` is where a symlink leads.

    ``source`` says where it is here: its path, or the magic link of a holder.
    """

    size: int
    mode: int
    owner: str
    group: str
    mtime_ns: int
    xattrs: Dict[str, bytes]
    link: Optional[bytes]
    source: str


def offer_fields(offer: Offer) -> Dict[str, Any]:
    """As plain data."""
    fields = dict(offer._asdict(), mode="%04o" % offer.mode)
    fields["xattrs"] = {name: base64.b64encode(value).decode("ascii") for name, value in offer.xattrs.items()}
    fields["link"] = None if offer.link is None else base64.b64encode(offer.link).decode("ascii")
    return fields


def offer_from(fields: Dict[str, Any]) -> Offer:
    """From what `offer_fields` gave. Raises RescueError."""
    try:
        return Offer(
            size=int(fields["size"]),
            mode=int(fields["mode"], 8) & 0o7777,
            owner=str(fields["owner"]),
            group=str(fields["group"]),
            mtime_ns=int(fields["mtime_ns"]),
            xattrs={str(name): base64.b64decode(value) for name, value in fields["xattrs"].items()},
            link=None if fields["link"] is None else base64.b64decode(fields["link"]),
            source=str(fields["source"]),
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RescueError("This is no offer of another host: %s." % error) from error


@contextmanager
def offered(need: Need, host: Host = LOCAL) -> Iterator[Tuple[Offer, int]]:
    """The file that ``need`` asks for, and a descriptor of its content, -1 for a symlink.

    Raises RescueError, with the reason ``version_differs``, ``not_there``, ``checksum_differs`` or ``no_digest``, and
    OSError.
    """
    _check_version(need, host)
    with ExitStack() as stack:
        folder = None
        try:
            folder = host.open_folder(os.path.dirname(need.path), {})
            stack.callback(host.close, folder.fd)
        except RescueError as error:
            if error.reasons != ["folder_gone"]:
                raise
        alive = None if folder is None else _alive(need, folder, host)
        if alive is not None:
            if alive[1] != -1:
                stack.callback(host.close, alive[1])
            yield alive
            return
        if need.witness is None:
            raise RescueError("%s is not there" % printable(need.path), ["not_there"])
        fields = dict(path_fields(need.path), checksum=need.checksum)
        found, fd = stack.enter_context(chosen(fields, host))
        yield _described(host.read_metadata(fd), host.size(fd), None, found["source"]["link"], host), fd


def _check_version(need: Need, host: Host) -> None:
    """The same package in the same version and architecture; a symlink in the same release."""
    if need.witness is not None and need.witness.by == "checksum":
        return
    if need.witness is None and need.release != host.release():
        text = "it runs %s, not %s" % (host.release() or "an unknown release", need.release or "a known release")
        raise RescueError(text, ["version_differs"])
    if need.installed is None:
        if need.witness is not None:
            raise RescueError("it is not known which package the file is of", ["no_digest"])
        return
    found = host.installed([need.path]).get(need.path)
    if found != need.installed:
        raise RescueError("it has %s, not %s" % (_version(found), _version(need.installed)), ["version_differs"])


def _version(found: Optional[Installed]) -> str:
    return "no package with that path" if found is None else "%s %s %s" % found[:3]


def _alive(need: Need, folder: Folder, host: Host) -> Optional[Tuple[Offer, int]]:
    """What has the name on disk, if it is what is needed; None where a holder is to be asked."""
    name = os.path.basename(need.path)
    mode = host.mode_of(folder.fd, name)
    if mode is None:
        return None
    if stat.S_ISLNK(mode):
        if need.witness is not None:
            raise RescueError("%s is a symlink there" % printable(need.path), ["checksum_differs"])
        link = host.readlink(folder.fd, name)
        return Offer(len(link), 0o777, "root", "root", 0, {}, link, printable(need.path)), -1
    if need.witness is None:
        raise RescueError("nothing tells what content %s must have" % printable(need.path), ["no_digest"])
    fd = host.open_file(folder.fd, name) if stat.S_ISREG(mode) else None
    if fd is None:
        return None
    try:
        if host.digests(fd, [need.witness.algorithm])[need.witness.algorithm] == need.witness.digest:
            return _described(host.read_metadata(fd), host.size(fd), None, printable(need.path), host), fd
    except OSError as error:
        host.close(fd)
        raise RescueError("%s could not be read: %s" % (printable(need.path), fault(error))) from error
    host.close(fd)
    return None


def _described(metadata: Metadata, size: int, link: Optional[bytes], source: str, host: Host) -> Offer:
    reporter = Reporter(host)
    return Offer(
        size,
        metadata.mode,
        reporter.user(metadata.uid),
        reporter.group(metadata.gid),
        metadata.mtime_ns,
        metadata.xattrs,
        link,
        source,
    )
