# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the machine has to have, and how this package's own programs are started."""

import os
import shutil
import sys
from pathlib import Path

from fleet import linux
from fleet.errors import FleetError

_PROGRAMS = ("busybox", "ip", "ssh", "ssh-keygen")


def check_machine(*further: str) -> None:
    """Refuse to start on a machine that cannot carry a fleet, or lacks one of the ``further`` programs."""
    if sys.platform != "linux":
        raise FleetError("A fleet needs Linux.")
    if os.geteuid():
        raise FleetError("A fleet needs root.")
    # Who enters a host would come out in the tree around the chroot, which is nobody's to play with.
    if linux.root() != linux.root_of_namespace():
        raise FleetError("A fleet needs the root of its mount namespace: this is a chroot.")
    for program in (*_PROGRAMS, *further):
        find(program)
    # A dynamic one would lose its libraries together with the hosts.
    if b"/ld-" in Path(find("busybox")).read_bytes()[:4096]:
        raise FleetError(f"{find('busybox')} is not static: install busybox-static.")


def find(program: str) -> str:
    """The path of a program of the machine."""
    path = shutil.which(program)
    if path is None:
        raise FleetError(f"{program} is not installed.")
    return path


def module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of this package in a fresh interpreter, with ``environment()``."""
    return [sys.executable, "-m", f"fleet.{name}", *arguments]


def environment() -> dict[str, str]:
    """The machine's environment, with this package and not the working directory in the module path."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "PYTHONSAFEPATH": "1"}
