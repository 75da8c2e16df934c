# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's side: Ansible's programs, run as users run them, with this collection in reach."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]


def environment() -> dict[str, str]:
    """This process's environment with the collection of this checkout."""
    return {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(_REPOSITORY / "collections"), "LC_ALL": "C.UTF-8"}


def program(name: str) -> str:
    """An Ansible program of the environment that this Python belongs to, or of the folder ``ANSIBLE_PROGRAMS``."""
    return str(Path(os.environ.get("ANSIBLE_PROGRAMS", Path(sys.executable).parent), name))


def run_ansible(
    name: str,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    may_warn: bool = False,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run an Ansible program to its end, whatever its exit code. It must not warn unless it ``may_warn``."""
    done = subprocess.run(
        [program(name), *arguments],
        env={**environment(), "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_NOCOLOR": "true", **(env or {})},
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    for word in () if may_warn else ("[WARNING]", "[DEPRECATION WARNING]"):
        assert word not in done.stdout + done.stderr, done.stdout + done.stderr
    return done
