# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Rescue over SFTP alone: on this host root's shell executes nothing, and there is no Python to run a module with."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort, Terms
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import Client, Pipe, SessionError
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_host import sftp_host
from fleet import Fleet
from integration.large import check_more_than_four_gibibytes

HOLD = "import sys\nheld = open(sys.argv[1], (sys.argv + ['rb'])[2])\n"
NOT_CARRIED = ["xattrs", "acls", "capabilities", "subsecond_times", "holes"]
UNIT = Path(__file__).parents[1] / "unit/plugins"


@pytest.fixture(scope="module")
def bare_fleet():
    with Fleet(1) as started:
        yield started


@pytest.fixture(scope="module")
def host(bare_fleet):
    host = bare_fleet.hosts[0]
    host.run(["sed", "-i", "s,^Subsystem sftp .*,Subsystem sftp internal-sftp,", "/etc/ssh/sshd_config"])
    host.run(["sh", "-c", "kill -HUP $(pgrep -o sshd)"])
    host.run(["usermod", "--shell", "/usr/sbin/nologin", "root"])
    wait_for_login(host)
    return host


def wait_for_login(host):
    until = time.monotonic() + 10
    while True:
        try:
            return connect(host).close()
        except SessionError:
            assert time.monotonic() < until
            time.sleep(0.05)


@pytest.fixture
def as_root(bare_fleet, host):
    return bare_fleet.inventory(user="root", become=False)


@pytest.fixture
def over_sftp(as_root, run_module):
    """Runs a module with transport: sftp, as root, without become."""

    def run(name, arguments, **more):
        return run_module(name, {"transport": "sftp", **arguments}, inventory=as_root, **more)

    return run


class CutPipe(Pipe):
    """A connection that is cut after so many sends; None is never."""

    left = None
    sends = 0

    def send(self, data):
        self.sends += 1
        if self.left is not None and self.sends > self.left:
            self.close()
            raise SessionError(errno.ECONNRESET, "cut")
        return super().send(data)


class CutClient(Client):
    def __init__(self, pipe):
        self.pipe = pipe
        super().__init__(pipe)


def connect(host, left=None, limit=10):
    *command, target = host.ssh_command("root", "-oConnectTimeout=5")
    pipe = CutPipe([part.encode() for part in (*command, "-s", target, "sftp")], limit)
    pipe.left = left
    return CutClient(pipe)


def restored_over(client, path, **terms):
    with sftp_host(lambda: client) as backend:
        return restore([{"path": path}], Terms(**terms), print, backend)


def inside(host, path):
    return host.root() / path.lstrip("/")


def names(host, folder):
    return sorted(os.listdir(inside(host, folder)))


def lose(host, hold, path, content=b"precious\n", *arguments, user=None):
    """A file that a process holds, deleted; returns what stat said of it before."""
    inside(host, path).write_bytes(content)
    host.run(["chmod", "0640", path])
    host.run(["touch", "-d", "2001-02-03 04:05:06", path])
    hold(HOLD, path, *arguments, user=user)
    before = inside(host, path).stat()
    inside(host, path).unlink()
    return before


def test_nothing_can_be_executed_there(host):
    assert host.run(["true"]).returncode == 0
    done = subprocess.run([*host.ssh_command("root"), "true"], capture_output=True, timeout=30, check=False)
    assert done.returncode == 1 and b"not available" in done.stdout


