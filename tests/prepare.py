# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Makes this machine ready; quiet and quick when it is. Everything that can be refused is refused before any change.

prepare.py              for the tests and the drill: Debian packages, both locks, the link; as root
prepare.py controller   for one's own inventory: the controller's lock and the link; as anybody
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
CONTROLLER_LOCK = "requirements.txt"
TESTS_LOCK = "tests/requirements.txt"
POLICY = Path("/usr/sbin/policy-rc.d")
# Were it left by a kill -9, it would deny nothing any more.
DENY = """#!/bin/sh
# From procfs.rescue: no service is started while its tests/prepare.py installs packages.
if grep -q prepare /proc/{pid}/cmdline; then exit 101; fi
"""


class PrepareError(Exception):
    """Why this machine cannot be made ready, in a sentence for its user."""


def main(arguments: list[str]) -> None:
    controller = arguments == ["controller"]
    # Two runs at once would build the same .venv.
    with open(__file__, encoding="utf-8") as turnstile:
        with contextlib.suppress(OSError):  # not every file system has locks
            fcntl.flock(turnstile, fcntl.LOCK_EX)
        packages = [] if controller else missing_packages()
        stamp = missing_stamp([CONTROLLER_LOCK] if controller else [CONTROLLER_LOCK, TESTS_LOCK])
        if stamp:
            check_python(packages)
        if packages:
            install_packages(packages)
        if stamp:
            make_venv(stamp)
        make_link()


def missing_packages() -> list[str]:
    if sys.platform != "linux":
        raise PrepareError("The test hosts are made of Linux namespaces: this needs Linux.")
    if os.geteuid() != 0:
        raise PrepareError("The test hosts have mounts, networks and processes of their own: this needs root.")
    wanted = packages_for_tests((ROOT / "bindep.txt").read_text(encoding="utf-8"))
    missing = sorted(wanted - installed_of(wanted))
    if missing and not shutil.which("apt-get"):
        raise PrepareError(f"Missing here: {', '.join(missing)}; and there is no apt-get to install them with.")
    return missing


def packages_for_tests(bindep: str) -> set[str]:
    """What ``bindep test`` answers on Debian, of the few selectors that bindep.txt uses."""
    names = set()
    for line in bindep.splitlines():
        name, *selectors = line.partition("#")[0].replace("[", "").replace("]", "").split() or [""]
        if name and {"platform:dpkg", "test"}.issuperset(selectors):
            names.add(name)
    return names


def installed_of(names: set[str]) -> set[str]:
    try:
        query = subprocess.run(
            ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\\n", *names],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it complains of every name that it does not know
            text=True,
            check=False,
        )
    except FileNotFoundError:
        return set()
    rows = (line.split() for line in query.stdout.splitlines())
    return {name for name, status in rows if status == "installed"}


def check_python(packages: list[str]) -> None:
    if sys.version_info < (3, 10):
        raise PrepareError(f"ansible-core 2.16 needs Python 3.10 or newer; python3 is {sys.version.split()[0]} here.")
    if not importlib.util.find_spec("ensurepip") and "python3-venv" not in packages:
        raise PrepareError("This python3 cannot make virtual environments: it has no ensurepip (Debian: python3-venv).")


def install_packages(packages: list[str]) -> None:
    print(f"Installing Debian packages: {' '.join(packages)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0"]
    with uninterrupted(), no_service_started():
        # A broken source of the machine's own must not stop what the other sources have.
        subprocess.run([*apt, "update"], check=False)
        command = [*apt, "install", "--yes", "--no-install-recommends", *packages]
        subprocess.run(command, stdin=subprocess.DEVNULL, env=environment, check=True)
        if "openssh-server" in packages and shutil.which("systemctl"):
            # Nor at the next boot: the test hosts run the program, this machine needs no service.
            subprocess.run(["systemctl", "--quiet", "disable", "ssh.service"], check=False)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A package manager that is killed leaves a machine to be repaired: it may end by itself before this does."""
    caught: list[int] = []
    numbers = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
    handlers = {number: signal.signal(number, lambda number, _: caught.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if caught:
            sys.exit(128 + caught[0])


@contextlib.contextmanager
def no_service_started() -> Iterator[None]:
    """Debian starts a service when it is installed unless a policy says no; the machine's own policy is left alone."""
    if POLICY.exists() and "procfs.rescue" not in POLICY.read_text(encoding="utf-8"):
        yield
        return
    try:
        POLICY.write_text(DENY.format(pid=os.getpid()), encoding="utf-8")
        POLICY.chmod(0o755)
        yield
    finally:
        POLICY.unlink()


def missing_stamp(locks: list[str]) -> list[str]:
    """What a .venv that serves must say of itself; nothing when it does. It cannot be moved, hence the folder."""
    wanted = [f"python {sys.version.split()[0]} {ROOT}"]
    wanted += [f"{lock} {hashlib.sha256((ROOT / lock).read_bytes()).hexdigest()}" for lock in locks]
    with contextlib.suppress(FileNotFoundError):
        if set(wanted) <= set((VENV / "stamp").read_text(encoding="utf-8").splitlines()):
            return []
    return wanted


def make_venv(stamp: list[str]) -> None:
    locks = [line.split()[0] for line in stamp[1:]]
    print(f"Making .venv from {' and '.join(locks)}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True)
    # No source packages: their build would fetch tools that no lock names. The locks are complete.
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    pip += ["--require-hashes", "--only-binary", ":all:", "--no-deps"]
    for lock in locks:
        pip += ["-r", str(ROOT / lock)]
    subprocess.run(pip, check=True)
    (VENV / "stamp").write_text("\n".join(stamp) + "\n", encoding="utf-8")


def make_link() -> None:
    link = ROOT / "collections" / "ansible_collections" / "procfs" / "rescue"
    if not link.is_symlink():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(Path("..", "..", ".."))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except PrepareError as reason:
        sys.exit(f"{reason} Nothing was changed.")
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"Could not make this machine ready: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
