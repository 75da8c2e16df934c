# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Her folder has folders of root's in it: she holds a file of one and gives that the name of the other."""

import os
import sys

from mallory import FOLDER, NAME, hold, stay

link = hold(os.path.join(sys.argv[2], NAME))


def swap():
    os.rename(FOLDER, FOLDER + ".real")
    os.rename(sys.argv[2], FOLDER)
    return link


stay(link, then=swap)
