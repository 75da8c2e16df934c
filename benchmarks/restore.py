# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""restore_file against the floor for the same promise: cp, sync, and one hash of each side.

As a program it is one round: restore.py PLACE CASE WAY, where the lost files are this process's own.
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
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from timing import INSIDE, Row, measured

GIB = 2**30
SMALL = int(os.environ.get("SMALL_FILES", "10000"))
# A whole one of 1 TiB takes hours of hashing on either side.
SPARSE = int(os.environ.get("SPARSE_GIB", "8")) * GIB
MODULES = Path(__file__).parents[1] / "plugins/modules"


def dense(folder: Path) -> list[Path]:
    piece = os.urandom(1 << 20)
    with open(folder / "dense", "wb") as file:
        for _number in range(1024):
            file.write(piece)
    return [folder / "dense"]


def linked(folder: Path) -> list[Path]:
    [path] = dense(folder)
    os.link(path, folder / "twin")
    return [path]


def sparse(folder: Path) -> list[Path]:
    with open(folder / "sparse", "wb") as file:
        file.truncate(SPARSE)
        for number in range(8):
            os.pwrite(file.fileno(), b"x" * 4096, SPARSE // 8 * number)
    return [folder / "sparse"]


def small(folder: Path) -> list[Path]:
    paths = [folder / f"small{number}" for number in range(SMALL)]
    for path in paths:
        path.write_bytes(os.urandom(2000))
    return paths


def empty(_folder: Path) -> list[Path]:
    return []


CASES: dict[str, Callable[[Path], list[Path]]] = {
    "dense": dense,
    "linked": linked,
    "sparse": sparse,
    "small": small,
    "empty": empty,
}

# One sync for all of them, where the module makes each last before it says so.
FLOOR = """
while read -r link path; do
  cp --sparse=always --reflink=auto "$link" "$path"
  echo "$path" >> "$0"
done
xargs sync < "$0"
sync -f "$0"
"""


def main(place: str, case: str, way: str) -> None:
    folder = Path(tempfile.mkdtemp(dir=place))
    paths = CASES[case](folder)
    os.sync()
    held = [os.open(path, os.O_RDONLY) for path in paths]
    for path in paths:
        path.unlink()
    started = time.monotonic()
    if way == "floor":
        floor(folder, paths, held)
    else:
        module(paths)
    seconds = time.monotonic() - started
    assert all(path.exists() for path in paths)
    for fd in held:
        os.close(fd)
    subprocess.run(["rm", "-rf", folder], check=True)
    print(f"{INSIDE.decode()}{seconds}")


def floor(folder: Path, paths: list[Path], held: list[int]) -> None:
    pairs = "".join(f"/proc/{os.getpid()}/fd/{fd} {path}\n" for fd, path in zip(held, paths, strict=True))
    subprocess.run(["bash", "-c", FLOOR, folder / "list"], input=pairs, text=True, check=True)
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


def compared(what: str, place: Path, case: str, rounds: int) -> list[Row]:
    program = [sys.executable, __file__, str(place), case]
    commands = {"cp, sync, two hashes (floor)": [*program, "floor"], "restore_file": [*program, "module"]}
    return measured(what, commands, rounds)


def on_ext4(case: str, what: str) -> Callable[[int], list[Row]]:
    def compare(rounds: int) -> list[Row]:
        with tempfile.TemporaryDirectory(dir=Path.cwd()) as place:
            return compared(what, Path(place), case, rounds)

    return compare


def shared(rounds: int) -> list[Row]:
    with volume("xfs") as place:
        return compared("1 GiB on xfs, which shares blocks", place, "dense", rounds)


def nothing(rounds: int) -> list[Row]:
    command = [sys.executable, __file__, str(Path.cwd()), "empty", "module"]
    return measured("The empty module (ping)", {"ping": command}, rounds)


BENCHMARKS = [
    nothing,
    on_ext4("dense", "1 GiB on ext4"),
    on_ext4("linked", "1 GiB on ext4 with a link left"),
    shared,
    on_ext4("sparse", f"{SPARSE // GIB} GiB on ext4, nearly all hole"),
    on_ext4("small", f"{SMALL:,} files of 2,000 bytes on ext4, one task"),
]


@contextmanager
def volume(kind: str) -> Iterator[Path]:
    """A new file system on a loop device."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        image, place = Path(folder, "image"), Path(folder, "place")
        with open(image, "wb") as file:
            file.truncate(4 * GIB)
        place.mkdir()
        subprocess.run([f"mkfs.{kind}", "-q", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", place], check=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
