# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is known about a fleet: a folder below /run with keys, state.json and inventories."""

import json
import os
import re
import secrets
import select
import shutil
import signal
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from fleet import cgroup
from fleet.errors import FleetError

_END_TIMEOUT = 30
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")


@dataclass(frozen=True)
class HostRecord:
    """One host: its init as the machine sees it, and the mount namespace that proves it is still the same."""

    name: str
    address: str
    pid: int
    mount_namespace: int


@dataclass
class State:
    """A fleet: its supervisor, told from a later process with the same PID by its start time, and its hosts."""

    name: str
    run_id: str
    token: str
    pid: int
    start_time: int
    hosts: list[HostRecord]

    @classmethod
    def claim(cls, name: str) -> "State":
        """Take a name for a new fleet whose supervisor is this process."""
        _make(folder_of(name))
        # The machine's procfs is still mounted here and knows the PID that the machine knows.
        pid = int(os.readlink("/proc/self"))
        state = cls(name, secrets.token_hex(4), secrets.token_hex(16), pid, _stat(pid)[1], [])
        state.save()
        return state

    @classmethod
    def load(cls, name: str) -> "State":
        """A fleet that was claimed before."""
        try:
            values = json.loads((folder_of(name) / "state.json").read_text())
        except FileNotFoundError:
            raise FleetError(f"There is no fleet called {name}.") from None
        return cls(**{**values, "hosts": [HostRecord(**host) for host in values["hosts"]]})

    def save(self) -> None:
        """Write state.json; a reader finds the old one or the new one."""
        draft = self.folder / "state.json.new"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self), indent=2))
        draft.replace(self.folder / "state.json")

    @property
    def folder(self) -> Path:
        """The state directory."""
        return folder_of(self.name)

    @property
    def key(self) -> Path:
        """The private key that every user of every host accepts."""
        return self.folder / "key"

    @property
    def known_hosts(self) -> Path:
        """The host key that all hosts share."""
        return self.folder / "known_hosts"

    @property
    def tag(self) -> str:
        """The mount source of every host's root."""
        return f"procfs-rescue-fleet-{self.run_id}"

    @property
    def interface(self) -> str:
        """The machine's end of the link to the fleet."""
        return f"fleet-{self.run_id}"

    @property
    def alive(self) -> bool:
        """Whether the supervisor is running; a zombie is not, it waits for its parent only."""
        try:
            status, start_time = _stat(self.pid)
        except (FileNotFoundError, ProcessLookupError):
            return False
        return status != "Z" and start_time == self.start_time

    def end(self) -> None:
        """Kill the supervisor, and with it every process, mount and interface; remove the folder."""
        self._kill()
        # The kernel would do that too, but some time later.
        subprocess.run(["ip", "link", "delete", self.interface], stderr=subprocess.DEVNULL, check=False)
        cgroup.end(self.tag)
        remove(self.name)

    def _kill(self) -> None:
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            # Checked with the handle open: from here on it is this process or none that gets the signal.
            if self.alive:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                if not select.select([pidfd], [], [], _END_TIMEOUT)[0]:
                    raise FleetError(f"The fleet {self.name} did not end in {_END_TIMEOUT} s.")
        finally:
            os.close(pidfd)


def folder_of(name: str) -> Path:
    """The state directory of a fleet, there or not."""
    if not _NAME.fullmatch(name):
        raise FleetError(f"{name!r} is no name for a fleet: letters, digits, '.', '_' and '-' make one.")
    return _base() / name


def remove(name: str) -> None:
    """Remove a state directory, and the folder above with the last one."""
    folder = folder_of(name)
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()
    except OSError:
        return  # Another fleet is in it, or has just removed it.


def names() -> list[str]:
    """The names of all fleets, dead ones too."""
    return sorted(path.parent.name for path in _base().glob("*/state.json"))


def _make(folder: Path) -> None:
    base = folder.parent
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        if base.stat().st_uid != os.geteuid():
            raise FleetError(f"{base} belongs to somebody else.")
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise FleetError(f"There is a fleet called {folder.name} already: take it down first.") from None
    except FileNotFoundError:
        # The end of the only other fleet has taken the folder above away at this very moment.
        _make(folder)


def _base() -> Path:
    run = "/run" if os.access("/run", os.W_OK) else tempfile.gettempdir()
    return Path(run, "procfs-rescue-fleet")


def _stat(pid: int) -> tuple[str, int]:
    """State and start time of a process."""
    # The command's name comes in brackets before and may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[19])
