# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""fetch_file: deleted files arrive whole on the controller, wherever their names try to lead."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from fleet import Fleet
from fleet.controller import environment, program, run_ansible
from integration.disk import free_blocks
from integration.slow import shown

HOLD = (
    "import os, random, sys\n"
    "content = random.Random(7).randbytes(int(sys.argv[2]))\n"
    "open(sys.argv[1], 'wb').write(content)\n"
    "held = open(sys.argv[1], 'rb')\n"
)


# su reads no module from standard input.
BY_SU = ("-e", "ansible_become_method=su")


def digest(size):
    return hashlib.sha256(random.Random(7).randbytes(size)).hexdigest()


def inside(host, path):
    return host.root() / path.lstrip("/")


@pytest.fixture
def gone(host, lab, hold):
    """``gone(name, size)`` is the path of a file with that many random bytes that is deleted and held."""

    def make(name="movie", size=100_000):
        hold(HOLD, f"{lab}/{name}", str(size))
        inside(host, f"{lab}/{name}").chmod(0o644)
        inside(host, f"{lab}/{name}").unlink()
        return f"{lab}/{name}"

    return make


@pytest.mark.matrix
def test_check_run_and_second_run(gone, run_module, tmp_path):
    path = gone()
    local = tmp_path / "dest" / "h1" / path.lstrip("/")
    would = run_module("fetch_file", {"path": path, "dest": f"{tmp_path}/dest"}, check=True, diff=True)
    assert would.result["changed"] and would.result["size"] == 100_000 and would.result["dest"] == str(local)
    assert would.result["diff"]["before"] == {"state": "absent"}
    assert not (tmp_path / "dest").exists()

    done = run_module("fetch_file", {"path": path, "dest": f"{tmp_path}/dest"}).result
    assert done["changed"] and done["mode"] == "0644"
    assert done["checksum"] == done["remote_checksum"] == f"sha256:{digest(100_000)}"
    assert hashlib.sha256(local.read_bytes()).hexdigest() == digest(100_000)
    assert stat.S_IMODE(local.stat().st_mode) == 0o600 and stat.S_IMODE(local.parent.stat().st_mode) == 0o700

    again = run_module("fetch_file", {"path": path, "dest": f"{tmp_path}/dest"}, diff=True)
    assert not again.failed and not again.result["changed"]


@pytest.mark.long
def test_a_mode_that_the_user_gives(gone, run_module, tmp_path):
    path = gone()
    local = tmp_path / "dest" / "h1" / path.lstrip("/")
    arguments = {"path": path, "dest": f"{tmp_path}/dest"}
    assert not run_module("fetch_file", arguments).failed
    answer = run_module("fetch_file", {**arguments, "mode": "0640"}, diff=True)
    assert answer.result["changed"] and answer.result["mode"] == "0644", "its own mode is in the result"
    assert (answer.result["diff"]["before"]["mode"], answer.result["diff"]["after"]["mode"]) == ("0600", "0640")
    assert stat.S_IMODE(local.stat().st_mode) == 0o640 and stat.S_IMODE(local.parent.stat().st_mode) == 0o700
    # As YAML understands 0640 without quotes.
    assert not run_module("fetch_file", {**arguments, "mode": 0o640}).result["changed"]
    assert not run_module("fetch_file", arguments).result["changed"]
    wrong = run_module("fetch_file", {**arguments, "mode": "u=rw"})
    assert wrong.failed and "mode must be an octal string such as '0644', it is 'u=rw'." in wrong.result["msg"]


# Instead of ssh: it writes its arguments down.
NOTING = """#!/bin/sh
printf '%s\\n' "$*" >> {log}
exec ssh "$@"
"""


@pytest.fixture
def noting(tmp_path):
    """(the option for a play, a function that gives what ssh was told since it was called last)"""
    program, log = tmp_path / "noting-ssh", tmp_path / "arguments"
    program.write_text(NOTING.format(log=log))
    program.chmod(0o755)

    def told():
        lines = log.read_text().splitlines()
        log.unlink()
        return [line for line in lines if "-O check" not in line and " -G " not in f" {line} "]

    return ("-e", f"ansible_ssh_executable={program}", "-e", f"ansible_control_path_dir={tmp_path}/cp"), told


