# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that the real rpm built."""

from __future__ import annotations

import io
import shlex
from pathlib import Path

import pytest

import rpms
from ansible_collections.procfs.rescue.plugins.module_utils import _rpm_archive
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed
from ansible_collections.procfs.rescue.plugins.module_utils._rpm_archive import cached, downloaded, extracted

FILES = {"/usr/bin/a": "a" * 5001, "/usr/bin/empty": "", "/usr/bin/tool": "tool" * 700_000}


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    links = {f"/usr/bin/twin{number}": "/usr/bin/tool" for number in (1, 2)}
    folder = tmp_path_factory.mktemp("rpm")
    return rpms.build(folder, "tools", "1.2", FILES, {"/usr/bin/a": "%attr(0750, root, root)"}, SYMLINKS, links)


SYMLINKS = {"/usr/bin/link": "tool"}


@pytest.mark.parametrize("name", [*FILES, "/usr/bin/twin1", "/usr/bin/twin2"])
def test_a_file(archive: Path, name: str) -> None:
    content = io.BytesIO()
    member = extracted(str(archive), {b"." + name.encode()}, content)
    expected = FILES.get(name, FILES["/usr/bin/tool"])
    assert member is not None
    assert (member.name, member.size, member.leads_to) == (b"." + name.encode(), len(expected), None)
    assert content.getvalue() == expected.encode()
    assert (member.owner, member.group) == ("root", "root")
    if name == "/usr/bin/a":
        assert member.mode == 0o750


def test_a_symlink(archive: Path) -> None:
    member = extracted(str(archive), {b"./usr/bin/link"}, io.BytesIO())
    assert member is not None
    assert (member.leads_to, member.name) == (b"tool", b"./usr/bin/link")


def test_what_it_does_not_have(archive: Path) -> None:
    assert extracted(str(archive), {b"./usr/bin/other"}, io.BytesIO()) is None


def test_an_archive_that_is_cut_off(archive: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.rpm"
    cut.write_bytes(archive.read_bytes()[:-2000])
    with pytest.raises(RescueError, match="ends too early"):
        extracted(str(cut), {b"./usr/bin/tool"}, io.BytesIO())


def test_what_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "text.rpm").write_text("no package")
    with pytest.raises(RescueError, match="ends too early"):
        extracted(str(tmp_path / "text.rpm"), {b"./usr/bin/tool"}, io.BytesIO())


def test_the_cache_of_a_package_manager(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes by what the package says of itself; its name alone may be anybody's."""
    monkeypatch.setattr(_rpm_archive, "_CACHES", (str(tmp_path / "none"), str(tmp_path / "cache")))
    kept = tmp_path / "cache/fedora-0123/packages/tools-1.2-1.noarch.rpm"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(archive.read_bytes())
    kept.with_name("tools-1.3-1.noarch.rpm").write_bytes(archive.read_bytes())
    assert cached(Installed("tools", "1.2-1", "noarch", "rpm")) == str(kept)
    assert cached(Installed("tools", "1.3-1", "noarch", "rpm")) == ""
    assert cached(Installed("tools", "1.2-2", "noarch", "rpm")) == ""


def test_a_damaged_file_in_the_cache(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that was cut off, by a full disk, say; another cache has it whole."""
    monkeypatch.setattr(_rpm_archive, "_CACHES", (str(tmp_path / "damaged"), str(tmp_path / "whole")))
    for folder, content in (("damaged", archive.read_bytes()[:300]), ("whole", archive.read_bytes())):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / archive.name).write_bytes(content)
    assert cached(INSTALLED) == str(tmp_path / "whole" / archive.name)
    (tmp_path / "whole" / archive.name).unlink()
    assert cached(INSTALLED) == ""


def test_the_caches_that_are_known() -> None:
    """Of dnf 4, dnf 5, yum and zypper, where they have them by default."""
    caches = ("/var/cache/dnf", "/var/cache/libdnf5", "/var/cache/yum", "/var/cache/zypp/packages")
    assert caches == _rpm_archive._CACHES


INSTALLED = Installed("tools", "1.2-1", "noarch", "rpm")


@pytest.fixture
def dnf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a dnf that is not there yet, and behind it a yum that is not there either.

    The real one is in the integration tests, where a whole host is made for it.
    """
    monkeypatch.setattr(_rpm_archive, "_DNF", (str(tmp_path / "dnf"), str(tmp_path / "yum")))
    return tmp_path / "dnf"


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("name", ["dnf", "yum"])
def test_a_download(archive: Path, dnf: Path, tmp_path: Path, name: str) -> None:
    """Of exactly the version that is installed, with its epoch, and without a question."""
    folder = tmp_path / "download"
    folder.mkdir()
    copy = f'echo "$@" >{tmp_path}/asked; cp {shlex.quote(str(archive))} "$5"/some-other-name.rpm'
    program(dnf.with_name(name), copy)
    assert downloaded(INSTALLED, str(folder)) == str(folder / "some-other-name.rpm")
    asked = (tmp_path / "asked").read_text()
    assert asked == f"--quiet --assumeyes download --destdir {folder} tools-1.2-1.noarch\n"
    with pytest.raises(RescueError, match=r"downloaded nothing for tools-1:1\.2-1\.noarch"):
        downloaded(INSTALLED._replace(version="1:1.2-1"), str(folder))


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "There is no dnf or yum to download the package with."),
        ("exit 0", "dnf downloaded nothing for tools-1.2-1.noarch."),
        ('echo "no package" >"$5/tools-1.2-1.noarch.rpm"', "dnf downloaded nothing for tools-1.2-1.noarch."),
        ("echo No package tools available. >&2; exit 1", "dnf: No package tools available."),
    ],
)
def test_no_download(dnf: Path, tmp_path: Path, script: str | None, message: str) -> None:
    if script is not None:
        program(dnf, script)
    folder = tmp_path / "download"
    folder.mkdir()
    with pytest.raises(RescueError) as told:
        downloaded(INSTALLED, str(folder))
    assert str(told.value).endswith(message) and told.value.reasons == ["no_package"]


@pytest.mark.parametrize(("start", "why"), [(b"070707", "of a kind not known here"), (b"070701zz", "damaged")])
def test_a_stream_that_is_not_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: bytes, why: str
) -> None:
    """No package of today's rpm has one: rpm2cpio is replaced here."""
    (tmp_path / "stream").write_bytes(start.ljust(200, b"0"))
    real = _rpm_archive.output_of
    monkeypatch.setattr(_rpm_archive, "output_of", lambda command: real(["/usr/bin/cat", *command[1:]]))
    with pytest.raises(RescueError, match=why):
        extracted(str(tmp_path / "stream"), {b"./usr/bin/tool"}, io.BytesIO())


def test_hard_links_without_content(tmp_path: Path) -> None:
    """Two names of an empty file: the content never comes."""
    package = rpms.build(tmp_path, "empty", "1", {"/usr/bin/none": ""}, hard_links={"/usr/bin/also": "/usr/bin/none"})
    content = io.BytesIO()
    member = extracted(str(package), {b"./usr/bin/also"}, content)
    assert member is not None and (member.name, member.size, content.getvalue()) == (b"./usr/bin/also", 0, b"")
