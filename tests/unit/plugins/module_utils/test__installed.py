# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._installed import (
    dpkg_paths_below,
    installed_by_dpkg,
    may_be_symlink,
    may_be_symlink_by_dpkg,
)
from ansible_collections.procfs.rescue.plugins.module_utils._packages import Records

LISTS = {
    b"tool.list": b"/.\n/bin\n/bin/sh\n/etc/tool.conf\n/etc/old.conf\n/usr/lib/tool\n/usr/lib/tool/a\n",
    b"tool.conffiles": b"/etc/tool.conf\nremove-on-upgrade /etc/old.conf\n",
    b"tool.md5sums": b"/usr/bin/none\n",
}
RECORDS = Records(
    lambda: list(LISTS),
    lambda names: [LISTS[name] for name in names],
    lambda folder: b"/usr" + folder if folder == b"/bin" else None,
)


@pytest.mark.parametrize(
    ("path", "may_be"),
    [
        (b"/usr/bin/sh", True),  # / is merged with /usr
        (b"/bin/sh", True),
        (b"/usr/bin/s", False),
        (b"/usr/bin/none", False),
        (b"/etc/tool.conf", False),
        (b"/etc/old.conf", False),
        (b"/usr/lib/tool", False),
        (b"/usr/lib/tool/a", True),
        (b"/x\n/bin/sh", False),
    ],
)
def test_where_dpkg_may_have_a_symlink(path: bytes, may_be: bool) -> None:
    assert may_be_symlink_by_dpkg(path, RECORDS) is may_be


def test_this_machine_s_shell() -> None:
    assert may_be_symlink(b"/bin/sh", b"dash") and may_be_symlink(b"/usr/bin/sh", b"dash")
    assert not may_be_symlink(b"/srv/no/such", b"dash")


@pytest.mark.parametrize("folder", [b"/usr/bin", b"/bin", b"/usr/bin/"])
def test_all_of_a_folder_that_is_merged_itself(folder: bytes) -> None:
    """What dpkg lists below /bin is below /usr/bin."""
    assert dpkg_paths_below(folder, RECORDS) == [folder.rstrip(b"/") + b"/sh"]


@pytest.mark.parametrize("order", [1, -1])
def test_a_file_that_packages_of_two_architectures_share(order: int) -> None:
    """Whichever comes first in the folder: what one host has is compared with what another one has."""
    stanza = "Package: tool\nStatus: install ok installed\nArchitecture: {0}\nMulti-Arch: same\nVersion: 1.0\n\n"
    files = {
        b"tool:amd64.list": b"/.\n/usr/share/tool\n",
        b"tool:i386.list": b"/.\n/usr/share/tool\n",
        b"../status": "".join(map(stanza.format, ("amd64", "i386"))).encode(),
    }
    records = Records(lambda: list(files)[::order], lambda names: [files[name] for name in names], lambda _folder: None)
    assert installed_by_dpkg([b"/usr/share/tool"], records)[b"/usr/share/tool"].architecture == "amd64"
