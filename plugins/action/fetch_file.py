# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch deleted files: chooses on the host, writes here what arrives of them, compares the digests of both ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import FETCH_SPEC, chosen
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import parsed_mode
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields, printable
from ansible_collections.procfs.rescue.plugins.plugin_utils._content import Content
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import DifferentError, LocalFile, components
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress, is_watched
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import BrokenStreamError, Receiver
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import SessionError
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

# Permissions of what arrives, unless the user gives others.
_PRIVATE = 0o600

_display = Display()

# Of what was chosen, to a receiver; gives how it came, its digest on the host, and whether it changed meanwhile.
_Transfer = Callable[[dict[str, Any], Receiver], tuple[str, str, bool]]


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._content = Content(self, self._vars)
        options = self.validate_argument_spec(argument_spec=FETCH_SPEC)[1]
        request = {name: value for name, value in options.items() if value is not None}

        def by_module(found: dict[str, Any]) -> dict[str, Any]:
            if found.get("failed"):
                return {"failed": True, "msg": found["msg"], "refused": found.get("refused", [])}
            return self._fetched(found["answer"], options, self._content.transfer)

        def over_sftp(host: Host) -> dict[str, Any]:
            try:
                with chosen(request, host) as (found, fd):
                    return self._fetched(found, options, partial(_over_sftp, host, fd))
            except RescueError as error:
                return {"failed": True, "msg": DO_NOT + str(error), "refused": error.reasons}

        # A large file is not read twice on the host, unless somebody wants to know before it comes what is in it.
        step = {"with_digest": self._task.check_mode or self._task.diff}
        asked = dict(request, source=dict(request.get("source") or {}, step=step))
        result.update(answer(self, options["transport"], asked, self._vars, over_sftp, by_module))
        if result.get("refused") == ["not_held"] and not options["fail_on_missing"]:
            result.update(failed=False, changed=False)
        return result

    def _fetched(self, found: dict[str, Any], args: dict[str, Any], transfer: _Transfer) -> dict[str, Any]:
        try:
            return self._described_and_written(found, args, transfer)
        except RescueError as error:
            raise AnsibleActionFail(DO_NOT + str(error)) from error
        except SessionError:  # another way may lead in
            raise
        except OSError as error:
            raise AnsibleActionFail(f"{DO_NOT}The file could not be written here: {fault(error)}.") from error

    def _described_and_written(
        self, found: dict[str, Any], args: dict[str, Any], transfer: _Transfer
    ) -> dict[str, Any]:
        local = self._local_file(found, args)
        mode = None if args["mode"] is None else parsed_mode(args["mode"])
        before = local.existing(None if self._task.diff else found["size"])
        if before is not None and before.checksum is not None and found["checksum"] is None:
            found = dict(found, checksum="sha256:" + self._content.asked(found, "beginning", found["size"])["sha256"])
        answer = {name: found[name] for name in ("path", "size", "owner", "group", "mode", "mtime", "source")}
        if "path_b64" in found:
            answer["path_b64"] = found["path_b64"]
        answer.update(path_fields(local.path, "dest"))
        is_same = before is not None and before.checksum is not None and before.checksum == found["checksum"]
        answer.update(
            changed=not is_same or (before is not None and mode not in (None, before.mode)),
            checksum=found["checksum"],
            remote_checksum=found["checksum"],
            consistent=True,
        )
        if self._task.diff:
            answer["diff"] = {
                "before_header": answer["dest"],
                "after_header": f"{answer['path']} from {found['source']['link']}",
                "before": {"state": "absent"} if before is None else _shown(before.checksum, before.mode),
                "after": _shown(found["checksum"], _PRIVATE if mode is None else mode),
            }
        if answer["changed"] and not self._task.check_mode:
            with local.written(_PRIVATE if mode is None else mode, args["resume"]) as file:
                answer.update(self._transferred(found, file, args, transfer))
            if not answer["consistent"]:
                self._tell_of_change(answer)
        return answer

    def _local_file(self, found: dict[str, Any], args: dict[str, Any]) -> LocalFile:
        names = components(path_bytes(found) or b"")
        dest = os.fsencode(self._loader.path_dwim(args["dest"]))
        if not args["flat"]:
            host = str(self._vars.get("inventory_hostname", self._play_context.remote_addr))
            return LocalFile(dest, [*components(os.fsencode(host.replace("/", "%2F"))), *names])
        if args["dest"].endswith("/"):
            return LocalFile(dest, names[-1:])
        if os.path.isdir(dest):
            raise RescueError(f"{printable(dest)} is a folder: end dest with / to store the file in it.")
        parent, name = os.path.split(dest)
        return LocalFile(parent, [name])

    def _transferred(
        self, found: dict[str, Any], file: BinaryIO, args: dict[str, Any], transfer: _Transfer
    ) -> dict[str, Any]:
        say = self._say if is_watched() else _display.v
        progress = Progress(f"{self._host_name}: {found['path']}", found["size"], say)
        receiver = Receiver(file, progress.at)
        try:
            came_as, remote, changed = transfer(found, receiver)
        except (AnsibleConnectionFailure, BrokenStreamError) as error:
            kept = "What arrived is kept: run it again." if args["resume"] else "Nothing was left here; try again."
            raise RescueError(f"The transfer of {found['source']['link']} broke off: {error}. {kept}") from error
        checksum = "sha256:" + receiver.kept.sha256
        if args["validate_checksum"] and checksum != remote:
            raise DifferentError(
                f"checksum mismatch: {found['source']['link']} had {remote}, here arrived {checksum}. "
                "It was written to meanwhile, or the transfer failed. Nothing was left here; try again."
            )
        return {
            "checksum": checksum,
            "remote_checksum": remote,
            "size": receiver.offset,
            "consistent": not changed,
            "came_as": came_as,
            "resumed_from": receiver.began,
        }

    @property
    def _host_name(self) -> str:
        return str(self._vars.get("inventory_hostname"))

    def _say(self, line: str) -> None:
        _display.display(line, screen_only=True)

    def _tell_of_change(self, answer: dict[str, Any]) -> None:
        _display.warning(
            f"{self._host_name}: {answer['path']} was written to while it was read: what is here now may be a "
            "mixture of states, or lack what was added. Fetch it again when nobody writes."
        )


def _over_sftp(host: Host, fd: int, found: dict[str, Any], receiver: Receiver) -> tuple[str, str, bool]:
    receiver.start_anew()  # what is there could only be compared by reading it again over the same way
    for piece in host.content(fd, found["size"]):
        receiver.piece(piece)
    return "pieces", str(found["checksum"]), False


def _shown(checksum: str | None, mode: int) -> dict[str, str | None]:
    return {"state": "file", "checksum": checksum, "mode": f"{mode:04o}"}
