# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collects what deleted files hold as evidence on the controller: contents, and manifests of what is known of them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO

import yaml
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._collect import COLLECT_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.plugin_utils._content import Content
from ansible_collections.procfs.rescue.plugins.plugin_utils._evidence import SEAL, Evidence
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import BusyError, DifferentError
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import BrokenStreamError, Receiver

# How many files one call of the module sends, and how many bytes: others may wait for one of them.
_FILES = 250
_BYTES = 256 * 1024 * 1024

_NO_PIPELINING = (
    "Nothing was collected, and nothing was written on the host. Without pipelining Ansible writes its modules to the "
    "host's disk, which may be evidence: set ansible_pipelining to true and become without su, or allow it with "
    "collect_allow_tmp=true (allow_tmp of the module)."
)


class ActionModule(ActionBase):
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._content = Content(self, self._vars)
        options = self.validate_argument_spec(argument_spec=COLLECT_SPEC)[1]
        evidence = Evidence(os.fsencode(os.path.abspath(os.path.expanduser(options["dest"]))))
        try:
            if options["seal"]:
                return dict(result, **self._sealed(evidence, options["results"]))
            evidence.check(self._vars["inventory_hostname"])
            if not options["allow_tmp"] and not self._is_pipelining_enabled("new"):
                return dict(result, failed=True, msg=_NO_PIPELINING)
            asked = time.time()
            told = self._execute_module(module_args=self._task.args, task_vars=self._vars)
            if told.get("failed"):
                return dict(result, **told)
            return dict(result, **self._collected(evidence, told, asked, time.time()))
        except RescueError as error:
            return dict(result, failed=True, msg=f"{DO_NOT}{error}")
        except OSError as error:
            return dict(result, failed=True, msg=f"{DO_NOT}The evidence could not be written here: {fault(error)}.")

    def _collected(self, evidence: Evidence, told: dict[str, Any], asked: float, answered: float) -> dict[str, Any]:
        """``asked`` and ``answered`` are when, by the clock of the controller."""
        try:
            new = self._fetched(evidence, told["files"])
        finally:
            self._let_go(told["keeper"])
        for file in told["files"]:
            del file["kept"]
        unread = [file for file in told["files"] if file["content"] is None]
        host = {
            "record": "host",
            "name": self._vars["inventory_hostname"],
            "address": self._get_remote_addr(self._vars),
            **told["host"],
            # The host answered in between: what its clock says more than ours lies between these.
            "clock_ahead_at_least": told["ended"] - answered,
            "clock_ahead_at_most": told["began"] - asked,
            "collected": asked,
            "collection": _version(),
            **{name: told[name] for name in _OF_THE_SCAN},
        }
        records = [host, *({"record": "file", **file} for file in told["files"])]
        manifest = evidence.manifest(host["name"], records)
        return {
            "changed": True,
            "manifest": manifest,
            "files": len(told["files"]),
            "contents": len({file["content"] for file in told["files"]} - {None}),
            "new_contents": new,
            "complete": told["complete"] and not unread,
            "unread": [f"{file['path']}: {file['unread']}" for file in unread],
            **{name: told[name] for name in _OF_THE_SCAN if name != "complete"},
        }

    def _fetched(self, evidence: Evidence, files: list[dict[str, Any]]) -> int:
        """Sets ``content`` of each, or ``unread``; how many contents are new."""
        new = 0
        for batch in _batches(evidence, files):
            new += self._streamed(evidence, batch)
        for file in files:
            file["content"] = None
            if file["digests"] is None or file["unread"] is not None:
                continue
            try:
                new += evidence.content(file["digests"]["sha256"], file["size"], partial(self._write, file))
                file["content"] = "content/" + file["digests"]["sha256"]
            except RescueError as error:
                file["unread"] = str(error)
        return new

    def _streamed(self, evidence: Evidence, batch: list[dict[str, Any]]) -> int:
        """By one call of the module, if that can be; each gets its name as soon as it is here."""
        begun: list[tuple[dict[str, Any], ExitStack, Receiver]] = []
        new = []

        def take(stream: IO[bytes], **_how: bool) -> None:
            for file, stack, receiver in begun:
                try:
                    with stack:
                        receiver.stream(stream)
                        _compare(file, receiver)
                    new.append(file)
                except RescueError as error:
                    file["unread"] = str(error)

        try:
            for file in batch:
                stack = ExitStack()
                with suppress(BusyError, DifferentError):  # others bring it, or have brought it
                    opened = stack.enter_context(evidence.written(file["digests"]["sha256"], file["size"]))
                    begun.append((file, stack, Receiver(opened, _say_nothing)))
            wanted = [
                {"sources": _sources(file), "size": file["size"], "kept": receiver.kept}
                for file, _stack, receiver in begun
            ]
            if wanted:
                self._content.stream(wanted, take)
        except (AnsibleConnectionFailure, BrokenStreamError) as error:
            for file, _stack, _receiver in begun:
                if file not in new and file["unread"] is None:
                    file["unread"] = f"The transfer broke off: {error}"
        finally:
            for _file, stack, _receiver in begun:
                with suppress(BrokenStreamError), stack:  # of what is still open not all has come
                    raise BrokenStreamError
        return len(new)

    def _write(self, file: dict[str, Any], stream: BinaryIO) -> None:
        receiver = Receiver(stream, _say_nothing)
        *others, last = _sources(file)
        try:
            for source in others:
                with suppress(RescueError):
                    self._content.transfer(dict(file, source=source, checksum=_checksum(file)), receiver)
                    break
            else:
                self._content.transfer(dict(file, source=last, checksum=_checksum(file)), receiver)
        except (AnsibleConnectionFailure, BrokenStreamError) as error:
            raise RescueError(f"The transfer broke off: {error}") from error
        _compare(file, receiver)

    def _let_go(self, keeper: dict[str, Any] | None) -> None:
        """Of what a process there keeps open for us; it ends by itself, later."""
        if keeper is not None:
            with suppress(RescueError, AnsibleConnectionFailure):
                self._content.asked({"source": {}}, "release", keeper)

    def _sealed(self, evidence: Evidence, results: dict[str, Any] | None) -> dict[str, Any]:
        evidence.check_unsealed()
        if results is not None:
            evidence.record(
                {
                    "record": "run",
                    "sealed": time.time(),
                    "controller": platform.node(),
                    "collection": _version(),
                    "hosts": {name: _outcome(told) for name, told in results.items()},
                }
            )
        count = evidence.seal()
        return {"changed": True, "sealed": count, "seal": os.fsdecode(os.path.join(evidence.dest, SEAL))}


