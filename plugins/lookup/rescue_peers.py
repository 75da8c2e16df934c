# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which hosts of this run may have what this one lost."""

from __future__ import annotations

DOCUMENTATION = r"""
name: rescue_peers
short_description: Which hosts of this run have what others lost
version_added: 1.0.0
author: procfs.rescue contributors (@procfs)
description:
  - Names the hosts that have what others need, as M(procfs.rescue.restore_file) with
    O(procfs.rescue.restore_file#module:offer) said in this run, and what is to be read from each.
  - M(procfs.rescue.offer_file) is to be delegated to them, in this order.
  - A content is named again for other hosts that have it, in case the one before does not give it.
options:
  most:
    description: For each content so many hosts are named at most.
    type: int
    default: 5
  hosts:
    description:
      - Hosts that may not have said yet what they have, where hosts of a play do not wait for each other.
      - If nobody has what is needed they are named as well.
    type: list
    elements: str
    default: []
  wait:
    description: For so many seconds at most O(hosts) are waited for before, where nobody has what is needed.
    type: float
    default: 0
seealso:
  - module: procfs.rescue.offer_file
"""

EXAMPLES = r"""
- name: Tell which hosts could help
  ansible.builtin.debug:
    msg: "{{ query('procfs.rescue.rescue_peers') | map(attribute='peer') }}"
"""

RETURN = r"""
_list:
  description: For each host C(peer), its name, and C(needs), of which the content is to be read there.
  type: list
  elements: dict
"""

import time
from collections.abc import Mapping
from typing import Any

from ansible.plugins.lookup import LookupBase

from ansible_collections.procfs.rescue.plugins.plugin_utils._peer_cache import PeerCache


class LookupModule(LookupBase):
    def run(
        self,
        terms: Any,  # noqa: ARG002
        variables: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> list[dict[str, Any]]:
        self.set_options(var_options=variables, direct=kwargs)  # type: ignore[no-untyped-call]
        cache = PeerCache()
        hosts = self.get_option("hosts")  # type: ignore[no-untyped-call]
        until = time.monotonic() + self.get_option("wait")  # type: ignore[no-untyped-call]
        while cache.silent(hosts) and time.monotonic() < until and not all(cache.donors("", n) for n in cache.needs()):
            time.sleep(0.1)
        orders = []
        for need in cache.needs():
            donors = cache.donors("", need)
            if not donors:
                orders.append((need, cache.candidates(need, hosts)))
            elif need["checksum"] and not cache.content(need):
                orders.append((need, donors))
        asked: list[dict[str, Any]] = []
        for turn in range(self.get_option("most")):  # type: ignore[no-untyped-call]
            by_peer: dict[str, list[Any]] = {}
            for need, peers in orders:
                for peer in peers[turn : turn + 1]:
                    by_peer.setdefault(peer, []).append(need)
            asked += [{"peer": peer, "needs": needs} for peer, needs in by_peer.items()]
        return asked
