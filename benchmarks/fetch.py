# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""fetch_file over SSH with become, against `ssh host sudo cat` (floor), rsync, builtin fetch, slurp and mitogen.

Ordinary files of the same content for what cannot read deleted ones. ``FETCH_GIB`` are the sizes of the random files,
``FETCH_DEST`` is the folder that they arrive in: in memory (/dev/shm) the disk of the controller plays no part.
``MITOGEN`` is the folder of Python packages that mitogen is in, where it shall be measured.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fleet import Fleet, Host
from timing import Row, measured, run

GIB = 2**30
SIZES = [int(size) for size in os.environ.get("FETCH_GIB", "1,4").split(",")]
PROGRAMS = Path(sys.executable).parent
ORDINARY = "/srv/ordinary"
_PATIENCE = 240


def _large(gib: int, content: str) -> Callable[[int], list[Row]]:
    def main(rounds: int) -> list[Row]:
        with Fleet(1) as fleet, tempfile.TemporaryDirectory(dir=os.environ.get("FETCH_DEST")) as folder:
            host = fleet.hosts[0]
            size = str(gib * GIB)
            fill = "head -c %s %s" % (size, "/dev/zero" if content == "zeros" else "/dev/urandom")
            host.run(["sh", "-c", f"{fill} > /srv/held"], timeout=300)
            has_peers = content != "zeros" and gib == 1  # the host's disk is memory
            if has_peers:
                host.run(["cp", "/srv/held", ORDINARY])
            holder = host.spawn(["sh", "-c", "exec 9< /srv/held; rm /srv/held; exec sleep infinity"])
            while (host.root() / "srv/held").exists():
                pass
            link = f"/proc/{host.host_pid(holder.pid)}/fd/9"
            ours = _module(fleet, folder, "procfs.rescue.fetch_file", {"source": {"link": link}, "resume": False})
            commands = {
                "ssh host sudo cat (floor)": _shell(host.ssh_command(), f"sudo -n cat {link}", f"{folder}/floor"),
                "the same, and sync of the file": _shell(
                    host.ssh_command(), f"sudo -n cat {link}", f"{folder}/floor", "sync"
                ),
                "fetch_file": ours,
            }
            if has_peers and shutil.which("rsync"):
                commands["rsync, of an ordinary file"] = _rsync(host, folder)
            rows = measured(f"{gib} GiB of {content}", commands, rounds)
            with _peak_of_python(host) as peak:
                subprocess.run(ours, check=True, stdout=subprocess.DEVNULL)
            target = Row(rows[0].what, "fetch_file's process on the host, memory", 0, 0, max(peak) / 1024)
            rows.append(target)
            if has_peers:  # at last: what is left of it on the host when it was ended goes on there
                pieces = ["env", "ANSIBLE_BECOME_PASS=none-is-asked-for", *ours]
                rows += _at_most_once(rows[0], "fetch_file in pieces, as with a become password, once", pieces)
                fetch = _module(fleet, folder, "ansible.builtin.fetch", {"src": ORDINARY})
                mitogen = os.environ.get("MITOGEN")
                if mitogen:
                    plugins = f"ANSIBLE_STRATEGY_PLUGINS={mitogen}/ansible_mitogen/plugins/strategy"
                    with_it = ["env", f"PYTHONPATH={mitogen}", plugins, "ANSIBLE_STRATEGY=mitogen_linear", *fetch]
                    rows += _at_most_once(rows[0], "ansible.builtin.fetch by mitogen, once", with_it)
                slurp = _module(fleet, folder, "ansible.builtin.slurp", {"src": ORDINARY}, lands=False)
                rows += _at_most_once(rows[0], "ansible.builtin.slurp, of an ordinary file, once", slurp)
                rows += _at_most_once(rows[0], "ansible.builtin.fetch, of an ordinary file, once", fetch)
            return rows

    return main


