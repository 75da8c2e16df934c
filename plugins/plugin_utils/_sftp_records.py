# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What is on record on a host, read over SFTP: its accounts, its dpkg database, the lifeline's record."""

from __future__ import annotations

import os
from collections.abc import Iterator

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import names_by_number
from ansible_collections.procfs.rescue.plugins.module_utils._packages import INFO, Records
from ansible_collections.procfs.rescue.plugins.module_utils._record import RECORD, is_roots
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_client import SessionError
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import content as content_of
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import lstat, names, readlink, stat
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session

# Records of packages that are read at once.
_AT_ONCE = 64


def names_of(session: Session, path: bytes) -> dict[int, str]:
    """By number, from /etc/passwd or /etc/group."""
    try:
        return names_by_number(session.run(content_of(path)))
    except FileNotFoundError:
        return {}


def read_record(session: Session) -> bytes:
    try:
        status = session.run(lstat(RECORD))
        return session.run(content_of(RECORD)) if is_roots(status.st_uid, status.st_mode) else b""
    except SessionError:
        raise
    except OSError:
        return b""


def own_ids(session: Session) -> tuple[int, int]:
    status = session.run(stat(b"/proc/self"))
    return status.st_uid, status.st_gid


def dpkg_records(session: Session) -> Records:
    return Records(
        lambda: session.run(names(INFO)), lambda wanted: _contents(session, wanted), lambda path: _real(session, path)
    )


def _contents(session: Session, wanted: list[bytes]) -> Iterator[bytes]:
    for start in range(0, len(wanted), _AT_ONCE):  # what is looked for may be in the first ones
        tasks = [content_of(os.path.join(INFO, name), is_on_disk=True) for name in wanted[start : start + _AT_ONCE]]
        for found in session.together(tasks):
            if isinstance(found, FileNotFoundError):
                yield b""
            elif isinstance(found, OSError):
                raise found
            else:
                yield found


def _real(session: Session, folder: bytes) -> bytes | None:
    try:
        target = session.run(readlink(folder))
    except OSError:
        return None
    return os.path.normpath(os.path.join(os.path.dirname(folder), target))
