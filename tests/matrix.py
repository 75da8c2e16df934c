# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-test sanity, and the tests marked ``matrix``, with other releases of ansible-core and other Pythons."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from interpreters import interpreter

ROOT = Path(__file__).resolve().parents[1]


class Core(NamedTuple):
    """A release of ansible-core, the Pythons it runs with, newest first, and the oldest and newest of its hosts."""

    release: str
    controllers: tuple[str, ...]
    targets: tuple[str, ...]


CORES = (
    Core("2.16.19", ("3.12", "3.11", "3.10"), ("3.6", "3.12")),
    Core("2.18.19", ("3.13", "3.12", "3.11"), ("3.8", "3.13")),
    Core("2.19.14", ("3.13", "3.12", "3.11"), ("3.8", "3.13")),
    Core("2.20.10", ("3.14", "3.13", "3.12"), ("3.9", "3.13")),
    Core("2.21.5", ("3.14", "3.13", "3.12"), ("3.9", "3.13")),
)


def main() -> int:
    rows = [["ansible-core", "with Python", "sanity", "hosts' Python", "outcome"]]
    failed = False
    for core in CORES:
        controller = next(filter(None, map(interpreter, core.controllers)), None)
        if controller is None:
            rows.append([core.release, " or ".join(core.controllers), "", "", "not tried: no such Python here"])
            continue
        programs = installed(core.release, controller)
        is_sane = sanity(programs)
        failed = failed or not is_sane
        for target in core.targets:
            path = interpreter(target)
            if path is None:
                rows.append([core.release, version_of(controller), "", target, "not tried: no such Python here"])
                continue
            code, outcome = tested(programs, path)
            failed = failed or code != 0
            said = "passed" if is_sane else "failed"
            rows.append([core.release, version_of(controller), said, version_of(path), outcome])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 1 if failed else 0


def installed(release: str, python: str) -> Path:
    """The folder of the programs of that ansible-core."""
    folder = ROOT / ".work" / "matrix" / release
    if not (folder / "bin" / "ansible-playbook").exists():
        subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
        subprocess.run([*pip, f"ansible-core=={release}"], check=True)
    return folder / "bin"


def sanity(programs: Path) -> bool:
    command = [str(programs / "python"), str(ROOT / "tests" / "sanity" / "run.py")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def tested(programs: Path, target: str) -> tuple[int, str]:
    environment = {**os.environ, "ANSIBLE_PROGRAMS": str(programs), "TARGET_PYTHON": target}
    command = [sys.executable, "-m", "pytest", "-q", "-m", "matrix", "tests/integration"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout)
    closing = re.findall(r"^.*\b(?:passed|failed|error).* in .*$", done.stdout, re.MULTILINE)
    return done.returncode, closing[-1] if closing else f"exit code {done.returncode}"


def version_of(python: str) -> str:
    return subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


if __name__ == "__main__":
    sys.exit(main())
