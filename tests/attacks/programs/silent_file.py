# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file of hers whose size is never told, behind an overlay.

Root may not even ask a FUSE file system of hers. The overlay asks it with the rights of whoever mounted the overlay.
argv[2] is how often it answers before.
"""

import os
import sys

from fuse import GETATTR, Fuse
from mallory import FOLDER, NAME, PATH, hold, mount, own_namespaces, stay

own_namespaces()
mount("tmpfs", "/mnt", "tmpfs")
for folder in ("fuse", "upper", "work"):
    os.mkdir("/mnt/" + folder)
fuse = Fuse(mount, "/mnt/fuse", NAME)
mount("overlay", FOLDER, "overlay", options="lowerdir=/mnt/fuse,upperdir=/mnt/upper,workdir=/mnt/work,userxattr")
link = hold(PATH)
os.unlink(PATH)
fuse.leave_open(GETATTR, int(sys.argv[2]))
stay(link)
