# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The host's package database as an independent witness of what content a path must have.

Read directly, or by the package manager's own tool; never through anything that a process shows.
"""

import os
import re
from typing import Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._model import Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._rpm import rpm_witnesses

# The folder of what packages say of themselves.
INFO = b"/var/lib/dpkg/info"

_MD5_LINE = re.compile(rb"[0-9a-f]{32}  ")

# What the merges of / with /usr, and of /usr/sbin with /usr/bin, made symlinks; packages may use any of the names.
_MERGED = (b"/bin", b"/sbin", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/libo32", b"/usr/sbin")

_FEW = 20

_SILENT = (
    "The package database could not be asked: %s. What it says of the files is not known, no content is proven by it."
)


class Records(NamedTuple):
    """How the records of dpkg are read, and what is a symlink to what. All raise OSError."""

    names: Callable[[], List[bytes]]
    # Of several records, in their order: there is none of what a package does not have.
    contents: Callable[[List[bytes]], Iterable[bytes]]
    # Where a folder really is, None where its name is no symlink.
    real_folder: Callable[[bytes], Optional[bytes]]


def package_witnesses(
    paths: Iterable[bytes], warn: Callable[[str], object] = lambda _sentence: None
) -> Dict[bytes, Witness]:
    """For each of ``paths`` whose content a package vouches for: what the database says. One pass for all of them.

    ``warn`` is told of a database that is there and cannot be asked: it neither proves nor disowns any content then.
    """
    return witnesses_of(paths, warn, LOCAL_RECORDS, (dpkg_witnesses, _rpm_witnesses))


def witnesses_of(
    paths: Iterable[bytes],
    warn: Callable[[str], object],
    records: Records,
    databases: Sequence[Callable[[Dict[bytes, List[bytes]], Records], Dict[bytes, Witness]]],
) -> Dict[bytes, Witness]:
    names = aliases_of(paths, records)
    found: Dict[bytes, Witness] = {}
    for ask in databases:
        unknown = {path: names[path] for path in names if path not in found}
        try:
            known = ask(unknown, records)
        except OSError as error:
            warn(_SILENT % fault(error))
        except RescueError as error:
            warn(_SILENT % error)
        else:
            found.update((path, known[name]) for path, aliases in unknown.items() for name in aliases if name in known)
    return found


def _rpm_witnesses(names: Dict[bytes, List[bytes]], _records: Records) -> Dict[bytes, Witness]:
    return rpm_witnesses({name for aliases in names.values() for name in aliases})


def aliases_of(paths: Iterable[bytes], records: Records) -> Dict[bytes, List[bytes]]:
    """For each of ``paths`` all names that packages may have for it."""
    merged = {top: real for top, real in ((top, records.real_folder(top)) for top in _MERGED) if real is not None}
    return {path: _aliases(path, merged) for path in paths}


def _aliases(path: bytes, merged: Dict[bytes, bytes]) -> List[bytes]:
    """All names of what ``path`` is the name of; ``merged`` folders lead to others."""

    def is_in(name: bytes, folder: bytes) -> bool:
        return name == folder or name.startswith(folder + b"/")

    own = next((target + path[len(top) :] for top, target in merged.items() if is_in(path, top)), path)
    others = [top + own[len(target) :] for top, target in merged.items() if is_in(own, target)]
    return list(dict.fromkeys([path, own, *others]))


def dpkg_witnesses(names: Dict[bytes, List[bytes]], records: Records) -> Dict[bytes, Witness]:
    """For the names, of those that each path has, under which dpkg put a file there: its digest. Raises OSError."""
    if not names:
        return {}
    wanted = {name for aliases in names.values() for name in aliases}
    try:
        lists = [name for name in records.names() if name.endswith(b".md5sums")]
    except FileNotFoundError:
        return {}
    diversions = _diversions(records)
    sources = wanted.union(source for source, place, _keeper in diversions if place in wanted)
    # Of a few names most lists have none, and to look for one takes less time than to look at every line.
    needles = {os.path.basename(source) + b"\n" for source in sources} if len(sources) <= _FEW else set()
    # What dpkg has a file of belongs to one package, mostly to one that is called so: those first, and then no more.
    likely = tuple({re.split(rb"[^a-z0-9]", os.path.basename(path))[0] or path for path in names})
    lists.sort(key=lambda name: not name.startswith(likely))
    found: Dict[bytes, Witness] = {}
    for name_of_list, content in zip(lists, records.contents(lists)):
        if needles and not any(needle in content for needle in needles):
            continue
        package = name_of_list[: -len(b".md5sums")]
        for line in content.split(b"\n"):
            name = b"/" + line[34:]
            if name not in sources or not _MD5_LINE.match(line):
                continue
            keeps = package.partition(b":")[0]
            place = next((to for source, to, keeper in diversions if source == name and keeper != keeps), name)
            if place in wanted and _vouches(package, name, records):
                found[place] = Witness("package", "md5", line[:32].decode("ascii"), printable(keeps))
        if all(any(name in found for name in aliases) for aliases in names.values()):
            break
    return found


def _vouches(package: bytes, name: bytes, records: Records) -> bool:
    """Whether the package still has the file, which another may have replaced, and nobody is to change it.

    Most packages leave their configuration out of their md5sums, but not all.
    """
    files, configuration = (
        content.split(b"\n") for content in records.contents([package + b".list", package + b".conffiles"])
    )
    return name in files and name not in [line[line.find(b"/") :] for line in configuration]  # a flag may stand before


def _diversions(records: Records) -> List[Tuple[bytes, bytes, bytes]]:
    """(name in the packages, name on disk, package that keeps the name) of dpkg-divert(1); ":" is the administrator."""
    lines = next(iter(records.contents([b"../diversions"]))).split(b"\n")
    return [(lines[at], lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)]


def _names() -> List[bytes]:
    return os.listdir(INFO)


def _contents(names: List[bytes]) -> Iterator[bytes]:
    for name in names:
        try:
            with open(os.path.join(INFO, name), "rb", buffering=0) as file:
                yield file.read()
        except FileNotFoundError:  # dpkg may run beside us
            yield b""


def _real_folder(folder: bytes) -> Optional[bytes]:
    return os.path.realpath(folder) if os.path.islink(folder) else None


LOCAL_RECORDS = Records(_names, _contents, _real_folder)
