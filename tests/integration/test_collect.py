# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The playbook collect: each content once for the fleet, a manifest for each host, a seal that shows later changes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import documents
from fleet import Fleet
from fleet.controller import program, run_ansible
from integration.disk import free_blocks
from integration.slow import over_a_slow_line, shown

HOLD = "import sys\nopen(sys.argv[1], 'wb').write(b'evidence ' * 1000)\nheld = open(sys.argv[1], 'rb')\n"
# In a process whose parent is another one of the host, and which ends with that.
BELOW = (
    "import ctypes, os\n"
    "if os.fork():\n"
    "    os.wait()\n"
    "    os._exit(0)\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"  # PR_SET_PDEATHSIG
)
CONTENT = b"evidence " * 1000
GUIDE = "docs/docsite/rst/collect_evidence.rst"
NO_PYTHON = "ansible_python_interpreter: /no/such/python"
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


def documented_keys():
    """What the guide says that records have, and holders and parents in these."""
    text = (documents.ROOT / GUIDE).read_text(encoding="utf-8").partition("\n3. The manifests\n")[2]
    host, _each, rest = text.partition("Each other line is a file:")
    file, _each, rest = rest.partition("Each of its ``holders`` has:")
    holder, _what, _else = rest.partition("\nWhat else?\n")
    sections = {"host": host, "file": file, "holders": holder}
    terms = {
        name: {key for line in section.splitlines() if line.startswith("``") for key in re.findall(r"``(\w+)``", line)}
        for name, section in sections.items()
    }
    return {**terms, "parents": set(re.findall(r"``(\w+)``", holder.partition("``parents``")[2]))}


def stat(host, pid):
    """The fields of proc_pid_stat(5) from the third on, as the host sees them."""
    fields = host.run(["cat", f"/proc/{pid}/stat"]).stdout.decode().rpartition(")")[2].split()[1:]
    return [None, *map(int, fields)]


def run_of(folder):
    return json.loads((folder / "evidence/run.json").read_text(encoding="ascii"))


def check(folder):
    command = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    return subprocess.run(command, cwd=folder / "evidence", capture_output=True, text=True, check=False)


@pytest.mark.matrix
def test_all_that_is_known_of_a_file(fleet, host, lab, hold, tmp_path):
    path = lab.encode() + b"/n\xff\n{{ 6*7 }}"
    pid = hold(BELOW + HOLD, path)
    code = "import os, sys; os.setxattr(os.fsencode(sys.argv[1]), 'user.origin', b'x\\0y')"
    host.run(["/usr/bin/python3", "-c", code, path])
    born = int(host.run(["stat", "--format=%W", path]).stdout)
    host.run(["rm", path])
    done = collect(fleet, tmp_path, collect_hosts="h1", collect_md5=True, collect_via=["fd"])
    assert "failed=0" in done.stdout and "unreachable=0" in done.stdout, done.stdout
    about, files = manifest(tmp_path)
    known = documented_keys()
    assert set(about) == known["host"]
    assert about["name"] == "h1" and about["hostname"] == "h1"
    assert about["boot_id"] == (host.root() / "proc/sys/kernel/random/boot_id").read_text().strip()
    assert -60 < about["clock_ahead_at_least"] <= about["clock_ahead_at_most"] + 0.01 < 60
    assert about["collection"] != "unknown"
    (file,) = [one for one in files if base64.b64decode(one["path_b64"]) == path]
    # What Ansible calls host_path is only there where it is another one.
    assert set(file) | {"host_path", "host_path_b64"} == known["file"]
    assert file["digests"] == {"sha256": SHA256, "md5": hashlib.md5(CONTENT).hexdigest()}
    assert base64.b64decode(file["xattrs"]["user.origin"]) == b"x\0y" and file["mtime_ns"] > 10**18
    assert (file["btime_ns"] or 0) // 10**9 == born, "0 is what stat says where it is not known"
    (holder,) = file["holders"]
    assert holder["pid"] == pid and holder["uid"] == 0 and holder["started"] > 1_600_000_000
    assert not [name for name in holder if "cmdline" in name or "environ" in name], "secrets stand there"
    assert set(holder) | {"exe_b64"} == known["holders"] and set(file["source"]) <= set(holder)
    assert holder["namespaces"]["mnt"].startswith("mnt:[") and holder["cwd"] == "/"
    parent = holder["parents"][0]
    assert parent["pid"] == stat(host, pid)[1] and parent["start_time"] == stat(host, parent["pid"])[19]
    assert set(parent) | {"exe_b64"} == known["parents"]
    cgroup = host.run(["cat", f"/proc/{pid}/cgroup"]).stdout.decode()
    assert holder["cgroup"] == cgroup.replace("\n", "\\n") != ""
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
        # Of this size there is nothing else.
        done = collect(fleet, tmp_path, collect_min_size="9000", collect_max_size="9000")
        assert "failed=0" in done.stdout, done.stdout
    finally:
        for process in holders:
            process.kill()
            process.wait()
    assert [path.name for path in (tmp_path / "evidence/content").iterdir()] == [SHA256]
    hosts = run_of(tmp_path)["hosts"]
    assert len(hosts) == len(fleet.hosts) and all(told["contents"] == 1 for told in hosts.values())
    assert sum(told["new_contents"] for told in hosts.values()) == 1, "the others did not fetch it again"
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
    broken = f"        broken:\n          ansible_host: {fleet.hosts[1].address}\n          {NO_PYTHON}\n"
    inventory.write_text(fleet.inventory().read_text().replace("      hosts:\n", f"      hosts:\n{others}{broken}"))
    settings = {"collect_hosts": "h1:gone:broken", "inventory": inventory, "collect_min_size": "9000"}
    done = collect(fleet, tmp_path, **settings)
    run = run_of(tmp_path)
    states = {name: told["state"] for name, told in run["hosts"].items()}
    assert states == {"h1": "collected", "gone": "unreachable", "broken": "failed"}, done.stdout
    assert "/no/such/python" in run["hosts"]["broken"]["msg"] and "manifest" not in run["hosts"]["broken"]
    assert run["hosts"]["h1"]["filters"] == {"via": [], "suspicious_only": False, "min_size": 9000, "max_size": None}
    assert manifest(tmp_path)[0]["filters"] == run["hosts"]["h1"]["filters"]
    assert [path.name for path in (tmp_path / "evidence/hosts").iterdir()] == ["h1.jsonl"]
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


