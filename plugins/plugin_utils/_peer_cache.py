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
import shutil
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote, unquote

from ansible import constants

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields
from ansible_collections.procfs.rescue.plugins.module_utils._needs import need_fields, need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import offer_fields, offer_from
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests

Fields = Mapping[str, Any]

# Bytes of content that go in one module call; more goes in pieces of this size.
PIECE = 8 * 1024 * 1024

# Of one content no more is kept, nor more than half of what is free.
LARGEST = 16 * 1024**3

_PATH = ("path", "path_b64")

# What makes a host a source of what another needs, besides the path.
_BY_USER = ("checksum",)
_BY_PACKAGE = ("checksum", "package", "version", "architecture", "manager")
_OF_SYMLINKS = ("release", "package", "version", "architecture", "manager")

# As many hosts are named at most when nobody is a source, and so much of what each of them says.
_MOST = 5
_LONGEST = 500


def need_said(fields: Any) -> dict[str, Any]:
    """What a host says that it needs, and nothing else that it says: others are asked for it. Raises RescueError."""
    if not isinstance(fields, Mapping):
        raise RescueError("its needs could not be read")
    return need_fields(need_from(dict(fields)))


def offer_said(fields: Any) -> dict[str, Any]:
    """The same of what it has: who needs that is given the offer. Raises RescueError."""
    need, offer = need_said(fields), offer_from(dict(fields))
    if (need["checksum"] is None) != (offer.leads_to is not None):
        raise RescueError("its offer is neither a file with a digest nor a symlink")
    return {**need, **offer_fields(offer)}


class PeerCache:
    def __init__(self) -> None:
        # Ansible makes it for each run and removes it in the end, of whatever kind that is.
        self._top = os.path.join(constants.DEFAULT_LOCAL_TMP, "procfs-rescue")  # type: ignore[attr-defined]

    def note(self, host: str, results: Any, release: str | None = None) -> None:
        """Keeps what restore_file said of a host: what it offers, and what it needs.

        One that was asked for whole folders, and so did not say of each file whether it has it, gives its ``release``.
        """
        if release:
            self._write(self._path("may", _hash({"release": release}, ["release"]), quote(host, "")), b"")
        self._write(self._path("told", quote(host, "")), b"")
        for result in _fields(results):
            with suppress(RescueError):  # what is not of the expected form is neither needed nor had
                self._note(host, result)

    def _note(self, host: str, result: dict[str, Any]) -> None:
        if "needs" in result:
            need = need_said(result["needs"])
            self._write(self._path("needs", _key(need), quote(host, "")), _json(need))
        # For whoever finds no source: what this one has instead.
        has: dict[str, Fields | None] = {_hash(path_fields(path_bytes(result) or b""), _PATH): None}
        for said in _fields(result.get("offers")):
            with suppress(RescueError):
                offer = offer_said(said)
                self.keep_offer(host, offer)
                has[_hash(offer, _PATH)] = offer
        for path, offer_there in has.items() if result.get("status") != "failed" else ():
            self._write(self._path("has", path, quote(host, "")), _json(offer_there))

    def needs(self) -> list[dict[str, Any]]:
        """One of each kind of what the hosts need."""
        first = ((key, name) for key in self._names("needs") for name in self._names("needs", key)[:1])
        return [self._read("needs", key, name) for key, name in first]

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

    def candidates(self, need: Fields, hosts: Iterable[str] = ()) -> list[str]:
        """Hosts that may have what is needed, where none has said so; of ``hosts`` those that said nothing yet."""
        known = {*self._names("needs", _key(need)), *self._names("refused", _key(need))}
        may = [*self._names("may", _hash(need, ["release"])), *(quote(host, "") for host in self.silent(hosts))]
        return [unquote(name) for name in may if name not in known]

    def silent(self, hosts: Iterable[str]) -> list[str]:
        told = self._names("told")
        return [host for host in hosts if quote(host, "") not in told]

    def keep_offer(self, host: str, offer: Fields) -> None:
        """``offer`` is as `offer_said` gives it."""
        self._write(self._path("offer", _key(offer), quote(host, "")), _json(offer))

    def refuse(self, host: str, need: Fields, why: str) -> None:
        """``host`` does not give what it offered."""
        self._write(self._path("refused", _key(need), quote(host, "")), _json(why[:_LONGEST]))

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

    def keep_content(self, need: Fields, host: str, size: int, pieces: Iterable[bytes]) -> None:
        """Keeps the ``pieces`` if they are no more than ``size`` and have the digest that is needed.

        It is ``host`` that says how much there is to come: it must not fill the controller's disk. Raises RescueError.
        """
        path = self._path("content", _hash(need, _BY_USER))
        folder = os.path.dirname(path)
        os.makedirs(folder, 0o700, exist_ok=True)
        most = min(LARGEST, shutil.disk_usage(folder).free // 2)
        if size > most:
            raise RescueError(f"it offers {size} bytes, and {folder} on the controller takes {most} at most")
        part = self._part()
        try:
            with open(part, "w+b") as file:
                for piece in pieces:
                    if file.tell() + len(piece) > size:
                        raise RescueError("it gave more than it had said", ["checksum_differs"])
                    file.write(piece)
                file.flush()
                algorithm, _separator, digest = need["checksum"].partition(":")
                if digests(file.fileno(), [algorithm])[algorithm] != digest:
                    raise RescueError("what arrived has another digest", ["checksum_differs"])
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
            return sorted(os.listdir(self._path(*folder)))
        except FileNotFoundError:
            return []

    def _read(self, *names: str) -> Any:
        with open(self._path(*names), "rb") as file:
            return json.load(file)

    def _write(self, path: str, content: bytes) -> None:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        part = self._part()
        with open(part, "wb") as file:
            file.write(content)
        os.rename(part, path)

    def _part(self) -> str:
        """Of a file that is being written: not where others look for whole ones, whose names are those of hosts."""
        folder = self._path("parts")
        os.makedirs(folder, 0o700, exist_ok=True)
        number, path = tempfile.mkstemp(dir=folder)
        os.close(number)
        return path


def _fields(said: Any) -> list[dict[str, Any]]:
    """What a host gave in place of a list of dictionaries, as one."""
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []


def _difference(has: Fields | None, need: Fields) -> str:
    if has is None:
        return "what it has there is nothing that its package or a checksum vouches for"
    if has["checksum"] is None and need["checksum"] is None and has["release"] != need["release"]:
        return f"it runs {has['release'] or 'an unknown release'}, not {need['release'] or 'a known release'}"
    if any(has[name] != need[name] for name in ("package", "version", "architecture")):
        return f"it has {_version(has)}, not {_version(need)}"
    if has["manager"] != need["manager"]:
        return f"it has {_version(has)} of {has['manager']}, not {_version(need)} of {need['manager']}"
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