@pytest.mark.matrix
def test_check_run_and_second_run(host, lab, hold, over_sftp):
    path = f"{lab}/file"
    content = os.urandom(3_000_000)
    host.run(["chown", "1:2", lab])
    inside(host, path).write_bytes(content)
    host.run(["chown", "1:2", path])
    before = lose(host, hold, path, content)
    would = over_sftp("restore_file", {"path": path}, check=True, diff=True)
    assert would.files[0]["status"] == "restorable" and names(host, lab) == []
    done = over_sftp("restore_file", {"path": path})
    assert done.result["changed"] and done.result["way"] == "sftp"
    (file,) = done.files
    assert file["checksum"] == "sha256:" + hashlib.sha256(content).hexdigest()
    assert (file["method"], file["not_kept"], file["usable"]) == ("copy", NOT_CARRIED, True)
    after = inside(host, path).stat()
    assert inside(host, path).read_bytes() == content
    assert names(host, lab) == ["file"]
    for field in ("st_mode", "st_uid", "st_gid", "st_mtime"):
        assert getattr(after, field) == getattr(before, field), field
    again = over_sftp("restore_file", {"path": path})
    assert not again.result["changed"] and again.files[0]["status"] == "present"


def test_auto_takes_sftp_and_says_so(as_root, host, lab, hold, run_module):
    lose(host, hold, f"{lab}/file")
    done = run_module("restore_file", {"path": f"{lab}/file"}, inventory=as_root, options=("-v",))
    assert done.result["way"] == "sftp" and done.files[0]["status"] == "restored"
    assert "taken: sftp; not: module:" in done.output
    assert done.result["ways_closed"] == ["module: This account is currently not available"]


def test_module_takes_nothing_else(as_root, host, lab, hold, run_module):
    lose(host, hold, f"{lab}/file")
    done = run_module("restore_file", {"path": f"{lab}/file", "transport": "module"}, inventory=as_root)
    assert done.failed
    assert "No way led into this host. module: " in done.result["msg"]
    assert names(host, lab) == []


def test_hostile_names(host, lab, hold, over_sftp):
    name = b"a\n\xff{{ 7*7 }}"
    path = os.fsencode(lab) + b"/" + name
    here = os.fsencode(host.root()) + path
    with open(here, "wb") as file:
        file.write(b"precious")
    hold(HOLD, path)
    os.unlink(here)
    done = over_sftp("restore_file", {"path_prefix": lab})
    assert [file["status"] for file in done.files] == ["restored"]
    assert os.listdir(os.path.dirname(here)) == [name]


def test_in_shared_folders_a_symlink_that_others_made_is_not_followed(host, lab, hold, over_sftp):
    host.run(["chmod", "1777", lab])
    host.run(["mkdir", f"{lab}/real"])
    host.run(["ln", "-s", f"{lab}/real", f"{lab}/link"], user="mallory")
    lose(host, hold, f"{lab}/real/file")
    refused = over_sftp("restore_file", {"path": f"{lab}/link/file"})
    assert refused.files[0]["refused"] == ["ancestor_writable"]
    assert over_sftp("restore_file", {"path": f"{lab}/real/file"}).files[0]["status"] == "restored"


def test_a_folder_that_is_exchanged_for_a_symlink_while_it_is_looked_at(host, lab, hold, monkeypatch):
    """What is opened must have the name that was walked to."""
    host.run(["mkdir", f"{lab}/folder", f"{lab}/elsewhere"])
    lose(host, hold, f"{lab}/folder/file")
    there = connect(host)
    real_request = there._async_request

    def exchange_first(running, kind, *arguments):
        if kind == 11 and arguments == (f"{lab}/folder".encode(),):  # OPENDIR
            inside(host, f"{lab}/folder").rename(inside(host, f"{lab}/moved"))
            inside(host, f"{lab}/folder").symlink_to(f"{lab}/elsewhere")
        return real_request(running, kind, *arguments)

    monkeypatch.setattr(there, "_async_request", exchange_first)
    (result,) = restored_over(there, f"{lab}/folder/file")
    assert result["status"] == "failed" and "it was exchanged for another" in result["msg"]
    assert names(host, f"{lab}/elsewhere") == names(host, f"{lab}/moved") == []


