# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A terminal of hers, bound over the file in a mount namespace of hers; it is gone as soon as nobody serves it."""

import os

from mallory import FOLDER, MS_BIND, NAME, PATH, hold, mount, own_folder, own_namespaces, stay

master, slave = os.openpty()
folder = own_folder()
with open(os.path.join(folder, NAME), "x"):
    pass
own_namespaces()
mount(folder, FOLDER, flags=MS_BIND)
mount(os.ttyname(slave), PATH, flags=MS_BIND)
link = hold(PATH, os.O_RDWR | os.O_NOCTTY)
os.close(master)
os.close(slave)
stay(link)
