# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small packages for the real rpm."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SPEC = """\
Name: {name}
Version: {version}
Release: 1
Summary: A test
License: none
BuildArch: noarch
%description
A test.
%install
cp -a {tree}/. %{{buildroot}}
%files
{files}
"""


def build(
    folder: Path,
    name: str,
    version: str,
    files: dict[str, str],
    directives: dict[str, str] | None = None,
    symlinks: dict[str, str] | None = None,
    hard_links: dict[str, str] | None = None,
) -> Path:
    """A package with these contents, and where links lead, by path.

    ``directives`` are of rpm's %files section, such as %config, by path; what is %dir is made as a folder.
    """
    top = folder / f"{name}-{version}"
    tree = top / "tree"
    folders = [path for path, directive in (directives or {}).items() if directive.startswith("%dir")]
    for path in folders:
        (tree / path.lstrip("/")).mkdir(parents=True)
    for path, content in files.items():
        file = tree / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for path, target in (symlinks or {}).items():
        (tree / path.lstrip("/")).symlink_to(target)
    for path, target in (hard_links or {}).items():
        os.link(tree / target.lstrip("/"), tree / path.lstrip("/"))
    paths = [*folders, *files, *(symlinks or {}), *(hard_links or {})]
    lines = "\n".join(f'{(directives or {}).get(path, "")} "{path}"' for path in paths)
    spec = top / "package.spec"
    spec.write_text(SPEC.format(name=name, version=version, tree=tree, files=lines))
    # Debian's rpm would make a database in the home folder.
    settings = ["--define", f"_topdir {top}", "--define", f"_dbpath {top}/database"]
    command = ["rpmbuild", "-bb", "--quiet", *settings, spec]
    subprocess.check_output(command, stderr=subprocess.STDOUT)
    (package,) = (top / "RPMS").rglob("*.rpm")
    return package
