# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role and its playbooks across a fleet, as users run them."""

from __future__ import annotations

import hashlib
import json
import re

import pytest

from fleet import Fleet
from fleet.controller import run_ansible

BASH = "/usr/bin/bash"


def bash_of(host):
    try:
        return hashlib.sha256((host.root() / BASH.lstrip("/")).read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def shell(host):
    return host.spawn([BASH, "-c", "while :; do sleep 3600; done"])


def playbook(name, fleet, report, *options):
    done = run_ansible(
        "ansible-playbook",
        f"procfs.rescue.{name}",
        "-i",
        str(fleet.inventory()),
        "-e",
        f"rescue_report_path={report}",
        *options,
    )
    return done, json.loads(report.read_text())


@pytest.mark.matrix
def test_rescue_of_a_fleet_where_one_host_has_no_holder(tmp_path):
    with Fleet(3) as fleet:
        before = bash_of(fleet.hosts[0])
        for host in fleet.hosts[:2]:
            shell(host)
        for host in fleet.hosts:
            host.wreck(BASH)

        own = ("-e", '{"rescue_sources": ["process"]}')
        done, results = playbook("check", fleet, tmp_path / "check.json", *own)
        assert done.returncode == 2
        assert [results[host]["changed"] for host in ("h1", "h2")] == [True, True] and results["h3"]["failed"]
        assert [bash_of(host) for host in fleet.hosts] == [None, None, None], "check changes nothing"
        assert "3 hosts: 2 rescuable, 1 failed (h3)" in done.stdout

        done, results = playbook("rescue", fleet, tmp_path / "rescue.json", *own)
        assert done.returncode == 2, "the exit code tells that one host is left"
        assert [bash_of(host) for host in fleet.hosts] == [before, before, None]
        assert "3 hosts: 2 rescued, 1 failed (h3)" in done.stdout
        assert re.search(r"h1 +module +rescued\b", done.stdout) and re.search(r"h3 +module +failed\b", done.stdout)
        assert results["h1"]["files"][0]["status"] == "restored"
        assert results["h3"]["msg"].startswith(
            "Do not reboot, do not restart or end the processes that hold the file, do not close their shells. "
            "No process holds /usr/bin/bash: "
        )

        done, results = playbook("rescue", fleet, tmp_path / "again.json", "-e", "rescue_hosts=h1,h2")
        assert done.returncode == 0 and set(results) == {"h1", "h2"}
        assert not any(result["changed"] for result in results.values()), "a second run changes nothing"


def test_twenty_hosts_in_one_run(tmp_path):
    with Fleet(20) as fleet:
        before = [bash_of(host) for host in fleet.hosts]
        for host in fleet.hosts:
            shell(host)
            host.wreck(BASH)
        done, results = playbook("rescue", fleet, tmp_path / "rescue.json", "--forks", "20")
        assert done.returncode == 0, done.stdout
        assert [bash_of(host) for host in fleet.hosts] == before
        assert all(results[host.name]["files"][0]["status"] == "restored" for host in fleet.hosts)


def test_a_full_disk_and_a_read_only_one(tmp_path):
    with Fleet(3, upper_size="24m") as fleet:
        full, read_only, nowhere = fleet.hosts
        before = bash_of(full)
        for host in fleet.hosts:
            shell(host)
            host.wreck(BASH)
        # Full but for what bash needs; nothing may need a temporary file on the way.
        free = "import os; s = os.statvfs('/'); print(s.f_bavail * s.f_frsize)"
        size = int(full.run(["python3", "-c", free]).stdout) - 2_000_000
        full.run(["dd", "if=/dev/zero", "of=/filler", "bs=1M", f"count={size // 2**20}"])
        read_only.run(["mount", "--bind", "/usr/bin", "/usr/bin"])
        read_only.run(["mount", "-o", "remount,bind,ro", "/"])
        nowhere.run(["dd", "if=/dev/zero", "of=/filler", "bs=64k"], check=False)
        done, results = playbook("rescue", fleet, tmp_path / "rescue.json")
        assert bash_of(full) == before, done.stdout
        assert bash_of(read_only) == before, done.stdout
        assert bash_of(nowhere) is None
        (file,) = results["h3"]["files"]
        assert "its file system has" in file["msg"] and "restore to another file system with dest" in file["msg"]
