# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The options of restore_file, as Ansible checks them: wherever the task then runs, it gets what `checked` gives."""

from typing import Any, Dict, List

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._judge import WAIVABLE
from ansible_collections.procfs.rescue.plugins.module_utils._options import SOURCE_SPEC, TRANSPORT

_FILE_SPEC: Dict[str, Dict[str, Any]] = dict(SOURCE_SPEC, dest={"type": "str"})

# How the options are checked, as AnsibleModule takes it.
RESTORE_SPEC: Dict[str, Any] = {
    "argument_spec": dict(
        _FILE_SPEC,
        files={"type": "list", "elements": "raw"},
        path_prefix={"type": "str"},
        path_prefixes={"type": "list", "elements": "str", "default": []},
        packaged={"type": "bool", "default": False},
        owner={"type": "str"},
        group={"type": "str"},
        mode={"type": "raw"},
        force={"type": "bool", "default": False},
        backup={"type": "bool", "default": False},
        accept={"type": "list", "elements": "str", "choices": list(WAIVABLE), "default": []},
        max_copies={"type": "int", "default": 3},
        freeze={"type": "bool", "default": False},
        freeze_timeout={"type": "float", "default": 10.0},
        parents={"type": "bool", "default": False},
        checksums={"type": "dict", "default": {}},
        look={"type": "bool", "default": False},
        pin={"type": "float", "default": 0},
        try_start={"type": "bool", "default": False},
        offer={"type": "bool", "default": False},
        transport=TRANSPORT,
    ),
    "mutually_exclusive": [("files", name) for name in _FILE_SPEC],
    "required_one_of": [("path", "path_b64", "source", "pid", "inode", "files", "path_prefix", "path_prefixes")],
}


def checked(params: Dict[str, Any]) -> Dict[str, Any]:
    """Options that `RESTORE_SPEC` has passed, with ``requests`` for what ``path`` and so on, or ``files``, ask for.

    Raises RescueError.
    """
    prefixes = [params["path_prefix"]] if params["path_prefix"] is not None else []
    prefixes += params["path_prefixes"]
    below = [{"path_prefix": prefix, "packaged": params["packaged"]} for prefix in prefixes]
    return dict(params, requests=_requests(params) + below)


def _requests(params: Dict[str, Any]) -> List[Dict[str, Any]]:
    if params["files"] is None:
        single = {name: params[name] for name in _FILE_SPEC if params[name] is not None}
        return [single] if single else []
    validator = ArgumentSpecValidator(_FILE_SPEC)
    requests = []
    for number, item in enumerate(params["files"], 1):
        result = validator.validate(item if isinstance(item, dict) else {"path": item})
        if result.error_messages:
            raise RescueError("Item %d of files: %s." % (number, "; ".join(result.error_messages)))
        request = {key: value for key, value in result.validated_parameters.items() if value is not None}
        if request.get("path") in params["checksums"]:
            request.setdefault("checksum", params["checksums"][request["path"]])
        requests.append(request)
    return requests
