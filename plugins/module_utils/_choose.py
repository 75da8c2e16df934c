# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Which of all sightings a wish means. False candidates are judged away before any are counted: a decoy has no veto."""

import os
import time
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._group import NAMELESS, group
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import (
    ANY,
    Claim,
    is_provable,
    judge_folder,
    judge_handle,
    judge_place,
    sentence,
    standing,
)
from ansible_collections.procfs.rescue.plugins.module_utils._model import DeletedFile, Scan, Sighting, Target, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import (
    DELETED,
    TOO_LONG,
    original_path,
    path_bytes,
    printable,
)
from ansible_collections.procfs.rescue.plugins.module_utils._verify import parsed_checksum


class Wish(NamedTuple):
    """One file that a user wants: by ``path``, by a magic ``link``, or by a ``claim``; the default wants nothing.

    ``dest`` is where it is to be copied to. Unless it goes back ``in_place`` it need not have been where its path says.
    """

    path: Optional[bytes] = None
    dest: Optional[bytes] = None
    link: Optional[str] = None
    claim: Claim = ANY
    checksum: Optional[Witness] = None
    in_place: bool = True

    @property
    def is_only_named(self) -> bool:
        return self.path is not None and self.link is None and self.claim == ANY

    def means(self, sighting: Sighting) -> bool:
        """Whether the sighting is a candidate.

        What else the wish claims is for the judge: a holder that changed must be named, not overlooked.
        """
        if self.path is not None and self.path not in paths_of(sighting):
            return False
        if self.link is not None:
            return sighting.link == self.link
        if self.claim.inode is not None:
            return sighting.file.inode == self.claim.inode
        if self.claim.pid is not None:
            return sighting.process.pid == self.claim.pid
        return self.path is not None


_RENAMED = (
    "No process holds a file that was called %s at last. Held is what rpm may have renamed, which adds ; and digits to "
    "the old file's name: %s. But no package is known to own %s: choose by source or checksum if it is the one."
)


class Candidate(NamedTuple):
    """One distinct inode that a wish may mean; ``sighting`` is the one with the fewest reasons against it."""

    file: DeletedFile
    sighting: Sighting
    reasons: List[str]


# So many are named in a message.
_SOME = 5


def wish_from(options: Dict[str, Any]) -> Wish:
    """From the options ``path``, ``dest``, ``source``, ``pid``, ``start_time``, ``device``, ``inode``, ``checksum``.

    ``source`` is an entry of the facts or one of its holders. Raises RescueError.
    """
    source = options.get("source") or {}
    if not isinstance(source, dict):
        raise RescueError("source must be an entry of deleted_files or one of its holders, a dictionary.")
    merged = dict(source, **{key: value for key, value in options.items() if value is not None})
    path = path_bytes(options)
    if path is None and source.get("kind") not in NAMELESS:  # a memfd is called like a path by whoever likes
        path = path_bytes(source, "host_path") or path_bytes(source)
        path = None if path == TOO_LONG else path
    dest = path_bytes(options, "dest")
    for name, value in (("path", path), ("dest", dest)):
        # A memfd has a name that looks like a path; a source is chosen by its handle.
        if value is not None and not value.startswith(b"/"):
            raise RescueError("%s must be absolute: %s" % (name, printable(value)))
    link = merged.get("link")
    claim = Claim(**{name: _number(merged, name) for name in Claim._fields})
    if path is None and link is None and claim == Claim():
        raise RescueError("Say which file is meant: path, source, pid or inode.")
    checksum = None
    if merged.get("checksum"):
        algorithm, digest = parsed_checksum(str(merged["checksum"]))
        checksum = Witness("checksum", algorithm, digest, "")
    return Wish(path, dest, None if link is None else str(link), claim, checksum, in_place=dest is None)


def paths_of(sighting: Sighting) -> List[bytes]:
    """The paths that a user may call the file by: as its holder and as this host sees it, without rpm's suffix."""
    paths = [sighting.path, original_path(sighting.path)]
    if sighting.host_path is not None:
        paths += [sighting.host_path, original_path(sighting.host_path)]
    return paths


def may_be_wanted(wishes: List[Wish], prefixes: Iterable[bytes] = ()) -> Callable[[Sighting], bool]:
    """Which sightings are to be pinned for these wishes and all below the folders ``prefixes``.

    Told by the last part of a path alone: where the rest of it leads is not known yet.
    """
    names = {os.path.basename(wish.path) for wish in wishes if wish.path is not None}
    others = [wish for wish in wishes if wish.path is None]
    folders = [os.path.join(b"/", os.path.basename(prefix.rstrip(b"/")), b"") for prefix in prefixes]

    def is_wanted(sighting: Sighting) -> bool:
        paths = paths_of(sighting)
        return (
            any(os.path.basename(path) in names for path in paths)
            or any(folder in path for folder in folders for path in paths)
            or any(wish.means(sighting) for wish in others)
        )

    return is_wanted


