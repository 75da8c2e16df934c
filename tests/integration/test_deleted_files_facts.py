# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""deleted_files_facts on a real host: everything that is deleted and held, and nothing that is not."""

from __future__ import annotations

import hashlib
import json
import os
import time

import pytest

import debs
from fleet.controller import run_ansible

HOLD = "import sys\nopen(sys.argv[1], 'w').write('x' * 5000)\nheld = open(sys.argv[1], sys.argv[2])\n"


def inside(host, path):
    return host.root() / path.lstrip("/")


@pytest.fixture
def facts(run_module):
    def gather(**arguments):
        answer = run_module("deleted_files_facts", arguments)
        assert not answer.failed, answer.output
        assert set(answer.result["ansible_facts"]) == {"deleted_files", "deleted_files_summary"}
        return answer.result["ansible_facts"]

    return gather


@pytest.mark.matrix
def test_one_entry_per_inode_with_every_holder(host, lab, hold, facts):
    path = f"{lab}/shared"
    first = hold(HOLD, path, "r+b")
    second = hold("import sys\nheld = open(sys.argv[1], 'rb')\n", path)
    inside(host, path).unlink()
    found = facts(paths=[path])
    (entry,) = found["deleted_files"]
    assert (entry["path"], entry["state"], entry["kind"], entry["size"], entry["nlink"]) == (
        path,
        "removed",
        "regular",
        5000,
        0,
    )
    assert entry["mode"] == "0644" and entry["owner"] == "root" and entry["restorable"] and entry["refused"] == []
    holders = {holder["pid"]: holder for holder in entry["holders"]}
    assert set(holders) == {first, second}
    assert (holders[first]["access"], holders[second]["access"]) == ("both", "read")
    assert holders[first]["via"] == "fd" and holders[first]["fd"] == 3 and holders[first]["user"] == "root"
    assert found["deleted_files_summary"]["complete"] is True
    assert found["deleted_files_summary"]["users"]["root"]["count"] >= 1


def test_replaced_and_a_live_twin(host, lab, hold, facts):
    path = f"{lab}/conf"
    hold(HOLD, path, "rb")
    inside(host, f"{lab}/twin").hardlink_to(inside(host, path))
    inside(host, path).unlink()
    inside(host, path).write_text("newer")
    (entry,) = facts(paths=[lab])["deleted_files"]
    assert entry["state"] == "replaced" and entry["nlink"] == 1 and entry["reclaimable"] == 0


def test_a_deleted_lower_file_of_the_overlay_keeps_its_link_count(host, facts):
    holder = host.spawn(
        ["/usr/bin/python3", "-c", "f = open('/etc/login.defs'); print(1, flush=True); input()"], stdin=-1, stdout=-1
    )
    assert holder.stdout.readline() == b"1\n"
    host.wreck("/etc/login.defs")
    (entry,) = facts(paths=["/etc/login.defs"])["deleted_files"]
    holder.communicate(b"\n")
    assert entry["nlink"] == 1, "the kernel's wrong count, which must not hide the file"
    assert entry["state"] == "removed" and entry["restorable"] and entry["reclaimable"] == 0


@pytest.mark.matrix
def test_what_only_looks_like_files_is_classified(host, lab, hold, facts):
    pid = hold(
        "import ctypes, mmap, os, tempfile, sys\n"
        "memfd = os.memfd_create('../../usr/bin/bash')\n"
        "os.write(memfd, b'x' * 100)\n"
        "shared = mmap.mmap(-1, 8192)\n"
        "unnamed = os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR)\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.shmat.restype = ctypes.c_void_p\n"
        "segment = libc.shmget(0, 4096, 0o1600)\n"
        "libc.shmat(segment, None, 0)\n"
        "libc.shmctl(segment, 0, None)\n"
        "shm = open('/dev/shm/lab', 'w+')\n"
        "os.unlink('/dev/shm/lab')\n",
        lab,
    )
    kinds = {
        entry["kind"]: entry
        for entry in facts()["deleted_files"]
        if any(holder["pid"] == pid for holder in entry["holders"])
    }
    assert {"memfd", "sysv_shm", "shared_memory", "tmpfile"} <= set(kinds)
    assert kinds["memfd"]["path"] == "/memfd:../../usr/bin/bash"
    assert all(kinds[kind]["visible"] is None for kind in ("memfd", "sysv_shm", "tmpfile"))
    for kind in ("memfd", "sysv_shm", "tmpfile"):
        assert not kinds[kind]["restorable"] and kinds[kind]["refused"] == ["no_name"], kind
    assert facts(kinds=["memfd"])["deleted_files"] == [kinds["memfd"]]


