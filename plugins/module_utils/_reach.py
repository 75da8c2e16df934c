# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Which paths lead over a network or FUSE file system that does not answer: those are walked with a deadline only."""

import os
from contextlib import suppress
from functools import partial
from typing import Callable, Dict, Iterable, Sequence, Set

from ansible_collections.procfs.rescue.plugins.module_utils._deadline import Tell, heard
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._folder import open_target
from ansible_collections.procfs.rescue.plugins.module_utils._handle import close
from ansible_collections.procfs.rescue.plugins.module_utils._model import NORMAL, Mount

# Each that is silent halves the time for the next, down to this, in seconds: there may be thousands.
_LEAST_PATIENCE = 0.1


def unreachable(paths: Iterable[bytes], mounts: Dict[int, Mount]) -> Set[bytes]:
    """Those of the absolute ``paths`` that are not to be walked. ``mounts`` are those of our own namespace."""
    return unreachable_by(paths, mounts, partial(_answered, mounts))


def unreachable_by(
    paths: Iterable[bytes], mounts: Dict[int, Mount], answered: Callable[[Sequence[bytes], float], int]
) -> Set[bytes]:
    """The same where ``answered`` walks paths in their order and counts those before the first silent one.

    It is given so many seconds for each.
    """
    left = list(dict.fromkeys(paths))
    remote = [mount.mount_point for mount in mounts.values() if mount.may_never_answer]
    if not remote:
        return set()
    # Where a file system itself is silent, all below is, and is not asked for one by one.
    tops = [os.path.join(point, b"") for point in remote if point != b"/"]
    probes = {top + b"any": top for top in tops if any(path.startswith(top) for path in left)}
    left = [*probes, *left]
    found: Set[bytes] = set()
    patience = NORMAL.deadline
    while left:
        left = left[answered(left, patience) :]
        if left:
            silent = probes.get(left[0], left[0])
            gone = {path for path in left if path == silent or path.startswith(os.path.join(silent, b""))}
            found |= gone
            left = [path for path in left if path not in gone]
            patience = max(patience / 2, _LEAST_PATIENCE)
    return found - set(probes)


def _answered(mounts: Dict[int, Mount], paths: Sequence[bytes], seconds: float) -> int:
    count = 0
    for message in heard([partial(_walk, mounts, paths)], seconds):
        if message.is_silent:
            break
        count += 1
    return count


def _walk(mounts: Dict[int, Mount], paths: Sequence[bytes], tell: Tell) -> None:
    for path in paths:
        with suppress(OSError, RescueError):
            target = open_target(path, mounts)
            with suppress(OSError):
                os.fstatvfs(target.folder.fd)  # what was walked may have been remembered; this its server is asked
            close(target.folder.fd)
        tell(None, ())
