# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A slow line, so that transfers take long enough to be told of."""

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
