# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A folder of hers, bound over the real one in a mount namespace of hers."""

import os
import sys

from mallory import MS_BIND, mount, own_folder, own_namespaces, own_program, run, stay

folder, name = os.path.split(sys.argv[1])
mine = own_folder()
own_program(os.path.join(mine, name))
own_namespaces()
mount(mine, folder, flags=MS_BIND)
link = run(sys.argv[1], "infinity")
os.unlink(sys.argv[1])
stay(link)
