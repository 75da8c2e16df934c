# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""verify over SFTP: content of what the server has open for us, read and digested here."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import closing, suppress

from ansible_collections.procfs.rescue.plugins.module_utils._verify import digests_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import (
    PIECE,
    READ,
    close,
    open_file,
    read,
    stat,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of

# Bytes that are read at once: as many as the requests of a window carry.
_SPAN = 32 * PIECE


class Contents:
    def __init__(self, session: Session) -> None:
        self.session = session

    def size(self, number: int) -> int:
        size: int = self.session.run(stat(path_of(number))).st_size
        return size

    def content(self, number: int, size: int | None = None) -> Generator[bytes, None, None]:
        """The first ``size`` bytes, or as many as it has now, piece by piece; a file may grow without an end."""
        size = self.size(number) if size is None else size
        handle = self.session.run(open_file(path_of(number), READ))
        try:
            for start in range(0, size, _SPAN):
                offsets = range(start, min(start + _SPAN, size), PIECE)
                tasks = [read(handle, offset, min(PIECE, size - offset)) for offset in offsets]
                for piece in self.session.together(tasks):
                    if isinstance(piece, OSError):
                        raise piece
                    yield piece
        finally:
            with suppress(OSError):  # also long after the session was lost, or in the middle of a request: collected
                self.session.run(close(handle))

    def digests(self, number: int, algorithms: Iterable[str], size: int | None = None) -> dict[str, str]:
        with closing(self.content(number, size)) as pieces:
            return digests_of(pieces, algorithms)
