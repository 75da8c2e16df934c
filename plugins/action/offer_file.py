# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads what other hosts lost from the host that the task is delegated to, once for all who need the same."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._needs import need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import offer_fields
from ansible_collections.procfs.rescue.plugins.module_utils._offer_task import OFFER_SPEC, offered
from ansible_collections.procfs.rescue.plugins.plugin_utils._patience import SilentHostError, patience
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import (
    LARGEST,
    PIECE,
    PeerCache,
    need_said,
    offer_said,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job, as_program
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

# Files in one question.
_AT_ONCE = 500

# Bytes that a peer reads in a second at least, to prove a file before it answers.
_SLOWEST = 10_000_000

# The settings of a way in that each host may have of its own, other than Ansible's.
_LIFELINE = ("lifeline_port", "lifeline_user", "lifeline_private_key_file")

_display = Display()

Fields = dict[str, Any]


class ActionModule(ActionBase):
    _supports_check_mode = True
    _heard: Callable[[], None]

    def run(self, tmp: str | None = None, task_vars: Fields | None = None) -> Fields:
        result: Fields = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._options = self.validate_argument_spec(**OFFER_SPEC)[1]
        self._cache = PeerCache()
        self._peer = str(self._task.delegate_to or self._vars.get("inventory_hostname"))
        offers: list[Fields] = []
        try:
            needs = [need_said(need) for need in self._task.args["files"]]
        except RescueError as error:
            raise AnsibleActionFail(str(error)) from None
        # Always in the same order: who waits for the locks of others holds no later ones.
        needs.sort(key=lambda need: (str(need["checksum"]), str(need["path"])))
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
        self._done: list[Fields] = []
        try:
            told = self._answers(asked)
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one peer, the others must be asked)
            # What came before is as good as from any other.
            told = self._done + [_refusal(error)] * (len(asked) - len(self._done))
        for need, one in zip(asked, told, strict=True):
            if "msg" in one:
                self._cache.refuse(self._peer, need, one["msg"])
            else:
                self._cache.keep_offer(self._peer, one.pop("offer"))
        return [dict(one, path=need["path"]) for need, one in zip(asked, told, strict=True)]

    def _answers(self, needs: list[Fields]) -> list[Fields]:
        """For each of ``needs`` the peer's ``offer``, whose content is kept, and its ``size``; or why there is none."""

        def by_module(found: Fields) -> Fields:
            if found.get("failed"):
                return {"answers": [{"msg": str(found.get("msg")), "refused": []} for _need in needs]}
            return answers_to(list(zip(needs, found["offers"], strict=True)), self._with_content)

        def over_sftp(host: Host) -> Fields:
            return answers_to([(need, host) for need in needs], self._over_sftp)

        def answers_to(asked: list[tuple[Fields, Any]], tell: Callable[[Fields, Any], Fields]) -> Fields:
            self._done = []
            for need, of_peer in asked:
                self._done.append(tell(need, of_peer))
            return {"answers": self._done}

        args = {"files": needs}
        job = Job("offer", args, self._task.check_mode, self._task.diff)
        of_peer, transport = self._of_peer(), self._options["transport"]
        seconds = self._options["timeout"] + self._to_be_read(needs) // _SLOWEST
        try:
            with patience(seconds) as self._heard:
                answers: list[Fields] = answer(self, transport, args, of_peer, over_sftp, by_module, job)["answers"]
        except SilentHostError:
            _display.warning(
                f"{self._peer} was to be read for others, but it gave no answer for {seconds} seconds: "
                "they get it from elsewhere."
            )
            raise AnsibleConnectionFailure(f"it gave no answer for {seconds} seconds") from None
        return answers

    def _to_be_read(self, needs: list[Fields]) -> int:
        """Bytes that the peer reads before its first answer, as far as it is known to have these files."""
        of_peer = [need for need in needs if self._peer in self._cache.donors("", need)]
        return min(sum(int(self._cache.offer(self._peer, need)["size"]) for need in of_peer), LARGEST)

    def _of_peer(self) -> Fields:
        """The variables of the task with the peer's lifeline: what Ansible gives are those of the host that asks."""
        hosts = self._vars.get("hostvars") or {}
        if self._peer not in hosts:
            return self._vars
        asking, peer = hosts.get(self._vars.get("inventory_hostname")) or {}, hosts[self._peer]
        # What no host has of its own is said in the play, for all of them.
        return {**self._vars, **{name: peer.get(name) for name in _LIFELINE if name in asking or name in peer}}

    def _with_content(self, need: Fields, told: Fields) -> Fields:
        """Keeps the content that came with an offer, and asks for the rest of it."""
        try:
            if "offer" not in told:
                return {"msg": str(told["msg"]), "refused": list(map(str, told["refused"]))}
            offer = offer_said({**told["offer"], **need})
            if need.get("length"):
                pieces = self._pieces(need, told, offer["size"])
                self._cache.keep_content(need, self._peer, offer["size"], self._noticed(pieces))
            return {"offer": offer, "size": offer["size"]}
        except RescueError as error:
            return {"msg": str(error), "refused": error.reasons}
        except OSError as error:
            return {"msg": f"it could not be kept on the controller: {fault(error)}", "refused": []}
        except AnsibleError:  # a way in that is closed now
            raise
        except Exception as error:  # noqa: BLE001  (whatever is wrong with one answer, the others are read)
            return _refusal(error)

    def _noticed(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """The same; the peer is alive."""
        for piece in pieces:
            self._heard()
            yield piece

    def _pieces(self, need: Fields, told: Fields, size: int) -> Iterator[bytes]:
        piece = base64.b64decode(told["content"])
        yield piece
        offset = len(piece)
        while offset < size:
            more = self._told([dict(need, offset=offset, source=told["offer"]["source"])])
            piece = base64.b64decode(more["offers"][0].get("content", "")) if "offers" in more else b""
            if len(piece) < min(PIECE, size - offset):  # nobody gives it byte by byte, for ever
                raise RescueError("it broke off in the middle", ["unreachable"])
            yield piece
            offset += len(piece)

    def _told(self, needs: list[Fields]) -> Fields:
        args = {"files": needs}
        with as_program(self, Job("offer", args, self._task.check_mode, self._task.diff)):
            told: Fields = self._execute_module(module_args=args, task_vars=self._vars)
        return told

    def _over_sftp(self, need: Fields, host: Host) -> Fields:
        try:
            with offered(need_from(need), host) as (offer, fd):
                if need.get("length") and fd != -1:
                    self._cache.keep_content(need, self._peer, offer.size, self._noticed(host.content(fd)))
                return {"offer": offer_said({**offer_fields(offer), **need}), "size": offer.size}
        except RescueError as error:
            return {"msg": str(error), "refused": error.reasons}


def _refusal(error: Exception) -> Fields:
    if isinstance(error, OSError):
        return {"msg": fault(error), "refused": ["unreachable"]}
    if isinstance(error, AnsibleError):
        return {"msg": str(error).replace(DO_NOT, "").strip().rstrip("."), "refused": ["unreachable"]}
    return {"msg": f"its answer could not be read ({type(error).__name__}: {error})", "refused": []}
