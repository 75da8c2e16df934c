# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbooks of README.md as they stand there, and the role that writes for Prometheus."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from fleet import Fleet
from fleet.controller import run_ansible

README = Path(__file__).resolve().parents[2] / "README.md"


def inside(host, path):
    return host.root() / path.lstrip("/")


@pytest.fixture
def paste(booted, systemd_fleet, tmp_path):
    """``paste(heading, ...)`` runs the playbook below that line of the README on hosts with systemd, usually one."""

    def run(heading, *options, fleet=systemd_fleet):
        section = README.read_text(encoding="utf-8").partition("## Playbooks to paste\n")[2].partition("\n## ")[0]
        (text,) = re.findall(rf"^{re.escape(heading)}:\n\n```yaml\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        (tmp_path / "play.yml").write_text(text, encoding="utf-8")
        done = run_ansible("ansible-playbook", str(tmp_path / "play.yml"), "-i", fleet.inventory(), *options)
        return done.returncode, done.stdout

    return run


@pytest.fixture(scope="module")
def two_booted():
    with Fleet(2, systemd=True) as fleet:
        yield fleet


@pytest.fixture
def log(booted):
    """What a service appends to, 3 MB and deleted."""
    output = "StandardOutput=append:/var/log/pasted.log"
    booted.run(["systemd-run", "--unit=pasted", "-p", output, "sh", "-c", "head -c 3000000 /dev/zero; sleep infinity"])
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


# A service that maps a library; its name leads to the version that is installed.
LIBRARY = "[Service]\nEnvironment=LD_PRELOAD={}\nExecStart=/usr/bin/sleep infinity\n"
INSTALL = """
mkdir -p /opt/app
for name in libapp.so libversion.so.1.2.13; do cp "$(ls /usr/lib/*/libm.so.6)" /opt/app/$name; done
ln -s libversion.so.1.2.13 /opt/app/libversion.so.1
systemctl daemon-reload
systemctl start whole versioned
"""
UPGRADE = """
cd /opt/app
cp libapp.so new && mv new libapp.so
cp libversion.so.1.2.13 libversion.so.1.3.0 && ln -sf libversion.so.1.3.0 libversion.so.1 && rm libversion.so.1.2.13
"""


def test_restart_of_what_runs_a_library_on_several_hosts(paste, two_booted):
    """One host after the other. What has its version in its name is gone, not replaced: restarted if that is said."""
    heading = "Restart what runs replaced libraries, in batches"

    def pids(unit):
        return [host.run(["systemctl", "show", "-P", "MainPID", unit]).stdout for host in two_booted.hosts]

    for host in two_booted.hosts:
        for unit, library in (("whole", "/opt/app/libapp.so"), ("versioned", "/opt/app/libversion.so.1")):
            inside(host, f"/etc/systemd/system/{unit}.service").write_text(LIBRARY.format(library))
        host.run(["sh", "-ec", INSTALL])
        mapped = "until grep -q libapp /proc/$0/maps && grep -q libversion /proc/$1/maps; do sleep 0.1; done"
        shown = host.run(["systemctl", "show", "-P", "MainPID", "whole", "versioned"]).stdout
        host.run(["sh", "-c", mapped, *shown.split()], timeout=20)
        host.run(["sh", "-ec", UPGRADE])
    whole, versioned = pids("whole"), pids("versioned")
    code, output = paste(heading, fleet=two_booted)
    assert code == 0 and output.count("PLAY [Restart") == 2, output
    assert output.count("(item=whole.service)") == 2 and "(item=versioned.service)" not in output, output
    assert set(pids("whole")).isdisjoint(whole) and pids("versioned") == versioned
    assert "versioned.service" in output.rpartition("TASK [Tell")[2]
    code, output = paste(heading, "-e", '{"states": ["replaced", "removed"]}', fleet=two_booted)
    assert code == 0 and output.count("(item=versioned.service)") == 2, output
    assert set(pids("versioned")).isdisjoint(versioned)
    assert "versioned.service" not in output.rpartition("TASK [Tell")[2]


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


@pytest.fixture
def full_disk(booted):
    """A file system without room, of which a service has most."""
    top = "/var/log/small"
    booted.run(["mkdir", top])
    booted.run(["mount", "-t", "tmpfs", "-o", "size=8m", "small", top])
    output = f"StandardOutput=append:{top}/log"
    booted.run(["systemd-run", "--unit=filler", "-p", output, "sh", "-c", "head -c 6000000 /dev/zero; sleep infinity"])
    path = inside(booted, f"{top}/log")
    until = time.monotonic() + 10
    while not (path.exists() and path.stat().st_size == 6_000_000) and time.monotonic() < until:
        time.sleep(0.05)
    path.unlink()
    booted.run(["sh", "-c", f"cat /dev/zero > {top}/other 2>/dev/null"], check=False)
    assert os.statvfs(inside(booted, top)).f_bfree == 0
    yield top
    booted.run(["systemctl", "stop", "filler"])
    booted.run(["umount", "-l", top])
    booted.run(["rmdir", top])


def test_free(paste, booted, log, full_disk):
    code, output = paste("Free a full disk")
    assert code == 0 and "changed=0" in output, output
    full = ("-e", f"mount_point={full_disk}")
    code, output = paste("Free a full disk", *full, "--check")
    assert code == 0 and "changed=1" in output, output
    assert os.statvfs(inside(booted, full_disk)).f_bfree == 0
    code, output = paste("Free a full disk", *full)
    assert code == 0 and "changed=1" in output, output
    room = os.statvfs(inside(booted, full_disk))
    assert room.f_bfree * room.f_frsize >= 6_000_000 - 4096
    code, output = paste("Free a full disk", *full)
    assert code == 0 and "changed=0" in output, output


@pytest.mark.parametrize("unknown", ['{"mount_point": "/nowhere"}', '{"disk": {"free": null, "size": null}}'])
def test_free_where_the_room_is_not_known(paste, log, unknown):
    code, output = paste("Free a full disk", "-e", unknown)
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
