# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks the host that the task is delegated to for what another one lost, once for all who need the same."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._needs import need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import offer_fields, offered
from ansible_collections.procfs.rescue.plugins.module_utils._offer_task import OFFER_SPEC
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

# Bytes per module call.
_PIECE = 8 * 1024 * 1024

Fields = dict[str, Any]


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: Fields | None = None) -> Fields:
        result: Fields = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._transport = self.validate_argument_spec(**OFFER_SPEC)[1]["transport"]
        self._cache = PeerCache()
        self._peer = str(self._task.delegate_to or self._vars.get("inventory_hostname"))
        me = str(self._vars.get("inventory_hostname"))
        needs = [need for need in self._task.args["files"] if not self._is_served(me, need)]
        if not needs:
            return dict(result, changed=False, offers=[])
        with self._cache.asking(self._peer):
            new = [need for need in needs if self._cache.offer(self._peer, need) is None]
            if new:
                self._ask(new)
        offers = [dict(self._cache.offer(self._peer, need) or {}, path=need["path"]) for need in needs]
        return dict(result, changed=False, offers=offers)

    def _is_served(self, me: str, need: Fields) -> bool:
        """Whether a host that comes before this one in our order has offered it."""
        for name in self._cache.donors(me, need["path"]):
            if name == self._peer:
                return False
            if "offer" in (self._cache.offer(name, need) or {}):
                return True
        return False

    def _ask(self, needs: list[Fields]) -> None:
        """All at once; of the content, what nobody else fetches already."""
        with ExitStack() as stack:
            wanted = []
            for need in needs:
                is_ours = need["checksum"] and stack.enter_context(self._cache.fetching(need, wait=False))
                wanted.append(dict(need, length=_PIECE) if is_ours and not self._task.check_mode else need)
            try:
                answers = self._answers(wanted)
            except (AnsibleError, OSError) as error:
                why = fault(error) if isinstance(error, OSError) else str(error).replace(DO_NOT, "")
                answers = [{"msg": why.strip().rstrip("."), "refused": ["unreachable"]} for _need in needs]
            for need, told in zip(needs, answers, strict=True):
                self._cache.keep_offer(self._peer, need, told)

    def _answers(self, needs: list[Fields]) -> list[Fields]:
        def by_module(found: Fields) -> Fields:
            if found.get("failed"):
                return {"answers": [{"msg": str(found["msg"]), "refused": []} for _need in needs]}
            told = list(zip(needs, found["offers"], strict=True))
            return {"answers": [self._with_content(need, one) for need, one in told]}

        def over_sftp(host: Host) -> Fields:
            return {"answers": [self._offer_over_sftp(need, host) for need in needs]}

        args = {"files": needs}
        answers: list[Fields] = answer(self, self._transport, args, self._vars, over_sftp, by_module)["answers"]
        return answers

    def _with_content(self, need: Fields, told: Fields) -> Fields:
        """Keeps the content that came with an offer, and asks for the rest of it."""
        if "content" not in told:
            return told
        size = told["offer"]["size"]
        try:
            with self._cache.new_content(need) as file:
                while True:
                    piece = base64.b64decode(told["content"])
                    file.write(piece)
                    if file.tell() >= size or not piece:
                        break
                    files = [dict(need, offset=file.tell(), length=_PIECE)]
                    more = self._execute_module(module_args={"files": files}, task_vars=self._vars)
                    if more.get("failed") or "content" not in more["offers"][0]:
                        return {"msg": "it broke off in the middle", "refused": ["unreachable"]}
                    told = dict(told, content=more["offers"][0]["content"])
        except RescueError as error:
            return {"msg": str(error), "refused": ["checksum_differs"]}
        return told

    def _offer_over_sftp(self, need: Fields, host: Host) -> Fields:
        try:
            with offered(need_from(need), host) as (offer, fd):
                if fd != -1 and need.get("length"):
                    with self._cache.new_content(need) as file:
                        file.writelines(host.content(fd))
                return {"offer": offer_fields(offer)}
        except RescueError as error:
            return {"msg": str(error), "refused": error.reasons}
