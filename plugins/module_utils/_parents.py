# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Folders that are gone are made again: one in another, each whole or not at all, over nothing that has its name."""

import os
from contextlib import suppress
from typing import Callable, List, Sequence, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils._draft import ENTRIES, hidden_in
from ansible_collections.procfs.rescue.plugins.module_utils._handle import close, open_subfolder
from ansible_collections.procfs.rescue.plugins.module_utils._hidden import DRAFT, Entries
from ansible_collections.procfs.rescue.plugins.module_utils._model import Made, Missing
from ansible_collections.procfs.rescue.plugins.module_utils._new_folder import to_make
from ansible_collections.procfs.rescue.plugins.module_utils._publish import rename_without_replacing, sync


def make_folders(folder: int, missing: Sequence[Missing]) -> Tuple[int, List[Made]]:
    """Makes folders in the opened ``folder``, one in another; returns a descriptor of the last one.

    Owner and mode that nobody recorded are those of the folder around it, but nobody else may write there.
    Raises OSError; then none of them is left.
    """
    return make_each(folder, missing, _new_folder, sync, ENTRIES)


def unmake_folders(folder: int, made: Sequence[Made]) -> None:
    """Takes folders away again that `make_folders` made in the opened ``folder``, as far as nothing is in them."""
    unmake_each(folder, made, ENTRIES)


def _new_folder(folder: int, wanted: Made) -> int:
    with hidden_in(folder) as hidden:  # else its owner could exchange it before it is given away
        os.mkdir(DRAFT, 0o700, dir_fd=hidden)
        new = open_subfolder(DRAFT, hidden)
        try:
            os.fchown(new, wanted.uid, wanted.gid)
            os.fchmod(new, wanted.mode)
            rename_without_replacing(hidden, folder, wanted.path)
        except OSError:
            close(new)
            raise
        return new


def make_each(
    folder: int,
    missing: Sequence[Missing],
    new_folder: Callable[[int, Made], int],
    sync_names: Callable[[int], None],
    entries: Entries,
) -> Tuple[int, List[Made]]:
    """As `make_folders`, by whichever way: ``new_folder`` makes and opens one, whole or not at all."""
    made: List[Made] = []
    last = entries.subfolder(b".", folder)
    try:
        for one in missing:
            owned = to_make(one, *entries.owner_and_mode(last))
            new = new_folder(last, owned)
            made.append(owned)
            around, last = last, new
            try:
                sync_names(around)
            finally:
                entries.close(around)
    except OSError:
        entries.close(last)
        unmake_each(folder, made, entries)
        raise
    return last, made


def unmake_each(folder: int, made: Sequence[Made], entries: Entries) -> None:
    """As `unmake_folders`, by whichever way."""
    if made:
        with suppress(OSError):
            inner = entries.subfolder(made[0].path, folder)
            unmake_each(inner, made[1:], entries)
            entries.close(inner)
            entries.rmdir(made[0].path, folder)
