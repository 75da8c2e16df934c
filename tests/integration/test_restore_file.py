# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""restore_file on a real host: what comes back, what is refused, and that nothing is ever half done."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat

import pytest

from fleet.controller import run_ansible
from integration.large import check_more_than_four_gibibytes

# Holds argv[1] open (mode argv[2], default "rb") after writing argv[3] (default some text) to it.
HOLD = (
    "import sys\n"
    "path, mode, text = (sys.argv[1:] + ['', ''])[:3]\n"
    "open(path, 'w').write(text or 'precious\\n')\n"
    "held = open(path, mode or 'rb')\n"
)

DO_NOT = "Do not reboot, do not restart or end the processes that hold the file, do not close their shells. "


def inside(host, path):
    return host.root() / path.lstrip("/")


def names(host, folder):
    return sorted(os.listdir(inside(host, folder)))


@pytest.mark.matrix
def test_check_run_and_second_run(host, lab, hold, run_module):
    path = f"{lab}/notes.txt"
    pid = hold(HOLD, path)
    host.run(["chown", "1:2", path])
    host.run(["chmod", "0640", path])
    host.run(["touch", "-d", "2001-02-03 04:05:06.123456789", path])
    host.run(["chown", "1:2", lab])
    before = inside(host, path).stat()
    inside(host, path).unlink()

    would = run_module("restore_file", {"path": path}, check=True, diff=True)
    assert not would.failed and would.result["changed"]
    assert would.files[0]["status"] == "restorable"
    assert would.result["diff"][0]["before"] == {"state": "absent"}
    assert would.result["diff"][0]["after"]["mode"] == "0640"
    assert "precious" not in would.output, "content must not be in a diff"
    assert names(host, lab) == []

    done = run_module("restore_file", {"path": path})
    assert not done.failed and done.result["changed"]
    (file,) = done.files
    assert file["msg"] == f"{path} was restored from /proc/{pid}/fd/3."
    assert file["checksum"] == "sha256:" + hashlib.sha256(b"precious\n").hexdigest() == would.files[0]["checksum"]
    after = inside(host, path).stat()
    for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns", "st_size"):
        assert getattr(after, field) == getattr(before, field), field
    assert after.st_ino != before.st_ino
    assert names(host, lab) == ["notes.txt"]

    again = run_module("restore_file", {"path": path}, diff=True)
    assert not again.failed and not again.result["changed"]
    assert again.files[0]["status"] == "present" and again.result["diff"] == []
    assert inside(host, path).stat().st_ino == after.st_ino


@pytest.mark.matrix
@pytest.mark.parametrize("name", ["restore_file", "deleted_files_facts", "fetch_file"])
def test_what_is_piped_to_python_is_no_module_of_ansible(host, lab, hold, run_module, target_python, tmp_path, name):
    """It takes a host longer to import AnsibleModule than to do the work; the answer and the log are the same."""
    hold(HOLD, f"{lab}/one")
    inside(host, f"{lab}/one").unlink()
    script = f'#!/bin/sh\ncat > {lab}/piped\nexec {target_python} "$@" < {lab}/piped\n'
    host.run(["install", "-m", "0755", "/dev/stdin", f"{lab}/python"], input=script.encode())
    interpreter = ("-e", f"ansible_python_interpreter={lab}/python")
    arguments = {"deleted_files_facts": {"limit": 0}, "fetch_file": {"path": f"{lab}/one", "dest": f"{tmp_path}/"}}
    answer = run_module(name, arguments.get(name, {"path": f"{lab}/one"}), options=interpreter)
    assert not answer.failed, answer.output
    piped = inside(host, f"{lab}/piped").read_text()
    assert "ModuleSpec" in piped and "_ANSIBALLZ_WRAPPER" not in piped
    if name == "restore_file":
        assert [file["status"] for file in answer.files] == ["restored"]
    if name == "fetch_file":
        assert (answer.result["came_as"], answer.result["size"]) == ("stream", len("precious\n"))


