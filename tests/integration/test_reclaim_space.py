# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""reclaim_space on a real host: disk space comes back from real programs, which go on; and what is refused."""

from __future__ import annotations

import json
import os
import select
import stat
import time
from contextlib import suppress

import pytest

from fleet.controller import run_ansible

SIZE = 3_000_000


def inside(host, path):
    return host.root() / path.lstrip("/")


def held_by(process):
    for name in os.listdir(f"/proc/{process.pid}/fd"):
        with suppress(OSError):
            yield os.stat(f"/proc/{process.pid}/fd/{name}")


def allocated(process):
    return max(held.st_blocks * 512 for held in held_by(process) if stat.S_ISREG(held.st_mode))


@pytest.fixture
def start(host):
    """``start(command, path)`` runs a shell command of a person in the host, and returns when it has ``path`` open."""
    started = []

    def run(command, path):
        process = host.spawn(["/bin/sh", "-c", f"exec {command}"], stdin=-1, stdout=-3, stderr=-3)
        started.append(process)
        until = time.monotonic() + 10
        target = inside(host, path).stat()
        while time.monotonic() < until:
            if any(os.path.samestat(held, target) for held in held_by(process)):
                return process
            time.sleep(0.02)
        raise TimeoutError(command)

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def log(host, lab):
    path = inside(host, f"{lab}/app.log")
    path.write_bytes(b"x" * SIZE)
    return f"{lab}/app.log"


@pytest.mark.matrix
def test_a_log_that_a_daemon_appends_to(host, log, start, run_module):
    daemon = start(f"cat >> {log}", log)
    inside(host, log).unlink()
    before = allocated(daemon)
    assert before >= SIZE
    would = run_module("reclaim_space", {"path": log}, check=True, diff=True)
    assert would.result["changed"] and would.result["freed"] == before
    assert f"+allocated: {0}" in would.output and f"-allocated: {before}" in would.output
    assert [one["status"] for one in would.files] == ["would_free"] and allocated(daemon) == before

    done = run_module("reclaim_space", {"path": log})
    assert done.result["changed"] and done.result["freed"] == before and allocated(daemon) == 0
    ((_mount_point, row),) = done.result["mount_points"].items()
    assert row["freed"] == before and row["free_after"] - row["free_before"] > SIZE // 2
    daemon.stdin.write(b"still here\n")
    daemon.stdin.flush()
    until = time.monotonic() + 5
    while allocated(daemon) == 0 and time.monotonic() < until:
        time.sleep(0.02)
    assert max(held.st_size for held in held_by(daemon) if stat.S_ISREG(held.st_mode)) == len("still here\n")

    again = run_module("reclaim_space", {"path": f"{log}*"})
    assert again.failed and "No process holds that file" in again.result["msg"]


@pytest.mark.parametrize(
    ("command", "reasons"),
    [
        ("tail -n 1 -f {}", ["may_read"]),
        ("flock {} sleep 1000", ["may_read"]),
        ("dd of={} conv=notrunc status=none", ["sparse_writer"]),
        ("cat 1<> {}", ["may_read", "sparse_writer"]),
    ],
)
def test_what_programs_are_refused(log, start, host, run_module, command, reasons):
    """Beside a daemon that may lose its file, which does not make it better."""
    start(f"cat >> {log}", log)
    program = start(command.format(log), log)
    inside(host, log).unlink()
    answer = run_module("reclaim_space", {"path": log})
    assert answer.failed and answer.files[0]["refused"] == reasons, answer.output
    assert answer.files[0]["status"] == "refused" and all(reason in answer.result["msg"] for reason in reasons)
    assert allocated(program) >= SIZE


def test_a_program_that_runs_is_refused(host, lab, run_module):
    host.run(["cp", "/bin/sleep", f"{lab}/daemon"])
    program = host.spawn([f"{lab}/daemon", "1000"])
    inside(host, f"{lab}/daemon").unlink()
    answer = run_module("reclaim_space", {"path": f"{lab}/daemon"})
    assert answer.failed and "mapped" in answer.files[0]["refused"]
    assert program.poll() is None
    program.kill()


