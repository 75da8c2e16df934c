# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""fetch_file over SSH with become, against `ssh host sudo cat` (floor), rsync, builtin fetch, slurp and mitogen.

Ordinary files of the same content for what cannot read deleted ones: links to the same inodes. ``FETCH_GIB`` are the
sizes of the random files, ``FETCH_DEST`` is the folder that they arrive in: in memory (/dev/shm) the disk of the
controller plays no part, though fetch_file syncs what it writes, and the floor does not. With ``FETCH_LINK`` (1gbit)
the random files come over a link as there is between machines, and nothing else is measured.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fleet import Fleet, Host
from timing import Row, Watch, measured, run

GIB = 2**30
SIZES = [int(size) for size in os.environ.get("FETCH_GIB", "1,4").split(",")]
LINK = os.environ.get("FETCH_LINK")
PROGRAMS = Path(sys.executable).parent
ORDINARY = "/srv/ordinary"
MITOGEN = "mitogen==0.3.54"
FETCH = "ansible.builtin.fetch"

# Seconds that a way may take which is tried once.
_PATIENCE = 240


class _Stage:
    """A host that holds a deleted file, and where it goes: to one name, so that it is there once at a time."""

    def __init__(self, fleet: Fleet, folder: str) -> None:
        self.fleet = fleet
        self.host = fleet.hosts[0]
        self.folder = folder
        self.into = f"{folder}/into"

    def shell(self, command: str, after: str = "") -> list[str]:
        away = shlex.join([*self.host.ssh_command(), command])
        return ["sh", "-c", f"rm -rf {self.into}; {away} > {self.into} {after}"]

    def rsync(self) -> list[str]:
        *ssh, where = self.host.ssh_command()
        away = ["rsync", "--recursive", "--whole-file", "--ignore-times", "--rsync-path=sudo rsync"]
        command = shlex.join([*away, "-e", shlex.join(ssh), f"{where}:{ORDINARY}", self.into])
        return ["sh", "-c", f"rm -rf {self.into}; exec {command}"]

    def play(self, name: str, arguments: dict[str, Any], on: str = "h1", **settings: Any) -> list[str]:
        """Of this one task; ``settings`` are variables, and ``user`` and ``become``."""
        login = {key: settings.pop(key) for key in ("user", "become") if key in settings}
        inventory = self.fleet.inventory(**login)
        play = {"hosts": on, "gather_facts": False, "vars": {"ansible_pipelining": True, **settings}}
        fd, path = tempfile.mkstemp(dir=self.folder, suffix=".json")
        with open(fd, "w", encoding="utf-8") as file:
            json.dump([{**play, "tasks": [{name: arguments}]}], file)
        command = [str(PROGRAMS / "ansible-playbook"), path, "-i", str(inventory)]
        return ["sh", "-c", f"rm -rf {self.into}; exec {shlex.join(command)}"]

    def ours(self, link: str, on: str = "h1", **how: Any) -> list[str]:
        arguments = {"source": {"link": link}, "dest": self.into, "flat": True}
        if "transport" in how:
            arguments["transport"] = how.pop("transport")
        return self.play("procfs.rescue.fetch_file", arguments, on, **how)


def _large(gib: int, content: str) -> Callable[[int], list[Row]]:
    def main(rounds: int) -> list[Row]:
        rounds = min(rounds, 3 if gib == 1 else 2)
        with Fleet(1) as fleet, tempfile.TemporaryDirectory(dir=os.environ.get("FETCH_DEST")) as folder:
            stage = _Stage(fleet, folder)
            host = stage.host
            if LINK:  # what leaves the host
                shaped = f"tc qdisc add dev eth0 root tbf rate {LINK} burst 1mb latency 50ms"
                subprocess.run(["nsenter", f"--net=/proc/{host.pid}/ns/net", *shaped.split()], check=True)
            fill = f"head -c {gib * GIB} {'/dev/zero' if content == 'zeros' else '/dev/urandom'}"
            host.run(["sh", "-c", f"{fill} > /srv/held && ln /srv/held {ORDINARY}"], timeout=300)
            holder = host.spawn(["sh", "-c", "exec 9< /srv/held; rm /srv/held; exec sleep infinity"])
            while (host.root() / "srv/held").exists():
                pass
            link = f"/proc/{host.host_pid(holder.pid)}/fd/9"
            commands = {
                "ssh host sudo cat (floor)": stage.shell(f"sudo -n cat {link}"),
                "the same, and sync of the file": stage.shell(f"sudo -n cat {link}", f"&& sync {stage.into}"),
                "fetch_file": stage.ours(link),
                "a play that pings": stage.play("ansible.builtin.ping", {}),
                "rsync, of an ordinary file": stage.rsync(),
            }
            watch = partial(_peaks, host)
            what = f"{gib} GiB of {content}{f' over {LINK}' if LINK else ''}, {rounds} rounds"
            rows = measured(what, commands, rounds, watch=watch)
            # What is left of one on the host when its time is over goes on there.
            if gib == 1 and content != "zeros" and not LINK:
                for name, command in _other_ways(stage, link):
                    rows += _at_most_once(rows[0], name, command, watch)
            return rows

    return main


