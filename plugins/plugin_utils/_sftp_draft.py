# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The hidden folders of drafts and backups over SFTP, as `_draft` has them; no file is nameless here."""

from __future__ import annotations

import errno
import os
import stat as modes
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from ansible_collections.procfs.rescue.plugins.module_utils._draft import Draft
from ansible_collections.procfs.rescue.plugins.module_utils._hidden import (
    DRAFT,
    PAUSES,
    Entries,
    new_name,
    remove_hidden,
    sweep,
)
from ansible_collections.procfs.rescue.plugins.module_utils._publish import NotKnownError
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import SessionError, Task
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_folders import Folders
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_records import own_ids
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import (
    CREATE,
    EXCLUSIVE,
    READ,
    WRITE,
    hardlink,
    lstat,
    mkdir,
    names,
    posix_rename,
    remove,
    rmdir,
    stat,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of


class Drafts:
    """``alive`` are names of hidden folders that a living run has open, ``unlisted`` folders that may never answer."""

    def __init__(self, session: Session, folders: Folders) -> None:
        self.session = session
        self.folders = folders
        self.alive: set[bytes] = set()
        self.unlisted: set[bytes] = set()
        self.entries = Entries(
            names=lambda folder: session.run(names(path_of(folder))),
            subfolder=self._subfolder,
            close=self._close,
            owner_and_mode=self._owner_and_mode,
            is_ours=lambda folder: self._owner_and_mode(folder)[0] == own_ids(session)[0],
            # SFTP has no locks; a run that lives has its hidden folder open, and the scan saw that.
            is_left=lambda name, _hidden: name not in self.alive,
            is_there=lambda name, folder: folders.mode_of(folder, name) is not None,
            is_same=self._is_same,
            link=lambda old, its, new, folder: session.run(hardlink(path_of(its, old), path_of(folder, new))),
            rename=lambda old, its, new, folder: give_name(
                session, posix_rename(path_of(its, old), path_of(folder, new))
            ),
            unlink=lambda name, folder: session.run(remove(path_of(folder, name))),
            rmdir=lambda name, folder: session.run(rmdir(path_of(folder, name))),
        )

    def _subfolder(self, name: bytes, folder: int) -> int:
        path = path_of(folder, name)
        if not modes.S_ISDIR(self.session.run(lstat(path)).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        return self.session.open_folder(path)

    def _close(self, number: int) -> None:
        with suppress(OSError):
            self.session.close(number)

    def _owner_and_mode(self, folder: int) -> tuple[int, int, int]:
        status = self.session.run(stat(path_of(folder)))
        return status.st_uid, status.st_gid, status.st_mode

    def _is_same(self, name: bytes, folder: int, other: bytes, its_folder: int) -> bool:
        number = self.folders.open_file(its_folder, other)
        if number is None:
            raise OSError(errno.EINVAL, "it is no regular file")
        try:
            return self.folders.is_named(number, folder, name)
        finally:
            self._close(number)

    def sweep_once(self, folder: int, swept: set[tuple[int, int]]) -> None:
        facts = self.session.facts_of(folder)
        key = (facts.mount_id, facts.inode or folder)
        # To list a folder the server asks for the attributes of all in it, of dead mounts too.
        if key in swept or facts.name in self.unlisted:
            return
        swept.add(key)
        sweep(folder, self.entries)

    @contextmanager
    def hidden_in(self, folder: int) -> Iterator[int]:
        name = new_name()
        path = path_of(folder, name)
        try:
            self.session.run(mkdir(path, 0o700))
        except SessionError:
            raise
        except OSError as error:
            if self.folders.room(folder).read_only:  # SFTP has no word for it
                raise OSError(errno.EROFS, os.strerror(errno.EROFS)) from error
            raise
        try:
            hidden = self.session.open_folder(path)
        except OSError:
            with suppress(OSError):
                self.session.run(rmdir(path))
            raise
        try:
            yield hidden
        finally:
            remove_hidden(name, hidden, folder, self.entries, PAUSES)
            self._close(hidden)

    @contextmanager
    def draft_in(self, folder: int, nameless: bool = False) -> Iterator[Draft]:
        if nameless:
            raise OSError(errno.EOPNOTSUPP, "SFTP knows no files without names")
        with self.hidden_in(folder) as hidden:
            number = self.session.open_file(path_of(hidden, DRAFT), READ | WRITE | CREATE | EXCLUSIVE, 0o600)
            try:
                yield Draft(number, hidden)
            finally:
                self._close(number)


def give_name(session: Session, naming: Task[None]) -> None:
    """Raises OSError, NotKnownError where the session ends in that moment."""
    try:
        session.run(naming)
    except SessionError as error:
        raise NotKnownError(error.errno, error.strerror) from error