def _outcome(told: dict[str, Any]) -> dict[str, Any]:
    """Of what the task gave on a host."""
    state = next((word for word in ("unreachable", "failed") if told.get(word)), None)
    if state is None:
        state = "collected" if "manifest" in told else "not asked"
    kept = ("msg", "manifest", "files", "contents", "complete", "unread")
    return {"state": state, **{name: told[name] for name in kept if name in told}}


def _batches(evidence: Evidence, files: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """What is not in the folder yet, each content once, in the order of the files."""
    seen = set()
    batch: list[dict[str, Any]] = []
    for file in files:
        if file["digests"] is None:
            continue
        sha256 = file["digests"]["sha256"]
        try:
            if sha256 in seen or evidence.has(sha256, file["size"]):
                continue
        except RescueError as error:
            file["unread"] = str(error)
            continue
        seen.add(sha256)
        if batch and (len(batch) == _FILES or sum(one["size"] for one in batch) + file["size"] > _BYTES):
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _sources(file: dict[str, Any]) -> list[dict[str, Any]]:
    """From where it can be read, what is there longest first."""
    return [source for source in (file["kept"], file["source"]) if source is not None]


def _checksum(file: dict[str, Any]) -> str:
    return "sha256:" + str(file["digests"]["sha256"])


def _compare(file: dict[str, Any], receiver: Receiver) -> None:
    if receiver.kept.sha256 != file["digests"]["sha256"]:
        raise DifferentError("it changed after its digest was computed: fetch it by itself")


def _say_nothing(_offset: int) -> None:
    """Nobody watches each of many files."""


_OF_THE_SCAN = ("complete", "unreadable_processes", "silent_processes", "skipped_mounts")


def _version() -> str:
    """Of this collection, as installed (MANIFEST.json) or as its source (galaxy.yml) says."""
    top = Path(__file__).parents[2]
    for name in ("MANIFEST.json", "galaxy.yml"):
        if (top / name).exists():
            told = yaml.safe_load((top / name).read_text(encoding="utf-8"))
            return str(told.get("collection_info", told)["version"])
    return "unknown"