def test_a_host_where_python_ends_at_once_is_not_called_unreachable(fleet, host, tmp_path):
    # Ansible sends the module when sudo is there: then nobody reads it any more, and ssh must not have ended yet.
    ssh = tmp_path / "ssh"
    ssh.write_text(
        '#!/bin/sh\n[ -p /dev/stdin ] || exec ssh "$@"\nexec </dev/null\nssh "$@"\nsleep 10\n', encoding="ascii"
    )
    ssh.chmod(0o700)
    inventory = tmp_path / "inventory.yml"
    ends = (
        f"        ends:\n          ansible_host: {host.address}\n          ansible_ssh_executable: {ssh}\n"
        f"          {NO_PYTHON}\n"
    )
    inventory.write_text(fleet.inventory().read_text().replace("      hosts:\n", f"      hosts:\n{ends}"))
    done = collect(fleet, tmp_path, inventory=inventory, collect_hosts="h2:ends")
    ended = run_of(tmp_path)["hosts"]["ends"]
    assert ended["state"] == "failed" and "see that /no/such/python can be started" in ended["msg"], done.stdout


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


# Each begins to write when the content is there.
GROWS = (
    "import os, sys, threading, time\n"
    "held = open(sys.argv[1], 'w+b', 0)\n"
    "held.write(b'line\\n' * 1_000_000)\n"
    "os.remove(sys.argv[1])\n"
    "def write():\n"
    "    while True: held.write(b'line\\n' * 10); time.sleep(0.001)\n"
    "threading.Thread(target=write, daemon=True).start()\n"
)
CHANGES = (
    "import itertools, os, sys, threading\n"
    "held = open(sys.argv[1], 'w+b', 0)\n"
    "held.truncate(5_000_000)\n"
    "os.remove(sys.argv[1])\n"
    "def write():\n"
    "    for n in itertools.count(): os.pwrite(held.fileno(), b'%20d' % n, n * 4096 % 5_000_000)\n"
    "threading.Thread(target=write, daemon=True).start()\n"
)


