# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which way leads into a host after what was lost: each cell of the README's table is a real host that lost it.

ways.py [SCENARIO ...]   prints the table in Markdown; where releases differ, each has a row

The exit code tells whether a lifeline led in everywhere that README promises.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT
from fleet import Fleet, Host, debian
from fleet.controller import environment, program

PORT = 2222
COLUMNS = ("connection kept", "no connection", "lifeline, connection kept", "lifeline, no connection")
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
RESCUED = "**"
LIFELINE = (2, 3)
# OpenSSH 9.2 and 10.0.
RELEASES = ("bookworm", "trixie")
# What no new session of OpenSSH 10 survives, since each starts programs of its own.
OUT_OF_REACH = {("trixie", "libc", 3), ("trixie", "sshd", 3)}


class Scenario(NamedTuple):
    """What is lost at once, as far as a host has it. ``holder`` is a command that holds it, as somebody does on a
    machine that is used.
    """

    name: str
    lost: tuple[str, ...]
    holder: tuple[str, ...] = ()
    user: str = "root"
    prepare: tuple[str, ...] = ()


_BASH = ("/usr/bin/bash", "-c", "while :; do sleep 3600; done")
_PYTHONS = tuple(f"/usr/bin/python3.{minor}" for minor in range(9, 16))
SCENARIOS = (
    Scenario("bash", ("/usr/bin/bash",), _BASH),
    Scenario("bash_is_sh", ("/usr/bin/bash",), _BASH, prepare=("ln", "-sf", "bash", "/usr/bin/sh")),
    Scenario("sudo_user_shell", ("/usr/bin/bash",), _BASH, "oncall", ("usermod", "-s", "/bin/bash", "oncall")),
    Scenario("python", _PYTHONS, ("/usr/bin/python3", "-c", "import signal; signal.pause()")),
    Scenario("libc", (f"{LIBRARIES}/ld-linux-x86-64.so.2", f"{LIBRARIES}/libc.so.6")),
    Scenario("sudo", ("/usr/bin/sudo",), ("/usr/bin/sudo", "sleep", "infinity"), "oncall"),
    Scenario("sshd", ("/usr/sbin/sshd", "/usr/lib/openssh/sshd-session", "/usr/lib/openssh/sshd-auth")),
    Scenario("sh_link", ("/usr/bin/sh",)),
)


class Record(NamedTuple):
    """What must be the same before and after."""

    content: str
    mode: int
    owner: tuple[int, int]


def record(host: Host, path: str) -> Record | None:
    """Read from outside, where nothing has to be executed in the host."""
    here = host.root() / path.lstrip("/")
    try:
        found = here.lstat()
    except FileNotFoundError:
        return None
    content = str(here.readlink()) if here.is_symlink() else hashlib.sha256(here.read_bytes()).hexdigest()
    return Record(content, stat.S_IMODE(found.st_mode), (found.st_uid, found.st_gid))


