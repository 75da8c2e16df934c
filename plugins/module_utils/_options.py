# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Options that several modules take, and those of fetch_file, of whose calls most need nothing else that chooses."""

from typing import Any, Dict

# Those that choose a file, as all modules take them.
SOURCE_SPEC: Dict[str, Dict[str, Any]] = {
    "path": {"type": "str"},
    "path_b64": {"type": "str"},
    "source": {"type": "dict"},
    "pid": {"type": "int"},
    "start_time": {"type": "int"},
    "device": {"type": "int"},
    "inode": {"type": "int"},
    "checksum": {"type": "str"},
}

# The option that says which way is to be used, as AnsibleModule takes it.
TRANSPORT: Dict[str, Any] = {"type": "str", "choices": ["auto", "module", "sftp"], "default": "auto"}

FETCH_SPEC: Dict[str, Dict[str, Any]] = dict(
    SOURCE_SPEC,
    dest={"type": "str", "required": True},
    flat={"type": "bool", "default": False},
    mode={"type": "raw"},
    fail_on_missing={"type": "bool", "default": True},
    validate_checksum={"type": "bool", "default": True},
    resume={"type": "bool", "default": False},
    executable={"type": "bool", "default": False},
    transport=TRANSPORT,
)
