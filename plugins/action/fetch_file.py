# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetch deleted files: chooses on the host, writes here what arrives of them, compares the digests of both ends."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, Protocol

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._choose import wish_from
from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import chosen
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import sentence
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import parsed_mode
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields, printable
from ansible_collections.procfs.rescue.plugins.module_utils._options import FETCH_SPEC, SOURCE_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._content import Content
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import DifferentError, LocalFile, components
from ansible_collections.procfs.rescue.plugins.plugin_utils._own_ssh import LARGE
from ansible_collections.procfs.rescue.plugins.plugin_utils._progress import Progress, reading, say
from ansible_collections.procfs.rescue.plugins.plugin_utils._receive import BrokenStreamError, Receiver, about
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import SessionError
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

# Permissions of what arrives, unless the user gives others.
_PRIVATE = 0o600

_display = Display()


class _Transfer(Protocol):
    """How what was chosen comes here. Both raise RescueError, AnsibleConnectionFailure and BrokenStreamError."""

    def digest(self, found: dict[str, Any], /) -> str:
        """As in ``checksum``."""

    def transfer(self, found: dict[str, Any], receiver: Receiver) -> tuple[str, str, bool]:
        """To a receiver; gives how it came, its digest on the host, and whether it changed meanwhile."""


# For playbooks that ask for what ansible.builtin.fetch returns; it has None as well where there is no MD5.
_OF_BUILTIN_FETCH = {"md5sum": None, "remote_md5sum": None}


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        self._vars = task_vars or {}
        self._progress = Progress(self._host_name, say)
        self._content = Content(self, self._vars, self._progress)
        self._options = self.validate_argument_spec(argument_spec=FETCH_SPEC)[1]
        self._came: dict[str, Any] | None = None
        request = {name: value for name, value in self._options.items() if value is not None}

        def by_module(found: dict[str, Any]) -> dict[str, Any]:
            if self._came is not None:
                return self._came
            if found.get("failed"):
                return {"failed": True, "msg": found["msg"], "refused": found.get("refused", [])}
            return self._fetched(found["answer"], self._content)

        def over_sftp(host: Host) -> dict[str, Any]:
            try:
                with chosen(request, host, self._is_asked_before) as (found, fd):
                    return self._fetched(found, _OverSftp(host, fd, self._progress))
            except RescueError as error:
                return {"failed": True, "msg": DO_NOT + str(error), "refused": error.reasons}

        # A large file is not read twice on the host, unless somebody wants to know before it comes what is in it.
        step = {"with_digest": self._is_asked_before}
        asked = dict(request, source=dict(request.get("source") or {}, step=step))
        with self._progress:
            result.update(answer(self, self._options["transport"], asked, self._vars, over_sftp, by_module))
        if result.get("refused") == ["not_held"] and not self._options["fail_on_missing"]:
            result.update(failed=False, changed=False, file=self._options["path"])
        return result

    @property
    def _is_asked_before(self) -> bool:
        return bool(self._task.check_mode or self._task.diff)

    def _execute_module(self, *_args: Any, module_args: Any = None, **_how: Any) -> dict[str, Any]:
        """By this the ways call the module. It brings the content at once, unless it turns out not to be wanted so."""
        if self._is_asked_before:
            return self._content.called(module_args)
        size = module_args["source"].get("size")
        told = self._content.chosen(module_args, self._take, size if isinstance(size, int) else None)
        return told if self._came is None else {}

    def _take(self, stream: IO[bytes], *, is_old: bool) -> bytes | None:
        found = about(stream)
        try:
            self._came = self._fetched(found, _Arriving(stream, is_old))
        except _AskFirstError:
            return json.dumps({"answer": found}).encode("ascii")
        return None

    def _fetched(self, found: dict[str, Any], way: _Transfer) -> dict[str, Any]:
        try:
            return self._described_and_written(found, way)
        # Not from them: Ansible would say their words once more behind ours.
        except RescueError as error:
            raise AnsibleActionFail(DO_NOT + str(error), result={"refused": error.reasons}) from None
        except SessionError:  # another way may lead in
            raise
        except OSError as error:
            raise AnsibleActionFail(f"{DO_NOT}The file could not be written here: {fault(error)}.") from None

    def _described_and_written(self, found: dict[str, Any], way: _Transfer) -> dict[str, Any]:
        args = self._options
        local = self._local_file(found)
        mode = None if args["mode"] is None else parsed_mode(args["mode"])
        self._progress.begins(found["path"], found["size"])
        self._progress.waits(reading(found["size"]))
        before = local.existing(None if self._task.diff else found["size"])
        if before is not None and before.checksum is not None and found["checksum"] is None:
            found = dict(found, checksum=way.digest(found))
        if found["checksum"] is not None:
            self._compare(found, found["checksum"])
        answer = {name: found[name] for name in ("path", "size", "owner", "group", "mode", "mtime", "source")}
        if "path_b64" in found:
            answer["path_b64"] = found["path_b64"]
        answer.update(path_fields(local.path, "dest"), file=answer["path"])
        is_same = before is not None and before.checksum is not None and before.checksum == found["checksum"]
        answer.update(
            changed=not is_same or (before is not None and mode not in (None, before.mode)),
            checksum=found["checksum"],
            remote_checksum=found["checksum"],
            consistent=True,
            **_OF_BUILTIN_FETCH,
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
                answer.update(self._transferred(found, file, way))
        return answer

    def _local_file(self, found: dict[str, Any]) -> LocalFile:
        args = self._options
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

    def _transferred(self, found: dict[str, Any], file: BinaryIO, way: _Transfer) -> dict[str, Any]:
        self._progress.waits(reading(os.fstat(file.fileno()).st_size))
        receiver = Receiver(file, self._progress.at)
        self._progress.waits()
        try:
            came_as, remote, changed = way.transfer(found, receiver)
        except (AnsibleConnectionFailure, BrokenStreamError) as error:
            is_kept = self._options["resume"]
            kept = "What arrived is kept: run it again." if is_kept else "Nothing was left here; try again."
            raise RescueError(f"The transfer of {found['source']['link']} broke off: {error}. {kept}") from error
        checksum = "sha256:" + receiver.kept.sha256
        if self._options["validate_checksum"] and checksum != remote:
            raise DifferentError(
                f"checksum mismatch: {found['source']['link']} had {remote}, here arrived {checksum}. "
                "It was written to meanwhile, or the transfer failed. Nothing was left here; try again."
            )
        self._compare(found, checksum)
        is_mapped = came_as == "stream" and found["mapped_writable"]
        if changed or is_mapped:
            self._tell_of_change(found["path"], changed)
        return {
            "checksum": checksum,
            "remote_checksum": remote,
            "size": receiver.offset,
            "consistent": not (changed or is_mapped),
            "came_as": came_as,
            "resumed_from": receiver.began,
        }

    def _compare(self, found: dict[str, Any], checksum: str) -> None:
        """With the one that the user wants. Other kinds of it the host compares, before anything comes."""
        wanted = wish_from({name: self._options.get(name) for name in SOURCE_SPEC}).checksum
        if wanted is not None and wanted.algorithm == "sha256" and checksum != f"sha256:{wanted.digest}":
            reasons = ["checksum_differs"]
            raise DifferentError(f"Refused to fetch {found['source']['link']}: {sentence(reasons)}.", reasons)

    @property
    def _host_name(self) -> str:
        return str(self._vars.get("inventory_hostname"))

    def _tell_of_change(self, path: str, is_seen: bool) -> None:
        what = "was written to while it was read" if is_seen else "is mapped by a process that may write to it unseen"
        _display.warning(
            f"{self._host_name}: {path} {what}: what is here now may be a mixture of states, or lack what was added. "
            "Fetch it again when nobody writes."
        )


class _AskFirstError(Exception):
    """What comes now is not wanted, or not in this way: first something must be asked of the host."""


class _Arriving:
    """What comes already, from its beginning on."""

    def __init__(self, stream: IO[bytes], is_old: bool) -> None:
        self._stream = stream
        self._is_old = is_old

    def digest(self, _found: dict[str, Any], /) -> str:
        raise _AskFirstError

    def transfer(self, found: dict[str, Any], receiver: Receiver) -> tuple[str, str, bool]:
        if receiver.offset or (self._is_old and found["size"] >= LARGE):
            raise _AskFirstError
        end = receiver.stream(self._stream, found["size"])
        return "stream", "sha256:" + end["sha256"], end["changed"]


class _OverSftp:
    def __init__(self, host: Host, fd: int, progress: Progress) -> None:
        self._host = host
        self._fd = fd
        self._progress = progress

    def digest(self, found: dict[str, Any]) -> str:
        self._progress.begins(f"digest of {found['path']}", found["size"])
        digest = digests_of(self._read(found["size"]), ["sha256"])["sha256"]
        self._progress.begins(found["path"], found["size"])
        return f"sha256:{digest}"

    def _read(self, size: int) -> Iterator[bytes]:
        offset = 0
        for piece in self._host.content(self._fd, size):
            yield piece
            offset += len(piece)
            self._progress.at(offset)

    def transfer(self, found: dict[str, Any], receiver: Receiver) -> tuple[str, str, bool]:
        receiver.start_anew()  # what is there could only be compared by reading it again over the same way
        # Of a second no more than that is known when something was written: what somebody may write to is read twice.
        digest = self.digest(found) if found["has_writers"] else found["checksum"]
        before = self._stamp()
        receiver.begin()
        for piece in self._host.content(self._fd, found["size"]):
            receiver.piece(piece)
        return "pieces", digest or "sha256:" + receiver.kept.sha256, before != self._stamp()

    def _stamp(self) -> tuple[int, int]:
        return self._host.size(self._fd), self._host.read_metadata(self._fd).mtime_ns


def _shown(checksum: str | None, mode: int) -> dict[str, str | None]:
    return {"state": "file", "checksum": checksum, "mode": f"{mode:04o}"}
