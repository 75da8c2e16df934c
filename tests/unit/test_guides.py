# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the guides say, compared with what the code says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RST = ROOT / "docs" / "docsite" / "rst"
CODE = sorted((ROOT / "plugins").rglob("*.py"))


def nodes() -> Iterator[ast.AST]:
    for path in CODE:
        yield from ast.walk(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("guide", sorted(path.stem for path in RST.glob("*.rst") if path.stem != "inclusion"))
def test_a_guide_begins_with_what_not_to_do(guide: str) -> None:
    text = (RST / f"{guide}.rst").read_text(encoding="utf-8")
    first = re.search(r"^=+\n\n\.\. warning::\n\n((?:  .*\n)+)", text, re.MULTILINE)
    assert first is not None, "a warning is not the first thing it says"
    said = " ".join(first[1].replace("*", "").lower().split())
    for phrase in "do not reboot", "do not restart or end", "do not close that shell":
        assert phrase in said


def reasons() -> set[str]:
    """All names of reasons that results can have in ``refused``."""
    found: set[str] = set()
    for node in nodes():
        given: list[ast.expr] = []
        if isinstance(node, ast.Assign) and any(isinstance(to, ast.Name) and to.id == "REASONS" for to in node.targets):
            assert isinstance(node.value, ast.Dict)
            found |= {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            given = node.args[1:] if name in ("RescueError", "failed") else []
            given += [keyword.value for keyword in node.keywords if keyword.arg in ("reasons", "refused")]
        elif isinstance(node, ast.Dict):
            given = [
                value
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "refused"
            ]
        for one in given:
            if isinstance(one, ast.List):
                found |= {str(name.value) for name in one.elts if isinstance(name, ast.Constant)}
    return found


def test_each_reason_to_refuse_is_in_the_security_model() -> None:
    rows = re.findall(r"^   \* - (``.*)$", (RST / "security.rst").read_text(encoding="utf-8"), re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"``(\w+)``", row)}
    assert {"place_differs", "no_digest", "incomplete", "unreachable", "may_read"} <= reasons()
    assert told == reasons()


# They describe a result or ask something.
NO_MESSAGES = {"consistent: false", "The facts say complete: false"}


def test_the_faq_quotes_messages_as_they_are() -> None:
    text = (RST / "faq.rst").read_text(encoding="utf-8").partition("=\n\n")[2]
    headings = set(re.findall(r"^(.+)\n-+$", text, re.MULTILINE))
    assert headings >= NO_MESSAGES
    said = [node.value for node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    everything = "\n".join(said).lower()
    quoted = {heading for heading in headings - NO_MESSAGES if not heading.endswith("?")}
    assert len(quoted) >= 10
    for heading in quoted:
        for part in re.split(r"…|/proc/…| \(.*\)", heading):
            wanted = part.strip(" :,").lower()
            assert wanted in everything, f"nothing says {part!r}"
