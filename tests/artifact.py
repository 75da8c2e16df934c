# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the artifact, looks at what is in it, installs it into an empty folder and uses it from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".work" / "build"
COLLECTIONS = WORK / "collections"

# What a user may need; the rest belongs into build_ignore of galaxy.yml.
PACKED = {"CHANGELOG.md", "FILES.json", "LICENSES", "MANIFEST.json", "README.md", "REUSE.toml", "bindep.txt"}
PACKED |= {"CONTRIBUTING.md", "SECURITY.md"}
PACKED |= {"changelogs", "docs", "meta", "playbooks", "plugins", "requirements.in", "requirements.txt", "roles"}


def main() -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    COLLECTIONS.mkdir(parents=True)
    run(["ansible-galaxy", "collection", "build", "--output-path", str(WORK), str(ROOT)])
    (artifact,) = WORK.glob("procfs-rescue-*.tar.gz")
    check_content(artifact)
    run(["ansible-galaxy", "collection", "install", "--offline", "-p", str(COLLECTIONS), str(artifact)])
    for kind, folder in ("module", "plugins/modules"), ("role", "roles"):
        here = {f"procfs.rescue.{path.stem}" for path in (ROOT / folder).iterdir() if path.stem != "__pycache__"}
        found = set(json.loads(run(["ansible-doc", "--json", "--list", "--type", kind, "procfs.rescue"])))
        if found != here:
            sys.exit(f"ansible-doc finds {sorted(found)} as {kind}s, not {sorted(here)}")
    for playbook in sorted((ROOT / "playbooks").glob("*.yml")):
        run(["ansible-playbook", "--syntax-check", "-i", "localhost,", f"procfs.rescue.{playbook.stem}"])
    print(f"{artifact.name}: built, installed, found")


def check_content(artifact: Path) -> None:
    with tarfile.open(artifact) as archive:
        names = {member.name for member in archive if not member.isdir()}
    surplus = {name.split("/")[0] for name in names} - PACKED
    if surplus:
        sys.exit(f"The artifact has what no user needs: {sorted(surplus)}")
    # Root may be testing the clone of another user.
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(git, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
    debris = names - set(known) - {"FILES.json", "MANIFEST.json"}
    if debris:
        sys.exit(f"The artifact has files that git ignores: {sorted(debris)}")


def run(command: list[str]) -> str:
    """Away from the repository, so that nothing but the artifact is found; a warning counts as a failure."""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(WORK / "home")}
    done = subprocess.run(command, cwd=WORK, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}exit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
