# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""How far a long transfer is, for somebody who sits before a terminal; for nobody else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from ansible.module_utils.common.text.formatters import bytes_to_human

# Seconds until the first line, and from one line to the next.
_PATIENCE = 5.0


class Progress:
    """``say`` gets a line now and then; call `at` with how many of ``size`` bytes are here."""

    def __init__(self, name: str, size: int, say: Callable[[str], object], clock: Callable[[], float] = time.monotonic):
        self._name = name
        self._size = size
        self._say = say
        self._clock = clock
        self._began = self._told = clock()
        self._first: int | None = None

    def at(self, offset: int) -> None:
        now = self._clock()
        if self._first is None:
            self._first = offset
        if now - self._told < _PATIENCE:
            return
        self._told = now
        rate = (offset - self._first) / (now - self._began)
        left = f", {(self._size - offset) / rate:.0f} s left" if rate else ""
        done = f"{bytes_to_human(offset)} of {bytes_to_human(self._size)}"
        self._say(f"{self._name}: {done}, {bytes_to_human(rate)}/s{left}")


def is_watched() -> bool:
    """Whether somebody sees the output of this run: a terminal, and not the one that ansible-runner (AWX) makes up.

    Ansible's workers have no terminal of their own (core 2.19), so that their parent is asked.
    """
    if "AWX_ISOLATED_DATA_DIR" in os.environ:  # set by ansible-runner for every run
        return False
    try:
        return os.readlink(f"/proc/{os.getppid()}/fd/1").startswith(("/dev/pts/", "/dev/tty", "/dev/console"))
    except OSError:  # another system without /proc
        return os.isatty(1)
