# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules as ad-hoc tasks on several hosts at once, through pytest-ansible."""

from __future__ import annotations

import gc

import pytest

HOLD = (
    "import sys\nopen(sys.argv[1], 'w').write(sys.argv[2])\nheld = open(sys.argv[1])\nprint(1, flush=True)\ninput()\n"
)


# What pytest-ansible's task queues leave open is theirs; it is collected here, so that no other test is blamed for it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_facts_restore_and_fetch_on_all_hosts(fleet, ansible_adhoc, tmp_path):
    path = "/srv/adhoc"
    holders = []
    for host in fleet.hosts:
        holder = host.spawn(["/usr/bin/python3", "-c", HOLD, path, f"of {host.name}"], stdin=-1, stdout=-1)
        assert holder.stdout.readline() == b"1\n"
        holders.append(holder)
        (host.root() / path.lstrip("/")).unlink()
    hosts = ansible_adhoc(inventory=str(fleet.inventory())).fleet

    def on_all(module, **arguments):
        return getattr(hosts, f"procfs.rescue.{module}")(**arguments)

    for name, result in on_all("deleted_files_facts", paths=[path]).items():
        (entry,) = result["ansible_facts"]["deleted_files"]
        assert entry["restorable"], name
    for name, result in on_all("fetch_file", path=path, dest=f"{tmp_path}/").items():
        assert result["changed"], name
        assert (tmp_path / name / path.lstrip("/")).read_text() == f"of {name}"
    for name, result in on_all("restore_file", path=path).items():
        assert result["files"][0]["status"] == "restored", name
    for host, holder in zip(fleet.hosts, holders, strict=True):
        assert (host.root() / path.lstrip("/")).read_text() == f"of {host.name}"
        holder.communicate(b"\n")
        (host.root() / path.lstrip("/")).unlink()
    gc.collect()
