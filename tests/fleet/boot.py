# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One host: namespaces, a root of its own, devices, and an init that keeps sshd running: busybox's, or systemd."""

import json
import os
import signal
import socket
import stat
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from fleet import cgroup, linux, nspawn
from fleet.errors import FleetError
from fleet.layer import BUSYBOX
from fleet.network import plug_in
from fleet.proof import MARKER
from fleet.state import HostRecord

_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWUTS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET
_PLAIN = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
_LINKS = {
    "ptmx": "pts/ptmx",
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


@dataclass(frozen=True)
class Plan:
    """What a host shall be; ``address`` has a prefix length, ``upper_size`` is tmpfs's (empty: its default).

    With ``systemd`` its tree has one, and nspawn is to boot it.
    """

    name: str
    address: str
    tag: str
    token: str
    upper_size: str
    systemd: bool


def start(plan: Plan, report: int) -> int:
    """Fork a host off; gives the PID of a helper that ends soon.

    The working directory has the folders layer and tree (the lower layers), upper and root (mount points). The host
    writes its record to ``report`` and closes it when its init (or nspawn) runs; what goes wrong it says on standard
    error.
    """
    helper = os.fork()
    if helper:
        return helper
    try:
        with linux.namespace_file("net") as fleet:
            linux.unshare(_NAMESPACES)
            plug_in(plan.name, plan.address, fleet)
        if plan.systemd:
            cgroup.join(plan.tag, plan.name)
        # Not sooner: the first child from here on is the PID 1 that the namespace lives and dies with.
        linux.unshare(linux.CLONE_NEWPID)
        if os.fork() == 0:
            _become_host(plan, report)
    except (FleetError, OSError) as error:
        print(f"{plan.name}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(0)  # Never back into the supervisor's code.


def _become_host(plan: Plan, report: int) -> None:
    # The machine's procfs is still mounted and tells the PID that the machine sees.
    pid = int(os.readlink("/proc/self"))
    record = HostRecord(plan.name, plan.address.partition("/")[0], pid, linux.mount_namespace())
    os.write(report, f"{json.dumps(asdict(record))}\n".encode())
    if plan.systemd:
        _boot_systemd(plan)
    _mount_root(plan, "root")
    os.chdir("root")
    linux.pivot_root()
    # From here on no path, whatever symlinks the tree has, leads out of the host.
    _mount_kernel_file_systems()
    _make_devices()
    os.mkdir("/run/sshd", 0o755)
    _write(MARKER, plan.token, 0o600)
    _write("/etc/hostname", f"{plan.name}\n", 0o644)
    socket.sethostname(plan.name)
    _execute_init()


def _boot_systemd(plan: Plan) -> NoReturn:
    nspawn.prepare()
    _mount_root(plan, nspawn.ROOT)
    Path(nspawn.ROOT, "etc/hostname").write_text(f"{plan.name}\n")
    _restore_signals()
    nspawn.execute(plan.name, plan.token)


def _mount_root(plan: Plan, target: str) -> None:
    linux.mount("tmpfs", "upper", "tmpfs", 0, f"mode=755,size={plan.upper_size}" if plan.upper_size else "mode=755")
    os.mkdir("upper/files")
    os.mkdir("upper/work")
    layers = "lowerdir=layer:tree,upperdir=upper/files,workdir=upper/work"
    linux.mount(plan.tag, target, "overlay", 0, layers)


def _mount_kernel_file_systems() -> None:
    for target, kind, flags, options in (
        ("/proc", "proc", _PLAIN, ""),
        ("/sys", "sysfs", _PLAIN | linux.MS_RDONLY, ""),
        ("/dev", "tmpfs", linux.MS_NOSUID | linux.MS_NOEXEC, "mode=755"),
        ("/dev/pts", "devpts", linux.MS_NOSUID | linux.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620,gid=5"),
        ("/dev/shm", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=1777"),
        ("/run", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755"),
    ):
        os.makedirs(target, exist_ok=True)
        linux.mount(kind, target, kind, flags, options)


def _make_devices() -> None:
    for name, (major, minor) in _DEVICES.items():
        os.mknod(f"/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(major, minor))
        os.chmod(f"/dev/{name}", 0o666)
    for name, target in _LINKS.items():
        os.symlink(target, f"/dev/{name}")


def _write(path: str, text: str, mode: int) -> None:
    Path(path).touch(mode=mode)
    Path(path).write_text(text)


def _restore_signals() -> None:
    # Python ignores these, and what is ignored stays so in every program of the host.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)


def _execute_init() -> NoReturn:
    _restore_signals()
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.execve(BUSYBOX, ["init"], {})
