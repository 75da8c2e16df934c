# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that all hosts of a fleet have on top of the tree: a read-only overlay layer, made once."""

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

BUSYBOX = "/opt/procfs-rescue-fleet/busybox"

_USERS = {"oncall": 2000, "mallory": 2001}

# The usual key exchange would take 80 ms more for each login.
_SSHD_CONFIG = """\
Include /etc/ssh/sshd_config.d/*.conf
HostKey /etc/ssh/ssh_host_ed25519_key
KexAlgorithms curve25519-sha256,curve25519-sha256@libssh.org
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 1000
MaxSessions 1000
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
"""

# No character in it makes init ask /bin/sh, which may be gone.
_INITTAB = "::respawn:/usr/sbin/sshd -D -E /run/sshd.log\n"


def build(layer: Path, tree: Path, *, busybox: str, addresses: dict[str, str], user_key: str, host_key: str) -> None:
    """Fill the empty folder ``layer`` for hosts with these names and addresses over ``tree``.

    ``user_key`` is the public key that everybody accepts, ``host_key`` the private key of every sshd.
    """
    _accounts(layer, tree)
    for home in ("root", *(f"home/{user}" for user in _USERS)):
        _file(layer / home / ".ssh/authorized_keys", user_key, 0o600)
        _hide_tree(layer / home)
    (layer / "root").chmod(0o700)
    for user, uid in _USERS.items():
        for path in (layer / "home" / user, *(layer / "home" / user).rglob("*")):
            os.chown(path, uid, uid)

    _file(layer / "etc/sudoers.d/oncall", "oncall ALL=(ALL:ALL) NOPASSWD: ALL\n", 0o440)
    # sudo asks for the address of its own host: this answers without a name server.
    known = {"localhost": "127.0.0.1", **addresses}
    _file(layer / "etc/hosts", "".join(f"{address} {name}\n" for name, address in known.items()))

    _file(layer / "etc/ssh/sshd_config", _SSHD_CONFIG)
    _file(layer / "etc/ssh/ssh_host_ed25519_key", host_key, 0o600)
    (layer / "etc/ssh/sshd_config.d").mkdir()
    _hide_tree(layer / "etc/ssh")

    for temporary in ("tmp", "var/tmp"):
        (layer / temporary).mkdir(parents=True)
        (layer / temporary).chmod(0o1777)
        _hide_tree(layer / temporary)

    _file(layer / "etc/inittab", _INITTAB)
    inside = layer / BUSYBOX.lstrip("/")
    inside.parent.mkdir(parents=True)
    shutil.copy(busybox, inside)


def _accounts(layer: Path, tree: Path) -> None:
    """The tree's own accounts and ours; nobody has a password, and root is not locked either (``!``)."""
    etc = tree / "etc"
    passwd = [f"{user}:x:{uid}:{uid}::/home/{user}:/bin/sh" for user, uid in _USERS.items()]
    group = [f"{user}:x:{uid}:" for user, uid in _USERS.items()]
    shadow = [f"{user}:*:19000:0:99999:7:::" for user in ("root", *_USERS)]
    _file(layer / "etc/passwd", _merged(etc / "passwd", passwd))
    _file(layer / "etc/group", _merged(etc / "group", group))
    _file(layer / "etc/shadow", _merged(etc / "shadow", shadow), 0o600)


def _merged(path: Path, entries: Iterable[str]) -> str:
    """A colon-separated database with entries that replace those of the same name."""
    old = dict(_by_name(path.read_text(errors="surrogateescape").splitlines()))
    return "".join(f"{line}\n" for line in {**old, **dict(_by_name(entries))}.values())


def _by_name(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    return ((line.partition(":")[0], line) for line in lines)


def _file(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, errors="surrogateescape")
    path.chmod(mode)


def _hide_tree(folder: Path) -> None:
    """Hide what the tree has in this folder: no keys, dotfiles, sshd settings and temporary files of the machine."""
    os.setxattr(folder, "trusted.overlay.opaque", b"y")
