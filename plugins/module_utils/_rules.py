# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""Data: what of that which processes execute is no sign of an upgrade, and which units are not simply restarted."""

import re
from fnmatch import fnmatchcase
from typing import Any, Dict, List, NamedTuple, Optional, Pattern, Sequence

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError

# The first rule that matches decides; those of a user come before these.
HARMLESS: List[Dict[str, Any]] = [
    {"kind": "memfd"},
    {"kind": "sysv_shm"},
    {"kind": "shared_memory"},  # also /dev/zero
    {"kind": "anonymous"},  # also "drm mm object" and "i915" of graphics drivers
    {"kind": "tmpfile"},
    {"kind": "device"},
    {"path": r"/\[aio\]"},  # rings of io_setup(2)
    {"path": r"/(drm mm object|i915)"},
    {"path": r".*/jna-?[0-9]+\.tmp"},  # JNA
    {"path": r".*/ffi[0-9A-Za-z]{6}"},  # closures of libffi
    {"path": r".*/orcexec\.[0-9A-Za-z]{6}"},  # GStreamer's compiler
    {"path": r"/tmp/\.gl[0-9A-Za-z]{6}"},  # OpenGL drivers
    # Libraries that Java programs unpack from their archives.
    {"path": r".*/(lib)?(snappy|sqlite|lz4-java|leveldbjni|jansi|jffi|netty_|zstd-jni)[^/]*\.(so|tmp)"},
]

# Sessions of people, what holds the sessions and the buses, what other services' processes are children of.
CAREFUL = [
    "init.scope",
    "dbus*.service",
    "systemd-logind.service",
    "systemd-machined.service",
    "user@*.service",
    "session-*.scope",
    "getty@*.service",
    "serial-getty@*.service",
    "ssh@*.service",
    "sshd@*.service",
    "display-manager.service",
    "gdm*.service",
    "lightdm.service",
    "sddm.service",
    "xdm.service",
    "lxdm.service",
    "containerd.service",
    "docker.service",
    "crio.service",
    "libvirtd.service",
    "virt*d.service",
    "lxc*.service",
    "systemd-nspawn@*.service",
    "machine-*.scope",
    "emergency.service",
    "rescue.service",
]


class Rule(NamedTuple):
    """Of a deleted file that somebody executes; ``kind`` and ``path`` are None where they do not matter."""

    kind: Optional[str]
    path: Optional[Pattern[str]]
    harmless: bool


def parsed_rules(rules: Sequence[Dict[str, Any]]) -> List[Rule]:
    """``rules`` of a user and the built-in ones after them. Raises RescueError."""
    parsed = []
    for rule in [*rules, *HARMLESS]:
        try:
            path = None if rule.get("path") is None else re.compile(rule["path"])
        except re.error as error:
            raise RescueError("harmless: %r is no regular expression: %s." % (rule["path"], error)) from error
        parsed.append(Rule(rule.get("kind"), path, rule.get("harmless", True)))
    return parsed


def is_harmless(rules: Sequence[Rule], kind: str, path: str) -> bool:
    for rule in rules:
        if rule.kind in (None, kind) and (rule.path is None or rule.path.fullmatch(path)):
            return rule.harmless
    return False


def is_careful(unit: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(unit, pattern) for pattern in patterns)
