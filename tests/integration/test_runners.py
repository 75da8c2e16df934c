# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs Ansible for people: ansible-runner, as in AWX, and images made by ansible-builder."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

import debs
from fleet import Fleet
from fleet.controller import environment, program
from integration.slow import over_a_slow_line

REPOSITORY = Path(__file__).resolve().parents[2]
TOOL = "/usr/bin/tool"


def tool_of(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def run_by_ansible_runner(fleet, tmp_path, play) -> tuple[dict[tuple[str, str], Any], str]:
    """The results that its events have, by task and host, and what it showed."""
    for folder in ("project", "inventory"):
        (tmp_path / folder).mkdir()
    (tmp_path / "project" / "play.yml").write_text(json.dumps([play]))
    shutil.copy(fleet.inventory(), tmp_path / "inventory" / "hosts.yml")
    path = {"PATH": f"{Path(program('ansible-playbook')).parent}:/usr/bin:/bin"}
    command = [tool_of("ansible-runner"), "run", str(tmp_path), "-p", "play.yml", "--ident", "one"]
    done = subprocess.run(command, env={**environment(), **path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    events = [json.loads(one.read_text()) for one in (tmp_path / "artifacts/one/job_events").glob("*.json")]
    events.sort(key=lambda one: one["counter"])  # the results of a loop come after those of its items
    told = [one["event_data"] for one in events if "res" in one["event_data"]]
    return {(one["task"], one["host"]): one["res"] for one in told}, done.stdout


def test_event_data_of_ansible_runner(tmp_path):
    """What came from a process, a peer and a package."""
    link = "/usr/bin/tool_link"
    package = debs.build(tmp_path, "tool", "1.0", {TOOL: b"#!/bin/sh\necho tool\n"}, {link: "tool"})
    with Fleet(3) as fleet:
        holder, needs, _peer = fleet.hosts
        for host in fleet.hosts:
            debs.install(host, package)
            debs.put(host, package, f"/var/cache/apt/archives/{package.name}")
            host.wreck(link)  # no peer has it
        held = holder.spawn(["sh", "-c", f"exec 3<{TOOL}; exec sleep 3600"])
        while TOOL.encode() not in holder.run(["sh", "-c", "ls -l /proc/[0-9]*/fd/3"], check=False).stdout:
            pass
        for host in (holder, needs):
            host.wreck(TOOL)
        values = {"rescue_paths": [TOOL, link]}
        play = {"ansible.builtin.import_playbook": "procfs.rescue.rescue", "vars": values}
        results, shown = run_by_ansible_runner(fleet, tmp_path, play)
        held.kill()
    (file, _link) = results["Put back what is missing and still held", "h1"]["files"]
    assert (file["path"], file["status"], file["source"]["via"]) == (TOOL, "restored", "fd")
    (read,) = results["Read what other hosts have of it", "h1"]["results"]
    donor = read["rescue_peer"]["peer"]
    assert donor in ("h1", "h3") and read["offers"] == [{"path": TOOL, "size": 20}]
    file, symlink = results["Put back what is still missing", "h2"]["files"]
    assert (file["path"], file["status"], file["source"]["peer"]) == (TOOL, "restored", donor)
    assert (file["content_by"], file["metadata_by"]) == ("package", f"peer {donor}")
    assert (symlink["path"], symlink["status"], symlink["target"]) == (link, "restored", "tool")
    assert symlink["source"]["package"] == "tool 1.0"
    line = "3 hosts: 3 rescued"
    assert results["Show it", "h1"]["msg"][-1] == line and line in shown
    assert results["Sum up what became of all hosts", "h1"]["ansible_facts"]["rescue_overview"]["line"] == line


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
    task = {"procfs.rescue.fetch_file": {"path": TOOL, "dest": f"{tmp_path}/fetched", "flat": True}}
    settings = {"ansible_pipelining": True, **over_a_slow_line(tmp_path)}
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
