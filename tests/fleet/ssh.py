# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the hosts are reached: with the fleet's own key and known hosts, and nothing of the user's own settings."""

import socket
import time
from collections.abc import Iterable

from fleet.errors import FleetError
from fleet.state import HostRecord, State

_TIMEOUT = 30


def options(fleet: State) -> list[str]:
    """Options for ssh that ask nothing and warn of nothing."""
    settings = {
        "IdentityFile": fleet.key,
        "IdentitiesOnly": "yes",
        "UserKnownHostsFile": fleet.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "BatchMode": "yes",
    }
    return ["-F", "none", *(f"-o{name}={value}" for name, value in settings.items())]


def wait_for(hosts: Iterable[HostRecord]) -> None:
    """Return when the sshd of every host has answered."""
    deadline = time.monotonic() + _TIMEOUT
    for host in hosts:
        while not _answers(host.address):
            if time.monotonic() > deadline:
                raise FleetError(f"The sshd of {host.name} did not answer in {_TIMEOUT} s.")
            time.sleep(0.01)


def _answers(address: str) -> bool:
    try:
        # The first SYN to a link that is not up is lost and would be repeated after a second only.
        with socket.create_connection((address, 22), timeout=0.2) as connection:
            connection.settimeout(5)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
