# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One private subnet per fleet: a bridge, a veth to each host, and a veth to the machine."""

import ipaddress
import json
import random
import subprocess
from collections.abc import Sequence

from fleet.errors import FleetError
from fleet.linux import CLONE_NEWNET, namespace_file, network_of, unshare

MAX_HOSTS = 250

# Away from the ends of 10.0.0.0/8, where the name servers and gateways that no local route shows tend to be.
_POOL = ipaddress.IPv4Network("10.64.0.0/10")
_ATTEMPTS = 20


def connect(interface: str) -> ipaddress.IPv4Network:
    """Give this process a network with a bridge in it that the machine reaches through ``interface``."""
    with namespace_file("net") as machine:
        unshare(CLONE_NEWNET)
        _ip(
            [
                "link add bridge type bridge",
                f"link add uplink type veth peer name {interface} netns /proc/self/fd/{machine}",
                "link set uplink master bridge up",
                "link set bridge up",
            ],
            pass_fds=[machine],
        )
        with network_of(machine):
            return _take_subnet(interface)


def plug_in(name: str, address: str, fleet: int) -> None:
    """Give this process's new network an eth0 on the bridge of the network ``fleet``."""
    with network_of(fleet) as own:
        _ip(
            [
                f"link add {name} type veth peer name eth0 netns /proc/self/fd/{own}",
                f"link set {name} master bridge up",
            ],
            pass_fds=[own],
        )
    _ip(["link set lo up", f"address add {address} dev eth0", "link set eth0 up"])


def _take_subnet(interface: str) -> ipaddress.IPv4Network:
    _ip([f"link set {interface} up"])
    routes = _routes()
    for _attempt in range(_ATTEMPTS):
        subnet = ipaddress.IPv4Network((int(_POOL[0]) + random.randrange(_POOL.num_addresses // 256) * 256, 24))
        if any(subnet.overlaps(route) for route in routes):
            continue
        # The kernel takes a route only once, which is what keeps fleets that start at the same time apart.
        added = subprocess.run(["ip", "route", "add", str(subnet), "dev", interface], capture_output=True, check=False)
        if added.returncode == 0:
            _ip([f"address add {subnet[1]}/24 dev {interface} noprefixroute"])
            return subnet
    raise FleetError(f"No free subnet was found in {_POOL}.")


def _routes() -> list[ipaddress.IPv4Network]:
    command = ["ip", "-json", "-4", "route", "show", "table", "all"]
    rows = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return [ipaddress.IPv4Network(row["dst"]) for row in rows if row["dst"] != "default"]


def _ip(commands: list[str], pass_fds: Sequence[int] = ()) -> None:
    batch = "\n".join(commands).encode()
    done = subprocess.run(["ip", "-batch", "-"], input=batch, capture_output=True, pass_fds=pass_fds, check=False)
    if done.returncode:
        raise FleetError(f"ip failed: {done.stderr.decode().strip()}")
