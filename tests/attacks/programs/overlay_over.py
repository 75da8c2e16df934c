# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An overlay, whose lower layer argv[2] is root's, over the real folder in a user and mount namespace of hers."""

import sys

from mallory import FOLDER, PATH, overlay, own_namespaces, run_there, stay


def go():
    own_namespaces()
    overlay(sys.argv[2], FOLDER)


stay(run_there(go, PATH, is_removed=True))
