# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""restore_file over SFTP, whose server fails at one request, or whose connection is cut there."""

from __future__ import annotations

import errno
import json
import select
import signal
from typing import Any

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from paramiko import sftp

from ansible_collections.procfs.rescue.plugins.module_utils._restore_spec import RESTORE_SPEC, checked
from ansible_collections.procfs.rescue.plugins.module_utils._restore_task import run
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe, SessionError
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_host import sftp_host
from faults.situations import FOLDER, Lost
from faults.supervisor import CUT, LOST, Call, End, Point

SERVER = b"/usr/lib/openssh/sftp-server"

# What the server refuses in place of a request, with the status that the fault has in SFTP.
_REFUSED = {errno.EIO: b"/proc", errno.EACCES: b"/proc/self/fd"}


class FaultyClient(Client):
    """Counts the requests from the first opening of the folder on, as `Point` does."""

    def __init__(self, pipe: Pipe, calls: list[Call], point: Point | None) -> None:
        self.calls = calls
        self.point = point
        super().__init__(pipe)

    def _async_request(self, one: Any, kind: int, *arguments: Any) -> int:
        name = arguments[0] if kind == sftp.CMD_EXTENDED else sftp.CMD_NAMES[kind]
        path = arguments[0] if isinstance(arguments[0], bytes) else b""
        if not self.calls and not (kind == sftp.CMD_OPENDIR and path.endswith(FOLDER.encode())):
            return self._send(one, kind, *arguments)
        self.calls.append(Call(name, (), path))
        count = sum(call.name == name for call in self.calls)
        if self.point is None or (name, count) != (self.point.name, self.point.number):
            return self._send(one, kind, *arguments)
        if self.point.fault == CUT:
            self._cut()
        if self.point.fault == LOST:
            self._send(one, kind, *arguments)
            select.select([self.sock._output], [], [])
            self._cut()
        return self._send(one, sftp.CMD_RMDIR, _REFUSED[self.point.fault])

    def _send(self, one: Any, kind: int, *arguments: Any) -> int:
        number: int = super()._async_request(one, kind, *arguments)
        self.sock.flush()  # what comes before the point is carried out
        return number

    def _cut(self) -> None:
        self.sock.close()
        raise SessionError(errno.ECONNRESET, "the connection was cut")


def module(this: Lost, calls: list[Call], point: Point | None) -> End:
    options = this.options()
    check_mode = options.pop("_ansible_check_mode", False)
    params = checked(ArgumentSpecValidator(**RESTORE_SPEC).validate(options).validated_parameters)

    def connect() -> Client:
        client = FaultyClient(Pipe([SERVER], 10), calls, point)
        for extension in this.situation.without:
            del client.extensions[extension]
        return client

    try:
        with sftp_host(connect) as host:
            answer = run(params, Setting(check_mode, False, lambda _line: None, host))
    except OSError as error:  # as the action plugin has it
        answer = {"failed": True, "msg": str(error)}
    return End(signal.SIGKILL if point and point.fault in (CUT, LOST) else 0, json.dumps(answer).encode())
