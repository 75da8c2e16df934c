# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that a fleet lives and dies with: PID 1 of a PID namespace that holds all the hosts.

Standard input is a pipe from the starter: its end, which comes with the starter's death too, ends the fleet; a byte in
it lets the fleet stay. Standard output and error say what went wrong; that they end without a word means that the hosts
have started.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from fleet import boot, cgroup, layer, linux, network, nspawn, programs, state
from fleet.errors import FleetError
from fleet.state import HostRecord, State


@dataclass(frozen=True)
class Request:
    """What the starter wants."""

    name: str
    count: int
    tree: str
    upper_size: str
    systemd: bool


def main() -> None:
    """Start a fleet and keep it until it shall end."""
    request = Request(**json.loads(sys.argv[1]))
    os.umask(0o022)
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount("", "/", flags=linux.MS_REC | linux.MS_PRIVATE)
    try:
        fleet = State.claim(request.name)
        try:
            with _workplace(fleet.folder / "work"):
                _start(fleet, request)
                _stay()
        finally:
            cgroup.end(fleet.tag)
            state.remove(request.name)
    except (FleetError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(str(error))


@contextmanager
def _workplace(folder: Path) -> Iterator[None]:
    """A working directory that no other mount namespace sees."""
    folder.mkdir()
    linux.mount("tmpfs", str(folder), "tmpfs", 0, "mode=755")
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir("/")
        linux.detach(str(folder))


def _start(fleet: State, request: Request) -> None:
    for folder in ("layer", "tree", "upper", "root"):
        os.mkdir(folder)
    linux.mount(request.tree, "tree", flags=linux.MS_BIND)
    if not Path("tree/usr/sbin/sshd").exists():
        raise FleetError(f"The tree {request.tree} has no /usr/sbin/sshd: install openssh-server in it.")

    subnet = network.connect(fleet.interface)
    # The first address is the machine's.
    addresses = {f"h{number}": str(subnet[number + 1]) for number in range(1, request.count + 1)}
    _make_keys(fleet, subnet)
    layer.build(
        Path("layer"),
        Path("tree"),
        busybox=programs.find("busybox"),
        addresses=addresses,
        user_key=fleet.key.with_suffix(".pub").read_text(),
        host_key=Path("host_key").read_text(),
    )
    plans = [
        boot.Plan(name, f"{address}/{subnet.prefixlen}", fleet.tag, fleet.token, request.upper_size, request.systemd)
        for name, address in addresses.items()
    ]
    fleet.hosts = _boot(plans)
    fleet.save()


def _make_keys(fleet: State, subnet: IPv4Network) -> None:
    for path in (str(fleet.key), "host_key"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", fleet.tag, "-f", path]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=True)
    pattern = f"{subnet.network_address}".removesuffix("0") + "*"
    fleet.known_hosts.write_text(f"{pattern} {Path('host_key.pub').read_text()}")


def _boot(plans: list[boot.Plan]) -> list[HostRecord]:
    reader, writer = os.pipe()
    helpers = [boot.start(plan, writer) for plan in plans]
    os.close(writer)
    # Ends when every host has executed its init, or failed.
    with open(reader) as report:
        records = {record.name: record for record in (HostRecord(**json.loads(line)) for line in report)}
    for helper in helpers:
        os.waitpid(helper, 0)
    if len(records) < len(plans):
        raise FleetError("Not every host started.")
    return [nspawn.booted(records[plan.name]) if plan.systemd else records[plan.name] for plan in plans]


def _stay() -> None:
    # Whatever loses its parent becomes a child of this process: the kernel shall reap it.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (1, 2):
        os.dup2(null, fd)
    if os.read(0, 1):
        # Only SIGKILL ends it now: PID 1 does not get signals that it has no handler for.
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
