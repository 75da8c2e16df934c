# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What holders have, over SFTP: through the number that it was pinned by, or once more through its link."""

from __future__ import annotations

import stat as modes
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from ansible_collections.procfs.rescue.plugins.module_utils._model import Sighting
from ansible_collections.procfs.rescue.plugins.module_utils._sighted import check_same, leads_to_no_file, link_is_gone
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import READ, stat
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_scan import file_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session


def unpin(session: Session, sightings: Iterable[Sighting]) -> None:
    session.close_all(one.handle for one in sightings if one.handle is not None)


@contextmanager
def readable(session: Session, sighting: Sighting) -> Iterator[int]:
    number = sighting.handle
    if number is None:
        number = _reopened(session, sighting)
    try:
        check_same(sighting, file_of(session.facts_of(number), sighting.mount, sighting.file.inode))
        yield number
    finally:
        if sighting.handle is None:
            session.close(number)


def _reopened(session: Session, sighting: Sighting) -> int:
    link = sighting.link.encode()
    try:
        if not modes.S_ISREG(session.run(stat(link)).st_mode):
            raise leads_to_no_file(sighting)
        return session.open_file(link, READ)
    except FileNotFoundError as error:
        raise link_is_gone(sighting) from error
