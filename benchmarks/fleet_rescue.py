# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rescue of a fleet against the floor, an Ansible ping with the same settings, and the usual ways by hand."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from fleet import Fleet, Host
from timing import Row, run

BASH = "/usr/bin/bash"
HOLD = [BASH, "-c", "while :; do sleep 3600; done"]

# Finds a holder, as people do by hand.
FIND = f"for exe in /proc/[0-9]*/exe; do [ \"$(readlink $exe)\" = '{BASH} (deleted)' ] && echo $exe && break; done"

Ways = dict[str, list[str]]


def main(rounds: int) -> list[Row]:
    """50 hosts, all of which hold it."""
    with Fleet(50) as fleet, TemporaryDirectory() as folder:
        _hold(fleet.hosts)
        ways = {**_ansible(fleet), **_by_hand(fleet, Path(folder))}
        rows = _measured("/bin/bash deleted on 50 hosts, all of them hold it", fleet.hosts, ways, rounds)
        trips = _round_trips(fleet)
        print(f"tasks that ask each host: {trips}")
        return rows


def few_hold(rounds: int) -> list[Row]:
    """50 hosts, 5 of which hold it."""
    with Fleet(50) as fleet:
        _hold(fleet.hosts[::10])
        what = "/bin/bash deleted on 50 hosts, 5 of them hold it"
        return _measured(what, fleet.hosts, _ansible(fleet), rounds)


def over_sftp(rounds: int) -> list[Row]:
    """50 hosts, all of which hold it, by SFTP alone."""
    with Fleet(50) as fleet:
        _hold(fleet.hosts)
        for host in fleet.hosts:
            host.run(["usermod", "--shell", "/usr/bin/dash", "root"])
        ways = _ansible(fleet, "root", {"rescue_transport": "sftp"})
        return _measured("the same by SFTP alone", fleet.hosts, ways, rounds)


def growth(rounds: int) -> list[Row]:
    """Seconds per host, and the most memory that a process of Ansible took, of a ping too."""
    rows = []
    for count in (20, 50, 100, 200):
        with Fleet(count) as fleet:
            _hold(fleet.hosts)
            ping, rescue = _ansible(fleet).values()
            run(ping)  # opens the connections
            taken, memory = [], 0.0
            for _round in range(rounds):
                _each(fleet.hosts, lambda host: host.wreck(BASH))
                seconds, peak = run(rescue)
                taken.append(seconds)
                memory = max(memory, peak)
            name = f"{count} hosts, a ping takes {run(ping)[1]:.0f} MiB"
            rows.append(Row("seconds per host", name, statistics.median(taken) / count, 0, memory))
    base = next(row.seconds for row in rows if row.name.startswith("50 "))
    return [row._replace(ratio=row.seconds / base) for row in rows]


def settings(rounds: int) -> list[Row]:
    """What each setting of Ansible is worth: a play with the role, with one of them as it is by default."""
    with Fleet(50) as fleet, TemporaryDirectory() as folder:
        _hold(fleet.hosts)
        program, _playbook, *options = _ansible(fleet)["rescue playbook"]
        at = options.index("--forks")
        plays = {}
        for facts in False, True:
            play = {"hosts": "all", "gather_facts": facts, "roles": ["procfs.rescue.rescue"]}
            plays[facts] = str(Path(folder, f"facts-{facts}.yml"))
            Path(plays[facts]).write_text(json.dumps([play]))
        alone = json.dumps({"ansible_ssh_args": "-o ControlMaster=no -o ControlPath=none"})
        files = json.dumps({"ansible_pipelining": False})
        ways = {
            "a play with the role, 50 forks, connections kept, no facts": [program, plays[False], *options],
            "facts are gathered": [program, plays[True], *options],
            "no pipelining": [program, plays[False], *options, "-e", files],
            "5 forks": [program, plays[False], *options[:at], *options[at + 2 :]],
            "no connection is kept (no ControlPersist)": [program, plays[False], *options, "-e", alone],
        }
        return _measured("Settings, 50 hosts, all of them hold it", fleet.hosts, ways, rounds)


def _hold(hosts: list[Host]) -> None:
    for host in hosts:
        host.spawn(HOLD)


def _ansible(fleet: Fleet, user: str = "oncall", extra: dict[str, str] | None = None) -> Ways:
    programs = Path(sys.executable).parent
    inventory = str(fleet.inventory(user=user, become=user != "root"))
    forks = str(min(len(fleet.hosts), 50))
    options = ["-i", inventory, "--forks", forks, "-e", json.dumps({"ansible_pipelining": True, **(extra or {})})]
    return {
        "ansible ping (floor)": [str(programs / "ansible"), "all", "-m", "ansible.builtin.ping", *options],
        "rescue playbook": [str(programs / "ansible-playbook"), "procfs.rescue.rescue", *options],
    }


def _by_hand(fleet: Fleet, folder: Path) -> Ways:
    """What people paste: six tasks without any check, and a loop of ssh."""
    play = {
        "hosts": "all",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.shell": FIND, "register": "found"},
            {"ansible.builtin.shell": f"cat {{{{ found.stdout }}}} > {BASH}.new"},
            {"ansible.builtin.stat": {"path": f"{BASH}.new"}, "register": "new"},
            {"ansible.builtin.file": {"path": f"{BASH}.new", "owner": "root", "group": "root", "mode": "0755"}},
            {"ansible.builtin.copy": {"src": f"{BASH}.new", "dest": BASH, "remote_src": True, "mode": "preserve"}},
            {"ansible.builtin.file": {"path": f"{BASH}.new", "state": "absent"}},
        ],
    }
    (folder / "by-hand.yml").write_text(json.dumps([play]))
    ping = _ansible(fleet)["ansible ping (floor)"]
    program = str(Path(sys.executable).parent / "ansible-playbook")
    script = f"exe=$({FIND}); cat $exe > {BASH}.new && chmod 755 {BASH}.new && mv {BASH}.new {BASH}"
    *ssh, _target = fleet.hosts[0].ssh_command()
    (folder / "targets").write_text("\n".join(host.ssh_command()[-1] for host in fleet.hosts))
    (folder / "script").write_text(script)
    loop = ["xargs", "-a", str(folder / "targets"), "-P", "50", "-I{}", *ssh, "{}", f"sudo sh -c {_quoted(script)}"]
    return {
        "six tasks by hand": [program, str(folder / "by-hand.yml"), *ping[4:]],
        "xargs -P 50 ssh": loop,
    }


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _measured(what: str, hosts: list[Host], ways: Ways, rounds: int) -> list[Row]:
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _round in range(rounds + 1):  # the first one opens the connections that the others use
        for name, command in ways.items():
            if "ping" not in name:
                _each(hosts, lambda host: host.wreck(BASH))
            started = time.monotonic()
            done = subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"}, check=False)
            if done.returncode:
                raise RuntimeError((done.stdout + done.stderr).decode())
            if _round:
                taken[name].append(time.monotonic() - started)
    medians = {name: statistics.median(seconds) for name, seconds in taken.items()}
    floor = next(iter(medians.values()))
    return [Row(what, name, seconds, seconds / floor) for name, seconds in medians.items()]


def _each(hosts: list[Host], work: Callable[[Host], None]) -> None:
    for host in hosts:
        work(host)


def _round_trips(fleet: Fleet) -> int:
    """Of the rescue, as Ansible counts what it executes over a connection that is there."""
    _each(fleet.hosts[:1], lambda host: host.wreck(BASH))
    command = [*_ansible(fleet)["rescue playbook"], "--limit", "h1", "-vvv"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"}, check=True)
    return done.stdout.count("SSH: EXEC")
