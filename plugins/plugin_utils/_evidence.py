# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The folder that evidence is collected in: each content once, under its digest, a manifest for each host, a seal."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, BinaryIO

from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import (
    BusyError,
    DifferentError,
    LocalFile,
    components,
)

# Nobody is to change it.
_READ_ONLY = 0o400

SEAL = b"SHA256SUMS"


class Evidence:
    def __init__(self, dest: bytes) -> None:
        self.dest = dest

    def content(self, sha256: str, size: int, write: Callable[[BinaryIO], None]) -> tuple[str, bool]:
        """The name of the content below the folder, and whether it was written now; ``write`` must write just that.

        Several processes may want the same: one writes, the others wait. What was written when one is killed is used
        by the next.
        """
        names = [b"content", sha256.encode("ascii")]
        local = LocalFile(self.dest, names)
        name = "/".join(os.fsdecode(part) for part in names)
        while not _is_there(local, size):
            try:
                with local.written(_READ_ONLY, resume=True) as file:
                    if _is_there(local, size):  # since the look before
                        raise DifferentError("it is there")
                    write(file)
                return name, True
            except BusyError:
                time.sleep(0.2)
            except DifferentError:
                if not _is_there(local, size):
                    raise
        return name, False

    def manifest(self, host: str, records: Iterable[dict[str, Any]]) -> str:
        """Writes the manifest of a host, JSON lines; gives its name below the folder."""
        file_name = os.fsencode(host.replace("/", "%2F")) + b".jsonl"
        names = [b"hosts", *components(file_name)]
        with LocalFile(self.dest, names).written(_READ_ONLY) as file:
            file.writelines(json.dumps(record, sort_keys=True).encode("ascii") + b"\n" for record in records)
        return "/".join(os.fsdecode(name) for name in names)

    def seal(self) -> int:
        """Writes the digest of every file below the folder, as ``sha256sum -c`` reads it; gives how many there are."""
        names = sorted(_names(self.dest))
        with LocalFile(self.dest, [SEAL]).written() as file:
            for name in names:
                file.write(_line(self.dest, name))
        return len(names)


def _is_there(local: LocalFile, size: int) -> bool:
    try:
        return os.lstat(local.path).st_size == size
    except FileNotFoundError:
        return False


def _names(top: bytes) -> Iterator[bytes]:
    for folder, _folders, files in os.walk(top):
        for name in files:
            path = os.path.relpath(os.path.join(folder, name), top)
            if path != SEAL and not name.startswith(b".procfs-rescue."):
                yield path


def _line(top: bytes, name: bytes) -> bytes:
    fd = os.open(os.path.join(top, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        digest = digests(fd, ["sha256"])["sha256"].encode("ascii")
    finally:
        os.close(fd)
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != name else b"") + digest + b"  " + escaped + b"\n"
