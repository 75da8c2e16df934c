# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What rpm's database says of files. It has three formats, so rpm itself is asked: the host's own, and sparingly."""

import os
import re
import stat
import subprocess
import time
from contextlib import suppress
from typing import Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed, Recorded, Witness
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable

_TOOLS = ("/usr/bin/rpm", "/bin/rpm")

# Where rpm, Fedora and SUSE keep the database, and what it is called as sqlite, ndb and Berkeley DB.
_DATABASES = ("/var/lib/rpm", "/usr/lib/sysimage/rpm")
_FILES = ("rpmdb.sqlite", "Packages.db", "Packages")

# English complaints, no settings of a user. Debian's rpm would even ask bash for its database, hence --dbpath.
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}

# Seconds for all questions together: who was killed in the middle of an update may have left locks.
_PATIENCE = 60.0

# Bytes of names in one command line; the kernel takes 128 KiB at least.
_ROOM = 64 * 1024

_COLUMNS = ("FILENAMES", "FILEFLAGS", "FILEVERIFYFLAGS", "FILESTATES", "FILEDIGESTS", "=FILEDIGESTALGO", "=NEVRA")
_FORMAT = "[%s\\n]" % "\\t".join("%%{%s}" % column for column in _COLUMNS)

# rpmfiles.h: %config and %ghost of FILEFLAGS, the digest in FILEVERIFYFLAGS, and what FILESTATES says of most files.
_CONFIG_OR_GHOST = 1 | 64
_VERIFY_DIGEST = 1
_NORMAL = (b"0", b"(none)")

# rpm-tag values of FILEDIGESTALGO (RFC 4880, 9.4); without one the database is of the MD5 days.
_ALGORITHMS = {b"1": "md5", b"2": "sha1", b"8": "sha256", b"9": "sha384", b"10": "sha512", b"11": "sha224"}

# That it does not know a file is an answer, everything else that it complains of is not.
_COMPLAINT = re.compile(rb"^error: (?!file /).*$", re.M)


def rpm_witnesses(names: Iterable[bytes]) -> Dict[bytes, Witness]:
    """For each of ``names`` that an installed package vouches for: what its database says.

    Raises RescueError where there is a database that cannot be asked: then nothing is known of any file.
    """
    # No package has a file with a newline in its name, but it would forge lines of the answer.
    wanted = {name for name in names if b"\n" not in name}
    database = next((folder for folder in _DATABASES if _is_database(folder)), None)
    if database is None or not wanted:
        return {}
    question = [_tool(), "--dbpath", database, "-q"]
    until = time.monotonic() + _PATIENCE
    # First which packages, by their numbers in the database, then each of those once, the newest last.
    numbers: Set[int] = set()
    for chunk in _chunks(sorted(wanted)):
        answer = _answer([*question, "-f", "--qf", "%{DBINSTANCE}\\n", "--", *chunk], until)
        numbers.update(int(line) for line in answer.split(b"\n") if line.isdigit())
    found: Dict[bytes, Witness] = {}
    for chunk in _chunks([b"%d" % number for number in sorted(numbers)]):
        answer = _answer([*question, "--querybynumber", "--qf", _FORMAT, *chunk], until)
        found.update((name, witness) for name, witness in _records(answer) if name in wanted)
    return found


def rpm_installed(names: Set[bytes]) -> Dict[bytes, Installed]:
    """For each of ``names`` that an installed package has, symlinks too: which package. Raises as `rpm_witnesses`."""
    found: Dict[bytes, Installed] = {}
    for line in _told_of(names, "[%{FILENAMES}\\t%{=NAME}\\t%{=EVR}\\t%{=ARCH}\\n]"):
        name, *fields = line.rsplit(b"\t", 3)
        if len(fields) == 3:
            package, version, architecture = map(printable, fields)
            found[name] = Installed(package, version, architecture, "rpm")
    return {name: found[name] for name in names if name in found}


def rpm_links(names: Iterable[bytes]) -> Set[bytes]:
    """Where the symlinks lead that installed packages have under one of ``names``. Raises as `rpm_witnesses`."""
    wanted = set(names)
    lines = [line.partition(b"\t") for line in _told_of(wanted, "[%{FILENAMES}\\t%{FILELINKTOS}\\n]")]
    return {link for name, _tab, link in lines if name in wanted and link}