@pytest.mark.matrix
def test_one_call_and_the_connection_of_a_large_file(gone, run_module, tmp_path, noting):
    """The first one becomes the connection that Ansible goes on with; later the large one gets one of its own."""
    options, told = noting
    size = 40 * 2**20
    large, small = gone("large", size), gone("small", 1000)
    answer = run_module("fetch_file", {"path": large, "dest": f"{tmp_path}/first", "flat": True}, options=options)
    assert not answer.failed and answer.result["came_as"] == "stream", answer.output
    (line,) = told()
    assert "-oCompression=no" in line and " -C " not in line and "ControlPersist" in line
    assert "-oControlPath=none" not in line
    answer = run_module("fetch_file", {"path": small, "dest": f"{tmp_path}/small", "flat": True}, options=options)
    assert not answer.failed and answer.result["came_as"] == "stream", answer.output
    assert len(told()) == 1
    answer = run_module("fetch_file", {"path": large, "dest": f"{tmp_path}/second", "flat": True}, options=options)
    assert not answer.failed and answer.result["came_as"] == "stream", answer.output
    asked, line = told()
    assert "-oControlPath=none" not in asked
    assert "-oControlPath=none" in line and "-oCompression=no" in line and " -C " not in line
    for name in ("first", "second"):
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest(size)


def test_a_file_that_is_there_is_not_sent_again(host, gone, run_module, tmp_path):
    """Nor is a process left on the host that would send it."""
    path = gone("there", 30 * 2**20)
    arguments = {"path": path, "dest": f"{tmp_path}/there", "flat": True}
    assert run_module("fetch_file", arguments).result["changed"]
    again = run_module("fetch_file", arguments)
    assert not again.failed and not again.result["changed"] and "came_as" not in again.result
    left = host.run(["sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"], check=False).stdout
    assert b"fetch_file" not in left and b"AnsiballZ" not in left, left


def test_by_its_inode(host, gone, run_module, tmp_path):
    path = gone("file", 1000)
    gone("other", 1001)
    facts = run_module("deleted_files_facts", {"paths": [path]}).result["ansible_facts"]["deleted_files"]
    answer = run_module("fetch_file", {"inode": facts[0]["inode"], "dest": f"{tmp_path}/", "flat": True})
    assert not answer.failed, answer.output
    assert hashlib.sha256((tmp_path / "file").read_bytes()).hexdigest() == digest(1000)
    assert answer.result["file"] == path


# Instead of ssh: of what the host says at the end of the content the digest is another one.
WRONG = """#!{python}
import subprocess, sys
done = subprocess.run(["ssh", *sys.argv[1:]], stdout=subprocess.PIPE)
head, is_there, digest = done.stdout.rpartition(b'"sha256": "')
sys.stdout.buffer.write(head + is_there + (b"0" * 8 + digest[8:] if is_there else digest))
sys.exit(done.returncode)
"""


def test_a_digest_that_differs_at_the_end(gone, run_module, tmp_path):
    path = gone()
    program = tmp_path / "wrong-ssh"
    program.write_text(WRONG.format(python=sys.executable))
    program.chmod(0o755)
    wrong = ("-e", f"ansible_ssh_executable={program}")
    arguments = {"path": path, "dest": f"{tmp_path}/dest/", "flat": True}
    answer = run_module("fetch_file", arguments, options=wrong)
    assert answer.failed and "checksum mismatch" in answer.result["msg"], answer.output
    assert list((tmp_path / "dest").iterdir()) == []
    answer = run_module("fetch_file", {**arguments, "validate_checksum": False}, options=wrong)
    assert not answer.failed, answer.output
    assert answer.result["checksum"] == f"sha256:{digest(100_000)}"
    assert answer.result["remote_checksum"] == f"sha256:{'0' * 8}{digest(100_000)[8:]}"
    (arrived,) = (tmp_path / "dest").iterdir()
    assert hashlib.sha256(arrived.read_bytes()).hexdigest() == digest(100_000)


