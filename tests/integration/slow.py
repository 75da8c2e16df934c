# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A slow line, so that transfers take long enough to be told of, and what is shown of them."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from fleet.controller import environment

# A ProxyCommand that lets 2 MB/s through: HOST PORT.
SLOW = """
import os, socket, sys, threading, time
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def up():
    for piece in iter(lambda: os.read(0, 65536), b""):
        there.sendall(piece)
    there.shutdown(socket.SHUT_WR)
threading.Thread(target=up, daemon=True).start()
for piece in iter(lambda: there.recv(20000), b""):
    os.write(1, piece)
    time.sleep(0.01)
"""


def over_a_slow_line(folder: Path) -> dict[str, str]:
    """The variables of a host that is reached so."""
    (folder / "slow.py").write_text(SLOW)
    proxy = f"-oProxyCommand={sys.executable} {folder}/slow.py %h %p"
    return {"ansible_ssh_extra_args": shlex.join([proxy, "-oControlPath=none"])}


def shown(command: list[str], watched: bool) -> bytes:
    """What a command that succeeds shows, on a terminal if it is ``watched``, else in a pipe."""
    ours, theirs = os.openpty() if watched else os.pipe()
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        text = b""
        with suppress(OSError):  # the other end of a terminal is gone
            for piece in iter(lambda: os.read(ours, 65536), b""):
                text += piece
        assert process.wait() == 0, text
    os.close(ours)
    return text