def _other_ways(stage: _Stage, link: str) -> Iterator[tuple[str, list[str]]]:
    paramiko: dict[str, Any] = {"ansible_connection": "ansible.builtin.paramiko_ssh"}
    paramiko["ansible_paramiko_host_key_checking"] = False
    yield "fetch_file in pieces, as with a become password", stage.ours(link, ansible_become_password="none is asked")
    yield "fetch_file over SFTP, as root", stage.ours(link, transport="sftp", user="root", become=False)
    yield "fetch_file over paramiko_ssh", stage.ours(link, **paramiko)
    held = os.open(stage.host.root() / ORDINARY.lstrip("/"), os.O_RDONLY)
    copy = f"{stage.folder}/local"
    subprocess.run(["cp", f"/proc/self/fd/{held}", copy], check=True, pass_fds=[held])
    os.close(held)
    with open(copy, "rb") as local:
        os.unlink(copy)
        own = f"/proc/{os.getpid()}/fd/{local.fileno()}"
        settings: dict[str, Any] = {"ansible_connection": "local", "ansible_become": False}
        settings["ansible_python_interpreter"] = "/usr/bin/python3"
        yield "fetch_file over the local connection", stage.ours(own, **settings)
    fetch = stage.play(FETCH, {"src": ORDINARY, "dest": stage.into, "flat": True})
    with tempfile.TemporaryDirectory() as packages:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", packages, MITOGEN]
        if subprocess.run(pip, check=False).returncode == 0:
            plugins = f"ANSIBLE_STRATEGY_PLUGINS={packages}/ansible_mitogen/plugins/strategy"
            with_it = ["env", f"PYTHONPATH={packages}", plugins, "ANSIBLE_STRATEGY=mitogen_linear", *fetch]
            yield f"{FETCH} by {MITOGEN}, of an ordinary file", with_it
    yield "ansible.builtin.slurp, of an ordinary file", stage.play("ansible.builtin.slurp", {"src": ORDINARY})
    yield f"{FETCH}, of an ordinary file", fetch


def _many(rounds: int) -> list[Row]:
    """A thousand different files of a MiB that one process holds."""
    rounds = min(rounds, 3)
    with Fleet(1) as fleet, tempfile.TemporaryDirectory(dir=os.environ.get("FETCH_DEST")) as folder:
        stage = _Stage(fleet, folder)
        host = stage.host
        host.run(["mkdir", "/srv/many"])
        host.run(["sh", "-c", "head -c 1000M /dev/urandom | split -b 1M -a 3 -d - /srv/many/"], timeout=100)
        host.run(["cp", "-al", "/srv/many", ORDINARY])
        opened = (
            "import os, signal; held = [open(file) for file in os.scandir('/srv/many')]; os.system('rm -r /srv/many')"
        )
        holder = host.spawn(["/usr/bin/python3", "-c", f"{opened}; signal.pause()"])
        while (host.root() / "srv/many").exists():
            pass
        links = f"/proc/{host.host_pid(holder.pid)}/fd/"
        ours = {"dest": stage.into, "via": ["fd"]}
        commands = {
            "ssh host sudo cat of all (floor)": stage.shell(f"sudo -n sh -c 'cd {links} && cat [3-9]* [12]?*'"),
            "collect_files": stage.play("procfs.rescue.collect_files", ours),
            "a play that pings": stage.play("ansible.builtin.ping", {}),
            "rsync, of ordinary files": stage.rsync(),
        }
        return measured(f"1,000 files of 1 MiB, {rounds} rounds", commands, rounds, watch=partial(_peaks, host))


def _at_most_once(floor: Row, name: str, command: list[str], watch: Watch) -> list[Row]:
    """It takes minutes, may fail, and holds the file in memory several times, so that no warming up changes much."""
    try:
        with watch() as peaks:
            seconds, memory = run(["timeout", str(_PATIENCE), *command])
    except subprocess.CalledProcessError as error:
        why = f"not in {_PATIENCE} s" if error.returncode == 124 else error.output.decode(errors="replace")[-300:]
        print(f"  fails: {name}: {why}")
        return []
    return [Row(floor.what, f"{name}, once", seconds, seconds / floor.seconds, memory, max(peaks, default=None))]


@contextmanager
def _peaks(host: Host) -> Iterator[list[float]]:
    """The peak memory, in MiB, of each process that begins in the host meanwhile."""
    peaks: list[float] = []
    ended = threading.Event()
    namespace = os.stat(f"/proc/{host.pid}/ns/pid").st_ino
    before = set(os.listdir("/proc"))

    def watch() -> None:
        while not ended.wait(0.1):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if pid not in before and os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace:
                        status = Path(f"/proc/{pid}/status").read_text()
                        peaks.append(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
                except (OSError, IndexError):
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


BENCHMARKS = [_large(gib, "random bytes") for gib in SIZES]
if not LINK:
    BENCHMARKS += [_large(1, "zeros"), _many]
