# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Packages of rpm: the archive of a version that is installed, and one member of it (cpio(5), "new ASCII")."""

import os
import stat
from glob import escape, glob
from typing import IO, Dict, Iterator, NamedTuple, Optional, Set

from ansible_collections.procfs.rescue.plugins.module_utils._archive import Member, output_of, run
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed

# Where dnf, its successor, yum and zypper keep them, each in folders of the repositories.
_CACHES = ("/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum", "/var/cache/zypp/packages")

_DNF = ("/usr/bin/dnf", "/usr/bin/yum")

_MAGIC = (b"070701", b"070702")
_FIELDS = ("ino", "mode", "uid", "gid", "nlink", "mtime", "size", "major", "minor", "rmajor", "rminor", "name", "check")
_LAST = b"TRAILER!!!"

# Bytes that are copied at once.
_PIECE = 1 << 20


class _Header(NamedTuple):
    name: bytes
    mode: int
    inode: int
    nlink: int
    mtime: int
    size: int


def cached(installed: Installed) -> str:
    """The archive that a package manager keeps, empty where none keeps it."""
    version = installed.version.rpartition(":")[2]
    name = "%s-%s.%s.rpm" % (installed.package, version, installed.architecture)
    for cache in _CACHES:
        for path in glob(os.path.join(cache, "**", escape(name)), recursive=True):
            if _is(path, installed):
                return path
    return ""


def downloaded(installed: Installed, folder: str) -> str:
    """The archive, in ``folder``. Raises RescueError."""
    program = next((one for one in _DNF if os.path.exists(one)), "")
    if not program:
        raise RescueError("There is no dnf or yum to download the package with.", ["no_package"])
    name = "%s-%s.%s" % tuple(installed[:3])
    run([program, "--quiet", "--assumeyes", "download", "--destdir", folder, name], folder)
    found = [path for path in glob(os.path.join(escape(folder), "*.rpm")) if _is(path, installed)]
    if not found:
        raise RescueError("%s downloaded nothing for %s." % (program, name), ["no_package"])
    return found[0]


def extracted(archive: str, names: Set[bytes], content: IO[bytes]) -> Optional[Member]:
    """The first member with one of ``names``, its content in ``content``. Raises RescueError.

    Owner and group are root's: cpio has the numbers of who built it, rpm's database has the right names.
    """
    linked: Dict[int, _Header] = {}
    with output_of(["/usr/bin/rpm2cpio", archive]) as stream:
        for header in _headers(stream, archive):
            wanted = header.name in names or b"./" + header.name in names
            if wanted and stat.S_ISLNK(header.mode):
                return _member(header, _read(stream, header.size, archive))
            if wanted and stat.S_ISREG(header.mode) and header.nlink > 1 and not header.size:
                linked[header.inode] = header  # the last one of its names comes with the content
            elif (wanted and stat.S_ISREG(header.mode)) or (header.inode in linked and header.size):
                _copy(stream, header.size, content, archive)
                named = linked.get(header.inode, header)
                return _member(named._replace(size=header.size), None)
            else:
                _copy(stream, header.size, None, archive)
            _read(stream, -header.size % 4, archive)
    return next((_member(header, None) for header in linked.values()), None)


def _is(path: str, installed: Installed) -> bool:
    """Whether it is that package, whatever its file is called; half a download is none."""
    try:
        told = run(["/usr/bin/rpm", "-qp", "--nosignature", "--qf", "%{NAME} %{EVR} %{ARCH}", path], "/")
    except RescueError:
        return False
    return told.decode("utf-8", "replace") == "%s %s %s" % tuple(installed[:3])


def _headers(stream: IO[bytes], archive: str) -> Iterator[_Header]:
    while True:
        start = _read(stream, 110, archive)
        if start[:6] not in _MAGIC:
            raise RescueError("%s cannot be read: it is of a kind not known here." % archive, ["no_package"])
        numbers = [start[at : at + 8] for at in range(6, 110, 8)]
        try:
            fields = {name: int(number, 16) for name, number in zip(_FIELDS, numbers)}
        except ValueError as error:
            raise RescueError("%s cannot be read: it is damaged." % archive, ["no_package"]) from error
        length = fields["name"]
        name = _read(stream, length + -(110 + length) % 4, archive)[: length - 1]
        if name == _LAST:
            return
        yield _Header(name, fields["mode"], fields["ino"], fields["nlink"], fields["mtime"], fields["size"])


def _copy(stream: IO[bytes], size: int, to: Optional[IO[bytes]], archive: str) -> None:
    while size:
        piece = _read(stream, min(size, _PIECE), archive)
        if to is not None:
            to.write(piece)
        size -= len(piece)


def _read(stream: IO[bytes], size: int, archive: str) -> bytes:
    found = stream.read(size)
    if len(found) != size:
        raise RescueError("%s cannot be read: it ends too early." % archive, ["no_package"])
    return found


def _member(header: _Header, leads_to: Optional[bytes]) -> Member:
    return Member(header.name, header.size, stat.S_IMODE(header.mode), "root", "root", header.mtime, leads_to)
