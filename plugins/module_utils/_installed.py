# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Which package, in which version, put a file or symlink there, and what the host records of its owner and mode."""

import re
from typing import Callable, Dict, Iterable, NamedTuple, Optional, Set

from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed, Recorded
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._packages import LOCAL_RECORDS, Records, aliases_of
from ansible_collections.procfs.rescue.plugins.module_utils._rpm import rpm_installed, rpm_recorded

# os-release(5)
OS_RELEASE = (b"/etc/os-release", b"/usr/lib/os-release")

_FIELD = re.compile(rb"^(ID|VERSION_ID)=[\"']?([^\"'\n]*)", re.M)


class _Stanza(NamedTuple):
    package: bytes
    version: bytes
    architecture: bytes


def installed(paths: Iterable[bytes]) -> Dict[bytes, Installed]:
    """For each of ``paths`` that a package put there: which one. Raises OSError, RescueError."""
    wanted = set(paths)
    found = installed_by_dpkg(wanted, LOCAL_RECORDS)
    found.update(rpm_installed(wanted - set(found)))
    return found


def installed_by_dpkg(paths: Iterable[bytes], records: Records) -> Dict[bytes, Installed]:
    """The same of dpkg alone, whose lists have symlinks, too. Raises OSError."""
    names = aliases_of(paths, records)
    wanted = {name for aliases in names.values() for name in aliases}
    try:
        lists = [name for name in records.names() if name.endswith(b".list")]
    except FileNotFoundError:
        return {}
    owners: Dict[bytes, bytes] = {}
    for name, content in zip(lists, records.contents(lists)):
        if not any(one + b"\n" in content for one in wanted):
            continue
        for line in wanted.intersection(content.split(b"\n")):
            owners[line] = name[: -len(b".list")]
    stanzas = _stanzas(records, set(owners.values()))
    found = {}
    for path, aliases in names.items():
        stanza = next((stanzas[owners[name]] for name in aliases if owners.get(name) in stanzas), None)
        if stanza is not None:
            package, version, architecture = map(printable, stanza)
            found[path] = Installed(package, version, architecture, "dpkg")
    return found


def _stanzas(records: Records, wanted: Set[bytes]) -> Dict[bytes, _Stanza]:
    """Of deb-control(5) as dpkg keeps it; packages of several architectures are called NAME:ARCHITECTURE."""
    found = {}
    if wanted:
        status = b"".join(records.contents([b"../status"]))
        for stanza in status.split(b"\n\n"):
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
