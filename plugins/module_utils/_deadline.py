# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""A question that may never be answered (a dead NFS or FUSE server) is put by a child process with a deadline."""

import os
import signal
import time
from typing import Callable


def answers(question: Callable[[], object], seconds: float) -> bool:
    """Whether ``question`` returned or raised within ``seconds``; a child in D state is left behind, not waited for."""
    child = os.fork()
    if child == 0:
        try:
            os.closerange(0, 3)  # whoever waits for the end of our output must not wait for this child
            question()
        finally:
            os._exit(0)
    until = time.monotonic() + seconds
    pause = 0.001
    while not os.waitpid(child, os.WNOHANG)[0]:
        left = until - time.monotonic()
        if left <= 0:
            break
        time.sleep(min(pause, left))
        pause = min(pause * 2, 0.1)
    else:
        return True
    os.kill(child, signal.SIGKILL)
    return False
