# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Holds listed files open: what is deleted can be brought back from here, although nobody else used it.

``keeper.py`` is the service, ``keeper.py check`` prints as JSON how it does. Standard library of Python 3.6.

Each handle is also in systemd's fd store, which outlives this process. What a handle alone does not tell (symlinks, and
for those who come over SFTP, extended attributes) is in RECORD. A handle is let go only when the package database, or
another handle with the same content, vouches for the file that has the name now.
"""

import array
import base64
import errno
import glob
import hashlib
import json
import os
import re
import select
import socket
import stat
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

FILES = "/opt/procfs-rescue/files.json"
RECORD = "/run/procfs-rescue/keeper.json"
UNIT = "procfs-rescue-keeper.service"

DPKG = "/var/lib/dpkg"
# Where a package manager writes last; what it vouches for can change only then.
DATABASES = (
    DPKG + "/status",
    "/var/lib/rpm/rpmdb.sqlite",
    "/var/lib/rpm/Packages",
    "/usr/lib/sysimage/rpm/rpmdb.sqlite",
)

# Seconds: a look at least so often, and after an event this long until the next one.
PERIOD = 60
PAUSE = 0.5

# inotify(7): attributes, written, moved from, moved to, created, deleted.
EVENTS = 0x004 | 0x008 | 0x040 | 0x080 | 0x100 | 0x200

# Folders of / that the /usr merge made symlinks; dpkg knows a file under either name.
MERGED = re.compile(r"/(?:usr/)?((?:bin|sbin|lib|lib32|lib64|libx32|libo32)/.*)\Z", re.S)

Identity = Tuple[int, int]


class Handle(NamedTuple):
    """``name`` is what systemd calls it: ``KEY-DEVICE-INODE`` in hexadecimal, KEY from the path in the list."""

    fd: int
    name: str
    identity: Identity


class Keeper:
    """``handles`` by KEY: the file that the path leads to, and old ones until somebody vouches for it."""

    def __init__(self) -> None:
        self.handles: Dict[str, List[Handle]] = {}
        self.watch = Watch()
        self.record: Dict[str, Dict[str, Any]] = {"links": {}, "files": {}}
        self.gone: Set[str] = set()
        self.stamp: List[int] = []
        with suppress(OSError, ValueError), open(RECORD) as file:
            self.record = json.load(file)
        for handle in stored():
            self.handles.setdefault(key_of(handle.name), []).append(handle)

    def run(self) -> None:
        while True:
            try:
                self.look()
            except OSError as error:  # a full disk, too many open files: what is held stays so
                print("Not everything could be looked at: %s" % error, flush=True)
            notify("READY=1\nSTATUS=%d handles" % sum(map(len, self.handles.values())))
            self.watch.wait()

    def look(self) -> None:
        """Takes hold of what is there now, and lets go of what is not needed any more."""
        paths = listed()
        stamp = [os.stat(path).st_mtime_ns for path in DATABASES if os.path.exists(path)]
        is_news, self.stamp = stamp != self.stamp, stamp
        links: Dict[str, str] = {}
        files: Dict[str, Any] = {}
        folders = {os.path.dirname(path) for path in DATABASES + (FILES,)}
        gone: Set[str] = set()
        wanted = {}
        for path in paths:
            found, real = followed(path)
            links.update(found)
            wanted[key(path)] = real
            folders.update(os.path.dirname(name) for name in [path, real or path, *found])
            if real is None and key(path) in self.handles:
                gone.add(path)
        for unlisted in set(self.handles) - set(wanted):
            name = plain_name(self.handles[unlisted][-1])
            if not os.path.lexists(name):
                gone.add(name)
            self.settle(unlisted, name, False, is_news)
        for entry, real in wanted.items():
            handle = real and self.settle(entry, real, True, is_news)
            if real and handle:
                files[real] = described(handle.fd)
        for path in gone - self.gone:
            print("%s is gone. It is held here: restore it before the next reboot." % ascii(path), flush=True)
        self.gone = gone
        self.watch.add(folders)
        self.write({"links": links, "files": files})

    def settle(self, entry: str, path: str, is_wanted: bool, is_news: bool) -> Optional[Handle]:
        """The handle of the file at ``path``, None where there is none; of the others those are let go that may be."""
        fd = opened(path)
        if fd is None:
            return None
        held = self.handles.setdefault(entry, [])
        current = next((handle for handle in held if handle.identity == identity(fd)), None)
        if current is None:
            is_news = True
            current = Handle(fd, "%s-%x-%x" % ((entry,) + identity(fd)), identity(fd))
            if is_wanted:
                store(current)
                held.append(current)
        else:
            os.close(fd)
        others = [handle for handle in held if handle is not current]
        if others and is_news:
            digest = content(current.fd, "sha256")
            is_vouched = is_packages_own(path, current.fd)
            for handle in others:
                if is_vouched or content(handle.fd, "sha256") == digest:
                    release(handle)
                    held.remove(handle)
        if not is_wanted:
            # Nothing is lost with it, and nobody wants it.
            if current in held:
                release(current)
                held.remove(current)
            else:
                os.close(current.fd)
            if not held:
                del self.handles[entry]
        return current

    def write(self, record: Dict[str, Dict[str, Any]]) -> None:
        """What is gone stays in the record: that is what it is for."""
        for kind, new in record.items():
            for path, value in self.record.get(kind, {}).items():
                if not os.path.lexists(path):
                    new.setdefault(path, value)
        if record != self.record or not os.path.exists(RECORD):
            draft = RECORD + ".new"
            with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                json.dump(record, file, indent=1, sort_keys=True)
            os.rename(draft, RECORD)
            self.record = record


class Watch:
    """inotify, as far as Python can be brought to it; PERIOD without."""

    def __init__(self) -> None:
        self.fd = -1
        with suppress(ImportError, OSError, AttributeError, MemoryError):
            import ctypes

            self.libc = ctypes.CDLL(None, use_errno=True)
            self.fd = self.libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)

    def add(self, folders: Iterable[str]) -> None:
        """Each time anew: a folder may be another one by now, and one that is watched already is not watched twice."""
        for folder in folders if self.fd >= 0 else ():
            self.libc.inotify_add_watch(self.fd, os.fsencode(folder), EVENTS)

    def wait(self) -> None:
        if select.select([self.fd] if self.fd >= 0 else [], [], [], PERIOD)[0]:
            time.sleep(PAUSE)
            with suppress(BlockingIOError):
                while os.read(self.fd, 65536):
                    pass


def listed() -> List[str]:
    """The paths of the list; one that has * or ? or [ in it stands for those that are there."""
    with open(FILES) as file:
        patterns = json.load(file)
    found: Dict[str, None] = {}
    for pattern in patterns:
        found.update(dict.fromkeys(sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]))
    return list(found)


def followed(path: str) -> Tuple[Dict[str, str], Optional[str]]:
    """The symlinks on the way with their targets, and where it ends; None where something is missing."""
    links: Dict[str, str] = {}
    here, left = "/", path.split("/")[::-1]
    for _step in range(1000):
        if not left:
            return links, here
        part = left.pop()
        if part in ("", "."):
            continue
        name = os.path.dirname(here) if part == ".." else os.path.join(here, part)
        try:
            target = os.readlink(name)
        except OSError as error:
            if error.errno != errno.EINVAL:  # which says that it is there, and no link
                break
            here = name
        else:
            links[name] = target
            here = "/" if target.startswith("/") else here
            left += target.split("/")[::-1]
    return links, None


def opened(path: str) -> Optional[int]:
    """A descriptor of the regular file of this name; never blocks, never follows a link."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return None
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None


def identity(fd: int) -> Identity:
    result = os.fstat(fd)
    return result.st_dev, result.st_ino


def described(fd: int) -> Dict[str, Any]:
    """What SFTP does not carry of a file."""
    xattrs = {}
    with suppress(OSError):
        for name in os.listxattr(fd):
            with suppress(OSError):
                xattrs[name] = base64.b64encode(os.getxattr(fd, name)).decode()
    return {"mtime_ns": os.fstat(fd).st_mtime_ns, "xattrs": xattrs}


def plain_name(handle: Handle) -> str:
    """What the file is or was called."""
    name = os.readlink("/proc/self/fd/%d" % handle.fd)
    return name[: -len(" (deleted)")] if name.endswith(" (deleted)") else name


def content(fd: int, algorithm: str) -> str:
    try:
        digest = hashlib.new(algorithm, usedforsecurity=False)  # type: ignore[call-arg,unused-ignore]
    except TypeError:  # before Python 3.9
        digest = hashlib.new(algorithm)
    offset = 0
    while True:
        chunk = os.pread(fd, 1 << 20, offset)
        if not chunk:
            return digest.hexdigest()
        digest.update(chunk)
        offset += len(chunk)


def is_packages_own(path: str, fd: int) -> bool:
    """Whether the package database names just this content for this path."""
    with suppress(OSError, ValueError):  # a FIPS host may have no MD5
        match = MERGED.match(path)
        names = ["/" + match.group(1), "/usr/" + match.group(1)] if match else [path]
        with suppress(FileNotFoundError), open(DPKG + "/diversions") as file:
            if set(names) & set(file.read().split("\n")):
                return False
        lines = ["%s  %s\n" % (content(fd, "md5"), name[1:]) for name in names]
        for database in glob.glob(DPKG + "/info/*.md5sums"):
            with open(database, errors="surrogateescape") as file:
                text = "\n" + file.read()
            if any("\n" + line in text for line in lines):
                return True
    with suppress(OSError):
        # Of several packages that own it each has its line.
        query = ["rpm", "-qf", "--queryformat", "[%{FILENAMES}\\t%{FILEDIGESTS}\\n]", path]
        done = subprocess.run(query, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        for line in done.stdout.decode("utf-8", "surrogateescape").splitlines():
            name, _tab, digest = line.partition("\t")
            algorithm = {32: "md5", 40: "sha1", 64: "sha256"}.get(len(digest))
            if name == path and algorithm and content(fd, algorithm) == digest:
                return True
    return False


def key(path: str) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


def key_of(name: str) -> str:
    return name.partition("-")[0]


def stored() -> List[Handle]:
    """What systemd kept for us, see sd_listen_fds(3)."""
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return []
    handles = []
    for fd, name in enumerate(os.environ.get("LISTEN_FDNAMES", "").split(":"), 3):
        os.set_inheritable(fd, False)
        handles.append(Handle(fd, name, identity(fd)))
    return handles


def store(handle: Handle) -> None:
    """Returns when systemd has it: from then on this process may die."""
    notify("FDSTORE=1\nFDNAME=" + handle.name, handle.fd)
    reader, writer = os.pipe()
    notify("BARRIER=1", writer)
    os.close(writer)
    select.select([reader], [], [], 5)
    os.close(reader)


def release(handle: Handle) -> None:
    notify("FDSTOREREMOVE=1\nFDNAME=" + handle.name)
    os.close(handle.fd)


def notify(text: str, fd: Optional[int] = None) -> None:
    """As sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.sendmsg([text.encode()], rights, 0, address.replace("@", "\0", 1))


def check() -> Dict[str, Any]:
    """``problems`` of the service; ``gone`` is what only it has, ``old`` what it has besides what has the name now."""
    shown = subprocess.run(
        ["systemctl", "show", UNIT, "--property=MainPID,NFileDescriptorStore"], stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    state = dict(line.partition("=")[::2] for line in shown.split())
    if state.get("MainPID", "0") == "0":
        return {"problems": ["%s does not run." % UNIT]}
    held = held_by(state["MainPID"])
    identities = {found for found, _name in held}
    problems = []
    for path in listed():
        real = followed(path)[1]
        if real is not None and stat.S_ISREG(os.lstat(real).st_mode) and identity_of(real) not in identities:
            problems.append("%s is not held." % real)
    if int(state["NFileDescriptorStore"]) < len(held):
        problems.append("systemd has only %s of %d handles." % (state["NFileDescriptorStore"], len(held)))
    with open(RECORD) as file:
        links = [path for path in json.load(file)["links"] if not os.path.lexists(path)]
    deleted = sorted({name[: -len(" (deleted)")] for _found, name in held if name.endswith(" (deleted)")})
    return {
        "problems": problems,
        "handles": len(held),
        "gone": [path for path in deleted if not os.path.lexists(path)] + links,
        "old": [path for path in deleted if os.path.lexists(path)],
    }


def held_by(pid: str) -> List[Tuple[Identity, str]]:
    held = []
    for fd in os.listdir("/proc/%s/fd" % pid):
        link = "/proc/%s/fd/%s" % (pid, fd)
        with suppress(FileNotFoundError):
            result = os.stat(link)
            if stat.S_ISREG(result.st_mode):
                held.append(((result.st_dev, result.st_ino), os.readlink(link)))
    return held


def identity_of(path: str) -> Identity:
    result = os.lstat(path)
    return result.st_dev, result.st_ino


def main() -> None:
    if sys.argv[1:] == ["check"]:
        answer = check()
        print(json.dumps(answer, indent=1))
        sys.exit(1 if answer["problems"] else 0)
    Keeper().run()


if __name__ == "__main__":
    main()
