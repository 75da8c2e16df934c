# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Callable, Iterator

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _packages, _rpm
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._model import Witness
from ansible_collections.procfs.rescue.plugins.module_utils._packages import package_witnesses

A, B, C = "a" * 32, "b" * 32, "c" * 32

Dpkg = Callable[..., None]


def says(digest: str, package: str) -> Witness:
    return Witness("package", "md5", digest, package)


@pytest.fixture
def dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Dpkg:
    """Writes a database of dpkg with these md5sums by package; / is merged with /usr as on this machine."""
    (tmp_path / "info").mkdir()
    monkeypatch.setattr(_packages, "INFO", os.fsencode(tmp_path / "info"))
    monkeypatch.setattr(_rpm, "_DATABASES", ())
    merge(monkeypatch, b"/bin", b"/sbin", b"/lib", b"/lib64")

    def write(diversions: str | None = None, **md5sums: str) -> None:
        for package, lines in md5sums.items():
            (tmp_path / "info" / f"{package}.md5sums").write_text(lines, "utf-8", "surrogateescape")
            owned = "".join(f"/{line[34:]}\n" for line in lines.split("\n"))
            (tmp_path / "info" / f"{package}.list").write_text("/.\n" + owned, "utf-8", "surrogateescape")
        if diversions is not None:
            (tmp_path / "diversions").write_text(diversions)

    return write


def merge(monkeypatch: pytest.MonkeyPatch, *tops: bytes) -> None:
    """As if these folders were symlinks to those of /usr, and /usr/sbin one to /usr/bin."""
    usr = {top: b"/usr/bin" if top == b"/usr/sbin" else b"/usr" + top for top in tops}
    monkeypatch.setattr(os.path, "islink", lambda path: path in usr)
    monkeypatch.setattr(os.path, "realpath", lambda path: usr.get(usr.get(path, path), usr.get(path, path)))


def asked(*paths: bytes) -> dict[bytes, Witness]:
    """What the databases say, without a complaint."""
    complaints: list[str] = []
    found = package_witnesses(paths, complaints.append)
    assert complaints == []
    return found


def complaints_of(*paths: bytes) -> tuple[dict[bytes, Witness], list[str]]:
    complaints: list[str] = []
    return package_witnesses(paths, complaints.append), complaints


def test_this_machine_knows_its_bash() -> None:
    content = Path("/usr/bin/bash").read_bytes()
    witness = says(hashlib.md5(content).hexdigest(), "bash")
    assert asked(b"/usr/bin/bash", b"/bin/bash", b"/no/such/file") == {
        b"/usr/bin/bash": witness,
        b"/bin/bash": witness,
    }


def test_many_files_of_many_packages(dpkg: Dpkg) -> None:
    dpkg(**{"one": f"{A}  opt/a\n{B}  opt/b\n", "two:amd64": f"{C}  opt/c d\n"})
    assert asked(b"/opt/a", b"/opt/c d", b"/opt/x") == {
        b"/opt/a": says(A, "one"),
        b"/opt/c d": says(C, "two"),
    }


@pytest.mark.parametrize("known_as", ["bin/sh", "usr/bin/sh"])
@pytest.mark.parametrize("path", [b"/bin/sh", b"/usr/bin/sh"])
def test_either_name_of_a_merged_folder(dpkg: Dpkg, known_as: str, path: bytes) -> None:
    dpkg(dash=f"{A}  {known_as}\n")
    assert asked(path) == {path: says(A, "dash")}


def test_without_the_merge_they_are_two_files(dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch) -> None:
    merge(monkeypatch)
    dpkg(dash=f"{A}  bin/sh\n")
    assert asked(b"/usr/bin/sh", b"/bin/sh") == {b"/bin/sh": says(A, "dash")}


@pytest.mark.parametrize("known_as", ["sbin/ip", "usr/sbin/ip", "bin/ip", "usr/bin/ip"])
@pytest.mark.parametrize("path", [b"/sbin/ip", b"/usr/sbin/ip", b"/bin/ip", b"/usr/bin/ip"])
def test_where_all_programs_are_in_one_folder(
    dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch, known_as: str, path: bytes
) -> None:
    merge(monkeypatch, b"/bin", b"/sbin", b"/usr/sbin")
    dpkg(iproute2=f"{A}  {known_as}\n")
    assert asked(path) == {path: says(A, "iproute2")}


@pytest.mark.parametrize("path", [b"/usr/local/bin/sh", b"/opt/bin/sh", b"/usr/libexec/sh", b"/srv/usr/bin/sh"])
def test_other_folders_are_not_merged(dpkg: Dpkg, path: bytes) -> None:
    dpkg(dash=f"{A}  bin/sh\n{B}  libexec/sh\n")
    assert asked(path) == {}


