# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A live file called as if it were deleted, in a folder of hers that is bound over the real one."""

import os

from mallory import FOLDER, MS_BIND, NAME, PATH, mount, own_folder, own_namespaces, own_program, run_there, stay


def go():
    folder = own_folder()
    own_program(os.path.join(folder, NAME + " (deleted)"))
    own_namespaces()
    mount(folder, FOLDER, flags=MS_BIND)


stay(run_there(go, PATH + " (deleted)", is_removed=False))
