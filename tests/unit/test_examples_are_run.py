# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whatever a page shows to be typed or pasted, and each example of a plugin, belongs to a test that runs it."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import documents

ROOT = Path(__file__).resolve().parents[2]
INTEGRATION = ROOT / "tests" / "integration"

# page -> how a block begins -> file and name of its test. Each block has one row, each row one block.
RUN_BY = {
    "README.md": {
        "$ make check": "first_contact fresh_machine",
        "$ git clone": "first_contact fresh_machine",
        "$ ansible-galaxy": "first_contact by_galaxy",
        "# make drill": "first_contact fresh_machine",
        "- name: What does the full disk hold": "examples the_first_of_readme",
        "$ ansible-playbook procfs.rescue.report": "examples see_it",
        "- name: Alert": "playbooks_to_paste alert",
        "- name: Restart": "playbooks_to_paste restart",
        "- name: Find": "playbooks_to_paste find",
        "- name: Free": "playbooks_to_paste free",
        "- name: Keep": "playbooks_to_paste cmdb",
    },
    "CONTRIBUTING.md": {"# make drill": "first_contact first_change", "# make lint": "first_contact first_change"},
    "roles/lifeline/README.md": {
        "- name: Prepare": "examples the_lifeline_of_its_readme",
        "lifeline_port": "examples the_lifeline_of_its_readme",
        "$ ansible-playbook": "examples the_lifeline_of_its_readme",
    },
    "roles/rescue/README.md": {
        "- name: Bring": "examples the_role_rescue",
        "- name: Sum up": "examples the_role_rescue",
    },
    "roles/textfile/README.md": {"- name: Tell": "examples the_role_textfile"},
    # A guide is followed from its top to its end.
    "docs/docsite/rst/bash_is_gone.rst": {
        "$ ansible-playbook procfs.rescue.check -i INVENTORY --become\n": "guides bash_is_gone",
        "$ ansible-playbook procfs.rescue.check -i INVENTORY --become -e": "guides bash_is_gone",
        "$ ansible-playbook procfs.rescue.rescue": "guides bash_is_gone",
        "# cp -p": "guides a_bash_that_runs_brings_itself_back",
        "- name: What else": "guides bash_is_gone",
    },
    "docs/docsite/rst/collect_evidence.rst": {
        "$ ansible-playbook procfs.rescue.collect -i INVENTORY --become -e collect_dest": "guides collect_evidence",
        "$ ansible-playbook procfs.rescue.collect -i INVENTORY --become -e '": "guides collect_evidence",
        "$ cd evidence": "guides collect_evidence",
        "$ sha256sum": "guides collect_evidence",
    },
    "docs/docsite/rst/disk_is_full.rst": {
        "$ ansible all -i INVENTORY --become -m procfs.rescue.deleted": "guides the_disk_is_full",
        "$ ansible all -i INVENTORY --become -m procfs.rescue.fetch": "guides the_disk_is_full",
        "$ ansible all -i INVENTORY --become --check": "guides the_disk_is_full",
        "- name: Free": "guides the_disk_is_full",
    },
    "docs/docsite/rst/prepare.rst": {
        "$ ssh-keygen": "guides prepare",
        "lifeline_port": "guides prepare",
        "$ ansible-playbook procfs.rescue.lifeline -i INVENTORY --become\n": "guides prepare",
        "$ ansible-playbook procfs.rescue.lifeline -i INVENTORY --become -e": "guides prepare",
    },
    "docs/docsite/rst/report.rst": {
        "$ ansible-playbook procfs.rescue.report -i INVENTORY": "guides report",
        "$ ansible-playbook procfs.rescue.rescue": "guides report",
        "$ ansible-playbook procfs.rescue.report -i localhost": "guides report",
    },
    "docs/docsite/rst/what_do_i_restart.rst": {"- name: Who runs": "guides what_to_restart"},
}


@functools.lru_cache
def functions(file: str) -> dict[str, str]:
    """The source of each test of a file below tests/integration."""
    text = (INTEGRATION / f"test_{file}.py").read_text(encoding="utf-8")
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_source_segment(text, node) or "" for node in found}


@pytest.mark.parametrize("page", documents.pages())
def test_a_page(page: str) -> None:
    blocks = documents.blocks(page)
    rows = RUN_BY.get(page, {})
    for block in blocks:
        assert len([begin for begin in rows if block.text.startswith(begin)]) == 1, (
            f"which test runs this? {block.text}"
        )
    assert len(rows) == len(blocks), "rows without a block"


@pytest.mark.parametrize("test", sorted({test for rows in RUN_BY.values() for test in rows.values()}))
def test_its_test_is_there(test: str) -> None:
    file, name = test.split()
    source = next(
        source for found, source in functions(file).items() if found.removeprefix("test_") in (name, f"a_{name}")
    )
    guides = [Path(page).name for page, rows in RUN_BY.items() if page.endswith(".rst") and test in rows.values()]
    assert all(guide in source for guide in guides)


def test_the_examples_of_plugins() -> None:
    plugins = ROOT / "plugins"
    modules = {path.stem for path in (plugins / "modules").glob("*.py")}
    others = {path.stem for path in (plugins / "filter").glob("*.yml")}
    others |= {path.stem for path in (plugins / "lookup").glob("*.py")}
    asked = [
        node.args[0].value
        for node in ast.walk(ast.parse((INTEGRATION / "test_examples.py").read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "examples"
        if isinstance(node.args[0], ast.Constant)
    ]
    assert set(asked) == modules | others
