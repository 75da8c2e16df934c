# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""deleted_files_facts on a real host: everything that is deleted and held, and nothing that is not."""

from __future__ import annotations

import pytest

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


def test_bad_sizes_are_told(run_module):
    answer = run_module("deleted_files_facts", {"min_size": "many"})
    assert answer.failed and "min_size must be a size such as 4096, 10M or 1G, it is 'many'." in answer.result["msg"]


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
    assert not entry["restorable"] and entry["refused"] == ["place_differs"]
