# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What README.md and those of the roles say of options, compared with what Ansible is told of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
# In the role's defaults, and too long for a table.
ELSEWHERE = "[see there](defaults/main.yml)"


def loaded(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("role", sorted(path.name for path in (ROOT / "roles").iterdir()))
def test_the_variables_of_a_role(role: str) -> None:
    options = loaded(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    text = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(rf"^\| `({role}_\w+)` \| (.*?) ?\|", text, re.MULTILINE))
    assert sorted(rows) == sorted(options)
    told = {name: yaml.safe_load(cell.strip("`")) for name, cell in rows.items() if cell != ELSEWHERE}
    assert told == {name: options[name].get("default") for name in told}


def test_which_modules_can_be_given_defaults_together() -> None:
    (sentence,) = re.findall(
        r"All but ([^.]+) can be given defaults together", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    modules = {path.stem for path in (ROOT / "plugins" / "modules").glob("*.py")}
    group = loaded("meta/runtime.yml")["action_groups"]["rescue"]
    assert sorted(re.findall(r"`(\w+)`", sentence)) == sorted(modules - set(group)) and set(group) <= modules
