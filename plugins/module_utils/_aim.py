# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Where a file was and where it is to go; nothing is made there yet."""

import os
import stat
from contextlib import suppress
from typing import Dict, Iterable, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import number_of
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._model import Missing, Mount, Target, Terms
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._restore_job import Job, Result
from ansible_collections.procfs.rescue.plugins.module_utils._restore_result import left_alone
from ansible_collections.procfs.rescue.plugins.module_utils._target import aimed


class Aim:
    """Opens places by ``mounts``, those of the last scan, but none of the ``unreachable``, which nobody may walk.

    ``swept`` is for `sweep_once`.
    """

    def __init__(self, terms: Terms, host: Host) -> None:
        self.terms = terms
        self.host = host
        self.mounts: Dict[int, Mount] = {}
        self.unreachable: Set[bytes] = set()
        self.swept: Set[Tuple[int, int]] = set()

    def take(self, job: Job) -> Result:
        """Finds where the file was and where it is to go. Returns a result only where nothing is left to do."""
        wish = job.wish
        if wish.path is not None:
            if wish.in_place:
                job.aim_in_place(self.open_target(wish.path))
            else:
                with suppress(RescueError):  # its folder may be gone: it is to go elsewhere
                    self._check_reached(wish.path)
                    job.origin = self.host.open_target(wish.path, self.mounts)
                    job.wish = wish._replace(path=job.origin.path)
        if wish.dest is not None:
            job.target = self.open_target(wish.dest)
        if job.target is None or job.target.missing:
            job.was_free = True
            return {}
        return self.settled(job, job.target)

    def open_target(self, path: bytes) -> Target:
        self._check_reached(path)
        target = aimed(path, self.mounts, self.host, self._to_be_made if self.terms.parents else None)
        if self.terms.parents and not target.missing and not self.terms.check_mode:
            # A run that was killed the moment after it made the folder left its hidden one beside it.
            with suppress(RescueError):
                above = self.host.open_folder(os.path.dirname(target.folder.path), self.mounts)
                self.host.sweep_once(above.fd, self.swept)
                self.host.close(above.fd)
        return target

    def _to_be_made(self, path: bytes, name: bytes) -> Missing:
        with suppress(RescueError):  # its users may not be there, or the database cannot be asked
            recorded = self.host.recorded(path)
            if recorded is not None:
                uid = number_of(recorded.owner, self.host.user_names(), "user")
                gid = number_of(recorded.group, self.host.group_names(), "group")
                return Missing(name, (uid, gid, recorded.mode, recorded.by))
        return Missing(name)

    def settled(self, job: Job, target: Target) -> Result:
        """A result where the name is taken and is to stay so."""
        mode = self.host.mode_of(target.folder.fd, target.name)
        if mode is None:
            job.was_free = True
            return {}
        if stat.S_ISDIR(mode):
            raise RescueError("%s is a folder, not a file." % printable(target.path))
        if not self.terms.force:
            if not self.terms.check_mode:
                # A run that was killed the moment after it named the file left its hidden folder.
                self.host.sweep_once(target.folder.fd, self.swept)
            return left_alone(job, target)
        if not stat.S_ISREG(mode):
            raise RescueError("%s is no regular file, it is not replaced." % printable(target.path))
        return {}

    def resolved(self, path: bytes) -> bytes:
        if not path.startswith(b"/"):
            raise RescueError("path_prefix must be absolute: %s" % printable(path))
        inside = os.path.join(path, b"any")
        self.ask_for([inside])
        if inside in self.unreachable:
            return os.path.normpath(path)
        try:
            folder = self.host.open_folder(path, self.mounts)
        except RescueError:  # it is gone itself
            return os.path.normpath(path)
        self.host.close(folder.fd)
        return folder.path

    def ask_for(self, paths: Iterable[bytes]) -> None:
        """Before they are walked: whether they can be."""
        self.unreachable |= self.host.unreachable(paths, self.mounts)

    def _check_reached(self, path: bytes) -> None:
        if path in self.unreachable:
            raise RescueError(
                "%s was skipped: it is on a network or FUSE file system that does not answer. Look after its server, "
                "or restore elsewhere with dest." % printable(path)
            )
