# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils import _packages
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
    monkeypatch.setattr(_packages, "_DPKG", os.fsencode(tmp_path))
    monkeypatch.setattr(os.path, "islink", lambda path: path in (b"/bin", b"/sbin", b"/lib", b"/lib64"))

    def write(diversions: str | None = None, **md5sums: str) -> None:
        for package, lines in md5sums.items():
            (tmp_path / "info" / f"{package}.md5sums").write_text(lines, "utf-8", "surrogateescape")
        if diversions is not None:
            (tmp_path / "diversions").write_text(diversions)

    return write


def test_this_machine_knows_its_bash() -> None:
    content = Path("/usr/bin/bash").read_bytes()
    witness = says(hashlib.md5(content).hexdigest(), "bash")
    assert package_witnesses([b"/usr/bin/bash", b"/bin/bash", b"/no/such/file"]) == {
        b"/usr/bin/bash": witness,
        b"/bin/bash": witness,
    }


def test_many_files_of_many_packages(dpkg: Dpkg) -> None:
    dpkg(**{"one": f"{A}  opt/a\n{B}  opt/b\n", "two:amd64": f"{C}  opt/c d\n"})
    assert package_witnesses([b"/opt/a", b"/opt/c d", b"/opt/x"]) == {
        b"/opt/a": says(A, "one"),
        b"/opt/c d": says(C, "two"),
    }


@pytest.mark.parametrize("known_as", ["bin/sh", "usr/bin/sh"])
@pytest.mark.parametrize("path", [b"/bin/sh", b"/usr/bin/sh"])
def test_either_name_of_a_merged_folder(dpkg: Dpkg, known_as: str, path: bytes) -> None:
    dpkg(dash=f"{A}  {known_as}\n")
    assert package_witnesses([path]) == {path: says(A, "dash")}


def test_without_the_merge_they_are_two_files(dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "islink", lambda _path: False)
    dpkg(dash=f"{A}  bin/sh\n")
    assert package_witnesses([b"/usr/bin/sh", b"/bin/sh"]) == {b"/bin/sh": says(A, "dash")}


@pytest.mark.parametrize("path", [b"/usr/local/bin/sh", b"/opt/bin/sh", b"/usr/libexec/sh", b"/srv/usr/bin/sh"])
def test_other_folders_are_not_merged(dpkg: Dpkg, path: bytes) -> None:
    dpkg(dash=f"{A}  bin/sh\n{B}  libexec/sh\n")
    assert package_witnesses([path]) == {}


def test_a_name_is_taken_literally(dpkg: Dpkg) -> None:
    dpkg(one=f"{A}  opt/a.b\n{B}  opt/axb\n{C}  opt/+(\n")
    assert package_witnesses([b"/opt/a.b", b"/opt/+("]) == {b"/opt/a.b": says(A, "one"), b"/opt/+(": says(C, "one")}


def test_names_that_are_not_text(dpkg: Dpkg) -> None:
    dpkg(one=f"{A}  opt/\udcff\n")
    assert package_witnesses([b"/opt/\xff", b"/opt/a\nb"]) == {b"/opt/\xff": says(A, "one")}


@pytest.mark.parametrize("line", ["", A, f"{A} opt/a", f"{A[1:]}  opt/a", f"{A.upper()}  opt/a", f"{A}  opt/a/b", "\0"])
def test_odd_lines(dpkg: Dpkg, line: str) -> None:
    dpkg(one=line + "\n", two=line)
    assert package_witnesses([b"/opt/a"]) == {}


DIVERSION = "/usr/bin/vi\n/usr/bin/vi.real\nvim\n"


@pytest.mark.parametrize("diversions", [DIVERSION, DIVERSION + "/cut\n/off\n", "/x\n/y\n:\n" + DIVERSION])
def test_a_diverted_file_lies_elsewhere(dpkg: Dpkg, diversions: str) -> None:
    dpkg(diversions, nvi=f"{A}  usr/bin/vi\n", vim=f"{B}  usr/bin/vi\n")
    assert package_witnesses([b"/usr/bin/vi", b"/usr/bin/vi.real"]) == {
        b"/usr/bin/vi": says(B, "vim"),
        b"/usr/bin/vi.real": says(A, "nvi"),
    }


def test_a_diversion_of_the_administrator_keeps_the_path_for_nobody(dpkg: Dpkg) -> None:
    dpkg("/usr/bin/vi\n/usr/bin/vi.real\n:\n", nvi=f"{A}  usr/bin/vi\n")
    assert package_witnesses([b"/usr/bin/vi"]) == {}
    assert package_witnesses([b"/usr/bin/vi.real"]) == {b"/usr/bin/vi.real": says(A, "nvi")}


def test_a_diversion_under_the_other_name_of_a_merged_folder(dpkg: Dpkg) -> None:
    dpkg("/bin/sh\n/bin/sh.distrib\ndash\n", bash=f"{A}  bin/sh\n", dash=f"{B}  usr/bin/sh\n")
    assert package_witnesses([b"/usr/bin/sh", b"/usr/bin/sh.distrib"]) == {
        b"/usr/bin/sh": says(B, "dash"),
        b"/usr/bin/sh.distrib": says(A, "bash"),
    }


