# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Changes the steps on which trust rests, one operator or number at a time, and counts what their unit tests notice."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome

ROOT = Path(__file__).resolve().parents[1]
# A copy: whoever stops this must not find a mutant in the working tree.
WORK = ROOT / ".work" / "mutants"
# Whose unit tests are to notice.
STEPS = {
    "judge": ["judge"],
    "choose": ["choose"],
    "may_free": ["may_free"],
    "draft": ["draft", "publish"],
    "hidden": ["draft", "publish"],
    "publish": ["publish"],
    "parents": ["parents"],
    "verify": ["verify"],
}
WANTED = 85
CONFIG = """
[cosmic-ray]
module-path = "plugins/module_utils/_{step}.py"
timeout = 300
excluded-modules = []
test-command = "{python} -m pytest -q -x -p no:cacheprovider -p no:randomly {tests}"

[cosmic-ray.distributor]
name = "local"
"""


class Told(NamedTuple):
    """How many mutants of a step were killed, how many of these by time, and the others, with their place and diff."""

    killed: int
    late: int
    others: list[str]


def main(steps: list[str]) -> int:
    copy()
    few = []
    for step in steps or STEPS:
        told = mutate(step)
        count = told.killed + len(told.others)
        share = 100 * told.killed / count
        late = f" ({told.late} of them took too long)" if told.late else ""
        print(f"{step}: {told.killed} of {count} mutants killed{late}, {share:.0f} %\n", flush=True)
        print("".join(f"{other}\n" for other in told.others), flush=True)
        few += [step] if share < WANTED else []
    if few:
        print(f"Less than {WANTED} %: {', '.join(few)}")
    return bool(few)


def copy() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    for folder in "plugins", "roles", "tests":
        shutil.copytree(ROOT / folder, WORK / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in "galaxy.yml", "pyproject.toml":
        shutil.copy(ROOT / file, WORK)
    link = WORK / "collections" / "ansible_collections" / "procfs" / "rescue"
    link.parent.mkdir(parents=True)
    link.symlink_to(Path("..", "..", ".."))


def mutate(step: str) -> Told:
    found = [path for name in STEPS[step] for path in sorted(WORK.glob(f"tests/unit/plugins/*/test__{name}*.py"))]
    tests = " ".join(str(path.relative_to(WORK)) for path in found)
    (WORK / "mutants.toml").write_text(CONFIG.format(step=step, tests=tests, python=sys.executable), encoding="utf-8")
    session = WORK / f"{step}.sqlite"
    cosmic_ray("init", "mutants.toml", session.name)
    cosmic_ray("baseline", "mutants.toml")
    cosmic_ray("exec", "mutants.toml", session.name)
    killed, late, others = 0, 0, []
    with use_db(session, WorkDB.Mode.open) as database:
        for item, result in database.completed_work_items:
            if result.test_outcome == TestOutcome.KILLED:
                killed += 1
                late += result.output == "timeout"
            else:
                (mutation,) = item.mutations
                where = f"{mutation.module_path}:{mutation.start_pos[0]}"
                others.append(f"{where} {result.test_outcome.value}\n{result.diff or result.output}")
    return Told(killed, late, others)


def cosmic_ray(*arguments: str) -> None:
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(WORK / "collections"),
        "PYTHONDONTWRITEBYTECODE": "1",  # two mutants of one second and size would be taken for one
    }
    subprocess.run([sys.executable, "-m", "cosmic_ray.cli", *arguments], cwd=WORK, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
