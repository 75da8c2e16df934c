# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages that the real rpm built."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import rpms
from ansible_collections.procfs.rescue.plugins.module_utils import _rpm_archive
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Installed
from ansible_collections.procfs.rescue.plugins.module_utils._rpm_archive import cached, extracted

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
    assert (member.name, member.size, member.link) == (b"." + name.encode(), len(expected), None)
    assert content.getvalue() == expected.encode()
    assert (member.owner, member.group) == ("root", "root")
    if name == "/usr/bin/a":
        assert member.mode == 0o750


def test_a_symlink(archive: Path) -> None:
    member = extracted(str(archive), {b"./usr/bin/link"}, io.BytesIO())
    assert member is not None
    assert (member.link, member.name) == (b"tool", b"./usr/bin/link")


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
