# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Opened handles of the local kernel: everything is asked of a handle, nothing is resolved twice by its name."""

import errno
import os
import time
from contextlib import contextmanager, suppress
from typing import Iterable, Iterator, Optional

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._deadline import answers
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import File, Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._sighted import check_same, leads_to_no_file, link_is_gone

# An honest holder, such as a file server, answers a lease break in a moment.
_LEASE_SECONDS = 2.0

_ANSWER_SECONDS = 5.0

# /proc gives a page at a time, mostly.
_PAGES = 16 * 1024


def open_directory(name: str, dir_fd: Optional[int] = None) -> int:
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)


def open_subfolder(name: bytes, folder: int) -> int:
    """A folder in the opened ``folder`` itself, through no symlink. Raises OSError."""
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)


def close(fd: int) -> None:
    """Without a word of what close(2) says of earlier writes: what is to last was synced before."""
    with suppress(OSError):
        os.close(fd)


def read_at(name: str, dir_fd: Optional[int] = None) -> bytes:
    """The whole content of a file of /proc, whose size is not known before."""
    fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        return b"".join(iter(lambda: os.read(fd, _PAGES), b""))
    finally:
        os.close(fd)


def reopen(handle: int, flags: int = os.O_RDONLY) -> int:
    """A readable (or writable) descriptor of the very file that an O_PATH ``handle`` leads to; only for regular files.

    Reading does not change when it was read last, where that is allowed (the owner's and root's to say).

    Raises RescueError where a holder has a lease on it (fcntl(2)) and does not give it up when the kernel asks it to.
    """
    until = time.monotonic() + _LEASE_SECONDS
    unnoticed = os.O_NOATIME if flags == os.O_RDONLY else 0
    while True:
        try:
            return os.open("/proc/self/fd/%d" % handle, flags | unnoticed | os.O_NONBLOCK | os.O_CLOEXEC)
        except PermissionError:
            if not unnoticed:
                raise
            unnoticed = 0
        except BlockingIOError as error:
            if time.monotonic() > until:
                raise RescueError(
                    "A process has a lease on %s and does not give it up. The kernel takes it away within a minute: "
                    "try again." % printable(link_text(handle))
                ) from error
            time.sleep(0.02)


def _read_a_byte(handle: int) -> None:
    if file_of(handle).is_regular:
        os.pread(reopen(handle), 1, 0)


def link_text(handle: int) -> bytes:
    """The name that the kernel gives for ``handle`` now."""
    return os.readlink(b"/proc/self/fd/%d" % handle)


def mount_id_of(handle: int) -> int:
    """Raises OSError where the kernel does not tell (before Linux 3.15)."""
    mount_id = _procfs.mount_id(read_at("/proc/self/fdinfo/%d" % handle))
    if mount_id is None:
        raise OSError(errno.ENOSYS, "/proc/self/fdinfo has no mnt_id")
    return mount_id


def file_of(handle: int) -> File:
    return file_from(os.fstat(handle))


def file_from(result: os.stat_result) -> File:
    return File(
        device=result.st_dev,
        inode=result.st_ino,
        mode=result.st_mode,
        nlink=result.st_nlink,
        uid=result.st_uid,
        gid=result.st_gid,
        size=result.st_size,
        allocated=result.st_blocks * 512,
        mtime_ns=result.st_mtime_ns,
    )


def unpin(sightings: Iterable[Sighting]) -> None:
    """Lets go of what was held by `_scan.scan`."""
    for sighting in sightings:
        if sighting.handle is not None:
            close(sighting.handle)


@contextmanager
def readable(sighting: Sighting) -> Iterator[int]:
    """A readable descriptor of the regular file that was sighted, through its pin or, where it has none, its link.

    Raises RescueError where the link leads elsewhere by now, or where the file cannot be read in time.
    """
    with _opened(sighting, os.O_RDONLY) as fd:
        yield fd


@contextmanager
def writable(sighting: Sighting) -> Iterator[int]:
    """The same for writing."""
    with _opened(sighting, os.O_WRONLY) as fd:
        yield fd


@contextmanager
def _opened(sighting: Sighting, flags: int) -> Iterator[int]:
    try:
        pin = os.open(sighting.link, os.O_PATH | os.O_CLOEXEC) if sighting.handle is None else sighting.handle
    except FileNotFoundError as error:
        raise link_is_gone(sighting) from error
    try:
        if sighting.may_never_answer and not answers(lambda: _read_a_byte(pin), _ANSWER_SECONDS):
            raise RescueError("%s is on a file system that does not answer." % sighting.link)
        now = file_of(pin)
        check_same(sighting, now)
        if not now.is_regular:
            raise leads_to_no_file(sighting)
        fd = reopen(pin, flags)
    finally:
        if sighting.handle is None:
            close(pin)
    try:
        yield fd
    finally:
        close(fd)
