# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Carries out every attack on a fresh host: alone, and with an honest holder beside it; prints what became of it.

The exit code is 1 if one of them wins, or keeps the honest file from coming back.
"""

from __future__ import annotations

import sys
from typing import Any

from attacks.arena import Arena, ForbiddenError
from attacks.catalogue import ATTACKS, Attack
from attacks.trial import Trial, trial
from fleet import Fleet


def row(attack: Attack, alone: Trial, beside: Trial) -> list[str]:
    seen = sorted({_sight(one) for one in alone.seen})
    honest = "yes" if beside.is_honest_back else "NO: " + "; ".join(beside.refused)
    refused = ", ".join(alone.refused) if not alone.is_written else "NOT REFUSED"
    return [attack.name, " / ".join(seen) or "nothing", refused, honest]


def _sight(seen: dict[str, Any]) -> str:
    namespace = "the host's" if seen["same_namespace"] else "its own"
    return f"`{seen['link']}` of uid {seen['owner']}, {seen['mode']}, held in {namespace} mount namespace"


def main() -> int:
    lost = 0
    print("| attack | what root saw | refused because | honest file beside it back |\n|---|---|---|---|")
    with Fleet(1) as fleet:
        arena = Arena(fleet.hosts[0])
        for attack in ATTACKS:
            try:
                alone, beside = trial(arena, attack, honest=False), trial(arena, attack, honest=True)
            except ForbiddenError as error:
                print(f"| {attack.name} | | the kernel forbids it: {error} | |", flush=True)
                continue
            lost += alone.is_written or set(alone.refused) != attack.reasons or not beside.is_honest_back
            print("|", " | ".join(row(attack, alone, beside)), "|", flush=True)
    print(f"\n{len(ATTACKS)} attacks, {lost} of them not refused as they should be.")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
