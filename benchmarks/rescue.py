# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rescue of a fleet against the floor, an Ansible ping of the same hosts with the same settings, taken in turn."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from fleet import Fleet
from timing import Row

HOSTS = 20
BASH = "/usr/bin/bash"


def main(rounds: int) -> list[Row]:
    programs = Path(sys.executable).parent
    with Fleet(HOSTS) as fleet:
        for host in fleet.hosts:
            host.spawn([BASH, "-c", "while :; do sleep 3600; done"])
        options = ["-i", str(fleet.inventory()), "--forks", str(HOSTS), "-e", "ansible_pipelining=true"]
        ping = [str(programs / "ansible"), "all", "-m", "ansible.builtin.ping", *options]
        rescue = [str(programs / "ansible-playbook"), "procfs.rescue.rescue", *options]
        seconds: dict[str, list[float]] = {"ansible ping (floor)": [], "rescue playbook": []}
        for _round in range(rounds):
            for host in fleet.hosts:
                host.wreck(BASH)
            for name, command in zip(seconds, (ping, rescue), strict=True):
                started = time.monotonic()
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C.UTF-8"})
                seconds[name].append(time.monotonic() - started)
        floor = statistics.median(seconds["ansible ping (floor)"])
        return [
            Row(f"/bin/bash deleted on {HOSTS} hosts", name, statistics.median(taken), statistics.median(taken) / floor)
            for name, taken in seconds.items()
        ]