@pytest.mark.parametrize("before", [b"", bytes(100_000)])
def test_a_wanted_sha256_is_compared_with_what_came(gone, run_module, tmp_path, before):
    path = gone()
    if before:
        (tmp_path / "movie").write_bytes(before)
    arguments = {"path": path, "dest": f"{tmp_path}/", "flat": True}
    wrong = run_module("fetch_file", {**arguments, "checksum": "sha256:" + "0" * 64})
    assert wrong.failed and wrong.result["refused"] == ["checksum_differs"], wrong.output
    assert [one.read_bytes() for one in tmp_path.iterdir()] == ([before] if before else [])
    right = run_module("fetch_file", {**arguments, "checksum": f"sha256:{digest(100_000)}"})
    assert not right.failed and right.result["changed"], right.output


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_host_whose_disk_is_full(tmp_path, run_module_of, pipelining):
    """Not a byte of it goes there: none would have room."""
    size = 40 * 2**20
    with Fleet(1, upper_size="64m") as fleet:
        host = fleet.hosts[0]
        code = "exec(sys.stdin.read())"
        holder = host.spawn(
            ["/usr/bin/python3", "-c", f"import sys; {code}", "/srv/movie", str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        holder.stdin.write(f"{HOLD}\nprint(flush=True)\nimport signal; signal.pause()".encode())
        holder.stdin.close()
        holder.stdout.readline()
        inside(host, "/srv/movie").unlink()
        host.run(["dd", "if=/dev/zero", "of=/srv/filler", "bs=64K"], check=False)
        arguments = {"path": "/srv/movie", "dest": f"{tmp_path}/movie", "flat": True}
        with free_blocks(host) as free:
            answer = run_module_of(fleet.inventory(), "fetch_file", arguments, pipelining=pipelining)
        holder.kill()
    assert not answer.failed and answer.result["came_as"] == "stream", answer.output
    assert hashlib.sha256((tmp_path / "movie").read_bytes()).hexdigest() == digest(size)
    assert free[0] < 16 and min(free) >= free[0] - 8 and len(free) > 10, (free[0], min(free))


def test_who_maps_it_to_write_may_do_so_unseen(host, lab, hold, run_module, tmp_path):
    path = f"{lab}/mapped"
    hold(
        "import mmap, os, sys\n"
        "open(sys.argv[1], 'wb').write(b'x' * 10_000_000)\n"
        "with open(sys.argv[1], 'r+b') as f: held = mmap.mmap(f.fileno(), 0)\n"
        "held[:4096] = b'y' * 4096\n",
        path,
    )
    inside(host, path).unlink()
    answer = run_module("fetch_file", {"path": path, "dest": f"{tmp_path}/mapped", "flat": True}, may_warn=True)
    assert not answer.failed and answer.result["came_as"] == "stream", answer.output
    assert answer.result["consistent"] is False and "may write to it unseen" in answer.output


def test_larger_than_one_piece_and_no_copy_on_the_host(host, gone, run_module, tmp_path):
    size = 20 * 1024 * 1024 + 17
    path = gone(size=size)
    used = os.statvfs(host.root())
    answer = run_module("fetch_file", {"path": path, "dest": f"{tmp_path}/movie", "flat": True})
    assert not answer.failed and answer.result["came_as"] == "stream", answer.output
    assert hashlib.sha256((tmp_path / "movie").read_bytes()).hexdigest() == digest(size)
    assert abs(os.statvfs(host.root()).f_bfree - used.f_bfree) * used.f_frsize < size // 4


@pytest.mark.parametrize(("user", "become"), [("oncall", True), ("root", False), ("mallory", False)])
def test_with_and_without_become(fleet, host, hold, run_module, tmp_path, user, become):
    folder = "/home/mallory" if user == "mallory" else "/root"
    hold(HOLD, f"{folder}/mine", "5000", user="mallory" if user == "mallory" else None)
    inside(host, f"{folder}/mine").unlink()
    inventory = fleet.inventory(user=user, become=become)
    answer = run_module("fetch_file", {"path": f"{folder}/mine", "dest": f"{tmp_path}/"}, inventory=inventory)
    assert not answer.failed and answer.result["came_as"] == "stream", answer.output
    assert hashlib.sha256((tmp_path / "h1" / folder[1:] / "mine").read_bytes()).hexdigest() == digest(5000)


def test_over_the_local_connection(run_module, tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"here")
    with victim.open("rb") as held:
        victim.unlink()
        answer = run_module(
            "fetch_file",
            {"source": {"link": f"/proc/{os.getpid()}/fd/{held.fileno()}"}, "dest": f"{tmp_path}/out/", "flat": True},
            on="localhost",
            options=("-c", "local", "-e", "ansible_python_interpreter=/usr/bin/python3"),
        )
    assert not answer.failed and answer.result["came_as"] == "pieces", answer.output
    assert (tmp_path / "out" / "victim").read_bytes() == b"here"


def test_names_that_lead_elsewhere_stay_below_dest(host, hold, run_module, tmp_path):
    pid = hold("import os\nm = os.memfd_create('../../../../tmp/owned')\nos.write(m, b'evil')\n")
    answer = run_module("fetch_file", {"pid": pid, "dest": f"{tmp_path}/a/b/c/d"})
    assert not answer.failed, answer.output
    (arrived,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert arrived == tmp_path / "a/b/c/d/h1/memfd:../%2E%2E/%2E%2E/%2E%2E/tmp/owned".replace("memfd:..", "memfd:..")
    assert arrived.read_bytes() == b"evil"


def test_a_hostile_name(host, lab, hold, run_module, tmp_path):
    path = lab.encode() + b"/n\xff\n{{ 6*7 }}"
    pid = hold(HOLD, path, "5000")
    host.run(["rm", path])
    answer = run_module("fetch_file", {"pid": pid, "dest": f"{tmp_path}/dest"})
    assert not answer.failed, answer.output
    local = os.fsencode(tmp_path) + b"/dest/h1" + path
    assert base64.b64decode(answer.result["path_b64"]) == path
    assert base64.b64decode(answer.result["dest_b64"]) == local
    assert answer.result["dest"] == f"{tmp_path}/dest/h1{lab}/n\\xff\\n{{{{ 6*7 }}}}"
    (arrived,) = [found for found in tmp_path.rglob("*") if found.is_file()]
    assert os.fsencode(arrived) == local and hashlib.sha256(arrived.read_bytes()).hexdigest() == digest(5000)
    again = run_module("fetch_file", {"pid": pid, "dest": f"{tmp_path}/dest"})
    assert not again.failed and not again.result["changed"], again.output


def test_a_symlink_below_dest_is_not_followed(gone, run_module, tmp_path):
    path = gone()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "h1").symlink_to(tmp_path / "elsewhere")
    answer = run_module("fetch_file", {"path": path, "dest": f"{tmp_path}/dest"})
    assert answer.failed and "is no folder, or a symlink, which is not followed" in answer.result["msg"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_missing(run_module, tmp_path):
    answer = run_module("fetch_file", {"path": "/no/such", "dest": f"{tmp_path}/x"})
    assert answer.failed and answer.result["refused"] == ["not_held"]
    assert "No process holds /no/such" in answer.result["msg"]
    answer = run_module("fetch_file", {"path": "/no/such", "dest": f"{tmp_path}/x", "fail_on_missing": False})
    assert not answer.failed and not answer.result["changed"] and answer.result["file"] == "/no/such"


def test_what_it_returns_is_what_builtin_fetch_returns(gone, host, lab, fleet, run_module, tmp_path):
    """And more; a digest has the name of its algorithm before it."""
    inside(host, f"{lab}/plain").write_text("content")
    returned = {}
    for name, arguments in {"ansible.builtin.fetch": {"src": f"{lab}/plain"}, "fetch_file": {"path": gone()}}.items():
        for state in "changed", "same":
            task = {name if "." in name else f"procfs.rescue.{name}": {**arguments, "dest": f"{tmp_path}/dest"}}
            tasks = [{**task, "register": "got"}, {"ansible.builtin.debug": {"msg": "keys: {{ got.keys() | sort }}"}}]
            play = [{"hosts": "h1", "gather_facts": False, "tasks": tasks}]
            (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
            done = run_ansible("ansible-playbook", str(tmp_path / "play.yml"), "-i", str(fleet.inventory()))
            assert done.returncode == 0, done.stdout + done.stderr
            keys = re.search(r"keys: \[(.*?)\]", done.stdout)[1]
            returned[name, state] = {key.strip("' ") for key in keys.split(",")}
    for state in "changed", "same":
        assert {"dest", "checksum", "changed", "md5sum"} <= returned["ansible.builtin.fetch", state]
        assert returned["ansible.builtin.fetch", state] - returned["fetch_file", state] == set()


def test_bad_input(gone, run_module, tmp_path):
    assert "path must be absolute: x" in run_module("fetch_file", {"path": "x", "dest": "d"}).result["msg"]
    assert "Say which file is meant" in run_module("fetch_file", {"dest": "d"}).result["msg"]
    path = gone()
    answer = run_module("fetch_file", {"path": path, "dest": str(tmp_path), "flat": True})
    assert answer.failed and "is a folder: end dest with / to store the file in it." in answer.result["msg"]
    wrong = run_module("fetch_file", {"path": path, "dest": f"{tmp_path}/x", "checksum": "md5:" + "0" * 32})
    assert wrong.failed and wrong.result["refused"] == ["checksum_differs"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("how", "came_as"), [((), "stream"), (BY_SU, "pieces")])
def test_a_log_that_grows_arrives_as_it_was(host, fleet, lab, hold, run_module, tmp_path, how, came_as):
    path = f"{lab}/log"
    hold(
        "import sys, threading, time\n"
        "f = open(sys.argv[1], 'w+b', 0)\n"
        "f.write(b'line\\n' * 1_000_000)\n"
        "def write():\n"
        "    while True: f.write(b'line\\n' * 1000); time.sleep(0.001)\n"
        "threading.Thread(target=write, daemon=True).start()\n",
        path,
    )
    inside(host, path).unlink()
    inventory = fleet.inventory(user="root") if how else None
    arguments = {"path": path, "dest": f"{tmp_path}/log", "flat": True}
    answer = run_module("fetch_file", arguments, inventory=inventory, options=how, may_warn=True)
    assert not answer.failed and answer.result["came_as"] == came_as, answer.output
    assert answer.result["consistent"] is False and "was written to while it was read" in answer.output
    content = (tmp_path / "log").read_bytes()
    assert len(content) == answer.result["size"] >= 5_000_000
    assert content == (b"line\n" * len(content))[: len(content)]


@pytest.fixture
def busy(host, lab, hold):
    path = f"{lab}/busy"
    hold(
        "import sys, threading, itertools, os\n"
        "f = open(sys.argv[1], 'w+b', 0)\n"
        "f.truncate(10_000_000)\n"
        "def write():\n"
        "    for n in itertools.count(): os.pwrite(f.fileno(), b'%20d' % n, n * 4096 % 10_000_000)\n"
        "threading.Thread(target=write, daemon=True).start()\n",
        path,
    )
    inside(host, path).unlink()
    return path


def test_a_file_that_changes_in_a_stream_is_told_of(busy, run_module, tmp_path):
    answer = run_module("fetch_file", {"path": busy, "dest": f"{tmp_path}/out"}, may_warn=True)
    assert not answer.failed and answer.result["came_as"] == "stream"
    assert answer.result["consistent"] is False and "was written to while it was read" in answer.output


def test_a_file_that_changes_between_pieces_leaves_nothing(busy, fleet, run_module, tmp_path):
    answer = run_module(
        "fetch_file", {"path": busy, "dest": f"{tmp_path}/out"}, inventory=fleet.inventory(user="root"), options=BY_SU
    )
    assert answer.failed and "checksum mismatch" in answer.result["msg"]
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []


@pytest.mark.parametrize(("how", "came_as"), [((), "stream"), (BY_SU, "pieces")])
def test_a_sparse_file_arrives_sparse(host, fleet, lab, hold, run_module, tmp_path, how, came_as):
    code = (
        "import os, sys\n"
        "held = open(sys.argv[1], 'w+b', 0)\n"
        "os.pwrite(held.fileno(), b'a' * 70_000, 100 * 2**20)\n"
        "held.truncate(200 * 2**20 + 5)\n"
    )
    hold(code, f"{lab}/sparse")
    inside(host, f"{lab}/sparse").unlink()
    inventory = fleet.inventory(user="root") if how else None
    arguments = {"path": f"{lab}/sparse", "dest": f"{tmp_path}/sparse", "flat": True}
    answer = run_module("fetch_file", arguments, inventory=inventory, options=how)
    assert not answer.failed and answer.result["came_as"] == came_as, answer.output
    arrived = (tmp_path / "sparse").stat()
    assert arrived.st_size == 200 * 2**20 + 5 and arrived.st_blocks * 512 < 2**20
    content = bytes(100 * 2**20) + b"a" * 70_000 + bytes(100 * 2**20 + 5 - 70_000)
    assert answer.result["checksum"] == "sha256:" + hashlib.sha256(content).hexdigest()


def tree(pid):
    """A process and all below it, seen from /proc."""
    found = [pid]
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found += tree(int(path.parent.name))
    return found


def fetch_and_kill(command, folder, moment, whom, seconds):
    """Starts Ansible and kills ``whom`` so many seconds after so much has arrived, some of it now; False where it ended
    before."""
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as process:
        before = arrived(folder)
        while process.poll() is None:
            if arrived(folder) > max(before, moment):
                time.sleep(seconds)
                for pid in tree(process.pid)[whom:]:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                process.wait()
                return True
            time.sleep(0.002)
    return False


def arrived(folder):
    parts = list(folder.glob(".procfs-rescue.*.part"))
    with suppress(FileNotFoundError):
        return parts[0].stat().st_size if parts else 0
    return 0


@pytest.mark.parametrize("resume", [True, False])
def test_the_link_is_cut(fleet, gone, run_module, tmp_path, resume):
    """Ansible lives, and says what became of it."""
    size = 200 * 2**20
    folder = tmp_path / "dest"
    folder.mkdir()
    arguments = {"path": gone(size=size), "dest": f"{folder}/movie", "flat": True, "resume": resume}
    play = [{"hosts": "h1", "gather_facts": False, "tasks": [{"procfs.rescue.fetch_file": arguments}]}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    command = [program("ansible-playbook"), str(tmp_path / "play.yml"), "-i", str(fleet.inventory())]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None and not any(
            one.stat().st_size > 20 * 2**20 for one in folder.glob(".procfs-rescue.*")
        ):
            time.sleep(0.002)
        for pid in tree(process.pid):
            if Path(f"/proc/{pid}/comm").read_text() == "ssh\n":
                os.kill(pid, signal.SIGKILL)
        said = " ".join(process.stdout.read().decode().split())
    assert process.returncode == 2 and " broke off: the connection ended in the middle. " in said, said
    assert ("What arrived is kept: run it again." if resume else "Nothing was left here; try again.") in said, said
    left = arrived(folder)
    assert (left > 0) is resume and len(list(folder.iterdir())) == resume
    answer = run_module("fetch_file", arguments)
    assert not answer.failed and answer.result["resumed_from"] == left, answer.output
    with (folder / "movie").open("rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest(size)
    assert [one.name for one in folder.iterdir()] == ["movie"]


# Between pieces a call of the module begins, and half a second may pass.
KILLS = [
    pytest.param("stream", 100, 200 * 2**20, (), 0.0, id="stream"),
    pytest.param("pieces", 20, 40 * 2**20, ("-e", "ansible_become_password=none"), 0.6, id="pieces"),
]


@pytest.mark.long
@pytest.mark.parametrize(("came_as", "count", "size", "options", "seconds"), KILLS)
def test_kills_at_random_points(fleet, gone, run_module, tmp_path, capsys, came_as, count, size, options, seconds):
    """Of all of Ansible, or of its worker and the ssh process only; each goes on where it was."""
    path = gone(size=size)
    expected = digest(size)
    chance = random.Random(8)
    folder = tmp_path / "dest"
    folder.mkdir()
    arguments = {"path": path, "dest": f"{folder}/movie", "flat": True, "resume": True}
    settings = {"ansible_pipelining": True}
    tasks = [{"procfs.rescue.fetch_file": arguments}]
    play = [{"hosts": "h1", "gather_facts": False, "vars": settings, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    command = [program("ansible-playbook"), str(tmp_path / "play.yml"), "-i", str(fleet.inventory()), *options]
    kills = resumed = late = 0
    while kills < count:
        moment = chance.randrange(arrived(folder), size)
        is_killed = fetch_and_kill(command, folder, moment, chance.choice([0, 1]), chance.uniform(0, seconds))
        if not is_killed or (folder / "movie").exists():
            late += 1  # the end came first
        else:
            kills += 1
            part = arrived(folder)
            assert part > 0
            if part < size and chance.random() < 0.5:
                continue  # killed once more, after what is there
            answer = run_module("fetch_file", arguments, options=options)
            assert not answer.failed, answer.output
            assert answer.result["came_as"] == came_as and answer.result["resumed_from"] == part
            resumed += 1
        with (folder / "movie").open("rb") as file:
            assert hashlib.file_digest(file, "sha256").hexdigest() == expected
        assert [one.name for one in folder.iterdir()] == ["movie"]
        (folder / "movie").unlink()
    with capsys.disabled():
        print(
            f"\n{came_as}: {kills} kills, {resumed} resumed and compared by themselves, {late} transfers ended before"
        )


@pytest.mark.long
@pytest.mark.parametrize(("came_as", "options"), [("stream", ()), ("pieces", ("-e", "ansible_become_password=none"))])
def test_memory_of_half_a_gibibyte(fleet, host, lab, hold, tmp_path, came_as, options):
    """Of the largest process of Ansible here, and of any Python there."""
    size = 512 * 2**20
    code = (
        "import os, sys\n"
        "held = open(sys.argv[1], 'w+b', 0)\n"
        "for _mib in range(512): held.write(os.urandom(2**20))\n"
        "import os; os.remove(sys.argv[1])\n"
    )
    hold(code, f"{lab}/large")
    arguments = {"path": f"{lab}/large", "dest": f"{tmp_path}/large", "flat": True}
    settings = {"ansible_pipelining": True}
    task = {"procfs.rescue.fetch_file": arguments, "register": "done"}
    check = {"ansible.builtin.assert": {"that": [f"done.came_as == '{came_as}'", f"done.size == {size}"]}}
    play = [{"hosts": "h1", "gather_facts": False, "vars": settings, "tasks": [task, check]}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    command = [program("ansible-playbook"), str(tmp_path / "play.yml"), "-i", str(fleet.inventory()), *options]
    here, there = [0], [0]
    namespace = os.stat(f"/proc/{host.pid}/ns/pid").st_ino
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        while process.poll() is None:
            own = set(tree(process.pid))
            for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
                with suppress(OSError, IndexError):
                    is_there = os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace
                    if pid not in own and not is_there:
                        continue
                    status = Path(f"/proc/{pid}/status").read_text()
                    if is_there and "python" not in status:
                        continue
                    (there if is_there else here).append(int(status.partition("VmHWM:")[2].split()[0]))
            time.sleep(0.05)
        assert process.returncode == 0, process.stdout.read().decode()
    assert len(here) > 10 and len(there) > 3
    # A piece is 8 MiB, which base64 and JSON hold a few times over.
    assert max(here) < 150 * 1024 and max(there) < (64 if came_as == "stream" else 100) * 1024, (max(here), max(there))


@pytest.mark.long
@pytest.mark.parametrize("watched", [True, False])
def test_a_digest_that_takes_long_is_told_of(fleet, host, lab, hold, tmp_path, watched):
    """Before the first piece comes all of the file is read on the host: here 8 GiB, most of it a hole."""
    hold("import sys\nheld = open(sys.argv[1], 'w+b', 0)\nheld.truncate(8 * 2**30)\n", f"{lab}/hole")
    inside(host, f"{lab}/hole").unlink()
    arguments = {"path": f"{lab}/hole", "dest": f"{tmp_path}/hole", "flat": True}
    settings = {"ansible_pipelining": True, "ansible_become_password": "none"}
    tasks = [{"procfs.rescue.fetch_file": arguments}]
    play = [{"hosts": "h1", "gather_facts": False, "vars": settings, "tasks": tasks}]
    (tmp_path / "play.yml").write_text(json.dumps(play), encoding="utf-8")
    text = shown([program("ansible-playbook"), str(tmp_path / "play.yml"), "-i", str(fleet.inventory())], watched)
    assert (tmp_path / "hole").stat().st_size == 8 * 2**30
    lines = re.findall(rf"h1: {lab}/hole: reading 8\.00 GB for a digest, [0-9]+ s so far".encode(), text)
    assert bool(lines) == watched, text


@pytest.mark.parametrize("fate", ["there", "removed", "replaced"])
def test_the_program_that_a_process_runs(host, lab, run_module, tmp_path, fate):
    host.run(["cp", "/usr/bin/sleep", f"{lab}/tool"])
    content = inside(host, f"{lab}/tool").read_bytes()
    with host.spawn([f"{lab}/tool", "600"]) as process:
        try:
            if fate != "there":
                host.run(["rm", f"{lab}/tool"])
            if fate == "replaced":
                host.run(["cp", "/usr/bin/true", f"{lab}/tool"])
            arguments = {"pid": host.host_pid(process.pid), "executable": True, "dest": f"{tmp_path}/", "flat": True}
            answer = run_module("fetch_file", arguments)
        finally:
            process.kill()
    assert not answer.failed, answer.output
    arrived = (tmp_path / "tool").read_bytes()
    assert answer.result["path"] == f"{lab}/tool" and len(arrived) == len(content), answer.result
    assert arrived == content


def test_a_memfd_that_runs_and_a_library_that_is_only_mapped(host, lab, hold, run_module, tmp_path):
    running = hold(
        "import os, signal, sys\n"
        "m = os.memfd_create('kworker', os.MFD_CLOEXEC)\n"
        "os.write(m, open('/usr/bin/sleep', 'rb').read())\n"
        "child = os.fork()\n"
        "if child == 0: os.execve(m, ['kworker', '600'], {})\n"
        "while 'memfd' not in os.readlink(f'/proc/{child}/exe'): pass\n"
        "os.close(m)\n"
        "import ctypes; ctypes.CDLL(None).prctl(36, 0)\n"
    )
    (child,) = inside(host, f"/proc/{running}/task/{running}/children").read_text().split()
    try:
        answer = run_module("fetch_file", {"pid": int(child), "executable": True, "dest": f"{tmp_path}/", "flat": True})
    finally:
        host.run(["kill", child])
    assert not answer.failed, answer.output
    assert (tmp_path / "memfd:kworker").read_bytes() == inside(host, "/usr/bin/sleep").read_bytes()

    content = b"library" * 10_000
    inside(host, f"{lab}/lib.so").write_bytes(content)
    hold(
        "import mmap, sys\n"
        "with open(sys.argv[1], 'rb') as f: held = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)\n"
        "import os; os.closerange(3, 100)\n",
        f"{lab}/lib.so",
    )
    host.run(["rm", f"{lab}/lib.so"])
    answer = run_module("fetch_file", {"path": f"{lab}/lib.so", "dest": f"{tmp_path}/", "flat": True})
    assert not answer.failed and answer.result["source"]["via"] == "map", answer.output
    assert (tmp_path / "lib.so").read_bytes() == content
