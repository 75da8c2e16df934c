# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What of a file is no hole (lseek(2), Linux 3.1)."""

import errno
import os
from typing import Iterator, Tuple


def data_ranges(source: int, offset: int, size: int) -> Iterator[Tuple[int, int]]:
    """The (start, end) of what is no hole between ``offset`` and ``size``."""
    end = offset
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
            end = min(os.lseek(source, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # a hole up to the end
                return
            start, end = end, size  # no such seek here
        if start < end:
            yield start, end
