# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The task of deleted_files_facts: its options in, its answer out, whichever way leads to the host."""

from typing import Any, Dict

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._facts import ORDERS, Filters, Listing, gather
from ansible_collections.procfs.rescue.plugins.module_utils._group import KINDS
from ansible_collections.procfs.rescue.plugins.module_utils._model import Effort
from ansible_collections.procfs.rescue.plugins.module_utils._options import TRANSPORT
from ansible_collections.procfs.rescue.plugins.module_utils._rules import CAREFUL, parsed_rules
from ansible_collections.procfs.rescue.plugins.module_utils._summary import Questions
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting
from ansible_collections.procfs.rescue.plugins.module_utils._verify import ALGORITHMS

_NAMES: Dict[str, Any] = {"type": "list", "elements": "str", "default": []}

# How the options are checked, as AnsibleModule takes it.
FACTS_SPEC: Dict[str, Any] = {
    "argument_spec": {
        "paths": _NAMES,
        "excludes": _NAMES,
        "kinds": dict(_NAMES, choices=list(KINDS)),
        "states": dict(_NAMES, choices=["removed", "replaced", "unknown"]),
        "users": _NAMES,
        "units": _NAMES,
        "via": dict(_NAMES, choices=["exe", "fd", "map"]),
        "min_size": {"type": "str", "default": "0"},
        "sort": {"type": "str", "choices": sorted(ORDERS)},
        "limit": {"type": "int"},
        "holders_limit": {"type": "int"},
        "get_checksum": {"type": "bool", "default": False},
        "checksum_algorithm": {"type": "str", "choices": list(ALGORITHMS), "default": "sha256"},
        "get_package": {"type": "bool", "default": False},
        "harmless": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {
                "kind": {"type": "str", "choices": list(KINDS)},
                "path": {"type": "str"},
                "harmless": {"type": "bool", "default": True},
            },
        },
        "careful_units": dict(_NAMES, default=CAREFUL),
        "critical_paths": dict(_NAMES, default=["/bin/sh"]),
        "deadline": {"type": "float", "default": 5},
        "timeout": {"type": "float"},
        "threads": {"type": "bool", "default": False},
        "transport": TRANSPORT,
    },
}


def run(params: Dict[str, Any], setting: Setting) -> Dict[str, Any]:
    """The answer of the task: ``ansible_facts``, or ``failed`` and ``msg``.

    ``params`` are options that `FACTS_SPEC` has checked, ``min_size`` is in bytes. Raises nothing that a user could
    cause.
    """
    setting.host.give_way()
    try:
        names = ("paths", "excludes", "kinds", "states", "users", "units", "via", "min_size")
        filters = Filters(**{name: params[name] for name in names})
        effort = Effort(params["deadline"], params["timeout"], params["threads"])
        questions = Questions(parsed_rules(params["harmless"]), params["careful_units"], params["critical_paths"])
        for name in ("limit", "holders_limit"):
            if params[name] is not None and params[name] < 0:
                raise RescueError("%s must not be negative." % name)
        checksum = params["checksum_algorithm"] if params["get_checksum"] else None
        listing = Listing(params["sort"], params["limit"], checksum, params["get_package"], params["holders_limit"])
        return {"changed": False, "ansible_facts": gather(filters, effort, questions, listing, host=setting.host)}
    except RescueError as error:
        return {"changed": False, "failed": True, "msg": str(error)}
    except OSError as error:
        msg = "The host's processes could not be looked at: %s." % fault(error)
        return {"changed": False, "failed": True, "msg": msg}