def test_a_holder_in_a_mount_namespace_of_its_own_is_believed_with_proof_only(host, lab, hold, over_sftp):
    """Over SFTP nothing tells who made the namespace."""
    path, content = f"{lab}/file", b"precious\n"
    inside(host, path).write_bytes(content)
    host.run(["chmod", "4755", path])
    code = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "assert libc.unshare(0x20000) == 0\n"
        "assert libc.mount(b'none', b'/', None, 0x44000, None) == 0\n"  # MS_REC | MS_PRIVATE
        "held = open(sys.argv[1], 'rb')\n"
    )
    hold(code, path)
    inside(host, path).unlink()
    refused = over_sftp("restore_file", {"path": path})
    assert refused.files[0]["refused"] == ["unproven"] and names(host, lab) == []
    checksum = "sha256:" + hashlib.sha256(content).hexdigest()
    (file,) = over_sftp("restore_file", {"path": path, "checksum": checksum}).files
    assert (file["status"], file["content_by"], file["accepted"]) == ("restored", "checksum", ["unproven"])
    # The content is proven; whose mode that was is not.
    assert file["dropped"] == ["setuid"] and not file["usable"]
    assert stat.S_IMODE(inside(host, path).stat().st_mode) == 0o755


def test_what_was_passed_out_of_a_namespace_is_never_believed(host, lab, hold, over_sftp):
    """A detached mount: the descriptor's mount id is in no mountinfo, proof or not."""
    host.run(["mkdir", f"{lab}/folder"])
    code = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "pid = os.fork()\n"
        "folder = sys.argv[1].encode()\n"
        "assert libc.mount(folder, folder, None, 0x1000, None) == 0\n"  # MS_BIND
        "held = open(folder + b'/file', 'w+b')\n"
        "held.write(b'evil')\n"
        "held.flush()\n"
        "os.unlink(folder + b'/file')\n"
        "assert libc.umount2(folder, 2) == 0\n"
    ).replace("pid = os.fork()\n", "")
    hold(code, f"{lab}/folder")
    checksum = "sha256:" + hashlib.sha256(b"evil").hexdigest()
    (file,) = over_sftp("restore_file", {"path": f"{lab}/folder/file", "checksum": checksum}).files
    assert file["status"] == "failed" and set(file["refused"]) & {"mount_unknown", "not_held"}
    assert names(host, f"{lab}/folder") == []


def test_decoys_have_no_veto(host, lab, hold, over_sftp):
    path = f"{lab}/file"
    code = "import os, sys\nfd = os.memfd_create(sys.argv[1])\nos.write(fd, b'evil')\n"
    hold(code, f"/..{path}", user="mallory")
    lose(host, hold, path)
    assert over_sftp("restore_file", {"path": path}).files[0]["status"] == "restored"
    assert inside(host, path).read_bytes() == b"precious\n"


def test_a_live_file_whose_name_ends_so_is_no_candidate(host, lab, hold, over_sftp):
    live = f"{lab}/file (deleted)"
    inside(host, live).write_bytes(b"live")
    hold(HOLD, live)
    (file,) = over_sftp("restore_file", {"path": f"{lab}/file"}).files
    assert file["refused"] == ["not_held"]
    assert names(host, lab) == ["file (deleted)"]


def test_what_is_no_regular_file_is_not_opened(host, lab, hold, over_sftp):
    """Opening a FIFO would never return."""
    fifo = f"{lab}/file"
    host.run(["mkfifo", fifo])
    hold("import os, sys\nfd = os.open(sys.argv[1], os.O_RDWR)\n", fifo)
    inside(host, fifo).unlink()
    assert over_sftp("restore_file", {"path": fifo}).files[0]["refused"] == ["not_held"]


def test_a_copy_elsewhere_and_one_that_replaces(host, lab, hold, over_sftp):
    lose(host, hold, f"{lab}/file", b"precious\n", "rb")
    (copy,) = over_sftp("restore_file", {"path": f"{lab}/file", "dest": f"{lab}/copy"}).files
    assert (copy["status"], copy["mode"], copy["owner"]) == ("restored", "0600", "root")
    inside(host, f"{lab}/file").write_bytes(b"newer")
    assert over_sftp("restore_file", {"path": f"{lab}/file"}).files[0]["status"] == "present"
    (file,) = over_sftp("restore_file", {"path": f"{lab}/file", "force": True, "backup": True}).files
    assert inside(host, f"{lab}/file").read_bytes() == b"precious\n"
    assert inside(host, file["backup_file"]).read_bytes() == b"newer"
    assert len(names(host, lab)) == 3


