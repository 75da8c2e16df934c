# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Collects what deleted files hold as evidence on the controller: contents, and manifests of what is known of them."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._collect import COLLECT_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.plugin_utils._content import Content
from ansible_collections.procfs.rescue.plugins.plugin_utils._evidence import SEAL, Evidence
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import DifferentError
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import BrokenStreamError, Receiver

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
        options = self.validate_argument_spec(argument_spec=COLLECT_SPEC)[1]
        evidence = Evidence(os.fsencode(os.path.abspath(os.path.expanduser(options["dest"]))))
        try:
            if options["seal"]:
                count = evidence.seal()
                return dict(result, changed=True, sealed=count, seal=os.fsdecode(os.path.join(evidence.dest, SEAL)))
            if not options["allow_tmp"] and not self._is_pipelining_enabled("new"):
                return dict(result, failed=True, msg=_NO_PIPELINING)
            asked = time.time()
            told = self._execute_module(module_args=self._task.args, task_vars=self._vars)
            if told.get("failed"):
                return dict(result, **told)
            return dict(result, **self._collected(evidence, told, asked, time.time()))
        except OSError as error:
            return dict(result, failed=True, msg=f"{DO_NOT}The evidence could not be written here: {fault(error)}.")

    def _collected(self, evidence: Evidence, told: dict[str, Any], asked: float, answered: float) -> dict[str, Any]:
        """``asked`` and ``answered`` are when, by the clock of the controller."""
        new = 0
        for file in told["files"]:
            file["content"] = None
            if file["digests"] is None:
                continue
            try:
                write = partial(self._write, file)
                file["content"], is_new = evidence.content(file["digests"]["sha256"], file["size"], write)
                new += is_new
            except RescueError as error:
                file["unread"] = str(error)
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

    def _write(self, file: dict[str, Any], stream: BinaryIO) -> None:
        receiver = Receiver(stream, lambda _offset: None)
        found = dict(file, checksum="sha256:" + file["digests"]["sha256"])
        try:
            Content(self, self._vars).transfer(found, receiver)
        except (AnsibleConnectionFailure, BrokenStreamError) as error:
            raise RescueError(f"The transfer broke off: {error}") from error
        if receiver.kept.sha256 != file["digests"]["sha256"]:
            raise DifferentError("it changed after its digest was computed: fetch it by itself")


_OF_THE_SCAN = ("complete", "unreadable_processes", "silent_processes", "skipped_mounts")


def _version() -> str:
    """Of this collection, as installed (MANIFEST.json) or as its source (galaxy.yml) says."""
    top = Path(__file__).parents[2]
    for name in ("MANIFEST.json", "galaxy.yml"):
        if (top / name).exists():
            told = yaml.safe_load((top / name).read_text(encoding="utf-8"))
            return str(told.get("collection_info", told)["version"])
    return "unknown"
