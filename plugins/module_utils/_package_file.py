# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""One file out of the package of exactly the installed version. No script of the package runs.

The package comes from the package manager's cache on the host, else the package manager is asked to download it.
"""

import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager
from typing import Iterator, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _deb_archive, _rpm_archive
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need
from ansible_collections.procfs.rescue.plugins.module_utils._offer import Offer
from ansible_collections.procfs.rescue.plugins.module_utils._packages import LOCAL_RECORDS, aliases_of

_FORMATS = {"dpkg": _deb_archive, "rpm": _rpm_archive}


@contextmanager
def packaged(need: Need) -> Iterator[Tuple[Offer, int]]:
    """What the package has under that path, and a descriptor of its content, -1 for a symlink.

    Raises RescueError, with the reason ``no_package``.
    """
    form = _FORMATS.get(need.installed.manager) if need.installed else None
    if need.installed is None or form is None:
        raise RescueError("No package has %s." % printable(need.path), ["no_package"])
    with ExitStack() as stack:
        folder = tempfile.mkdtemp(prefix="procfs-rescue-")
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        archive = form.cached(need.installed) or form.downloaded(need.installed, folder)
        content = stack.enter_context(tempfile.TemporaryFile(dir=folder))
        names = {b"." + name for name in aliases_of([need.path], LOCAL_RECORDS)[need.path]}
        member = form.extracted(archive, names, content)
        if member is None:
            text = "%s has no %s." % (os.path.basename(archive), printable(need.path))
            raise RescueError(text, ["no_package"])
        content.flush()
        source = "%s in %s" % (printable(member.name), os.path.basename(archive))
        offer = Offer(
            member.size, member.mode, member.owner, member.group, member.mtime * 10**9, {}, member.leads_to, source
        )
        yield offer, -1 if member.leads_to is not None else content.fileno()
