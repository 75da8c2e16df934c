# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Real throwaway hosts on one Linux machine, without containers: ``with Fleet(3) as fleet: ...``."""

from fleet.errors import CommandFailed, FleetError
from fleet.fleet import Fleet
from fleet.host import Host

__all__ = ["CommandFailed", "Fleet", "FleetError", "Host"]
