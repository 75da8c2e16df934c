# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An executable without a name in any file system, called argv[2], which looks like a path."""

import os
import sys

from mallory import execute, stay

fd = os.memfd_create(sys.argv[2])
with open("/usr/bin/sleep", "rb") as file:
    os.sendfile(fd, file.fileno(), 0, os.fstat(file.fileno()).st_size)
stay(execute(fd))
