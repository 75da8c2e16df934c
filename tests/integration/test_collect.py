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
        done = collect(fleet, tmp_path, collect_via=["exe"])
        assert done.stdout.count("failed=0") == 100, done.stdout
    assert len(list((tmp_path / "evidence/content").iterdir())) == 1
    manifests = [manifest(tmp_path, name)[1] for name in names]
    assert len(manifests) == 100
    assert len({file["content"] for files in manifests for file in files}) == 1
    assert all([file["path"] for file in files] == [bash] for files in manifests)
    assert check(tmp_path).stdout.count(": OK") == 101
