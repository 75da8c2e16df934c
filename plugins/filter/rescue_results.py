# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the role rescue keeps of a host: the results of one source, and then of another for what is still missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.procfs.rescue.plugins.plugin_utils._results import Answer, merged


def rescue_needs(answer: Answer) -> list[Any]:
    """The needs of what failed, see rescue_needs.yml."""
    _check("rescue_needs", answer)
    return [file["needs"] for file in answer.get("files", ()) if file["status"] == "failed" and "needs" in file]


def rescue_merged(answer: Answer, later: Answer | Iterable[Answer] = (), looked: bool = False) -> dict[str, Any]:
    """See rescue_merged.yml."""
    _check("rescue_merged", answer)
    return merged(answer, later, looked)


def _check(name: str, answer: Any) -> None:
    if not isinstance(answer, Mapping):
        raise AnsibleFilterError(f"{name} takes what restore_file or supply_file answered.")


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"rescue_merged": rescue_merged, "rescue_needs": rescue_needs}
