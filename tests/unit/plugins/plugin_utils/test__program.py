# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants

from ansible_collections.procfs.rescue.plugins.action.restore_file import RESTORE_SPEC, checked
from ansible_collections.procfs.rescue.plugins.plugin_utils._program import Job, as_program

ANSIBLES = b"#!/usr/bin/python3\n# For test-module.py\n_ANSIBALLZ_WRAPPER = True\n"

Sent = list[bytes | None]


@pytest.fixture(autouse=True)
def folder_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))


def job(path: str, **more: Any) -> Job:
    defaults = {name: spec.get("default") for name, spec in RESTORE_SPEC["argument_spec"].items()}
    return Job("restore", checked({**defaults, "path": path, **more}), check_mode=True, diff=False)


def sent(job: Job | None, piped: bool = True, data: bytes | None = ANSIBLES) -> bytes | None:
    """What goes to the host when Ansible would send ``data``."""
    found: Sent = []

    def exec_command(_command: str, in_data: bytes | None = None, sudoable: bool = True) -> None:
        found.append(in_data)

    connection = SimpleNamespace(exec_command=exec_command)
    action: Any = SimpleNamespace(_connection=connection, _is_pipelining_enabled=lambda _style: piped)
    with as_program(action, job):
        connection.exec_command("/usr/bin/python3", in_data=data, sudoable=False)
    assert connection.exec_command is exec_command
    return found[0]


def ran(program: bytes | None, cwd: Path) -> dict[str, Any]:
    assert program is not None
    done = subprocess.run(["/usr/bin/python3"], input=program, capture_output=True, cwd=cwd, check=False)
    assert not done.stderr, done.stderr.decode()
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_answer_is_that_of_the_module(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    answer = ran(sent(job(str(tmp_path / "file"))), tmp_path)
    assert answer["changed"] is False
    (file,) = answer["files"]
    assert (file["path"], file["status"]) == (str(tmp_path / "file"), "present")


@pytest.mark.parametrize("name", ['it\'s "{{ 6*7 }}" \\n', "line\nbreak", "ünïcode", "%s %(job)s"])
def test_a_hostile_name(tmp_path: Path, name: str) -> None:
    (file,) = ran(sent(job(str(tmp_path / name))), tmp_path)["files"]
    assert file["refused"] == ["not_held"]


def test_nothing_is_imported_from_the_folder_where_it_starts(tmp_path: Path) -> None:
    for name in ("json", "zlib", "syslog", "base64", "struct"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('somebody else is root now')")
    ran(sent(job("/bin/sh")), tmp_path)


def test_it_is_packed_once_for_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sent(job("/bin/sh"))
    monkeypatch.setattr(Path, "glob", lambda *_args: pytest.fail("it looked for the sources again"))
    assert sent(job("/bin/sh")) == first


@pytest.mark.parametrize(
    "how",
    [
        lambda: sent(None),
        lambda: sent(job("/bin/sh"), piped=False),
        # Such as what finds out which Python there is.
        lambda: sent(job("/bin/sh"), data=b"print('which Python is this')"),
    ],
    ids=["no job", "not piped", "no module"],
)
def test_what_is_sent_as_it_is(how: Callable[[], bytes | None]) -> None:
    assert b"ModuleSpec" not in (how() or b"")
