# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Which systemd unit and which container a process belongs to, from /proc/PID/cgroup (cgroups(7))."""

import re
import shlex
from typing import List, Optional, Sequence

from ansible_collections.procfs.rescue.plugins.module_utils._names import printable

# docker-ID.scope, libpod-ID.scope, crio-ID.scope, cri-containerd-ID.scope, /docker/ID, /kubepods/.../ID, and
# /kubepods-podUID.slice:cri-containerd:ID where containerd is told of systemd and the kubelet is not
_CONTAINER_ID = re.compile(rb"(?:^|/|:|(?<!conmon)-)([0-9a-f]{64})(?:\.scope)?(?:/|$)")
_LXC = re.compile(rb"/lxc(?:/|\.payload[./])([^/]+)")
# ctr's containers have any name; of its namespaces only the usual one tells that they are such.
_CTR = re.compile(rb"^/default/([^/]+)")
# A virtual machine has a kernel of its own: its qemu is the host's program.
_MACHINE = re.compile(
    rb"/machine\.slice/machine-(?!qemu\\x2d)([^/]+)\.scope|/machine\.slice/systemd-nspawn@([^/]+)\.service"
)
_USER_MANAGER = re.compile(rb"user@\d+\.service\Z")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def unit_of(cgroup: bytes) -> Optional[str]:
    """The service or scope that the system's manager knows, or None outside systemd.

    It is the first below the slices. What is in it is its own affair: a user or a container may call that sshd.service.
    """
    return _unit(_names(cgroup)[:1])


def user_unit_of(cgroup: bytes) -> Optional[str]:
    """The service or scope that the user's own manager (user@UID.service) knows. The user may call it anything."""
    names = _names(cgroup)
    return _unit(names[1:2]) if names and _USER_MANAGER.match(names[0]) else None


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
        match = _CONTAINER_ID.search(path) or _LXC.search(path) or _CTR.search(path)
        if match:
            return printable(match.group(1))
        match = _MACHINE.search(path)
        if match:
            name = match.group(1) or match.group(2)
            return printable(_ESCAPED.sub(lambda escaped: bytes([int(escaped.group(1), 16)]), name))
    return None


def _names(cgroup: bytes) -> List[bytes]:
    """What is below the slices, from the outside to the inside."""
    return [name for name in _systemd_path(cgroup).split(b"/") if name and not name.endswith(b".slice")]


def _unit(names: Sequence[bytes]) -> Optional[str]:
    return next((printable(name) for name in names if name.endswith((b".service", b".scope"))), None)


def _systemd_path(cgroup: bytes) -> bytes:
    """The path in systemd's own hierarchy (v1 and hybrid), else in the unified one (v2)."""
    paths = {}
    for line in cgroup.split(b"\n"):
        fields = line.split(b":", 2)
        if len(fields) == 3:
            paths[fields[1]] = fields[2]
    return paths.get(b"name=systemd", paths.get(b"", b""))
