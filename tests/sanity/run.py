# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs ansible-test sanity on a copy of the working tree: it wants a collection's real path and takes no link for one.

Arguments are handed on, as in ``python tests/sanity/run.py --test pylint``.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ansible_test

from interpreters import search_path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".work" / "sanity"
TREE = WORK / "ansible_collections" / "procfs" / "rescue"
HOME = WORK / "home"

# Put where ansible-test keeps the get-pip it downloads; every Python has a pip of its own to unpack. Quiet, then.
GET_PIP = """\
import pathlib, subprocess, sys
subprocess.run([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL, check=True)
pathlib.Path(sys.prefix, "pip.conf").write_text("[global]\\nquiet = 1\\n")
"""


def main(arguments: list[str]) -> int:
    copy_tree()
    provide_pip()
    environment = {**os.environ, "HOME": str(HOME), "PATH": search_path()}
    command = [str(Path(sys.executable).with_name("ansible-test")), "sanity", *arguments]
    return subprocess.run(command, cwd=TREE, env=environment, check=False).returncode


def copy_tree() -> None:
    shutil.rmtree(TREE, ignore_errors=True)
    # Root may be testing the clone of another user.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(git, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if os.path.lexists(ROOT / name):
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name, follow_symlinks=False)
    # Else ansible-test finds the repository around it, which ignores this copy.
    subprocess.run(["git", "init", "--quiet", str(TREE)], check=True)


def provide_pip() -> None:
    cache = HOME / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    source = Path(str(ansible_test.__file__)).with_name("_internal") / "python_requirements.py"
    for version in re.findall(r"pip='([0-9.]+)'", source.read_text(encoding="utf-8")):
        (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
