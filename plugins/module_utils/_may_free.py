# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""judge for reclaim_space: may this be freed, and how much of it? Decides without looking at anything itself."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import DeletedFile, File, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._summary import Found

# name -> what it means to a person. The names are public: options, results and documentation use them.
REASONS = {
    "not_ordinary": "it is no ordinary file of a file system",
    "not_removed": "its name is not free, or cannot be seen from here",
    "linked": "a link to it is left, or it lies in the lower layer of an overlay: it would free nothing",
    "may_read": "a holder may read it again (readable: true for this very inode, if that does not matter)",
    "mapped": "a holder maps or executes it and would be killed",
    "sparse_writer": "a holder writes at an offset of its own and goes on there (sparse_writer: true, if that is well)",
    "max_bytes": "more than max_bytes would be freed with it",
    "not_archived": "it could not be archived",
    "changed": "it changed while it was archived, and not only at its end",
    "failed": "it could not be freed",
}


class Manner(NamedTuple):
    """How they are freed. ``keep_last`` and ``max_bytes`` are bytes, ``archive`` is a folder on the host."""

    readable: bool = False
    sparse_writer: bool = False
    keep_last: int = 0
    max_bytes: Optional[int] = None
    archive: Optional[bytes] = None
    check_mode: bool = False


class Freeable(NamedTuple):
    """A file that may be freed, unless there are ``reasons`` against it."""

    deleted: DeletedFile
    reasons: List[str]

    @property
    def best(self) -> Sighting:
        return self.deleted.sightings[0]

    @property
    def writers(self) -> List[Sighting]:
        return [one for one in self.deleted.sightings if one.access != "read" and one.via == "fd"]


def refusals(found: Found, manner: Manner, appends: Callable[[Sighting], bool]) -> List[str]:
    """Names of `REASONS`. ``appends`` tells whether what a descriptor writes always goes to the end."""
    deleted = found.deleted
    reasons = []
    if deleted.kind != "regular":
        reasons.append("not_ordinary")
    if found.state != "removed":
        reasons.append("not_removed")
    if deleted.file.nlink:
        reasons.append("linked")
    if any(one.via != "fd" for one in deleted.sightings):
        reasons.append("mapped")
    if not manner.readable and any(one.access != "write" for one in deleted.sightings):
        reasons.append("may_read")
    writers = Freeable(deleted, []).writers
    # What is only cut at its beginning keeps its size, and nobody's offset matters.
    cut_off = manner.readable or not (manner.keep_last or manner.archive)
    if cut_off and not manner.sparse_writer and not all(appends(one) for one in writers):
        reasons.append("sparse_writer")
    return reasons


def cut(
    one: Freeable,
    manner: Manner,
    file: File,
    copy: Optional[Dict[str, Any]],
    appends: Callable[[Sighting], bool],
    digest: Callable[[int], str],
) -> Optional[int]:
    """As `length`, of what is in the archive where there is to be one; ``file`` is as it is now.

    ``digest`` gives the SHA-256 of as many first bytes of it. Raises RescueError, OSError.
    """
    if copy is None:
        return length(manner, file, None)
    unchanged = copy["consistent"] and (copy["size"], copy["mtime"]) == (file.size, file.mtime_ns / 1e9)
    size = int(copy["size"])
    # What was appended since is not in the archive, and stays. Who appends may also have begun anew.
    if not unchanged and (
        manner.readable
        or file.size < size
        or not all(appends(writer) for writer in one.writers)
        or copy["checksum"] != "sha256:" + digest(size)
    ):
        raise RescueError("It changed while it was archived.", ["changed"])
    return length(manner, file, size)


def length(manner: Manner, file: File, archived: Optional[int]) -> Optional[int]:
    """How much is freed from the beginning on, the size staying as it is; None where all is cut off."""
    if manner.readable or not (manner.keep_last or archived is not None):
        return None
    kept_from = max(0, file.size - manner.keep_last)
    return kept_from if archived is None else min(archived, kept_from)
