# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what other hosts lost from the host that the task is delegated to, once for all who need the same."""

from __future__ import annotations

import base64
from contextlib import ExitStack
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._needs import need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import offer_fields
from ansible_collections.procfs.rescue.plugins.module_utils._offer_task import OFFER_SPEC, offered
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PIECE, PeerCache
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job, as_program
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

# Files in one question.
_AT_ONCE = 500

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
        # Always in the same order: who waits for the locks of others holds no later ones.
        needs = sorted(self._task.args["files"], key=lambda need: (str(need["checksum"]), str(need["path"])))
        for start in range(0, len(needs), _AT_ONCE):
            with ExitStack() as stack:
                offers += self._read(stack, needs[start : start + _AT_ONCE])
        return dict(result, changed=False, offers=offers)

    def _read(self, stack: ExitStack, needs: list[Fields]) -> list[Fields]:
        """What is new of them: contents that nobody has read, and offers of which nobody knew."""
        asked: list[Fields] = []
        locked: set[str] = set()
        for need in needs:
            reads = need["checksum"] and not self._task.check_mode and need["checksum"] not in locked
            if reads:
                locked.add(need["checksum"])
                reads = stack.enter_context(self._cache.fetching(need))
            if reads:
                asked.append(dict(need, length=PIECE))
            elif self._peer not in self._cache.donors("", need):
                asked.append(need)
        if not asked:
            return []
        try:
            told = self._answers(asked)
        except (AnsibleError, OSError) as error:
            why = fault(error) if isinstance(error, OSError) else str(error)
            told = [{"msg": why.replace(DO_NOT, "").strip().rstrip("."), "refused": ["unreachable"]} for _need in asked]
        for need, one in zip(asked, told, strict=True):
            if "msg" in one:
                self._cache.refuse(self._peer, need, one["msg"])
            else:
                self._cache.keep_offer(self._peer, {**need, **one.pop("offer")})
        return [dict(one, path=need["path"]) for need, one in zip(asked, told, strict=True)]

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
        if "offer" not in told or not need.get("length"):
            return {name: value for name, value in told.items() if name != "content"}
        offer = told["offer"]
        try:
            with self._cache.new_content(need, self._peer) as file:
                file.write(base64.b64decode(told["content"]))
                while file.tell() < offer["size"]:
                    more = self._told([dict(need, offset=file.tell())])
                    piece = base64.b64decode(more["offers"][0].get("content", "")) if "offers" in more else b""
                    if not piece:
                        return {"msg": "it broke off in the middle", "refused": ["unreachable"]}
                    file.write(piece)
        except RescueError as error:
            return {"msg": str(error), "refused": ["checksum_differs"]}
        return {"offer": offer, "size": offer["size"]}

    def _told(self, needs: list[Fields]) -> Fields:
        args = {"files": needs}
        with as_program(self, Job("offer", args, self._task.check_mode, self._task.diff)):
            told: Fields = self._execute_module(module_args=args, task_vars=self._vars)
        return told

    def _over_sftp(self, need: Fields, host: Host) -> Fields:
        try:
            with offered(need_from(need), host) as (offer, fd):
                if need.get("length") and fd != -1:
                    with self._cache.new_content(need, self._peer) as file:
                        file.writelines(host.content(fd))
                return {"offer": offer_fields(offer), "size": offer.size}
        except RescueError as error:
            return {"msg": str(error), "refused": error.reasons}
