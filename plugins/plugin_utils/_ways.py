# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The ways into a host, from the usual to the last: a module over the usual shell, over another shell, SFTP, lifeline.

A way that cannot be taken is no error as long as another leads in.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job, as_program

Result = dict[str, Any]

# Shells that may be there when /bin/sh is not.
_SHELLS = ("/bin/dash", "/bin/bash", "/bin/busybox sh")

_REFUSED = "wrong key or login shell gone: sshd says the same for both"
_SHELL_GONE = "login shell gone, most likely: another login works"

_NOT_SSH = "it needs the connection plugin ansible.builtin.ssh"

# Seconds for one request over SFTP, and for the login.
_LIMIT = 20

_display = Display()


def answer(
    action: ActionBase,
    transport: str,
    module_args: dict[str, Any],
    task_vars: dict[str, Any],
    over_sftp: Callable[[Host], Result],
    by_module: Callable[[Result], Result] = lambda result: result,
    job: Job | None = None,
) -> Result:
    """What the module of the action's name answers on its host, or ``over_sftp`` in its place; with ``way``.

    ``by_module`` makes more of the module's answer, by the same way. ``job`` is what the module does as a program.

    ``transport`` is as in the options. Raises AnsibleError where no way leads in.
    """
    ways = _Ways(action, module_args, task_vars, over_sftp, by_module, job)
    closed: list[str] = []
    for name, way in ways.of(transport):
        try:
            result = way()
        except AnsibleActionFail:
            raise
        except (AnsibleError, OSError) as error:
            ways.last = error
            ways.is_unreachable |= isinstance(error, AnsibleConnectionFailure)
            closed.append(f"{name}: {_why(error)}")
        else:
            if closed:
                closed = [why.replace(_REFUSED, _SHELL_GONE) for why in closed]
                _display.v(f"taken: {name}; not: {'; '.join(closed)}", host=task_vars.get("inventory_hostname"))
            return dict(result, way=name, ways_closed=closed)
    # Unreachable only if it is: a host without a shell answers.
    failure = AnsibleConnectionFailure if ways.is_unreachable else AnsibleActionFail
    raise failure(
        f"{DO_NOT}No way led into this host. {'. '.join(closed)}. What is left: a console, a living shell or SSH "
        "connection somewhere (keep it), or the host's rescue system."
    )


def _why(error: Exception) -> str:
    why = (fault(error) if isinstance(error, OSError) else str(error)).strip().rstrip(".")
    if "Permission denied" in why:
        why += f" ({_REFUSED})"
    return why


class _Ways:
    def __init__(
        self,
        action: ActionBase,
        module_args: dict[str, Any],
        task_vars: dict[str, Any],
        over_sftp: Callable[[Host], Result],
        by_module: Callable[[Result], Result],
        job: Job | None,
    ) -> None:
        self.action = action
        self.module_args = module_args
        self.task_vars = task_vars
        self.over_sftp = over_sftp
        self.by_module = by_module
        self.job = job
        self.last: Exception | None = None  # why the way before was closed
        self.is_unreachable = False

    def of(self, transport: str) -> Iterator[tuple[str, Callable[[], Result]]]:
        """(name, way); a way that is closed raises. What comes after an open one is not asked for."""
        if transport != "sftp":
            yield "module", self._module
        if transport == "module":
            return
        if self._is_shell_missing():
            for shell in _SHELLS:
                yield f"module through {shell}", partial(self._module_through, shell)
        if self.task_vars.get("lifeline_port") or self.task_vars.get("lifeline_user"):
            yield "lifeline", self._lifeline
            if self.is_unreachable:
                return  # a third login that fails may make a newer sshd lock us out
        yield "sftp", partial(self._sftp, [])

    def _is_shell_missing(self) -> bool:
        """Whether it is the shell that Ansible asks for, and neither the login nor the login shell."""
        why = str(self.last) if isinstance(self.last, _ClosedError) else ""
        said = re.escape(self.action._play_context.executable) + r"\W{1,4}(no such file|not found|does not exist)"
        return re.search(said, why, re.IGNORECASE) is not None

    def _module(self) -> Result:
        with as_program(self.action, self.job):
            result: Result = self.action._execute_module(module_args=self.module_args, task_vars=self.task_vars)
        # Only what is no answer of the module is handed on as it came; a traceback says at least that Python runs.
        if "module_stdout" not in result or "Traceback" in str(result.get("module_stderr")):
            return self.by_module(result)
        said = (str(result.get(name) or "").strip() for name in ("module_stderr", "module_stdout", "msg"))
        raise _ClosedError(next((text for text in said if text), "it said nothing"))

    def _module_through(self, shell: str) -> Result:
        with _shell(self.action, shell):
            return self._module()

    def _lifeline(self) -> Result:
        """Its own port or user, and key; a connection of its own, since it must not use that of another one."""
        connection = self.action._connection
        if not hasattr(connection, "_build_command"):
            raise _ClosedError(_NOT_SSH)
        address, port = (
            connection.get_option("host") or self.action._play_context.remote_addr,
            connection.get_option("port"),
        )
        settings = {
            "User": self.task_vars.get("lifeline_user") or "root",
            "ControlPath": f"{connection.get_option('control_path_dir')}/lifeline-%C",
        }
        if self.task_vars.get("lifeline_port"):  # an account of its own uses the usual one
            settings["Port"] = self.task_vars["lifeline_port"]
            if port not in (None, 22):  # ssh looks for the host's key under that port and under 22 only
                settings["HostKeyAlias"] = f"[{address}]:{port}"
        if self.task_vars.get("lifeline_private_key_file"):
            settings["IdentityFile"] = os.path.expanduser(str(self.task_vars["lifeline_private_key_file"]))
        return self._sftp([f"-o{name}={value}".encode() for name, value in settings.items()])

    def _sftp(self, first_options: list[bytes]) -> Result:
        # paramiko costs a fifth of a second for each host, which most do not need.
        from ansible_collections.procfs.rescue.plugins.plugin_utils._paramiko import PARAMIKO_ERROR
        from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe
        from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_host import sftp_host

        if PARAMIKO_ERROR is not None:
            raise _ClosedError("the controller's Python has no paramiko: install it there (pip install paramiko)")
        connection = self.action._connection
        if not hasattr(connection, "_build_command"):
            raise _ClosedError(_NOT_SSH)
        if connection.get_option("password"):
            raise _ClosedError("it needs a key or an agent, it cannot log in with a password")
        ssh = connection.get_option("ssh_executable")
        address = connection.get_option("host") or self.action._play_context.remote_addr
        command = connection._build_command(ssh, "ssh", b"-s", address.encode(), b"sftp")
        command[1:1] = first_options  # of two settings ssh takes the first
        with sftp_host(lambda: Client(Pipe(command, _LIMIT)), _display.warning) as host:
            if self.action._play_context.become and host.own_ids()[0] != 0:
                raise _ClosedError("it logged in as another user than root, and SFTP knows no become")
            return self.over_sftp(host)


class _ClosedError(AnsibleError):
    """A way that does not lead in."""


@contextmanager
def _shell(action: ActionBase, shell: str) -> Iterator[None]:
    """What Ansible wraps its commands with, with become too."""
    context, plugin = action._play_context, action._connection._shell
    before = context.executable, plugin.executable
    context.executable = plugin.executable = shell
    try:
        yield
    finally:
        context.executable, plugin.executable = before