def rpm_recorded(name: bytes) -> Optional[Recorded]:
    """What the database says of a file's owner and mode. Raises as `rpm_witnesses`."""
    form = "[%{FILENAMES}\\t%{FILEMODES}\\t%{FILEUSERNAME}\\t%{FILEGROUPNAME}\\t%{FILECAPS}\\n]"
    for line in _told_of([name], form):
        called, *fields = line.rsplit(b"\t", 4)
        if called == name and len(fields) == 4 and fields[0].isdigit():
            mode, owner, group = stat.S_IMODE(int(fields[0])), printable(fields[1]), printable(fields[2])
            return Recorded(mode, owner, group, "rpm", fields[3].strip() not in (b"", b"(none)", b"="))
    return None


def rpm_paths_below(folder: bytes) -> List[bytes]:
    """The files and symlinks that packages put below ``folder``, but no configuration. Raises as `rpm_witnesses`."""
    database = next((one for one in _DATABASES if _is_database(one)), None)
    if database is None:
        return []
    form = "[%{FILENAMES}\\t%{FILEMODES}\\t%{FILEFLAGS}\\n]"
    found = []
    answer = _answer([_tool(), "--dbpath", database, "-qa", "--qf", form], time.monotonic() + _PATIENCE)
    for line in answer.split(b"\n"):
        name, *fields = line.rsplit(b"\t", 2)
        if len(fields) == 2 and name.startswith(folder.rstrip(b"/") + b"/"):
            mode, flags = map(_number, fields)
            if not stat.S_ISDIR(mode) and not flags & _CONFIG_OR_GHOST:
                found.append(name)
    return found


def _told_of(names: Iterable[bytes], form: str) -> List[bytes]:
    wanted = sorted({name for name in names if b"\n" not in name})
    database = next((folder for folder in _DATABASES if _is_database(folder)), None)
    if database is None or not wanted:
        return []
    until = time.monotonic() + _PATIENCE
    question = [_tool(), "--dbpath", database, "-q", "-f", "--qf", form, "--"]
    return [line for chunk in _chunks(wanted) for line in _answer([*question, *chunk], until).split(b"\n")]


def _is_database(folder: str) -> bool:
    for name in _FILES:
        try:
            if os.stat(os.path.join(folder, name)).st_size:
                return True
        except OSError:
            continue
    return False


def _tool() -> str:
    for tool in _TOOLS:
        try:
            result = os.stat(tool)
        except OSError:
            continue
        if not stat.S_ISREG(result.st_mode) or result.st_uid != 0 or result.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise RescueError("%s is not root's alone and is not run" % tool)
        return tool
    raise RescueError("%s is gone" % _TOOLS[0])


def _chunks(names: Sequence[bytes]) -> Iterator[List[bytes]]:
    chunk: List[bytes] = []
    for name in names:
        if sum(len(one) + 1 for one in chunk) + len(name) >= _ROOM:
            yield chunk
            chunk = []
        chunk.append(name)
    if chunk:
        yield chunk


def _answer(command: Sequence[object], until: float) -> bytes:
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            command,  # type: ignore[arg-type]
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd="/",
        )
    except OSError as error:
        raise RescueError("%s cannot be run (%s)" % (command[0], error.strerror)) from error
    try:
        output, complaints = process.communicate(timeout=max(until - time.monotonic(), 0))
    except subprocess.TimeoutExpired as error:
        # It takes its own locks away when it is asked to end. In D state it is not even killed: nobody waits for that.
        for end in (process.terminate, process.kill):
            end()
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=2)
                break
        raise RescueError("rpm gave no answer within %d seconds" % _PATIENCE) from error
    if process.returncode < 0:
        raise RescueError("rpm was ended by signal %d" % -process.returncode)
    complaint = _COMPLAINT.search(complaints)
    if complaint:
        raise RescueError("rpm says: %s" % printable(complaint.group()[len(b"error: ") :]))
    return output


def _records(answer: bytes) -> Iterator[Tuple[bytes, Witness]]:
    """What must have the content of the package: no configuration, nothing that another package replaced."""
    for line in answer.split(b"\n"):
        fields = line.rsplit(b"\t", len(_COLUMNS) - 1)
        if len(fields) < len(_COLUMNS):
            continue
        name, flags, verified, state, digest, algorithm, package = fields
        if _number(flags) & _CONFIG_OR_GHOST or not _number(verified) & _VERIFY_DIGEST or state not in _NORMAL:
            continue
        if digest:  # folders and symlinks have none
            yield name, Witness("package", _ALGORITHMS.get(algorithm, "md5"), printable(digest), printable(package))


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() else 0
