# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the Pythons of this machine are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def search_path() -> str:
    """pyenv's shims answer for versions that they then refuse to run; the versions' own folders do not."""
    folders = [folder for folder in os.environ["PATH"].split(os.pathsep) if Path(folder).name != "shims"]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    return os.pathsep.join([*folders, *(str(path) for above in (pyenv, uv) for path in sorted(above.glob("*/bin")))])


def interpreter(version: str) -> str | None:
    """The path of a Python such as ``3.6``, or None."""
    return shutil.which(f"python{version}", path=search_path())