def test_a_name_is_taken_literally(dpkg: Dpkg) -> None:
    dpkg(one=f"{A}  opt/a.b\n{B}  opt/axb\n{C}  opt/+(\n")
    assert asked(b"/opt/a.b", b"/opt/+(") == {b"/opt/a.b": says(A, "one"), b"/opt/+(": says(C, "one")}


def test_names_that_are_not_text(dpkg: Dpkg) -> None:
    dpkg(one=f"{A}  opt/\udcff\n")
    assert asked(b"/opt/\xff", b"/opt/a\nb") == {b"/opt/\xff": says(A, "one")}


@pytest.mark.parametrize("line", ["", A, f"{A} opt/a", f"{A[1:]}  opt/a", f"{A.upper()}  opt/a", f"{A}  opt/a/b", "\0"])
def test_odd_lines(dpkg: Dpkg, line: str) -> None:
    dpkg(one=line + "\n", two=line)
    assert asked(b"/opt/a") == {}


DIVERSION = "/usr/bin/vi\n/usr/bin/vi.real\nvim\n"


@pytest.mark.parametrize("diversions", [DIVERSION, DIVERSION + "/cut\n/off\n", "/x\n/y\n:\n" + DIVERSION])
def test_a_diverted_file_lies_elsewhere(dpkg: Dpkg, diversions: str) -> None:
    dpkg(diversions, nvi=f"{A}  usr/bin/vi\n", vim=f"{B}  usr/bin/vi\n")
    assert asked(b"/usr/bin/vi", b"/usr/bin/vi.real") == {
        b"/usr/bin/vi": says(B, "vim"),
        b"/usr/bin/vi.real": says(A, "nvi"),
    }


def test_a_diversion_of_the_administrator_keeps_the_path_for_nobody(dpkg: Dpkg) -> None:
    dpkg("/usr/bin/vi\n/usr/bin/vi.real\n:\n", nvi=f"{A}  usr/bin/vi\n")
    assert asked(b"/usr/bin/vi") == {}
    assert asked(b"/usr/bin/vi.real") == {b"/usr/bin/vi.real": says(A, "nvi")}


def test_a_diversion_is_of_one_name_of_a_merged_folder(dpkg: Dpkg) -> None:
    """As dpkg does it: it knows nothing of the merge."""
    dpkg("/bin/sh\n/bin/sh.distrib\ndash\n", bash=f"{A}  bin/sh\n", dash=f"{B}  bin/sh\n", other=f"{C}  usr/bin/ls\n")
    assert asked(b"/usr/bin/sh", b"/usr/bin/sh.distrib", b"/bin/sh.distrib") == {
        b"/usr/bin/sh": says(B, "dash"),
        b"/usr/bin/sh.distrib": says(A, "bash"),
        b"/bin/sh.distrib": says(A, "bash"),
    }
    dpkg("/bin/ls\n/bin/ls.distrib\ndash\n")
    assert asked(b"/bin/ls", b"/bin/ls.distrib") == {b"/bin/ls": says(C, "other")}


def test_a_file_that_another_package_took_over(dpkg: Dpkg, tmp_path: Path) -> None:
    """dpkg takes it off the first package's list, not out of its md5sums."""
    dpkg(old=f"{A}  usr/bin/tool\n", new=f"{B}  usr/bin/tool\n")
    (tmp_path / "info/old.list").write_text("/.\n/usr\n/usr/bin\n")
    assert asked(b"/usr/bin/tool") == {b"/usr/bin/tool": says(B, "new")}
    (tmp_path / "info/new.md5sums").unlink()
    assert asked(b"/usr/bin/tool") == {}


@pytest.mark.parametrize("conffiles", ["/etc/tool\n", "/etc/a\n/etc/tool\n", "remove-on-upgrade /etc/tool\n"])
def test_configuration_is_the_user_s_to_change(dpkg: Dpkg, tmp_path: Path, conffiles: str) -> None:
    dpkg(tool=f"{A}  etc/tool\n{B}  usr/bin/tool\n")
    (tmp_path / "info/tool.conffiles").write_text(conffiles)
    assert asked(b"/etc/tool", b"/usr/bin/tool") == {b"/usr/bin/tool": says(B, "tool")}


def test_no_configuration_of_this_machine_has_a_digest() -> None:
    """Not all packages leave it out of their md5sums."""
    info = Path("/var/lib/dpkg/info")
    lines = [line for file in info.glob("*.conffiles") for line in file.read_bytes().splitlines()]
    assert len(lines) > 20
    assert asked(*(line[line.find(b"/") :] for line in lines)) == {}


