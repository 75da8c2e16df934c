# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The walk over /proc: our scan against a bare C walk (the floor) and find -lname (a peer), taken in turn."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import Row, measured

PROCESSES = 200
DESCRIPTORS = 500  # each
DELETED = 5  # of them, each

C_WALK = r"""
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(void) {
  char path[512], text[4096];
  long links = 0, deleted = 0;
  DIR *proc = opendir("/proc");
  for (struct dirent *process; (process = readdir(proc));) {
    if (process->d_name[0] < '0' || process->d_name[0] > '9') continue;
    snprintf(path, sizeof path, "/proc/%s/fd", process->d_name);
    DIR *fds = opendir(path);
    if (!fds) continue;
    for (struct dirent *fd; (fd = readdir(fds));) {
      if (fd->d_name[0] == '.') continue;
      ssize_t length = readlinkat(dirfd(fds), fd->d_name, text, sizeof text);
      links++;
      if (length > 10 && !memcmp(text + length - 10, " (deleted)", 10)) deleted++;
    }
    closedir(fds);
  }
  printf("%ld of %ld\n", deleted, links);
  return 0;
}
"""

HOLDER = f"""
import os, signal, sys
held = [open(os.devnull) for _ in range({DESCRIPTORS - DELETED})]
for number in range({DELETED}):
    path = os.path.join(sys.argv[1], f'{{os.getpid()}}-{{number}}')
    held.append(open(path, 'w'))
    os.unlink(path)
print(1, flush=True)
signal.pause()
"""

# A process that ends meanwhile makes find fail.
FIND = "find /proc -maxdepth 3 -path '*/fd/*' -lname '* (deleted)'; true"

COLLECTIONS = Path(__file__).resolve().parents[1] / "collections"

SCAN = f"""
import sys
sys.path.insert(0, {str(COLLECTIONS)!r})
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan

if sys.argv[1] == 'scan':
    print(len(scan(lambda sighting: False).sightings))
else:
    print(len(gather(Filters(), 5)['deleted_files']))
"""


def main(rounds: int) -> list[Row]:
    compiler = shutil.which("gcc")
    if compiler is None:
        raise SystemExit("The floor is a C program: this needs gcc.")
    with tempfile.TemporaryDirectory() as folder:
        walk = Path(folder, "walk")
        subprocess.run([compiler, "-O2", "-x", "c", "-o", walk, "-"], input=C_WALK.encode(), check=True)
        holders = [
            subprocess.Popen([sys.executable, "-S", "-c", HOLDER, folder], stdout=subprocess.PIPE)
            for _holder in range(PROCESSES)
        ]
        try:
            for holder in holders:
                assert holder.stdout is not None and holder.stdout.readline()
            return measured(
                f"walk over {PROCESSES * DESCRIPTORS} descriptors, {PROCESSES * DELETED} of them deleted",
                {
                    "C walk, readlink only (floor)": [str(walk)],
                    "find /proc -lname (peer)": ["sh", "-c", FIND],
                    "our scan, whole process": [sys.executable, "-c", SCAN, "scan"],
                    "our facts, whole process": [sys.executable, "-c", SCAN, "facts"],
                },
                rounds,
            )
        finally:
            for holder in holders:
                os.kill(holder.pid, signal.SIGKILL)
                holder.wait()
