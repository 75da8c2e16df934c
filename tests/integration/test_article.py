# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The classic rescue by hand through /proc/PID/exe, step by step, by modules on a real host."""

from __future__ import annotations

import hashlib
import subprocess

import pytest

from fleet import Host

BASH = "/usr/bin/bash"


def md5(host: Host, path: str) -> str:
    return hashlib.md5((host.root() / path.lstrip("/")).read_bytes()).hexdigest()


def test_bash_of_a_running_shell_comes_back_from_its_exe(fleet, run_module):
    host = fleet.hosts[1]
    shell = host.spawn([BASH, "-c", "while :; do sleep 3600; done"])
    before = md5(host, BASH)
    host.wreck(BASH)
    broken = subprocess.run(host.ssh_command("root") + ["true"], capture_output=True, text=True, check=False)
    assert broken.returncode != 0 and "Permission denied" in broken.stderr

    answer = run_module("restore_file", {"path": "/bin/bash"}, on="h2")

    assert not answer.failed, answer.output
    (file,) = answer.files
    assert file["status"] == "restored" and file["path"] == BASH
    assert file["source"]["via"] == "exe" and file["source"]["comm"] == "bash"
    assert file["content_by"] == "package", "dpkg knows the digest of bash"
    assert md5(host, BASH) == before
    assert host.run([BASH, "-c", "echo alive"]).stdout == b"alive\n"
    again = subprocess.run(host.ssh_command("root") + ["echo in"], capture_output=True, text=True, check=True)
    assert again.stdout == "in\n"
    shell.kill()
    shell.wait()


@pytest.mark.matrix
def test_a_movie_that_a_player_has_open_comes_back_under_a_new_name(host, lab, hold, run_module):
    movie = f"{lab}/movie.mkv"
    pid = hold(
        "import os, sys\nopen(sys.argv[1], 'wb').write(os.urandom(3_000_000))\nplayer = open(sys.argv[1], 'rb')\n",
        movie,
    )
    before = md5(host, movie)
    host.run(["rm", movie])

    answer = run_module("restore_file", {"path": movie, "dest": f"{lab}/rescued.mkv"})

    assert not answer.failed, answer.output
    (file,) = answer.files
    assert file["source"]["pid"] == pid and file["source"]["link"] == f"/proc/{pid}/fd/3"
    assert file["dest"] == f"{lab}/rescued.mkv" and file["mode"] == "0600"
    assert md5(host, f"{lab}/rescued.mkv") == before
    assert not (host.root() / movie.lstrip("/")).exists()


@pytest.mark.matrix
def test_what_maps_shows_as_deleted_is_in_the_facts_and_comes_back_through_map_files(host, lab, hold, run_module):
    library = f"{lab}/libmovie.so"
    pid = hold(
        "import mmap, os, sys\n"
        "open(sys.argv[1], 'wb').write(os.urandom(100_000))\n"
        "os.chmod(sys.argv[1], 0o755)\n"
        "file = open(sys.argv[1], 'rb')\n"
        "mapped = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)\n"
        "os.closerange(3, 20)  # mmap keeps a descriptor of its own\n",
        library,
    )
    before = md5(host, library)
    host.run(["rm", library])
    maps = host.run(["cat", f"/proc/{pid}/maps"]).stdout.decode()
    assert f"{library} (deleted)" in maps

    facts = run_module("deleted_files_facts", {"paths": [library]}).result["ansible_facts"]

    (entry,) = facts["deleted_files"]
    assert entry["path"] == library and entry["state"] == "removed" and entry["restorable"]
    (holder,) = entry["holders"]
    assert holder["via"] == "map" and holder["fd"] is None and holder["link"].startswith(f"/proc/{pid}/map_files/")

    answer = run_module("restore_file", {"source": entry})

    assert not answer.failed, answer.output
    assert answer.files[0]["source"]["via"] == "map" and answer.files[0]["mode"] == "0755"
    assert md5(host, library) == before
