# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Which package, in which version, put a file or symlink there, and what the host records of its owner and mode."""

import os
import re
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Set

from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed, Recorded
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._packages import LOCAL_RECORDS, Records, aliases_of
from ansible_collections.procfs.rescue.plugins.module_utils._rpm import (
    rpm_installed,
    rpm_links,
    rpm_paths_below,
    rpm_recorded,
)

# os-release(5)
OS_RELEASE = (b"/etc/os-release", b"/usr/lib/os-release")

_FIELD = re.compile(rb"^(ID|VERSION_ID)=[\"']?([^\"'\n]*)", re.M)


class _Stanza(NamedTuple):
    package: bytes
    version: bytes
    architecture: bytes


def installed(paths: Iterable[bytes], packages: Optional[Set[str]] = None) -> Dict[bytes, Installed]:
    """For each of ``paths`` that a package put there: which one. Raises OSError, RescueError.

    Where it is known already which ``packages`` these are only their lists are read.
    """
    wanted = set(paths)
    found = installed_by_dpkg(wanted, LOCAL_RECORDS, packages)
    found.update(rpm_installed(wanted - set(found)))
    return found


def installed_by_dpkg(
    paths: Iterable[bytes], records: Records, packages: Optional[Set[str]] = None
) -> Dict[bytes, Installed]:
    """The same of dpkg alone, whose lists have symlinks, too. Raises OSError."""
    names = aliases_of(paths, records)
    wanted = {name for aliases in names.values() for name in aliases}
    try:
        lists = sorted(name for name in records.names() if name.endswith(b".list") and _is_of(name, packages))
    except FileNotFoundError:
        return {}
    owners: Dict[bytes, bytes] = {}
    for name, content in zip(lists, records.contents(lists)):
        if not any(one + b"\n" in content for one in wanted):
            continue
        for line in wanted.intersection(content.split(b"\n")):
            # Packages of several architectures share files: all hosts are to name the same one.
            owners.setdefault(line, name[: -len(b".list")])
    stanzas = _stanzas(records, set(owners.values()))
    found = {}
    for path, aliases in names.items():
        stanza = next((stanzas[owners[name]] for name in aliases if owners.get(name) in stanzas), None)
        if stanza is not None:
            package, version, architecture = map(printable, stanza)
            found[path] = Installed(package, version, architecture, "dpkg")
    return found


def _is_of(name_of_list: bytes, packages: Optional[Set[str]]) -> bool:
    return packages is None or printable(name_of_list[: -len(b".list")].partition(b":")[0]) in packages


def _stanzas(records: Records, wanted: Set[bytes]) -> Dict[bytes, _Stanza]:
    """Of deb-control(5) as dpkg keeps it; packages of several architectures are called NAME:ARCHITECTURE."""
    found = {}
    if wanted:
        status = b"".join(records.contents([b"../status"]))
        names = {name.partition(b":")[0] for name in wanted}
        for stanza in status.split(b"\n\n"):
            if stanza[len(b"Package: ") : stanza.find(b"\n")] not in names:
                continue
            fields = dict(
                line.split(b": ", 1)
                for line in stanza.split(b"\n")
                if line.startswith((b"Package: ", b"Version: ", b"Architecture: "))
            )
            if len(fields) == 3:
                name, architecture = fields[b"Package"], fields[b"Architecture"]
                for called in (name, name + b":" + architecture):
                    if called in wanted:
                        found[called] = _Stanza(name, fields[b"Version"], architecture)
    return found


def paths_below(folder: bytes) -> List[bytes]:
    """The files and symlinks that packages put below ``folder``. Raises OSError, RescueError."""
    return dpkg_paths_below(folder, LOCAL_RECORDS) + rpm_paths_below(folder)


def dpkg_paths_below(folder: bytes, records: Records) -> List[bytes]:
    """The same of dpkg alone. Its lists do not tell what is a folder: what has something else in it. Raises OSError."""
    (aliases,) = aliases_of([folder.rstrip(b"/")], records).values()
    try:
        lists = [name for name in records.names() if name.endswith((b".list", b".conffiles"))]
    except FileNotFoundError:
        return []
    found: Set[bytes] = set()
    changeable: Set[bytes] = set()
    for name, content in zip(lists, records.contents(lists)):
        for top in aliases:
            if top + b"/" in content:
                below = (line for line in content.split(b"\n") if line.startswith(top + b"/"))
                to = found if name.endswith(b".list") else changeable
                to.update(folder.rstrip(b"/") + line[len(top) :] for line in below)
    return sorted(found - changeable - {os.path.dirname(path) for path in found})


def may_be_symlink(path: bytes, link: bytes) -> bool:
    """Whether a package may have put a symlink there that leads to ``link``. Raises OSError, RescueError.

    rpm knows where its symlinks lead, dpkg only that something is there.
    """
    (names,) = aliases_of([path], LOCAL_RECORDS).values()
    return may_be_symlink_by_dpkg(path, LOCAL_RECORDS) or link in rpm_links(names)


def may_be_symlink_by_dpkg(path: bytes, records: Records) -> bool:
    """Whether dpkg put something there that is neither configuration nor a folder with something in it.

    Raises OSError.
    """
    (aliases,) = aliases_of([path], records).values()
    try:
        lists = [name for name in records.names() if name.endswith((b".list", b".conffiles"))]
    except FileNotFoundError:
        return False
    is_listed = False
    for name, content in zip(lists, records.contents(lists)):
        if not any(alias in content for alias in aliases):
            continue
        lines = [line[line.find(b"/") :] for line in content.split(b"\n")]  # a flag may stand before
        is_there = any(alias in lines for alias in aliases)
        if is_there and name.endswith(b".conffiles"):
            return False
        if any(line.startswith(alias + b"/") for line in lines for alias in aliases):
            return False
        is_listed = is_listed or is_there
    return is_listed


def recorded(path: bytes) -> Optional[Recorded]:
    """What dpkg-statoverride(1) or rpm says of a file's owner and mode, None where neither does. Raises as above."""
    return recorded_by_dpkg(path, LOCAL_RECORDS) or rpm_recorded(path)


def recorded_by_dpkg(path: bytes, records: Records) -> Optional[Recorded]:
    """Its lines are OWNER GROUP MODE PATH; a number has # before it."""
    (aliases,) = aliases_of([path], records).values()
    content = b"".join(records.contents([b"../statoverride"]))
    for line in content.split(b"\n"):
        fields = line.split(b" ", 3)
        if len(fields) == 4 and fields[3] in aliases and re.match(rb"[0-7]{3,5}\Z", fields[2]):
            owner, group = (printable(field).lstrip("#") for field in fields[:2])
            return Recorded(int(fields[2], 8), owner, group, "dpkg-statoverride")
    return None


def release() -> str:
    """The host's distribution and its release, such as ``debian 12``; empty where it does not tell."""
    return release_in(_read)


def release_in(read: Callable[[bytes], bytes]) -> str:
    for path in OS_RELEASE:
        try:
            fields = dict(_FIELD.findall(read(path)))
        except OSError:
            continue
        return printable(b" ".join(fields.get(name, b"") for name in (b"ID", b"VERSION_ID")).strip())
    return ""


def _read(path: bytes) -> bytes:
    with open(path, "rb") as file:
        return file.read()
