# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What a walk over /proc may still spend: time, patience with file systems that do not answer, and handles."""

import math
import os
import resource
import time
from typing import Callable, Dict, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._deadline import answers
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort, Mount, Sighting

# Descriptors left over for the work itself.
_SPARE_HANDLES = 96

# Any user can make processes and mounts that never answer, as many as she likes: each gets half the time of the one
# before, but no less than this, in seconds.
_LEAST_PATIENCE = 0.1


class Allowance:
    """``patience`` is for one question, ``until`` the moment at which all time is spent."""

    def __init__(self, pin: Callable[[Sighting], bool], effort: Effort) -> None:
        self.patience = effort.deadline
        self.until = math.inf if effort.timeout is None else time.monotonic() + effort.timeout
        # Beyond this many handles a sighting has none and its link is opened again when needed.
        self.pins_left = handles_left() - _SPARE_HANDLES
        self._pin = pin
        self._answering: Dict[int, bool] = {}

    def is_late(self) -> bool:
        return time.monotonic() > self.until

    def lose_patience(self) -> None:
        self.patience = max(self.patience / 2, _LEAST_PATIENCE)

    def pins(self, sighting: Sighting) -> bool:
        if self.pins_left <= 0 or not self._pin(sighting):
            return False
        self.pins_left -= 1
        return True

    def answers(self, mount_id: int, mount: Optional[Mount], foreign: Optional[str], handle: int) -> bool:
        """Whether the file system behind ``handle`` answers at all.

        Each mount is asked once, by a child process with a deadline. ``mount`` is None for memfd and the like, but also
        for a dead mount that somebody detached with umount -l. What a user mounted may ask others in its turn.
        """
        if mount is not None and not mount.may_never_answer and foreign != "untrusted":
            return True
        if mount_id not in self._answering:
            patience = max(0.0, min(self.patience, self.until - time.monotonic()))
            if answers(lambda: os.fstat(handle), patience):
                self._answering[mount_id] = True
            else:
                self.note_silent(mount_id)
        return self._answering[mount_id]

    def note_silent(self, mount_id: int) -> None:
        if mount_id not in self._answering:
            self._answering[mount_id] = False
            self.lose_patience()


def handles_left() -> int:
    """How many more files may be opened. Raises the limit as far as it goes."""
    return _raised_handle_limit() - len(os.listdir("/proc/self/fd"))


def _raised_handle_limit() -> int:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # the system's own limit (fs.nr_open) may be lower than an infinite hard limit
        return soft
    return hard
