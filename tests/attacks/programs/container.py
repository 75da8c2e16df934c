# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A container that root runs: it deletes its own file. Started as root."""

import os

from mallory import CLONE_NEWNS, MS_PRIVATE, MS_REC, PATH, mount, overlay, own_folder, pivot_root, run, stay, unshare

unshare(CLONE_NEWNS)
mount("none", "/", flags=MS_REC | MS_PRIVATE)
tree = own_folder()
overlay("/", tree)
os.chdir(tree)
pivot_root()
link = run(PATH, "-c", "read -r line")
os.unlink(PATH)
stay(link)
