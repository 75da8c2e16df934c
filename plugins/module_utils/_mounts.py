# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Through which mount a file was opened, and how far is believed what tells of it."""

import fcntl
import os
from functools import lru_cache
from typing import Dict, Optional, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _procfs
from ansible_collections.procfs.rescue.plugins.module_utils._handle import read_at
from ansible_collections.procfs.rescue.plugins.module_utils._holder import Holder
from ansible_collections.procfs.rescue.plugins.module_utils._ioctl import NS_GET_USERNS
from ansible_collections.procfs.rescue.plugins.module_utils._model import Mount


def own_mounts() -> Dict[int, Mount]:
    """The mounts of our own namespace by mount id."""
    return _last_read(read_at("/proc/self/mountinfo"))


# It is read for each holder with mounts of its own, and hardly ever changes meanwhile.
_last_read = lru_cache(maxsize=1)(_procfs.mounts)


class OwnMounts:
    """What is ours: the mounts, and the namespaces by which others are told apart."""

    def __init__(self) -> None:
        self.mounts = own_mounts()
        self.user_namespace = os.stat("/proc/self/ns/user").st_ino
        self.namespace = os.stat("/proc/self/ns/mnt").st_ino

    def refresh(self) -> None:
        self.mounts = own_mounts()


class HolderMounts:
    """What a holder has open may be on mounts of its own."""

    def __init__(self, holder: Holder, own: OwnMounts) -> None:
        self.holder = holder
        self.own = own
        self._rows: Optional[Dict[int, Mount]] = None

    def of(self, mount_id: int) -> Tuple[Optional[Mount], Optional[str]]:
        """The row of a handle's mount; with it None where it is one of ours, else how far the holder's is believed.

        An id cannot be given to another mount while the handle is open.
        """
        if mount_id not in self.own.mounts and self._rows is None:
            self.own.refresh()  # it may be new
        if mount_id in self.own.mounts:
            return self.own.mounts[mount_id], None
        if self._rows is None:
            self._rows = _procfs.mounts(read_at(self.holder.thread + "mountinfo", self.holder.directory))
        return self._rows.get(mount_id), "trusted" if self._are_believed() else "untrusted"

    def _are_believed(self) -> bool:
        """Whether the holder's mountinfo speaks of paths as we see them, and no user made its mount namespace."""
        try:
            if os.readlink(self.holder.thread + "root", dir_fd=self.holder.directory) != "/":
                return False  # mountinfo is written as seen from the root of that process
            namespace = os.open(self.holder.thread + "ns/mnt", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.holder.directory)
            try:
                owner = fcntl.ioctl(namespace, NS_GET_USERNS)
            finally:
                os.close(namespace)
        except OSError:
            return False
        try:
            return os.fstat(owner).st_ino == self.own.user_namespace
        finally:
            os.close(owner)
