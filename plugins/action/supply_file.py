# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts lost files back from what peers offered, or lets the host take them out of its packages."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import Terms
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_fields
from ansible_collections.procfs.rescue.plugins.module_utils._needs import need_fields, need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import offer_from
from ansible_collections.procfs.rescue.plugins.module_utils._report import diff_of
from ansible_collections.procfs.rescue.plugins.module_utils._supply import Delivery, new_draft, supply
from ansible_collections.procfs.rescue.plugins.module_utils._supply_task import (
    SUPPLY_SPEC,
    failed,
    held,
    in_order,
    no_peer,
    of_peers,
    summed_up,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PIECE, PeerCache, need_said
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job, as_program
from ansible_collections.procfs.rescue.plugins.plugin_utils._results import merged, needs_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

_NOBODY = (
    "no other host of this run has it, or has said so yet; with --limit or in a slice only its own hosts are asked"
)

# Peers that are tried for a file at most, and in what they differ, since they have the same content.
_PEERS = 5
_METADATA = ("mode", "owner", "group", "xattrs", "leads_to", "folders")

_display = Display()

Fields = dict[str, Any]


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Fields | None = None) -> Fields:
        result: Fields = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._cache = PeerCache()
        self._options = self.validate_argument_spec(**SUPPLY_SPEC)[1]
        before, looked = self._options["found"], self._options["looked"]
        if before is not None:
            self._options["files"] = needs_of(before, looked)
        try:
            found = self._supplied()
        except RescueError as error:
            found = {"failed": True, "msg": DO_NOT + str(error)}
        except AnsibleError as error:
            is_unreachable = isinstance(error, AnsibleConnectionFailure)
            found = {"unreachable" if is_unreachable else "failed": True, "msg": str(error)}
        if self._task.diff and "files" in found:
            result["diff"] = diff_of(found["files"])
        if before is not None:
            # What was only looked at is missing, unless a process may be its source.
            missing = {
                _path(need) for need in self._options["files"] if looked and "process" not in self._options["sources"]
            }
            # Also where it did not answer: what came back before is not forgotten.
            gone = {"unreachable": True, "failed": False} if found.get("unreachable") else {}
            found = dict(merged(before, found, missing), changed=found.get("changed", False), **gone)
        return dict(result, **found)

    def _supplied(self) -> Fields:
        needs: list[Fields] = self._options["files"]
        sources: list[str] = self._options["sources"]
        files = [self._file(need) if "peer" in sources else need for need in needs]
        if not files:
            return summed_up([])
        if not {"process", "package"}.intersection(sources) and not any("offer" in file for file in files):
            return summed_up([no_peer(file) for file in files] if sources else [])
        batches, large = _batches(files)

        def by_module(found: Fields) -> Fields:
            if "files" not in found:
                return found
            results = found["files"] + [result for batch in batches[1:] for result in self._called(batch)]
            results += [self._large(file) for file in large]
            order = {_path(need): number for number, need in enumerate(needs)}
            results.sort(key=lambda result: order[_path(result)])
            more: Fields = {name: found[name] for name in ("warnings", "deprecations") if name in found}
            return dict(more, **summed_up([self._with_reader(result) for result in results]))

        def over_sftp(host: Host) -> Fields:
            results = in_order(files, sources, partial(self._over_sftp, host))
            return summed_up([self._with_reader(result) for result in results])

        args = self._arguments(batches[0])
        return answer(self, self._options["transport"], args, self._vars, over_sftp, by_module, self._job(args))

    def _file(self, need: Fields) -> Fields:
        """The need with the ``offer`` of a peer, whose it is (``by``), and its content, or why there is none.

        ``others`` are those of peers that have it with another mode, owner or the like: one may have spoilt its mode.
        """
        host, known = str(self._vars.get("inventory_hostname")), need_said(need)
        is_read = known["checksum"] is not None and not self._task.check_mode
        content = self._cache.content(known) if is_read else None
        offers: list[Fields] = []
        given: list[list[Any]] = []
        for peer in self._cache.donors(host, known):
            if is_read and content is None:
                self._cache.refuse(peer, known, "its content did not arrive")
                continue
            offer = self._cache.offer(peer, known)
            metadata = [offer[name] for name in _METADATA]
            if metadata in given:
                continue
            given.append(metadata)
            # Its digest is proven; what the peer says of its size is not.
            size = offer["size"] if content is None else os.path.getsize(content)
            offers.append({"offer": dict(offer, size=size), "by": f"peer {peer}"})
        if not offers:
            why = "; ".join(self._cache.why_none(host, known)) or _NOBODY
            return dict(need, no_peer=f"No peer is a source for {need['path']}: {why}.")
        file = dict(need, **offers[0], others=offers[1:_PEERS], size=0)
        if content is not None:
            file.update(content=self._cache.packed(known), size=os.path.getsize(content), from_file=content)
        return file

    def _arguments(self, files: list[Fields]) -> Fields:
        names = ("sources", "accept", "parents", "try_start")
        hidden = ("from_file", "size")
        told = [{name: value for name, value in file.items() if name not in hidden} for file in files]
        return dict({name: self._options[name] for name in names}, files=told)

    def _job(self, arguments: Fields) -> Job:
        return Job("supply", arguments, self._task.check_mode, self._task.diff)

    def _called(self, files: list[Fields]) -> list[Fields]:
        arguments = self._arguments(files)
        with as_program(self, self._job(arguments)):
            found = self._execute_module(module_args=arguments, task_vars=self._vars)
        if "files" in found:
            return list(found["files"])
        return [failed(need_from(file), str(found.get("msg", "The host gave no answer.")), []) for file in files]

    def _large(self, file: Fields) -> Fields:
        """Piece by piece into a hidden folder beside its place, then under its name."""
        token = secrets.token_hex(8)
        offset, began = 0, time.monotonic()
        for piece in _content(file["from_file"]):
            staged = dict(path_fields(need_from(file).path), token=token, offset=offset)
            staged["size"] = os.path.getsize(file["from_file"])
            staged["content"] = base64.b64encode(piece).decode("ascii")
            arguments = dict(self._arguments([]), files=[{"stage": staged}])
            found = self._execute_module(module_args=arguments, task_vars=self._vars)
            if found.get("failed"):
                why = str(found.get("msg", "The host gave no answer.")).removeprefix(DO_NOT)
                (result,) = self._called([dict(need_fields(need_from(file)), no_peer=why)])
                return result
            offset += len(piece)
        (result,) = self._called([dict(file, token=token)])
        return dict(result, seconds=round(time.monotonic() - began, 3))

    def _over_sftp(self, host: Host, source: str, files: list[Fields]) -> list[Fields]:
        options = self._options
        terms = Terms(
            options["accept"],
            check_mode=self._task.check_mode,
            parents=options["parents"],
            try_start=options["try_start"],
        )

        def log(line: str) -> None:
            _display.v(line, host=self._vars.get("inventory_hostname"))

        if source == "process":
            return held(files, terms, log, host)
        if source == "package":
            why = "%s: its package cannot be unpacked over SFTP."
            return [failed(need_from(file), why % file["path"], ["no_package"]) for file in files]
        return [of_peers(file, lambda one: supply(self._delivery(one, host), terms, log, host)) for file in files]

    def _delivery(self, file: Fields, host: Host) -> Delivery:
        content = partial(_content, file.get("from_file"))
        return Delivery(need_from(file), offer_from(file["offer"]), content, file["by"], partial(new_draft, host))

    def _with_reader(self, result: Fields) -> Fields:
        """With whom the content was read from, where that is another one of those who have it."""
        source = result.get("source") or {}
        need = next((need for need in self._options["files"] if _path(need) == _path(result)), None)
        read_from = self._cache.read_from(need) if "peer" in source and need and need["checksum"] else None
        if read_from in (None, source.get("peer")):
            return result
        return dict(result, source=dict(source, read_from=read_from))


def _path(fields: Fields) -> str:
    return str(fields.get("path_b64", fields["path"]))


def _batches(files: list[Fields]) -> tuple[list[list[Fields]], list[Fields]]:
    """What goes in one call each, and what is too large for that."""
    batches: list[list[Fields]] = [[]]
    large: list[Fields] = []
    room = PIECE
    for file in files:
        size = file.get("size", 0)
        if size > PIECE:
            large.append(file)
            continue
        if size > room:
            batches.append([])
            room = PIECE
        batches[-1].append(file)
        room -= size
    return batches, large


def _content(path: str | None) -> Iterator[bytes]:
    if path is None:  # a symlink has none
        return
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece
