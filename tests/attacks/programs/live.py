# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A live file of hers, called as if it were the deleted one."""

from mallory import PATH, hold, own_file, stay

own_file(PATH + " (deleted)")
stay(hold(PATH + " (deleted)"))
