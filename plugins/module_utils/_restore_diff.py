# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What diff mode shows of a restored file: metadata and digests, never content."""

from typing import Any, Dict

_SHOWN = ("size", "owner", "group", "mode", "mtime", "checksum", "content_by")


def diff_of(result: Dict[str, Any]) -> Dict[str, Any]:
    """The diff (as Ansible's callbacks take it) of one changed result of `_restore.restore`."""
    path = result.get("dest", result["path"])
    return {
        "before_header": path,
        "after_header": "%s from %s" % (path, result["source"]["link"]),
        "before": dict(result["replaced"], state="file") if "replaced" in result else {"state": "absent"},
        "after": dict({key: result[key] for key in _SHOWN}, state="file"),
    }