@pytest.mark.matrix
def test_many_files_one_failure_does_not_stop_the_rest(host, lab, hold, run_module):
    hold(HOLD, f"{lab}/one")
    hold(HOLD, f"{lab}/two", "r+b")
    for name in ("one", "two"):
        inside(host, f"{lab}/{name}").unlink()
    answer = run_module(
        "restore_file", {"files": [f"{lab}/one", f"{lab}/missing", {"path": f"{lab}/two", "dest": f"{lab}/three"}]}
    )
    assert answer.failed and answer.result["changed"]
    assert [file["status"] for file in answer.files] == ["restored", "failed", "restored"]
    assert answer.result["msg"] == (
        f"{DO_NOT}1 of 3 files could not be restored. No process holds {lab}/missing: either the path is wrong, or its "
        "content is gone from this host. Look for it on a host of the same release, in the package that owns it, or in "
        "a backup."
    )
    assert names(host, lab) == ["one", "three"]
    assert [writer["access"] for writer in answer.files[2]["writers"]] == ["both"]


def test_all_below_a_prefix(host, lab, hold, run_module):
    for number in range(3):
        hold(HOLD, f"{lab}/f{number}", "rb", f"text {number}")
        inside(host, f"{lab}/f{number}").unlink()
    answer = run_module("restore_file", {"path_prefix": lab})
    assert not answer.failed, answer.output
    assert answer.result["complete"] is True
    assert names(host, lab) == ["f0", "f1", "f2"]
    assert inside(host, f"{lab}/f2").read_text() == "text 2"


@pytest.mark.matrix
def test_extended_attributes_acl_and_holes_are_kept(host, lab, hold, run_module):
    path = f"{lab}/rich"
    hold(
        "import os, sys\n"
        "f = open(sys.argv[1], 'w+b')\n"
        "f.seek(50_000_000); f.write(b'end'); f.flush()\n"
        "os.setxattr(sys.argv[1], 'user.note', b'\\x00\\xffyes')\n"
        "os.setxattr(sys.argv[1], 'trusted.note', b'root only')\n",
        path,
    )
    host.run(["setfacl", "-m", "u:mallory:r", path])
    acl = host.run(["getfacl", "-cp", path]).stdout
    inside(host, path).unlink()
    answer = run_module("restore_file", {"path": path})
    assert not answer.failed and answer.files[0]["not_kept"] == [], answer.output
    assert host.run(["getfacl", "-cp", path]).stdout == acl
    show = "import os, sys; print([os.getxattr(sys.argv[1], n) for n in ('user.note', 'trusted.note')])"
    assert host.run(["python3", "-c", show, path]).stdout == b"[b'\\x00\\xffyes', b'root only']\n"
    assert inside(host, path).stat().st_blocks * 512 < 1_000_000, "the hole is kept"


@pytest.mark.matrix
def test_setuid_comes_back_only_with_proven_content(host, lab, hold, run_module):
    path = f"{lab}/tool"
    hold(HOLD, path, "rb", "#!/bin/sh\n")
    inside(host, path).chmod(0o4755)
    inside(host, path).unlink()
    answer = run_module("restore_file", {"path": path})
    (file,) = answer.files
    assert file["dropped"] == ["setuid"] and not file["usable"] and file["fix"] == [f"chmod 4755 {path}"]
    assert file["msg"].endswith(f"It is not usable as before until you run: chmod 4755 {path}")
    assert stat.S_IMODE(inside(host, path).stat().st_mode) == 0o755
    inside(host, path).unlink()
    checksum = "sha256:" + hashlib.sha256(b"#!/bin/sh\n").hexdigest()
    (file,) = run_module("restore_file", {"path": path, "checksum": checksum}).files
    assert file["usable"] and file["content_by"] == "checksum" and file["dropped"] == []
    assert stat.S_IMODE(inside(host, path).stat().st_mode) == 0o4755


def test_sudo_itself_comes_back_usable_since_dpkg_proves_it(host, run_module, fleet):
    sudo = "/usr/bin/sudo"
    holder = host.spawn(
        ["/usr/bin/python3", "-c", f"f = open('{sudo}'); print(1, flush=True); input()"], stdin=-1, stdout=-1
    )
    assert holder.stdout.readline() == b"1\n"
    host.wreck(sudo)
    as_root = fleet.inventory(user="root", become=False)
    (file,) = run_module("restore_file", {"path": sudo}, inventory=as_root).files
    holder.communicate(b"\n")
    assert file["status"] == "restored" and file["content_by"] == "package" and file["usable"], file
    assert host.run(["sudo", "-n", "true"], user="oncall").returncode == 0