def test_through_the_controller_where_the_server_cannot_copy(host, lab, hold, monkeypatch):
    content = os.urandom(300_000) + bytes(4_000_000) + b"end"
    lose(host, hold, f"{lab}/file", content)
    there = connect(host)
    monkeypatch.delitem(there.extensions, b"copy-data")
    (result,) = restored_over(there, f"{lab}/file")
    assert result["status"] == "restored", result["msg"]
    assert inside(host, f"{lab}/file").read_bytes() == content
    assert inside(host, f"{lab}/file").stat().st_blocks * 512 < len(content) / 2, "holes are kept that way"


def test_a_file_system_that_never_answers_is_got_around(host, lab, hold):
    """The session that hangs is dropped and opened again; what is on that file system is named as skipped."""
    shutil.copy(UNIT / "dead_fuse.py", inside(host, f"{lab}/dead_fuse.py"))
    host.run(["mkdir", f"{lab}/dead"])
    if not inside(host, "/dev/fuse").exists():
        host.run(["mknod", "-m", "0666", "/dev/fuse", "c", "10", "229"])
    server = host.spawn(
        ["/usr/bin/python3", f"{lab}/dead_fuse.py", f"{lab}/dead"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert server.stdout.readline() == b"ready\n"
    try:
        lose(host, hold, f"{lab}/file")
        started = time.monotonic()
        with sftp_host(lambda: connect(host, limit=2)) as backend:
            (result,) = restore([{"path": f"{lab}/file"}], Terms(), print, backend)
            assert result["status"] == "restored", result["msg"]
            assert time.monotonic() - started < 15
            seen = backend.scan(lambda _sighting: False, Effort())
            assert list(seen.skipped) == [f"{lab}/dead"]
    finally:
        server.kill()
        server.wait()
        host.run(["umount", "--lazy", f"{lab}/dead"])


@pytest.mark.long
def test_a_connection_that_is_cut_at_any_packet(host, lab, hold):
    """The name is free or complete, at most one hidden folder is left, and the next run takes that away."""
    path, content = f"{lab}/file", b"precious\n" * 1000
    lose(host, hold, path, content)
    whole = connect(host)
    (would,) = restored_over(whole, path, check_mode=True)
    assert would["status"] == "restorable"
    cut = whole.pipe.sends - 40  # what was sent until then changes nothing: only its end is cut at each packet
    outcomes = set()
    while True:
        there = connect(host, left=cut)
        try:
            (result,) = restored_over(there, path)
            outcomes.add(result["status"])
        except OSError:
            outcomes.add("lost")
        left = names(host, lab)
        hidden = [name for name in left if name.startswith(".procfs-rescue.")]
        assert len(hidden) <= 1 and set(left) - set(hidden) <= {"file"}, left
        for name in hidden:
            assert stat.S_IMODE(inside(host, f"{lab}/{name}").stat().st_mode) == 0o700
        if "file" in left:
            assert inside(host, path).read_bytes() == content
            assert stat.S_IMODE(inside(host, path).stat().st_mode) == 0o640
            inside(host, path).unlink()
        if there.pipe.sends <= cut:
            break
        cut += 1
    assert "restored" in outcomes and outcomes & {"lost", "failed"}
    assert restored_over(connect(host), path)[0]["status"] == "restored"
    assert names(host, lab) == ["file"]


def test_several_files_in_one_session_in_an_order_that_works(host, lab, hold, over_sftp):
    for name in ("zzz", "bash", "libc.so.6", "ld-linux-x86-64.so.2"):
        lose(host, hold, f"{lab}/{name}", name.encode())
    wanted = [f"{lab}/{name}" for name in ("zzz", "bash", "libc.so.6", "ld-linux-x86-64.so.2")]
    done = over_sftp("restore_file", {"files": wanted}, options=("-v",))
    assert [file["status"] for file in done.files] == ["restored"] * 4
    assert [file["path"] for file in done.files] == wanted, "the results are in the order of the wishes"
    lines = [line for line in done.output.splitlines() if "> restored " in line]
    assert [line.split(" from ")[0].rpartition("/")[2] for line in lines] == [
        "ld-linux-x86-64.so.2",
        "libc.so.6",
        "bash",
        "zzz",
    ]


def test_fetch(host, lab, hold, over_sftp, tmp_path):
    content = os.urandom(5_000_000)
    lose(host, hold, f"{lab}/file", content)
    arguments = {"path": f"{lab}/file", "dest": f"{tmp_path}/"}
    done = over_sftp("fetch_file", arguments)
    assert done.result["changed"] and (done.result["way"], done.result["came_as"]) == ("sftp", "pieces")
    fetched = tmp_path / "h1" / lab.lstrip("/") / "file"
    assert fetched.read_bytes() == content
    assert stat.S_IMODE(fetched.stat().st_mode) == 0o600
    assert (done.result["mode"], done.result["owner"]) == ("0640", "root")
    assert not over_sftp("fetch_file", arguments).result["changed"]
    missing = over_sftp("fetch_file", {**arguments, "path": f"{lab}/nothing"})
    assert missing.failed and missing.result["refused"] == ["not_held"]


WRITES = """
import itertools, os, sys, threading, time
held = open(sys.argv[1], 'w+b', 0)
held.write(b'line\\n' * 1_000_000)
def grows():
    while True: held.write(b'line\\n' * 1000); time.sleep(0.001)
def changes():
    for n in itertools.count(): os.pwrite(held.fileno(), b'%20d' % n, n * 4096 % 5_000_000)
threading.Thread(target=locals()[sys.argv[2]], daemon=True).start()
"""


def test_a_log_that_grows_is_fetched_as_it_was(host, lab, hold, over_sftp, tmp_path):
    hold(WRITES, f"{lab}/log", "grows")
    inside(host, f"{lab}/log").unlink()
    answer = over_sftp("fetch_file", {"path": f"{lab}/log", "dest": f"{tmp_path}/log", "flat": True}, may_warn=True)
    assert not answer.failed and answer.result["came_as"] == "pieces", answer.output
    assert answer.result["consistent"] is False and "was written to while it was read" in answer.output
    content = (tmp_path / "log").read_bytes()
    assert len(content) == answer.result["size"] >= 5_000_000
    assert content == (b"line\n" * len(content))[: len(content)]


def test_nothing_is_left_of_a_fetched_file_that_changes(host, lab, hold, over_sftp, tmp_path):
    hold(WRITES, f"{lab}/busy", "changes")
    inside(host, f"{lab}/busy").unlink()
    answer = over_sftp("fetch_file", {"path": f"{lab}/busy", "dest": f"{tmp_path}/busy", "flat": True})
    assert answer.failed and "checksum mismatch" in answer.result["msg"], answer.output
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == []


def test_fetching_zeros_looking_and_a_digest_that_is_not_there(host, lab, hold, over_sftp, tmp_path):
    content = bytes(20_000_000) + b"end"
    lose(host, hold, f"{lab}/zeros", content)
    arguments = {"path": f"{lab}/zeros", "dest": f"{tmp_path}/zeros", "flat": True}
    would = over_sftp("fetch_file", arguments, check=True)
    assert would.result["changed"] and would.result["size"] == len(content)
    wrong = over_sftp("fetch_file", {**arguments, "checksum": "sha256:" + "0" * 64})
    assert wrong.failed and wrong.result["refused"] == ["checksum_differs"], wrong.output
    assert list(tmp_path.iterdir()) == []
    done = over_sftp("fetch_file", {**arguments, "resume": True})
    assert not done.failed and done.result["resumed_from"] == 0, done.output
    assert (tmp_path / "zeros").read_bytes() == content
    assert (tmp_path / "zeros").stat().st_blocks * 512 < 1_000_000


def test_a_user_who_would_have_to_become_root_is_told(bare_fleet, lab, run_module):
    inventory = bare_fleet.inventory(user="oncall", become=True)
    done = run_module("restore_file", {"path": f"{lab}/file", "transport": "sftp"}, inventory=inventory)
    assert done.failed and "logged in as another user than root" in done.result["msg"]


@pytest.mark.parametrize("interpreter", ["/usr/bin/python3", "auto"])
def test_a_refused_login_is_said_to_be_two_things(bare_fleet, host, lab, run_module, interpreter):
    """And it is tried twice at most, even where Ansible looks for a Python first: newer servers lock out who fails
    more often.
    """
    host.run(["usermod", "--shell", "/no/such/shell", "root"])
    try:
        log = inside(host, "/run/sshd.log")
        before = log.read_text().count("not allowed because shell")
        inventory = bare_fleet.inventory(user="root", become=False, interpreter=interpreter)
        environment = {"ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/{os.getpid()}"}
        done = run_module("restore_file", {"path": f"{lab}/file"}, inventory=inventory, env=environment)
        assert "wrong key or login shell gone: sshd says the same for both" in done.output
        assert "unreachable=1" in done.output
        assert log.read_text().count("not allowed because shell") - before == 2
    finally:
        host.run(["usermod", "--shell", "/usr/sbin/nologin", "root"])


def test_the_package_database_vouches_over_sftp_too(host, hold, over_sftp):
    hold(HOLD, "/usr/bin/sudo")
    before = inside(host, "/usr/bin/sudo").stat(), inside(host, "/usr/bin/sudo").read_bytes()
    host.wreck("/usr/bin/sudo")
    (file,) = over_sftp("restore_file", {"path": "/bin/sudo"}).files
    assert (file["status"], file["content_by"], file["dropped"]) == ("restored", "package", [])
    after = inside(host, "/usr/bin/sudo").stat(), inside(host, "/usr/bin/sudo").read_bytes()
    assert (after[1], after[0].st_mode) == (before[1], before[0].st_mode) and before[0].st_mode & stat.S_ISUID


def test_an_old_version_is_refused_over_sftp_too(host, hold, over_sftp):
    inside(host, "/usr/bin/chfn").write_bytes(b"an old version with a hole")
    hold(HOLD, "/usr/bin/chfn")
    host.wreck("/usr/bin/chfn")
    (file,) = over_sftp("restore_file", {"path": "/usr/bin/chfn"}).files
    assert file["refused"] == ["superseded"] and not inside(host, "/usr/bin/chfn").exists()


def test_facts(host, lab, hold, over_sftp):
    """What SFTP tells is the same as what the module tells of the same file, but for what SFTP does not know."""
    path = f"{lab}/file"
    lose(host, hold, path, b"precious\n", "r+b")
    summary = over_sftp("deleted_files_facts", {"paths": [lab]}).result["ansible_facts"]["deleted_files_summary"]
    assert summary["way"] == "sftp" and summary["complete"]
    (entry,) = over_sftp("deleted_files_facts", {"paths": [lab]}).result["ansible_facts"]["deleted_files"]
    found = {name: entry[name] for name in ("path", "state", "kind", "size", "mode", "owner", "restorable")}
    assert found == {
        "path": path,
        "state": "removed",
        "kind": "regular",
        "size": 9,
        "mode": "0640",
        "owner": "root",
        "restorable": True,
    }
    (holder,) = entry["holders"]
    assert (holder["via"], holder["access"], holder["comm"]) == ("fd", "both", "python3")
    # It can be handed back unchanged.
    assert over_sftp("restore_file", {"source": entry}).files[0]["status"] == "restored"


@pytest.mark.long
def test_a_file_of_more_than_four_gibibytes(host, lab, hold, over_sftp):
    check_more_than_four_gibibytes(host, lab, hold, over_sftp)
