# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._hashing import Sha256


def test_nothing() -> None:
    assert Sha256().hexdigest() == hashlib.sha256().hexdigest()


def test_in_pieces_and_on_and_on() -> None:
    ours, theirs = Sha256(), hashlib.sha256()
    for _time in range(3):
        for size in (1, 1 << 20, 0, 12345):
            piece = os.urandom(size)
            ours.update(piece)
            theirs.update(piece)
        assert ours.hexdigest() == theirs.hexdigest()


@pytest.mark.parametrize("count", [0, 1, (1 << 20) - 1, 1 << 20, (3 << 20) + 5])
def test_zeros(count: int) -> None:
    ours = Sha256()
    ours.zeros(count)
    assert ours.hexdigest() == hashlib.sha256(bytes(count)).hexdigest()
