# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The process that runs the real file, a shell, executes a file of hers that has taken its name."""

import os
import time

from mallory import PATH, own_program, run, say, stay

link = run(PATH, "-c", 'read -r line; exec "$0" infinity', PATH)


def go_on():
    own_program(PATH)
    say(b"\n")
    while os.readlink(link) != PATH:
        time.sleep(0.001)
    os.unlink(PATH)
    return link


stay(link, then=go_on)
