# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The program behind Host.wreck: enters a host, proves that it is there, deletes files; its request is on stdin."""

import json
import os
import sys

from fleet.errors import FleetError
from fleet.linux import CLONE_NEWNS, enter
from fleet.proof import Place, delete


def main() -> None:
    """Delete ``paths`` in ``place``, the mount namespace of the process that the inherited ``pidfd`` stands for."""
    request = json.load(sys.stdin)
    enter(request["pidfd"], CLONE_NEWNS)
    os.close(request["pidfd"])
    try:
        delete(Place(**request["place"]), request["paths"])
    except (FleetError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
