# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._rules import CAREFUL, is_careful, is_harmless, parsed_rules


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("memfd", "/memfd:doublemapper"),
        ("sysv_shm", "/SYSV00000000"),
        ("shared_memory", "/dev/zero"),
        ("shared_memory", "/dev/shm/lab"),
        ("anonymous", "/drm mm object"),
        ("regular", "/i915"),
        ("device", "/dev/dri/card0"),
        ("regular", "/[aio]"),
        ("tmpfile", "/tmp/#4711"),
        ("regular", "/tmp/jna-1506477609/jna5389745087.tmp"),
        ("regular", "/var/tmp/jna123.tmp"),
        ("regular", "/tmp/sqlite-3.44.1.0-0e26ad18-libsqlitejdbc.so"),
        ("regular", "/tmp/liblz4-java-3164834931361.so"),
        ("regular", "/tmp/leveldbjni-64-1-2718349871.so"),
        ("regular", "/tmp/jansi-2.4.1-f38d8b7ed3a5-libjansi.so"),
        ("regular", "/tmp/jffi8437987234.so"),
        ("regular", "/tmp/libzstd-jni-1.5.5-115928374.so"),
        ("regular", "/tmp/ffiA1b2C3"),
        ("regular", "/run/user/1000/orcexec.Xy12Z9"),
        ("regular", "/tmp/.glAb12Cd"),
        ("regular", "/tmp/snappy-1.1.8-00a4-libsnappyjava.so"),
        ("regular", "/tmp/libnetty_transport_native_epoll_x86_643917.so"),
    ],
)
def test_what_is_no_sign_of_an_upgrade(kind: str, path: str) -> None:
    assert is_harmless(parsed_rules([]), kind, path)


@pytest.mark.parametrize(
    "path",
    [
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/bin/bash",
        "/usr/lib/libffi.so.8",
        "/usr/lib/libjna.so",
        "/usr/lib/x86_64-linux-gnu/jni/libjnidispatch.system.so",
        "/usr/lib/libsqlite3.so.0.8.6",
        "/usr/lib/libzstd.so.1.5.4",
        "/usr/lib/liblz4.so.1",
        "/tmp/SYSV00000000",
    ],
)
def test_what_is(path: str) -> None:
    assert not is_harmless(parsed_rules([]), "regular", path)


def test_the_rules_of_a_user_come_first() -> None:
    rules = parsed_rules([{"path": r"/opt/jit/.*"}, {"kind": "memfd", "harmless": False}])
    assert is_harmless(rules, "regular", "/opt/jit/code")
    assert not is_harmless(rules, "memfd", "/memfd:x")
    assert is_harmless(rules, "sysv_shm", "/SYSV00000000")


def test_of_a_rule_all_must_match() -> None:
    rules = parsed_rules([{"kind": "memfd", "path": "/memfd:good", "harmless": False}])
    assert not is_harmless(rules, "memfd", "/memfd:good")
    assert is_harmless(rules, "memfd", "/memfd:goods")


def test_a_bad_rule_is_told() -> None:
    with pytest.raises(RescueError, match=r"harmless: '\(' is no regular expression"):
        parsed_rules([{"path": "("}])


@pytest.mark.parametrize(
    "unit", ["dbus.service", "dbus-broker.service", "session-3.scope", "user@1000.service", "init.scope"]
)
def test_units_that_are_not_simply_restarted(unit: str) -> None:
    assert is_careful(unit, CAREFUL)


@pytest.mark.parametrize("unit", ["nginx.service", "ssh.service", "systemd-journald.service", "cron.service"])
def test_units_that_are(unit: str) -> None:
    assert not is_careful(unit, CAREFUL)
