# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import stat

import pytest

from unit.plugins.samples import a_file, a_target


@pytest.mark.parametrize(
    "file_type", [stat.S_IFDIR, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFLNK]
)
def test_only_regular_files_are_regular(file_type: int) -> None:
    assert a_file().is_regular
    assert not a_file(mode=file_type | 0o644).is_regular


def test_permissions_have_the_special_bits() -> None:
    assert a_file(mode=stat.S_IFREG | 0o6755).permissions == 0o6755


def test_identity() -> None:
    assert a_file(device=1, inode=2).identity == (1, 2)


def test_path_of_a_target() -> None:
    assert a_target(b"x").path == b"/srv/x"
    assert a_target(b"x", path=b"/").path == b"/x"
