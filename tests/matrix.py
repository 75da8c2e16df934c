# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ansible-test sanity, unit tests and tests marked ``matrix`` with other releases of ansible-core and other Pythons.

matrix.py               all of them
matrix.py 2.16.19 ...   these
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from interpreters import interpreter

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".work" / "matrix"


class Core(NamedTuple):
    """A release of ansible-core, Pythons it runs with (the first found is taken), the oldest and newest of hosts."""

    release: str
    controllers: tuple[str, ...]
    targets: tuple[str, ...]


CORES = (
    Core("2.16.19", ("3.10", "3.11", "3.12"), ("3.6", "3.12")),
    Core("2.17.14", ("3.12", "3.11", "3.10"), ("3.7", "3.12")),
    Core("2.18.19", ("3.13", "3.12", "3.11"), ("3.8", "3.13")),
    Core("2.19.14", ("3.13", "3.12", "3.11"), ("3.8", "3.13")),
    Core("2.20.10", ("3.14", "3.13", "3.12"), ("3.9", "3.13", "3.14")),
    Core("2.21.5", ("3.14", "3.13", "3.12"), ("3.9", "3.13", "3.14")),
)

# What runs on hosts, and all of the plugins.
ON_HOSTS = ("tests/unit/plugins/module_utils", "tests/unit/plugins/modules")
ON_CONTROLLER = ("tests/unit/plugins",)

# What the unit tests need.
OF_TESTS = ["hypothesis", "pytest", "pyyaml"]

# The last that run with 3.6; not every index tells pip so.
LAST = """
    attrs==22.2.0 hypothesis==6.31.6 importlib-metadata==4.8.3 iniconfig==1.1.1 packaging==21.3 pluggy==1.0.0 py==1.11.0
    pyparsing==3.0.7 pytest==7.0.1 pyyaml==5.4.1 sortedcontainers==2.4.0 tomli==1.2.3 typing-extensions==4.1.1
    zipp==3.6.0
"""

# Most tests wait most of the time.
SIDE_BY_SIDE = 2 * len(os.sched_getaffinity(0))

# Each run of unit tests gets a /proc of its own, where the holders of the others are not seen, and is not its init.
OWN_PROC = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", '"$@"; exit', "sh")

# It has one folder to work in.
_SANITY = threading.Lock()

HEADER = ["ansible-core", "Python", "sanity", "unit tests", "hosts' Python", "unit tests", "on hosts"]
ABSENT = "not tried: no such Python here"


def main(releases: list[str]) -> int:
    unknown = [release for release in releases if release not in {core.release for core in CORES}]
    if unknown:
        known = ", ".join(core.release for core in CORES)
        print(f"Not in the matrix: {', '.join(unknown)}. It has {known}.", file=sys.stderr)
        return 2
    cores = [core for core in CORES if not releases or core.release in releases]
    rows: list[list[str]] = []
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for of_one in pool.map(tried, cores):
            rows += of_one
            print(*map("  ".join, of_one), sep="\n", flush=True)
    widths = [max(map(len, column)) for column in zip(HEADER, *rows, strict=True)]
    print()
    for row in [HEADER, *rows]:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return int(any("FAILED" in cell for row in rows for cell in row))


def tried(core: Core) -> list[list[str]]:
    """Its rows; what could not even begin is one of them, and the other releases have theirs."""
    try:
        return rows_of(core)
    except Exception as error:  # noqa: BLE001  (whatever it is, it is told)
        traceback.print_exc()
        return [[core.release, "", f"FAILED: {type(error).__name__}, see above", "", "", "", ""]]


def rows_of(core: Core) -> list[list[str]]:
    controller = next(filter(None, map(interpreter, core.controllers)), None)
    if controller is None:
        return [[core.release, " or ".join(core.controllers), ABSENT, "", "", "", ""]]
    programs = installed(core.release, controller)
    whole = [core.release, version_of(controller), sanity(programs), units(programs / "python", ON_CONTROLLER)]
    rows = []
    for target in core.targets:
        path = interpreter(target)
        if path is None:
            rows.append([*whole, target, ABSENT, ""])
        else:
            there = units(with_pytest(core.release, programs, path), ON_HOSTS)
            rows.append([*whole, version_of(path), there, on_hosts(programs, path)])
        whole = ["", "", "", ""]
    return rows


