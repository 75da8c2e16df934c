# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""A task on its host: checked options in, its answer out, whoever starts it.

That is AnsibleModule, or where modules are piped to Python a plain program (`main`): to import AnsibleModule takes
longer than all that a rescue does.
"""

import importlib
import json
import sys
import syslog
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import local_host

Answer = Dict[str, Any]


class Setting(NamedTuple):
    """How a task is run. ``log`` gets a line for each change of the host."""

    check_mode: bool
    diff: bool
    log: Callable[[str], None]
    host: Host


def run_module(module: Any, params: Answer, run: Callable[[Answer, Setting], Answer]) -> None:
    """Gives the answer to Ansible by AnsibleModule, and ends."""
    log = partial(_log, module._name) if module.no_log else module.log  # what it was asked is secret, not what it did
    with local_host(module.warn) as host:
        answer = run(params, Setting(module.check_mode, module._diff, log, host))
    for warning in answer.pop("warnings", []):
        module.warn(warning)
    files = answer.pop("files", None)
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            (module.fail_json if answer.get("failed") else module.exit_json)(**answer)
    except SystemExit:
        _write(printed.getvalue(), files)
        raise


def main(name: str, params: Answer, check_mode: bool, diff: bool, logs: bool) -> None:
    """Gives the answer of the module ``name`` to Ansible by itself."""
    task = importlib.import_module("ansible_collections.procfs.rescue.plugins.module_utils._%s_task" % name)
    warnings: List[str] = []
    log = partial(_log, "procfs.rescue.%s_file" % name) if logs else lambda _line: None
    with local_host(warnings.append) as host:
        answer = task.run(params, Setting(check_mode, diff, log, host))
    if warnings:
        answer["warnings"] = warnings + answer.get("warnings", [])
    files = answer.pop("files", None)
    _write(json.dumps(answer), files)  # dump writes token by token


def _write(answer: str, files: Optional[List[Answer]]) -> None:
    """Tells ``answer`` with ``files``, one after the other: AnsibleModule copies all of them, and twice more as text.

    It looks in them for what options with ``no_log`` hold, and none of ours is one.
    """
    if files is None:
        sys.stdout.write(answer)
        return
    sys.stdout.write(answer.rstrip()[:-1] + ', "files": [')
    for number, file in enumerate(files):
        sys.stdout.write((", " if number else "") + json.dumps(file))
    sys.stdout.write("]}\n")


def _log(name: str, line: str) -> None:
    syslog.openlog("ansible-%s" % name, 0, syslog.LOG_USER)
    syslog.syslog(syslog.LOG_INFO, line)