def find(
    wish: Wish,
    origin: Optional[Target],
    sightings: Iterable[Sighting],
    seen: Scan,
    accept: Sequence[str],
    witness: Optional[Witness],
    host: Host,
) -> Candidate:
    """The one file of ``sightings`` that the wish means.

    ``origin`` is the place where its path leads, None where there is none (any more); a file that was there goes before
    one that was not. ``seen`` is the scan that the sightings are from, ``accept`` are the reasons that the user waives.
    Raises RescueError where there is none, or more than one.
    """
    what = wish.link or "the chosen file" if wish.path is None else printable(wish.path)

    def in_its_place(sighting: Sighting, kind: str) -> List[str]:
        reasons = judge_handle(sighting, wish.claim)
        if origin is not None:
            reasons += judge_place(sighting, kind, origin.folder, origin.name)
            if wish.in_place:
                reasons += judge_folder(sighting.file, origin.folder.ancestors, wish.checksum)
        return reasons

    def anywhere(sighting: Sighting, _kind: str) -> List[str]:
        return judge_handle(sighting, wish.claim)

    files = group([sighting for sighting in sightings if wish.means(sighting)])
    if not files:
        raise RescueError(_nobody_holds(what, seen, host), ["not_held"])
    found = [_judged(file, in_its_place, accept) for file in files]
    believed = [candidate for candidate in found if not standing(candidate.reasons, accept)]
    if not believed and witness is not None:
        provable = [candidate for candidate in found if is_provable(standing(candidate.reasons, accept))]
        believed = [
            candidate for candidate in provable if _digest(candidate, witness.algorithm, host) == witness.digest
        ]
    if not believed and not wish.in_place:
        found = [_judged(file, anywhere, accept) for file in files]
        believed = [candidate for candidate in found if not candidate.reasons]
    if not believed:
        refused = ["%s was not believed: %s" % (one.sighting.link, sentence(one.reasons)) for one in found]
        reasons = sorted({reason for one in found for reason in one.reasons})
        raise RescueError("Refused to restore %s. %s." % (what, ". ".join(refused)), reasons)
    if witness is None and wish.is_only_named:
        # Only what a package owns was renamed by rpm; others may be called like that.
        renamed = believed
        believed = [one for one in believed if wish.path in (one.sighting.path, one.sighting.host_path)]
        if not believed:
            raise RescueError(_RENAMED % (what, ", ".join(_named(one) for one in renamed), what), ["not_held"])
    return believed[0] if len(believed) == 1 else _proven(believed, witness, what, host)


def _judged(file: DeletedFile, judge: Callable[[Sighting, str], List[str]], accept: Sequence[str]) -> Candidate:
    """The file with its best sighting: the one that least stands against."""
    judged = [(judge(sighting, file.kind), sighting) for sighting in file.sightings]
    reasons, best = min(judged, key=lambda pair: (len(standing(pair[0], accept)), len(pair[0])))
    return Candidate(file, best, reasons)


def _proven(believed: List[Candidate], witness: Optional[Witness], what: str, host: Host) -> Candidate:
    """Of several files the newest with the content that the witness names; without a witness they must all be equal."""
    algorithm = "sha256" if witness is None else witness.algorithm
    versions: Dict[Tuple[object, ...], Candidate] = {}
    for candidate in sorted(believed, key=lambda one: one.file.file.mtime_ns):
        if candidate.file.file.is_nearly_all_hole and witness is None:
            versions[candidate.file.file.identity] = candidate  # another one, and not to be read only to say so
            continue
        digest = _digest(candidate, algorithm, host)
        if digest is None:
            continue
        file = candidate.file.file
        if witness is None:
            versions[digest, file.mode, file.uid, file.gid] = candidate
        elif digest == witness.digest:
            versions[digest, 0, 0, 0] = candidate
    if len(versions) == 1:
        return versions.popitem()[1]
    raise RescueError(
        "%d different deleted files were called %s and no digest proves one of them: %s. Choose with source, inode or "
        "checksum." % (len(believed), what, ", ".join(_named(candidate) for candidate in believed)),
        ["ambiguous"],
    )


def _digest(candidate: Candidate, algorithm: str, host: Host) -> Optional[str]:
    """None where it cannot be read any more, or would take hours to read: then it has no veto either."""
    if candidate.file.file.is_nearly_all_hole:
        return None
    try:
        with host.readable(candidate.sighting) as fd:
            return host.digests(fd, [algorithm])[algorithm]
    except (OSError, RescueError):
        return None


def _nobody_holds(what: str, seen: Scan, host: Host) -> str:
    sentences = [
        "No process holds %s: either the path is wrong, or its content is gone from this host. Look for it on a host "
        "of the same release, in the package that owns it, or in a backup." % what
    ]
    sentences += unseen(seen, host)
    if what.endswith(DELETED.decode("ascii")):
        sentences.append('" (deleted)" is what the kernel appends to a name: give the path without it.')
    return " ".join(sentences)


def unseen(seen: Scan, host: Host) -> List[str]:
    """Sentences about what could not be looked at."""
    sentences = []
    if seen.unreadable:
        privilege = "" if host.own_ids()[0] == 0 else " without root (use become)"
        sentences.append("It may be held by one that could not be read (%d of them%s)." % (seen.unreadable, privilege))
    if seen.silent:
        sentences.append("The kernel gave no answer about these of them: %s." % _some(map(str, seen.silent)))
    if seen.skipped:
        sentences.append("Skipped were file systems that do not answer: %s." % _some(sorted(seen.skipped)))
    return sentences


def _some(names: Iterable[str]) -> str:
    known = list(names)
    more = " and %d more" % (len(known) - _SOME) if len(known) > _SOME else ""
    return ", ".join(known[:_SOME]) + more


def _named(candidate: Candidate) -> str:
    file = candidate.file.file
    seconds = file.mtime_ns // 10**9
    try:
        modified = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
    except (OSError, OverflowError, ValueError):  # anybody may give a file any time
        modified = "at %d" % seconds
    about = (candidate.sighting.link, file.inode, file.size, file.uid, modified)
    return "%s (inode %d, %d bytes, owner %d, modified %s)" % about


def _number(options: Dict[str, Any], name: str) -> Optional[int]:
    value = options.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except (OverflowError, TypeError, ValueError) as error:
        raise RescueError("%s must be a whole number, it is %r." % (name, value)) from error
