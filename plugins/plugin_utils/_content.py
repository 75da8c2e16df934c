# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The content of a file that was chosen on a host, by the module fetch_file there: as a stream, or in pieces."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError
from ansible_collections.procfs.rescue.plugins.plugin_utils._own_ssh import own_ssh
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import Receiver

# Bytes per module call: what memory holds of a file at any time, a few times over as base64 and JSON.
_PIECE = 8 * 1024 * 1024


class Content:
    def __init__(self, action: ActionBase, task_vars: dict[str, Any]) -> None:
        self._action = action
        self._vars = task_vars

    def transfer(self, found: dict[str, Any], receiver: Receiver) -> tuple[str, str, bool]:
        """What is missing of ``found`` (with ``source``, ``size``, ``checksum`` or None for it) to ``receiver``.

        Gives how it came (``stream`` or ``pieces``), its digest there, and whether it changed meanwhile. Raises
        RescueError, AnsibleConnectionFailure and BrokenStreamError.
        """
        ends: list[dict[str, Any]] = []
        with own_ssh(self._action, lambda stream: ends.append(receiver.stream(stream)), found["size"]) as is_possible:
            if is_possible:
                # Where it does not even begin, the pieces tell why, or lead there.
                self._answer(found, "stream", dict(receiver.kept._asdict(), size=found["size"]))
        if ends:
            return "stream", "sha256:" + ends[0]["sha256"], ends[0]["changed"]
        return self._pieces(found, receiver)

    def _pieces(self, found: dict[str, Any], receiver: Receiver) -> tuple[str, str, bool]:
        """As modules give it, one call for each piece; of a log that grows, what was described."""
        kept = receiver.kept
        if kept.offset and self.asked(found, "beginning", kept.offset)["sha256"] != kept.sha256:
            receiver.start_anew()
        digest = found["checksum"] or "sha256:" + self.asked(found, "beginning", found["size"])["sha256"]
        while receiver.offset < found["size"]:
            wanted = {"offset": receiver.offset, "length": min(_PIECE, found["size"] - receiver.offset)}
            piece = self.asked(found, "piece", wanted)
            if not (piece["hole"] or piece["content"]):  # it was truncated
                break
            receiver.hole(min(piece["hole"], found["size"] - receiver.offset))
            receiver.data(base64.b64decode(piece["content"])[: found["size"] - receiver.offset])
        return "pieces", digest, False

    def asked(self, found: dict[str, Any], step: str, how: Any) -> dict[str, Any]:
        """What the module answers to this step for what was chosen. Raises RescueError."""
        answer = self._answer(found, step, how)
        if answer.get("failed"):
            raise RescueError(f"Nothing was written. {str(answer['msg']).replace(DO_NOT, '')}")
        return dict(answer["answer"])

    def _answer(self, found: dict[str, Any], step: str, how: Any) -> dict[str, Any]:
        arguments = {"source": dict(found["source"], step={step: how}), "dest": "/"}
        with self._unseen():
            answer: dict[str, Any] = self._action._execute_module(
                module_name="procfs.rescue.fetch_file", module_args=arguments, task_vars=self._vars
            )
        return answer

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """Connections show what a module answers, from -vvv on, unless it is secret: this is what files contain."""
        context = self._action._connection._play_context
        before, context.no_log = context.no_log, True
        try:
            yield
        finally:
            context.no_log = before
