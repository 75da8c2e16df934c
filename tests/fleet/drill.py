# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drill: real hosts lose /bin/bash and get it back, as their users would see and do it.

Exit code 0 only if every host has its own bash again, byte for byte, with mode, owner and mtime, and lets root log in.
"""

from __future__ import annotations

import hashlib
import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from fleet import Fleet, Host
from fleet.controller import environment, program

BASH = "/usr/bin/bash"
PAGE = Path(__file__).resolve().parents[2] / ".work" / "drill"


class State(NamedTuple):
    """What must be the same before and after."""

    sha256: str
    mode: int
    uid: int
    gid: int
    mtime_ns: int


def state_of_bash(host: Host) -> State | None:
    """Read from outside through the host's own tree; None when the name is gone."""
    path = host.root() / BASH.lstrip("/")
    try:
        content, result = path.read_bytes(), path.stat()
    except FileNotFoundError:
        return None
    return State(
        hashlib.sha256(content).hexdigest(),
        stat.S_IMODE(result.st_mode),
        result.st_uid,
        result.st_gid,
        result.st_mtime_ns,
    )


def login(host: Host) -> str:
    """What a new login as root says: 'yes', or the error that a person would see."""
    answer = subprocess.run(host.ssh_command("root") + ["echo yes"], capture_output=True, text=True, check=False)
    return answer.stdout.strip() or answer.stderr.strip().splitlines()[-1]


def playbook(fleet: Fleet, report: Path) -> int:
    """The rescue as a user runs it, over SSH, as the sudo user whose shell is still there."""
    inventory = str(fleet.inventory())
    print(f"$ ansible-playbook procfs.rescue.rescue -i {inventory}", flush=True)
    command = [
        program("ansible-playbook"),
        "procfs.rescue.rescue",
        "-i",
        inventory,
        "-e",
        f"rescue_report_path={report}",
    ]
    return subprocess.run(command, env=environment(), check=False).returncode


def page(fleet: Fleet, report: Path) -> Path:
    """What the fleet holds now and what was rescued, as a page that stays when the fleet is gone."""
    dest = PAGE / "report.html"
    command = [program("ansible-playbook"), "procfs.rescue.report", "-i", str(fleet.inventory())]
    variables = {"report_dest": str(dest), "report_from": [str(report)], "report_gather": True}
    subprocess.run([*command, "-e", json.dumps(variables)], env=environment(), stdout=subprocess.DEVNULL, check=True)
    return dest


def table(rows: list[list[str]]) -> str:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def row(host: Host, before: State, after: State | None, result: dict[str, Any]) -> list[str]:
    source = result.get("source", {})
    kept = after is not None and after[1:] == before[1:]
    return [
        host.name,
        before.sha256[:12],
        after.sha256[:12] if after else "gone",
        "yes" if after and after.sha256 == before.sha256 else "NO",
        f"pid {source['pid']}, {source['link']}" if source else "none",
        f"{before.mode:04o} {before.uid}:{before.gid}, kept" if kept else "NOT KEPT",
        str(result.get("seconds", "")),
        login(host),
    ]


def drill(count: int) -> bool:
    with Fleet(count) as fleet:
        print(f"{count} hosts are up, each with its own sshd.", flush=True)
        before = {}
        for host in fleet.hosts:
            state = state_of_bash(host)
            if state is None:
                raise SystemExit(f"{host.name} has no {BASH} to begin with.")
            before[host.name] = state
            # Somebody's shell: without a process that runs it, nothing would hold the file.
            host.spawn([BASH, "-c", "while :; do sleep 3600; done"])
            print(f"{host.name}: {BASH} has sha256 {state.sha256}")
        print(f"\nDeleting {BASH} on every host ...")
        for host in fleet.hosts:
            host.wreck(BASH)
            gone = "gone" if state_of_bash(host) is None else "STILL THERE"
            print(f"{host.name}: {BASH} is {gone}; root's login: {login(host)}")
        print(flush=True)
        report = fleet.state_dir / "report.json"
        code = playbook(fleet, report)
        results = json.loads(report.read_text(encoding="utf-8")) if report.exists() else {}
        rows = [["host", "before", "after", "equal", "source", "mode, owner", "seconds", "root's login"]]
        fine = code == 0
        for host in fleet.hosts:
            after = state_of_bash(host)
            files = results.get(host.name, {}).get("files", [{}])
            rows.append(row(host, before[host.name], after, files[0]))
            fine = fine and after == before[host.name] and rows[-1][-1] == "yes"
        print(table(rows))
        print("\nAll hosts have their own bash back." if fine else "\nNOT all hosts are rescued.")
        print(f"To look at: {page(fleet, report)}")
        print("On your own hosts:  make rescue INVENTORY=hosts.yml")
        return fine


if __name__ == "__main__":
    sys.exit(0 if drill(int(sys.argv[1]) if len(sys.argv) > 1 else 3) else 1)