def test_this_machine_s_packages_vouch_for_what_is_there() -> None:
    """As dpkg --verify says, which tells of each file that is not as its package has it."""
    command = ["dpkg", "--listfiles", "dash", "libc6"]  # they are everywhere
    listed = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout.split(b"\n")
    files = [name for name in listed if name.startswith(b"/") and os.path.isfile(name) and not os.path.islink(name)]
    found = asked(*files)
    assert len(found) > 5
    for path, witness in found.items():
        assert hashlib.md5(Path(os.fsdecode(path)).read_bytes()).hexdigest() == witness.digest


def test_no_dpkg(dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_packages, "INFO", os.fsencode(tmp_path / "none"))
    assert asked(b"/usr/bin/bash") == {}


def test_nothing_is_wanted(dpkg: Dpkg) -> None:
    dpkg(one=f"{A}  \n")
    assert asked() == {}


SILENT = (
    "The package database could not be asked: %s. What it says of the files is not known, no content is proven by it."
)


def test_a_list_that_is_taken_away_meanwhile(dpkg: Dpkg, tmp_path: Path) -> None:
    """dpkg runs beside us."""
    (tmp_path / "info/gone.md5sums").symlink_to("nowhere")
    dpkg(one=f"{A}  opt/a\n")
    assert asked(b"/opt/a") == {b"/opt/a": says(A, "one")}


def test_who_is_found_is_not_looked_for_any_more(dpkg: Dpkg) -> None:
    """A package that is called as the file is asked first; one that lost the file to it vouches for nothing."""
    dpkg(**dict.fromkeys("abcdefg", f"{A}  opt/x\n"), lost=f"{B}  usr/bin/tool-1.0\n")
    dpkg(**{"tool-bin": f"{C}  usr/bin/tool-1.0\n"})
    (Path(os.fsdecode(_packages.INFO)) / "lost.list").write_text("/.\n")
    read: list[bytes] = []

    def contents(names: list[bytes]) -> Iterator[bytes]:
        for name in names:
            read.append(name)
            yield from _packages.LOCAL_RECORDS.contents([name])

    records = _packages.LOCAL_RECORDS._replace(contents=contents)
    names = {b"/usr/bin/tool-1.0": [b"/bin/tool-1.0", b"/usr/bin/tool-1.0"]}
    found = _packages.dpkg_witnesses(names, records)
    assert found == {b"/usr/bin/tool-1.0": says(C, "tool-bin")}
    assert [name for name in read if name.endswith(b".md5sums")] == [b"tool-bin.md5sums"]
    # One that no package has is looked for everywhere.
    read.clear()
    assert _packages.dpkg_witnesses({**names, b"/opt/y": [b"/opt/y"]}, records) == found
    assert len([name for name in read if name.endswith(b".md5sums")]) == 9


@pytest.mark.parametrize("unreadable", ["info/odd.md5sums", "info/one.list", "info/one.conffiles", "diversions"])
def test_a_database_that_cannot_be_read_is_told(dpkg: Dpkg, tmp_path: Path, unreadable: str) -> None:
    """It is not taken for one that does not know the files."""
    dpkg(one=f"{A}  opt/a\n")
    with suppress(FileNotFoundError):
        (tmp_path / unreadable).unlink()
    (tmp_path / unreadable).mkdir()
    assert complaints_of(b"/opt/a", b"/opt/nobodys") == ({}, [SILENT % "Is a directory"])


@pytest.fixture
def rpm(dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch) -> list[set[bytes]]:
    """A host where rpm knows /usr/bin/sh; gives what it was asked."""
    questions: list[set[bytes]] = []

    def answer(names: set[bytes]) -> dict[bytes, Witness]:
        questions.append(names)
        return {b"/usr/bin/sh": says(C, "bash")} if b"/usr/bin/sh" in names else {}

    monkeypatch.setattr(_packages, "rpm_witnesses", answer)
    return questions


def test_rpm_is_asked_once_for_all_that_dpkg_does_not_know(dpkg: Dpkg, rpm: list[set[bytes]]) -> None:
    dpkg(one=f"{A}  opt/a\n")
    assert asked(b"/opt/a", b"/opt/b", b"/bin/sh", b"/usr/bin/sh") == {
        b"/opt/a": says(A, "one"),
        b"/bin/sh": says(C, "bash"),
        b"/usr/bin/sh": says(C, "bash"),
    }
    assert rpm == [{b"/opt/b", b"/bin/sh", b"/usr/bin/sh"}]


def test_rpm_that_cannot_be_asked_is_told(dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_names: set[bytes]) -> None:
        raise RescueError("/usr/bin/rpm is gone")

    dpkg(one=f"{A}  opt/a\n")
    monkeypatch.setattr(_packages, "rpm_witnesses", refuse)
    assert complaints_of(b"/opt/a", b"/opt/b") == ({b"/opt/a": says(A, "one")}, [SILENT % "/usr/bin/rpm is gone"])
