# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from subprocess import PIPE

import pytest

# A module of its own, whose task gives what it is started with; on stderr, how much memory it took at most in kB.
MODULE = """
import re, sys
from ansible.module_utils import basic
basic._ANSIBLE_PROFILE = "legacy"
answer = sys.argv.pop(1)  # AnsibleModule would take it for a file with its options
from ansible_collections.procfs.rescue.plugins.module_utils._task import run_module
def main():
    module = basic.AnsibleModule({"name": {"type": "str"}})
    module.warn("of the module")
    run_module(module, module.params, lambda params, setting: eval(answer))
try:
    main()
finally:
    print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1], file=sys.stderr)
"""


def told(answer: str) -> tuple[subprocess.CompletedProcess[str], dict]:
    options = json.dumps({"ANSIBLE_MODULE_ARGS": {"name": "this"}})
    command = [sys.executable, "-c", MODULE, answer]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    outputs = {"stdout": PIPE, "stderr": PIPE, "encoding": "utf-8"}  # Python 3.6 has no capture_output
    done = subprocess.run(command, env=here, input=options, check=False, **outputs)
    return done, json.loads(done.stdout)


HOSTILE = ["{{ 6*7 }}", "new\nline", "\udcff", '"', "]}"]


@pytest.mark.parametrize("files", [[], [{"path": "one"}], [{"path": path} for path in HOSTILE]])
def test_files_are_told_with_all_that_ansible_adds(files):
    task = {"changed": True, "warnings": ["of the task"]}
    done, answer = told(repr({**task, "files": files}))
    assert done.returncode == 0
    assert answer == {**told(repr(task))[1], "files": files}
    assert "of the module" in done.stdout
    assert "of the task" in done.stdout


def test_a_failure_is_told_with_its_files():
    done, answer = told(repr({"failed": True, "msg": "why", "changed": False, "files": [{"status": "failed"}]}))
    assert done.returncode == 1
    assert (answer["failed"], answer["msg"], answer["files"]) == (True, "why", [{"status": "failed"}])


def test_without_files_there_are_none():
    done, answer = told(repr({"changed": False}))
    assert done.returncode == 0
    assert "files" not in answer


def test_many_files_are_not_there_twice():
    few, _answer = told("{'changed': True, 'files': []}")
    many, answer = told("{'changed': True, 'files': [{'msg': 'x' * 1000 + str(number)} for number in range(20000)]}")
    assert len(answer["files"]) == 20000
    # 24 MiB are the files themselves; as one text, and that a second time, they were 68.
    assert int(many.stderr) - int(few.stderr) < 36 * 1024


@pytest.mark.parametrize("name", ["deleted_files_facts", "fetch_file", "offer_file", "restore_file", "supply_file"])
def test_no_option_is_one_of_which_ansible_would_hide_the_value(name, monkeypatch):
    """It would look for that in files, too."""
    module = importlib.import_module(f"ansible_collections.procfs.rescue.plugins.modules.{name}")
    asked: list[dict] = []

    class AskedError(Exception):
        pass

    def ask(*positional, **options):
        asked.append(options.get("argument_spec", positional[0] if positional else None))
        raise AskedError

    monkeypatch.setattr(module, "AnsibleModule", ask)
    with pytest.raises(AskedError):
        module.main()
    assert asked[0]
    assert not [option for option, spec in asked[0].items() if spec.get("no_log")]
