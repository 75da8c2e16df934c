# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""publish over SFTP: as `_publish`, with what its requests allow: none makes a name last."""

from __future__ import annotations

import errno
import os
from typing import cast

from ansible_collections.procfs.rescue.plugins.module_utils._draft import Draft
from ansible_collections.procfs.rescue.plugins.module_utils._hidden import DRAFT
from ansible_collections.procfs.rescue.plugins.module_utils._publish import NotKnownError, name_over
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_draft import Drafts, give_name
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_folders import Folders
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import fsync, hardlink, rename
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of


class Publisher:
    def __init__(self, session: Session, folders: Folders, drafts: Drafts) -> None:
        self.session = session
        self.folders = folders
        self.drafts = drafts

    def publish(self, draft: Draft, folder: int, name: bytes, *_sync: object) -> None:
        self._fsync(draft.fd)
        old, new = _hidden_path(draft), path_of(folder, name)
        try:
            give_name(self.session, hardlink(old, new))
        except NotKnownError:
            raise
        except OSError as error:
            if self.folders.mode_of(folder, name) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            # Without that extension, or on a file system without hard links; SFTP's own rename never replaces.
            give_name(self.session, rename(old, new))

    def replace(self, draft: Draft, folder: int, name: bytes, backup: bool, _sync: object = None) -> bytes | None:
        self._fsync(draft.fd)
        return name_over(cast(int, draft.hidden), folder, name, backup, self.drafts.entries)

    def _fsync(self, number: int) -> None:
        if self.session.has(b"fsync@openssh.com"):
            self.session.run(fsync(self.session.handle(number)))


def _hidden_path(draft: Draft) -> bytes:
    return path_of(cast(int, draft.hidden), DRAFT)  # nothing over SFTP is nameless
