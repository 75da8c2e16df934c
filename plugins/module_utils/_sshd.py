# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The sshd of this host: what it would do with a drop-in that is not there yet, and whether it still answers."""

import fnmatch
import glob
import os
import shlex
import socket
import subprocess
import tempfile
import time
from typing import Dict, Iterable, List, NamedTuple, Optional, Set

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError

_FOLDER = "/etc/ssh"
_MAIN = "/etc/ssh/sshd_config"
_SSHD = "/usr/sbin/sshd"
DROP_IN = "/etc/ssh/sshd_config.d/00-procfs-rescue-lifeline.conf"

# Debian's name and everybody else's.
_UNITS = ("ssh", "sshd")

# Seconds until a reloaded sshd must answer again: it executes itself and binds its ports.
_ANSWER_LIMIT = 10.0


class Address(NamedTuple):
    """Where sshd listens, as ``sshd -T`` writes it: 0.0.0.0, [::], …"""

    host: str
    port: int


class Login(NamedTuple):
    """Who logs in, as ``sshd -T -C`` wants it: from ``peer``, to ``local`` and ``port`` of this host."""

    user: str
    peer: str
    local: str
    port: int

    @property
    def specification(self) -> str:
        return f"user={self.user},host={self.peer},addr={self.peer},laddr={self.local},lport={self.port}"


class Settings(NamedTuple):
    """What a configuration means for one login: lines ``keyword value`` in sshd's order, without where it listens."""

    lines: List[str]
    addresses: Set[Address]

    def values(self, keyword: str) -> List[str]:
        return [value for name, _space, value in (line.partition(" ") for line in self.lines) if name == keyword]


def refuse_unfit() -> None:
    """Raises RescueError where sshd is not a service that listens by itself."""
    if not os.path.isdir("/run/systemd/system"):
        raise RescueError("This host is not run by systemd: a lifeline cannot be set up here.")
    for name in _UNITS:
        if _is_active(name + ".socket"):
            raise RescueError(
                "systemd listens for sshd here (%s.socket), and gives it no other port. Let it listen by itself first: "
                "systemctl disable --now %s.socket && systemctl enable --now %s.service" % (name, name, name)
            )
    if service() is None:
        raise RescueError("Neither ssh.service nor sshd.service runs here: a lifeline needs sshd as a service.")


def service() -> Optional[str]:
    """The running systemd service that is sshd."""
    return next((name + ".service" for name in _UNITS if _is_active(name + ".service")), None)


def settings(login: Login, drop_in: Optional[str]) -> Settings:
    """What sshd would do for ``login`` if DROP_IN had this text (None: if it was not there); nothing is changed.

    Raises RescueError where it would not start, or would not read DROP_IN.
    """
    with tempfile.TemporaryDirectory() as folder:
        draft, main = os.path.join(folder, "drop-in"), os.path.join(folder, "main")
        with open(draft, "w") as file:
            file.write(drop_in or "")
        with open(_MAIN, errors="surrogateescape") as file:
            text = _spelled_out(file.read(), draft)
        with open(main, "w", errors="surrogateescape") as file:
            file.write(text)
        output = _run([_SSHD, "-T", "-f", main, "-C", login.specification])
    lines = output.splitlines()
    addresses = {_address(line) for line in lines if line.startswith("listenaddress ")}
    return Settings([line for line in lines if not line.startswith(("listenaddress ", "port "))], addresses)


def reload(wanted: Iterable[Address]) -> None:
    """Lets sshd, where it runs, read its configuration anew; it must answer at ``wanted`` then. Raises RescueError."""
    _run([_SSHD, "-t"])
    name = service()
    if name is None:
        return
    _run(["systemctl", "reload", name])
    deadline = time.monotonic() + _ANSWER_LIMIT
    for address in wanted:
        while not answers(address):
            if time.monotonic() > deadline:
                raise RescueError(
                    "sshd does not answer at %s:%d after it was reloaded. Its log (journalctl -u %s) tells why: a port "
                    "of its command line (-p), another program's port, or SELinux (semanage port -a -t ssh_port_t -p "
                    "tcp %d)." % (address.host, address.port, name, address.port)
                )
            time.sleep(0.05)


def answers(address: Address) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host.strip("[]"), address.host.strip("[]"))
    try:
        with socket.create_connection((host, address.port), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def own_login() -> Optional[Login]:
    """The SSH login that this process belongs to, None where there is none; sudo hides it, but not from root."""
    pid = os.getpid()
    while pid > 1:
        try:
            with open("/proc/%d/environ" % pid, errors="surrogateescape") as file:
                environment = dict(entry.partition("=")[::2] for entry in file.read().split("\0"))
            with open("/proc/%d/stat" % pid, errors="surrogateescape") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            return None
        connection = environment.get("SSH_CONNECTION", "").split()
        if len(connection) == 4 and "SUDO_USER" not in environment:
            peer, _peer_port, local, port = connection
            return Login(environment.get("LOGNAME", "root"), peer, local, int(port))
        pid = parent
    return None


def _spelled_out(main: str, draft: str) -> str:
    """The text of sshd_config with the files of that Include named which reads DROP_IN, and ``draft`` in its place."""
    lines = main.splitlines()
    for number, line in enumerate(lines):
        words = _words(line)
        if words[:1] == ["match"]:
            break
        patterns = [os.path.join(_FOLDER, word) for word in words[1:]] if words[:1] == ["include"] else []
        if any(fnmatch.fnmatchcase(DROP_IN, pattern) for pattern in patterns):
            files: Dict[str, None] = {}
            for pattern in patterns:
                found = set(glob.glob(pattern))
                files.update(
                    dict.fromkeys(sorted(found | ({DROP_IN} if fnmatch.fnmatchcase(DROP_IN, pattern) else set())))
                )
            names = " ".join('"%s"' % (draft if name == DROP_IN else name) for name in files)
            return "\n".join(lines[:number] + ["Include " + names] + lines[number + 1 :]) + "\n"
    raise RescueError(
        "%s has no Include that reads %s for every login. With OpenSSH 8.2 or newer make this its first line: "
        "Include %s/*.conf" % (_MAIN, DROP_IN, os.path.dirname(DROP_IN))
    )


def _words(line: str) -> List[str]:
    """Keyword in small letters, and arguments; sshd takes a = between them, too."""
    keyword, _space, rest = line.strip().replace("=", " ", 1).partition(" ")
    if keyword.startswith("#"):
        return []
    try:
        return [keyword.lower()] + shlex.split(rest, comments=True)
    except ValueError:
        return [keyword.lower()]


def _address(line: str) -> Address:
    host, _colon, port = line.split()[1].rpartition(":")
    return Address(host, int(port))


def _is_active(name: str) -> bool:
    command = ["systemctl", "is-active", "--quiet", name]
    return subprocess.call(command) == 0  # pylint: disable=ansible-bad-function


def _run(command: List[str]) -> str:
    try:
        done = subprocess.run(  # noqa: UP022  (Python 3.6)  # pylint: disable=ansible-bad-function
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=dict(os.environ, LC_ALL="C"), check=False
        )
    except FileNotFoundError as error:
        raise RescueError("%s is not on this host." % command[0]) from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip()
        raise RescueError("%s failed: %s" % (" ".join(command[:2]), said))
    return done.stdout.decode("utf-8", "replace")
