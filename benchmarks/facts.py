# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The facts of an idle host as a task, against the floor, an Ansible ping of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from fleet import Fleet
from timing import Row, measured

PROCESSES = 200


def main(rounds: int) -> list[Row]:
    with Fleet(1) as fleet:
        for _process in range(PROCESSES):
            fleet.hosts[0].spawn(["/bin/sleep", "infinity"])
        ansible = [str(Path(sys.executable).parent / "ansible"), "all", "-i", str(fleet.inventory())]
        options = ["-e", "ansible_pipelining=true", "-m"]
        os.environ["LC_ALL"] = "C.UTF-8"
        return measured(
            f"a task on an idle host with {PROCESSES} processes",
            {
                "ansible.builtin.ping (floor)": [*ansible, *options, "ansible.builtin.ping"],
                "deleted_files_facts": [*ansible, *options, "procfs.rescue.deleted_files_facts"],
            },
            rounds,
        )
