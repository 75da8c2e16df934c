# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attacks of unprivileged users on a real host: none is believed, and none keeps the honest file from coming back."""

from __future__ import annotations

import pytest

from attacks.arena import Arena, ForbiddenError
from attacks.catalogue import ATTACKS, Attack
from attacks.trial import Trial, trial
from fleet import Fleet

each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


@pytest.fixture(scope="module")
def arena():
    with Fleet(1) as fleet:
        yield Arena(fleet.hosts[0])


def tried(arena: Arena, attack: Attack, honest: bool) -> Trial:
    try:
        return trial(arena, attack, honest)
    except ForbiddenError as error:
        pytest.skip(f"the kernel of this machine forbids it: {error}")


@each_attack
def test_it_is_refused_by_name_with_nothing_written(arena, attack):
    result = tried(arena, attack, honest=False)
    assert not result.is_written
    assert set(result.refused) == attack.reasons


@each_attack
def test_beside_it_the_honest_file_comes_back(arena, attack):
    result = tried(arena, attack, honest=True)
    assert result.is_honest_back and not result.is_written, result.refused
