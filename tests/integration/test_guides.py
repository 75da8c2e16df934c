# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guides tell people to type, typed as it stands there, from the top of a page to its end."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

import documents
from fleet.controller import environment, program, run_ansible

BASH = "/usr/bin/bash"


def blocks(guide):
    return documents.blocks(f"docs/docsite/rst/{guide}")


@pytest.fixture
def follow(systemd_fleet, tmp_path):
    """``follow(guide)`` does all that it says a user of the controller does; gives what was on the screen."""
    inventory = tmp_path / "hosts.json"
    (tmp_path / ".ssh").mkdir(mode=0o700)
    here = {**environment(), "HOME": str(tmp_path), "PATH": f"{Path(program('ansible')).parent}:/usr/bin:/bin"}

    def typed(command):
        command = command.replace("ssh-keygen", "ssh-keygen -q -N ''").replace("INVENTORY", str(inventory))
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=here, capture_output=True, text=True, check=False)
        assert done.returncode == 0, command + done.stdout + done.stderr
        return done.stdout

    def run(guide):
        hosts = yaml.safe_load(systemd_fleet.inventory().read_text(encoding="utf-8"))
        inventory.write_text(json.dumps(hosts), encoding="utf-8")
        screen = []
        for block in blocks(guide):
            content = yaml.safe_load(block.text) if block.kind == "yaml+jinja" else None
            if isinstance(content, dict):  # variables of the inventory
                hosts["all"]["vars"] = content
                inventory.write_text(json.dumps(hosts), encoding="utf-8")
            elif content is not None:
                (tmp_path / "play.yml").write_text(block.text, encoding="utf-8")
                screen.append(typed("ansible-playbook play.yml -i INVENTORY"))
            else:
                screen += [typed(line[2:]) for line in block.text.splitlines() if line[:2] == "$ "]
        return "\n".join(screen)

    return run


def test_bash_is_gone(follow, booted):
    shell = booted.spawn([BASH, "-c", "while :; do sleep 3600; done"])
    kept = booted.root() / "root/kept"
    shutil.copy2(booted.root() / BASH[1:], kept)
    try:
        booted.wreck(BASH)
        screen = follow("bash_is_gone.rst")
        assert "rescuable (pid " in screen and "rescued (pid " in screen
        assert (booted.root() / BASH[1:]).read_bytes() == kept.read_bytes()
    finally:
        shell.kill()
        if not (booted.root() / BASH[1:]).exists():
            shutil.copy2(kept, booted.root() / BASH[1:])
        kept.unlink()


def test_a_bash_that_runs_brings_itself_back(booted):
    lines = [line for block in blocks("bash_is_gone.rst") for line in block.text.splitlines()]
    (line,) = [line[2:] for line in lines if line[:2] == "# "]
    real = booted.root() / BASH[1:]
    before = (real.read_bytes(), real.stat().st_mode, int(real.stat().st_mtime))
    with booted.spawn([BASH], stdin=subprocess.PIPE) as shell:
        real.unlink()
        shell.communicate(f"{line}\n".encode())
    assert (real.read_bytes(), real.stat().st_mode, int(real.stat().st_mtime)) == before


def test_the_disk_is_full(follow, booted):
    output = "StandardOutput=append:/var/log/app.log"
    booted.run(["systemd-run", "--unit=app", "-p", output, "sh", "-c", "head -c 3000000 /dev/zero; sleep infinity"])
    try:
        log = booted.root() / "var/log/app.log"
        until = time.monotonic() + 20
        while not (log.exists() and log.stat().st_size == 3_000_000):
            assert time.monotonic() < until, booted.run(["systemctl", "status", "app"]).stdout
            time.sleep(0.05)
        booted.run(["rm", "/var/log/app.log"])
        screen = follow("disk_is_full.rst")
        assert '"reclaimable": 300' in screen and "rescued/h1/var/log/app.log" in screen
        assert screen.count("CHANGED") >= 2, screen
    finally:
        booted.run(["systemctl", "stop", "app"])


def test_what_to_restart(follow, booted):
    """The unit whose program was replaced while it runs, and not the one that runs what is there."""
    booted.run(["mkdir", "-p", "/opt/app"])
    units = ["upgraded", "current"]
    for unit in units:
        booted.run(["cp", "/usr/bin/sleep", f"/opt/app/{unit}"])
        service = f"[Service]\nExecStart=/opt/app/{unit} infinity\n"
        (booted.root() / f"etc/systemd/system/{unit}.service").write_text(service)
    booted.run(["systemctl", "daemon-reload"])
    booted.run(["systemctl", "start", *units])
    try:
        booted.run(["cp", "/opt/app/upgraded", "/opt/app/new"])
        booted.run(["mv", "/opt/app/new", "/opt/app/upgraded"])
        screen = follow("what_do_i_restart.rst")
    finally:
        booted.run(["systemctl", "stop", *units])
        booted.run(["rm", "-r", "/opt/app", *(f"/etc/systemd/system/{unit}.service" for unit in units)])
    (restart,) = re.findall(r'"restart": (\[[^]]*\])', screen)
    assert "upgraded.service" in json.loads(restart) and "current.service" not in screen, screen


def test_collect_evidence(follow, booted, tmp_path):
    booted.run(["cp", "/usr/bin/sleep", "/tmp/implant"])
    implant = booted.spawn(["/tmp/implant", "600"])
    booted.run(["rm", "/tmp/implant"])
    try:
        screen = follow("collect_evidence.rst")
    finally:
        implant.kill()
        implant.wait()
    assert "Any later change shows" in screen
    assert "/tmp/implant" in (tmp_path / "evidence/hosts/h1.jsonl").read_text()


def test_report(follow, booted, tmp_path):
    (tmp_path / "slices").mkdir()
    (tmp_path / "slices/monday.json").symlink_to("../deleted-files.json")
    booted.run(["cp", "/usr/bin/sleep", "/srv/gone"])
    holder = booted.spawn(["/srv/gone", "600"])
    booted.run(["rm", "/srv/gone"])
    try:
        screen = follow("report.rst")
    finally:
        holder.kill()
        holder.wait()
    assert screen.count("1 of 1 hosts looked at") == 3, screen
    assert "/bin/bash" in (tmp_path / "rescue.json").read_text()
    assert "/srv/gone" in (tmp_path / "fleet.html").read_text()


@pytest.mark.long
def test_prepare(follow, booted, systemd_fleet):
    try:
        screen = follow("prepare.rst")
        assert "changed=0" in screen.rpartition("PLAY RECAP")[2]
    finally:
        settings = json.dumps({"lifeline_state": "absent", "lifeline_port": 2222})
        run_ansible("ansible-playbook", "procfs.rescue.lifeline", "-i", str(systemd_fleet.inventory()), "-e", settings)
