# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The walk over /proc: ours against a bare C walk (the floor) and the programs that people use for it.

It runs in a PID namespace of its own (see the Makefile), so that /proc holds nothing but what is made here.
"""

from __future__ import annotations

import json
import resource
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.procfs.rescue.plugins.module_utils._facts_task import FACTS_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._sizes import with_sizes
from piped import START
from timing import INSIDE, Row, measured

HERE = Path(__file__).resolve().parent
COLLECTIONS = HERE.parent / "collections"
MODULE = "ansible_collections.procfs.rescue.plugins.modules.deleted_files_facts"

PROCESSES = 500
DESCRIPTORS = 1000  # each
DELETED = 5  # of them, each
MAPS = 2000  # each: one half of a library, one half of anonymous memory

# A process that ends meanwhile makes these fail, and lsof and lsfd do when they find nothing.
FIND = "find /proc -maxdepth 3 -path '*/fd/*' -lname '* (deleted)'; true"
LSOF = "lsof -nP +L1; true"
LSFD = "lsfd -n -o PID,FD,NAME -Q 'DELETED == true'; true"

PSUTIL = """
import psutil
print(sum(len(process.open_files()) for process in psutil.process_iter()))
"""

PEERS = {
    "find /proc -lname": ["sh", "-c", FIND],
    "lsfd": ["sh", "-c", LSFD],
    "lsof -nP +L1": ["sh", "-c", LSOF],
    "psutil, open_files of all": [sys.executable, "-c", PSUTIL],
}

OURS = f"""
import sys, time
sys.path.insert(0, {str(COLLECTIONS)!r})
from ansible_collections.procfs.rescue.plugins.module_utils import _group, _scan, _visit

if sys.argv[1] == 'descriptors':
    _visit.mappings = lambda holder: ()
started = time.monotonic()
found = _scan.scan(lambda sighting: False)
if sys.argv[1] == 'all':
    assert len(_group.group(found.sightings)) >= int(sys.argv[2])
print({INSIDE.decode()!r}, time.monotonic() - started)
"""

# What any program takes from another on the same hardware, with nothing of a scan in it.
COMPUTES = "for _ in 1 2; do timeout 1 nice -n 19 chrt --idle 0 sh -c 'while :; do :; done' & done; wait"

PIPED = "our module as it is piped to Python, whole process"
OUR_MODULE = "our module as AnsibleModule, whole process"


def main(rounds: int) -> list[Row]:
    deleted = PROCESSES * DELETED
    with _programs() as programs, _herd(programs, PROCESSES):
        rows = measured(
            f"{PROCESSES * DESCRIPTORS:,} descriptors of {PROCESSES} processes, {deleted:,} of them deleted, and "
            f"{PROCESSES * MAPS:,} mappings",
            {
                "C walk, getdents and readlink only (floor)": [str(programs / "walk")],
                "the same and read all maps": [str(programs / "walk"), "maps"],
                "our walk over the descriptors": [sys.executable, "-c", OURS, "descriptors"],
                "our scan, with maps and grouping": [sys.executable, "-c", OURS, "all", str(deleted)],
                PIPED: ["sh", "-c", _piped_command()],
                OUR_MODULE: ["sh", "-c", _module_command()],
                **PEERS,
            },
            rounds,
        )
    (ours,) = (row for row in rows if row.name == PIPED)
    peers = [row for row in rows if row.name in PEERS]
    return rows + [row._replace(name=f"{row.name}, to {PIPED}", ratio=row.seconds / ours.seconds) for row in peers]


def growth(rounds: int) -> list[Row]:
    """Whether the time is linear: the ratio is to the smallest, ten times as much each."""
    rows: list[Row] = []
    for processes in (5, 50, 500):
        with _programs() as programs, _herd(programs, processes):
            command = [sys.executable, "-c", OURS, "all", str(processes * DELETED)]
            (row,) = measured("our scan", {f"{processes * DESCRIPTORS:,} descriptors": command}, rounds)
            rows.append(row._replace(ratio=row.seconds / rows[0].seconds if rows else 1.0))
    return rows


def busy_neighbour(rounds: int) -> list[Row]:
    """What a program that is busy all the time notices."""
    return _neighbour("a program that is busy all the time", "10000", "0", rounds)


def idle_neighbour(rounds: int) -> list[Row]:
    """What a program notices that sleeps nine tenths of its time. What a processor takes to wake up is in it, and some
    take longer to do that than the task takes."""
    return _neighbour("a program with a task every 2 ms", "1000", "2", rounds)


def _neighbour(who: str, tasks: str, pause: str, rounds: int) -> list[Row]:
    """The time below which 99 of 100 of its small tasks stay.

    Other machines on the same hardware make that time twice as long for seconds: the rounds are short and many, and
    what is measured alone once more tells how far medians of the same thing are apart.
    """
    with _programs() as programs, _herd(programs, PROCESSES):
        busy, ended = [str(programs / "busy"), tasks, pause], programs / "ended"
        # No module is left running beside what is measured next.
        beside = f"until [ -e {ended} ]; do {{}}; done & {' '.join(busy)}; touch {ended}; wait; rm {ended}"
        walk = f"nice -n 19 chrt --idle 0 {programs / 'walk'} maps > /dev/null"
        return measured(
            f"p99 of the tasks of {who}, ten times as many rounds",
            {
                "alone": busy,
                "beside our module": ["sh", "-c", beside.format(_module_command())],
                "beside the C walk with maps, at its priority": ["sh", "-c", beside.format(walk)],
                "beside two programs that only compute, at its priority": ["sh", "-c", beside.format(COMPUTES)],
                "alone, again": busy,
            },
            10 * rounds,
        )


def _piped_command() -> str:
    """With its defaults."""
    options = ArgumentSpecValidator(FACTS_SPEC["argument_spec"]).validate({}).validated_parameters
    given = f"echo {shlex.quote(json.dumps(with_sizes(options, 'min_size')))}"
    return f"{given} | PYTHONPATH={COLLECTIONS} {sys.executable} -c {shlex.quote(START % 'facts')} >/dev/null"


def _module_command() -> str:
    return (
        f"echo '{{\"ANSIBLE_MODULE_ARGS\": {{}}}}' | PYTHONPATH={COLLECTIONS} {sys.executable} -m {MODULE} >/dev/null"
    )


@contextmanager
def _programs() -> Iterator[Path]:
    compiler = shutil.which("gcc")
    if compiler is None:
        raise SystemExit("The floor is a C program: this needs gcc.")
    with tempfile.TemporaryDirectory() as folder:
        for source in HERE.glob("*.c"):
            subprocess.run([compiler, "-O2", "-Wall", "-o", Path(folder, source.stem), source], check=True)
        yield Path(folder)


@contextmanager
def _herd(programs: Path, processes: int) -> Iterator[None]:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    command = [str(programs / "herd"), str(programs), *map(str, (processes, DESCRIPTORS, DELETED, MAPS))]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as herd:
        try:
            if herd.stdout is None or herd.stdout.readline() != b"ready\n":
                raise SystemExit("The processes to look at did not start.")
            yield
        finally:
            herd.kill()
