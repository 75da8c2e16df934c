# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The task of restore_file: its options in, its answer out, whichever way leads to the host."""

from typing import Any, Dict, List

from ansible_collections.procfs.rescue.plugins.module_utils._accounts import number_of
from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import parsed_mode
from ansible_collections.procfs.rescue.plugins.module_utils._model import Terms
from ansible_collections.procfs.rescue.plugins.module_utils._report import diff_of
from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting


def run(params: Dict[str, Any], setting: Setting) -> Dict[str, Any]:
    """The answer of the task: ``changed``, ``files``, in diff mode ``diff``; with ``failed`` and ``msg`` if one failed.

    ``params`` is what `_restore_spec.checked` gives. Raises nothing that a user could cause.
    """
    host = setting.host
    try:
        requests = params["requests"]
        for_copies = [name for name in ("owner", "group", "mode") if params[name] is not None]
        if for_copies and not all("dest" in request for request in requests):
            raise RescueError("owner, group and mode are for files with dest: in place a file gets back those it had.")
        unseen: List[str] = []
        results = restore(requests, _terms(params, setting), setting.log, host, unseen.append)
        if params["look"]:
            results = [dict(result, changed=False) for result in results]
    except RescueError as error:
        return {"failed": True, "changed": False, "msg": DO_NOT + str(error)}
    except OSError as error:
        msg = DO_NOT + "The host's processes could not be looked at: %s." % fault(error)
        return {"failed": True, "changed": False, "msg": msg}
    answer: Dict[str, Any] = {"changed": any(result["changed"] for result in results), "files": results}
    if any("path_prefix" in request for request in requests):
        answer["complete"] = not unseen
    if unseen:
        answer["warnings"] = unseen
    if params["offer"]:
        answer["release"] = host.release()
    if setting.diff:
        answer["diff"] = diff_of(results)
    failed = [result for result in results if result["status"] == "failed"]
    if failed:
        answer.update(failed=True, msg=_failure(failed, len(results)))
    return answer


def _terms(params: Dict[str, Any], setting: Setting) -> Terms:
    host = setting.host
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
        check_mode=setting.check_mode or params["look"],
        freeze=params["freeze_timeout"] if params["freeze"] else None,
        parents=params["parents"],
        look=params["look"],
        pin=params["pin"],
        try_start=params["try_start"],
        offer=params["offer"],
        checksums=params["checksums"],
    )


def _failure(failed: List[Dict[str, Any]], total: int) -> str:
    sentences = " ".join(result["msg"] for result in failed)
    if total == 1:
        return DO_NOT + sentences
    return "%s%d of %d files could not be restored. %s" % (DO_NOT, len(failed), total, sentences)
