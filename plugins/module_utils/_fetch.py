# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The target's part of fetch_file: which file is meant. Nothing is written."""

from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._choose import (
    Candidate,
    Wish,
    find,
    may_be_wanted,
    wish_from,
)
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import judge_content, judge_handle, sentence
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, DeletedFile, File
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_fields
from ansible_collections.procfs.rescue.plugins.module_utils._options import SOURCE_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter


@contextmanager
def chosen(request: Dict[str, Any], host: Host, with_digest: bool = True) -> Iterator[Tuple[Dict[str, Any], int]]:
    """The file that ``request`` (options as `_choose.wish_from` takes them) means.

    Gives its path, metadata, source and checksum, and a descriptor that is open as long as the block runs. Without
    ``with_digest`` the checksum is None, and a wanted sha256 is not compared yet: it is known when the content was
    read. Raises RescueError, with the reason ``not_held`` where nobody holds it.
    """
    wish = wish_from({name: request.get(name) for name in SOURCE_SPEC})._replace(in_place=False)
    if request.get("executable"):
        with _program(wish, host, with_digest) as running:
            yield running
        return
    origin = None
    seen = host.scan(may_be_wanted([wish]), NORMAL)
    try:
        if wish.path is not None and not host.unreachable([wish.path], seen.mounts):
            with suppress(RescueError):  # its folder may be gone, that is no hindrance
                origin = host.open_target(wish.path, seen.mounts)
                wish = wish._replace(path=origin.path)
        witness = wish.checksum
        if witness is None and wish.path is not None:
            witness = host.witnesses([wish.path]).get(wish.path)
        found = find(wish, origin, seen.sightings, seen, (), witness, host)
        with host.readable(found.sighting) as fd:
            # It may be a log: what is fetched is what it is now, however fast it grows.
            size = host.size(fd)
            file = found.file.file._replace(size=size)
            yield _described(wish, found, file, _digest(wish, fd, size, with_digest, host), host), fd
    finally:
        host.unpin(seen.sightings)
        if origin is not None:
            host.close(origin.folder.fd)


@contextmanager
def _program(wish: Wish, host: Host, with_digest: bool) -> Iterator[Tuple[Dict[str, Any], int]]:
    """What `chosen` gives, of the program that a process runs, whether its name is gone or not."""
    pid = wish.claim.pid
    if pid is None or wish.path is not None:
        raise RescueError("With executable say which process is meant, by pid alone.")
    of_pin = host.program(pid)
    try:
        reasons = judge_handle(of_pin, wish.claim)
        if "holder_changed" in reasons:
            raise RescueError("Process %d is another one by now, or runs another program." % pid, ["holder_changed"])
        with host.readable(of_pin) as fd:
            file = of_pin.file
            found = Candidate(DeletedFile(file, "regular", [of_pin]), of_pin, [])
            digest = _digest(wish, fd, file.size, with_digest, host)
            yield _described(wish, found, file, digest, host), fd
    finally:
        host.unpin([of_pin])


def _digest(wish: Wish, fd: int, size: int, with_digest: bool, host: Host) -> Dict[str, str]:
    """Nothing where all there is to know will be known when the content was read."""
    if not with_digest and (wish.checksum is None or wish.checksum.algorithm == "sha256"):
        return {}
    return host.digests(fd, ["sha256"] if wish.checksum is None else ["sha256", wish.checksum.algorithm], size)


def _described(wish: Wish, found: Candidate, file: File, digest: Dict[str, str], host: Host) -> Dict[str, Any]:
    if wish.checksum is not None and digest:
        reasons = judge_content(wish.checksum, digest[wish.checksum.algorithm])
        if reasons:
            raise RescueError("Refused to fetch %s: %s." % (found.sighting.link, sentence(reasons)), reasons)
    reporter = Reporter(host)
    return dict(
        path_fields(wish.path or found.sighting.host_path or found.sighting.path),
        source=reporter.holder(found.sighting),
        checksum="sha256:" + digest["sha256"] if digest else None,
        has_writers=any(one.access != "read" for one in found.file.sightings),
        # Of what is written through memory the kernel need not tell the time.
        mapped_writable=any(one.via == "map" and one.access == "both" for one in found.file.sightings),
        **reporter.file(file),
    )
