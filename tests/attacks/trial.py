# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One attack from its preparation to what root did, with the host put right again afterwards."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from attacks.arena import Arena, File
from attacks.catalogue import Attack


class Trial(NamedTuple):
    """``seen`` is what root could see of the false candidate, ``refused`` why it was refused."""

    seen: list[dict[str, Any]]
    refused: list[str]
    is_written: bool
    is_honest_back: bool


def trial(arena: Arena, attack: Attack, honest: bool) -> Trial:
    """Raises ForbiddenError where the kernel does not let the attack be carried out."""
    original = arena.file(attack.path)
    real = (original or File(b"honest\n", 0o644, 0, 0)) if honest else None
    arena.host.run(["sh", "-c", attack.prepare])
    folder = os.path.dirname(attack.path)
    try:
        with arena.carried_out(attack.code, attack.user) as process:
            arena.host.run(["sh", "-c", attack.meanwhile])
            holder = None
            if real is not None:
                holder = arena.honest_holder(attack.path, real)
            arena.host.run(["rm", "-f", attack.path])
            arena.deleted(process)
            seen = arena.look(os.path.basename(attack.path))
            (result,) = arena.restore(path=attack.path, terms={"accept": list(attack.accept) if honest else []})
            found = arena.file(attack.path)
            debris = arena.debris(folder)
            if holder is not None:
                holder.kill()
                holder.wait()
        return Trial(
            seen=seen,
            refused=result.get("refused", []),
            is_written=bool(debris) or (not honest and found is not None) or (honest and found not in (None, real)),
            is_honest_back=honest and found == real,
        )
    finally:
        if original is not None:
            arena.put(attack.path, original)
        else:
            arena.host.run(["rm", "-rf", attack.path])
