# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The host's package database as an independent witness of what content a path must have.

Read directly, or by the package manager's own tool; never through anything that a process shows.
"""

import os
import re
from typing import Callable, Dict, Iterable, List, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._model import Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._rpm import rpm_witnesses

_INFO = b"/var/lib/dpkg/info"

_MD5_LINE = re.compile(rb"[0-9a-f]{32}  ")

# What the merges of / with /usr, and of /usr/sbin with /usr/bin, made symlinks; packages may use any of the names.
_MERGED = (b"/bin", b"/sbin", b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/libo32", b"/usr/sbin")

_SILENT = (
    "The package database could not be asked: %s. What it says of the files is not known, no content is proven by it."
)


def package_witnesses(
    paths: Iterable[bytes], warn: Callable[[str], object] = lambda _sentence: None
) -> Dict[bytes, Witness]:
    """For each of ``paths`` whose content a package vouches for: what the database says. One pass for all of them.

    ``warn`` is told of a database that is there and cannot be asked: it neither proves nor disowns any content then.
    """
    merged = {top: os.path.realpath(top) for top in _MERGED if os.path.islink(top)}
    names = {path: _aliases(path, merged) for path in paths}
    found: Dict[bytes, Witness] = {}
    for ask in (_dpkg_witnesses, rpm_witnesses):
        unknown = {path: names[path] for path in names if path not in found}
        try:
            known = ask({name for aliases in unknown.values() for name in aliases})
        except OSError as error:
            warn(_SILENT % fault(error))
        except RescueError as error:
            warn(_SILENT % error)
        else:
            found.update((path, known[name]) for path, aliases in unknown.items() for name in aliases if name in known)
    return found


def _aliases(path: bytes, merged: Dict[bytes, bytes]) -> List[bytes]:
    """All names of what ``path`` is the name of; ``merged`` folders lead to others."""
    own = next((target + path[len(top) :] for top, target in merged.items() if path.startswith(top + b"/")), path)
    others = [top + own[len(target) :] for top, target in merged.items() if own.startswith(target + b"/")]
    return list(dict.fromkeys([path, own, *others]))


def _dpkg_witnesses(wanted: Set[bytes]) -> Dict[bytes, Witness]:
    """For each name of ``wanted`` under which dpkg put a file there: its digest. Raises OSError."""
    try:
        lists = [name[: -len(b".md5sums")] for name in os.listdir(_INFO) if name.endswith(b".md5sums")]
    except FileNotFoundError:
        return {}
    diversions = _diversions()
    sources = wanted.union(source for source, place, _keeper in diversions if place in wanted)
    found = {}
    for package in lists if wanted else ():
        for line in _lines(package + b".md5sums"):
            name = b"/" + line[34:]
            if name not in sources or not _MD5_LINE.match(line):
                continue
            keeps = package.partition(b":")[0]
            place = next((to for source, to, keeper in diversions if source == name and keeper != keeps), name)
            if place in wanted and _vouches(package, name):
                found[place] = Witness("package", "md5", line[:32].decode("ascii"), printable(keeps))
    return found


def _vouches(package: bytes, name: bytes) -> bool:
    """Whether the package still has the file, which another may have replaced, and nobody is to change it.

    Most packages leave their configuration out of their md5sums, but not all.
    """
    configuration = [line[line.find(b"/") :] for line in _lines(package + b".conffiles")]  # a flag may stand before
    return name in _lines(package + b".list") and name not in configuration


def _diversions() -> List[Tuple[bytes, bytes, bytes]]:
    """(name in the packages, name on disk, package that keeps the name) of dpkg-divert(1); ":" is the administrator."""
    lines = _lines(b"../diversions")
    return [(lines[at], lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)]


def _lines(name: bytes) -> List[bytes]:
    """Of a file of the database; there is none of what a package does not have, or lost since dpkg runs beside us."""
    try:
        with open(os.path.join(_INFO, name), "rb") as file:
            return file.read().split(b"\n")
    except FileNotFoundError:
        return []
