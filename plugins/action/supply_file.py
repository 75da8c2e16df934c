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
from ansible_collections.procfs.rescue.plugins.module_utils._supply_task import SUPPLY_SPEC, failed, summed_up
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

# Bytes of content per module call.
_PIECE = 8 * 1024 * 1024

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
        result.update(self._supplied())
        if self._task.diff and "files" in result:
            result["diff"] = diff_of(result["files"])
        return result

    def _supplied(self) -> Fields:
        self._options = self.validate_argument_spec(**SUPPLY_SPEC)[1]
        needs: list[Fields] = self._task.args["files"]
        if self._options["source"] == "package":
            return self._told(needs, needs, [])
        files = [self._delivered(need) for need in needs]
        small: list[Fields] = []
        large: list[Fields] = []
        room = _PIECE
        for file in files:
            if "status" in file:
                continue
            room -= file["size"]
            (small if room >= 0 else large).append(file)
        if not small and not large:
            return summed_up(files)
        return self._told(files, [self._with_content(file) for file in small], large)

    def _delivered(self, need: Fields) -> Fields:
        """What goes to the host: the need, an ``offer``, whose it is (``by``); or the result of a file without one."""
        cache = PeerCache()
        why = []
        for peer in cache.donors(str(self._vars.get("inventory_hostname")), need["path"]):
            answer_of_peer = cache.offer(peer, need) or {}
            if "offer" not in answer_of_peer:
                why.append(f"{peer}: {answer_of_peer.get('msg', 'it was not asked')}")
                continue
            offer = answer_of_peer["offer"]
            content = cache.content(need)
            if offer["link"] is None and content is None and not self._task.check_mode:
                with cache.fetching(need, wait=True):
                    content = cache.content(need)
            if offer["link"] is not None or content is not None or self._task.check_mode:
                sized = 0 if offer["link"] is not None or content is None else offer["size"]
                return dict(need, offer=offer, by=f"peer {peer}", size=sized, from_file=content)
            why.append(f"{peer}: its content did not arrive")
        told = "; ".join(why) or _NOBODY
        return failed(need_from(need), f"No peer is a source for {need['path']}: {told}.", ["no_peer"])

    def _with_content(self, file: Fields) -> Fields:
        if not file["size"]:
            return file
        with open(file["from_file"], "rb") as content:
            return dict(file, content=base64.b64encode(content.read()).decode("ascii"))

    def _told(self, files: list[Fields], at_once: list[Fields], large: list[Fields]) -> Fields:
        """The answer for all ``files``, of which some go in one call and large ones in several each."""
        args = {name: self._task.args[name] for name in ("source", "accept") if name in self._task.args}

        def by_module(found: Fields) -> Fields:
            if "files" not in found:
                return found
            results = iter(found["files"])
            rest = iter([self._large(file, args) for file in large])
            told = [
                file if "status" in file else next(rest) if any(file is one for one in large) else next(results)
                for file in files
            ]
            return dict(
                {name: found[name] for name in ("warnings", "deprecations") if name in found}, **summed_up(told)
            )

        def over_sftp(host: Host) -> Fields:
            return summed_up([file if "status" in file else self._over_sftp(file, host) for file in files])

        return answer(self, self._options["transport"], dict(args, files=at_once), self._vars, over_sftp, by_module)

    def _large(self, file: Fields, args: Fields) -> Fields:
        """Piece by piece into a hidden folder beside its place, then under its name."""
        token = secrets.token_hex(8)
        for offset, piece in _pieces(file["from_file"]):
            staged = dict(path_fields(need_from(file).path), token=token, offset=offset)
            staged["content"] = base64.b64encode(piece).decode("ascii")
            found = self._execute_module(module_args=dict(args, files=[{"stage": staged}]), task_vars=self._vars)
            if found.get("failed"):
                return failed(need_from(file), str(found["msg"]), [])
        given = dict(args, files=[dict(file, token=token)])
        found = self._execute_module(module_args=given, task_vars=self._vars)
        if "files" not in found:
            return failed(need_from(file), str(found.get("msg", "The host gave no answer.")), [])
        result: Fields = found["files"][0]
        return result

    def _over_sftp(self, file: Fields, host: Host) -> Fields:
        need = need_from(file)
        if self._options["source"] == "package":
            return failed(need, f"{file['path']}: its package cannot be unpacked over SFTP.", ["no_package"])

        def log(line: str) -> None:
            _display.v(line, host=self._vars.get("inventory_hostname"))

        content = partial(_content, file["from_file"])
        delivery = Delivery(need, offer_from(file["offer"]), content, file["by"], partial(new_draft, host))
        return supply(delivery, Manner(self._options["accept"], self._task.check_mode), log, host)


def _pieces(path: str) -> Iterator[tuple[int, bytes]]:
    offset = 0
    for piece in _content(path):
        yield offset, piece
        offset += len(piece)


def _content(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while piece := file.read(_PIECE):
            yield piece
