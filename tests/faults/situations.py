# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What restore_file finds when it is disturbed: a lost file, what else is in its folder, how it is asked for."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from faults.supervisor import Call

MIB = 1024 * 1024
# Its opening is where the faults begin.
FOLDER = "the-folder"
# Extents and holes, and more than one piece for whoever reads it.
SPARSE = (b"a" * 4096, 5 * MIB, b"b" * (MIB + 1), 9 * MIB, b"c" * 100, 12 * MIB)
MTIME = 1_700_000_000_123_456_789


class State(NamedTuple):
    """All of a file that must be as it was."""

    kind: int
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    content: str
    xattrs: tuple[tuple[str, bytes], ...]


class Situation(NamedTuple):
    """``options`` are those of the module besides the path. ``refused`` are calls that fail anyway, as elsewhere.

    Over ``sftp`` the server may be ``without`` some extensions.
    """

    name: str
    options: dict[str, Any] = {}  # noqa: RUF012  (never written to)
    content: tuple[bytes | int, ...] = (b"the original",)
    mode: int = 0o640
    proven: bool = False
    replaced: bool = False
    linked: bool = False
    symlinked: bool = False
    second: bool = False
    gone: bool = False
    written: bool = False
    sftp: bool = False
    without: tuple[bytes, ...] = ()
    refused: Callable[[Call], int | None] = lambda _call: None

    @property
    def backup(self) -> bool:
        return bool(self.options.get("backup"))


def no_tmpfile(call: Call) -> int | None:
    is_asked = call.name == "openat" and call.arguments[2] & os.O_TMPFILE == os.O_TMPFILE
    return errno.EOPNOTSUPP if is_asked else None


def no_copy_in_kernel(call: Call) -> int | None:
    return errno.EOPNOTSUPP if call.name in ("copy_file_range", "sendfile") else None


FORCE = {"force": True}
BACKUP = {"force": True, "backup": True}
COPY = {"dest": "copy", "owner": "7", "group": "8", "mode": "0604"}
SITUATIONS = (
    Situation("the name is free"),
    Situation("without O_TMPFILE", refused=no_tmpfile),
    Situation("proven, setuid", mode=0o4755, proven=True),
    Situation("replaced", FORCE, replaced=True),
    Situation("replaced, without O_TMPFILE", FORCE, replaced=True, refused=no_tmpfile),
    Situation("replaced, with a backup", BACKUP, replaced=True),
    Situation("replaced, with a backup, without O_TMPFILE", BACKUP, replaced=True, refused=no_tmpfile),
    Situation("a link is left", linked=True),
    Situation("a link is left, replaced, with a backup", BACKUP, linked=True, replaced=True),
    Situation("copied out", COPY),
    Situation("extents and holes", content=SPARSE),
    Situation("read and written piece by piece", content=SPARSE, refused=no_copy_in_kernel),
    Situation("through a symlink", symlinked=True),
    Situation("two files", second=True),
    Situation("the folder is gone", {"parents": True}, gone=True),
    Situation("in use, frozen", {"freeze": True}, written=True),
    Situation("check mode", {"_ansible_check_mode": True}),
    Situation("over SFTP", sftp=True),
    Situation("over SFTP, proven, setuid", mode=0o4755, proven=True, sftp=True),
    Situation("over SFTP, replaced, with a backup", BACKUP, replaced=True, sftp=True),
    Situation("over SFTP, copied out", COPY, sftp=True),
    Situation("over SFTP, the folder is gone", {"parents": True}, gone=True, sftp=True),
    Situation("over SFTP, through the controller", content=SPARSE, sftp=True, without=(b"copy-data",)),
    Situation("over SFTP, without hard links", sftp=True, without=(b"hardlink@openssh.com",)),
)


