# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what other hosts lost from the host that the task is delegated to, once for all who need the same."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._needs import need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer_task import OFFER_SPEC, offered
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PIECE, PeerCache
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

Fields = dict[str, Any]


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Fields | None = None) -> Fields:
        result: Fields = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._transport = self.validate_argument_spec(**OFFER_SPEC)[1]["transport"]
        self._cache = PeerCache()
        self._peer = str(self._task.delegate_to or self._vars.get("inventory_hostname"))
        offers: list[Fields] = []
        if not self._task.check_mode:
            for needs in self._at_once(self._task.args["files"]):
                with ExitStack() as stack:
                    wanted = [need for need in needs if stack.enter_context(self._cache.fetching(need))]
                    offers += self._read(wanted) if wanted else []
        return dict(result, changed=False, offers=offers)

    def _at_once(self, needs: list[Fields]) -> Iterator[list[Fields]]:
        """What goes in one answer. Always in the same order: who waits for the locks of others holds no later ones."""
        chunk: list[Fields] = []
        room = PIECE
        for need in sorted({need["checksum"]: need for need in needs}.values(), key=lambda need: str(need["checksum"])):
            size = int(self._cache.offer(self._peer, need)["size"])
            if chunk and size > room:
                yield chunk
                chunk, room = [], PIECE
            chunk.append(need)
            room -= size
        if chunk:
            yield chunk

    def _read(self, needs: list[Fields]) -> list[Fields]:
        asked = [dict(need, length=PIECE) for need in needs]
        try:
            told = self._answers(asked)
        except (AnsibleError, OSError) as error:
            why = fault(error) if isinstance(error, OSError) else str(error)
            told = [{"msg": why.replace(DO_NOT, "").strip().rstrip("."), "refused": ["unreachable"]} for _need in needs]
        for need, one in zip(needs, told, strict=True):
            if "msg" in one:
                self._cache.refuse(self._peer, need, one["msg"])
        return [dict(one, path=need["path"]) for need, one in zip(needs, told, strict=True)]

    def _answers(self, needs: list[Fields]) -> list[Fields]:
        def by_module(found: Fields) -> Fields:
            if found.get("failed"):
                return {"answers": [{"msg": str(found["msg"]), "refused": []} for _need in needs]}
            told = list(zip(needs, found["offers"], strict=True))
            return {"answers": [self._with_content(need, one) for need, one in told]}

        def over_sftp(host: Host) -> Fields:
            return {"answers": [self._over_sftp(need, host) for need in needs]}

        args = {"files": needs}
        job = Job("offer", args, self._task.check_mode, self._task.diff)
        answers: list[Fields] = answer(self, self._transport, args, self._vars, over_sftp, by_module, job)["answers"]
        return answers

    def _with_content(self, need: Fields, told: Fields) -> Fields:
        """Keeps the content that came with an offer, and asks for the rest of it."""
        if "content" not in told:
            return told
        size = told["offer"]["size"]
        try:
            with self._cache.new_content(need, self._peer) as file:
                while True:
                    piece = base64.b64decode(told["content"])
                    file.write(piece)
                    if file.tell() >= size or not piece:
                        break
                    files = [dict(need, offset=file.tell(), length=PIECE)]
                    more = self._execute_module(module_args={"files": files}, task_vars=self._vars)
                    if more.get("failed") or "content" not in more["offers"][0]:
                        return {"msg": "it broke off in the middle", "refused": ["unreachable"]}
                    told = dict(told, content=more["offers"][0]["content"])
        except RescueError as error:
            return {"msg": str(error), "refused": ["checksum_differs"]}
        return {"size": size}

    def _over_sftp(self, need: Fields, host: Host) -> Fields:
        try:
            with (
                offered(need_from(need), host) as (_offer, fd),
                self._cache.new_content(need, self._peer) as file,
            ):
                file.writelines(host.content(fd))
                return {"size": file.tell()}
        except RescueError as error:
            return {"msg": str(error), "refused": error.reasons}
