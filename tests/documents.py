# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the pages of this repository show to be typed or pasted."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "roles/*/README.md", "docs/docsite/rst/*.rst")

_MARKDOWN = re.compile(r"^( *)```(.*)\n((?:.*\n)*?)\1```$", re.MULTILINE)
_RST = re.compile(r"^( *)(?:\.\. code-block:: *(.*)|(?!\.\. ).*::)\n\n((?:\1  .*\n|\n)+)", re.MULTILINE)


class Block(NamedTuple):
    kind: str
    text: str

    @property
    def commands(self) -> list[str]:
        """What is typed, by a user or by root, without what is said about it."""
        return [line[2:].partition("  #")[0].rstrip() for line in self.text.splitlines() if line[:2] in ("$ ", "# ")]


def pages() -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for pattern in PAGES for path in ROOT.glob(pattern))


def blocks(page: str, heading: str | None = None) -> list[Block]:
    """The code blocks of a page, or of the part of it below a heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    if heading is not None:
        text = text.partition(f"\n{heading}\n")[2].partition(f"\n{heading.partition(' ')[0]} ")[0]
    shown = _RST if page.endswith(".rst") else _MARKDOWN
    return [Block(kind or "", textwrap.dedent(block).strip() + "\n") for _indent, kind, block in shown.findall(text)]