@pytest.mark.matrix
def test_a_file_that_is_there_is_not_touched_unless_forced(host, lab, hold, run_module):
    path = f"{lab}/conf"
    hold(HOLD, path, "rb", "old")
    inside(host, path).unlink()
    inside(host, path).write_text("new")
    answer = run_module("restore_file", {"path": path})
    assert not answer.failed and not answer.result["changed"]
    assert answer.files[0]["msg"] == f"{path} is there and was left alone."
    assert inside(host, path).read_text() == "new"

    forced = run_module("restore_file", {"path": path, "force": True, "backup": True}, diff=True)
    (file,) = forced.files
    assert file["status"] == "restored" and inside(host, path).read_text() == "old"
    assert inside(host, file["backup_file"]).read_text() == "new"
    assert forced.result["diff"][0]["before"]["checksum"] == "sha256:" + hashlib.sha256(b"new").hexdigest()

    again = run_module("restore_file", {"path": path, "force": True, "backup": True})
    assert not again.result["changed"] and len(names(host, lab)) == 2


def test_a_link_that_is_left_gives_the_same_inode_its_name_back(host, lab, hold, run_module):
    path = f"{lab}/log"
    hold("import sys\nf = open(sys.argv[1], 'w')\nf.write('x')\nf.flush()\n", path)
    os.link(inside(host, path), inside(host, f"{lab}/twin"))
    inode = inside(host, path).stat().st_ino
    inside(host, path).unlink()
    (file,) = run_module("restore_file", {"path": path}).files
    assert file["method"] == "link" and inside(host, path).stat().st_ino == inode


@pytest.mark.parametrize(
    "name", [b"new\nline", b"not \xff utf-8", "r\u202etl".encode(), b"{{ 6 * 7 }}", b"x (deleted)", b"a;b'c\"d"]
)
def test_hostile_names_go_through_facts_and_restore(fleet, host, lab, hold, run_module, tmp_path, name):
    path = os.path.join(lab.encode(), name)
    hold("import sys, os\np = os.fsencode(sys.argv[1])\nopen(p, 'w').write('x')\nf = open(p)\n", path)
    os.unlink(os.path.join(bytes(host.root()), path.lstrip(b"/")))
    facts = run_module("deleted_files_facts", {"paths": [lab]}).result["ansible_facts"]
    (entry,) = facts["deleted_files"]
    assert entry["path"].isprintable()
    assert base64.b64decode(entry["path_b64"]) == path if "path_b64" in entry else entry["path"].encode() == path
    # In a play, as facts are handed on: the name must neither be templated nor changed on the way.
    play = [
        {
            "hosts": "h1",
            "gather_facts": False,
            "tasks": [
                {"procfs.rescue.deleted_files_facts": {"paths": [lab]}},
                {"procfs.rescue.restore_file": {"source": "{{ ansible_facts.deleted_files | first }}"}},
            ],
        }
    ]
    (tmp_path / "play.yml").write_text(json.dumps(play))
    done = run_ansible("ansible-playbook", str(tmp_path / "play.yml"), "-i", str(fleet.inventory()))
    assert done.returncode == 0, done.stdout + done.stderr
    assert os.listdir(os.path.join(bytes(host.root()), lab.lstrip("/").encode())) == [name]


