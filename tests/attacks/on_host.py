# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on the host as root: looks at ``links`` that are to deceive it, or restores what ``requests`` want.

With ``believing`` the check of namespaces is switched off. The request comes on stdin, the answer goes to stdout, both
JSON.
"""

import json
import os
import stat
import sys
from typing import Any

from ansible_collections.procfs.rescue.plugins.module_utils import _mounts
from ansible_collections.procfs.rescue.plugins.module_utils._facts import Filters, gather
from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL
from ansible_collections.procfs.rescue.plugins.module_utils._model import Terms
from ansible_collections.procfs.rescue.plugins.module_utils._names import printable
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore


def seen(link: str) -> dict[str, str]:
    """What anybody sees of a magic link who does not look closely."""
    process = "/".join(link.split("/")[:3])
    result = os.stat(link)
    return {
        "text": printable(os.readlink(os.fsencode(link))),
        "uid": str(result.st_uid),
        "mode": stat.filemode(result.st_mode),
        "own_namespace": "yes" if os.path.samefile(process + "/ns/mnt", "/proc/self/ns/mnt") else "no",
    }


def main() -> None:
    request = json.load(sys.stdin)
    if request.get("believing"):
        vars(_mounts)["HolderMounts"]._are_believed = lambda _mounts: True
    if "requests" in request:
        answer: Any = restore(request["requests"], Terms(accept=request["accept"]), lambda _line: None, LOCAL)
    else:
        facts = gather(Filters(), host=LOCAL)
        entries = facts["deleted_files"]
        links = set(request["links"])
        answer = {
            "seen": [seen(link) for link in request["links"]],
            "summary": facts["deleted_files_summary"],
            "entries": [entry for entry in entries if links & {holder["link"] for holder in entry["holders"]}],
        }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
