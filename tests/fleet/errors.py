# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What can go wrong, in one sentence each."""

import subprocess


class FleetError(Exception):
    """Something that the user of a fleet can act on."""


class CommandFailed(subprocess.CalledProcessError):
    """A command in a host failed: as CalledProcessError, with what the command said."""

    def __str__(self) -> str:
        """The command, its exit status and its standard error."""
        return f"{super().__str__()}\n{self.stderr.decode(errors='replace')}"
