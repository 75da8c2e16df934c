# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One file that is lost on a host in one of many ways, and what must be there in the end."""

from __future__ import annotations

import base64
import os
import random
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from faults.situations import State, inodes, state, tree
from fleet import Host

TOP = "srv/soak"
SLEEP = "/usr/bin/sleep"
# The holder is the process that runs when it prints its line: killed, it lets go of the file.
OPEN = 'exec 3<"$1"; echo; exec sleep 10000'
MAP = """
import mmap, os, sys, time
fd = os.open(sys.argv[1].encode("utf-8", "surrogateescape"), os.O_RDONLY)
mapped = mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
os.closerange(3, 100)
print(flush=True)
time.sleep(10000)
"""
USER = 2000
# What shells, templates, logs and link texts could take for something else.
HOSTILE = (
    *(
        b"{{ 6*7 }}",
        b"{% raw %}",
        b"$(reboot)",
        b"`reboot`",
        b"; rm -rf",
        b"'",
        b'"',
        b"\\012",
        b"\\",
        b"*",
        b"~",
        b"!",
    ),
    *(b"\n", b"\t", b"\r", b"\x1b[2J", b"\x7f", b"\xff\xfe", b"\xc3", "\u202e".encode(), "e\u0301".encode(), b" "),
    *(
        b" (deleted)",
        b" (deleted) (deleted)",
        b";5f3a2b1c",
        b".nfs",
        b"..",
        b"-rf",
        b"%s",
        b"null",
        b"\xf0\x9f\x92\xbe",
    ),
)
KINDS = (
    *("regular", "empty", "executable", "library", "sparse", "twin", "tmpfs", "setuid", "attributes", "large"),
    *("replaced", "backup", "newer", "copied", "symlinked", "generations", "several", "users"),
)
# As the kernel takes them: u::rw- u:2001:r-- g::r-- m::r-- o::---, and cap_net_raw+ep.
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in ((1, 6, 2**32 - 1), (2, 4, 2001), (4, 4, 2**32 - 1), (16, 4, 2**32 - 1), (32, 0, 2**32 - 1))
)
NET_RAW = struct.pack("<IIIII", 0x02000001, 1 << 13, 0, 0, 0)


def hostile_name(chance: random.Random, longest: int) -> bytes:
    """Any bytes but NUL and slash."""
    parts = [
        chance.choice(HOSTILE) if chance.random() < 0.6 else b"%x" % chance.getrandbits(32)
        for _part in range(chance.randint(1, 4))
    ]
    name = b"".join(parts)
    if chance.random() < 0.05:
        name = name.ljust(longest, b"x")
    return b"x" if name in (b".", b"..") else name


class Named(NamedTuple):
    """A lost file: ``source`` is kept open here, on the machine, where the host's modules cannot see it."""

    name: bytes
    source: int
    original: State
    blocks: int


