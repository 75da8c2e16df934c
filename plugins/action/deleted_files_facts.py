# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Facts about deleted files: by the module on the host, or the same over SFTP where nothing can be executed there."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._facts_task import FACTS_SPEC, run
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._sizes import with_sizes
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job
from ansible_collections.procfs.rescue.plugins.plugin_utils._ways import answer


class ActionModule(ActionBase):
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            options = with_sizes(self.validate_argument_spec(**FACTS_SPEC)[1], "min_size")
        except RescueError as error:
            raise AnsibleActionFail(str(error)) from None

        def over_sftp(host: Host) -> dict[str, Any]:
            return run(options, Setting(self._task.check_mode, self._task.diff, lambda _line: None, host))

        job = Job("facts", options, self._task.check_mode, self._task.diff)
        told = answer(self, options["transport"], self._task.args, task_vars or {}, over_sftp, job=job)
        # A module of facts returns nothing else; the way is one of them.
        way, closed = told.pop("way"), told.pop("ways_closed")
        if "ansible_facts" in told:
            told["ansible_facts"]["deleted_files_summary"].update(way=way, ways_closed=closed)
        return dict(result, **told)
