# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""judge: may root believe that this is the file that had the name, and may it be written there?

Pure decisions on what was read from opened handles. Each check has a name; a user may waive some of them by it.
"""

import os
from typing import Iterable, List, NamedTuple, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._group import NAMELESS
from ansible_collections.procfs.rescue.plugins.module_utils._model import Ancestor, File, Folder, Sighting, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import original_path

# name -> what it means to a person. The names are public: options, results and documentation use them.
REASONS = {
    "not_held": "no process holds it",
    "ambiguous": "several different files had the name",
    "not_regular": "it is no regular file",
    "no_name": "it never had a name in a file system; give dest",
    "holder_changed": "the process or the file is not the one that the facts spoke of",
    "mount_unknown": "it was opened through a mount that is in no mount table, as if passed out of a namespace",
    "unproven": "over SFTP nothing tells whether its holder's mount namespace can be believed, or which inode it is: "
    "only content that a checksum or the package database proves is restored",
    "namespace_untrusted": "its holder lives in a mount namespace that a user could have made",
    "place_differs": "it was not in that folder of this host: its path only looks like it from where its holder is",
    "folder_gone": "its folder is not there any more",
    "owner_differs": "it belongs neither to root nor to the owner of the folder",
    "ancestor_writable": "others than root and the folder's owner may write in the folder or in one above it",
    "checksum_wanted": "anybody may exchange what is in the folder or in one above it: its checksum must be given too",
    "superseded": "the package database names other content for this path",
    "checksum_differs": "its content does not have the wanted checksum",
}

WAIVABLE = ("owner_differs", "ancestor_writable", "superseded")


class Claim(NamedTuple):
    """What a caller knows from earlier and wants to be true of the opened handle; None where it does not care."""

    pid: Optional[int] = None
    start_time: Optional[int] = None
    device: Optional[int] = None
    inode: Optional[int] = None


ANY = Claim()


def judge_handle(sighting: Sighting, claim: Claim = ANY) -> List[str]:
    """Reasons against reading this handle at all; none of them can be waived."""
    reasons = []
    if not sighting.file.is_regular:
        reasons.append("not_regular")
    if any(
        wanted is not None and wanted != found
        for wanted, found in (
            (claim.pid, sighting.process.pid),
            (claim.start_time, sighting.process.start_time),
            (claim.device, sighting.file.device),
            (claim.inode, sighting.file.inode),
        )
    ):
        reasons.append("holder_changed")
    return reasons


def judge_place(sighting: Sighting, kind: str, folder: Optional[Folder], name: bytes) -> List[str]:
    """Reasons against believing that this file had ``name`` in ``folder``; needed in place, not when copied out.

    ``folder`` is None where this host has no such place.
    """
    if kind in NAMELESS or (kind == "shared_memory" and sighting.mount is None):
        return ["no_name"]
    if sighting.mount is None:
        return ["mount_unknown"]
    if sighting.foreign == "untrusted":
        return ["namespace_untrusted"]
    if sighting.place is None or folder is None or folder.place is None:
        return ["place_differs"]
    device, inner_path = sighting.place
    wanted = os.path.join(folder.place.inner_path, name)
    if device != folder.place.device or wanted not in (inner_path, original_path(inner_path)):
        return ["place_differs"]
    return ["unproven"] if sighting.foreign == "unproven" else []


def judge_folder(file: File, ancestors: List[Ancestor], checksum: Optional[Witness] = None) -> List[str]:
    """Reasons against writing a file with this owner below these folders, as their owners and modes are.

    ``checksum`` is what the user wants the content to have: where anybody may write, no owner and no place tells.
    """
    folder = ancestors[-1]
    reasons = []
    if file.uid not in (0, folder.uid) and not folder.is_roots_sticky:
        reasons.append("owner_differs")
    if any(_lets_others_write(ancestor, folder.uid) for ancestor in ancestors):
        reasons.append("ancestor_writable")
    if checksum is None and any(ancestor.is_anybodys for ancestor in ancestors):
        reasons.append("checksum_wanted")
    return reasons


def judge_content(witness: Optional[Witness], digest: Optional[str]) -> List[str]:
    """Reasons against the content: ``digest`` is what the opened handle gave in the witness's algorithm."""
    if witness is None or witness.digest == digest:
        return []
    return ["checksum_differs" if witness.by == "checksum" else "superseded"]


def standing(reasons: Iterable[str], accepted: Iterable[str]) -> List[str]:
    """The reasons that stand after the user waived some by name."""
    return [reason for reason in reasons if reason not in WAIVABLE or reason not in accepted]


def is_provable(reasons: List[str]) -> bool:
    """Whether content that a witness proves is all that these reasons ask for."""
    return bool(reasons) and set(reasons) <= {"unproven"}


def sentence(reasons: Iterable[str]) -> str:
    return "; ".join("%s (%s)" % (REASONS[reason], reason) for reason in reasons)


def _lets_others_write(ancestor: Ancestor, folder_uid: int) -> bool:
    if ancestor.uid not in (0, folder_uid):
        return True
    return ancestor.is_writable_by_others and not ancestor.is_roots_sticky
