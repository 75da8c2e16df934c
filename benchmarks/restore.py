# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""restore_file against the floor for the same promise: cp, sync, and one hash of each side.

As a program it is one round: restore.py PLACE CASE MIB WAY, where the lost files are this process's own.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO

from piped import START
from timing import INSIDE, Row, measured

GIB = 2**30
SMALL = int(os.environ.get("SMALL_FILES", "10000"))
# In MiB: two sizes, to see what grows with them.
LESS, MORE = map(int, os.environ.get("RESTORE_MIB", "64,1024").split(","))
SPARSE = 1024 * int(os.environ.get("SPARSE_GIB", "8"))
# To hash 1 TiB twice on either side takes about an hour: it has a benchmark of its own.
HUGE = 1024 * int(os.environ.get("HUGE_GIB", "1024"))
ROOT = Path(__file__).parents[1]
MODULES = ROOT / "plugins/modules"
# What is made here must not be taken for part of the repository: 1 TiB may be in it.
WORK = ROOT / ".work"


def dense(folder: Path, mib: int) -> list[Path]:
    piece = os.urandom(1 << 20)
    with open(folder / "dense", "wb") as file:
        for _number in range(mib):
            file.write(piece)
    return [folder / "dense"]


def linked(folder: Path, mib: int) -> list[Path]:
    [path] = dense(folder, mib)
    os.link(path, folder / "twin")
    return [path]


