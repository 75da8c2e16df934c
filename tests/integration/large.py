# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A file with offsets of more than 32 bits, every byte of which is hashed."""

from __future__ import annotations

import hashlib
import os


def check_more_than_four_gibibytes(host, lab, hold, restore):
    """``restore`` runs a module on the host."""
    path, size = f"{lab}/large", 2**32 + 5
    local = host.root() / path.lstrip("/")
    with open(local, "w+b") as file:
        file.truncate(size)
        for place, piece in ((0, b"begin"), (2**32 - 3, b"across"), (size - 2, b"of")):
            os.pwrite(file.fileno(), piece, place)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    hold("import sys\nheld = open(sys.argv[1], 'rb')\n", path)
    local.unlink()
    answer = restore("restore_file", {"path": path})
    assert not answer.failed, answer.output
    (result,) = answer.files
    assert (result["status"], result["size"], result["checksum"]) == ("restored", size, f"sha256:{digest}")
    with open(local, "rb") as file:
        assert hashlib.file_digest(file, "sha256").hexdigest() == digest
    local.unlink()
