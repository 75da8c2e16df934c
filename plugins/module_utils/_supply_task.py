# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The task of supply_file on its host: its options in, its answer out."""

import base64
import binascii
import re
import zlib
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Callable, Dict, Iterator, List

from ansible_collections.procfs.rescue.plugins.module_utils._draft import staged_in, staging_in, unstage
from ansible_collections.procfs.rescue.plugins.module_utils._errors import DO_NOT, RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._host import Host
from ansible_collections.procfs.rescue.plugins.module_utils._judge import WAIVABLE
from ansible_collections.procfs.rescue.plugins.module_utils._model import Missing, Target, Terms
from ansible_collections.procfs.rescue.plugins.module_utils._names import path_bytes, path_fields
from ansible_collections.procfs.rescue.plugins.module_utils._needs import Need, need_fields, need_from
from ansible_collections.procfs.rescue.plugins.module_utils._offer import offer_from
from ansible_collections.procfs.rescue.plugins.module_utils._options import TRANSPORT
from ansible_collections.procfs.rescue.plugins.module_utils._package_file import packaged
from ansible_collections.procfs.rescue.plugins.module_utils._supply import Delivery, new_draft, supply
from ansible_collections.procfs.rescue.plugins.module_utils._target import aimed, check_room, filling
from ansible_collections.procfs.rescue.plugins.module_utils._task import Setting
from ansible_collections.procfs.rescue.plugins.module_utils._verify import content as content_of

SOURCES = ("process", "peer", "package")

# How the options are checked, as AnsibleModule takes it.
SUPPLY_SPEC: Dict[str, Any] = {
    "argument_spec": {
        "files": {"type": "list", "elements": "dict"},
        "sources": {"type": "list", "elements": "str", "choices": list(SOURCES), "default": ["peer", "package"]},
        "found": {"type": "dict"},
        "looked": {"type": "bool", "default": False},
        "parents": {"type": "bool", "default": False},
        "try_start": {"type": "bool", "default": False},
        "accept": {"type": "list", "elements": "str", "choices": list(WAIVABLE), "default": []},
        "transport": TRANSPORT,
    },
    "mutually_exclusive": [("files", "found")],
    "required_one_of": [("files", "found")],
}

_TOKEN = re.compile("[0-9a-f]{16}\\Z")


