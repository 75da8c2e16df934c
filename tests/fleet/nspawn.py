# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd-nspawn as the first process of a host, which boots systemd in it."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from fleet import linux
from fleet.errors import FleetError
from fleet.proof import MARKER
from fleet.state import HostRecord

ROOT = "/run/root"

_TIMEOUT = 20


def prepare() -> None:
    """Give nspawn, in this process's namespaces, its own /proc, and places where it leaves nothing on the machine."""
    linux.mount("proc", "/proc", "proc")
    for folder in ("/run", "/tmp"):
        linux.mount("tmpfs", folder, "tmpfs", 0, "mode=755")
    os.mkdir(ROOT)


def execute(name: str, token: str) -> NoReturn:
    """Become systemd-nspawn, which boots what is mounted on ROOT; it talks to a file in the working directory."""
    log = os.open(_log_of(name), os.O_WRONLY | os.O_CREAT, 0o600)
    for fd in (1, 2):
        os.dup2(log, fd)
    proof = Path("/run/proof")
    proof.touch(0o600)
    proof.write_text(token)
    command = [
        "systemd-nspawn",
        "--quiet",
        "--boot",
        f"--directory={ROOT}",
        f"--machine={name}",
        f"--bind-ro={proof}:{MARKER}",
        # Where no systemd runs, nobody is there to ask.
        "--register=no",
        "--keep-unit",
        # What the machine is like is no business of the host.
        "--link-journal=no",
        "--resolv-conf=off",
        "--timezone=off",
        # The network is the host's own.
        "--capability=CAP_NET_ADMIN",
        "--console=pipe",
    ]
    os.execvpe(command[0], command, {"PATH": os.environ["PATH"]})


def booted(record: HostRecord) -> HostRecord:
    """The record of a host whose first process is nspawn, with its init in that one's place."""
    deadline = time.monotonic() + _TIMEOUT
    nspawn = Path(f"/proc/{record.pid}")
    # A zombie has no exe.
    while time.monotonic() < deadline and (nspawn / "exe").exists():
        for child in (nspawn / f"task/{record.pid}/children").read_text().split():
            # It takes this name when everything is mounted and the host's own program runs.
            if _name_of(child) == "systemd":
                return replace(record, pid=int(child), mount_namespace=linux.mount_namespace(child))
        time.sleep(0.005)
    raise FleetError(f"{record.name} did not boot: {Path(_log_of(record.name)).read_text(errors='replace').strip()}")


def _name_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:  # one of those that nspawn starts before
        return ""


def _log_of(name: str) -> str:
    return f"{name}.log"
