# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong on a host after a rescue: the promise, compared with what is there."""

from __future__ import annotations

import os
import re

from faults.situations import State, inodes, state, tree
from soak.lost import Lost

_HIDDEN = re.compile(r"\.procfs-rescue\.[0-9a-f]{16}\Z")


def wrong(this: Lost, *, in_the_end: bool, was_killed: bool = False) -> list[str]:
    """Other bytes or metadata under a name, a changed source or neighbour, a foreign file.

    A name may be as it was, unless this is ``in_the_end``; a run that ``was_killed`` may leave one hidden folder.
    """
    after, numbers = tree(this.top), inodes(this.top)
    wanted = this.wanted()
    found = []
    back = False
    for path, (original, blocks) in wanted.items():
        new, old = after.get(path), this.before.get(path)
        if new == original:
            back = True
            if os.stat(this.top / path).st_blocks > blocks:
                found.append(f"{path!r} lost its holes")
        elif in_the_end or new != old or numbers.get(path) != this.numbers.get(path):
            found.append(f"{path!r} is {new}, it was {old} and should be {original}")
    found += [
        f"{path!r} changed"
        for path in set(this.before) - set(wanted)
        if after.get(path) != this.before[path] or numbers.get(path) != this.numbers[path]
    ]
    found += _foreign(this, after, set(after) - set(this.before) - set(wanted), back, was_killed)
    found += [f"the source of {file.name!r} changed" for file in this.files if state(file.source) != file.original]
    return found


def _foreign(this: Lost, after: dict[str, State], new: set[str], back: bool, was_killed: bool) -> list[str]:
    hidden = {path for path in new if any(map(_HIDDEN.match, path.split("/")))} if was_killed else set()
    start = f"folder/{os.fsdecode(this.files[0].name)}."
    backups = {path for path in new if this.kind == "backup" and path.startswith(start) and path.endswith("~")}
    found = [f"foreign: {path!r}" for path in sorted(new - hidden - backups)]
    if sum(bool(_HIDDEN.match(path.rpartition("/")[2])) for path in hidden) > 1:
        found.append(f"debris: {sorted(hidden)}")
    if back and this.kind == "backup" and not was_killed and len(backups) != 1:
        found.append(f"{len(backups)} backups")
    if any(after[path] != this.before[start[:-1]] for path in backups):
        found.append("the backup is not what was replaced")
    return found
