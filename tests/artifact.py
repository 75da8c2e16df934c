# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds the artifact, looks at what is in it, installs it into an empty folder and uses it from there.

artifact.py          that
artifact.py galaxy   what Galaxy does with an upload: galaxy-importer, of which a warning counts as a failure
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / ".work" / "build"
COLLECTIONS = WORK / "collections"

# What a user needs; the rest belongs into build_ignore of galaxy.yml.
PACKED = {"CHANGELOG.md", "FILES.json", "LICENSES", "MANIFEST.json", "README.md", "REUSE.toml", "bindep.txt"}
PACKED |= {"CONTRIBUTING.md", "SECURITY.md"}
PACKED |= {"changelogs", "docs", "meta", "playbooks", "plugins", "requirements.in", "requirements.txt", "roles"}

# All that what a user calls may need of an installed collection, as Ansible's community asks.
USED = {"meta", "playbooks", "plugins", "roles"}

# Of these folders a user does not need all.
LEFT_OUT = ("changelogs/fragments/", "changelogs/.plugin-cache.yaml", "docs/conf.py")


def main(arguments: list[str]) -> None:
    shutil.rmtree(WORK, ignore_errors=True)
    COLLECTIONS.mkdir(parents=True)
    artifact = build(ROOT, WORK)
    content = digests(artifact)
    check_names(set(content))
    check_links(set(content))
    if arguments == ["galaxy"]:
        check_import(artifact)
        return
    check_reproducible(content)
    run(["ansible-galaxy", "collection", "install", "--offline", "-p", str(COLLECTIONS), str(artifact)])
    for kind, folder in ("module", "plugins/modules"), ("role", "roles"):
        here = {f"procfs.rescue.{path.stem}" for path in (ROOT / folder).iterdir() if path.stem != "__pycache__"}
        found = set(json.loads(run(["ansible-doc", "--json", "--list", "--type", kind, "procfs.rescue"])))
        if found != here:
            sys.exit(f"ansible-doc finds {sorted(found)} as {kind}s, not {sorted(here)}")
    for playbook in sorted((ROOT / "playbooks").glob("*.yml")):
        run(["ansible-playbook", "--syntax-check", "-i", "localhost,", f"procfs.rescue.{playbook.stem}"])
    strip(COLLECTIONS / "ansible_collections/procfs/rescue")
    page = WORK / "page.html"
    given = json.dumps({"report_dest": str(page), "ansible_python_interpreter": sys.executable})
    to_itself = ["-i", "localhost,", "-c", "local", "-e", given]
    told = run(["ansible-playbook", "procfs.rescue.report", *to_itself])
    if not page.exists() or "1 of 1 hosts looked at" not in told:
        sys.exit(f"The installed collection wrote no report of this machine: {told}")
    told = run(["ansible-playbook", "procfs.rescue.check", *to_itself])
    if "1 host: 1 was_fine" not in told:
        sys.exit(f"The installed collection did not find /bin/bash of this machine: {told}")
    print(f"{artifact.name}: {len(content)} files, built twice the same, installed, found")


def build(source: Path, into: Path) -> Path:
    WORK.mkdir(parents=True, exist_ok=True)
    run(["ansible-galaxy", "collection", "build", "--output-path", str(into), str(source)])
    (artifact,) = into.glob("procfs-rescue-*.tar.gz")
    return artifact


def digests(artifact: Path) -> dict[str, str]:
    """The SHA-256 of each file in it."""
    found = {}
    with tarfile.open(artifact) as archive:
        for member in archive:
            if member.isfile():
                file = archive.extractfile(member)
                found[member.name] = hashlib.sha256(file.read() if file else b"").hexdigest()
            elif not member.isdir():
                sys.exit(f"The artifact has {member.name}, which is no regular file")
    return found


def repository() -> list[str]:
    """The files that git has, and no others that lie about. Root may be testing the clone of another user."""
    git = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached"]
    known = subprocess.run(git, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split("\0")
    return [name for name in known if name and (ROOT / name).exists()]


def check_names(names: set[str]) -> None:
    wanted = {name for name in repository() if name.split("/")[0] in PACKED and not name.startswith(LEFT_OUT)}
    wanted |= {"FILES.json", "MANIFEST.json"}
    if names != wanted:
        surplus, missing = sorted(names - wanted), sorted(wanted - names)
        sys.exit(
            f"The artifact has what no user needs, or what git does not have (git add): {surplus}; it lacks {missing}"
        )


def check_links(names: set[str]) -> None:
    """What the packed pages link to is packed, too."""
    folders = {str(parent) for name in names for parent in Path(name).parents}
    for name in sorted(name for name in names if name.endswith(".md") and name != "CHANGELOG.md"):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / name).read_text(encoding="utf-8")):
            path = os.path.normpath(Path(name).parent / target)
            if path not in names | folders:
                sys.exit(f"{name} links to {target}, which is not in the artifact")


def strip(installed: Path) -> None:
    """Deletes all that what a user calls must not need."""
    for path in installed.iterdir():
        if path.name in USED:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def check_reproducible(content: dict[str, str]) -> None:
    """Built once more, from a copy at another time, it has the same files with the same content."""
    copy, again = WORK / "copy", WORK / "again"
    for name in repository():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, copy / name)
    again.mkdir()
    second = digests(build(copy, again))
    different = sorted(name for name in {*content, *second} if content.get(name) != second.get(name))
    if different:
        sys.exit(f"A second build differs in {different}")


def check_import(artifact: Path) -> None:
    output = run([sys.executable, "-m", "galaxy_importer.main", artifact.name])
    bad = [line for line in output.splitlines() if line.startswith(("WARNING", "ERROR"))]
    if bad or "Importer processing completed successfully" not in output:
        sys.exit("\n".join(bad) or output)
    print(f"{artifact.name}: Galaxy would take it")


def run(command: list[str]) -> str:
    """Away from the repository, so that nothing but the artifact is found; a warning counts as a failure."""
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "ANSIBLE_HOME": str(WORK / "home")}
    done = subprocess.run(command, cwd=WORK, env=environment, capture_output=True, text=True, check=False)
    if done.returncode or done.stderr:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}exit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