class Lost:
    """A folder with a lost file that this process holds as ``source``."""

    def __init__(self, situation: Situation, top: Path) -> None:
        self.situation = situation
        self.top = top
        inner = Path(FOLDER, "sub" if situation.gone else "")
        self.folder = top / ("real" if situation.symlinked else "") / inner
        self.path = top / ("way" if situation.symlinked else "") / inner / "tool"
        self.writer: subprocess.Popen[bytes] | None = None
        self.sources: dict[str, int] = {}
        self.before: dict[str, State] = {}
        self.inodes: dict[str, int] = {}
        self.originals: dict[str, State] = {}
        # Calls that were made while the one that writes stood still.
        self.meanwhile: set[str] = set()

    @property
    def targets(self) -> dict[str, State]:
        """What is to be there in the end, by the name in the folder."""
        situation = self.situation
        if "dest" not in situation.options:
            return self.originals
        copied = self.originals["tool"]._replace(uid=7, gid=8, mode=0o604, xattrs=())
        return {situation.options["dest"]: copied}

    def options(self) -> dict[str, Any]:
        """As the module takes them."""
        options = dict(self.situation.options)
        if self.path.exists() and os.path.samestat(self.path.stat(), os.fstat(self.sources["tool"])):
            options = {}  # linked again it is deleted no more, and nothing could replace it
        if "dest" in options:
            options["dest"] = str(self.path.parent / options["dest"])
        if self.situation.proven:
            options["checksum"] = "sha256:" + self.originals["tool"].content
        if self.situation.second:
            return dict(options, files=[str(self.path.parent / name) for name in self.originals])
        return dict(options, path=str(self.path))

    def make(self, name: str) -> None:
        path = self.folder / name
        with open(path, "wb") as file:
            for part in self.situation.content:
                if isinstance(part, int):
                    file.seek(part)
                    file.truncate()
                else:
                    file.write(part)
        os.chown(path, 0, 12)
        path.chmod(self.situation.mode)
        if self.situation.sftp:  # which carries no more
            os.utime(path, (MTIME // 10**9, MTIME // 10**9))
        else:
            os.setxattr(path, "user.note", b"kept")
            os.setxattr(path, "trusted.note", b"kept, too")
            os.utime(path, ns=(MTIME, MTIME))
        self.sources[name] = os.open(path, os.O_RDONLY)
        self.originals[name] = state(self.sources[name])
        if self.situation.linked:
            os.link(path, self.folder / "other")
        if self.situation.written:
            with open(path, "r+b") as held:
                self.writer = subprocess.Popen(["sleep", "1000"], pass_fds=[held.fileno()])
        path.unlink()

    def stands_still(self) -> bool:
        return self.writer is not None and Path(f"/proc/{self.writer.pid}/stat").read_text().split()[2] in "tT"

    def is_stopped(self) -> bool:
        """Whether the one that writes does not go on, however much time it is given."""
        for _try in range(200):
            if not self.stands_still():
                return False
            time.sleep(0.01)
        return True

    def snapshot(self) -> None:
        self.before, self.inodes = tree(self.top), inodes(self.top)

    def end(self) -> None:
        self.close()
        if self.writer is not None:
            self.writer.kill()
            self.writer.wait()

    def close(self) -> None:
        for fd in self.sources.values():
            os.close(fd)


@contextmanager
def lost(situation: Situation, top: Path) -> Iterator[Lost]:
    shutil.rmtree(top, ignore_errors=True)
    top.mkdir()
    this = Lost(situation, top)
    this.folder.mkdir(parents=True)
    if situation.symlinked:
        (top / "way").symlink_to("real")
    with ExitStack() as stack:
        stack.callback(this.end)
        for name in ("tool", "second") if situation.second else ("tool",):
            this.make(name)
        if situation.replaced:
            (this.folder / "tool").write_bytes(b"newer")
        (top / FOLDER if situation.gone else this.folder).joinpath("neighbour").write_bytes(b"not to be touched")
        if situation.gone:
            this.folder.rmdir()
        this.snapshot()
        yield this


def state(path: Path | int) -> State:
    if isinstance(path, Path) and path.is_symlink():
        return State(stat.S_IFLNK, 0, 0, 0, 0, 0, os.readlink(path), ())
    result = os.stat(path)
    if stat.S_ISDIR(result.st_mode):
        return State(stat.S_IFDIR, stat.S_IMODE(result.st_mode), result.st_uid, result.st_gid, 0, 0, "", ())
    with open(path if isinstance(path, Path) else f"/proc/self/fd/{path}", "rb") as file:
        content = hashlib.sha256(file.read()).hexdigest()
    return State(
        stat.S_IFMT(result.st_mode),
        stat.S_IMODE(result.st_mode),
        result.st_uid,
        result.st_gid,
        result.st_mtime_ns,
        result.st_size,
        content,
        tuple(sorted((name, os.getxattr(path, name)) for name in os.listxattr(path))),
    )


def tree(top: Path) -> dict[str, State]:
    """Everything below it, by its name there."""
    return {str(path.relative_to(top)): state(path) for path in top.rglob("*")}


def inodes(top: Path) -> dict[str, int]:
    return {str(path.relative_to(top)): path.lstat().st_ino for path in top.rglob("*")}