BAD = [
    ({"path": "bin/bash"}, "path must be absolute: bin/bash"),
    ({"path": "/etc"}, "/etc is a folder, not a file."),
    ({"path": "/usr/bin/no-such-thing"}, "No process holds /usr/bin/no-such-thing: either the path is wrong"),
    (
        {"path": "/usr/bin/bash (deleted)"},
        '" (deleted)" is what the kernel appends to a name: give the path without it.',
    ),
    ({"path": "/no/such/folder/file"}, "The folder /no/such/folder is not there any more (no is missing)"),
    ({"path": "/etc/passwd/x"}, "/etc/passwd is no folder."),
    ({"path": "/etc/x", "checksum": "sha256:abc"}, "checksum 'sha256:abc' is no sha256 digest in hexadecimal."),
    ({"path": "/etc/x", "checksum": "crc:abc"}, "checksum must be ALGORITHM:HEX"),
    ({"path": "/etc/x", "mode": "0644"}, "owner, group and mode are for files with dest"),
    ({"path": "/etc/x", "dest": "here"}, "dest must be absolute: here"),
    ({"path": "/etc/x", "dest": "/root/x", "mode": "rw"}, "mode must be an octal string such as '0644', it is 'rw'."),
    ({"path": "/etc/x", "dest": "/root/x", "owner": "nobody-here"}, "There is no user 'nobody-here' on this host"),
    (
        {"files": [{"path": "/etc/x", "colour": "red"}]},
        "Item 1 of files: colour. Supported parameters include: checksum, dest",
    ),
    ({"source": {"link": "/proc/999999/fd/3"}}, "No process holds /proc/999999/fd/3"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[str(number) for number in range(len(BAD))])
def test_bad_input_is_told_clearly(run_module, arguments, message):
    answer = run_module("restore_file", arguments)
    assert answer.failed and not answer.result.get("changed")
    assert answer.result["msg"].startswith(DO_NOT)
    assert message in answer.result["msg"]


def test_a_path_that_is_fine_is_no_change(run_module):
    answer = run_module("restore_file", {"path": "/etc/passwd"})
    assert not answer.failed and not answer.result["changed"] and answer.files[0]["status"] == "present"


def test_what_makes_a_writer_open_the_restored_file(booted, run_on_booted):
    """A service of the host's systemd; whoever is none has to be asked in another way."""
    path = "/opt/log/app.log"
    booted.run(["mkdir", "-p", "/opt/log"])
    program = f"exec >>{path}; while :; do echo $$; sleep 0.1; done"
    booted.run(["systemd-run", "--unit=writer", "sh", "-c", program])
    booted.run(["sh", "-c", f"until grep -q . {path}; do sleep 0.1; done"], timeout=20)
    scope = booted.spawn(["systemd-run", "--scope", "--unit=other", "sh", "-c", f"exec 3>>{path}; exec sleep infinity"])
    booted.run(["sh", "-c", "until pgrep -xf 'sleep infinity'; do sleep 0.1; done"], timeout=20)
    try:
        inside(booted, path).unlink()
        (file,) = run_on_booted("restore_file", {"path": path}).files
        assert file["status"] == "restored", file["msg"]
        told = {(writer["unit"], writer["reopen"]) for writer in file["writers"]}
        assert told == {("writer.service", "systemctl reload-or-restart writer.service"), ("other.scope", None)}
        size = inside(booted, path).stat().st_size
        booted.run(["sh", "-c", "systemctl reload-or-restart writer.service"])
        booted.run(["sh", "-c", f"until [ $(stat -c %s {path}) -gt {size} ]; do sleep 0.1; done"], timeout=20)
    finally:
        booted.run(["systemctl", "stop", "writer.service", "other.scope"])
        scope.wait(timeout=10)
        booted.run(["rm", "-r", "/opt/log"])


def test_different_files_under_one_name_are_never_chosen_from_silently(host, lab, hold, run_module):
    path = f"{lab}/twice"
    for text in ("first", "second"):
        hold(HOLD, path, "rb", text)
        inside(host, path).unlink()
    answer = run_module("restore_file", {"path": path})
    assert answer.failed and answer.files[0]["refused"] == ["ambiguous"]
    assert f"2 different deleted files were called {path} and no digest proves one of them" in answer.result["msg"]
    assert names(host, lab) == []
    checksum = "md5:" + hashlib.md5(b"first").hexdigest()
    answer = run_module("restore_file", {"path": path, "checksum": checksum})
    assert not answer.failed and inside(host, path).read_text() == "first"


def test_a_holder_that_is_another_by_now_is_refused(host, lab, hold, run_module):
    path = f"{lab}/file"
    pid = hold(HOLD, path)
    inside(host, path).unlink()
    answer = run_module("restore_file", {"path": path, "pid": pid, "start_time": 1})
    assert answer.failed and answer.files[0]["refused"] == ["holder_changed"]
    assert names(host, lab) == []


def test_a_stranger_s_file_is_refused(host, lab, hold, run_module):
    path = f"{lab}/log"
    inside(host, lab).chmod(0o777)
    hold(HOLD, path, user="mallory")
    inside(host, path).unlink()
    inside(host, lab).chmod(0o755)
    answer = run_module("restore_file", {"path": path})
    assert answer.failed and answer.files[0]["refused"] == ["owner_differs"] and names(host, lab) == []


def test_without_root_it_restores_its_own_and_says_what_it_could_not_see(host, run_module, fleet, hold):
    as_mallory = fleet.inventory(user="mallory", become=False)
    answer = run_module("restore_file", {"path": "/usr/bin/nothing"}, inventory=as_mallory)
    assert answer.failed and "without root (use become)" in answer.result["msg"]
    hold(HOLD, "/home/mallory/mine", user="mallory")
    inside(host, "/home/mallory/mine").unlink()
    answer = run_module("restore_file", {"path": "/home/mallory/mine"}, inventory=as_mallory)
    assert not answer.failed, answer.output
    assert inside(host, "/home/mallory/mine").read_text() == "precious\n"


def test_a_read_only_target_is_told(host, lab, hold, run_module):
    hold(HOLD, f"{lab}/file")
    inside(host, f"{lab}/file").unlink()
    host.run(["mount", "--bind", lab, lab])
    host.run(["mount", "-o", "remount,bind,ro", lab])
    try:
        answer = run_module("restore_file", {"path": f"{lab}/file"})
    finally:
        host.run(["umount", lab])
    assert answer.failed
    assert answer.files[0]["msg"] == (
        f"{lab}/file could not be written: it is on a read-only file system: remount it writable, or restore elsewhere "
        "with dest."
    )
    assert names(host, lab) == []


def test_a_full_target_is_told_before_it_is_filled(host, lab, hold, run_module):
    host.run(["mount", "-t", "tmpfs", "-o", "size=1m", "small", lab])
    try:
        hold("import sys\nf = open(sys.argv[1], 'w+')\nf.write('x' * 600_000)\nf.flush()\n", f"{lab}/big")
        inside(host, f"{lab}/big").unlink()
        answer = run_module("restore_file", {"path": f"{lab}/big"})
        assert answer.failed and f"{lab}/big needs 602112 bytes, its file system has" in answer.files[0]["msg"]
        assert names(host, lab) == []
        answer = run_module("restore_file", {"path": f"{lab}/big", "dest": "/root/big"})
        assert not answer.failed and inside(host, "/root/big").stat().st_size == 600_000
    finally:
        host.run(["umount", "-l", lab])


NEVER_STOPS = """\
import sys, threading
f = open(sys.argv[1], 'w+b', 0)
f.truncate(40_000_000)
def write():
    import itertools, os
    for n in itertools.count(): os.pwrite(f.fileno(), b'%20d' % n, n * 4096 % 40_000_000)
threading.Thread(target=write, daemon=True).start()
"""


@pytest.mark.parametrize(("timeout", "in_time"), [(60, True), (0.05, False)])
def test_a_writer_that_never_stops_stands_still(host, lab, hold, run_module, timeout, in_time):
    path = f"{lab}/busy"
    pid = hold(NEVER_STOPS, path)
    inside(host, path).unlink()
    (file,) = run_module("restore_file", {"path": path, "freeze": True, "freeze_timeout": timeout}).files
    assert (file["status"], file["frozen"]["in_time"]) == ("restored", in_time)
    assert (file["consistent"], file["copies"]) == ((True, 1) if in_time else (False, 3))
    if in_time:
        assert file["frozen"]["stopped"] == [{"pid": pid, "by": "ptrace"}]


def test_a_writer_that_never_stops_is_reported(host, lab, hold, run_module):
    path = f"{lab}/busy"
    hold(NEVER_STOPS, path)
    inside(host, path).unlink()
    (file,) = run_module("restore_file", {"path": path, "max_copies": 2}).files
    assert file["status"] == "restored" and not file["consistent"] and file["copies"] == 2
    assert [writer["fd"] for writer in file["writers"]] == [3]


def test_no_debris_and_that_of_a_killed_run_is_removed(host, lab, hold, run_module):
    hold(HOLD, f"{lab}/file")
    inside(host, f"{lab}/file").unlink()
    hidden = inside(host, f"{lab}/.procfs-rescue.0123456789abcdef")
    hidden.mkdir(mode=0o700)
    (hidden / "draft").write_text("left by a killed run")
    assert not run_module("restore_file", {"path": f"{lab}/file"}).failed
    assert names(host, lab) == ["file"]


def test_a_line_in_the_log_of_the_host(host, lab, hold, run_module):
    path = f"{lab}/file"
    pid = hold(HOLD, path)
    inside(host, path).unlink()
    # What syslog(3) of the module says goes to /dev/log; a plain listener is enough to see it.
    code = (
        "import os, socket\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.bind('/dev/log')\n"
        "print(1, flush=True)\n"
        "while True: os.write(1, s.recv(9999) + b'\\n')\n"
    )
    listener = host.spawn(["/usr/bin/python3", "-c", code], stdout=-1)
    try:
        assert listener.stdout.readline() == b"1\n"
        assert not run_module("restore_file", {"path": path}).failed
    finally:
        listener.kill()
        host.run(["rm", "-f", "/dev/log"])
    log = listener.stdout.read().decode()
    assert log.count(f"restored {path} from /proc/{pid}/fd/3") == 1


def test_capabilities_come_back_with_proven_content_else_the_command_is_told(host, lab, hold, run_module):
    path = f"{lab}/ping"
    hold(HOLD, path)
    host.run(["setcap", "cap_net_raw+ep", path])
    inside(host, path).unlink()
    (file,) = run_module("restore_file", {"path": path}).files
    assert file["dropped"] == ["capabilities"] and not file["usable"]
    assert host.run(["getcap", path]).stdout == b""
    host.run(["sh", "-c", file["fix"][0]])
    assert host.run(["getcap", path]).stdout == f"{path} cap_net_raw=ep\n".encode()
    inside(host, path).unlink()
    checksum = "sha256:" + hashlib.sha256(b"precious\n").hexdigest()
    (file,) = run_module("restore_file", {"path": path, "checksum": checksum}).files
    assert file["usable"] and host.run(["getcap", path]).stdout == f"{path} cap_net_raw=ep\n".encode()


def test_a_version_that_the_package_database_disowns_is_refused_until_accepted(host, hold, run_module):
    path = "/usr/bin/tput"
    host.run(["sh", "-c", f"cp -p {path} /root/tput && echo changed >> {path}"])
    hold("import sys\nheld = open(sys.argv[1])\n", path)
    inside(host, path).unlink()
    answer = run_module("restore_file", {"path": path})
    assert answer.failed and answer.files[0]["refused"] == ["superseded"]
    assert "the package database names other content for this path (superseded)" in answer.result["msg"]
    assert not inside(host, path).exists()
    (file,) = run_module("restore_file", {"path": path, "accept": ["superseded"]}).files
    assert file["status"] == "restored" and file["accepted"] == ["superseded"] and file["content_by"] == "none"
    host.run(["mv", "/root/tput", path])


@pytest.mark.parametrize("pipelining", [True, False])
def test_without_root_there_may_be_more_below_a_folder(host, fleet, hold, run_module, pipelining):
    """Which is told once, whoever tells it: a plain program or AnsibleModule."""
    inventory = fleet.inventory(become=False)
    answer = run_module(
        "restore_file", {"path_prefix": "/srv"}, inventory=inventory, pipelining=pipelining, may_warn=True
    )
    assert not answer.failed and answer.result["complete"] is False, answer.output
    assert len(answer.result["warnings"]) == 1 and "there may be more deleted files below /srv" in answer.output
    assert "deprecat" not in answer.output.lower()


@pytest.mark.long
def test_a_file_of_more_than_four_gibibytes(host, lab, hold, run_module):
    check_more_than_four_gibibytes(host, lab, hold, run_module)
