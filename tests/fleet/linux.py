# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The system calls that Python 3.11 has no function for."""

import ctypes
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

_CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 0x0001
MS_NOSUID = 0x0002
MS_NODEV = 0x0004
MS_NOEXEC = 0x0008
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

_MNT_DETACH = 0x0002

_T = TypeVar("_T")

_libc = ctypes.CDLL(None, use_errno=True)


def unshare(flags: int) -> None:
    """Give this thread namespaces of its own; a PID namespace begins with its next child."""
    _check(_libc.unshare(flags), "unshare")


def setns(fd: int, flags: int) -> None:
    """Move this thread to the namespace behind ``fd``, or (Linux 5.8) to those of the process whose pidfd it is."""
    _check(_libc.setns(fd, flags), "setns")


def enter(pidfd: int, flags: int) -> None:
    """Move this thread to the namespaces of a process; its root and working directory become the namespace's root."""
    # Unless they are the thread's own first, those of the whole process change.
    unshare(_CLONE_FS)
    setns(pidfd, flags)


def elsewhere(move: Callable[[], None], start: Callable[[], _T]) -> _T:
    """Call ``start`` in a thread that ``move`` has taken to other namespaces and that ends then.

    What it starts is born there and still is a child of this process, which itself stays where it is.
    """

    def work() -> _T:
        move()
        return start()

    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(work).result()


def root() -> tuple[str, int]:
    """What / is to this thread: its mount and its inode there."""
    fd = os.open("/", os.O_PATH)
    try:
        return Path(f"/proc/self/fdinfo/{fd}").read_text().partition("mnt_id:")[2].split()[0], os.fstat(fd).st_ino
    finally:
        os.close(fd)


def root_of_namespace() -> tuple[str, int]:
    """The same of this mount namespace, which a process in a chroot does not see."""
    own = os.pidfd_open(os.getpid())
    try:
        return elsewhere(lambda: enter(own, CLONE_NEWNS), root)
    finally:
        os.close(own)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """mount(2); with relative paths nothing in them needs escaping in ``options``."""
    arguments = (os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode())
    _check(_libc.mount(*arguments), f"mount {kind or source} on {target}")


def detach(target: str) -> None:
    """Take a mount out of sight; it ends with its last user."""
    _check(_libc.umount2(os.fsencode(target), _MNT_DETACH), f"umount {target}")


def pivot_root() -> None:
    """Make the working directory, a mount, the root, and let go of the old root."""
    # Both on ".": the old root lands on top of the new one, needs no folder in it, and is what "." then detaches.
    _check(_libc.pivot_root(b".", b"."), "pivot_root")
    detach(".")
    os.chdir("/")


def mount_namespace(pid: int | str = "self") -> int:
    """The number of a process's mount namespace."""
    return os.stat(f"/proc/{pid}/ns/mnt").st_ino


@contextmanager
def network_of(fd: int) -> Iterator[int]:
    """Work in another network namespace; gives a handle of the own one."""
    with namespace_file("net") as own:
        setns(fd, CLONE_NEWNET)
        try:
            yield own
        finally:
            setns(own, CLONE_NEWNET)


@contextmanager
def namespace_file(kind: str) -> Iterator[int]:
    """A handle of this process's own namespace of a kind."""
    fd = os.open(f"/proc/self/ns/{kind}", os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def _check(result: int, what: str) -> None:
    if result:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")
