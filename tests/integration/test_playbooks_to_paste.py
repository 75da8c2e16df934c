# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks of README.md as they stand there, and the role that writes for Prometheus."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from fleet.controller import run_ansible

README = Path(__file__).resolve().parents[2] / "README.md"


def inside(host, path):
    return host.root() / path.lstrip("/")


@pytest.fixture
def paste(booted, systemd_fleet, tmp_path):
    """``paste(heading, ...)`` runs the playbook below that line of the README on a host with systemd."""

    def run(heading, *options):
        section = README.read_text(encoding="utf-8").partition("## Playbooks to paste\n")[2].partition("\n## ")[0]
        (text,) = re.findall(rf"^{re.escape(heading)}:\n\n```yaml\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        (tmp_path / "play.yml").write_text(text, encoding="utf-8")
        done = run_ansible("ansible-playbook", str(tmp_path / "play.yml"), "-i", systemd_fleet.inventory(), *options)
        return done.returncode, done.stdout

    return run


@pytest.fixture
def log(booted):
    """What a service appends to, 3 MB and deleted."""
    output = "StandardOutput=append:/var/log/pasted.log"
    booted.run(["systemd-run", "--unit=pasted", "-p", output, "sh", "-c", "yes | head -c 3000000; sleep infinity"])
    path = inside(booted, "/var/log/pasted.log")
    until = time.monotonic() + 10
    while not (path.exists() and path.stat().st_size == 3_000_000) and time.monotonic() < until:
        time.sleep(0.05)
    path.unlink()
    yield "/var/log/pasted.log"
    booted.run(["systemctl", "stop", "pasted"])


def test_there_are_no_others():
    section = README.read_text(encoding="utf-8").partition("## Playbooks to paste\n")[2].partition("\n## ")[0]
    assert section.count("```yaml\n") == 5


def test_alert(paste, log):
    code, output = paste("Alert when more than N GiB are held")
    assert code == 0, output
    code, output = paste("Alert when more than N GiB are held", "-e", "held_limit=2M")
    assert code == 2 and f"the largest are {log}" in output, output


def test_restart(paste, booted):
    booted.run(["mkdir", "-p", "/opt/app"])
    booted.run(["cp", "/usr/bin/sleep", "/opt/app/server"])
    unit = "[Service]\nExecStart=/opt/app/server infinity\n"
    inside(booted, "/etc/systemd/system/old.service").write_text(unit)
    booted.run(["systemctl", "daemon-reload"])
    booted.run(["systemctl", "start", "old"])
    try:
        booted.run(["cp", "/opt/app/server", "/opt/app/new"])
        booted.run(["mv", "/opt/app/new", "/opt/app/server"])
        before = booted.run(["systemctl", "show", "-P", "MainPID", "old"]).stdout
        code, output = paste("Restart what runs replaced libraries, in batches")
        assert code == 0 and "(item=old.service)" in output, output
        assert booted.run(["systemctl", "show", "-P", "MainPID", "old"]).stdout != before
        assert "old.service" not in output.rpartition("TASK [Tell")[2]
    finally:
        booted.run(["systemctl", "stop", "old"])
        booted.run(["rm", "-r", "/opt/app", "/etc/systemd/system/old.service"])


def test_find(paste, booted):
    code, output = paste("Find executables that run from deleted files")
    assert code == 0 and "skipping: [h1]" in output, output
    booted.run(["cp", "/usr/bin/sleep", "/var/tmp/kworker"])
    intruder = booted.spawn(["/var/tmp/kworker", "1000"])
    try:
        digest = booted.run(["sha256sum", "/var/tmp/kworker"]).stdout.decode().split()[0]
        booted.run(["rm", "/var/tmp/kworker"])
        code, output = paste("Find executables that run from deleted files")
    finally:
        intruder.kill()
    assert code == 0 and "world_writable_folder" in output and f"sha256:{digest}" in output, output


def test_free(paste, booted, log):
    code, output = paste("Free a full disk")
    assert code == 0 and "changed=0" in output, output
    # As if it were full.
    full = '{"disk": {"free": 1, "size": 100}}'
    code, output = paste("Free a full disk", "-e", full, "--check")
    assert code == 0 and "changed=1" in output, output
    code, output = paste("Free a full disk", "-e", full)
    assert code == 0 and "changed=1" in output, output
    code, output = paste("Free a full disk", "-e", full)
    assert code == 0 and "changed=0" in output, output


def test_cmdb(paste, log, tmp_path):
    code, output = paste("Keep facts in a CMDB")
    assert code == 0, output
    kept = json.loads((tmp_path / "cmdb" / "h1.json").read_text(encoding="utf-8"))
    assert log in [entry["path"] for entry in kept["files"]] and kept["summary"]["complete"] is True


SAMPLE = re.compile(r'(\w+)(?:\{(\w+)="((?:[^"\\]|\\["n\\])*)"\})? (\d+)')


def test_prometheus(booted, systemd_fleet, log, tmp_path):
    """Each line is as the text format wants it; names that are not tame are escaped."""
    booted.run(["mkdir", "-p", '/mnt/a"b\\c'])
    booted.run(["mount", "-t", "tmpfs", "odd", '/mnt/a"b\\c'])
    holder = booted.spawn(
        ["/usr/bin/python3", "-c", "f = open('/mnt/a\"b\\\\c/x', 'w'); print(1, flush=True); input()"],
        stdin=-1,
        stdout=-1,
    )
    assert holder.stdout.readline() == b"1\n"
    inside(booted, '/mnt/a"b\\c/x').unlink()
    play = {
        "hosts": "h1",
        "gather_facts": False,
        "roles": [{"role": "procfs.rescue.textfile", "textfile_path": "/run/deleted_files.prom"}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    done = run_ansible("ansible-playbook", str(tmp_path / "play.yml"), "-i", systemd_fleet.inventory())
    text = booted.run(["cat", "/run/deleted_files.prom"]).stdout.decode()
    holder.communicate(b"\n")
    booted.run(["umount", "-l", '/mnt/a"b\\c'])
    assert done.returncode == 0, done.stdout
    found = {}
    for line in text.splitlines():
        if not line.startswith(("# HELP procfs_", "# TYPE procfs_")):
            name, _label, value, number = SAMPLE.fullmatch(line).groups()
            assert f"# TYPE {name} gauge\n" in text
            found[name.removeprefix("procfs_deleted_files"), value] = int(number)
    assert found["_complete", None] == 1 and found["", "regular"] >= 1
    assert found["_unit_reclaimable_bytes", "pasted.service"] >= 3_000_000
    assert found["_reclaimable_bytes", None] >= 0 and ("_memory_bytes", None) in found
    assert ("_mount_point_reclaimable_bytes", r"/mnt/a\"b\\c") in found
    assert ("_user_reclaimable_bytes", "root") in found and ("_running_units", "replaced") in found
