# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an attack is."""

from __future__ import annotations

from typing import NamedTuple

BASH = "/usr/bin/bash"
# A fresh folder for each try.
ROOM = "/srv/room"


class Attack(NamedTuple):
    """One way to make root believe that a file of ``mallory``'s choice was ``path``.

    ``program`` is hers (below programs/), started with ``path`` and ``arguments`` before ``path`` is lost. ``refused``
    are the reasons for which it is refused, all of them; ``by_hand`` those against choosing it by its entry in the
    facts, where they are others. With ``stale_facts`` root chooses a holder from facts that were true before her last
    move, and nothing is asked for by its path.

    ``prepare``, ``meanwhile`` and ``loss`` are what root's shell does: before, while she already has what she wants,
    and in the end. ``accept`` and ``checksum`` (of the real file) are what the user has to give for the honest file to
    come back; ``still_refused`` are the reasons against hers then. Where ``honest`` is false she has moved it away.
    ``second`` are the reasons that would still be there if her namespaces were believed.
    """

    case: str
    name: str
    program: str
    refused: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    path: str = BASH
    user: str = "mallory"
    prepare: str = ""
    meanwhile: str = ""
    loss: str = ""
    by_hand: tuple[str, ...] | None = None
    stale_facts: bool = False
    accept: tuple[str, ...] = ()
    checksum: bool = False
    still_refused: tuple[str, ...] = ()
    honest: bool = True
    second: tuple[str, ...] = ()
