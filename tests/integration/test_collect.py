# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook collect: each content once for the fleet, a manifest for each host, a seal that shows later changes."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from fleet import Fleet
from fleet.controller import run_ansible

HOLD = "import sys\nopen(sys.argv[1], 'wb').write(b'evidence ' * 1000)\nheld = open(sys.argv[1], 'rb')\n"
CONTENT = b"evidence " * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def collect(fleet, folder, *, inventory=None, **settings):
    settings = {"collect_dest": str(folder / "evidence"), **settings}
    path = str(inventory or fleet.inventory())
    options = ("-i", path, "--forks", "20", "-e", json.dumps(settings))
    return run_ansible("ansible-playbook", "procfs.rescue.collect", *options)


def manifest(folder, name="h1"):
    lines = (folder / "evidence/hosts" / f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    host, *files = [json.loads(line) for line in lines]
    assert host["record"] == "host" and {file["record"] for file in files} <= {"file"}
    return host, files


def check(folder):
    command = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    return subprocess.run(command, cwd=folder / "evidence", capture_output=True, text=True, check=False)


def test_all_that_is_known_of_a_file(fleet, host, lab, hold, tmp_path):
    path = lab.encode() + b"/n\xff\n{{ 6*7 }}"
    pid = hold(HOLD, path)
    code = "import os, sys; os.setxattr(os.fsencode(sys.argv[1]), 'user.origin', b'x\\0y')"
    host.run(["/usr/bin/python3", "-c", code, path])
    host.run(["rm", path])
    done = collect(fleet, tmp_path, collect_hosts="h1", collect_md5=True, collect_via=["fd"])
    assert "failed=0" in done.stdout and "unreachable=0" in done.stdout, done.stdout
    about, files = manifest(tmp_path)
    assert about["name"] == "h1" and about["hostname"] == "h1"
    assert about["boot_id"] == (host.root() / "proc/sys/kernel/random/boot_id").read_text().strip()
    assert -60 < about["clock_ahead_at_least"] <= about["clock_ahead_at_most"] + 0.01 < 60
    assert about["collection"] != "unknown"
    (file,) = [one for one in files if base64.b64decode(one["path_b64"]) == path]
    assert file["digests"] == {"sha256": SHA256, "md5": hashlib.md5(CONTENT).hexdigest()}
    assert base64.b64decode(file["xattrs"]["user.origin"]) == b"x\0y" and file["mtime_ns"] > 10**18
    (holder,) = file["holders"]
    assert holder["pid"] == pid and holder["uid"] == 0 and holder["started"] > 1_600_000_000
    assert not [name for name in holder if "cmdline" in name or "environ" in name], "secrets stand there"
    assert holder["namespaces"]["mnt"].startswith("mnt:[") and isinstance(holder["parents"], list)
    assert (tmp_path / "evidence" / file["content"]).read_bytes() == CONTENT
    assert file["content"] == f"content/{SHA256}"
    assert "kept" not in file and file["atime_ns"] > 10**18
    left = host.run(["sh", "-c", "cat /proc/[0-9]*/comm"], check=False).stdout
    assert b"procfs-rescue" not in left, "what kept it open is gone"
    assert check(tmp_path).returncode == 0
    changed = tmp_path / "evidence" / file["content"]
    changed.chmod(0o600)
    changed.write_bytes(b"other")
    assert check(tmp_path).returncode == 1


def test_the_same_content_of_all_hosts_is_stored_once_and_the_youngest_is_read_first(fleet, tmp_path):
    holders = []
    try:
        for one in fleet.hosts:
            for name in ("first", "second"):
                code = HOLD + "import os, signal\nos.remove(sys.argv[1])\nprint('', flush=True)\nsignal.pause()\n"
                process = one.spawn(["/usr/bin/python3", "-c", code, f"/root/{name}"], stdout=subprocess.PIPE)
                process.stdout.readline()
                holders.append(process)
        done = collect(fleet, tmp_path)
        assert "failed=0" in done.stdout, done.stdout
    finally:
        for process in holders:
            process.kill()
            process.wait()
    assert [path.name for path in (tmp_path / "evidence/content").iterdir() if path.name == SHA256] == [SHA256]
    for one in fleet.hosts:
        paths = [file["path"] for file in manifest(tmp_path, one.name)[1]]
        assert paths.index("/root/second") < paths.index("/root/first")
    assert not list((tmp_path / "evidence").rglob(".procfs-rescue.*"))
    assert check(tmp_path).returncode == 0


def test_who_was_asked_is_recorded_and_nothing_is_replaced(fleet, host, lab, hold, tmp_path):
    hold(HOLD, f"{lab}/held")
    host.run(["rm", f"{lab}/held"])
    inventory = tmp_path / "inventory.yml"
    others = "        gone:\n          ansible_host: 127.0.0.1\n          ansible_port: 1\n"
    broken = f"        broken:\n          ansible_host: {fleet.hosts[1].address}\n          ansible_pipelining: false\n"
    inventory.write_text(fleet.inventory().read_text().replace("      hosts:\n", f"      hosts:\n{others}{broken}"))
    settings = {"collect_hosts": "h1:gone:broken", "inventory": inventory, "collect_min_size": "9000"}
    done = collect(fleet, tmp_path, **settings)
    run = json.loads((tmp_path / "evidence/run.json").read_text())
    states = {name: told["state"] for name, told in run["hosts"].items()}
    assert states["h1"] == "collected" and states["gone"] == "unreachable", done.stdout
    assert run["hosts"]["h1"]["manifest"] == "hosts/h1.jsonl" and "port 1" in run["hosts"]["gone"]["msg"]
    assert "  run.json" in (tmp_path / "evidence/SHA256SUMS").read_text() and check(tmp_path).returncode == 0
    assert f"{lab}/held" in [file["path"] for file in manifest(tmp_path)[1]]

    before = {path: path.read_bytes() for path in (tmp_path / "evidence").rglob("*") if path.is_file()}
    done = collect(fleet, tmp_path, **settings)
    assert "by an earlier run: give another dest" in done.stdout
    assert before == {path: path.read_bytes() for path in (tmp_path / "evidence").rglob("*") if path.is_file()}

    second = tmp_path / "second"
    collect(fleet, second, collect_hosts="h1", collect_min_size="9001")
    assert f"{lab}/held" not in [file["path"] for file in manifest(second)[1]]


def test_more_files_than_one_call_brings(fleet, host, lab, hold, tmp_path):
    code = (
        "import os, sys\n"
        "held = []\n"
        "for number in range(300):\n"
        "    held.append(open(sys.argv[1], 'w+b', 0))\n"
        "    held[-1].write(b'%d ' % (number % 290) * 1000)\n"
        "    os.remove(sys.argv[1])\n"
    )
    pid = hold(code, f"{lab}/many")
    done = collect(fleet, tmp_path, collect_hosts="h1", collect_via=["fd"])
    assert "failed=0" in done.stdout, done.stdout
    files = [one for one in manifest(tmp_path)[1] if pid in [holder["pid"] for holder in one["holders"]]]
    assert len(files) == 300 and len({file["content"] for file in files}) == 290
    assert all(file["content"] == "content/" + file["digests"]["sha256"] for file in files)
    assert check(tmp_path).returncode == 0
    assert not list((tmp_path / "evidence").rglob(".procfs-rescue.*"))


def test_by_sudo_with_a_password_it_comes_in_pieces(fleet, host, lab, hold, tmp_path):
    hold(HOLD, f"{lab}/held")
    host.run(["rm", f"{lab}/held"])
    done = collect(fleet, tmp_path, collect_hosts="h1", ansible_become_password="none is asked for")
    assert "failed=0" in done.stdout, done.stdout
    assert (tmp_path / "evidence/content" / SHA256).read_bytes() == CONTENT


def test_filters(fleet, host, lab, hold, tmp_path):
    hold(HOLD, f"{lab}/held")
    host.run(["cp", "/usr/bin/sleep", f"{lab}/implant"])
    implant = host.spawn([f"{lab}/implant", "600"])
    host.run(["rm", f"{lab}/held", f"{lab}/implant"])
    try:
        done = collect(fleet, tmp_path, collect_hosts="h1", collect_suspicious_only=True)
        assert "failed=0" in done.stdout, done.stdout
        _about, files = manifest(tmp_path)
        assert f"{lab}/implant" in [file["path"] for file in files]
        assert f"{lab}/held" not in [file["path"] for file in files]
        assert all(file["suspicious"] for file in files)
        second = tmp_path / "second"
        done = collect(fleet, second, collect_hosts="h1", collect_max_size="5K")
        assert f"{lab}/held: it is larger than max_size" in done.stdout
        (file,) = [file for file in manifest(second)[1] if file["path"] == f"{lab}/held"]
        assert file["content"] is None and file["unread"] == "it is larger than max_size"
    finally:
        implant.kill()
        implant.wait()


def test_without_pipelining_it_writes_nothing_unless_it_is_allowed_to(fleet, host, lab, hold, tmp_path):
    hold(HOLD, f"{lab}/held")
    host.run(["rm", f"{lab}/held"])
    shutil.rmtree(host.root() / "home/oncall/.ansible", ignore_errors=True)
    done = collect(fleet, tmp_path, collect_hosts="h1", ansible_pipelining=False)
    assert "Without pipelining Ansible writes its modules" in done.stdout
    assert not (tmp_path / "evidence/hosts").exists()
    assert not (host.root() / "home/oncall/.ansible").exists()
    done = collect(fleet, tmp_path, collect_hosts="h1", ansible_pipelining=False, collect_allow_tmp=True)
    assert f"{lab}/held" in [file["path"] for file in manifest(tmp_path)[1]], done.stdout


@pytest.mark.long
def test_a_hundred_hosts_with_the_same_bash(tmp_path):
    bash = "/usr/bin/bash"
    with Fleet(100) as fleet:
        names = [one.name for one in fleet.hosts]
        for one in fleet.hosts:
            one.spawn([bash, "-c", "while :; do sleep 3600; done"])
            one.wreck(bash)
        content = Path(bash).read_bytes()  # the hosts have this machine's own
        done = collect(fleet, tmp_path, collect_via=["exe"])
        assert done.stdout.count("failed=0") == 100, done.stdout
    (stored,) = (tmp_path / "evidence/content").iterdir()
    assert stored.read_bytes() == content
    assert len(list((tmp_path / "evidence/content").iterdir())) == 1
    manifests = [manifest(tmp_path, name)[1] for name in names]
    assert len(manifests) == 100
    assert len({file["content"] for files in manifests for file in files}) == 1
    assert all([file["path"] for file in files] == [bash] for files in manifests)
    assert check(tmp_path).stdout.count(": OK") == 102  # and run.json
