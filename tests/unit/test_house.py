# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who may import whom in plugins/."""

from __future__ import annotations

import ast
import fnmatch
import graphlib
from pathlib import Path

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
PREFIX = "ansible_collections.procfs.rescue.plugins."
# What takes options from Ansible and gives it an answer.
ANSIBLES_SIDE = ("_*_task.py", "_sizes.py", "_restore_spec.py")


def imports(path: Path) -> set[str]:
    """The names of all modules that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative imports are not followed here"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


FILES = {
    ".".join(path.relative_to(PLUGINS).with_suffix("").parts): imports(path) for path in sorted(PLUGINS.rglob("*.py"))
}
GRAPH = {
    name: {found.removeprefix(PREFIX) for found in used if found.removeprefix(PREFIX) in FILES}
    for name, used in FILES.items()
}


def test_no_import_goes_in_a_circle() -> None:
    assert len(GRAPH) > 50 and "module_utils._judge" in GRAPH["module_utils._choose"]
    graphlib.TopologicalSorter(GRAPH).prepare()  # raises CycleError


def test_what_runs_on_hosts_knows_nothing_of_the_controller() -> None:
    for name, used in GRAPH.items():
        if name.startswith(("module_utils.", "modules.")):
            assert all(one.startswith("module_utils.") for one in used), f"{name} imports {sorted(used)}"


def test_steps_work_without_ansible() -> None:
    steps = (PLUGINS / "module_utils").glob("*.py")
    asking = {path.name for path in steps if any(name.split(".")[0] == "ansible" for name in imports(path))}
    assert "_sizes.py" in asking
    assert [name for name in asking if not any(fnmatch.fnmatch(name, one) for one in ANSIBLES_SIDE)] == []
