# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts against the programs that people trust, on one host with real services and three thousand processes.

Each sighting is (pid, way, inode); a way is ``fd N``, ``exe`` or ``map``. Every difference is one of a named predicate,
and no predicate is of others than its own holders.
"""

from __future__ import annotations

import json
import os
import re
import time
from typing import Any, NamedTuple

import pytest

from fleet import Fleet, debian

PACKAGES = ("default-jre-headless", "lsof", "needrestart", "nginx-light", "postgresql")
SERVICES = ("nginx", "postgresql@15-main", "jvm", "dbus", "systemd-journald")
PROCESSES = 3000

pytestmark = pytest.mark.long

# What holds one thing each. All are upgraded or deleted in ``host`` below.
HOLDERS = {
    "log": "open('/srv/log', 'w').write('x'); held = open('/srv/log'); os.unlink('/srv/log')",
    "twin": "held = open('/srv/twin', 'w'); os.link('/srv/twin', '/srv/other'); os.unlink('/srv/twin')",
    "lower": "held = open('/etc/login.defs'); os.unlink('/etc/login.defs')",
    "literal": "held = open('/srv/this is not (deleted)', 'w')",
    "memfd": "held = os.memfd_create('name')",
    "tmpfile": "held = os.open('/srv', os.O_TMPFILE | os.O_RDWR)",
    "zero": "held = mmap.mmap(-1, 4096)",
    "sysv": "libc.shmat.restype = ctypes.c_void_p; s = libc.shmget(0, 4096, 0o1600); libc.shmat(s, None, 0)",
    "folder": "os.mkdir('/srv/folder'); os.chdir('/srv/folder'); os.rmdir('/srv/folder')",
    "namespace": "libc.unshare(0x20000); libc.mount(b'', b'/', None, 0x44000, None); "
    "libc.mount(b'box', b'/opt', b'tmpfs', 0, None); held = open('/opt/inner', 'w'); os.unlink('/opt/inner')",
}
# The same in namespaces that a user made, of mounts, processes and users.
CONTAINED = {
    "contained": "libc.mount(b'box', b'/opt', b'tmpfs', 0, None); held = open('/opt/boxed', 'w'); "
    "os.unlink('/opt/boxed')",
    "contained memory": "held = mmap.mmap(-1, 4096)",
}
CONTAINER = ("unshare", "--user", "--map-root-user", "--mount", "--pid", "--fork", "--kill-child")
PROGRAM = """
import ctypes, mmap, os, signal
libc = ctypes.CDLL(None)
%s
print(os.readlink("/proc/self"), flush=True)  # as the host calls it
signal.pause()
"""

# A service that lets systemd keep a memfd for it (sd_pid_notify_with_fds(3)).
STORE = """
import array, os, signal, socket
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.connect(os.environ["NOTIFY_SOCKET"])
memfds = array.array("i", [os.memfd_create("state")])
notify.sendmsg([b"FDSTORE=1\\nFDNAME=state\\nREADY=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, memfds)])
signal.pause()
"""

# Programs that run from files that are upgraded under them.
UPGRADED = ("/usr/sbin/nginx", "/usr/lib/x86_64-linux-gnu/libssl.so.3", "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13")


@pytest.fixture(scope="module")
def fleet_of_services():
    with Fleet(1, systemd=True, tree=debian.tree(packages=PACKAGES), upper_size="2g") as fleet:
        yield fleet


@pytest.fixture(scope="module")
def scene_before(fleet_of_services):
    """The holders by name and the inodes of what was upgraded, on a host where the services run."""
    (host,) = fleet_of_services.hosts
    host.run(["systemd-run", "--unit=jvm", "rmiregistry", "12345"])
    keeps = ("--unit=keeps", "-p", "Type=notify", "-p", "FileDescriptorStoreMax=1")
    host.run(["systemd-run", *keeps, "/usr/bin/python3", "-c", STORE])
    until = time.monotonic() + 60
    while time.monotonic() < until:
        states = [host.run(["systemctl", "is-active", unit], check=False).stdout for unit in SERVICES]
        if states == [b"active\n"] * len(SERVICES):
            break
        time.sleep(0.2)
    assert states == [b"active\n"] * len(SERVICES)
    time.sleep(2)  # the JVM still loads its libraries
    pids = {}
    for wrapper, holders in (((), HOLDERS), (CONTAINER, CONTAINED)):
        for name, code in holders.items():
            holder = host.spawn([*wrapper, "/usr/bin/python3", "-c", PROGRAM % code], stdout=-1)
            pids[name] = int(holder.stdout.readline())
    libjvm = host.run(["sh", "-c", "realpath /usr/lib/jvm/default-java/lib/server/libjvm.so"]).stdout.decode().strip()
    upgraded = set()
    for path in (*UPGRADED, libjvm):
        upgraded.add((host.root() / path.lstrip("/")).stat().st_ino)
        host.run(["cp", "-p", path, f"{path}.new"])
        host.run(["mv", f"{path}.new", path])
    host.run(["rm", "/var/log/nginx/access.log"])
    herd = (
        f"i=0; while [ $i -lt {PROCESSES} ]; do i=$((i + 1)); sleep infinity < $((i % 10)) & done; rm 0; sleep infinity"
    )
    host.run(["mkdir", "/srv/herd"])
    host.run(["sh", "-c", "cd /srv/herd; for i in 0 1 2 3 4 5 6 7 8 9; do echo $i > $i; done"])
    host.run(
        ["systemd-run", "--unit=herd", "-p", "TasksMax=infinity", "-p", "WorkingDirectory=/srv/herd", "sh", "-c", herd]
    )
    while len(processes(host)) < PROCESSES or os.path.exists(host.root() / "srv/herd/0"):
        time.sleep(0.2)
    return pids, upgraded


def processes(host):
    return {int(name) for name in host.run(["ls", "/proc"]).stdout.split() if name.isdigit()}


def processes_of(host, unit):
    group = host.run(["systemctl", "show", "-P", "ControlGroup", unit]).stdout.decode().strip()
    done = host.run(["sh", "-c", 'grep -ls -- "$0" /proc/[0-9]*/cgroup', group], check=False)
    found = {int(path.split("/")[2]) for path in done.stdout.decode().split()}
    assert found, unit
    return found


def facts(fleet, run_module_of):
    answer = run_module_of(fleet.inventory(), "deleted_files_facts", {})
    found = answer.result["ansible_facts"]
    assert found["deleted_files_summary"]["complete"]
    seen = set()
    for entry in found["deleted_files"]:
        for holder in entry["holders"]:
            way = f"fd {holder['fd']}" if holder["via"] == "fd" else holder["via"]
            seen.add((holder["pid"], way, entry["inode"]))
    return seen, found


def lsof(host, *options):
    """What lsof tells: sighting -> whether it says that it is deleted."""
    done = host.run(["lsof", "-nP", "-F", "pfkin", *options], check=False)
    seen, pid, row = {}, 0, {}
    for line in [*done.stdout.decode(errors="replace").splitlines(), "f"]:
        kind, value = line[:1], line[1:]
        if kind in "pf" and row:
            way = {"txt": "exe", "mem": "map", "DEL": "map", "cwd": "cwd"}.get(row["f"], "fd " + row["f"])
            name = row.get("n", "")
            gone = row["f"] == "DEL" or name.endswith("(deleted)") or row.get("k") == "0"
            if row.get("i"):
                seen[pid, way, int(row["i"])] = gone
            row = {}
        if kind == "p":
            pid = int(value)
        elif kind == "f" and value:
            row = {"f": value}
        elif row:
            row[kind] = value
    return seen


def lsfd(host):
    done = host.run(["lsfd", "-n", "-J", "-o", "PID,ASSOC,INODE,DELETED"], check=False)
    seen = {}
    for row in json.loads(done.stdout)["lsfd"]:
        assoc = row["assoc"]
        way = f"fd {assoc}" if assoc.isdigit() else {"mem": "map", "shm": "map"}.get(assoc, assoc)
        seen[row["pid"], way, row["inode"]] = bool(row["deleted"])
    return seen


def find(host):
    """``find /proc -lname``, and what the links lead to."""
    command = "find /proc -maxdepth 4 -path '/proc/[0-9]*' ! -path '*/task/*' -lname '*(deleted)' -print0 2>/dev/null"
    done = host.run(["sh", "-c", f"{command} | xargs -0 stat -L -c '%i %n' 2>/dev/null"], check=False)
    seen = set()
    for line in done.stdout.decode(errors="replace").splitlines():
        match = re.fullmatch(r"(\d+) /proc/(\d+)/(\w+)/?(.*)", line)
        assert match is not None, line
        inode, pid, folder, rest = match.groups()
        way = {"map_files": "map", "fd": f"fd {rest}"}.get(folder, folder)
        seen.add((int(pid), way, int(inode)))
    return seen


class Difference(NamedTuple):
    """``pid`` holds ``inode`` in this ``way`` as only one of us says; ``entry`` is ours of that inode."""

    pid: int
    way: str
    inode: int
    entry: dict[str, Any]


class Scene(NamedTuple):
    """The holders by name, the inodes of what was upgraded, the pids of services, and the sightings of ours."""

    pids: dict[str, int]
    upgraded: set[int]
    services: dict[str, set[int]]
    ours: set[tuple[int, str, int]]


def linked(one, scene):
    """They go by the link count, which is not 0: another link is left, or the overlay tells the lower file's own."""
    return one.entry.get("nlink") and (
        one.pid in (scene.pids["twin"], scene.pids["lower"]) or one.inode in scene.upgraded
    )


def is_shared_memory(one):
    """It is only mapped, and they know no link count of what is mapped."""
    return one.way == "map" and one.entry.get("kind") in ("shared_memory", "sysv_shm")


def mapped_only(one, scene):
    return is_shared_memory(one) and one.pid in (scene.pids["zero"], scene.pids["sysv"])


def memory_of_a_container(one, scene):
    return is_shared_memory(one) and one.pid == scene.pids["contained memory"]


def memory_of_the_database(one, scene):
    return is_shared_memory(one) and one.pid in scene.services["postgresql@15-main"]


def memory_of_the_web_server(one, scene):
    return is_shared_memory(one) and one.pid in scene.services["nginx"]


def working_folder(one, scene):
    """Nobody's data: a folder that somebody is in."""
    return one.way == "cwd" and one.pid == scene.pids["folder"]


def literal(one, scene):
    """They go by the words: the file is there, it is only called so."""
    return one.way.startswith("fd ") and one.pid == scene.pids["literal"]


def mapped_executable(one, scene):
    """We tell an executable once, as what is executed."""
    return one.way == "map" and (one.pid, "exe", one.inode) in scene.ours and one.inode in scene.upgraded


MEMORY = {mapped_only, memory_of_a_container, memory_of_the_database, memory_of_the_web_server}

# By program: what only we tell, and what only they tell.
EXPLAINED = {
    "lsof +L1": ({linked, *MEMORY}, {working_folder}),
    "lsfd": ({linked, *MEMORY}, {working_folder}),
    "lsof": (set(), {working_folder, literal, mapped_executable}),
    "find": (set(), {working_folder, literal, mapped_executable}),
}


def test_every_difference_is_explained(scene_before, fleet_of_services, run_module_of, capsys):
    (host,) = fleet_of_services.hosts
    before = processes(host)
    ours, found = facts(fleet_of_services, run_module_of)
    theirs = {
        "lsof +L1": set(lsof(host, "+L1")),
        "lsfd": {key for key, gone in lsfd(host).items() if gone},
        "lsof": {key for key, gone in lsof(host).items() if gone},
        "find": find(host),
    }
    lasting = before & processes(host)  # without those programs themselves, and what brought us there
    entries = {entry["inode"]: entry for entry in found["deleted_files"]}
    services = {unit: processes_of(host, unit) for unit in SERVICES}
    scene = Scene(*scene_before, services, ours)
    lines = [f"{len(lasting)} processes, {len(ours)} sightings of ours"]
    unexplained = []
    for program, told in theirs.items():
        lines.append(f"{program}: {len(told)}, of which we tell {len(told & ours)}")
        for side, rest, predicates in zip(("we", "it"), (ours - told, told - ours), EXPLAINED[program], strict=True):
            differences = [Difference(*key, entries.get(key[2], {})) for key in rest if key[0] in lasting]
            counts = dict.fromkeys(predicates, 0)
            for one in differences:
                matching = [predicate for predicate in predicates if predicate(one, scene)]
                if len(matching) == 1:
                    counts[matching[0]] += 1
                else:
                    unexplained.append((program, side, one))
            lines += [f"  only {side}: {count} {predicate.__name__}" for predicate, count in counts.items()]
            assert all(counts.values()), (program, side, counts)
    lines.append(f"unexplained: {len(unexplained)}")
    running = found["deleted_files_summary"]["running"]["replaced"]
    advice = host.run(["needrestart", "-b", "-r", "l"]).stdout.decode()
    lines.append(f"needrestart: {sorted(re.findall('^NEEDRESTART-SVC: (.*)$', advice, re.MULTILINE))}")
    lines.append(f"ours:        {running['units']}")
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert unexplained == []
    assert len(lasting) > PROCESSES


def test_nobody_honest_is_suspicious(scene_before, fleet_of_services, run_module_of):
    """A JVM, a database, a web server that was upgraded, who keeps memfds: systemd and a program of ours."""
    found = facts(fleet_of_services, run_module_of)[1]
    summary = found["deleted_files_summary"]
    memfds = [entry for entry in found["deleted_files"] if entry["kind"] == "memfd"]
    keepers = {(holder["pid"], holder["comm"]) for entry in memfds for holder in entry["holders"]}
    assert (1, "systemd") in keepers and (scene_before[0]["memfd"], "python3") in keepers, keepers
    assert summary["suspicious"] == []
    assert "nginx.service" in summary["running"]["replaced"]["units"]


def test_what_is_in_a_container_is_told_as_such(scene_before, fleet_of_services, run_module_of):
    pids, _upgraded = scene_before
    found = facts(fleet_of_services, run_module_of)[1]["deleted_files"]
    visible = {entry["path"]: entry["visible"] for entry in found}
    assert (visible["/opt/boxed"], visible["/srv/log"]) == (False, True)
    pid = pids["contained memory"]
    memory = [one for one in found if one["kind"] == "shared_memory" and pid in [by["pid"] for by in one["holders"]]]
    assert [one["visible"] for one in memory] == [None]


def test_where_we_are_right(scene_before, fleet_of_services, run_module_of):
    """What nobody finds by a link count is gone and can be read; what is only called deleted is there."""
    (host,) = fleet_of_services.hosts
    pids, _upgraded = scene_before
    counted = {(pid, way) for pid, way, _inode in lsof(host, "+L1")}
    named = {key[:2] for key, gone in lsof(host).items() if gone}
    entries = {entry["path"]: entry for entry in facts(fleet_of_services, run_module_of)[1]["deleted_files"]}
    for name, path in ("lower", "/etc/login.defs"), ("twin", "/srv/twin"):
        assert (pids[name], "fd 3") not in counted
        assert not (host.root() / path.lstrip("/")).exists()
        assert entries[path]["state"] == "removed" and entries[path]["restorable"]
        assert entries[path]["reclaimable"] == 0
    assert (pids["literal"], "fd 3") in named
    assert (host.root() / "srv/this is not (deleted)").exists()
    assert "/srv/this is not (deleted)" not in entries and "/srv/this is not" not in entries