@pytest.mark.parametrize("settings", [{}, {"ansible_become_password": "none is asked for"}], ids=["stream", "pieces"])
def test_files_that_somebody_writes_to(fleet, host, lab, hold, tmp_path, settings):
    """A log is kept as it was when its digest was computed; what is overwritten is no content of any moment."""
    hold(HOLD, f"{lab}/calm")
    hold(GROWS, f"{lab}/log")
    hold(CHANGES, f"{lab}/busy")
    host.run(["rm", f"{lab}/calm"])
    done = collect(fleet, tmp_path, collect_hosts="h1", collect_via=["fd"], **settings)
    assert "failed=0" in done.stdout, done.stdout
    files = {file["path"]: file for file in manifest(tmp_path)[1]}
    calm, log, busy = (files[f"{lab}/{name}"] for name in ("calm", "log", "busy"))
    assert calm["consistent"] is True and calm["unread"] is None
    content = (tmp_path / "evidence" / log["content"]).read_bytes()
    assert log["consistent"] is False and log["unread"] is None
    assert content == (b"line\n" * len(content))[: log["size"]] and log["size"] >= 5_000_000
    assert (busy["content"], busy["consistent"]) == (None, None)
    assert busy["unread"] == "it changed after its digest was computed: fetch it by itself"
    assert f"{lab}/busy: {busy['unread']}" in done.stdout
    assert not list((tmp_path / "evidence").rglob(".procfs-rescue.*")) and check(tmp_path).returncode == 0


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
        third = tmp_path / "third"
        collect(fleet, third, collect_hosts="h1", collect_via=["exe"])
        paths = [file["path"] for file in manifest(third)[1]]
        assert f"{lab}/implant" in paths and f"{lab}/held" not in paths
    finally:
        implant.kill()
        implant.wait()


@pytest.mark.parametrize("options", [(), ("-e", "ansible_become_password=none")], ids=["stream", "pieces"])
def test_nothing_is_written_on_the_host(host, lab, hold, run_module, tmp_path, options):
    """Neither content nor Ansible's modules, though the play does not say where Ansible is to unpack these."""
    hold("import sys\nheld = open(sys.argv[1], 'w+b', 0)\nheld.write(b'evidence' * 1_000_000)\n", f"{lab}/held")
    host.run(["rm", f"{lab}/held"])
    arguments = {"dest": f"{tmp_path}/evidence", "min_size": "8000000"}
    with free_blocks(host) as free:
        answer = run_module("collect_files", arguments, options=options)
    assert not answer.failed and answer.result["new_contents"] == 1 and not answer.result["unread"], answer.output
    assert min(free) >= free[0] - 8 and len(free) > 10, (free[0], min(free))


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
@pytest.mark.parametrize("watched", [True, False])
@pytest.mark.parametrize("settings", [{}, {"ansible_become_password": "none"}], ids=["stream", "pieces"])
def test_progress_of_a_slow_collection(fleet, host, lab, hold, tmp_path, settings, watched):
    """On a terminal a line comes now and then for all contents of a host together; elsewhere there is none."""
    for number in range(2):
        path = f"{lab}/{number}"
        code = "import os, sys\nheld = open(sys.argv[1], 'w+b', 0)\nheld.write(os.urandom(10_000_000))\n"
        hold(code, path)
        (host.root() / path.lstrip("/")).unlink()
    variables = {"collect_dest": f"{tmp_path}/evidence", "collect_hosts": "h1", "collect_min_size": "1M"}
    variables.update(over_a_slow_line(tmp_path), **settings)
    command = [program("ansible-playbook"), "procfs.rescue.collect", "-i", str(fleet.inventory())]
    text = shown([*command, "-e", json.dumps(variables)], watched)
    assert len([file for file in manifest(tmp_path)[1] if file["size"] == 10_000_000 and file["content"]]) == 2
    lines = re.findall(rb"h1: [0-9]+ contents: [0-9.]+ MB of [0-9.]+ MB, [0-9.]+ [KM]B/s, [0-9]+ s left", text)
    assert bool(lines) == watched, text


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
    hosts = run_of(tmp_path)["hosts"]
    assert len(hosts) == 100 and sum(told["new_contents"] for told in hosts.values()) == 1
    manifests = [manifest(tmp_path, name)[1] for name in names]
    assert len(manifests) == 100
    assert len({file["content"] for files in manifests for file in files}) == 1
    assert all([file["path"] for file in files] == [bash] for files in manifests)
    assert check(tmp_path).stdout.count(": OK") == 102  # and run.json
