# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A number of hosts that start and end together."""

import json
import re
import secrets
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from fleet import debian, inventory, linux, programs, ssh
from fleet.errors import FleetError
from fleet.host import Host
from fleet.network import MAX_HOSTS
from fleet.state import State, folder_of


class Fleet:
    """``count`` hosts with the files of ``tree``, of which each may write ``upper_size`` (64m, 1g or 10% of memory).

    The tree is only read; file systems that are mounted below it are not part of it. It is the machine's own, or with
    ``systemd`` a small Debian, which systemd-nspawn boots as a machine would. A fleet without ``name`` gets one of its
    own. Unless it is kept, it ends with the process that started it.
    """

    def __init__(
        self,
        count: int = 1,
        *,
        tree: str | None = None,
        name: str | None = None,
        upper_size: str | None = None,
        systemd: bool = False,
    ) -> None:
        if not 1 <= count <= MAX_HOSTS:
            raise FleetError(f"A fleet has 1 to {MAX_HOSTS} hosts.")
        if upper_size and not re.fullmatch(r"\d+[kmg%]?", upper_size, re.IGNORECASE):
            raise FleetError(f"{upper_size!r} is no size: 64m would be one.")
        self.name = name or f"run-{secrets.token_hex(4)}"
        self.state_dir = folder_of(self.name)
        self.hosts: list[Host] = []
        self._request = {
            "name": self.name,
            "count": count,
            "tree": str(Path(tree or (debian.tree() if systemd else "/")).resolve()),
            "upper_size": upper_size or "",
            "systemd": systemd,
        }
        self._state: State | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None

    @classmethod
    def attach(cls, name: str) -> "Fleet":
        """A fleet that ``up`` left running."""
        fleet = cls(name=name)
        fleet._load()
        return fleet

    def __enter__(self) -> "Fleet":
        """Start the hosts."""
        return self.up()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the fleet."""
        self.down()

    @property
    def key(self) -> Path:
        """The private key for every user of every host."""
        return self._running().key

    @property
    def known_hosts(self) -> Path:
        """The known_hosts file for all hosts."""
        return self._running().known_hosts

    def up(self, keep: bool = False) -> "Fleet":
        """Start the hosts and wait for their sshd; with ``keep`` they stay when this process ends."""
        programs.check_machine(*(["systemd-nspawn"] if self._request["systemd"] else []))
        supervisor = linux.elsewhere(lambda: linux.unshare(linux.CLONE_NEWPID), self._start)
        self._supervisor = supervisor
        try:
            assert supervisor.stdin and supervisor.stdout
            complaint = supervisor.stdout.read().decode(errors="replace").strip()
            if complaint:
                raise FleetError(complaint)
            self._load()
            ssh.wait_for(self._running().hosts)
            if self._request["systemd"]:
                for host in self.hosts:
                    _wait_for_boot(host)
            if keep:
                supervisor.stdin.write(b"k")
                supervisor.stdin.flush()
        except BaseException:
            self.down()
            raise
        return self

    def down(self) -> None:
        """End the fleet: no process, mount, interface or file of it is left."""
        for host in self.hosts:
            host.reap()
        if self._state:
            self._state.end()
        if self._supervisor:
            # Closes the pipes, which ends one that is still starting, and waits for it.
            with self._supervisor:
                self._supervisor = None
        self._state = None
        self.hosts = []

    def inventory(self, *, user: str = "oncall", become: bool = True, interpreter: str = "/usr/bin/python3") -> Path:
        """Write an Ansible inventory with the group ``fleet``; each call makes a file of its own."""
        text = inventory.render(self._running(), user=user, become=become, interpreter=interpreter)
        with tempfile.NamedTemporaryFile(
            "w", dir=self.state_dir, prefix="inventory-", suffix=".yml", delete=False
        ) as file:
            file.write(text)
        return Path(file.name)

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            programs.module("supervisor", json.dumps(self._request)),
            env=programs.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _load(self) -> None:
        self._state = State.load(self.name)
        self.hosts = [Host(record, self._state) for record in self._state.hosts]

    def _running(self) -> State:
        if self._state is None:
            raise FleetError(f"The fleet {self.name} is not up.")
        return self._state


def _wait_for_boot(host: Host) -> None:
    """Return when systemd has started everything; sshd answers somewhat earlier."""
    state = host.run(["systemctl", "is-system-running", "--wait"], check=False).stdout.decode().strip()
    if state != "running":
        failed = host.run(["systemctl", "--failed", "--no-legend", "--plain"], check=False).stdout.decode().strip()
        raise FleetError(f"{host.name} did not boot as it should, it is {state}: {failed}")
