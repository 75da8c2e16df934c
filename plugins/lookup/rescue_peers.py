# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts of this run may have what this one lost."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rescue_peers
short_description: Which hosts of this run may have what a host lost
version_added: 1.0.0
author: procfs.rescue contributors (@procfs)
description:
  - Names hosts on which M(procfs.rescue.restore_file) found a file of that name in this run, on disk or held.
    M(procfs.rescue.offer_file) is to be delegated to them.
  - The hosts that need one are spread evenly over those that have one. For what one of them offered no more are named.
options:
  most:
    description: So many are named for a file at most.
    type: int
    default: 5
  _terms:
    description: The C(needs) of results of M(procfs.rescue.restore_file).
    type: list
    elements: dict
    required: true
seealso:
  - module: procfs.rescue.offer_file
"""

EXAMPLES = r"""
- name: Tell which hosts could help
  ansible.builtin.debug:
    msg: "{{ query('procfs.rescue.rescue_peers', rescue_result | procfs.rescue.rescue_needs) }}"
"""

RETURN = r"""
_list:
  description: Names of hosts.
  type: list
  elements: str
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase

from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache


class LookupModule(LookupBase):
    def run(self, terms: Any, variables: Mapping[str, Any] | None = None, **kwargs: Any) -> list[str]:
        self.set_options(var_options=variables, direct=kwargs)  # type: ignore[no-untyped-call]
        cache, me = PeerCache(), str((variables or {}).get("inventory_hostname"))
        needs = [need for term in terms for need in (term if isinstance(term, list) else [term])]
        if not all(isinstance(need, Mapping) and "path" in need for need in needs):
            raise AnsibleLookupError("rescue_peers takes the needs of results of restore_file.")
        most = self.get_option("most")  # type: ignore[no-untyped-call]
        orders = [cache.donors(me, str(need["path"]))[:most] for need in needs if not cache.is_offered(me, need)]
        # First the first ones of all files.
        ranked = sorted((rank, number, name) for number, order in enumerate(orders) for rank, name in enumerate(order))
        return list(dict.fromkeys(name for _rank, _number, name in ranked))
