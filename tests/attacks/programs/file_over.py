# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of hers, bound over the real one in a mount namespace of hers, is run."""

import os

from mallory import MS_BIND, PATH, mount, own_folder, own_namespaces, own_program, run, stay

mine = os.path.join(own_folder(), "mine")
own_program(mine)
own_namespaces()
mount(mine, PATH, flags=MS_BIND)
link = run(PATH, "infinity")
os.unlink(mine)
stay(link)
