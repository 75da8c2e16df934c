# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each file says under which licence it is, as the nox session license-check wants it said."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

antsibull_nox = pytest.importorskip("antsibull_nox", reason="antsibull-nox is not installed: see tests/requirements.in")

ROOT = Path(__file__).resolve().parents[2]
CHECK = Path(antsibull_nox.__file__).parent / "data" / "license-check.py"


def lists(file: str, key: str) -> list[str]:
    """A list of texts of a TOML file; Python 3.10 has no tomllib."""
    (found,) = re.findall(rf"^{key} = (\[.*\])$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    paths: list[str] = json.loads(found)
    return paths


def test_what_says_no_licence_itself_has_one_in_reuse_toml() -> None:
    assert lists("antsibull-nox.toml", "license_check_extra_ignore_paths") == lists("REUSE.toml", "path")


def test_the_license_check_of_nox(tmp_path: Path) -> None:
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    paths = subprocess.run(git, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")[:-1]
    assert "plugins/plugin_utils/report_files/page.css" in paths
    ignored = lists("antsibull-nox.toml", "license_check_extra_ignore_paths")
    (tmp_path / "data.json").write_text(json.dumps({"paths": paths, "extra_ignore_paths": ignored}))
    command = [sys.executable, CHECK, "--data", tmp_path / "data.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["messages"] == [] and done.returncode == 0, done.stderr
