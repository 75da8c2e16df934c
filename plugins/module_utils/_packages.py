# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The host's package database as an independent witness of what content a path must have.

Read directly, or by the package manager's own tool; never through anything that a process shows.
"""

import os
import re
import subprocess
from typing import Dict, Iterable, Iterator, List, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._model import Witness

_DPKG = b"/var/lib/dpkg"

# Folders of / that the /usr merge made symlinks; dpkg may know a file under either name.
_MERGED = re.compile(rb"/(?:usr/)?((?:bin|sbin|lib|lib32|lib64|libx32|libo32)/.*)\Z", re.S)

# rpm-tag values of FILEDIGESTALGO (RFC 4880, 9.4); without one the database is of the MD5 days.
_RPM_ALGORITHMS = {"1": "md5", "2": "sha1", "8": "sha256", "9": "sha384", "10": "sha512", "11": "sha224"}
_RPM_FORMAT = "[%{FILENAMES}\\t%{FILEDIGESTS}\\n]%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}\\t%{FILEDIGESTALGO}\\n"


def package_witnesses(paths: Iterable[bytes]) -> Dict[bytes, Witness]:
    """For each of ``paths`` that a package owns with a digest: what the database says. One pass for all of them."""
    wanted = set(paths)
    found = _dpkg_witnesses(wanted)
    unknown = wanted.difference(found)
    if unknown:
        found.update(_rpm_witnesses(unknown))
    return found


def _dpkg_witnesses(paths: Set[bytes]) -> Dict[bytes, Witness]:
    found: Dict[bytes, Witness] = {}
    try:
        lists = [name for name in os.listdir(_DPKG + b"/info") if name.endswith(b".md5sums")]
        diversions = _diversions()
    except OSError:
        return found
    # The name in the package -> the paths on disk that it may stand for.
    recorded: Dict[bytes, List[bytes]] = {}
    for path in paths:
        for alias in _aliases(path):
            source = next((original for original, diverted, _package in diversions if diverted == alias), alias)
            recorded.setdefault(source.lstrip(b"/"), []).append(path)
    if not recorded:
        return found
    line = re.compile(rb"^([0-9a-f]{32})  (" + b"|".join(re.escape(name) for name in sorted(recorded)) + rb")$", re.M)
    for name in lists:
        package = name[: -len(b".md5sums")].partition(b":")[0]
        try:
            with open(_DPKG + b"/info/" + name, "rb") as file:
                content = file.read()
        except OSError:  # dpkg may run beside us
            continue
        for digest, source in line.findall(content):
            on_disk = _diverted(b"/" + source, package, diversions)
            for path in recorded[source]:
                if on_disk in _aliases(path):
                    found[path] = Witness("package", "md5", digest.decode("ascii"), package.decode("utf-8", "replace"))
    return found


def _diversions() -> List[Tuple[bytes, bytes, bytes]]:
    """(path in the packages, path on disk, package that keeps the path) of dpkg-divert(1)."""
    try:
        with open(_DPKG + b"/diversions", "rb") as file:
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return []
    return [(lines[at], lines[at + 1], lines[at + 2]) for at in range(0, len(lines) - 2, 3)]


def _diverted(path: bytes, package: bytes, diversions: List[Tuple[bytes, bytes, bytes]]) -> bytes:
    """Where the file that ``package`` calls ``path`` lies on disk; ":" stands for the administrator."""
    aliases = _aliases(path)
    for original, diverted, keeper in diversions:
        if original in aliases and keeper != package:
            return diverted
    return path


def _aliases(path: bytes) -> Tuple[bytes, ...]:
    match = _MERGED.match(path)
    if match is None:
        return (path,)
    top = b"/" + match.group(1).partition(b"/")[0]
    # Only where the merge was really done are both names the same file.
    if not os.path.islink(top):
        return (path,)
    return (b"/" + match.group(1), b"/usr/" + match.group(1))


def _rpm_witnesses(paths: Set[bytes]) -> Dict[bytes, Witness]:
    """One question for all paths; rpm answers for those that it knows."""
    names: Dict[bytes, List[bytes]] = {}
    for path in paths:
        for name in _aliases(path):
            names.setdefault(name, []).append(path)
    try:
        answer = subprocess.run(  # pylint: disable=ansible-bad-function  # there is no module here
            ["/usr/bin/rpm", "-qf", "--qf", _RPM_FORMAT, "--", *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=60,
            check=False,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    return {
        path: Witness("package", algorithm, digest, package)
        for name, digest, algorithm, package in _rpm_records(answer)
        for path in names.get(name, [])
    }


def _rpm_records(answer: bytes) -> Iterator[Tuple[bytes, str, str, str]]:
    """(path, digest, algorithm, package); the package's own line closes its files."""
    files: List[Tuple[bytes, str]] = []
    for line in answer.split(b"\n"):
        name, separator, value = line.rpartition(b"\t")
        text = value.decode("ascii", "replace")
        if separator and name.startswith(b"/"):
            files.append((name, text))
        elif separator:
            algorithm = _RPM_ALGORITHMS.get(text, "md5")
            for path, digest in files:
                if digest:
                    yield path, digest, algorithm, name.decode("utf-8", "replace")
            files = []