def test_no_dpkg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_packages, "_DPKG", os.fsencode(tmp_path / "none"))
    assert package_witnesses([b"/usr/bin/bash"]) == {}


def test_nothing_is_wanted(dpkg: Dpkg) -> None:
    dpkg(one=f"{A}  \n")
    assert package_witnesses([]) == {}


def test_a_list_that_cannot_be_read_does_not_stop_a_rescue(dpkg: Dpkg, tmp_path: Path) -> None:
    """dpkg runs beside us, or the disk fails."""
    (tmp_path / "info/gone.md5sums").symlink_to("nowhere")
    (tmp_path / "info/odd.md5sums").mkdir()
    dpkg(one=f"{A}  opt/a\n")
    assert package_witnesses([b"/opt/a"]) == {b"/opt/a": says(A, "one")}


def test_diversions_that_cannot_be_read_do_not_stop_a_rescue(dpkg: Dpkg, tmp_path: Path) -> None:
    (tmp_path / "diversions").mkdir()
    dpkg(one=f"{A}  opt/a\n")
    assert isinstance(package_witnesses([b"/opt/a"]), dict)


@pytest.mark.parametrize(
    ("answer", "digests"),
    [
        (b"/usr/bin/sh\taa\n/usr/bin/bash\tbb\nbash-5.2-1.x86_64\t8\n", [("bb", "sha256", "bash-5.2-1.x86_64")]),
        (b"/usr/bin/bash\tbb\nbash-4.1-1.x86_64\t(none)\n", [("bb", "md5", "bash-4.1-1.x86_64")]),
        (b"/usr/bin/bash\t\nbash-5.2-1.x86_64\t8\n", []),
        (b"/usr/bin/bash\tbb\n", []),
        (b"/usr/bin/bash2\tbb\nbash-5.2-1.x86_64\t8\n", []),
        (b"/a\tb\t/usr/bin/bash\tbb\nbash-5.2-1.x86_64\t8\n", []),
        (
            b"/usr/bin/bash\tbb\nbash-5.2-1.x86_64\t8\n/usr/bin/bash\tcc\nbash-5.2-1.i686\t10\n",
            [("bb", "sha256", "bash-5.2-1.x86_64"), ("cc", "sha512", "bash-5.2-1.i686")],
        ),
        (b"/usr/bin/sh\taa\none-1\t8\n/usr/bin/bash\tcc\ntwo-2\t2\n", [("cc", "sha1", "two-2")]),
        (b"file /usr/bin/bash is not owned by any package\n", []),
        (b"\xff\n\n\t\n/usr/bin/bash\t\xff\n\xff\t\xff\n", [("\ufffd", "md5", "\ufffd")]),
        (b"", []),
    ],
)
def test_what_rpm_says(answer: bytes, digests: list[tuple[str, str, str]]) -> None:
    found = [record[1:] for record in _packages._rpm_records(answer) if record[0] == b"/usr/bin/bash"]
    assert found == digests


@pytest.fixture
def rpm_calls(dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch) -> list[list[object]]:
    """A host where rpm knows /opt/N with the digest N."""
    calls: list[list[object]] = []

    def run(command: list[object], **_options: object) -> subprocess.CompletedProcess[bytes]:
        calls.append(command)
        names = [name for name in command if isinstance(name, bytes) and name.startswith(b"/opt/")]
        if not names:
            raise subprocess.CalledProcessError(1, "rpm")
        rows = b"".join(b"%b\t%b\ntool-1-1.noarch\t8\n" % (name, name[len(b"/opt/") :]) for name in names)
        return subprocess.CompletedProcess([], 0, rows)

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_rpm_is_asked_where_dpkg_knows_nothing(rpm_calls: list[list[object]]) -> None:
    assert package_witnesses([b"/opt/1", b"/srv/x"]) == {
        b"/opt/1": Witness("package", "sha256", "1", "tool-1-1.noarch")
    }
    assert rpm_calls[0][0] == "/usr/bin/rpm"


def test_rpm_knows_both_names_of_a_merged_folder(dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = subprocess.CompletedProcess([], 0, b"/usr/bin/sh\taa\nbash-5-1.noarch\t8\n")
    monkeypatch.setattr(subprocess, "run", lambda *_arguments, **_options: answer)
    witness = Witness("package", "sha256", "aa", "bash-5-1.noarch")
    assert package_witnesses([b"/bin/sh", b"/usr/bin/sh"]) == {b"/bin/sh": witness, b"/usr/bin/sh": witness}


def test_rpm_is_asked_once_for_many_files(rpm_calls: list[list[object]]) -> None:
    """One that is started for each would take minutes for the files of a folder."""
    paths = [b"/opt/%d" % number for number in range(50)]
    assert len(package_witnesses(paths)) == 50
    assert len(rpm_calls) < 5


@pytest.mark.parametrize("error", [FileNotFoundError(2, "No rpm"), subprocess.TimeoutExpired("rpm", 30)])
def test_without_rpm_or_with_a_locked_database(dpkg: Dpkg, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def run(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    assert package_witnesses([b"/usr/bin/bash"]) == {}
