# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sets the lifeline up on the host, logs in by it from here, and takes it back where that fails."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._lifeline import SPEC

Result = dict[str, Any]

# Tells hosts apart.
_BOOT_ID = "/proc/sys/kernel/random/boot_id"

# Seconds for the login and a tiny file.
_LIMIT = 30


class ActionModule(ActionBase):
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> Result:
        result: Result = super().run(tmp, task_vars)
        args: Result = self.validate_argument_spec(argument_spec=SPEC)[1]
        done = self._on_host({name: value for name, value in args.items() if value is not None}, task_vars)
        boot_id = done.pop("boot_id", None)
        if done.get("failed") or args["state"] == "absent" or args["previous"] is not None:
            return dict(result, **done)
        if done["changed"] and self._task.check_mode:
            return dict(result, **done, logged_in=False, msg="The lifeline is not there as it is to be.")
        complaint = self._login_complaint(args, boot_id)
        if complaint:
            return dict(result, **self._taken_back(done, complaint, task_vars))
        return dict(result, **done, logged_in=True)

    def _on_host(self, module_args: Result, task_vars: dict[str, Any] | None) -> Result:
        answer: Result = self._execute_module(
            module_name="procfs.rescue.lifeline_sshd", module_args=module_args, task_vars=task_vars
        )
        return answer

    def _login_complaint(self, args: Result, boot_id: str) -> str:
        """Logs in by the lifeline, and nothing else: not by the connection that is there, nor by another way."""
        connection = self._connection
        if not hasattr(connection, "_build_command"):
            return "the connection plugin is not ansible.builtin.ssh"
        address, port = connection.get_option("host") or self._play_context.remote_addr, connection.get_option("port")
        settings = {
            "User": args["user"] or "root",
            "ControlPath": "none",
            "BatchMode": "yes",
            "PreferredAuthentications": "publickey",
        }
        if args["port"]:
            settings["Port"] = args["port"]
        if args["private_key_file"]:
            settings["IdentityFile"] = self._loader.path_dwim(args["private_key_file"])
        # The host's key is known under the port that it was met on; ssh itself looks for it under 22 only.
        known_as = [f"-oHostKeyAlias=[{address}]:{port}"] if args["port"] and port not in (None, 22) else []
        binary = connection.get_option("sftp_executable")
        command = connection._build_command(binary, "sftp", *known_as, f"[{address}]")
        # Without what would type a password; and of two settings ssh takes the first.
        options = command[command.index(binary.encode()) + 1 :]
        command = [
            binary.encode(),
            *(f"-o{name}={value}".encode() for name, value in settings.items()),
            *([] if b"-b" in options else [b"-b", b"-"]),
            *options,
        ]
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "boot_id")
            try:
                done = subprocess.run(
                    command,
                    input=f"get {_BOOT_ID} {copy}\n".encode(),
                    capture_output=True,
                    check=False,
                    timeout=_LIMIT,
                    start_new_session=True,
                )
            except subprocess.TimeoutExpired:
                return f"it did not answer within {_LIMIT} seconds; a firewall may be in between"
            if done.returncode:
                return done.stderr.decode(errors="replace").strip() or "sftp said nothing about why"
            return "" if copy.read_text().strip() == boot_id else "another host answers there"

    def _taken_back(self, done: Result, complaint: str, task_vars: dict[str, Any] | None) -> Result:
        failure = f"The lifeline is there, but the controller could not log in by it: {complaint}."
        if not done["changed"]:
            return {"failed": True, "changed": False, "msg": failure}
        undone = self._on_host({"previous": done["previous"]}, task_vars)
        if undone.get("failed"):
            return {"failed": True, "changed": True, "msg": f"{failure} It could not be taken back: {undone['msg']}"}
        return {
            "failed": True,
            "changed": False,
            "msg": f"The controller could not log in by the lifeline, so everything is as it was before: {complaint}.",
        }
