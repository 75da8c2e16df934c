# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The folder that evidence is collected in: each content once, under its digest, a manifest for each host, a seal."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, BinaryIO

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import (
    BusyError,
    DifferentError,
    LocalFile,
    components,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress

# Nobody is to change it.
_READ_ONLY = 0o400

# Seconds to wait for others who write a content, and of whom nothing arrives.
_PATIENCE = 600.0

SEAL = b"SHA256SUMS"
_RUN = b"run.json"

_IS_THERE = "it is there"


class Evidence:
    def __init__(self, dest: bytes) -> None:
        self.dest = dest

    def check(self, host: str) -> None:
        """Before anything is asked of the host. Raises RescueError where evidence of an earlier run would be lost."""
        for names, what in (([SEAL], "It was sealed"), (_manifest(host), f"There is a manifest of {host}")):
            if os.path.lexists(os.path.join(self.dest, *names)):
                raise RescueError(
                    f"Nothing was collected. {what} in {printable(self.dest)}, by an earlier run: give another dest."
                )

    def has(self, sha256: str, size: int) -> bool:
        return _is_there(self._content(sha256), size)

    @contextmanager
    def written(self, sha256: str, size: int) -> Iterator[BinaryIO]:
        """A file for the content, which gets its name at the end. What was written when one is killed is used by the
        next. Raises BusyError where somebody else writes it, DifferentError where it is there by now."""
        with ExitStack() as stack:
            file = stack.enter_context(self._content(sha256).written(_READ_ONLY, resume=True))
            if self.has(sha256, size):  # since the look before
                raise DifferentError(_IS_THERE)
            yield file

    def content(self, sha256: str, size: int, write: Callable[[BinaryIO], None]) -> bool:
        """Whether the content was written now; ``write`` must write just that.

        Several processes may want the same: one writes, the others wait. Raises RescueError where nothing moves.
        """
        local, arrived, since = self._content(sha256), -1, time.monotonic()
        while not self.has(sha256, size):
            try:
                with self.written(sha256, size) as file:
                    write(file)
                return True
            except BusyError:
                if arrived != local.arrived():
                    arrived, since = local.arrived(), time.monotonic()
                elif time.monotonic() - since > _PATIENCE:
                    raise
                time.sleep(0.2)
            except DifferentError:
                if not self.has(sha256, size):
                    raise
        return False

    def _content(self, sha256: str) -> LocalFile:
        return LocalFile(self.dest, [b"content", _hexadecimal(sha256).encode("ascii")])

    def manifest(self, host: str, records: Iterable[dict[str, Any]]) -> str:
        """Writes the manifest of a host, JSON lines; gives its name below the folder. Raises RescueError where there is
        one."""
        names = _manifest(host)
        local = LocalFile(self.dest, names)
        if os.path.lexists(local.path):
            raise RescueError(f"There is {printable(local.path)}, which is not replaced: give another dest.")
        with local.written(_READ_ONLY) as file:
            file.writelines(json.dumps(record, sort_keys=True).encode("ascii") + b"\n" for record in records)
        return "/".join(os.fsdecode(name) for name in names)

    def record(self, run: dict[str, Any]) -> None:
        """Writes who was asked, and who answered what."""
        with LocalFile(self.dest, [_RUN]).written(_READ_ONLY) as file:
            file.write(json.dumps(run, sort_keys=True, indent=1).encode("ascii") + b"\n")

    def check_unsealed(self) -> None:
        """Raises RescueError where there is nothing to seal, or a seal."""
        if os.path.lexists(os.path.join(self.dest, SEAL)):
            raise RescueError(f"{printable(self.dest)} was sealed by an earlier run: give another dest.")
        if not os.path.isdir(os.path.join(self.dest, b"hosts")):
            raise RescueError("Nothing was collected from any host, so that there is nothing to seal.")

    def seal(self, progress: Progress) -> int:
        """Writes the digest of every file below the folder, as ``sha256sum -c`` reads it; gives how many there are.

        Raises RescueError where a content is not what its name says.
        """
        sizes = {name: os.lstat(os.path.join(self.dest, name)).st_size for name in sorted(_names(self.dest))}
        progress.begins(f"digests of {len(sizes)} files", sum(sizes.values()))
        found = {}
        done = 0
        for name, size in sizes.items():
            progress.at(done)
            found[name] = _digest(self.dest, name)
            done += size
        wrong = [name for name in found if name.startswith(b"content/") and name[8:] != found[name].encode("ascii")]
        if wrong:
            raise RescueError(
                f"Not sealed: {', '.join(map(printable, wrong))} in {printable(self.dest)} is not what its name, the "
                "sha256 of its content, says: somebody changed it. Move it elsewhere, and collect anew."
            )
        with LocalFile(self.dest, [SEAL]).written() as file:
            file.writelines(_line(name, digest) for name, digest in found.items())
        return len(found)


def _manifest(host: str) -> list[bytes]:
    return [b"hosts", *components(os.fsencode(host.replace("/", "%2F")) + b".jsonl")]


def _hexadecimal(sha256: Any) -> str:
    """It becomes a name here."""
    if not isinstance(sha256, str) or re.fullmatch("[0-9a-f]{64}", sha256) is None:
        raise RescueError("the host gave something else than a digest")
    return sha256


def _is_there(local: LocalFile, size: int) -> bool:
    """By its name and size; `Evidence.seal` reads it."""
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


def _digest(top: bytes, name: bytes) -> str:
    fd = os.open(os.path.join(top, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return digests(fd, ["sha256"])["sha256"]
    finally:
        os.close(fd)


def _line(name: bytes, digest: str) -> bytes:
    escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
    return (b"\\" if escaped != name else b"") + digest.encode("ascii") + b"  " + escaped + b"\n"
