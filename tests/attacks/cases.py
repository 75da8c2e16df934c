# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attacks. Each is one that fooled a simpler check."""

from __future__ import annotations

from attacks.attack import Attack

ATTACKS = (
    Attack(
        "1",
        "own file bound over the real one",
        "own_file",
        ("not_held",),
    ),
    Attack(
        "1",
        "own folder bound over the real one",
        "own_folder",
        ("namespace_untrusted", "owner_differs"),
    ),
)
