# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Options that are sizes, as people write them."""

from typing import Any, Dict

from ansible.module_utils.common.text.formatters import human_to_bytes

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError


def with_sizes(params: Dict[str, Any], *names: str) -> Dict[str, Any]:
    """``params`` with the bytes that texts such as 10M or 1G mean; None stays. Raises RescueError.

    Ansible's own type for it names the type of a text that it does not understand, and not the text.
    """
    return dict(params, **{name: _bytes(name, params[name]) for name in names if params[name] is not None})


def _bytes(name: str, text: str) -> int:
    try:
        size = int(human_to_bytes(text))
    except ValueError as error:
        raise RescueError("%s must be a size such as 4096, 10M or 1G, it is %r." % (name, text)) from error
    if size < 0:
        raise RescueError("%s must not be negative." % name)
    return size