def test_a_lower_file_of_the_overlay_is_refused(host, start, run_module):
    """A daemon that reads a file of its image: its blocks are not the host's to free."""
    path = "/usr/share/common-licenses/GPL-3"
    reader = start(f"tail -f {path}", path)
    before = max(held.st_size for held in held_by(reader) if stat.S_ISREG(held.st_mode))
    host.wreck(path)
    answer = run_module("reclaim_space", {"path": path})
    assert answer.failed and answer.files[0]["refused"] == ["linked", "may_read"], answer.output
    assert max(held.st_size for held in held_by(reader) if stat.S_ISREG(held.st_mode)) == before > 0


def test_what_only_a_container_sees_is_refused(hold, run_module):
    """Nobody can tell from here whether its name is free."""
    daemon = (
        "import os, subprocess\n"
        "subprocess.run(['mount', '-t', 'tmpfs', 'box', '/opt'], check=True)\n"
        "held = os.open('/opt/app.log', os.O_WRONLY | os.O_APPEND | os.O_CREAT)\n"
        f"os.write(held, b'x' * {SIZE})\n"
        "os.unlink('/opt/app.log')\n"
    )
    container = ["unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child"]
    hold(daemon, user="mallory", wrapper=container)
    answer = run_module("reclaim_space", {"path": "/opt/app.log"})
    assert answer.failed and answer.files[0]["refused"] == ["not_removed"], answer.output


def test_the_scratch_files_of_a_sort_are_refused(host, lab, run_module):
    """Somebody tidied up its folder; it goes on to read them."""
    lines = b"".join(b"%d\n" % number for number in range(300_000))
    inside(host, f"{lab}/numbers").write_bytes(lines)
    host.run(["mkdir", f"{lab}/scratch"])
    command = ["sort", "--numeric-sort", "--reverse", "-S", "1M", "-T", f"{lab}/scratch", f"{lab}/numbers"]
    sort = host.spawn(command, stdout=-1)
    until = time.monotonic() + 20
    # Its output waits for us when all is written and the merge has begun.
    while not select.select([sort.stdout], [], [], 0)[0] and time.monotonic() < until:
        time.sleep(0.02)
    host.run(["rm", "-r", f"{lab}/scratch"])
    answer = run_module("reclaim_space", {"paths": [f"{lab}/scratch"]})
    assert not answer.failed and not answer.result["changed"] and answer.files
    assert {tuple(one["refused"]) for one in answer.files} == {("may_read",)}
    output, _errors = sort.communicate()
    assert output.splitlines() == lines.splitlines()[::-1]


def test_what_is_chosen_by_pattern_goes_on_beside_what_is_refused(host, lab, start, run_module):
    for name in ("a.log", "b.log", "small.log", "other.txt"):
        inside(host, f"{lab}/{name}").write_bytes(b"x" * (SIZE if name != "small.log" else 1000))
        start(f"cat >> {lab}/{name}", f"{lab}/{name}")
    start(f"tail -f {lab}/b.log", f"{lab}/b.log")
    for name in ("a.log", "b.log", "small.log", "other.txt"):
        inside(host, f"{lab}/{name}").unlink()
    arguments = {"paths": [lab], "excludes": ["*.txt"], "min_size": "1M"}
    none = run_module("reclaim_space", {**arguments, "max_bytes": "1M"})
    assert not none.failed and not none.result["changed"] and none.result["freed"] == 0
    done = run_module("reclaim_space", arguments)
    assert not done.failed
    assert {os.path.basename(one["path"]): (one["status"], one["refused"]) for one in done.files} == {
        "a.log": ("freed", []),
        "b.log": ("refused", ["may_read"]),
    }
    assert not run_module("reclaim_space", arguments).result["changed"], "what is empty is smaller than min_size"


def test_the_end_of_it_stays_and_can_be_restored(host, log, start, run_module):
    with open(inside(host, log), "ab") as file:
        file.write(b"the last words")
    start(f"cat >> {log}", log)
    inside(host, log).unlink()
    done = run_module("reclaim_space", {"path": log, "keep_last": "64K"})
    assert done.result["freed"] > SIZE * 0.9
    assert not run_module("restore_file", {"path": log}).failed
    content = inside(host, log).read_bytes()
    assert len(content) == SIZE + 14 and content.endswith(b"x" * 1000 + b"the last words") and content.startswith(b"\0")


