# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line: ``python3 -m fleet up 3``."""

import argparse
import os
import sys

from fleet.errors import FleetError
from fleet.fleet import Fleet
from fleet.host import Host
from fleet.state import State, names


def main() -> int:
    """Run one command and give its exit status."""
    arguments = _parser().parse_args()
    try:
        status: int = arguments.run(arguments)
    except FleetError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fleet", description="Real throwaway hosts on this machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    named = argparse.ArgumentParser(add_help=False)
    named.add_argument("--name", default="fleet", help="which fleet (default: %(default)s)")
    at_host = argparse.ArgumentParser(add_help=False, parents=[named])
    at_host.add_argument("--user", help="who runs the command")
    at_host.add_argument("host", metavar="HOST")

    up = commands.add_parser("up", parents=[named], help="start a fleet that stays until it is taken down")
    up.add_argument("count", type=int, metavar="N")
    up.add_argument("--tree", metavar="DIR", help="the root of the hosts (default: the machine's own)")
    up.add_argument("--systemd", action="store_true", help="boot systemd in them (default tree: a small Debian)")
    up.add_argument("--upper-size", metavar="SIZE", help="how much each host may write, such as 64m")
    up.set_defaults(run=_up)

    inventory = commands.add_parser("inventory", parents=[named], help="print an Ansible inventory")
    inventory.set_defaults(run=_inventory)

    execute = commands.add_parser("exec", parents=[at_host], help="run a command in a host, without ssh")
    execute.add_argument("command", nargs="+", metavar="CMD")
    execute.set_defaults(run=_exec)

    ssh = commands.add_parser("ssh", parents=[at_host], help="log in to a host (as oncall, unless --user says who)")
    ssh.set_defaults(run=_ssh)

    list_ = commands.add_parser("list", help="show all fleets")
    list_.set_defaults(run=_list)

    down = commands.add_parser("down", parents=[named], help="end a fleet")
    down.add_argument("--all", action="store_true", help="end all fleets")
    down.set_defaults(run=_down)
    return parser


def _up(arguments: argparse.Namespace) -> int:
    fleet = Fleet(
        arguments.count,
        tree=arguments.tree,
        name=arguments.name,
        upper_size=arguments.upper_size,
        systemd=arguments.systemd,
    )
    for host in fleet.up(keep=True).hosts:
        print(host.name, host.address)
    return 0


def _inventory(arguments: argparse.Namespace) -> int:
    print(Fleet.attach(arguments.name).inventory().read_text(), end="")
    return 0


def _exec(arguments: argparse.Namespace) -> int:
    process = _host(arguments).spawn(
        arguments.command, user=arguments.user, stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr
    )
    try:
        status = process.wait()
    finally:
        process.kill()
    # As a shell tells a death by signal.
    return status if status >= 0 else 128 - status


def _ssh(arguments: argparse.Namespace) -> int:
    command = _host(arguments).ssh_command(arguments.user or "oncall")
    os.execvp(command[0], command)


def _list(arguments: argparse.Namespace) -> int:
    for name in names():
        state = State.load(name)
        print(name, f"{len(state.hosts)} hosts" if state.alive else "dead: take it down")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    for name in names() if arguments.all else [arguments.name]:
        Fleet.attach(name).down()
    return 0


def _host(arguments: argparse.Namespace) -> Host:
    for host in Fleet.attach(arguments.name).hosts:
        if host.name == arguments.host:
            return host
    raise FleetError(f"The fleet {arguments.name} has no host {arguments.host}.")


if __name__ == "__main__":
    sys.exit(main())
