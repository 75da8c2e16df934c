# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""copy over SFTP: on the server where it can (copy-data), else through here."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing, suppress

from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import (
    PIECE,
    READ,
    change,
    close,
    copy_data,
    open_file,
    write,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_verify import Contents

# One copy-data request must be answered within the time limit.
_COPY = 16 * 1024 * 1024


class Copier:
    def __init__(self, session: Session, contents: Contents) -> None:
        self.session = session
        self.contents = contents

    def copy_content(self, source: int, target: int) -> None:
        size = self.contents.size(source)
        self.session.run(change(path_of(target), st_size=0))
        if self.session.has(b"copy-data"):
            self._copy_on_server(source, target, size)
        else:
            with closing(self.contents.content(source)) as pieces:
                self.write_content(pieces, target)
        self.session.run(change(path_of(target), st_size=size))

    def _copy_on_server(self, source: int, target: int, size: int) -> None:
        reader = self.session.run(open_file(path_of(source), READ))
        writer = self.session.handle(target)
        try:
            for offset in range(0, size, _COPY):
                self.session.run(copy_data(reader, writer, offset, min(_COPY, size - offset)))
        finally:
            with suppress(OSError):  # of a session that was given up, which is said already
                self.session.run(close(reader))

    def write_content(self, pieces: Iterable[bytes], target: int) -> int:
        handle = self.session.handle(target)
        offset = self.contents.size(target)
        for piece in pieces:
            for start in range(0, len(piece), PIECE):
                part = piece[start : start + PIECE]
                if part.strip(b"\0"):  # what is all zeros stays a hole
                    self.session.run(write(handle, offset, part))
                offset += len(part)
        self.session.run(change(path_of(target), st_size=offset))
        return offset
