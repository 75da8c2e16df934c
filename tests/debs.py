# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Small packages for the real dpkg and apt."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from fleet import Host


def build(
    folder: Path, name: str, version: str, files: Mapping[str, bytes], links: Mapping[str, str] | None = None
) -> Path:
    """A package with these contents and symlinks by path; what is below a bin folder may be executed."""
    top = folder / f"{name}-{version}"
    sums = ""
    for path, content in files.items():
        file = top / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if "bin" in file.parts else 0o644)
        sums += f"{hashlib.md5(content).hexdigest()}  {path.lstrip('/')}\n"
    for path, target in (links or {}).items():
        link = top / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
    control = top / "DEBIAN"
    control.mkdir()
    (control / "md5sums").write_bytes(os.fsencode(sums))  # names need not be UTF-8
    (control / "control").write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <nobody@example.org>\n"
        "Description: a test\n"
    )
    package = folder / f"{name}_{version}_all.deb"
    subprocess.check_output(["dpkg-deb", "--root-owner-group", "-b", top, package])
    return package


def put(host: Host, package: Path, path: str) -> None:
    host.run(["mkdir", "-p", str(Path(path).parent)])
    host.run(["dd", f"of={path}", "status=none"], input=package.read_bytes())


def install(host: Host, package: Path) -> None:
    put(host, package, f"/tmp/{package.name}")
    host.run(["dpkg", "-i", f"/tmp/{package.name}"])
    host.run(["rm", f"/tmp/{package.name}"])


def offer(host: Host, package: Path) -> None:
    """Lets apt on the host find the package in a repository in a folder."""
    put(host, package, f"/srv/packages/{package.name}")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    control = subprocess.check_output(["dpkg-deb", "-f", package]).decode()
    index = f"{control.strip()}\nFilename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
    host.run(["dd", "of=/srv/packages/Packages", "status=none"], input=index.encode())
    host.run(["sh", "-ec", "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*"])
    source = b"deb [trusted=yes] file:/srv/packages ./\n"
    host.run(["dd", "of=/etc/apt/sources.list", "status=none"], input=source)
    host.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "update"])
