# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Folders over SFTP, and what has which name in them. What is opened in the end must have the very name of its path."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._folder import Opened, Walk, walk_to_folder, walk_to_target
from ansible_collections.procfs.rescue.plugins.module_utils._host import Room
from ansible_collections.procfs.rescue.plugins.module_utils._model import Folder, Mount, Target
from ansible_collections.procfs.rescue.plugins.module_utils._reach import unreachable_by
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import SessionError
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import (
    READ,
    lstat,
    readlink,
    statvfs,
    symlink,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of

_READ_ONLY = 1  # ST_RDONLY, also of statvfs@openssh.com


class Folders:
    """A walk has reached a path: SFTP has no descriptors of what is not to be read."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._walk = Walk(
            start=lambda folder: b"/" if folder is None else path_of(folder),
            enter=self._enter,
            owner_and_mode=self._owner_and_mode,
            readlink=lambda path: session.run(readlink(path)),
            leave=lambda _path: None,
            open=self._open,
            close=session.close,
        )

    def _enter(self, folder: bytes, name: bytes) -> bytes:
        path = os.path.join(folder, name)
        status = self.session.run(lstat(folder + b"/."))
        if not modes.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        self.session.run(lstat(path))
        return path

    def _owner_and_mode(self, path: bytes) -> tuple[int, int]:
        status = self.session.run(lstat(path))
        return status.st_uid, status.st_mode

    def _open(self, path: bytes) -> Opened:
        if not modes.S_ISDIR(self._owner_and_mode(path)[1]):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder = self.session.open_folder(path)
        facts = self.session.facts_of(folder)
        if facts.name != path:
            self.session.close(folder)
            raise OSError(errno.ESTALE, "it was exchanged for another while it was looked at")
        return Opened(folder, facts.name, facts.mount_id)

    def unreachable(self, paths: Iterable[bytes], mounts: dict[int, Mount]) -> set[bytes]:
        return unreachable_by(paths, mounts, lambda some, _seconds: self._answered(some, mounts))

    def _answered(self, paths: Sequence[bytes], mounts: dict[int, Mount]) -> int:
        """In a session of its own: what is pinned goes with one that hangs."""
        try:
            session = self.session.another()
        except OSError:  # no second one can be had; then nobody knows before
            return len(paths)
        other = Folders(session)
        try:
            for number, path in enumerate(paths):
                try:
                    target = other.open_target(path, mounts)
                    other.room(target.folder.fd)
                    session.close(target.folder.fd)
                except (OSError, RescueError) as error:
                    if SessionError in (type(error), type(error.__cause__)):
                        return number
        finally:
            session.client.close()
        return len(paths)

    def open_folder(self, path: bytes, mounts: dict[int, Mount]) -> Folder:
        return walk_to_folder(path, mounts, self._walk)

    def open_target(self, path: bytes, mounts: dict[int, Mount]) -> Target:
        return walk_to_target(path, mounts, self._walk, self.open_folder)

    def mode_of(self, folder: int, name: bytes) -> int | None:
        try:
            mode: int = self.session.run(lstat(path_of(folder, name))).st_mode
        except FileNotFoundError:
            return None
        return mode

    def open_file(self, folder: int, name: bytes) -> int | None:
        mode = self.mode_of(folder, name)
        if mode is None or not modes.S_ISREG(mode):
            return None
        return self.session.open_file(path_of(folder, name), READ)

    def room(self, folder: int) -> Room:
        if not self.session.has(b"statvfs@openssh.com"):
            return Room(False, None, None)
        found = self.session.run(statvfs(path_of(folder, b".")))
        fragment_size, blocks, free, flags = found[1], found[2], found[3], found[9]
        if not blocks:
            return Room(bool(flags & _READ_ONLY), None, None)
        return Room(bool(flags & _READ_ONLY), fragment_size * free, fragment_size * blocks)

    def mode_seen_by(self, pid: int, path: bytes) -> int | None:
        try:
            mode: int = self.session.run(lstat(b"/proc/%d/root%s" % (pid, path))).st_mode
        except FileNotFoundError:
            return None
        return mode

    def symlink(self, folder: int, name: bytes, target: bytes) -> None:
        self.session.run(symlink(target, path_of(folder, name)))

    def is_named(self, number: int, folder: int, name: bytes) -> bool:
        found = self.open_file(folder, name)
        if found is None:
            return False
        try:
            return self._identity(found) == self._identity(number)
        finally:
            self.session.close(found)

    def _identity(self, number: int) -> tuple[Any, ...]:
        facts = self.session.facts_of(number)
        if facts.inode is not None:
            return facts.mount_id, facts.inode
        status = facts.stat  # before Linux 5.14 nothing tells more
        return facts.mount_id, status.st_uid, status.st_gid, status.st_mode, status.st_size, status.st_mtime