def installed(release: str, python: str) -> Path:
    """The folder of the programs of that ansible-core, beside what its unit tests need."""
    folder = WORK / release
    if not (folder / "bin" / "pytest").exists():
        make_venv(folder, python, [f"ansible-core=={release}", *OF_TESTS, "paramiko", "pygal"])
    return folder / "bin"


def with_pytest(release: str, programs: Path, python: str) -> Path:
    """A Python like that of a host, with pytest and of ansible-core what is sent to hosts."""
    folder = WORK / f"{release}-{version_of(python)}"
    if not (folder / "bin" / "pytest").exists():
        make_venv(folder, python, LAST.split() if version_of(python).startswith("3.6.") else OF_TESTS)
        (core,) = (programs.parent / "lib").glob("python*/site-packages/ansible")
        (sent,) = (folder / "lib").glob("python*/site-packages")
        (sent / "ansible").mkdir()
        (sent / "ansible" / "__init__.py").touch()
        shutil.copy(core / "release.py", sent / "ansible")
        shutil.copytree(core / "module_utils", sent / "ansible" / "module_utils")
    return folder / "bin" / "python"


def make_venv(folder: Path, python: str, packages: list[str]) -> None:
    subprocess.run([python, "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, *packages], check=True)


def sanity(programs: Path) -> str:
    command = [str(programs / "python"), str(ROOT / "tests" / "sanity" / "run.py")]
    with _SANITY:
        done = ran(command, ROOT, {"PYTHONPATH": str(ROOT / "tests")})
    if done.returncode:
        return "FAILED"
    # Of a Python that it does not find it only warns.
    absent = set(re.findall(r"Skipping .* on Python (\S+) because it could not be found", done.stdout + done.stderr))
    return f"passed, without {' and '.join(sorted(absent, key=by_number))}" if absent else "passed"


def by_number(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def units(python: Path, tests: tuple[str, ...]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder, "tree")
        copy(tree, future if version_of(str(python)).startswith("3.6.") else str)
        command = [*OWN_PROC, str(python), *pytest_in(folder), *tests]
        return outcome(ran(command, tree, {"PYTHONPATH": str(tree / "collections"), "PYTHONDONTWRITEBYTECODE": "1"}))


def copy(tree: Path, converted: Callable[[str], str]) -> None:
    """What the unit tests need of the repository."""
    for folder in "plugins", "roles", "tests":
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in "galaxy.yml", "pyproject.toml":
        shutil.copy(ROOT / file, tree)
    for path in (tree / "tests").rglob("*.py"):
        path.write_text(converted(path.read_text(encoding="utf-8")), encoding="utf-8")
    link = tree / "collections" / "ansible_collections" / "procfs" / "rescue"
    link.parent.mkdir(parents=True)
    link.symlink_to(Path("..", "..", ".."))


def future(text: str) -> str:
    """``from __future__ import annotations`` for Python 3.6: annotations are texts."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for field in "annotation", "returns":
            annotation = getattr(node, field, None)
            if annotation is not None:
                setattr(node, field, ast.Constant(ast.unparse(annotation)))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.ImportFrom) and node.module == "__future__")]
    return ast.unparse(ast.fix_missing_locations(tree))


def on_hosts(programs: Path, target: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *pytest_in(folder), "-m", "matrix", "tests/integration"]
        return outcome(ran(command, ROOT, {"ANSIBLE_PROGRAMS": str(programs), "TARGET_PYTHON": target}))


def pytest_in(folder: str) -> tuple[str, ...]:
    return ("-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={folder}/t")


def ran(command: list[str], folder: Path, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        print(done.stdout + done.stderr, flush=True)
    return done


def outcome(done: subprocess.CompletedProcess[str]) -> str:
    closing = re.findall(r"^(?:=+ )?(\d+ (?:passed|failed|error|skipped).*) in .*$", done.stdout, re.MULTILINE)
    told = closing[-1] if closing else f"exit code {done.returncode}"
    return f"FAILED: {told}" if done.returncode else told


def version_of(python: str) -> str:
    return subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
