# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _accounts
from ansible_collections.procfs.rescue.plugins.module_utils._accounts import names_by_number, number_of
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError

NAMES = {0: "root"}


def test_names_of_this_machine() -> None:
    assert (_accounts.user_names()[0], _accounts.group_names()[0]) == ("root", "root")


def test_the_first_of_two_names_counts_and_odd_lines_do_not() -> None:
    passwd = b"root:x:0:0::/:/bin/sh\ntoor:x:0:0::/:/bin/sh\n\n+nis\nx:x:-1:\nm\xfcller:x:7:7::/:\ncut:x:8"
    assert names_by_number(passwd) == {0: "root", 7: "m\ufffdller", 8: "cut"}


def test_a_number_that_is_none() -> None:
    passwd = "root:x:0:0::/:/bin/sh\nodd:x:²:0::/:/bin/sh\n".encode()
    assert names_by_number(passwd) == {0: "root"}


def test_no_file(tmp_path: Path) -> None:
    assert _accounts._read(str(tmp_path / "passwd")) == {}


def test_numbers() -> None:
    assert (number_of("root", NAMES, "user"), number_of("12345", NAMES, "user")) == (0, 12345)


@pytest.mark.parametrize("name", ["no such user", "", "-1", "²", "0x10"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(RescueError) as unknown:
        number_of(name, NAMES, "group")
    assert str(unknown.value) == f"There is no group {name!r} on this host: give its number."


def test_a_number_that_no_file_can_have() -> None:
    """The kernel takes -1 (2**32 - 1) for "leave as it is", and Python's fchown refuses what is greater."""
    for number in (2**32 - 1, 2**32, 10**30):
        with pytest.raises(RescueError):
            number_of(str(number), NAMES, "user")
    assert number_of(str(2**32 - 2), NAMES, "user") == 2**32 - 2
