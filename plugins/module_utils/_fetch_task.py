# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The task of fetch_file on its host: its options in, its answer out, and before that what it is asked to stream.

The action calls it once to choose the file, then for its content. The ``step`` of the source says which.
"""

from typing import Any, Dict

from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._fetch import chosen
from ansible_collections.procfs.rescue.plugins.module_utils._keep_open import let_go
from ansible_collections.procfs.rescue.plugins.module_utils._source import beginning, piece, streams
from ansible_collections.procfs.rescue.plugins.module_utils._stream import ABOUT, begin, send, tell
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting


def run(params: Dict[str, Any], setting: Setting) -> Dict[str, Any]:
    """``answer``, which each step has of its own."""
    source = params["source"] or {}
    step = source.get("step", {})
    try:
        # Of a path that it is told AnsibleModule adds size, owner and mode: of the file that has the name now.
        return {"changed": False, "answer": _answer(params, source, step, setting)}
    except RescueError as error:
        return {"failed": True, "msg": DO_NOT + str(error), "refused": error.reasons}
    except OSError as error:
        return {"failed": True, "msg": DO_NOT + "The file could not be read: %s." % fault(error), "refused": []}


def _answer(params: Dict[str, Any], source: Dict[str, Any], step: Dict[str, Any], setting: Setting) -> Dict[str, Any]:
    if "release" in step:
        let_go(step["release"]["pid"], step["release"]["start_time"])
        return {}
    if step.keys() & {"piece", "beginning", "streams"}:
        return _content(source, step)
    with chosen(params, setting.host, step.get("with_digest", True)) as (description, fd):
        if step.get("with_content"):
            begin(1)
            tell(1, ABOUT, description)
            send(fd, description["size"], 1)
        return description


def _content(source: Dict[str, Any], step: Dict[str, Any]) -> Dict[str, Any]:
    if "piece" in step:
        return piece(source, step["piece"]["offset"], step["piece"]["length"])
    if "beginning" in step:
        return beginning(source, step["beginning"])
    streams(step["streams"])
    return {}
