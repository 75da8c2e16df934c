# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Packages of dpkg: the archive of a version that is installed, and one member of it (deb(5))."""

import os
import shutil
import tarfile
from glob import glob
from typing import IO, Optional, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._archive import Member, output_of, run
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed

_ARCHIVES = "/var/cache/apt/archives"


def cached(installed: Installed) -> str:
    """The archive that apt keeps, empty where it keeps none."""
    name = "%s_%s_%s.deb" % (installed.package, installed.version.replace(":", "%3a"), installed.architecture)
    path = os.path.join(_ARCHIVES, name)
    return path if os.path.isfile(path) else ""


def downloaded(installed: Installed, folder: str) -> str:
    """The archive, in ``folder``. Raises RescueError."""
    name = "%s:%s=%s" % (installed.package, installed.architecture, installed.version)
    if installed.architecture == "all":
        name = "%s=%s" % (installed.package, installed.version)
    run(["/usr/bin/apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name], folder)
    found = glob(os.path.join(folder, "*.deb"))
    if not found:
        raise RescueError("apt-get downloaded nothing for %s." % name, ["no_package"])
    return found[0]


def extracted(archive: str, names: Set[bytes], content: IO[bytes]) -> Optional[Member]:
    """The first member with one of ``names``, its content in ``content``. Raises RescueError."""
    wanted = names
    for _time in range(2):  # a hard link is only named where its content is not
        member, links = _first(archive, wanted, content)
        if member is not None:
            return member
        wanted = links
    return None


def _first(archive: str, names: Set[bytes], content: IO[bytes]) -> Tuple[Optional[Member], Set[bytes]]:
    links: Set[bytes] = set()
    with output_of(["/usr/bin/dpkg-deb", "--fsys-tarfile", archive]) as stream:
        try:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for one in tar:
                    if os.fsencode(one.name) not in names and b"./" + os.fsencode(one.name) not in names:
                        continue
                    if one.islnk():
                        links.add(os.fsencode(one.linkname))
                    elif one.issym():
                        return _member(one), links
                    elif one.isfile():
                        file = tar.extractfile(one)
                        if file is not None:
                            shutil.copyfileobj(file, content)
                            return _member(one), links
        except tarfile.TarError as error:
            text = "%s cannot be read: %s." % (os.path.basename(archive), error)
            raise RescueError(text, ["no_package"]) from error
    return None, links


def _member(one: tarfile.TarInfo) -> Member:
    leads_to = os.fsencode(one.linkname) if one.issym() else None
    owner, group = one.uname or str(one.uid), one.gname or str(one.gid)
    return Member(os.fsencode(one.name), one.size, one.mode & 0o7777, owner, group, int(one.mtime), leads_to)
