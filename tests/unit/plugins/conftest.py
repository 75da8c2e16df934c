# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the unit tests of the plugins share: holders, file systems of their own, and a look at what was left open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, configuration, settings

from unit.plugins.holders import Holders

# In the folder of the repository itself pytest would stumble over it.
configuration.set_hypothesis_home_dir(Path(__file__).parents[3] / ".work" / "hypothesis")
# Without a database of earlier examples: what a run does depends on its seed alone.
settings.register_profile("unit", database=None, deadline=None, derandomize=True, max_examples=100)
settings.register_profile(
    "fuzz", database=None, deadline=None, max_examples=10_000, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "unit"))


def _open_files() -> dict[str, str]:
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself
            found[fd] = os.readlink(f"/proc/self/fd/{fd}")
    return found


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    """No step of the pipeline may leave a descriptor open: modules work on thousands of files."""
    before = _open_files()
    yield
    left = {fd: text for fd, text in _open_files().items() if fd not in before}
    for fd in left:
        os.close(int(fd))
    assert left == {}


@pytest.fixture
def holders() -> Iterator[Holders]:
    started = Holders()
    yield started
    started.end_all()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[int]:
    """``tmp_path``, opened."""
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    os.close(fd)


@pytest.fixture
def open_to_all(tmp_path: Path) -> Path:
    """``tmp_path``, where others than root get in, too."""
    for folder in tmp_path, tmp_path.parent, tmp_path.parent.parent:  # pytest keeps them to itself
        folder.chmod(0o755)
    return tmp_path


@pytest.fixture
def mounted(tmp_path: Path, holders: Holders) -> Callable[..., Path]:
    """Mounts a file system (options of mount(8)) in the namespace of a process, which takes it along when it ends."""

    def mount(*options: str) -> Path:
        point = tmp_path / "mount"
        point.mkdir()
        script = 'mount "$@" && echo ready && exec cat'
        pid = holders.start(
            *("unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh"),
            *options,
            point,
        )
        holders.expect(pid, b"ready\n")
        return Path(f"/proc/{pid}/root{point}")

    return mount


@pytest.fixture
def no_tmpfile(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a file system without O_TMPFILE: the kernel refuses it together with O_CREAT."""
    monkeypatch.setattr(os, "O_TMPFILE", os.O_TMPFILE | os.O_CREAT)
