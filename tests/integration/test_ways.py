# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Some cells of the table in README.md; ``make ways`` makes all of them."""

from __future__ import annotations

import pytest

from ways import COLUMNS, SCENARIOS, cell


@pytest.mark.parametrize(
    ("scenario", "column", "way"),
    [
        ("bash_is_sh", "lifeline, no connection", "lifeline"),
        ("libc", "lifeline, connection kept", "lifeline"),
        ("python", "no connection", "sftp"),
        ("sh_link", "lifeline, no connection", "module through /bin/dash"),
    ],
)
def test_a_way_leads_in(scenario, column, way):
    (lost,) = [one for one in SCENARIOS if one.name == scenario]
    assert cell(lost, COLUMNS.index(column)) == f"**{way}**"


def test_what_the_user_sees_where_none_does():
    (lost,) = [one for one in SCENARIOS if one.name == "bash"]
    shown = cell(lost, COLUMNS.index("no connection"))
    assert shown.startswith("no: ") and "wrong key or login shell gone" in shown