def test_executables_are_seen_through_exe(host, lab, facts):
    host.run(["cp", "/bin/sleep", f"{lab}/daemon"])
    daemon = host.spawn([f"{lab}/daemon", "1000"])
    inside(host, f"{lab}/daemon").unlink()
    (entry,) = facts(paths=[f"{lab}/*"])["deleted_files"]
    daemon.kill()
    (holder,) = entry["holders"]
    assert holder["via"] == "exe" and holder["executable"] and holder["comm"] == "daemon"
    assert holder["exe"] == f"{lab}/daemon (deleted)"


def test_filters_and_the_summary_of_all(host, lab, hold, facts):
    for name, mode in (("small.log", "rb"), ("other.txt", "rb")):
        hold(HOLD, f"{lab}/{name}", mode)
    hold("import sys\nf = open(sys.argv[1], 'w+')\nf.truncate(3_000_000)\n", f"{lab}/large.log")
    for name in ("small.log", "other.txt", "large.log"):
        inside(host, f"{lab}/{name}").unlink()

    def names(**arguments):
        return sorted(entry["path"].rpartition("/")[2] for entry in facts(**arguments)["deleted_files"])

    assert names(paths=[lab]) == ["large.log", "other.txt", "small.log"]
    assert names(paths=[f"{lab}/*.log"]) == ["large.log", "small.log"]
    assert names(paths=[lab], excludes=["*.log"]) == ["other.txt"]
    assert names(paths=[lab], min_size="1M") == ["large.log"]
    assert facts(paths=["/nothing/there"])["deleted_files_summary"]["count"] >= 3


def test_states_users_and_ways(host, lab, hold, facts):
    for name, user in (("mine", "mallory"), ("roots", None)):
        inside(host, f"{lab}/{name}").write_text("x")
        hold("import sys\nheld = open(sys.argv[1])\n", f"{lab}/{name}", user=user)
        inside(host, f"{lab}/{name}").unlink()
    inside(host, f"{lab}/roots").write_text("newer")

    def names(**arguments):
        return [
            entry["path"].rpartition("/")[2] for entry in facts(paths=[lab], sort="path", **arguments)["deleted_files"]
        ]

    assert names() == ["mine", "roots"]
    assert names(users=["mal*"]) == ["mine"]
    assert names(states=["replaced"]) == ["roots"]
    assert names(via=["fd"]) == ["mine", "roots"] and names(via=["exe", "map"]) == []
    assert names(units=["*.service"]) == []


def test_a_small_fact_of_many_files(host, lab, hold, facts):
    hold(
        "import os, sys\n"
        "for number in range(2000):\n"
        "    fd = os.open(f'{sys.argv[1]}/{number:04}', os.O_RDWR | os.O_CREAT)\n"
        "    os.write(fd, b'x' * (number + 1))\n"
        "    os.unlink(f'{sys.argv[1]}/{number:04}')\n",
        lab,
    )
    found = facts(paths=[lab], sort="size", limit=2, get_checksum=True, checksum_algorithm="md5")
    assert [entry["size"] for entry in found["deleted_files"]] == [2000, 1999]
    assert found["deleted_files"][0]["checksum"] == "md5:" + hashlib.md5(b"x" * 2000).hexdigest()
    summary = found["deleted_files_summary"]
    assert (summary["wanted"], summary["listed"]) == (2000, 2) and summary["count"] >= 2000


