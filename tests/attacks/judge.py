# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on the host, as root: restores one file as the module does, and says what root can see of a false candidate.

judge.py '{"path": ..., "terms": {...}}'   prints the result in JSON
judge.py look PATH                         prints all magic links that say that PATH is deleted
"""

import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from ansible_collections.procfs.rescue.plugins.module_utils._model import Terms
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.module_utils._scan import scan


def look(name):
    own = os.readlink("/proc/self/ns/mnt")
    return [
        {
            "link": printable(one.path) + " (deleted)",
            "owner": one.file.uid,
            "mode": "%04o" % one.file.permissions,
            "same_namespace": os.readlink("/proc/%d/ns/mnt" % one.process.pid) == own,
        }
        for one in scan(lambda _sighting: False).sightings
        if name in printable(one.path)
    ]


def main():
    if sys.argv[1] == "look":
        answer = look(sys.argv[2])
    else:
        request = json.loads(sys.argv[1])
        terms = Terms(**request.pop("terms", {}))
        prefix = request.pop("path_prefix", None)
        requests = [request] if request else []
        answer = restore(requests, None if prefix is None else os.fsencode(prefix), terms, lambda _line: None)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
