# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What this run of Ansible knows of its hosts as sources for each other, in a folder that ends with the run.

The hosts are worked on by processes of their own; files and their locks are what these have in common. With its first
answer each host says what it needs and what it has; each content is then read from one host only, whoever needs it.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO
from urllib.parse import quote, unquote

from ansible import constants

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests

Fields = Mapping[str, Any]

# Bytes of content that go in one module call; more goes in pieces of this size.
PIECE = 8 * 1024 * 1024

_PATH = ("path", "path_b64")

# What makes a host a source of what another needs, besides the path.
_BY_USER = ("checksum",)
_BY_PACKAGE = ("checksum", "package", "version", "architecture")
_OF_SYMLINKS = ("release", "package", "version", "architecture")

# As many hosts are named at most when nobody is a source.
_MOST = 5


class PeerCache:
    def __init__(self) -> None:
        # Ansible makes it for each run and removes it in the end, of whatever kind that is.
        self._top = os.path.join(constants.DEFAULT_LOCAL_TMP, "procfs-rescue")  # type: ignore[attr-defined]

    def note(self, host: str, results: Iterable[Fields], release: str | None = None) -> None:
        """Keeps what restore_file said of a host: what it offers, and what it needs.

        One that was asked for whole folders, and so did not say of each file whether it has it, gives its ``release``.
        """
        if release:
            self._write(self._path("may", _hash({"release": release}, ["release"]), quote(host, "")), b"")
        for result in results:
            if "needs" in result:
                self._write(self._path("needs", _key(result["needs"]), quote(host, "")), _json(result["needs"]))
            offers = result.get("offers", [])
            for offer in offers:
                self.keep_offer(host, offer)
            # For whoever finds no source: what this one has instead.
            has = {_hash(result, _PATH): None, **{_hash(offer, _PATH): offer for offer in offers}}
            for path, offer in has.items() if result["status"] != "failed" else ():
                self._write(self._path("has", path, quote(host, "")), _json(offer))

    def needs(self) -> list[dict[str, Any]]:
        """One of each kind of what the hosts need."""
        return [self._read("needs", key, self._names("needs", key)[0]) for key in self._names("needs")]

    def donors(self, host: str, need: Fields) -> list[str]:
        """Hosts that have what ``host`` needs, the one that it is to get it from first: the load is spread evenly."""
        key = _key(need)
        refused = self._names("refused", key)
        alive = [name for name in self._names("offer", key) if name not in refused and name != quote(host, "")]
        if not alive:
            return []
        needing = self._names("needs", key)
        number = needing.index(quote(host, "")) if quote(host, "") in needing else 0
        first = number % len(alive)
        return [unquote(name) for name in alive[first:] + alive[:first]]

    def offer(self, host: str, need: Fields) -> dict[str, Any]:
        return dict(self._read("offer", _key(need), quote(host, "")))

    def candidates(self, need: Fields) -> list[str]:
        """Hosts that may have what is needed, where none has said so."""
        known = {*self._names("needs", _key(need)), *self._names("refused", _key(need))}
        return [unquote(name) for name in self._names("may", _hash(need, ["release"])) if name not in known]

    def keep_offer(self, host: str, offer: Fields) -> None:
        self._write(self._path("offer", _key(offer), quote(host, "")), _json(offer))

    def refuse(self, host: str, need: Fields, why: str) -> None:
        """``host`` does not give what it offered."""
        self._write(self._path("refused", _key(need), quote(host, "")), _json(why))

    def why_none(self, host: str, need: Fields) -> list[str]:
        """What the others of this run have in place of what ``host`` needs."""
        key, path = _key(need), _hash(need, _PATH)
        why = [f"{unquote(name)}: {self._read('refused', key, name)}" for name in self._names("refused", key)]
        others = set(self._names("has", path)) - set(self._names("refused", key)) - {quote(host, "")}
        for name in sorted(others)[:_MOST]:
            why.append(f"{unquote(name)}: {_difference(self._read('has', path, name), need)}")  # noqa: PERF401
        return why[:_MOST]

    # Content.

    def content(self, need: Fields) -> str | None:
        """The path of what was fetched and proven."""
        path = self._path("content", _hash(need, _BY_USER))
        return path if os.path.exists(path) else None

    def packed(self, need: Fields) -> str | None:
        """The same as supply_file takes it, where it is not too large for that."""
        with suppress(FileNotFoundError), open(self._path("content", _hash(need, _BY_USER) + ".packed")) as file:
            return file.read()
        return None

    def read_from(self, need: Fields) -> str | None:
        """The host that it was read from."""
        with suppress(FileNotFoundError):
            return str(self._read("content", _hash(need, _BY_USER) + ".from"))
        return None

    @contextmanager
    def fetching(self, need: Fields) -> Iterator[bool]:
        """Whether it is for us to fetch the content; nobody else does meanwhile."""
        path = self._path("fetching", _hash(need, _BY_USER))
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        with open(path, "ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self.content(need) is None

    @contextmanager
    def new_content(self, need: Fields, host: str) -> Iterator[BinaryIO]:
        """A file that becomes the content if it has the digest that is needed. Raises RescueError."""
        path = self._path("content", _hash(need, _BY_USER))
        part = f"{path}.{os.getpid()}.part"
        os.makedirs(os.path.dirname(part), 0o700, exist_ok=True)
        try:
            with open(part, "w+b") as file:
                yield file
                file.flush()
                algorithm, _separator, digest = need["checksum"].partition(":")
                if digests(file.fileno(), [algorithm])[algorithm] != digest:
                    raise RescueError("what arrived has another digest")
                if file.tell() <= PIECE:
                    file.seek(0)
                    self._write(f"{path}.packed", base64.b64encode(zlib.compress(file.read())))
            self._write(f"{path}.from", _json(host))
            os.rename(part, path)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(part)

    def _path(self, *names: str) -> str:
        return os.path.join(self._top, *names)

    def _names(self, *folder: str) -> list[str]:
        try:
            return sorted(name for name in os.listdir(self._path(*folder)) if not name.endswith(".part"))
        except FileNotFoundError:
            return []

    def _read(self, *names: str) -> Any:
        with open(self._path(*names), "rb") as file:
            return json.load(file)

    def _write(self, path: str, content: bytes) -> None:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        part = f"{path}.{os.getpid()}.part"
        with open(part, "wb") as file:
            file.write(content)
        os.rename(part, path)


def _difference(has: Fields | None, need: Fields) -> str:
    if has is None:
        return "what it has there is nothing that its package or a checksum vouches for"
    if has["checksum"] is None and need["checksum"] is None and has["release"] != need["release"]:
        return f"it runs {has['release'] or 'an unknown release'}, not {need['release'] or 'a known release'}"
    if any(has[name] != need[name] for name in ("package", "version", "architecture")):
        return f"it has {_version(has)}, not {_version(need)}"
    return f"it has a file with {has['checksum'] or 'no digest'} there, not with {need['checksum'] or 'none'}"


def _version(fields: Fields) -> str:
    if not fields["package"]:
        return "no package with that path"
    return f"{fields['package']} {fields['version']} {fields['architecture']}"


def _key(fields: Fields) -> str:
    """The same for what a host needs and for what is a source of it."""
    if fields["checksum"] is None:
        return _hash(fields, _PATH + _OF_SYMLINKS)
    return _hash(fields, _PATH + (_BY_PACKAGE if fields["checksum_by"] == "package" else _BY_USER))


def _hash(fields: Fields, names: Iterable[str]) -> str:
    """Paths may be longer than a name, and have any bytes in them."""
    return hashlib.sha256(_json([fields.get(name) for name in names])).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value).encode("ascii")