@pytest.mark.long
def test_a_small_fact_of_very_many_files(host, lab, hold, facts):
    """100,000 of them, and one that 300 processes hold."""
    host.run(["mount", "-t", "tmpfs", "-o", "size=512m,nr_inodes=0", "lab", lab])
    code = (
        "import os, resource, sys\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
        "for number in range(4000):\n"
        "    path = f'{sys.argv[1]}/{os.getpid()}-{number}'\n"
        "    os.open(path, os.O_RDWR | os.O_CREAT)\n"
        "    os.unlink(path)\n"
    )
    many = (
        "import ctypes, os, sys\n"
        "held = open(sys.argv[1], 'a')\n"
        "for _child in range(299):\n"
        "    if not os.fork():\n"
        "        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG\n"
        "        break\n"
    )
    try:
        for _process in range(25):
            hold(code, lab)
        hold(many, f"{lab}/shared")
        host.wreck(f"{lab}/shared")
        found = facts(paths=[lab], sort="size", limit=10)
        shared = facts(paths=[f"{lab}/shared"], holders_limit=3)
    finally:
        host.run(["umount", "-l", lab])
    assert found["deleted_files_summary"]["wanted"] == 100_001 and found["deleted_files_summary"]["listed"] == 10
    assert len(json.dumps(found)) < 20_000
    (entry,) = shared["deleted_files"]
    assert entry["holders_count"] == 300 and len(entry["holders"]) == 3
    assert len(json.dumps(shared)) < 10_000


def test_the_package_of_a_file(host, hold, facts):
    hold("held = open('/usr/bin/cal')\n" if inside(host, "/usr/bin/cal").exists() else "held = open('/usr/bin/tac')\n")
    path = "/usr/bin/cal" if inside(host, "/usr/bin/cal").exists() else "/usr/bin/tac"
    host.wreck(path)
    (entry,) = facts(paths=[path], get_package=True, get_checksum=True)["deleted_files"]
    owner = host.run(["dpkg", "-S", path]).stdout.decode().partition(":")[0]
    assert entry["package"] == owner and entry["checksum"].startswith("sha256:")


def test_bytes_of_each_file_system(host, lab, hold, facts):
    """Counted once per inode, however many hold it; what is memory is told apart; with the room that df tells."""
    host.run(["mount", "-t", "tmpfs", "-o", "size=64m", "lab", lab])
    try:
        for _holder in range(2):
            hold("import sys\nheld = open(sys.argv[1], 'a+')\nheld.write('x' * 50000)\nheld.flush()\n", f"{lab}/log")
        host.wreck(f"{lab}/log")
        summary = facts()["deleted_files_summary"]
        df = os.statvfs(inside(host, lab))
    finally:
        host.run(["umount", "-l", lab])
    # As long as it is held its file system is there, only nowhere.
    detached = facts(paths=[f"{lab}/log", "/log"])
    assert [entry["visible"] for entry in detached["deleted_files"]] == [False]
    assert detached["deleted_files_summary"]["mount_points"]["(elsewhere)"]["reclaimable"] >= 102400
    row = summary["mount_points"][lab]
    assert (row["count"], row["reclaimable"], row["memory"]) == (1, 0, 102400)
    assert (row["size"], row["free"]) == (df.f_blocks * df.f_frsize, df.f_bfree * df.f_frsize)
    assert summary["memory"] >= 102400


def test_a_thread_with_descriptors_of_its_own(host, lab, hold, facts):
    inside(host, f"{lab}/hidden").write_text("x")
    hold(
        "import ctypes, sys, threading\n"
        "ready = threading.Event()\n"
        "def work():\n"
        "    ctypes.CDLL(None).unshare(0x400)\n"
        "    work.held = open(sys.argv[1])\n"
        "    ready.set()\n"
        "    threading.Event().wait()\n"
        "threading.Thread(target=work, daemon=True).start()\n"
        "ready.wait()\n",
        f"{lab}/hidden",
    )
    host.wreck(f"{lab}/hidden")
    assert facts(paths=[lab])["deleted_files"] == []
    (entry,) = facts(paths=[lab], threads=True)["deleted_files"]
    assert "/task/" in entry["holders"][0]["link"]


def test_no_time_left(facts):
    summary = facts(timeout=0)["deleted_files_summary"]
    assert not summary["complete"] and summary["unvisited_processes"] > 0


# Tells the nice values of all processes whose command line has a text, until its input ends.
WATCH = """
import os, select, sys
values = set()
print(1, flush=True)
while not select.select([0], [], [], 0)[0]:
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as command, open(f"/proc/{pid}/stat") as stat:
                if sys.argv[1] in command.read():
                    values.add(int(stat.read().rpartition(")")[2].split()[16]))
        except OSError:
            pass
print(*sorted(values))
"""