def test_a_copy_is_made_first(host, log, start, run_module):
    daemon = start(f"cat >> {log}", log)
    inode = inside(host, log).stat().st_ino
    inside(host, log).unlink()
    same = run_module("reclaim_space", {"path": log, "archive": os.path.dirname(log)})
    assert same.failed and "frees nothing" in same.result["msg"] and allocated(daemon) >= SIZE
    host.run(["mkdir", "/dev/shm/archive"])
    try:
        arguments = {"path": log, "archive": "/dev/shm/archive"}
        would = run_module("reclaim_space", arguments, check=True)
        assert would.files[0]["archived"]["status"] == "restorable" and allocated(daemon) >= SIZE
        assert host.run(["ls", "/dev/shm/archive"]).stdout == b""
        done = run_module("reclaim_space", arguments)
        assert done.files[0]["archived"]["dest"] == f"/dev/shm/archive/app.log.{inode}"
        assert done.result["freed"] == would.result["freed"] > SIZE * 0.9
        assert host.run(["cat", f"/dev/shm/archive/app.log.{inode}"]).stdout == b"x" * SIZE
        assert allocated(daemon) < SIZE * 0.1
    finally:
        host.run(["rm", "-r", "/dev/shm/archive"])


def test_an_entry_of_the_facts_that_may_be_lost(host, log, start, run_module):
    """A scratch file of a program, as its administrator knows."""
    reader = start(f"tail -n 1 -f {log}", log)
    inside(host, log).unlink()
    facts = run_module("deleted_files_facts", {"paths": [log]}).result["ansible_facts"]
    (entry,) = facts["deleted_files"]
    assert run_module("reclaim_space", {"source": entry}).failed
    wide = run_module("reclaim_space", {"paths": [log], "readable": True})
    assert wide.failed and "readable is for one very inode" in wide.result["msg"]
    done = run_module("reclaim_space", {"source": entry, "readable": True})
    assert not done.failed and done.result["freed"] == entry["reclaimable"] and allocated(reader) == 0


def test_without_root_nothing_is_freed(log, host, start, run_module, fleet):
    daemon = start(f"cat >> {log}", log)
    inside(host, log).unlink()
    answer = run_module("reclaim_space", {"path": log}, inventory=fleet.inventory(user="mallory", become=False))
    assert answer.failed and answer.result["refused"] == ["incomplete"] and allocated(daemon) >= SIZE


def test_defaults_of_the_action_group(host, log, start, fleet, tmp_path):
    daemon = start(f"cat >> {log}", log)
    inside(host, log).unlink()
    play = {
        "hosts": "h1",
        "gather_facts": False,
        "module_defaults": {"group/procfs.rescue.rescue": {"paths": [log]}},
        "tasks": [{"procfs.rescue.reclaim_space": {}}],
    }
    (tmp_path / "play.yml").write_text(json.dumps([play]), encoding="utf-8")
    done = run_ansible("ansible-playbook", str(tmp_path / "play.yml"), "-i", str(fleet.inventory()))
    assert done.returncode == 0, done.stdout
    assert allocated(daemon) == 0


def test_the_log_of_a_unit(booted, run_on_booted):
    """systemd opens it with O_APPEND; what was freed is in the journal."""
    output = "StandardOutput=append:/var/log/chatty.log"
    booted.run(["systemd-run", "--unit=chatty", "-p", output, "sh", "-c", "head -c 3000000 /dev/zero; sleep infinity"])
    try:
        until = time.monotonic() + 10
        log = inside(booted, "/var/log/chatty.log")
        while not (log.exists() and log.stat().st_size == SIZE) and time.monotonic() < until:
            time.sleep(0.05)
        log.unlink()
        (result,) = run_on_booted("reclaim_space", {"units": ["chatty.service"]}).files
        assert (result["status"], result["path"]) == ("freed", "/var/log/chatty.log") and result["freed"] >= SIZE
        assert booted.run(["systemctl", "is-active", "chatty"]).stdout == b"active\n"
        told = booted.run(["journalctl", "--no-pager", "-t", "ansible-procfs.rescue.reclaim_space"]).stdout.decode()
        assert f"freed {result['freed']} bytes of /var/log/chatty.log" in told
    finally:
        booted.run(["systemctl", "stop", "chatty"])