class Lost:
    """What round ``number`` takes from ``host``: all of it from ``chance``, so that a seed tells it."""

    def __init__(self, host: Host, number: int, kind: str, chance: random.Random) -> None:
        self.host, self.kind, self.chance = host, kind, chance
        self.inner = Path(TOP, "tmpfs" if kind == "tmpfs" else "", str(number))
        self.top = host.root() / self.inner
        self.files: list[Named] = []
        self.holders: list[subprocess.Popen[bytes]] = []
        self.checksums = kind in ("setuid", "generations") or chance.random() < 0.2
        self.options: dict[str, Any] = {}
        self.top.mkdir()
        self.folder = self.top / "folder"
        self.folder.mkdir()
        owner = USER if kind == "users" else 0
        os.chown(self.folder, owner, owner)
        if kind == "symlinked":
            (self.top / "way").symlink_to("folder")
        neighbour = self.folder / "neighbour"
        neighbour.write_bytes(b"not to be touched")
        longest = 200 if kind == "backup" else 255  # its name is longer
        for name in {
            hostile_name(chance, longest) for _name in range(chance.randint(2, 5) if kind == "several" else 1)
        }:
            self._lose(name)
        self._after()
        self.before, self.numbers = tree(self.top), inodes(self.top)

    def path(self, name: bytes) -> Path:
        return self.folder / os.fsdecode(name)

    def inside(self, name: bytes) -> bytes:
        """The path that the host knows it by."""
        return os.fsencode(Path("/", self.inner, "folder", os.fsdecode(name)))

    def asked(self) -> list[dict[str, Any]]:
        """``files`` of the module."""
        asked = []
        for file in self.files:
            way = Path("/", self.inner, "way" if self.kind == "symlinked" else "folder", os.fsdecode(file.name))
            one = {"path_b64": base64.b64encode(os.fsencode(way)).decode()}
            if self.checksums:
                one["checksum"] = f"sha256:{file.original.content}"
            if self.kind == "copied":
                one["dest"] = str(Path("/", self.inner, "folder", "copy"))
            asked.append(one)
        return asked

    def wanted(self) -> dict[str, tuple[State, int]]:
        """What is to be there in the end and how many blocks it may take, by its path below ``top``."""
        if self.kind == "newer":
            return {}
        if self.kind == "copied":
            (file,) = self.files
            return {"folder/copy": (file.original._replace(uid=7, gid=8, mode=0o604, xattrs=()), file.blocks)}
        return {f"folder/{os.fsdecode(file.name)}": (file.original, file.blocks) for file in self.files}

    def held(self) -> list[int]:
        """Device and inode of the first file."""
        found = os.fstat(self.files[0].source)
        return [found.st_dev, found.st_ino]

    def let_go(self) -> None:
        for holder in self.holders:
            holder.kill()
            holder.wait()

    def end(self) -> None:
        self.let_go()
        for file in self.files:
            os.close(file.source)
        shutil.rmtree(self.top)

    def _lose(self, name: bytes) -> None:
        path = self.path(name)
        if self.kind == "generations":  # an older file of this name, which somebody still holds
            path.write_bytes(b"older")
            self._hold(name)
            path.unlink()
        self._fill(path)
        os.chown(path, USER if self.kind == "users" and self.chance.random() < 0.5 else 0, self.chance.choice((0, 12)))
        path.chmod(self._mode())
        for attribute, value in self._attributes():
            os.setxattr(path, attribute, value)
        times = [self.chance.randrange(10**18, 17 * 10**17) for _time in "am"]
        os.utime(path, ns=(times[0], times[1]))
        source = os.open(path, os.O_RDONLY)
        self.files.append(Named(name, source, state(source), os.fstat(source).st_blocks))
        if self.kind == "twin":
            os.link(path, self.folder / "twin")
        self._hold(name)
        path.unlink()

    def _fill(self, path: Path) -> None:
        if self.kind == "executable":
            shutil.copyfile(SLEEP, path)
            return
        with open(path, "wb") as file:
            if self.kind == "empty":
                return
            if self.kind == "sparse":
                for _extent in range(self.chance.randint(1, 4)):
                    file.seek(self.chance.randrange(1 << 23))
                    file.write(self.chance.randbytes(self.chance.randrange(20_000)))
                file.truncate(self.chance.randrange(1 << 23, 1 << 24))
            else:
                most = 1 << 23 if self.kind == "large" else 1 << 16
                file.write(self.chance.randbytes(self.chance.randrange(1, most)))

    def _mode(self) -> int:
        if self.kind == "executable":
            return 0o755
        return (
            0o4755 if self.kind == "setuid" else self.chance.choice((0o600, 0o644, 0o640, 0o444, 0o755, 0o000, 0o660))
        )

    def _attributes(self) -> list[tuple[str, bytes]]:
        if self.kind == "setuid":
            return [("security.capability", NET_RAW)] if self.chance.random() < 0.5 else []
        if self.kind != "attributes":
            return []
        return [("user.note", self.chance.randbytes(20)), ("trusted.note", b""), ("system.posix_acl_access", ACL)]

    def _hold(self, name: bytes) -> None:
        path = self.inside(name)
        if self.kind == "executable":
            self.holders.append(self.host.spawn([path, b"10000"]))
            return
        command: list[str | bytes] = ["sh", "-c", OPEN, "sh"]
        if self.kind == "library" or (self.kind in ("regular", "attributes", "large") and self.chance.random() < 0.2):
            command = ["python3", "-I", "-S", "-c", MAP]
        holder = self.host.spawn([*command, path], stdout=subprocess.PIPE)
        self.holders.append(holder)
        assert holder.stdout is not None
        with holder.stdout:
            if holder.stdout.readline() != b"\n":
                raise RuntimeError(f"nobody holds {path!r}")

    def _after(self) -> None:
        """What is there when the rescue comes, and how it is asked."""
        if self.kind in ("replaced", "backup", "newer"):
            self.path(self.files[0].name).write_bytes(b"newer")
        if self.kind in ("replaced", "backup"):
            self.options["force"] = True
        if self.kind == "backup":
            self.options["backup"] = True
        if self.kind == "copied":
            self.options.update(owner="7", group="8", mode="0604")