@pytest.mark.parametrize(
    ("name", "arguments"), [("deleted_files_facts", {}), ("reclaim_space", {"paths": ["/"], "min_size": "1T"})]
)
def test_it_is_nice_to_others(host, run_module, name, arguments):
    command = ["/usr/bin/python3", "-c", WATCH, f"/AnsiballZ_{name}"]
    watcher = host.spawn(command, stdin=-1, stdout=-1)
    assert watcher.stdout.readline() == b"1\n"
    answer = run_module(name, arguments, pipelining=False)
    values = watcher.communicate()[0].split()
    assert values[-1] == b"19", (values, answer.output)


def test_suspicious_and_critical(host, lab, facts):
    inside(host, "/var/tmp/.x").mkdir()
    host.run(["cp", "/bin/sleep", "/var/tmp/.x/kworker"])
    host.run(["cp", "/bin/sleep", f"{lab}/upgraded"])
    intruder = host.spawn(["/var/tmp/.x/kworker", "1000"])
    upgraded = host.spawn([f"{lab}/upgraded", "1000"])
    inside(host, f"{lab}/upgraded").unlink()
    inside(host, f"{lab}/upgraded").touch()
    try:
        live = facts(critical_paths=["/bin/sh", f"{lab}/upgraded", f"{lab}/gone"])["deleted_files_summary"]
        host.run(["rm", "-r", "/var/tmp/.x"])
        dead = facts()["deleted_files_summary"]
    finally:
        intruder.kill()
        upgraded.kill()
    assert live["critical_missing"] == [f"{lab}/gone"]
    pid = host.host_pid(intruder.pid)
    assert {one["pid"]: one["reasons"] for one in live["suspicious"]}[pid] == ["world_writable_folder"]
    assert {one["pid"]: one["reasons"] for one in dead["suspicious"]}[pid] == ["removed", "world_writable_folder"]
    assert host.host_pid(upgraded.pid) not in {one["pid"] for one in live["suspicious"]}


def test_a_browser_that_was_upgraded_is_not_suspicious(host, facts):
    """Chromium starts itself again as other processes and keeps deleted shared memory."""
    program = "/usr/lib/chromium/chromium-headless-shell"
    browser = host.spawn(
        [program, "--no-sandbox", "--user-data-dir=/root/browser", "--remote-debugging-port=0", "about:blank"]
    )
    try:
        until = time.monotonic() + 30
        while host.run(["pgrep", "-f", f"{program} --type=renderer"], check=False).returncode:
            assert time.monotonic() < until
            time.sleep(0.1)
        host.run(["cp", "-p", program, f"{program}.new"])
        host.run(["mv", f"{program}.new", program])
        found = facts()
        ours = {int(pid) for pid in host.run(["pgrep", "-f", program]).stdout.split()}
    finally:
        host.run(["pkill", "-f", program], check=False)
        browser.wait()
    assert len(ours & {one["pid"] for entry in found["deleted_files"] for one in entry["holders"]}) > 2
    summary = found["deleted_files_summary"]
    assert ours & {one["pid"] for one in summary["running"]["replaced"]["processes"]}
    assert not ours & {one["pid"] for one in summary["suspicious"]}


def test_what_an_upgrade_of_a_package_makes_suspicious(host, facts, tmp_path):
    """Nothing, but for a program whose version is in its path: nobody knows any more that a package put it there."""
    program = inside(host, "/bin/sleep").read_bytes()
    paths = [["/opt/tool/bin/tool", f"/opt/jvm/java-17.0.{number}/bin/java"] for number in (8, 9)]
    for number, files in enumerate(paths, start=1):
        package = debs.build(tmp_path, "tool", str(number), dict.fromkeys(files, program + b"%d" % number))
        debs.install(host, package)
        if number == 1:
            tool, java = (host.spawn([path, "1000"]) for path in files)
    try:
        assert not inside(host, paths[0][1]).exists()
        summary = facts()["deleted_files_summary"]
    finally:
        for process in (tool, java):
            process.kill()
        host.run(["dpkg", "-r", "tool"])
    reasons = {one["pid"]: one["reasons"] for one in summary["suspicious"]}
    assert host.host_pid(tool.pid) not in reasons and reasons[host.host_pid(java.pid)] == ["removed"]
    for state, process in ("replaced", tool), ("removed", java):
        assert host.host_pid(process.pid) in {one["pid"] for one in summary["running"][state]["processes"]}