def _many(rounds: int) -> list[Row]:
    """A thousand different files of a MiB that one process holds."""
    with Fleet(1) as fleet, tempfile.TemporaryDirectory(dir=os.environ.get("FETCH_DEST")) as folder:
        host = fleet.hosts[0]
        host.run(["mkdir", "/srv/many"])
        host.run(["sh", "-c", "head -c 1000M /dev/urandom | split -b 1M -a 3 -d - /srv/many/"], timeout=100)
        opened = (
            "import os, signal; held = [open(file) for file in os.scandir('/srv/many')]; os.system('rm -r /srv/many')"
        )
        holder = host.spawn(["/usr/bin/python3", "-c", f"{opened}; signal.pause()"])
        while (host.root() / "srv/many").exists():
            pass
        links = f"/proc/{host.host_pid(holder.pid)}/fd/"
        ours = {"dest": f"{folder}/evidence", "via": ["fd"]}
        return measured(
            "1,000 files of 1 MiB",
            {
                "ssh host sudo cat of all (floor)": _shell(
                    host.ssh_command(), f"sudo -n sh -c 'cd {links} && cat [3-9]* [12]?*'", f"{folder}/floor"
                ),
                "collect_files": _module(fleet, folder, "procfs.rescue.collect_files", ours, lands=False),
            },
            rounds,
        )


def _at_most_once(floor: Row, name: str, command: list[str]) -> list[Row]:
    """It takes minutes, may fail, and holds the file in memory several times, so that no warming up changes much."""
    try:
        seconds, memory = run(["timeout", str(_PATIENCE), *command])
    except subprocess.CalledProcessError as error:
        why = f"not in {_PATIENCE} s" if error.returncode == 124 else error.output.decode(errors="replace")[-300:]
        print(f"  fails: {name}: {why}")
        return []
    return [Row(floor.what, name, seconds, seconds / floor.seconds, memory)]


def _shell(ssh: list[str], command: str, into: str, after: str = "true") -> list[str]:
    return ["sh", "-c", f"rm -f {into}; {shlex.join([*ssh, command])} > {into} && {after} {into}"]


def _rsync(host: Host, folder: str) -> list[str]:
    *ssh, where = host.ssh_command()
    away = ["rsync", "--whole-file", "--ignore-times", "--rsync-path=sudo rsync", "-e", shlex.join(ssh)]
    return [*away, f"{where}:{ORDINARY}", f"{folder}/rsync"]


def _module(fleet: Fleet, folder: str, name: str, arguments: dict[str, object], lands: bool = True) -> list[str]:
    """A play of this one task, which writes what it writes anew each time; ``lands``: it takes ``dest`` for a file."""
    into = f"{folder}/{name}" if lands else f"{folder}/evidence"
    task = {name: {**arguments, **({"dest": into, "flat": True} if lands else {})}}
    play = [{"hosts": "h1", "gather_facts": False, "vars": {"ansible_pipelining": True}, "tasks": [task]}]
    path = Path(folder, f"{name}.json")
    path.write_text(json.dumps(play), encoding="utf-8")
    command = [str(PROGRAMS / "ansible-playbook"), str(path), "-i", str(fleet.inventory())]
    return ["sh", "-c", f"rm -rf {into}; exec {shlex.join(command)}"]


@contextmanager
def _peak_of_python(host: Host) -> Iterator[list[int]]:
    """The peak memory, in KiB, of any Python that runs in the host meanwhile."""
    peaks = [0]
    ended = threading.Event()
    namespace = os.stat(f"/proc/{host.pid}/ns/pid").st_ino

    def watch() -> None:
        while not ended.wait(0.1):
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    if (
                        os.stat(f"/proc/{pid}/ns/pid").st_ino == namespace
                        and "python" in Path(f"/proc/{pid}/comm").read_text()
                    ):
                        status = Path(f"/proc/{pid}/status").read_text()
                        peaks.append(int(status.partition("VmHWM:")[2].split()[0]))
                except (OSError, IndexError):
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


BENCHMARKS = [*(_large(gib, "random bytes") for gib in SIZES), _large(1, "zeros"), _many]
