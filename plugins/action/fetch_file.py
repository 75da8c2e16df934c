# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch deleted files: chooses on the host, reads piece by piece, writes on the controller, compares both digests."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import FETCH_SPEC, chosen
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import parsed_mode
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import LocalFile, components
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import SessionError
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

# Bytes per module call: what memory holds of a file at any time, a few times over as base64 and JSON.
_PIECE = 8 * 1024 * 1024

# Permissions of what arrives, unless the user gives others.
_PRIVATE = 0o600

_display = Display()


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        options = self.validate_argument_spec(argument_spec=FETCH_SPEC)[1]
        request = {name: value for name, value in options.items() if value is not None}

        def by_module(found: dict[str, Any]) -> dict[str, Any]:
            if found.get("failed"):
                return {"failed": True, "msg": found["msg"], "refused": found.get("refused", [])}
            return self._fetched(found, options, task_vars, self._pieces(found, task_vars))

        def over_sftp(host: Host) -> dict[str, Any]:
            try:
                with chosen(request, host) as (found, fd):
                    return self._fetched(found, options, task_vars, host.content(fd, found["size"]))
            except RescueError as error:
                return {"failed": True, "msg": DO_NOT + str(error), "refused": error.reasons}

        result.update(answer(self, options["transport"], request, task_vars, over_sftp, by_module))
        if result.get("refused") == ["not_held"] and not options["fail_on_missing"]:
            result.update(failed=False, changed=False)
        return result

    def _fetched(
        self, found: dict[str, Any], args: dict[str, Any], task_vars: dict[str, Any], pieces: Iterator[bytes]
    ) -> dict[str, Any]:
        try:
            return self._described_and_written(found, args, task_vars, pieces)
        except RescueError as error:
            raise AnsibleActionFail(DO_NOT + str(error)) from error
        except SessionError:  # another way may lead in
            raise
        except OSError as error:
            raise AnsibleActionFail(f"{DO_NOT}The file could not be written here: {fault(error)}.") from error

    def _described_and_written(
        self, found: dict[str, Any], args: dict[str, Any], task_vars: dict[str, Any], pieces: Iterator[bytes]
    ) -> dict[str, Any]:
        local = self._local_file(found, args, task_vars)
        mode = None if args["mode"] is None else parsed_mode(args["mode"])
        before = local.existing()
        answer = {name: found[name] for name in ("path", "size", "owner", "group", "mode", "mtime", "source")}
        if "path_b64" in found:
            answer["path_b64"] = found["path_b64"]
        answer.update(path_fields(local.path, "dest"))
        answer.update(
            changed=before is None or before.checksum != found["checksum"] or mode not in (None, before.mode),
            checksum=found["checksum"],
            remote_checksum=found["checksum"],
        )
        if self._task.diff:
            answer["diff"] = {
                "before_header": answer["dest"],
                "after_header": f"{answer['path']} from {found['source']['link']}",
                "before": {"state": "absent"} if before is None else _shown(before.checksum, before.mode),
                "after": _shown(found["checksum"], _PRIVATE if mode is None else mode),
            }
        if answer["changed"] and not self._task.check_mode:
            with local.written(_PRIVATE if mode is None else mode) as file:
                answer["checksum"] = self._transferred(found, file, args["validate_checksum"], pieces, task_vars)
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

    def _pieces(self, found: dict[str, Any], task_vars: dict[str, Any]) -> Iterator[bytes]:
        """The content as the module gives it, one call for each piece; of a log that grows, what was described."""
        offset = 0
        while offset < found["size"]:
            wanted = dict(found["source"], piece={"offset": offset, "length": min(_PIECE, found["size"] - offset)})
            with self._unseen():
                part = self._execute_module(module_args={"source": wanted, "dest": "/"}, task_vars=task_vars)
            if part.get("failed"):
                raise RescueError(f"Nothing was written. {str(part['msg']).replace(DO_NOT, '')}")
            piece = base64.b64decode(part["content"])
            if not piece:  # it was truncated
                return
            yield piece
            offset += len(piece)

    @contextmanager
    def _unseen(self) -> Iterator[None]:
        """Connections show what a module answers, from -vvv on, unless it is secret: this is what files contain."""
        context = self._connection._play_context
        before, context.no_log = context.no_log, True
        try:
            yield
        finally:
            context.no_log = before

    def _transferred(
        self, found: dict[str, Any], file: BinaryIO, validate: bool, pieces: Iterator[bytes], task_vars: dict[str, Any]
    ) -> str:
        """Reads until the end; returns the digest of what was written."""
        for piece in pieces:
            file.write(piece)
            told = f"{found['path']}: {file.tell()} of {found['size']} bytes"
            _display.v(told, host=task_vars.get("inventory_hostname"))
        file.flush()
        checksum = "sha256:" + digests(file.fileno(), ["sha256"])["sha256"]
        if validate and checksum != found["checksum"]:
            raise RescueError(
                f"checksum mismatch: {found['source']['link']} had {found['checksum']}, here arrived {checksum}. "
                "It was written to meanwhile, or the transfer failed. Nothing was left here; try again."
            )
        return checksum


def _shown(checksum: str, mode: int) -> dict[str, str]:
    return {"state": "file", "checksum": checksum, "mode": f"{mode:04o}"}
