# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The proof that this process is in a host of a certain fleet, without which nothing is deleted."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fleet.errors import FleetError
from fleet.linux import mount_namespace

MARKER = "/run/procfs-rescue-fleet"


@dataclass(frozen=True)
class Place:
    """One host: what is true in it and nowhere else."""

    machine_namespace: int
    host_namespace: int
    tag: str
    token: str


def prove(place: Place) -> None:
    """Raise FleetError unless this process is in ``place``; believes only what it sees here and now."""
    here = mount_namespace()
    if here == place.machine_namespace:
        raise FleetError("Nothing is deleted: this is the machine itself, not a host.")
    if here != place.host_namespace:
        raise FleetError("Nothing is deleted: this is not the host's mount namespace.")
    if _root() != ("overlay", place.tag):
        raise FleetError("Nothing is deleted: the root is not an overlay of this fleet.")
    if not _marked(place.token):
        raise FleetError(f"Nothing is deleted: {MARKER} does not have this fleet's token.")


def delete(place: Place, paths: Iterable[str]) -> None:
    """Delete files, in ``place`` only."""
    prove(place)
    for path in paths:
        os.unlink(path)


def _root() -> tuple[str, str] | None:
    """Type and source of the mount on ``/``: the last one, which covers any others."""
    root = None
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        mounted, _separator, described = line.partition(" - ")
        if mounted.split()[4] == "/":
            kind, source = described.split()[:2]
            root = kind, source
    return root


def _marked(token: str) -> bool:
    try:
        return Path(MARKER).read_text() == token
    except OSError:
        return False
