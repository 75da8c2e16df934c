# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What a folder is to be like that is made again."""

from ansible_collections.procfs.rescue.plugins.module_utils._model import Made, Missing


def to_make(missing: Missing, uid: int, gid: int, mode: int) -> Made:
    """What a missing folder is to be like in one with that owner, group and mode."""
    if missing.recorded is None:
        return Made(missing.name, uid, gid, folder_mode(mode))
    return Made(missing.name, *missing.recorded)


def folder_mode(around: int) -> int:
    """The permissions of a new folder in one with the mode ``around``."""
    return around & 0o2755
