# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of hers, argv[2], held and removed."""

import os
import sys

from mallory import hold, own_file, stay

own_file(sys.argv[2])
link = hold(sys.argv[2])
os.unlink(sys.argv[2])
stay(link)
