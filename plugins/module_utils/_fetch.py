# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The target's part of fetch_file: which file is meant, its content as a stream or in pieces. Nothing is written."""

import base64
import os
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._choose import (
    SOURCE_SPEC,
    Candidate,
    Wish,
    find,
    may_be_wanted,
    wish_from,
)
from ansible_collections.procfs.rescue.plugins.module_utils._copy import data_ranges
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._handle import (
    file_of,
    link_text,
    open_directory,
    read_at,
    reopen,
)
from ansible_collections.procfs.rescue.plugins.module_utils._host import LOCAL, TRANSPORT, Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import judge_content, judge_handle, sentence
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, DeletedFile, File, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import DELETED, path_fields
from ansible_collections.procfs.rescue.plugins.module_utils._report import Reporter
from ansible_collections.procfs.rescue.plugins.module_utils._stream import Kept, send
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests

FETCH_SPEC: Dict[str, Dict[str, Any]] = dict(
    SOURCE_SPEC,
    dest={"type": "str", "required": True},
    flat={"type": "bool", "default": False},
    mode={"type": "raw"},
    fail_on_missing={"type": "bool", "default": True},
    validate_checksum={"type": "bool", "default": True},
    resume={"type": "bool", "default": False},
    executable={"type": "bool", "default": False},
    transport=TRANSPORT,
)


@contextmanager
def chosen(
    request: Dict[str, Any], host: Host = LOCAL, with_digest: bool = True
) -> Iterator[Tuple[Dict[str, Any], int]]:
    """The file that ``request`` (options as `_choose.wish_from` takes them) means.

    Gives its path, metadata, source and checksum, and a descriptor that is open as long as the block runs. Without
    ``with_digest`` it is only read for the checksum where the request names one. Raises RescueError, with the reason
    ``not_held`` where nobody holds it.
    """
    wish = wish_from({name: request.get(name) for name in SOURCE_SPEC})._replace(in_place=False)
    if request.get("executable"):
        with _program(wish, host) as running:
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
            digest = host.digests(fd, _algorithms(wish), size) if with_digest or wish.checksum else {}
            file = found.file.file._replace(size=size)
            yield _described(wish, found, file, digest, host), fd
    finally:
        host.unpin(seen.sightings)
        if origin is not None:
            host.close(origin.folder.fd)


@contextmanager
def _program(wish: Wish, host: Host) -> Iterator[Tuple[Dict[str, Any], int]]:
    """What `chosen` gives, of the program that a process runs, whether its name is gone or not."""
    pid = wish.claim.pid
    if pid is None or wish.path is not None:
        raise RescueError("With executable say which process is meant, by pid alone.")
    if host.own_ids is not LOCAL.own_ids:
        raise RescueError("executable cannot be had over SFTP: use transport=module.")
    link = "/proc/%d/exe" % pid
    try:
        pin = os.open(link, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise RescueError("Process %d is not there, or runs no program." % pid, ["not_held"]) from error
    try:
        text = link_text(pin)
        path = text[: -len(DELETED)] if text.endswith(DELETED) else text
        of_pin = Sighting(
            host.process(pid), "exe", None, "read", True, link, path, file_of(pin), pin, None, None, None, path
        )
        reasons = judge_handle(of_pin, wish.claim)
        if "holder_changed" in reasons:
            raise RescueError("Process %d is another one by now, or runs another program." % pid, ["holder_changed"])
        with host.readable(of_pin) as fd:
            file = of_pin.file
            digest = host.digests(fd, _algorithms(wish), file.size)
            yield (
                _described(wish, Candidate(DeletedFile(file, "regular", [of_pin]), of_pin, []), file, digest, host),
                fd,
            )
    finally:
        os.close(pin)


def _algorithms(wish: Wish) -> List[str]:
    return ["sha256"] if wish.checksum is None else ["sha256", wish.checksum.algorithm]


def _described(wish: Wish, found: Candidate, file: File, digest: Dict[str, str], host: Host) -> Dict[str, Any]:
    if wish.checksum is not None:
        reasons = judge_content(wish.checksum, digest[wish.checksum.algorithm])
        if reasons:
            raise RescueError("Refused to fetch %s: %s." % (found.sighting.link, sentence(reasons)), reasons)
    reporter = Reporter(host)
    return dict(
        path_fields(wish.path or found.sighting.host_path or found.sighting.path),
        source=reporter.holder(found.sighting),
        checksum="sha256:" + digest["sha256"] if digest else None,
        **reporter.file(file),
    )


@contextmanager
def opened(source: Dict[str, Any]) -> Iterator[int]:
    """The file of a holder that `chosen` gave. Raises RescueError where either is another one by now."""
    directory, _slash, link = str(source["link"])[len("/proc/") :].partition("/")
    try:
        process = open_directory("/proc/" + directory)
        try:
            same_process = _procfs.start_time(read_at("stat", process)) == source["start_time"]
            pin = os.open(link, os.O_PATH | os.O_CLOEXEC, dir_fd=process)
        finally:
            os.close(process)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise RescueError(
            "%s is gone: its holder ended or closed the file." % source["link"], ["holder_changed"]
        ) from error
    try:
        if not same_process or file_of(pin).identity != (source["device"], source["inode"]):
            raise RescueError("%s leads to another file by now." % source["link"], ["holder_changed"])
        fd = reopen(pin)
    finally:
        os.close(pin)
    try:
        yield fd
    finally:
        os.close(fd)


def piece(source: Dict[str, Any], offset: int, length: int) -> Dict[str, Any]:
    """What is at ``offset`` of what `chosen` gave: a ``hole`` (bytes, mostly 0), and ``content`` (base64) after it, at
    most ``length`` bytes; both are nothing at the end. Raises RescueError.
    """
    with opened(source) as fd:
        size = os.fstat(fd).st_size
        start, end = next(data_ranges(fd, offset, size), (max(offset, size), size))
        content = os.pread(fd, min(length, max(0, end - start)), start)
        return {"hole": start - offset, "content": base64.b64encode(content).decode("ascii")}


def beginning(source: Dict[str, Any], length: int) -> str:
    """The sha256 of the first ``length`` bytes, for a transfer that goes on after them. Raises RescueError."""
    with opened(source) as fd:
        return digests(fd, ["sha256"], length)["sha256"]


def stream(source: Dict[str, Any], size: int, kept: Kept) -> None:
    """Sends the content as `_stream.send` does, on standard output. Raises RescueError."""
    with opened(source) as fd:
        send(fd, size, 1, kept)
