# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""restore_file where packages vouch for the content: real databases of rpm and dpkg on a real host."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

import rpms

HOLD = "import sys\nheld = [open(path) for path in sys.argv[1:]]\n"

TOOL, CONF, DATA = "/usr/bin/rescue-tool", "/etc/rescue-tool.conf", "/opt/rescue-tool"
DIRECTIVES = {TOOL: "%attr(4755, root, root)", CONF: "%config(noreplace)", DATA: "%dir %attr(2750, root, adm)"}


def inside(host, path):
    return host.root() / path.lstrip("/")


def rpm(host, *arguments, package=None):
    """Runs the host's rpm on its own database."""
    command = ["rpm", "--dbpath", "/var/lib/rpm", "--force-debian", "--nodeps", *arguments]
    if package is not None:
        host.run(["tee", "/root/package.rpm"], input=package.read_bytes())
        command.append("/root/package.rpm")
    host.run(command)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Two versions of a package."""
    folder = tmp_path_factory.mktemp("rpm")
    return [
        rpms.build(folder, "rescue-tool", version, {TOOL: f"tool {version}", CONF: f"conf {version}"}, DIRECTIVES)
        for version in ("1", "2")
    ]


@pytest.fixture
def installed(host, packages):
    """A host of rpm with the first version."""
    rpm(host, "-i", package=packages[0])
    yield
    rpm(host, "-e", "rescue-tool")
    host.run(["rm", "-rf", "/var/lib/rpm", TOOL, CONF, f"{CONF}.rpmsave", f"{CONF}.rpmnew"])
    host.run(["mkdir", "/var/lib/rpm"])


@pytest.mark.matrix
def test_what_rpm_proves_comes_back_with_setuid(host, installed, hold, run_module):
    hold(HOLD, TOOL)
    inside(host, TOOL).unlink()
    answer = run_module("restore_file", {"path": TOOL})
    assert not answer.failed, answer.output
    (file,) = answer.files
    assert (file["content_by"], file["usable"], file["dropped"]) == ("package", True, [])
    assert inside(host, TOOL).read_text() == "tool 1" and stat.S_IMODE(inside(host, TOOL).stat().st_mode) == 0o4755
    assert "warnings" not in answer.result


def test_an_old_version_that_was_kept_open_over_an_update_is_refused(host, installed, packages, hold, run_module):
    hold(HOLD, TOOL, user="mallory")
    rpm(host, "-U", package=packages[1])
    inside(host, TOOL).unlink()
    answer = run_module("restore_file", {"path": TOOL})
    assert answer.failed and answer.files[0]["refused"] == ["superseded"]
    assert not inside(host, TOOL).exists()
    (file,) = run_module("restore_file", {"path": TOOL, "accept": ["superseded"]}).files
    # rpm took the setuid bit from it, or it would be among what was dropped.
    assert (file["content_by"], file["accepted"]) == ("none", ["superseded"])
    assert inside(host, TOOL).read_text() == "tool 1" and stat.S_IMODE(inside(host, TOOL).stat().st_mode) == 0o755


def test_the_version_of_the_database_is_found_among_old_ones(host, installed, packages, hold, run_module):
    hold(HOLD, TOOL, user="mallory")
    rpm(host, "-U", package=packages[1])
    hold(HOLD, TOOL)
    inside(host, TOOL).unlink()
    (file,) = run_module("restore_file", {"path": TOOL}).files
    assert file["content_by"] == "package" and inside(host, TOOL).read_text() == "tool 2"


def test_configuration_that_was_changed_is_not_superseded(host, installed, hold, run_module):
    inside(host, CONF).write_text("as the administrator wants it")
    hold(HOLD, CONF)
    inside(host, CONF).unlink()
    answer = run_module("restore_file", {"path": CONF})
    assert not answer.failed, answer.output
    assert answer.files[0]["content_by"] == "none"
    assert inside(host, CONF).read_text() == "as the administrator wants it"


def test_the_name_before_rpm_renamed_it_is_understood(host, installed, hold, run_module):
    """An update that was cut off between the two."""
    hold(HOLD, TOOL)
    inside(host, TOOL).rename(inside(host, f"{TOOL};5f3e9a1b"))
    inside(host, f"{TOOL};5f3e9a1b").unlink()
    answer = run_module("restore_file", {"path": TOOL})
    assert not answer.failed, answer.output
    assert answer.files[0]["content_by"] == "package"


def test_a_name_like_rpm_s_of_what_no_package_owns(host, lab, installed, hold, run_module):
    path = f"{lab}/report"
    for name in (f"{path};20240101", path):
        inside(host, name).write_text(name)
    hold(HOLD, f"{path};20240101")
    inside(host, f"{path};20240101").unlink()
    inside(host, path).unlink()
    answer = run_module("restore_file", {"path": path})
    assert answer.failed and answer.files[0]["refused"] == ["not_held"]
    assert "no package is known to own" in answer.files[0]["msg"]
    answer = run_module("fetch_file", {"path": path, "dest": "/no/such"}, check=True)
    assert answer.failed and answer.result["refused"] == ["not_held"]


@pytest.mark.parametrize("damage", ["tool", "database"])
def test_a_database_that_cannot_be_asked_is_told(host, installed, hold, run_module, damage):
    """What it could have proven comes back unproven: without setuid."""
    hold(HOLD, TOOL)
    inside(host, TOOL).unlink()
    broken = "/usr/bin/rpm" if damage == "tool" else "/var/lib/rpm/rpmdb.sqlite"
    content = inside(host, broken).read_bytes()
    mode = stat.S_IMODE(inside(host, broken).stat().st_mode)
    if damage == "tool":
        inside(host, broken).unlink()
    else:
        inside(host, broken).write_bytes(b"no database" * 1000)
    try:
        answer = run_module("restore_file", {"path": TOOL}, may_warn=True)
    finally:
        inside(host, broken).write_bytes(content)
        inside(host, broken).chmod(mode)
    assert not answer.failed, answer.output
    (warning,) = answer.result["warnings"]
    assert warning.startswith("The package database could not be asked: ")
    assert answer.files[0]["content_by"] == "none" and answer.files[0]["dropped"] == ["setuid"]


def test_a_folder_comes_back_as_rpm_has_it(host, installed, hold, run_module):
    path = f"{DATA}/cache/state"
    host.run(["mkdir", f"{DATA}/cache"])
    inside(host, path).write_text("precious")
    hold(HOLD, path)
    host.run(["rm", "-r", DATA])
    answer = run_module("restore_file", {"path": path, "parents": True})
    assert not answer.failed, answer.output
    made = [
        (one["path"], one["owner"], one["group"], one["mode"], one["metadata_by"]) for one in answer.files[0]["made"]
    ]
    assert made == [(DATA, "root", "adm", "2750", "rpm"), (f"{DATA}/cache", "root", "adm", "2750", None)]
    assert inside(host, path).read_text() == "precious"
    status = inside(host, DATA).stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o2750, 0, 4)
    inside(host, path).unlink()
    inside(host, f"{DATA}/cache").rmdir()


def test_dpkg_and_rpm_on_one_host(host, installed, hold, run_module):
    """Each is asked for its own files, and sed is of dpkg."""
    hold(HOLD, TOOL, "/usr/bin/sed", "/usr/bin/perl")
    for path in (TOOL, "/usr/bin/sed", "/usr/bin/perl"):
        host.wreck(path)
    answer = run_module("restore_file", {"files": [TOOL, "/bin/sed", "/usr/bin/perl"]})
    assert not answer.failed, answer.output
    assert [file["content_by"] for file in answer.files] == ["package"] * 3


def test_configuration_of_a_package_of_dpkg_that_was_changed(host, hold, run_module):
    """binutils has it in its md5sums, too."""
    path = "/etc/gprofng.rc"
    known = Path("/var/lib/dpkg/info/binutils-common:amd64.md5sums").read_text()
    assert f"  {path[1:]}\n" in known
    inside(host, path).write_text("as the administrator wants it")
    hold(HOLD, path)
    inside(host, path).unlink()
    answer = run_module("restore_file", {"path": path})
    assert not answer.failed, answer.output
    assert answer.files[0]["content_by"] == "none"
    assert inside(host, path).read_text() == "as the administrator wants it"
