# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""A sha256 that is computed beside the transfer of what is hashed: hashlib lets other threads run meanwhile."""

import hashlib
import queue
import threading
from typing import Any

# Pieces that wait to be hashed, at most.
_WAITING = 4

_ZEROS = bytes(1024 * 1024)


class Sha256:
    """A piece that was given must not be changed any more."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._pieces: Any = queue.Queue(_WAITING)
        # Whoever leaves in the middle leaves it behind; it ends with the process.
        self._worker = threading.Thread(target=self._work, daemon=True)

    def update(self, piece: Any) -> None:
        if not self._worker.ident:
            self._worker.start()
        self._pieces.put(piece)

    def zeros(self, count: int) -> None:
        """As many bytes that are 0."""
        for left in range(count, 0, -len(_ZEROS)):
            self.update(_ZEROS if left >= len(_ZEROS) else _ZEROS[:left])

    def hexdigest(self) -> str:
        """Of all that was given up to now."""
        self._pieces.join()
        return self._digest.hexdigest()

    def _work(self) -> None:
        while True:
            self._digest.update(self._pieces.get())
            self._pieces.task_done()
