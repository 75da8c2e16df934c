# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The cgroups of hosts that run systemd: it needs some of its own, and the kernel does not remove them by itself."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from fleet.errors import FleetError

_END_TIMEOUT = 10


def join(fleet: str, host: str) -> None:
    """Move this process to the cgroups of a host, new ones."""
    folders = _folders(fleet)
    if not folders:
        raise FleetError("systemd needs cgroups: neither version 2 nor version 1's name=systemd is mounted here.")
    try:
        for folder in folders:
            (folder / host).mkdir(parents=True)
            (folder / host / "cgroup.procs").write_text("0")
    except OSError as error:
        raise FleetError(f"systemd needs cgroups that it may write: {error}.") from error


def end(fleet: str) -> None:
    """Kill whatever is left in the cgroups of a fleet, and remove them."""
    deadline = time.monotonic() + _END_TIMEOUT
    for folder in _folders(fleet):
        while folder.exists():
            for inner in _from_below(folder):
                # Gone meanwhile, or its last processes are just ending.
                with suppress(OSError):
                    _kill(inner / "cgroup.procs")
                    inner.rmdir()
            if time.monotonic() > deadline:
                raise FleetError(f"{folder} could not be emptied in {_END_TIMEOUT} s.")
            time.sleep(0.002)


def _folders(fleet: str) -> list[Path]:
    """The cgroups of a fleet, there or not, in each hierarchy that systemd uses."""
    folders = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        mounted, _separator, described = line.partition(" - ")
        kind, _source, options = described.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            folders.append(Path(mounted.split()[4], fleet))
    return folders


def _from_below(folder: Path) -> Iterator[Path]:
    for path, _folders_in_it, _files in os.walk(folder, topdown=False):
        yield Path(path)


def _kill(processes: Path) -> None:
    for line in processes.read_text().split():
        # 0 stands for a process that this PID namespace does not know, and would be this process's own group.
        if line != "0":
            with suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)
