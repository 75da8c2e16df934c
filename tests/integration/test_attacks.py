# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever mallory shows root: nothing of it is restored, and it does not keep the honest file from coming back."""

from __future__ import annotations

import pytest

from attacks.cases import ATTACKS
from attacks.stage import ForbiddenHereError, Stage
from fleet import Fleet


@pytest.fixture(scope="module")
def stage():
    with Fleet(1) as fleet:
        yield Stage(fleet.hosts[0])


def try_out(stage, attack, *, honest):
    try:
        return stage.try_out(attack, honest=honest)
    except ForbiddenHereError as error:
        pytest.skip(f"this kernel forbids it: {error}")


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_alone_it_is_refused_and_nothing_is_written(stage, attack):
    trial = try_out(stage, attack, honest=False)
    assert trial.refused == set(attack.refused), trial.results
    assert {result["status"] for result in trial.results} == {"failed"}
    assert trial.after is None
    assert trial.folder[0] == trial.folder[1]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_beside_it_the_honest_file_comes_back(stage, attack):
    trial = try_out(stage, attack, honest=True)
    assert [result["status"] for result in trial.results] == ["restored"], trial.results
    assert trial.after == trial.before
