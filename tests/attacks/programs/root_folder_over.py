# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder of root's, argv[2], bound over the real one in a mount namespace of hers; root deletes what is in it."""

import sys

from mallory import FOLDER, MS_BIND, PATH, mount, own_namespaces, run_there, stay


def go():
    own_namespaces()
    mount(sys.argv[2], FOLDER, flags=MS_BIND)


stay(run_there(go, PATH, is_removed=False))
