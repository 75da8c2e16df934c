# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Which systemd unit and which container a process belongs to, from /proc/PID/cgroup (cgroups(7))."""

import re
import shlex
from typing import Optional

from ansible_collections.procfs.rescue.plugins.module_utils._names import printable

# docker-ID.scope, libpod-ID.scope, cri-containerd-ID.scope, /docker/ID, /kubepods/.../ID
_CONTAINER_ID = re.compile(rb"(?:^|/|(?<!conmon)-)([0-9a-f]{64})(?:\.scope)?(?:/|$)")
_LXC = re.compile(rb"/lxc(?:/|\.payload[./])([^/]+)")
_MACHINE = re.compile(rb"/machine\.slice/machine-([^/]+)\.scope|/machine\.slice/systemd-nspawn@([^/]+)\.service")


def unit_of(cgroup: bytes) -> Optional[str]:
    """The service or scope that the system's manager knows, or None outside systemd.

    It is the first below the slices. What is in it is its own affair: a user or a container may call that sshd.service.
    """
    names = [name for name in _systemd_path(cgroup).split(b"/") if name and not name.endswith(b".slice")]
    return printable(names[0]) if names and names[0].endswith((b".service", b".scope")) else None


def reopen(cgroup: bytes) -> Optional[str]:
    """The command that makes a service open its files again; None where that would end more, or nobody knows."""
    unit = unit_of(cgroup)
    if unit is None or not unit.endswith(".service") or unit.startswith("user@") or container_of(cgroup) is not None:
        return None
    return "systemctl reload-or-restart %s" % shlex.quote(unit)


def container_of(cgroup: bytes) -> Optional[str]:
    """The container's id (64 hex digits) or name, or None on the host itself."""
    for line in cgroup.split(b"\n"):
        path = line.split(b":", 2)[-1]
        match = _CONTAINER_ID.search(path) or _LXC.search(path) or _MACHINE.search(path)
        if match:
            return printable(next(group for group in match.groups() if group))
    return None


def _systemd_path(cgroup: bytes) -> bytes:
    """The path in systemd's own hierarchy (v1 and hybrid), else in the unified one (v2)."""
    paths = {}
    for line in cgroup.split(b"\n"):
        fields = line.split(b":", 2)
        if len(fields) == 3:
            paths[fields[1]] = fields[2]
    return paths.get(b"name=systemd", paths.get(b"", b""))
