# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Files on the controller whose names come from hosts: whatever a name says, it stays below its folder."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, NamedTuple

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests


def components(remote: bytes) -> list[bytes]:
    """The names of a remote path, none of which leads upwards: ``.`` and ``..`` are written as ``%2E`` and ``%2E%2E``.

    A memfd may be called ``/memfd:../../usr/bin/bash``.
    """
    return [name.replace(b".", b"%2E") if name in (b".", b"..") else name for name in remote.split(b"/") if name]


class Existing(NamedTuple):
    """``checksum`` is ``sha256:HEX``, or None where the size was not the wanted one."""

    checksum: str | None
    mode: int


class BusyError(RescueError):
    """Somebody else is writing it."""


class DifferentError(RescueError):
    """What was written is not what it should be: nothing of it is to be kept."""


class LocalFile:
    """A file ``names`` below the folder ``top``. ``top`` is the user's and may be a symlink, nothing below it may."""

    def __init__(self, top: bytes, names: list[bytes]) -> None:
        if not names:
            raise RescueError("The file has no name that it could be stored under: use flat with a full dest.")
        self.top = top
        self.names = names

    @property
    def path(self) -> bytes:
        return os.path.join(self.top, *self.names)

    def existing(self, size: int | None = None) -> Existing | None:
        """The file that is there; it is only read where it has ``size``. Raises RescueError where something else has
        the name."""
        try:
            folder = self._folder(create=False)
        except FileNotFoundError:
            return None
        try:
            fd = os.open(self.names[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RescueError(f"{printable(self.path)} is in the way: {error.strerror}.") from error
        finally:
            os.close(folder)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise RescueError(f"{printable(self.path)} is in the way: it is no regular file.")
            is_read = size in (None, status.st_size)
            checksum = "sha256:" + digests(fd, ["sha256"])["sha256"] if is_read else None
            return Existing(checksum, stat.S_IMODE(status.st_mode))
        finally:
            os.close(fd)

    @contextmanager
    def written(self, mode: int = 0o600, resume: bool = False) -> Iterator[BinaryIO]:
        """A file (0600) to write to, which gets the name and its mode when the block ends without an exception.

        With ``resume`` what was written before an exception (but DifferentError), or before the process was killed, is
        kept under a hidden name, and there the next time.
        """
        folder = self._folder(create=True)
        try:
            fd, hidden = self._part(folder) if resume else _new(folder)
            with open(fd, "r+b") as file:
                try:
                    yield file
                    file.flush()
                    os.fchmod(fd, mode)
                    os.fsync(fd)
                    os.replace(hidden, self.names[-1], src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException as error:
                    # While it is locked: afterwards it may be another one's.
                    if not resume or isinstance(error, DifferentError) or not os.fstat(fd).st_size:
                        os.unlink(hidden, dir_fd=folder)
                    raise
        finally:
            os.close(folder)

    @property
    def _part_name(self) -> bytes:
        return b".procfs-rescue." + hashlib.sha256(self.names[-1]).hexdigest()[:16].encode("ascii") + b".part"

    def arrived(self) -> int:
        """Bytes of what is being written, or was, with ``resume``."""
        try:
            return os.lstat(os.path.join(os.path.dirname(self.path), self._part_name)).st_size
        except FileNotFoundError:
            return 0

    def _part(self, folder: int) -> tuple[int, bytes]:
        """The same for each transfer to this name, and for one at a time."""
        name = self._part_name
        fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise RescueError(f"{printable(name)} beside {printable(self.path)} is no regular file: remove it.")
            os.fchmod(fd, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino != os.fstat(fd).st_ino:
                raise BlockingIOError
        except (BlockingIOError, FileNotFoundError) as error:
            os.close(fd)
            raise BusyError(f"Another transfer to {printable(self.path)} is running, wait for its end.") from error
        except BaseException:
            os.close(fd)
            raise
        return fd, name

    def _folder(self, create: bool) -> int:
        if create:
            _make_private(self.top)
        folder = os.open(self.top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        for name in self.names[:-1]:
            try:
                below = self._entered(folder, name, create)
            finally:
                os.close(folder)
            folder = below
        return folder

    def _entered(self, folder: int, name: bytes, create: bool) -> int:
        if create:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=folder)
        try:
            return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        except NotADirectoryError as error:
            raise RescueError(
                f"{printable(name)} on the way to {printable(self.path)} is no folder, or a symlink, which is "
                "not followed."
            ) from error


def _new(folder: int) -> tuple[int, bytes]:
    name = b".procfs-rescue." + secrets.token_hex(8).encode("ascii")
    return os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder), name


def _make_private(folder: bytes) -> None:
    """The folder and all above it that are missing, each 0700: os.makedirs would do so with the last only."""
    if not os.path.isdir(folder):
        _make_private(os.path.dirname(folder) or b".")
        try:
            os.mkdir(folder, 0o700)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise
