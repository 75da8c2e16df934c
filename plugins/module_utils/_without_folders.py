# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""A host for one of several processes that work at once: whoever kills us is to leave one hidden folder at most."""

from contextlib import ExitStack, contextmanager
from typing import Any, Iterator, Optional

from ansible_collections.procfs.rescue.plugins.module_utils._draft import Draft
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._publish import Linked


class NeedsFolderError(Exception):
    """To put it back takes a hidden folder, of which there is to be but one if we are killed."""


def without_folders(host: Host) -> Host:
    """``host``, but NeedsFolderError is raised where a hidden folder would be made."""

    @contextmanager
    def draft_in(folder: int, **_nameless: bool) -> Iterator[Draft]:
        with ExitStack() as stack:
            try:
                draft = stack.enter_context(host.draft_in(folder, nameless=True))
            except OSError as error:
                raise NeedsFolderError from error
            yield draft

    def link_again(fd: int, folder: int, name: bytes, replacing: bool, *more: Any) -> Optional[Linked]:
        return needs_folder() if replacing else host.link_again(fd, folder, name, replacing, *more)

    def needs_folder(*_arguments: Any) -> Any:
        raise NeedsFolderError

    return host._replace(draft_in=draft_in, link_again=link_again, replace=needs_folder, make_folders=needs_folder)
