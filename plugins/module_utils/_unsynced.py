# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Folders with new names that a crash could take away: all names of one folder are made to last by one fsync(2)."""

import os
from typing import Callable, Dict, List, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._handle import close
from ansible_collections.procfs.rescue.plugins.module_utils._publish import NotSyncedError, sync

# Descriptors that are kept for it.
_MOST = 16


class Unsynced:
    """Nothing in it may be said to be restored before `sync`."""

    def __init__(self) -> None:
        self._folders: Dict[Tuple[int, int], Tuple[int, List[Callable[[OSError], None]]]] = {}

    def add(self, folder: int, failed: Callable[[OSError], None]) -> None:
        """The opened ``folder`` has a new name in it. `sync` tells ``failed`` where it may be lost.

        Raises NotSyncedError where the folder cannot even be kept until then.
        """
        try:
            found = os.fstat(folder)
            key = found.st_dev, found.st_ino
            if key not in self._folders:
                if len(self._folders) >= _MOST:
                    self.sync()
                self._folders[key] = os.dup(folder), []
        except OSError:
            sync(folder)
            return
        self._folders[key][1].append(failed)

    def sync(self) -> None:
        while self._folders:
            folder, failed = self._folders.popitem()[1]
            try:
                sync(folder)
            except NotSyncedError as error:
                for tell in failed:
                    tell(error)
            finally:
                close(folder)
