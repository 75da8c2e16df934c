# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""With real file systems that do not answer: test_situations.py."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._model import Mount
from ansible_collections.procfs.rescue.plugins.module_utils._reach import unreachable_by
from unit.plugins.samples import ROOT_MOUNT

NFS, SSHFS = Mount(40, "0:40", b"/", b"/nfs", "nfs4"), Mount(41, "0:41", b"/", b"/home/x/y", "fuse.sshfs")


class Walker:
    """Below ``silent`` there are no answers."""

    def __init__(self, *silent: bytes) -> None:
        self.silent = silent
        self.asked: list[bytes] = []
        self.patience: list[float] = []

    def __call__(self, paths: Sequence[bytes], seconds: float) -> int:
        self.patience.append(seconds)
        for count, path in enumerate(paths):
            self.asked.append(path)
            if path.startswith(self.silent):
                return count
        return len(paths)


def found(paths: Sequence[bytes], walker: Walker, *mounts: Mount) -> set[bytes]:
    return unreachable_by(paths, {mount.mount_id: mount for mount in (ROOT_MOUNT, *mounts)}, walker)


def test_without_such_a_file_system_nothing_is_asked() -> None:
    control = Mount(30, "0:30", b"/", b"/sys/fs/fuse/connections", "fusectl")
    walker = Walker(b"/")
    assert found([b"/a"], walker, control) == set()
    assert walker.asked == []


def test_what_is_below_a_silent_one_is_not_asked_for_one_by_one() -> None:
    walker = Walker(b"/nfs/")
    paths = [b"/nfs/%d\n\xff" % number for number in range(1000)]
    assert found([b"/a", *paths, b"/nfsroot", b"/b"], walker, NFS, SSHFS) == set(paths)
    assert walker.asked == [b"/nfs/any", b"/a", b"/nfsroot", b"/b"]


def test_of_two_one_answers() -> None:
    walker = Walker(b"/home/x/y/")
    assert found([b"/nfs/a", b"/home/x/y/b"], walker, NFS, SSHFS) == {b"/home/x/y/b"}


def test_a_symlink_may_lead_there() -> None:
    """Each path that is silent itself costs time, and less of it the more there are."""
    walker = Walker(b"/srv/link")
    paths = [b"/srv/link%d" % number for number in range(9)]
    assert found([*paths, b"/srv/other"], walker, NFS) == set(paths)
    assert walker.patience == pytest.approx([5, 2.5, 1.25, 0.625, 0.3125, 0.15625, 0.1, 0.1, 0.1, 0.1])


def test_a_root_that_is_remote_itself_is_asked_for_each_path() -> None:
    walker = Walker(b"/b")
    assert found([b"/a", b"/b"], walker, NFS._replace(mount_point=b"/")) == {b"/b"}
    assert walker.asked == [b"/a", b"/b"]
