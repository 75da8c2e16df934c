# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Folders that were walked to lately: thousands of files may have been in one."""

import os
from typing import Dict, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._folder import is_exchangeable, open_folder, open_target
from ansible_collections.procfs.rescue.plugins.module_utils._model import Folder, Mount, Target

# Each of them stays open.
_MOST = 8


class KnownFolders:
    """Walks to a folder once, as long as its path leads to it and nobody but root could change that."""

    def __init__(self) -> None:
        # With the mounts by which its place is told.
        self._known: Dict[bytes, Tuple[Folder, Dict[int, Mount]]] = {}

    def open_folder(self, path: bytes, mounts: Dict[int, Mount]) -> Folder:
        """As `_folder.open_folder`."""
        known = self._known.get(path)
        if known is not None and known[1] == mounts and _leads_to(path, known[0].fd):
            return _again(known[0])
        folder = open_folder(path, mounts)
        if not is_exchangeable(folder.ancestors):
            if known is not None:
                self._forget(path)
            elif len(self._known) == _MOST:
                self._forget(next(iter(self._known)))
            self._known[path] = _again(folder), mounts
        return folder

    def open_target(self, path: bytes, mounts: Dict[int, Mount]) -> Target:
        """As `_folder.open_target`."""
        return open_target(path, mounts, self.open_folder)

    def close(self) -> None:
        for path in list(self._known):
            self._forget(path)

    def _forget(self, path: bytes) -> None:
        os.close(self._known.pop(path)[0].fd)


def _leads_to(path: bytes, folder: int) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(folder))
    except OSError:
        return False


def _again(folder: Folder) -> Folder:
    """The same, opened for itself: of a descriptor's duplicate others would move the offset."""
    return folder._replace(fd=os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder.fd))
