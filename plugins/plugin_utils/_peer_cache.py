# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What this run of Ansible knows of its hosts as sources for each other, in a folder that ends with the run.

The hosts are worked on by processes of their own; files and their locks are what these have in common. Each content is
read from one host only, whoever needs it, and each host that may offer it is asked once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from ansible import constants

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests

Fields = Mapping[str, Any]

# What makes two hosts need the same.
_SAME = ("path", "path_b64", "checksum", "package", "version", "architecture", "release")

# As many are asked for one host at most.
MOST = 5


class PeerCache:
    def __init__(self) -> None:
        # Ansible makes it for each run and removes it in the end, of whatever kind that is.
        self._top = os.path.join(constants.DEFAULT_LOCAL_TMP, "procfs-rescue")  # type: ignore[attr-defined]

    # What restore_file said of each host.

    def note(self, host: str, asked: Iterable[Any], results: Iterable[Fields]) -> None:
        """Keeps who has which files alive, under the names that were asked for, too; and who needs some."""
        for name, result in zip(asked, results, strict=False):
            if result["status"] in ("restored", "restorable", "present"):
                for path in (str(name), result["path"]):
                    self._write(self._path("alive", _name(path), quote(host, "")), b"")
            elif "needs" in result:
                self._write(self._path("needs", _name(result["path"]), quote(host, "")), b"")

    def donors(self, host: str, path: str) -> list[str]:
        """Hosts that may have ``path`` alive, in the order in which ``host`` asks them: the load is spread evenly."""
        alive = [name for name in self._hosts("alive", path) if name != host]
        if not alive:
            return []
        needing = self._hosts("needs", path)
        number = needing.index(host) if host in needing else 0
        first = number % len(alive)
        others = alive[first + 1 :] + alive[:first]
        turn = number // len(alive) % max(len(others), 1)
        return [alive[first], *others[turn:], *others[:turn]][:MOST]

    def _hosts(self, what: str, path: str) -> list[str]:
        try:
            names = os.listdir(self._path(what, _name(path)))
        except FileNotFoundError:
            return []
        return sorted(unquote(name) for name in names if not name.endswith(".part"))

    # What they offer.

    def offer(self, host: str, need: Fields) -> dict[str, Any] | None:
        """What ``host`` answered: an ``offer``, or why it has none in ``msg``; None before it was asked."""
        with suppress(FileNotFoundError), open(self._path("offers", _key(need), quote(host, "")), "rb") as file:
            answer: dict[str, Any] = json.load(file)
            return answer
        return None

    def is_offered(self, host: str, need: Fields) -> bool:
        """Whether one that ``host`` would ask has offered it."""
        return any("offer" in (self.offer(name, need) or {}) for name in self.donors(host, str(need["path"])))

    def keep_offer(self, host: str, need: Fields, answer: Fields) -> None:
        kept = {name: value for name, value in answer.items() if name != "content"}
        self._write(self._path("offers", _key(need), quote(host, "")), json.dumps(kept).encode())

    @contextmanager
    def asking(self, host: str) -> Iterator[None]:
        """Nobody else asks this host meanwhile."""
        with self._locked(self._path("asking", quote(host, "")), fcntl.LOCK_EX):
            yield

    # Content.

    def content(self, need: Fields) -> str | None:
        """The path of what was fetched and proven."""
        path = self._path("content", _key(need))
        return path if os.path.exists(path) else None

    @contextmanager
    def fetching(self, need: Fields, wait: bool) -> Iterator[bool]:
        """Whether it is for us to fetch the content, nobody else does meanwhile."""
        try:
            with self._locked(self._path("fetching", _key(need)), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)):
                yield self.content(need) is None
        except BlockingIOError:
            yield False

    @contextmanager
    def new_content(self, need: Fields) -> Iterator[BinaryIO]:
        """A file that becomes the content if it has the digest that is needed. Raises RescueError."""
        path = self._path("content", _key(need))
        part = f"{path}.{os.getpid()}.part"
        os.makedirs(os.path.dirname(part), 0o700, exist_ok=True)
        try:
            with open(part, "w+b") as file:
                yield file
                file.flush()
                algorithm, _separator, digest = need["checksum"].partition(":")
                if digests(file.fileno(), [algorithm])[algorithm] != digest:
                    raise RescueError("what arrived has another digest")
            os.rename(part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)

    def _path(self, *names: str) -> str:
        return os.path.join(self._top, *names)

    def _write(self, path: str, content: bytes) -> None:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        part = f"{path}.{os.getpid()}.part"
        with open(part, "wb") as file:
            file.write(content)
        os.rename(part, path)

    @contextmanager
    def _locked(self, path: str, operation: int) -> Iterator[None]:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "ab") as file:
            fcntl.flock(file, operation)
            yield


def _name(path: str) -> str:
    """A path may be longer than a name, and has any bytes in it."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()


def _key(need: Fields) -> str:
    return hashlib.sha256(json.dumps([need.get(name) for name in _SAME]).encode()).hexdigest()
