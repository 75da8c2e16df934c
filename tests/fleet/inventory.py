# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet as an Ansible inventory."""

import json
import shlex
from collections.abc import Iterable

from fleet import ssh
from fleet.state import State


def render(fleet: State, *, user: str, become: bool, interpreter: str) -> str:
    """The group ``fleet`` in YAML."""
    settings = {
        "ansible_user": user,
        "ansible_become": become,
        "ansible_ssh_private_key_file": str(fleet.key),
        "ansible_ssh_common_args": shlex.join(ssh.options(fleet)),
        "ansible_python_interpreter": interpreter,
    }
    lines = ["all:", "  children:", "    fleet:", "      hosts:"]
    for host in fleet.hosts:
        lines += [f"        {host.name}:", *_mapping({"ansible_host": host.address}, indent=10)]
    lines += ["      vars:", *_mapping(settings, indent=8)]
    return "".join(f"{line}\n" for line in ("---", *lines))


def _mapping(values: dict[str, object], indent: int) -> Iterable[str]:
    # A JSON scalar is a YAML scalar, quoted where it has to be.
    return (f"{' ' * indent}{name}: {json.dumps(value)}" for name, value in values.items())