class Site:
    """One host with the controller that is to rescue it: its settings, connections and reports are its own."""

    def __init__(self, fleet: Fleet, host: Host, scenario: Scenario, column: int, folder: Path) -> None:
        self.fleet = fleet
        self.host = host
        self.scenario = scenario
        self.has_lifeline = column >= 2
        self.keeps_connection = column % 2 == 0
        self.folder = folder
        self.inventory = str(fleet.inventory(user=scenario.user, become=scenario.user != "root"))
        self.lifeline: dict[str, Any] = {}
        self.settings = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(folder / "cp"), "ANSIBLE_PIPELINING": "1"}

    def ansible(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program(name), *arguments, "-i", self.inventory, "--limit", self.host.name],
            env={**environment(), **self.settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def rescued(self) -> str:
        """The cell: the way that led in, or what the user sees."""
        if self.scenario.prepare:
            self.host.run(list(self.scenario.prepare))
        if self.scenario.holder:
            self.host.spawn(list(self.scenario.holder), user=self.scenario.user)
        if self.has_lifeline:
            self._make_lifeline()
        before = {path: seen for path in self.scenario.lost if (seen := record(self.host, path))}
        if self.keeps_connection:
            self._connect()
        for path in before:
            (self.host.root() / path.lstrip("/")).unlink()
        report = self.folder / "report.json"
        wanted = json.dumps({"rescue_paths": list(before), "rescue_report_path": str(report), **self.lifeline})
        done = self.ansible("ansible-playbook", "procfs.rescue.rescue", "-e", wanted)
        answer = self._answer(report)
        after = {path: record(self.host, path) for path in before}
        if after != before:
            return f"no: {_reason(answer, done)}"
        login = self.ansible("ansible", "all", "-m", "ansible.builtin.raw", "-a", "echo yes")
        if "yes" not in login.stdout:
            return f"no: back by {answer.get('way')}, but {login.stdout.strip()}"
        return f"{RESCUED}{answer['way']}{RESCUED}"

    def _make_lifeline(self) -> None:
        public = self.fleet.key.with_suffix(".pub").read_text(encoding="utf-8").strip()
        self.lifeline = {"lifeline_port": PORT, "lifeline_private_key_file": str(self.fleet.key)}
        done = self.ansible(
            "ansible-playbook",
            "procfs.rescue.lifeline",
            "-e",
            json.dumps({**self.lifeline, "lifeline_keys": [public]}),
        )
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)
        # Long enough for whoever prepared the host to be gone.
        shutil.rmtree(self.folder / "cp", ignore_errors=True)

    def _connect(self) -> None:
        """Opens the connection that is there on the day, and leaves it to ControlPersist."""
        if self.has_lifeline:
            nothing = "path=/etc/hostname transport=sftp"
            done = self.ansible(
                *("ansible", "all", "-m", "procfs.rescue.restore_file", "-a", nothing, "-e", json.dumps(self.lifeline))
            )
        else:
            done = self.ansible("ansible", "all", "-m", "ansible.builtin.ping")
        if done.returncode:
            raise SystemExit(done.stdout + done.stderr)

    def _answer(self, report: Path) -> dict[str, Any]:
        try:
            answers = json.loads(report.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        answer: dict[str, Any] = answers.get(self.host.name) or {}
        return answer


def _reason(answer: dict[str, Any], done: subprocess.CompletedProcess[str]) -> str:
    """What the user is told, without what every such message begins and ends with."""
    said = str(answer.get("msg") or "")
    shown = re.search(r"=> (\{.*\})$", done.stdout, re.M)
    if not said and shown:
        said = str(json.loads(shown.group(1))["msg"])
    if "wrong key or login shell gone" in said:
        return "Permission denied (publickey): wrong key or login shell gone, sshd says the same for both"
    for known in (DO_NOT.strip(), "No way led into this host."):
        said = said.partition(known)[2] or said
    said = said.partition("can be reached over ssh: ")[2] or said
    said = re.split(r"Connection \w+ by \d", said)[0]  # by an address that is another in each run
    for end in ("What is left:", ": either the path", " sftp: ", " lifeline: ", " module through "):
        said = said.partition(end)[0]
    return " ".join(said.split()).rstrip(".")


def cell(scenario: Scenario, column: int, release: str = "") -> str:
    with (
        Fleet(1, systemd=True, tree=debian.tree(release)) as fleet,
        tempfile.TemporaryDirectory() as folder,
    ):
        return Site(fleet, fleet.hosts[0], scenario, column, Path(folder)).rescued()


def main(names: list[str]) -> int:
    missed = set()
    print("| lost |", " | ".join(COLUMNS), "|")
    print("|---|" + "---|" * len(COLUMNS))
    for scenario in SCENARIOS:
        if names and scenario.name not in names:
            continue
        rows = {release: [cell(scenario, column, release) for column in range(len(COLUMNS))] for release in RELEASES}
        differ = len({tuple(row) for row in rows.values()}) > 1
        for release, row in rows.items() if differ else list(rows.items())[:1]:
            name = f"{scenario.name} ({release})" if differ else scenario.name
            print(f"| {name} |", " | ".join(row), "|", flush=True)
        missed |= {
            (release, scenario.name, column)
            for release, row in rows.items()
            for column in LIFELINE
            if not row[column].startswith(RESCUED)
        }
    return int(not missed <= OUT_OF_REACH)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
