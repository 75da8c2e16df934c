# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Folders that are gone are made again over SFTP, as `_parents` does."""

from __future__ import annotations

from collections.abc import Sequence

from ansible_collections.procfs.rescue.plugins.module_utils._hidden import DRAFT
from ansible_collections.procfs.rescue.plugins.module_utils._model import Made, Missing
from ansible_collections.procfs.rescue.plugins.module_utils._parents import make_each, unmake_each
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_draft import Drafts
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_requests import (
    change,
    mkdir,
    rename,
)
from ansible_collections.procfs.rescue.plugins.plugin_utils._sftp_session import Session, path_of


class Parents:
    def __init__(self, session: Session, drafts: Drafts) -> None:
        self.session = session
        self.drafts = drafts

    def make_folders(self, folder: int, missing: Sequence[Missing]) -> tuple[int, list[Made]]:
        # SFTP cannot sync folders.
        return make_each(folder, missing, self._new_folder, lambda _folder: None, self.drafts.entries)

    def unmake_folders(self, folder: int, made: Sequence[Made]) -> None:
        unmake_each(folder, made, self.drafts.entries)

    def _new_folder(self, folder: int, wanted: Made) -> int:
        with self.drafts.hidden_in(folder) as hidden:
            draft = path_of(hidden, DRAFT)
            self.session.run(mkdir(draft, 0o700))
            new = self.session.open_folder(draft)
            try:
                self.session.run(change(path_of(new), st_uid=wanted.uid, st_gid=wanted.gid))
                self.session.run(change(path_of(new), st_mode=wanted.mode))
                # Of a folder OpenSSH looks first whether the name is taken; what could come between is an empty folder.
                self.session.run(rename(draft, path_of(folder, wanted.path)))
            except OSError:
                self.session.close(new)
                raise
            return new
