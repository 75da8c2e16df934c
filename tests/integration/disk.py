# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written on a host's disk, and be it for a moment."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fleet import Host


@contextmanager
def free_blocks(host: Host) -> Iterator[list[int]]:
    """How many blocks are free: before, again and again meanwhile, and at the end."""
    seen, ended = [os.statvfs(host.root()).f_bfree], threading.Event()

    def watch() -> None:
        while not ended.wait(0.01):
            seen.append(os.statvfs(host.root()).f_bfree)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()
