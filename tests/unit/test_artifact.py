# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What `make build` refuses to pack."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import artifact

META = {"FILES.json", "MANIFEST.json"}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(artifact, "ROOT", tmp_path)
    for name in "README.md", "plugins/modules/a.py", "docs/conf.py", "tests/b.py":
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    return tmp_path


def test_what_git_has_and_a_user_needs(clone: Path) -> None:
    artifact.check_names({"README.md", "plugins/modules/a.py", *META})


@pytest.mark.parametrize("stray", ["plugins/modules/stray.py", "docs/notes.rst"])
def test_a_file_that_git_does_not_have(clone: Path, stray: str) -> None:
    (clone / stray).touch()
    with pytest.raises(SystemExit, match=rf"git does not have .*: \['{stray}'\]"):
        artifact.check_names({"README.md", "plugins/modules/a.py", stray, *META})


@pytest.mark.parametrize("name", ["docs/conf.py", "tests/b.py"])
def test_what_no_user_needs(clone: Path, name: str) -> None:
    with pytest.raises(SystemExit, match="no user needs"):
        artifact.check_names({"README.md", "plugins/modules/a.py", name, *META})


def test_what_is_missing(clone: Path) -> None:
    with pytest.raises(SystemExit, match=r"it lacks \['README.md'\]"):
        artifact.check_names({"plugins/modules/a.py", *META})


def test_a_link_that_leads_out_of_the_artifact(clone: Path) -> None:
    (clone / "README.md").write_text("[a](plugins/modules/a.py) [b](plugins#x) [c](https://example.org) [d](#here)")
    artifact.check_links({"README.md", "plugins/modules/a.py"})
    (clone / "README.md").write_text("[a](tests/b.py)")
    with pytest.raises(SystemExit, match=r"links to tests/b\.py"):
        artifact.check_links({"README.md", "plugins/modules/a.py"})
