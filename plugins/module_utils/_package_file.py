# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""One file out of the package of exactly the installed version; nothing is installed and no script of it is run.

The package comes from the package manager's cache on the host, else the package manager is asked to download it.
"""

import os
import shutil
import subprocess
import tarfile
import tempfile
from contextlib import ExitStack, contextmanager
from glob import glob
from typing import IO, Iterator, List, Optional, Sequence, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer
from ansible_collections.procfs.rescue.plugins.module_utils._packages import LOCAL_RECORDS, aliases_of

_ARCHIVES = "/var/cache/apt/archives"

# Seconds for a download.
_PATIENCE = 300

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}


@contextmanager
def packaged(need: Need) -> Iterator[Tuple[Offer, int]]:
    """What the package has under that path, and a descriptor of its content, -1 for a symlink.

    Raises RescueError, with the reason ``no_package``.
    """
    if need.installed is None:
        raise RescueError("No package has %s." % printable(need.path), ["no_package"])
    with ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="procfs-rescue-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        archive = _cached(need.installed) or _downloaded(need.installed, folder)
        content = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        names = {b"." + name for name in aliases_of([need.path], LOCAL_RECORDS)[need.path]}
        yield _extracted(archive, names, need, content)


def _cached(installed: Installed) -> str:
    """The archive that apt keeps, empty where it keeps none."""
    name = "%s_%s_%s.deb" % (installed.package, installed.version.replace(":", "%3a"), installed.architecture)
    path = os.path.join(_ARCHIVES, name)
    return path if os.path.isfile(path) else ""


def _downloaded(installed: Installed, folder: str) -> str:
    name = "%s:%s=%s" % (installed.package, installed.architecture, installed.version)
    if installed.architecture == "all":
        name = "%s=%s" % (installed.package, installed.version)
    _run(["/usr/bin/apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name], folder)
    found = glob(os.path.join(folder, "*.deb"))
    if not found:
        raise RescueError("apt-get downloaded nothing for %s." % name, ["no_package"])
    return found[0]


def _run(command: Sequence[str], folder: str) -> None:
    try:
        done = subprocess.run(  # pylint: disable=ansible-bad-function
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=_ENVIRONMENT,
            cwd=folder,
            timeout=_PATIENCE,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RescueError("The package could not be got: %s." % error, ["no_package"]) from error
    if done.returncode:
        said = " ".join(printable(line) for line in done.stderr.strip().split(b"\n"))
        raise RescueError("The package could not be got: %s: %s" % (command[0], said), ["no_package"])


def _extracted(archive: str, names: Set[bytes], need: Need, content: IO[bytes]) -> Tuple[Offer, int]:
    wanted = names
    for _time in range(2):  # a hard link is only named where its content is not
        member, links = _member(archive, wanted, content)
        if member is not None:
            break
        wanted = links
    if member is None:
        text = "%s has no %s." % (os.path.basename(archive), printable(need.path))
        raise RescueError(text, ["no_package"])
    link = os.fsencode(member.linkname) if member.issym() else None
    owner, group = member.uname or str(member.uid), member.gname or str(member.gid)
    source = "%s in %s" % (printable(os.fsencode(member.name)), os.path.basename(archive))
    offer = Offer(member.size, member.mode & 0o7777, owner, group, int(member.mtime) * 10**9, {}, link, source)
    content.flush()
    return offer, -1 if link is not None else content.fileno()


def _member(archive: str, names: Set[bytes], content: IO[bytes]) -> Tuple[Optional[tarfile.TarInfo], Set[bytes]]:
    command: List[str] = ["/usr/bin/dpkg-deb", "--fsys-tarfile", archive]
    links: Set[bytes] = set()
    try:
        process = subprocess.Popen(  # pylint: disable=ansible-bad-function,consider-using-with
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENVIRONMENT
        )
    except OSError as error:
        raise RescueError("%s cannot be run: %s." % (command[0], error.strerror), ["no_package"]) from error
    with process:
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as tar:
                for member in tar:
                    if os.fsencode(member.name) not in names and b"./" + os.fsencode(member.name) not in names:
                        continue
                    if member.islnk():
                        links.add(os.fsencode(member.linkname))
                    elif member.issym():
                        return member, links
                    elif member.isfile():
                        file = tar.extractfile(member)
                        if file is not None:
                            shutil.copyfileobj(file, content)
                            return member, links
        except tarfile.TarError as error:
            text = "%s cannot be read: %s." % (os.path.basename(archive), error)
            raise RescueError(text, ["no_package"]) from error
        finally:
            process.kill()
    return None, links
