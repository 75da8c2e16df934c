# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The task of restore_file: its options in, its answer out, whichever way leads to the host."""

from typing import Any, Callable, Dict, List

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import number_of
from ansible_collections.procfs.rescue.plugins.module_utils._choose import SOURCE_SPEC
from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import TRANSPORT, Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import WAIVABLE
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import parsed_mode
from ansible_collections.procfs.rescue.plugins.module_utils._model import Terms
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes
from ansible_collections.procfs.rescue.plugins.module_utils._report import diff_of
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore

_FILE_SPEC: Dict[str, Dict[str, Any]] = dict(SOURCE_SPEC, dest={"type": "str"})

# How the options are checked, as AnsibleModule takes it.
RESTORE_SPEC: Dict[str, Any] = {
    "argument_spec": dict(
        _FILE_SPEC,
        files={"type": "list", "elements": "raw"},
        path_prefix={"type": "str"},
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
        prove={"type": "bool", "default": False},
        transport=TRANSPORT,
    ),
    "mutually_exclusive": [("files", name) for name in _FILE_SPEC],
    "required_one_of": [("path", "path_b64", "source", "pid", "inode", "files", "path_prefix")],
}


def run_restore(
    params: Dict[str, Any], check_mode: bool, diff: bool, log: Callable[[str], None], host: Host
) -> Dict[str, Any]:
    """The answer of the task: ``changed``, ``files``, in diff mode ``diff``; with ``failed`` and ``msg`` if one failed.

    ``params`` are options that `RESTORE_SPEC` has checked. Raises nothing that a user could cause.
    """
    try:
        requests = _requests(params)
        for_copies = [name for name in ("owner", "group", "mode") if params[name] is not None]
        if for_copies and (params["path_prefix"] or not all("dest" in request for request in requests)):
            raise RescueError("owner, group and mode are for files with dest: in place a file gets back those it had.")
        prefix = path_bytes(params, "path_prefix")
        results = restore(requests, prefix, _terms(params, check_mode or params["look"], host), log, host)
        if params["look"]:
            results = [dict(result, changed=False) for result in results]
    except RescueError as error:
        return {"failed": True, "changed": False, "msg": DO_NOT + str(error)}
    except OSError as error:
        msg = DO_NOT + "The host's processes could not be looked at: %s." % fault(error)
        return {"failed": True, "changed": False, "msg": msg}
    answer: Dict[str, Any] = {"changed": any(result["changed"] for result in results), "files": results}
    if diff:
        answer["diff"] = diff_of(results)
    failed = [result for result in results if result["status"] == "failed"]
    if failed:
        answer.update(failed=True, msg=_failure(failed, len(results)))
    return answer


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


def _terms(params: Dict[str, Any], check_mode: bool, host: Host) -> Terms:
    owner, group, mode = params["owner"], params["group"], params["mode"]
    if params["max_copies"] < 1:
        raise RescueError("max_copies must be at least 1.")
    if not 0 < params["freeze_timeout"] <= 3600:
        raise RescueError("freeze_timeout must be more than 0 and at most 3600 seconds.")
    if not 0 <= params["pin"] <= 86400:
        raise RescueError("pin must be 0 to 86400 seconds.")
    return Terms(
        accept=params["accept"],
        force=params["force"],
        backup=params["backup"],
        owner=None if owner is None else number_of(owner, host.user_names(), "user"),
        group=None if group is None else number_of(group, host.group_names(), "group"),
        mode=None if mode is None else parsed_mode(mode),
        max_copies=params["max_copies"],
        check_mode=check_mode,
        freeze=params["freeze_timeout"] if params["freeze"] else None,
        parents=params["parents"],
        look=params["look"],
        pin=params["pin"],
        prove=params["prove"],
    )


def _failure(failed: List[Dict[str, Any]], total: int) -> str:
    sentences = " ".join(result["msg"] for result in failed)
    if total == 1:
        return DO_NOT + sentences
    return "%s%d of %d files could not be restored. %s" % (DO_NOT, len(failed), total, sentences)
