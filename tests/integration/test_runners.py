# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs Ansible for people: ansible-runner, as in AWX, and images made by ansible-builder."""

from __future__ import annotations

import json
import random
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from fleet.controller import environment, program
from integration.slow import SLOW

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = "/usr/bin/tool"


def tool_of(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def test_event_data_of_ansible_runner(fleet, host, tmp_path):
    host.run(["cp", "/usr/bin/true", TOOL])
    held = host.spawn(["sh", "-c", f"exec 3<{TOOL}; exec sleep 3600"])
    while TOOL.encode() not in host.run(["sh", "-c", "ls -l /proc/[0-9]*/fd/3"], check=False).stdout:
        pass
    host.wreck(TOOL)
    play = [{"ansible.builtin.import_playbook": "procfs.rescue.rescue", "vars": {"rescue_paths": [TOOL]}}]
    for folder in ("project", "inventory"):
        (tmp_path / folder).mkdir()
    (tmp_path / "project" / "play.yml").write_text(json.dumps(play))
    shutil.copy(fleet.inventory(), tmp_path / "inventory" / "hosts.yml")
    path = {"PATH": f"{Path(program('ansible-playbook')).parent}:/usr/bin:/bin"}
    command = [tool_of("ansible-runner"), "run", str(tmp_path), "-p", "play.yml", "--limit", "h1", "--ident", "one"]
    done = subprocess.run(command, env={**environment(), **path}, capture_output=True, text=True, check=False)
    held.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(one.read_text()) for one in (tmp_path / "artifacts/one/job_events").glob("*.json")]
    results = {one["event_data"]["task"]: one["event_data"]["res"] for one in events if "res" in one["event_data"]}
    result = results["Put back what is missing and still held"]
    (file,) = result["files"]
    assert (file["path"], file["status"], file["source"]["via"]) == (TOOL, "restored", "fd")
    assert results["Show it"]["msg"][-1] == "1 host: 1 rescued"


def test_a_slow_fetch_under_ansible_runner(fleet, host, tmp_path):
    """It would be told of on a terminal. The runner makes one, before which nobody sits."""
    content = random.Random(9).randbytes(16_000_000)
    host.run(["dd", f"of={TOOL}"], input=content)
    held = host.spawn(["sh", "-c", f"exec 3<{TOOL}; exec sleep 3600"])
    while TOOL.encode() not in host.run(["sh", "-c", "ls -l /proc/[0-9]*/fd/3"], check=False).stdout:
        pass
    host.run(["rm", TOOL])
    for folder in ("project", "inventory"):
        (tmp_path / folder).mkdir()
    (tmp_path / "slow.py").write_text(SLOW)
    slow = shlex.join([f"-oProxyCommand={sys.executable} {tmp_path}/slow.py %h %p", "-oControlPath=none"])
    task = {"procfs.rescue.fetch_file": {"path": TOOL, "dest": f"{tmp_path}/fetched", "flat": True}}
    settings = {"ansible_pipelining": True, "ansible_ssh_extra_args": slow}
    play = [{"hosts": "h1", "gather_facts": False, "vars": settings, "tasks": [task]}]
    (tmp_path / "project" / "play.yml").write_text(json.dumps(play))
    shutil.copy(fleet.inventory(), tmp_path / "inventory" / "hosts.yml")
    path = {"PATH": f"{Path(program('ansible-playbook')).parent}:/usr/bin:/bin"}
    command = [tool_of("ansible-runner"), "run", str(tmp_path), "-p", "play.yml", "--limit", "h1", "--ident", "one"]
    began = time.monotonic()
    done = subprocess.run(command, env={**environment(), **path}, capture_output=True, text=True, check=False)
    assert time.monotonic() - began > 8, "it was not slow"
    held.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "fetched").read_bytes() == content
    shown = [done.stdout, *(one.read_text() for one in (tmp_path / "artifacts/one/job_events").glob("*.json"))]
    assert not [text for text in shown if " MB of " in text or "MB/s" in text]


def test_an_execution_environment(tmp_path):
    """ansible-builder finds what an image needs, and makes the context to build it from."""
    environment_of = {
        "version": 3,
        "images": {"base_image": {"name": "example.org/base:1"}},
        "dependencies": {"galaxy": {"collections": [{"name": "procfs.rescue"}]}},
    }
    (tmp_path / "execution-environment.yml").write_text(yaml.safe_dump(environment_of))
    builder = tool_of("ansible-builder")
    subprocess.run(
        [builder, "create", "--output-filename", "Containerfile", "-c", "context"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    assert (tmp_path / "context/Containerfile").exists()
    command = [builder, "introspect", str(REPOSITORY / "collections")]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    found = yaml.safe_load(done.stdout)
    assert any(line.startswith("paramiko") for line in found["python"]), done.stdout
    assert any("openssh-client" in line for line in found["system"]), done.stdout
