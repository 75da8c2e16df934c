# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The file of a holder that was chosen before, opened again: its content as a stream or in pieces. Only read."""

import base64
import os
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Dict, Iterator, List

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._handle import file_of, open_directory, read_at, reopen
from ansible_collections.procfs.rescue.plugins.module_utils._holes import data_ranges
from ansible_collections.procfs.rescue.plugins.module_utils._stream import FAILED, Kept, begin, send, stamp, tell
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests


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
        if not file_of(pin).is_regular:  # to open others may change what they do
            raise RescueError("%s leads to no regular file." % source["link"], ["not_regular"])
        fd = reopen(pin)
    finally:
        os.close(pin)
    try:
        yield fd
    finally:
        os.close(fd)


def piece(source: Dict[str, Any], offset: int, length: int) -> Dict[str, Any]:
    """What is at ``offset`` of what `chosen` gave: a ``hole`` (bytes, mostly 0), and ``content`` (base64) after it, at
    most ``length`` bytes; both are nothing at the end. ``stamps`` are those before and after. Raises RescueError.
    """
    with opened(source) as fd:
        before = stamp(fd)
        size = os.fstat(fd).st_size
        start, end = next(data_ranges(fd, offset, size), (max(offset, size), size))
        content = os.pread(fd, min(length, max(0, end - start)), start)
        encoded = base64.b64encode(content).decode("ascii")
        return {"hole": start - offset, "content": encoded, "stamps": [before, stamp(fd)]}


def beginning(source: Dict[str, Any], length: int) -> Dict[str, Any]:
    """The ``sha256`` of the first ``length`` bytes, and ``stamps`` as `piece` gives them. Raises RescueError."""
    with opened(source) as fd:
        before = stamp(fd)
        return dict(digests(fd, ["sha256"], length), stamps=[before, stamp(fd)])


def streams(wanted: List[Dict[str, Any]]) -> None:
    """Sends the content of each on standard output, one after the other, or why it cannot be had.

    Of each there are ``sources``, of which the first is taken that still leads to it, ``size``, and what is ``kept``.
    """
    begin(1)
    for one in wanted:
        try:
            with ExitStack() as stack:
                send(_first(one["sources"], stack), one["size"], 1, Kept(*one["kept"]))
        except BrokenPipeError:  # nobody listens any more
            raise
        except (OSError, RescueError) as error:
            tell(1, FAILED, {"msg": fault(error) if isinstance(error, OSError) else str(error)})


def _first(sources: List[Dict[str, Any]], stack: ExitStack) -> int:
    for source in sources[:-1]:
        with suppress(OSError, RescueError):
            return stack.enter_context(opened(source))
    return stack.enter_context(opened(sources[-1]))
