# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch deleted files: chooses on the host, reads piece by piece, writes on the controller, compares both digests."""

from __future__ import annotations

import base64
import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import FETCH_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import LocalFile, components

# Bytes per module call: what memory holds of a file at any time, a few times over as base64 and JSON.
_PIECE = 8 * 1024 * 1024

_display = Display()


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        args = self.validate_argument_spec(argument_spec=FETCH_SPEC)[1]
        found = self._on_host({name: value for name, value in args.items() if value is not None}, task_vars)
        if found.get("failed"):
            if found.get("refused") == ["not_held"] and not args["fail_on_missing"]:
                return dict(result, changed=False, msg=found["msg"], refused=found["refused"])
            return dict(result, failed=True, msg=found["msg"], refused=found.get("refused", []))
        try:
            return dict(result, **self._fetched(found, args, task_vars or {}))
        except RescueError as error:
            raise AnsibleActionFail(DO_NOT + str(error)) from error
        except OSError as error:
            raise AnsibleActionFail(f"{DO_NOT}The file could not be written here: {fault(error)}.") from error

    def _on_host(self, module_args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(
            module_name="procfs.rescue.fetch_file", module_args=module_args, task_vars=task_vars
        )
        return answer

    def _fetched(self, found: dict[str, Any], args: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        local = self._local_file(found, args, task_vars)
        before = local.checksum()
        answer = {name: found[name] for name in ("path", "size", "owner", "group", "mode", "mtime", "source")}
        if "path_b64" in found:
            answer["path_b64"] = found["path_b64"]
        answer.update(path_fields(local.path, "dest"))
        answer.update(
            changed=before != found["checksum"], checksum=found["checksum"], remote_checksum=found["checksum"]
        )
        if self._task.diff:
            answer["diff"] = {
                "before_header": answer["dest"],
                "after_header": f"{answer['path']} from {found['source']['link']}",
                "before": {"state": "absent"} if before is None else {"state": "file", "checksum": before},
                "after": {"state": "file", "checksum": found["checksum"]},
            }
        if answer["changed"] and not self._task.check_mode:
            answer["checksum"] = self._transferred(found, local, args["validate_checksum"], task_vars)
        return answer

    def _local_file(self, found: dict[str, Any], args: dict[str, Any], task_vars: dict[str, Any]) -> LocalFile:
        names = components(path_bytes(found) or b"")
        dest = os.fsencode(self._loader.path_dwim(args["dest"]))
        if not args["flat"]:
            host = str(task_vars.get("inventory_hostname", self._play_context.remote_addr))
            return LocalFile(dest, [*components(os.fsencode(host.replace("/", "%2F"))), *names])
        if args["dest"].endswith("/"):
            return LocalFile(dest, names[-1:])
        if os.path.isdir(dest):
            raise RescueError(f"{printable(dest)} is a folder: end dest with / to store the file in it.")
        parent, name = os.path.split(dest)
        return LocalFile(parent, [name])

    def _transferred(self, found: dict[str, Any], local: LocalFile, validate: bool, task_vars: dict[str, Any]) -> str:
        """Reads until the end; returns the digest of what was written."""
        with local.written() as file:
            offset = 0
            while True:
                wanted = dict(found["source"], piece={"offset": offset, "length": _PIECE})
                part = self._on_host({"source": wanted, "dest": printable(local.path)}, task_vars)
                if part.get("failed"):
                    raise RescueError(
                        f"{printable(local.path)} was not written: {str(part['msg']).replace(DO_NOT, '')}"
                    )
                content = base64.b64decode(part["content"])
                file.write(content)
                offset += len(content)
                _display.v(
                    f"{found['path']}: {offset} of {found['size']} bytes", host=task_vars.get("inventory_hostname")
                )
                if len(content) < _PIECE:
                    break
            file.flush()
            checksum = "sha256:" + digests(file.fileno(), ["sha256"])["sha256"]
            if validate and checksum != found["checksum"]:
                raise RescueError(
                    f"checksum mismatch: {found['source']['link']} had {found['checksum']}, here arrived {checksum}. "
                    "It was written to meanwhile, or the transfer failed. Nothing was left here; try again."
                )
        return checksum
