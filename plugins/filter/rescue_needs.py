# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a host's files another source may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.procfs.rescue.plugins.plugin_utils._results import needs_of


def rescue_needs(answer: Mapping[str, Any]) -> list[Any]:
    """See rescue_needs.yml."""
    if not isinstance(answer, Mapping):
        raise AnsibleFilterError("rescue_needs takes what restore_file or supply_file answered.")
    return needs_of(answer)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rescue_needs": rescue_needs}
