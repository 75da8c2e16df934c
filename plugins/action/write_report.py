# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what the hosts of this run told, and what was saved earlier, as a page, JSON and CSV on the controller."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Iterable
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.plugin_utils._local_file import LocalFile
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_data import from_run, merged, read_saved, to_json
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_page import page
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_plots import plots
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_text import lines, to_csv
from ansible_collections.procfs.rescue.plugins.plugin_utils._report_view import view


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        names = {"type": "list", "elements": "str", "default": []}
        args = self.validate_argument_spec(
            argument_spec={"dest": {"type": "str", "required": True}, "hosts": names, "saved": names}
        )[1]
        now = time.time()
        hostvars = (task_vars or {})["hostvars"]
        try:
            reports = [one for path in _files(args["saved"]) for one in read_saved(path)]
            # Not templated: what hosts told is no template, and it is long.
            reports += [from_run(name, hostvars.raw_get(name), now) for name in args["hosts"]]
            told = view(merged(reports))
            path = os.path.abspath(os.path.expanduser(args["dest"]))
            stem = os.path.splitext(path)[0]
            json_path, csv_path = f"{stem}.json", f"{stem}.csv"
            beside = os.path.basename(csv_path), os.path.basename(json_path)
            _write(json_path, to_json(told.hosts, now))
            _write(csv_path, [to_csv(told.hosts)])
            _write(path, [page(told, plots(told), now, *beside)])
        except RescueError as error:
            return dict(result, failed=True, msg=str(error))
        except OSError as error:
            return dict(result, failed=True, msg=f"The report could not be written: {fault(error)}.")
        table = lines(told, f"The page is {path}")
        return dict(result, changed=True, page=path, json=json_path, csv=csv_path, table=table, totals=told.totals)


def _files(patterns: list[str]) -> list[str]:
    """Raises RescueError where nothing has such a name."""
    found = []
    for pattern in patterns:
        paths = sorted(glob.glob(os.path.expanduser(pattern)))
        if not paths:
            raise RescueError(f"No file is called {pattern}.")
        found += paths
    return found


def _write(path: str, parts: Iterable[str]) -> None:
    folder, name = os.path.split(os.fsencode(path))
    with LocalFile(folder, [name]).written() as file:
        file.writelines(part.encode("utf-8") for part in parts)
