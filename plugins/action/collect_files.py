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
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress, say
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
        self._progress = Progress(str(self._vars.get("inventory_hostname")), say)
        self._content = Content(self, self._vars, self._progress)
        options = self.validate_argument_spec(argument_spec=COLLECT_SPEC)[1]
        evidence = Evidence(os.fsencode(os.path.abspath(os.path.expanduser(options["dest"]))))
        try:
            with self._progress:
                return dict(result, **self._run(evidence, options))
        except RescueError as error:
            return dict(result, failed=True, msg=f"{DO_NOT}{error}")
        except OSError as error:
            return dict(result, failed=True, msg=f"{DO_NOT}The evidence could not be written here: {fault(error)}.")

    def _run(self, evidence: Evidence, options: dict[str, Any]) -> dict[str, Any]:
        if options["seal"]:
            return self._sealed(evidence, options["results"])
        evidence.check(self._vars["inventory_hostname"])
        if not options["allow_tmp"] and not self._is_pipelining_enabled("new"):
            return {"failed": True, "msg": _NO_PIPELINING}
        asked = time.time()
        self._progress.waits("looking for deleted files and computing their digests")
        with self._content.in_memory():
            told = self._looked()
        if told.get("failed"):
            return told
        filters = {name: options[name] for name in _FILTERS}
        return self._collected(evidence, told, filters, asked, time.time())

    def _looked(self) -> dict[str, Any]:
        """What the module says. The evidence tells hosts that were not reached from those where nothing could run."""
        try:
            answer: dict[str, Any] = self._execute_module(module_args=self._task.args, task_vars=self._vars)
        except AnsibleConnectionFailure as error:
            # Ansible says unreachable, too, if what was started there ended before it had read the module.
            if not isinstance(error.__context__, BrokenPipeError):
                raise
            self._low_level_execute_command(":")
            python = self._vars.get("ansible_python_interpreter", "the Python that Ansible found there")
            raise RescueError(
                "Nothing was collected. The host was reached, but what was to run the module ended before it had read "
                f"it: see that {python} can be started there, or name another one as ansible_python_interpreter."
            ) from error
        return answer

    def _collected(
        self, evidence: Evidence, told: dict[str, Any], filters: dict[str, Any], asked: float, answered: float
    ) -> dict[str, Any]:
        """``asked`` and ``answered`` are when, by the clock of the controller."""
        try:
            new = self._fetched(evidence, told["files"])
        finally:
            self._let_go(told["keeper"])
        for file in told["files"]:
            del file["kept"]
            if file["content"] is None:
                file["consistent"] = None
        unread = [file for file in told["files"] if file["content"] is None]
        name = self._vars["inventory_hostname"]
        # What is known here goes last: the host may be an intruder's, and say that it is another one.
        host = {
            **told["host"],
            "record": "host",
            "name": name,
            "address": self._get_remote_addr(self._vars),
            # The host answered in between: what its clock says more than ours lies between these.
            "clock_ahead_at_least": told["ended"] - answered,
            "clock_ahead_at_most": told["began"] - asked,
            "collected": asked,
            "collection": _version(),
            "filters": filters,
            **{field: told[field] for field in _OF_THE_SCAN},
        }
        manifest = evidence.manifest(name, [host, *({**file, "record": "file"} for file in told["files"])])
        return {
            "changed": True,
            "manifest": manifest,
            "filters": filters,
            "files": len(told["files"]),
            "contents": len({file["content"] for file in told["files"]} - {None}),
            "new_contents": new,
            "complete": told["complete"] and not unread,
            "unread": [f"{file['path']}: {file['unread']}" for file in unread],
            **{field: told[field] for field in _OF_THE_SCAN if field != "complete"},
        }

    def _fetched(self, evidence: Evidence, files: list[dict[str, Any]]) -> int:
        """Sets ``content`` of each, or ``unread``; how many contents are new."""
        new = 0
        missing = _missing(evidence, files)
        self._progress.begins(f"{len(missing)} contents", sum(file["size"] for file in missing))
        self._before: dict[str, int] = {}
        total = 0
        for file in missing:
            self._before[file["digests"]["sha256"]] = total
            total += file["size"]
        for batch in _batches(missing):
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
                        end = receiver.stream(stream, file["size"])
                        _compare(file, receiver, end["changed"])
                    new.append(file)
                except RescueError as error:
                    file["unread"] = str(error)

        try:
            for file in batch:
                stack = ExitStack()
                with suppress(BusyError, DifferentError):  # others bring it, or have brought it
                    opened = stack.enter_context(evidence.written(file["digests"]["sha256"], file["size"]))
                    begun.append((file, stack, self._receiver(file, opened)))
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

    def _receiver(self, file: dict[str, Any], stream: BinaryIO) -> Receiver:
        """It tells how far all of what is missing is."""
        before = self._before.get(file["digests"]["sha256"], 0)
        return Receiver(stream, lambda offset: self._progress.at(before + offset))

    def _write(self, file: dict[str, Any], stream: BinaryIO) -> None:
        receiver = self._receiver(file, stream)
        *others, last = _sources(file)
        try:
            for source in others:
                with suppress(RescueError):
                    changed = self._content.transfer(dict(file, source=source, checksum=_checksum(file)), receiver)[2]
                    break
            else:
                changed = self._content.transfer(dict(file, source=last, checksum=_checksum(file)), receiver)[2]
        except (AnsibleConnectionFailure, BrokenStreamError) as error:
            raise RescueError(f"The transfer broke off: {error}") from error
        _compare(file, receiver, changed)

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
        count = evidence.seal(self._progress)
        return {"changed": True, "sealed": count, "seal": os.fsdecode(os.path.join(evidence.dest, SEAL))}


def _outcome(told: dict[str, Any]) -> dict[str, Any]:
    """Of what the task gave on a host."""
    for state in ("unreachable", "failed"):
        if told.get(state):  # then the rest of it may be the host's own
            return {"state": state, **{name: told[name] for name in ("msg",) if name in told}}
    if "manifest" not in told:
        return {"state": "not asked"}
    kept = ("manifest", "filters", "files", "contents", "new_contents", "complete", "unread")
    return {"state": "collected", **{name: told[name] for name in kept}}


def _missing(evidence: Evidence, files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is not in the folder yet, each content once, in the order of the files. Sets ``unread`` of what is none."""
    found: dict[str, dict[str, Any]] = {}
    for file in files:
        if file["digests"] is None:
            continue
        sha256 = file["digests"]["sha256"]
        try:
            if not evidence.has(sha256, file["size"]):
                found.setdefault(sha256, file)
        except RescueError as error:
            file["unread"] = str(error)
    return list(found.values())


def _batches(files: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for file in files:
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


def _compare(file: dict[str, Any], receiver: Receiver, changed: bool) -> None:
    if receiver.kept.sha256 != file["digests"]["sha256"]:
        raise DifferentError("it changed after its digest was computed: fetch it by itself")
    file["consistent"] = file["consistent"] and not changed


_FILTERS = ("via", "suspicious_only", "min_size", "max_size")
_OF_THE_SCAN = ("complete", "unreadable_processes", "silent_processes", "skipped_mounts")


def _version() -> str:
    """Of this collection, as installed (MANIFEST.json) or as its source (galaxy.yml) says."""
    top = Path(__file__).parents[2]
    for name in ("MANIFEST.json", "galaxy.yml"):
        if (top / name).exists():
            told = yaml.safe_load((top / name).read_text(encoding="utf-8"))
            return str(told.get("collection_info", told)["version"])
    return "unknown"
