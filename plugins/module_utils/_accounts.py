# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Names of users and groups from the host's own files: a name service that is down must not stop a rescue."""

import re
from typing import Dict

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError

_NUMBER = re.compile("[0-9]{1,20}\\Z")

# chown(2) takes 2**32 - 1 for "leave as it is".
_GREATEST_ID = 2**32 - 2


def user_names() -> Dict[int, str]:
    """uid -> name, from /etc/passwd."""
    return _read("/etc/passwd")


def group_names() -> Dict[int, str]:
    """gid -> name, from /etc/group."""
    return _read("/etc/group")


def _read(path: str) -> Dict[int, str]:
    try:
        with open(path, "rb") as file:
            return names_by_number(file.read())
    except OSError:
        return {}


def names_by_number(content: bytes) -> Dict[int, str]:
    """What passwd(5) or group(5) says."""
    found: Dict[int, str] = {}
    for line in content.decode("utf-8", "replace").split("\n"):
        fields = line.split(":")
        if len(fields) > 2 and _NUMBER.match(fields[2]):
            found.setdefault(int(fields[2]), fields[0])
    return found


def number_of(name: str, names: Dict[int, str], what: str) -> int:
    """The number of a ``what`` (user, group) that is given by name or number. Raises RescueError."""
    if _NUMBER.match(name):
        if int(name) > _GREATEST_ID:
            raise RescueError("%s is too large for the number of a %s." % (name, what))
        return int(name)
    for number, known in names.items():
        if known == name:
            return number
    raise RescueError("There is no %s %r on this host: give its number." % (what, name))