def run(params: Dict[str, Any], setting: Setting) -> Dict[str, Any]:
    """The answer of the task: ``changed``, ``files`` with one result each; with ``failed`` and ``msg`` if one failed.

    The action has given those of ``files`` that peers have an ``offer`` with ``by``, ``others`` (offers of the same
    content), and ``content`` (base64 of what zlib made of it) or the ``token`` of what was staged; to those that no
    peer has ``no_peer``, why; or a piece to ``stage``.
    """
    files, host = params["files"], setting.host
    terms = Terms(
        params["accept"],
        check_mode=setting.check_mode,
        parents=params["parents"],
        try_start=params["try_start"],
    )

    staged: Dict[str, int] = {}

    def give(source: str, wanted: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
        if source == "process":
            return held(wanted, terms, setting.log, host)
        if source == "package":
            return [_from_package(need_from(fields), terms, setting.log, host) for fields in wanted]
        return [of_peers(fields, given) for fields in wanted]

    def given(fields: Dict[str, Any]) -> Dict[str, Any]:
        return supply(_delivery(fields, staged, host), terms, setting.log, host)

    try:
        if files and "stage" in files[0]:
            return _stage(files[0]["stage"], terms.parents, host)
        with ExitStack() as stack:
            for fields in files:
                if "token" in fields:
                    staged[fields["token"]] = stack.enter_context(_staged(fields, terms.parents, host))
            return summed_up(in_order(files, params["sources"], give))
    except RescueError as error:
        return {"failed": True, "changed": False, "msg": DO_NOT + str(error)}
    except OSError as error:
        return {"failed": True, "changed": False, "msg": DO_NOT + "The file could not be written: %s." % fault(error)}


def in_order(
    files: List[Dict[str, Any]],
    sources: List[str],
    give: Callable[[str, List[Dict[str, Any]]], List[Dict[str, Any]]],
) -> List[Dict[str, Any]]:
    """For each of ``files`` the result of the first of ``sources`` that has it, else why each of them has not.

    ``give`` tells what one source has of some files.
    """
    results: List[Dict[str, Any]] = [{} for _fields in files]
    for source in sources:
        missing = [at for at, result in enumerate(results) if result.get("status", "failed") == "failed"]
        for at, result in zip(missing, give(source, [files[at] for at in missing]) if missing else ()):
            results[at] = _after(results[at], result)
    return results


def _after(before: Dict[str, Any], result: Dict[str, Any]) -> Dict[str, Any]:
    """``result``; of a failure after that of another source, empty if there was none, both reasons."""
    if result["status"] != "failed" or not before:
        return result
    why = "%s %s" % (before["msg"], result["msg"])
    return dict(before, msg=why, refused=[*before["refused"], *result["refused"]])


def of_peers(fields: Dict[str, Any], give: Callable[[Dict[str, Any]], Dict[str, Any]]) -> Dict[str, Any]:
    """The result of the first of the peers whose file the host takes, else why it takes none.

    ``give`` tells what becomes of the file with one ``offer``.
    """
    if "offer" not in fields:
        return no_peer(fields)
    result: Dict[str, Any] = {}
    for one in [fields, *fields.get("others", [])]:
        tried = give(dict(fields, offer=one["offer"], by=one["by"]))
        if tried["status"] != "failed":
            return tried
        # A full disk is as full for all of them.
        if not result or tried["msg"] not in result["msg"]:
            result = _after(result, tried)
    return result


def held(files: List[Dict[str, Any]], terms: Terms, log: Callable[[str], None], host: Host) -> List[Dict[str, Any]]:
    """What processes hold of them, in one look at the host."""
    from ansible_collections.procfs.rescue.plugins.module_utils._restore import restore  # most need no process again

    needs = [need_from(fields) for fields in files]
    requests = [
        dict(path_fields(need.path), checksum=need.checksum)
        if need.witness is not None and need.witness.by == "checksum"
        else dict(path_fields(need.path))
        for need in needs
    ]
    results = restore(requests, terms, log, host)
    return [dict(result, needs=need_fields(need)) for result, need in zip(results, needs)]


def no_peer(fields: Dict[str, Any]) -> Dict[str, Any]:
    return failed(need_from(fields), fields["no_peer"], ["no_peer"])


def _stage(fields: Dict[str, Any], parents: bool, host: Host) -> Dict[str, Any]:
    """Appends a piece of content that is too large for one call. Raises RescueError, OSError; then nothing stays."""
    path = path_bytes(fields)
    if path is None:
        raise RescueError("path is missing.")
    with _waiting_room(path, parents, host) as target:
        folder, token = target.folder.fd, _token(fields)
        with filling(target, fields["size"], host):
            try:
                if fields["offset"] == 0:
                    host.sweep_once(folder, set())
                    check_room(target, fields["size"], host)
                with staging_in(folder, token) as hidden, staged_in(hidden) as draft:
                    if host.size(draft.fd) != fields["offset"]:
                        raise RescueError("Another run took away what had come of %s: run this again." % fields["path"])
                    host.write_content([base64.b64decode(fields["content"])], draft.fd)
            except (OSError, RescueError):
                unstage(folder, token)
                raise
    return {"changed": False, "files": []}


@contextmanager
def _waiting_room(path: bytes, parents: bool, host: Host) -> Iterator[Target]:
    """The target in whose opened folder a large file waits: its own, or the nearest one that is there.

    Raises RescueError.
    """
    target = aimed(path, {}, host, (lambda _path, name: Missing(name)) if parents else None)
    try:
        yield target
    finally:
        host.close(target.folder.fd)


@contextmanager
def _staged(fields: Dict[str, Any], parents: bool, host: Host) -> Iterator[int]:
    """The hidden folder of what has come in pieces. Whatever becomes of it, nothing stays. Raises RescueError, OSError.

    It is locked before the file's folder is made again: that sweeps the one around it.
    """
    with _waiting_room(need_from(fields).path, parents, host) as target:
        try:
            with staging_in(target.folder.fd, _token(fields)) as hidden:
                yield hidden
        finally:
            unstage(target.folder.fd, _token(fields))


def _delivery(fields: Dict[str, Any], staged: Dict[str, int], host: Host) -> Delivery:
    need, offer, by = need_from(fields), offer_from(fields["offer"]), str(fields["by"])
    if "token" in fields:
        hidden = staged[fields["token"]]
        with staged_in(hidden) as draft:
            came = host.size(draft.fd)
        return Delivery(need, offer, list, by, lambda _folder: staged_in(hidden), came)
    try:
        content = zlib.decompress(base64.b64decode(fields["content"])) if fields.get("content") else b""
    except (binascii.Error, ValueError, zlib.error) as error:
        raise RescueError("The content of %s did not arrive whole." % fields["path"]) from error
    return Delivery(need, offer, lambda: [content], by, partial(new_draft, host))


def _token(fields: Dict[str, Any]) -> bytes:
    token = str(fields["token"])
    if not _TOKEN.match(token):
        raise RescueError("token must be 16 hexadecimal digits.")
    return token.encode("ascii")


def _from_package(need: Need, terms: Terms, log: Callable[[str], None], host: Host) -> Dict[str, Any]:
    try:
        with ExitStack() as stack:
            offer, fd = stack.enter_context(packaged(need))
            by = "package %s %s" % (need.installed[:2] if need.installed else ("", ""))
            return supply(Delivery(need, offer, lambda: content_of(fd), by, partial(new_draft, host)), terms, log, host)
    except RescueError as error:
        return failed(need, str(error), error.reasons)
    except OSError as error:
        return failed(need, "The package could not be got: %s." % fault(error), [])


def failed(need: Need, msg: str, refused: List[str]) -> Dict[str, Any]:
    """The result of a file for which there was no source. It is needed as before."""
    return dict(
        path_fields(need.path),
        status="failed",
        changed=False,
        msg=msg,
        refused=refused,
        seconds=0.0,
        needs=need_fields(need),
    )


def summed_up(results: List[Dict[str, Any]]) -> Dict[str, Any]:
    """The answer of the task: ``changed``, ``files``, with ``failed`` and ``msg`` if one failed."""
    answer: Dict[str, Any] = {"changed": any(result["changed"] for result in results), "files": results}
    sentences = [result["msg"] for result in results if result["status"] == "failed"]
    if sentences:
        answer.update(failed=True, msg=DO_NOT + " ".join(sentences))
    return answer