def test_rules_that_are_wrong_are_told(run_module):
    answer = run_module("deleted_files_facts", {"harmless": [{"path": "("}]})
    assert answer.failed and "'(' is no regular expression" in answer.result["msg"]
    for name in ("limit", "holders_limit"):
        answer = run_module("deleted_files_facts", {name: -1})
        assert answer.failed and answer.result["msg"] == f"{name} must not be negative."


@pytest.mark.matrix
def test_as_a_module_of_gather_facts_with_a_cache_and_defaults(host, lab, hold, fleet, tmp_path):
    for path in (f"{lab}/log", "/srv/elsewhere"):  # the second one is not among the paths of the defaults
        inside(host, path).touch()
        hold(HOLD, path, "rb")
        host.wreck(path)
    plays = [
        {
            "hosts": "h1",
            "gather_facts": True,
            "vars": {"ansible_pipelining": True, "ansible_facts_modules": ["procfs.rescue.deleted_files_facts"]},
            "module_defaults": {"group/procfs.rescue.rescue": {"paths": [lab]}},
            "tasks": [{"ansible.builtin.debug": {"msg": "first: {{ ansible_facts.deleted_files | length }}"}}],
        }
    ]
    cached = [
        {
            "hosts": "h1",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.debug": {"msg": "cached: {{ ansible_facts.deleted_files[0].path }}"}}],
        }
    ]
    env = {
        "ANSIBLE_FACTS_MODULES": "procfs.rescue.deleted_files_facts",
        "ANSIBLE_CACHE_PLUGIN": "jsonfile",
        "ANSIBLE_CACHE_PLUGIN_CONNECTION": str(tmp_path / "cache"),
    }
    output = ""
    for name, play in (("first.yml", plays), ("cached.yml", cached)):
        (tmp_path / name).write_text(json.dumps(play), encoding="utf-8")
        done = run_ansible("ansible-playbook", str(tmp_path / name), "-i", str(fleet.inventory()), env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        output += done.stdout
    assert "first: 1" in output
    assert f"cached: {lab}/log" in output


# With systemd.


def test_units_that_run_what_was_replaced(booted, run_on_booted):
    """Services can be restarted, the bus cannot; our own connection is no case, its daemon is."""
    booted.run(["mkdir", "-p", "/opt/app"])
    for name in ("upgraded", "removed", "in-container"):
        booted.run(["cp", "/usr/bin/sleep", f"/opt/app/{name}"])
    container = "docker-" + "5" * 64 + ".scope"
    booted.run(["systemd-run", "--unit=upgraded", "/opt/app/upgraded", "infinity"])
    booted.run(["systemd-run", "--unit=removed", "/opt/app/removed", "infinity"])
    booted.spawn(["systemd-run", "--scope", f"--unit={container}", "/opt/app/in-container", "infinity"])
    in_no_unit = booted.spawn(["/opt/app/upgraded", "infinity"])  # or in that of who started it
    # What had not been executed yet would run the new file.
    booted.run(["sh", "-c", "until pgrep -x in-container && pgrep -x removed; do sleep 0.1; done"], timeout=20)
    booted.run(["sh", "-c", "until [ $(pgrep -cx upgraded) = 2 ]; do sleep 0.1; done"], timeout=20)
    try:
        for path in ("/opt/app/upgraded", "/opt/app/in-container", "/usr/bin/dbus-daemon", "/usr/sbin/sshd"):
            booted.run(["cp", path, f"{path}.new"])
            booted.run(["mv", f"{path}.new", path])
        booted.run(["rm", "/opt/app/removed"])
        found = run_on_booted("deleted_files_facts", {"sort": "path"}).result["ansible_facts"]
        running = found["deleted_files_summary"]["running"]
        assert set(running["replaced"]["units"]) == {"ssh.service", "upgraded.service"}
        assert running["replaced"]["careful_units"] == ["dbus.service"]
        assert running["replaced"]["containers"] == ["5" * 64]
        assert running["removed"]["units"] == ["removed.service"] and running["removed"]["containers"] == []
        assert found["deleted_files_summary"]["units"]["upgraded.service"]["count"] == 1
        assert all(process["comm"] == "upgraded" for process in running["replaced"]["processes"])
        (entry,) = run_on_booted("deleted_files_facts", {"units": ["removed.*"]}).result["ansible_facts"][
            "deleted_files"
        ]
        assert entry["path"] == "/opt/app/removed" and entry["holders"][0]["unit"] == "removed.service"
        # What is harmless, and what is careful, is for users to say.
        told = {"harmless": [{"path": "/opt/app/rem.*"}], "careful_units": ["upgraded.*"]}
        otherwise = run_on_booted("deleted_files_facts", told).result["ansible_facts"]
        otherwise = otherwise["deleted_files_summary"]["running"]
        assert not any(otherwise["removed"].values())
        assert otherwise["replaced"]["careful_units"] == ["upgraded.service"]
        assert set(otherwise["replaced"]["units"]) == {"dbus.service", "ssh.service"}
        # After the restart that the facts ask for nothing of it is left.
        booted.run(["systemctl", "restart", "ssh.service"])
        again = run_on_booted("deleted_files_facts", {}).result["ansible_facts"]["deleted_files_summary"]["running"]
        assert set(again["replaced"]["units"]) == {"upgraded.service"}
    finally:
        in_no_unit.kill()
        booted.run(["systemctl", "stop", "upgraded", "removed", container])
        booted.run(["rm", "-r", "/opt/app"])


def test_bad_sizes_are_told(run_module):
    for size in ("many", "-1"):
        answer = run_module("deleted_files_facts", {"min_size": size})
        assert answer.failed
        assert f"min_size must be a size such as 4096, 10M or 1G, it is '{size}'." in answer.result["msg"]


def test_without_root_it_says_that_it_did_not_see_all(run_module, fleet, host, hold):
    hold(HOLD, "/home/mallory/mine", "rb", user="mallory")
    inside(host, "/home/mallory/mine").unlink()
    answer = run_module("deleted_files_facts", {}, inventory=fleet.inventory(user="mallory", become=False))
    found = answer.result["ansible_facts"]
    assert not found["deleted_files_summary"]["complete"] and found["deleted_files_summary"]["unreadable_processes"] > 0
    assert "/home/mallory/mine" in [entry["path"] for entry in found["deleted_files"]]


def test_where_processes_are_hidden_it_does_not_claim_to_have_seen_all(run_module, fleet, host):
    host.run(["mount", "-o", "remount,hidepid=2", "/proc"])
    try:
        answer = run_module("deleted_files_facts", {}, inventory=fleet.inventory(user="mallory", become=False))
    finally:
        host.run(["mount", "-o", "remount,hidepid=0", "/proc"])
    assert answer.result["ansible_facts"]["deleted_files_summary"]["complete"] is False


@pytest.mark.matrix
def test_check_mode_gathers_too_and_nothing_changes(run_module):
    answer = run_module("deleted_files_facts", {}, check=True, diff=True)
    assert not answer.failed and not answer.result["changed"]
    assert "deleted_files" in answer.result["ansible_facts"]


def test_a_hosts_own_bash_is_not_that_of_the_machine_around_it(fleet, host, facts, hold):
    """A mount namespace inside the host: its deleted file must not be taken for the host's."""
    code = (
        "import os, subprocess\n"
        "subprocess.run(['mount', '-t', 'tmpfs', 'box', '/opt'], check=True)\n"
        "f = open('/opt/tool', 'w+'); os.unlink('/opt/tool'); print(1, flush=True); input()"
    )
    inner = host.spawn(["unshare", "-m", "/usr/bin/python3", "-c", code], stdin=-1, stdout=-1)
    assert inner.stdout.readline() == b"1\n"
    (entry,) = facts(paths=["/opt/tool"])["deleted_files"]
    inner.communicate(b"\n")
    assert not entry["restorable"] and entry["refused"] == ["place_differs"] and entry["visible"] is False
