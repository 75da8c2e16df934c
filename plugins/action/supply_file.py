# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Puts lost files back from what peers offered, or lets the host take them out of its packages."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from functools import partial
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_fields
from ansible_collections.procfs.rescue.plugins.module_utils._needs import need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import offer_from
from ansible_collections.procfs.rescue.plugins.module_utils._report import diff_of
from ansible_collections.procfs.rescue.plugins.module_utils._supply import Delivery, Manner, new_draft, supply
from ansible_collections.procfs.rescue.plugins.module_utils._supply_task import (
    SUPPLY_SPEC,
    failed,
    held,
    in_order,
    no_peer,
    summed_up,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PIECE, PeerCache
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job, as_program
from ansible_collections.procfs.rescue.plugins.plugin_utils._results import merged, needs_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

_NOBODY = (
    "no other host of this run has it, or has said so yet; with --limit or in a slice only its own hosts are asked"
)

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
        found = self._supplied()
        if self._task.diff and "files" in found:
            result["diff"] = diff_of(found["files"])
        if before is not None:
            # What was only looked at is missing, unless a process may be its source.
            missing = {
                _path(need) for need in self._options["files"] if looked and "process" not in self._options["sources"]
            }
            found = dict(merged(before, found, missing), changed=found["changed"])
        return dict(result, **found)

    def _supplied(self) -> Fields:
        needs: list[Fields] = self._options["files"]
        sources: list[str] = self._options["sources"]
        files = [self._delivered(need) if "peer" in sources else need for need in needs]
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

    def _delivered(self, need: Fields) -> Fields:
        """The need with the ``offer`` of a peer, whose it is (``by``), and its content; or why there is none."""
        for peer in self._cache.donors(str(self._vars.get("inventory_hostname")), need):
            offer = self._cache.offer(peer, need)
            file = dict(need, offer=offer, by=f"peer {peer}", size=0)
            content = self._cache.content(need) if need["checksum"] else None
            if offer["link"] is not None or self._task.check_mode:
                return file
            if content is not None:
                return dict(file, content=self._cache.packed(need), size=offer["size"], from_file=content)
            self._cache.refuse(peer, need, "its content did not arrive")
        why = "; ".join(self._cache.why_none(str(self._vars.get("inventory_hostname")), need)) or _NOBODY
        return dict(need, no_peer=f"No peer is a source for {need['path']}: {why}.")

    def _arguments(self, files: list[Fields]) -> Fields:
        names = ("sources", "accept", "parents", "prove")
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
        offset = 0
        for piece in _content(file["from_file"]):
            staged = dict(path_fields(need_from(file).path), token=token, offset=offset)
            staged["content"] = base64.b64encode(piece).decode("ascii")
            arguments = dict(self._arguments([]), files=[{"stage": staged}])
            found = self._execute_module(module_args=arguments, task_vars=self._vars)
            if found.get("failed"):
                return failed(need_from(file), str(found["msg"]), [])
            offset += len(piece)
        (result,) = self._called([dict(file, token=token)])
        return result

    def _over_sftp(self, host: Host, source: str, files: list[Fields]) -> list[Fields]:
        options = self._options
        manner = Manner(options["accept"], self._task.check_mode, options["parents"], options["prove"])

        def log(line: str) -> None:
            _display.v(line, host=self._vars.get("inventory_hostname"))

        if source == "process":
            return held(files, manner, log, host)
        if source == "package":
            why = "%s: its package cannot be unpacked over SFTP."
            return [failed(need_from(file), why % file["path"], ["no_package"]) for file in files]
        return [
            supply(self._delivery(file, host), manner, log, host) if "offer" in file else no_peer(file)
            for file in files
        ]

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
    room = PIECE
    for file in files:
        if file.get("size", 0) > room:
            batches.append([])
            room = PIECE
        if file.get("size", 0) <= PIECE:
            batches[-1].append(file)
            room -= file.get("size", 0)
    return batches, [file for file in files if file.get("size", 0) > PIECE]


def _content(path: str | None) -> Iterator[bytes]:
    if path is None:  # a symlink has none
        return
    with open(path, "rb") as file:
        while piece := file.read(PIECE):
            yield piece