def sparse(folder: Path, mib: int) -> list[Path]:
    with open(folder / "sparse", "wb") as file:
        file.truncate(mib << 20)
        for number in range(8):
            os.pwrite(file.fileno(), b"x" * 4096, (mib << 20) // 8 * number)
    return [folder / "sparse"]


def small(folder: Path, _mib: int) -> list[Path]:
    paths = [folder / f"small{number}" for number in range(SMALL)]
    for path in paths:
        path.write_bytes(os.urandom(2000))
    return paths


def empty(_folder: Path, _mib: int) -> list[Path]:
    return []


CASES: dict[str, Callable[[Path, int], list[Path]]] = {
    "dense": dense,
    "linked": linked,
    "sparse": sparse,
    "small": small,
    "empty": empty,
}

# One cp and one sync for all of them: the files are called as the descriptors are numbered that hold them.
FLOOR = """
cd "$0"
xargs cp --sparse=always --reflink=auto -t .
sync -f .
"""


def main(place: str, case: str, mib: str, way: str) -> None:
    folder = Path(tempfile.mkdtemp(dir=place))
    paths = CASES[case](folder, int(mib))
    os.sync()
    held = [os.open(path, os.O_RDONLY) for path in paths]
    paths = [path.rename(folder / str(fd)) for path, fd in zip(paths, held, strict=True)]
    for path in paths:
        path.unlink()
    started = time.monotonic()
    if way == "floor":
        floor(folder, paths, held)
    elif way == "piped":
        piped(paths)
    else:
        module(paths)
    seconds = time.monotonic() - started
    assert all(path.exists() for path in paths)
    for fd in held:
        os.close(fd)
    subprocess.run(["rm", "-rf", folder], check=True)
    print(f"{INSIDE.decode()}{seconds}")


def floor(folder: Path, paths: list[Path], held: list[int]) -> None:
    links = "".join(f"/proc/{os.getpid()}/fd/{fd}\n" for fd in held)
    subprocess.run(["sh", "-c", FLOOR, folder], input=links, text=True, check=True)
    for fd, path in zip(held, paths, strict=True):
        with open(f"/proc/self/fd/{fd}", "rb") as source, open(path, "rb") as copy:
            assert digest(source) == digest(copy)


def digest(file: BinaryIO) -> str:
    """By the same library as the module's: sha256sum may be built without it, and take five times as long."""
    state = hashlib.sha256()
    for piece in iter(lambda: file.read(1 << 20), b""):
        state.update(piece)
    return state.hexdigest()


def module(paths: list[Path]) -> None:
    """A whole process, as Ansible starts it; without files it is the one of ping, the empty module."""
    import ansible.modules.ping

    name = MODULES / "restore_file.py" if paths else Path(str(ansible.modules.ping.__file__))
    arguments = {"files": list(map(str, paths))} if paths else {}
    start = "import sys, runpy\nfrom ansible.module_utils import basic\nbasic._ANSIBLE_PROFILE = 'legacy'\n"
    start += "runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", start, name],
        input=json.dumps({"ANSIBLE_MODULE_ARGS": arguments}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    statuses = {file["status"] for file in json.loads(done.stdout).get("files", [])}
    assert statuses == ({"restored"} if paths else set()), done.stdout


def piped(paths: list[Path]) -> None:
    """As it is started where modules are piped to Python: without AnsibleModule."""
    from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

    from ansible_collections.procfs.rescue.plugins.module_utils._restore_spec import RESTORE_SPEC, checked

    options = ArgumentSpecValidator(RESTORE_SPEC["argument_spec"]).validate({"files": list(map(str, paths))})
    done = subprocess.run(
        [sys.executable, "-c", START % "restore"],
        input=json.dumps(checked(options.validated_parameters)),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert {file["status"] for file in json.loads(done.stdout)["files"]} == {"restored"}, done.stdout


def program(place: Path, case: str, mib: int, way: str = "module") -> list[str]:
    return [sys.executable, __file__, str(place), case, str(mib), way]


@contextmanager
def on_ext4() -> Iterator[Path]:
    """A new one, which has a journal: one without looks past every inode that was freed minutes ago, for each file."""
    with volume("ext4") as place:
        yield place


@contextmanager
def on_xfs() -> Iterator[Path]:
    with volume("xfs") as place:
        yield place


Where = Callable[[], AbstractContextManager[Path]]


def against_floor(where: Where, case: str, mib: int, what: str, warm_up: bool = True) -> Callable[[int], list[Row]]:
    def compare(rounds: int) -> list[Row]:
        with where() as place:
            commands = {
                "cp, sync, two hashes (floor)": program(place, case, mib, "floor"),
                "restore_file": program(place, case, mib),
            }
            if case == "small":
                commands["restore_file, piped to Python"] = program(place, case, mib, "piped")
            return measured(what, commands, rounds, warm_up=warm_up)

    return compare


def by_size(where: Where, case: str, what: str) -> Callable[[int], list[Row]]:
    """The second ratio tells how the time grows with the size."""

    def compare(rounds: int) -> list[Row]:
        with where() as place:
            return measured(what, {f"{mib} MiB": program(place, case, mib) for mib in (LESS, MORE)}, rounds)

    return compare


def memory(rounds: int) -> list[Row]:
    """The peak of the largest process, of which the empty module's is taken off."""
    cases = {"the empty module (ping)": ("empty", 0, "module")}
    cases.update({f"{mib} MiB": ("dense", mib, "module") for mib in (LESS, MORE)})
    cases[f"{SMALL:,} files"] = ("small", 0, "module")
    cases[f"{SMALL:,} files, piped to Python"] = ("small", 0, "piped")
    with on_ext4() as place:
        commands = {name: program(place, *case) for name, case in cases.items()}
        ping, *others = measured("Memory on ext4, above that of the empty module", commands, rounds)
    base = ping.memory or 0.0
    return [ping, *(row._replace(memory=(row.memory or 0.0) - base, name=f"{row.name}, above it") for row in others)]


BENCHMARKS = [
    against_floor(on_ext4, "dense", MORE, f"{MORE} MiB on ext4"),
    against_floor(on_ext4, "linked", MORE, f"{MORE} MiB on ext4 with a link left"),
    against_floor(on_xfs, "dense", MORE, f"{MORE} MiB on xfs, which shares blocks"),
    against_floor(on_ext4, "sparse", SPARSE, f"{SPARSE // 1024} GiB on ext4, nearly all hole"),
    against_floor(on_ext4, "small", 0, f"{SMALL:,} files of 2,000 bytes on ext4, one task"),
    by_size(on_ext4, "linked", "By link, two sizes"),
    by_size(on_xfs, "dense", "By reflink, two sizes"),
    memory,
]
HUGE_BENCHMARKS = [
    against_floor(on_ext4, "sparse", HUGE, f"{HUGE // 1024} GiB on ext4, nearly all hole", warm_up=False),
]


@contextmanager
def volume(kind: str) -> Iterator[Path]:
    """A new file system on a loop device, which keeps no second copy of everything in memory."""
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        image, place = Path(folder, "image"), Path(folder, "place")
        with open(image, "wb") as file:
            file.truncate(4 * GIB)
        place.mkdir()
        subprocess.run([f"mkfs.{kind}", "-q", image], check=True)
        attach = ["losetup", "--find", "--show", "--direct-io=on", str(image)]
        device = subprocess.check_output(attach, text=True).strip()
        try:
            subprocess.run(["mount", device, place], check=True)
        finally:
            subprocess.run(["losetup", "--detach", device], check=True)  # it goes when it is not mounted any more
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
