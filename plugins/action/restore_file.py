# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Restore deleted files: by the module on the host, or the same over SFTP where nothing can be executed there."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._restore_spec import RESTORE_SPEC, checked
from ansible_collections.procfs.rescue.plugins.module_utils._restore_task import run
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting
from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer

_display = Display()

# Strategies, of Ansible and of mitogen, in which hosts do not wait for each other; no variable tells a role.
_ON_THEIR_OWN = ("free", "host_pinned")


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        task_vars = task_vars or {}
        try:
            options = checked(self.validate_argument_spec(**RESTORE_SPEC)[1])
        except RescueError as error:
            raise AnsibleActionFail(DO_NOT + str(error)) from None

        def over_sftp(host: Host) -> dict[str, Any]:
            def log(line: str) -> None:
                _display.v(line, host=task_vars.get("inventory_hostname"))

            return run(options, Setting(self._task.check_mode, self._task.diff, log, host))

        job = Job("restore", options, self._task.check_mode, self._task.diff)
        found = answer(self, options["transport"], self._task.args, task_vars, over_sftp, job=job)
        if options["offer"]:
            with suppress(OSError):  # a full disk here must not make a failure of what came back there
                folders = options["packaged"] and any("path_prefix" in one for one in options["requests"])
                release = found.get("release") if folders else None
                PeerCache().note(str(task_vars.get("inventory_hostname")), found.get("files"), release)
        found.pop("on_its_own", None)  # no host says what is done once for all
        if self._templar.template(self._task.get_play().strategy).endswith(_ON_THEIR_OWN):
            found["on_its_own"] = True
        return dict(result, **found)
