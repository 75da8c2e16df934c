# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What the module fetch_file of a host gives: which file was chosen, and its content, as a stream or in pieces.

Nothing is written on the host where that can be helped: its disk may be full, or evidence.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError
from ansible_collections.procfs.rescue.plugins.plugin_utils._own_ssh import Take, own_ssh
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job, as_program
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress, reading
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import Receiver

# Bytes per module call: what memory holds of a file at any time, a few times over as base64 and JSON.
_PIECE = 8 * 1024 * 1024

# Where Ansible unpacks a module that it pipes to Python; where that is not there it takes /tmp.
_IN_MEMORY = {"TMPDIR": "/dev/shm"}


class Content:
    def __init__(self, action: ActionBase, task_vars: dict[str, Any], progress: Progress) -> None:
        self._action = action
        self._vars = task_vars
        self._progress = progress
        self._can_be_piped = True

    def chosen(self, arguments: dict[str, Any], take: Take, size: int | None) -> dict[str, Any]:
        """What the module answers to the ``arguments`` of the user; the content, after what was chosen
        (`_receive.about`), goes to ``take`` where it can be had in the same call."""
        source = arguments["source"]
        with own_ssh(self._action, take, size) as is_possible:
            if is_possible:
                step = dict(source["step"], with_content=True)
                try:
                    answer = self._call(dict(arguments, source=dict(source, step=step)))
                    if _is_of_module(answer):
                        return answer
                except AnsibleConnectionFailure:
                    if not self._action._connection.get_option("reconnection_retries"):
                        raise
        return self.called(arguments)

    def transfer(self, found: dict[str, Any], receiver: Receiver) -> tuple[str, str, bool]:
        """What is missing of ``found`` (with ``source``, ``size``, ``checksum`` or None for it) to ``receiver``.

        Gives how it came (``stream`` or ``pieces``), its digest there, and whether it changed meanwhile. Raises
        RescueError, AnsibleConnectionFailure and BrokenStreamError.
        """
        ends: list[dict[str, Any]] = []

        def take(stream: IO[bytes], **_how: bool) -> None:
            ends.append(receiver.stream(stream, found["size"]))

        if self.stream([{"sources": [found["source"]], "size": found["size"], "kept": receiver.kept}], take):
            return "stream", "sha256:" + ends[0]["sha256"], ends[0]["changed"]
        return self._pieces(found, receiver)

    def stream(self, wanted: list[dict[str, Any]], take: Take) -> bool:
        """Whether the contents were given to ``take``, each as `_source.streams` sends it."""
        begun = []
        arrived = sum(one["kept"].offset for one in wanted)
        if arrived:
            self._progress.waits(reading(arrived))

        def noted(stream: IO[bytes], *, is_old: bool) -> bytes | None:
            begun.append(True)
            return take(stream, is_old=is_old)

        with own_ssh(self._action, noted, sum(one["size"] for one in wanted)) as is_possible:
            if is_possible:
                # Where it does not even begin, the pieces tell why, or lead there.
                self._call({"source": {"step": {"streams": wanted}}, "dest": "/"})
        return bool(begun)

    def _pieces(self, found: dict[str, Any], receiver: Receiver) -> tuple[str, str, bool]:
        """As modules give it, one call for each piece; of a log that grows, what was described."""
        stamps: set[tuple[int, ...]] = set()

        def asked(step: str, how: Any) -> dict[str, Any]:
            told = self.asked(found, step, how)
            stamps.update(map(tuple, told["stamps"]))
            return told

        kept = receiver.kept
        if kept.offset and asked("beginning", kept.offset)["sha256"] != kept.sha256:
            receiver.start_anew()
        digest = found["checksum"] or f"sha256:{asked('beginning', found['size'])['sha256']}"
        receiver.begin()
        while receiver.offset < found["size"]:
            wanted = {"offset": receiver.offset, "length": min(_PIECE, found["size"] - receiver.offset)}
            piece = asked("piece", wanted)
            if not (piece["hole"] or piece["content"]):  # it was truncated
                break
            receiver.hole(min(piece["hole"], found["size"] - receiver.offset))
            receiver.piece(base64.b64decode(piece["content"])[: found["size"] - receiver.offset])
        # It may have grown since it was chosen, before the first of these.
        has_grown = any(size != found["size"] for size, *_times in stamps)
        return "pieces", digest, has_grown or len(stamps) > 1

    def digest(self, found: dict[str, Any]) -> str:
        return "sha256:" + str(self.asked(found, "beginning", found["size"])["sha256"])

    def asked(self, found: dict[str, Any], step: str, how: Any) -> dict[str, Any]:
        """What the module answers to this step for what was chosen. Raises RescueError."""
        if step == "beginning":
            self._progress.waits(reading(how))
        answer = self.called({"source": dict(found["source"], step={step: how}), "dest": "/"})
        if answer.get("failed"):
            raise RescueError(f"Nothing was written. {str(answer['msg']).replace(DO_NOT, '')}")
        return dict(answer["answer"])

    def called(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the module answers. It is piped to Python if that can be, whatever the user set."""
        if self._action._is_pipelining_enabled("new") or not self._can_be_piped:
            return self._call(arguments)
        with self._piped() as is_possible:
            answer = self._call(arguments) if is_possible else None
        if answer is not None and _is_of_module(answer):
            return answer
        self._can_be_piped = False  # the connection cannot, or sudo insists on a terminal
        return self._call(arguments)

    @contextmanager
    def _piped(self) -> Iterator[bool]:
        connection, context = self._action._connection, self._action._play_context
        before = context.pipelining
        try:
            option = connection.get_option("pipelining")
        except KeyError:  # of a plugin without, what the play says counts
            option = None
        try:
            context.pipelining = True
            if option is not None:
                connection.set_option("pipelining", True)
            yield self._action._is_pipelining_enabled("new")
        finally:
            context.pipelining = before
            if option is not None:
                connection.set_option("pipelining", option)

    def _call(self, arguments: dict[str, Any]) -> dict[str, Any]:
        job = Job("fetch", arguments, check_mode=True, diff=False)  # it changes nothing on the host
        with self._unseen(), self.in_memory(), as_program(self._action, job):
            # What an action has of its own by this name asks us.
            answer: dict[str, Any] = ActionBase._execute_module(
                self._action, module_name="procfs.rescue.fetch_file", module_args=arguments, task_vars=self._vars
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

    @contextmanager
    def in_memory(self) -> Iterator[None]:
        """Modules of the block are unpacked in memory. What the user sets himself goes before."""
        task = self._action._task
        before = task.environment
        task.environment = [_IN_MEMORY, *(before if isinstance(before, list) else [before] if before else [])]
        try:
            yield
        finally:
            task.environment = before


def _is_of_module(answer: dict[str, Any]) -> bool:
    """And not what a shell or sudo said in its place; a traceback says at least that Python runs."""
    return "module_stdout" not in answer or "Traceback" in str(answer.get("module_stderr"))
