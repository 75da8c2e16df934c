# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an attack is."""

from __future__ import annotations

from typing import NamedTuple

BASH = "/usr/bin/bash"


class Attack(NamedTuple):
    """One way to make root believe that a file of ``mallory``'s choice was ``path``.

    ``program`` is hers (below programs/), started with ``path`` and ``arguments`` before ``path`` is lost. ``refused``
    are the reasons for which it is refused, all of them. ``prepare`` is what root's shell does before, ``loss`` how
    ``path`` is lost; ``accept`` is as for restore_file.
    """

    case: str
    name: str
    program: str
    refused: tuple[str, ...]
    path: str = BASH
    arguments: tuple[str, ...] = ()
    prepare: str = ""
    loss: str = ""
    accept: tuple[str, ...] = ()
    user: str = "mallory"
