# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""How far something long is, for somebody who sits before a terminal; for nobody else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from ansible.module_utils.common.text.formatters import bytes_to_human
from ansible.utils.display import Display

# Seconds until the first line, and from one line to the next.
_PATIENCE = 5.0

_WAITING = "waiting for the host"

_display = Display()


class Progress:
    """While its block runs ``say`` gets a line now and then, whether something arrives or not.

    The lines begin with ``name``, and with what `begins` was told.
    """

    def __init__(self, name: str, say: Callable[[str], object], clock: Callable[[], float] = time.monotonic) -> None:
        self._name = self._what = name
        self._say = say
        self._clock = clock
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)
        self._size = self._first = self._offset = 0
        self.waits()

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_what: object) -> None:
        self._ended.set()
        self._thread.join()

    def begins(self, what: str, size: int) -> None:
        """From now on it is about so many bytes of this."""
        self._what, self._size = f"{self._name}: {what}", size
        self.waits()

    def waits(self, reason: str = _WAITING) -> None:
        """Nothing can be told of how far it is until the next `at`."""
        self._reason, self._since = reason, self._clock()

    def at(self, offset: int) -> None:
        """So many bytes are here."""
        if self._reason or offset < self._offset:
            self._reason, self._since, self._first = "", self._clock(), offset
        self._offset = offset

    def line(self) -> str:
        seconds = self._clock() - self._since
        if self._reason:
            return f"{self._what}: {self._reason}, {seconds:.0f} s so far"
        rate = (self._offset - self._first) / seconds if seconds else 0
        left = f", {(self._size - self._offset) / rate:.0f} s left" if rate else ""
        done = f"{bytes_to_human(self._offset)} of {bytes_to_human(self._size)}"
        return f"{self._what}: {done}, {bytes_to_human(rate)}/s{left}"

    def _tell(self) -> None:
        while not self._ended.wait(_PATIENCE):
            self._say(self.line())


def reading(size: int) -> str:
    """Why a digest takes its time, as `Progress.waits` takes it."""
    return f"reading {bytes_to_human(size)} for a digest"


def say(line: str) -> None:
    """To who watches, and from -v on to others."""
    if _is_watched():
        _display.display(line, screen_only=True)
    else:
        _display.v(line)


def _is_watched() -> bool:
    """Whether somebody sees the output of this run: a terminal, and not the one that ansible-runner (AWX) makes up.

    Ansible's workers have no terminal of their own (core 2.19), so that their parent is asked.
    """
    if "AWX_ISOLATED_DATA_DIR" in os.environ:  # set by ansible-runner for every run
        return False
    try:
        return os.readlink(f"/proc/{os.getppid()}/fd/1").startswith(("/dev/pts/", "/dev/tty", "/dev/console"))
    except OSError:  # another system without /proc
        return os.isatty(1)
