# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small Debian trees with systemd, from the machine's own apt sources; each is made once."""

import fcntl
import hashlib
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from fleet import programs
from fleet.errors import FleetError

_TREES = Path(__file__).resolve().parents[2] / ".work" / "trees"

_COMMAND = [
    "mmdebstrap",
    "--quiet",
    "--variant=apt",
    "--include=dbus,dbus-user-session,libpam-systemd,openssh-server,procps,python3,sudo,systemd-sysv",
    *(f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in ("doc", "locale", "man")),
]


def tree(release: str = "", packages: Sequence[str] = ()) -> str:
    """The path of the tree of a ``release`` (its code name; the machine's own by default), with ``packages`` besides.

    It takes half a minute to make when this very one is not there yet.
    """
    own = platform.freedesktop_os_release().get("VERSION_CODENAME", "")
    codename = release or own
    key = hashlib.sha256("\n".join([codename, *_COMMAND, *packages]).encode()).hexdigest()[:16]
    folder = _TREES / f"{codename}-{key}"
    # Its setuid programs are for nobody on this machine.
    _TREES.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(_TREES / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            draft = _TREES / "draft"
            shutil.rmtree(draft, ignore_errors=True)
            _make(draft, packages, _sources(own).replace(f" {own} ", f" {codename} "))
            draft.rename(folder)
    return str(folder)


def _make(folder: Path, packages: Sequence[str], sources: str) -> None:
    programs.find("mmdebstrap")
    # What it mounts goes with it, even if it is killed.
    apart = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    included = [f"--include={name}" for name in packages]
    done = subprocess.run(
        [*apart, *_COMMAND, *included, "", str(folder), "-"], input=sources, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise FleetError(f"A Debian tree could not be made: {done.stderr.strip()}")


def _sources(codename: str) -> str:
    """The machine's sources of its own Debian release, as one-line entries."""
    sources = _known_sources(codename)
    if not sources:  # maybe only because nothing was ever fetched from them
        subprocess.run(["apt-get", "-qq", "update"], check=False)
        sources = _known_sources(codename)
    if not sources:
        raise FleetError(
            f"apt of this machine has no source for Debian {codename!r}, which the hosts shall be made of."
        )
    return sources


def _known_sources(codename: str) -> str:
    wanted = ["Created-By: Packages", "Origin: Debian", "Component: main", f"Release: {codename}"]
    command = ["apt-get", "indextargets", "--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)", *wanted]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
