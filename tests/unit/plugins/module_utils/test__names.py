# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError
from ansible_collections.procfs.rescue.plugins.module_utils._names import (
    is_exact,
    original_path,
    path_bytes,
    path_fields,
    printable,
)


@pytest.mark.parametrize(
    ("path", "original"),
    [
        (b"/usr/bin/bash;5f3a2b1c", b"/usr/bin/bash"),
        (b"/usr/bin/bash;5f3a2b1c0", b"/usr/bin/bash"),
        (b"/usr/bin/bash", b"/usr/bin/bash"),
        (b"/srv/a;5f3a2b1", b"/srv/a;5f3a2b1"),
        (b"/srv/a;5F3A2B1C", b"/srv/a;5F3A2B1C"),
        (b"/srv/a;5f3a2b1c.gz", b"/srv/a;5f3a2b1c.gz"),
        (b"/srv/a;5f3a2b1c\n", b"/srv/a;5f3a2b1c\n"),
        (b"/srv/a;11111111;22222222", b"/srv/a;11111111"),
        (b"/srv;5f3a2b1c/a", b"/srv;5f3a2b1c/a"),
    ],
)
def test_only_the_suffix_of_rpm_is_taken_off(path: bytes, original: bytes) -> None:
    assert original_path(path) == original


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", ""),
        (b"/usr/bin/bash", "/usr/bin/bash"),
        ("/srv/Größe {{ 6*7 }}".encode(), "/srv/Größe {{ 6*7 }}"),
        (b"/srv/literal\\n", "/srv/literal\\n"),
    ],
)
def test_text_is_shown_as_it_is(raw: bytes, text: str) -> None:
    assert (printable(raw), is_exact(raw), path_fields(raw)) == (text, True, {"path": text})


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"/srv/a\nb", "/srv/a\\nb"),
        (b"/srv/\xff", "/srv/\\xff"),
        (b"\\\n", "\\\\\\n"),
        (b"\x1b[2J\x7f\r\t", "\\x1b[2J\\x7f\\r\\t"),
        ("evil\u202etxt.exe".encode(), "evil\\u202etxt.exe"),
        ("a\u2028b\xa0c".encode(), "a\\u2028b\\xa0c"),
        ("é\U0010ffff".encode(), "é\\U0010ffff"),
        (b"caf\xc3", "caf\\xc3"),
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # a surrogate is no UTF-8
    ],
)
def test_what_people_cannot_read_is_escaped(raw: bytes, text: str) -> None:
    assert (printable(raw), is_exact(raw)) == (text, False)


def test_to_escape_needs_nothing_of_the_library_that_may_be_gone() -> None:
    program = "import sys; from ansible_collections.procfs.rescue.plugins.module_utils._names import printable; "
    program += "known = set(sys.modules); printable(b'a\\n' + bytes([255])); print(sorted(set(sys.modules) - known))"
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.check_output([sys.executable, "-c", program], env=here) == b"[]\n"


def test_fields_of_a_name_that_is_not_exact_have_its_bytes() -> None:
    assert path_fields(b"/srv/\xff", "dest") == {"dest": "/srv/\\xff", "dest_b64": "L3Nydi//"}


def test_the_exact_bytes_go_before_the_text() -> None:
    assert path_bytes({"path": "/srv/other", "path_b64": "L3Nydi//"}) == b"/srv/\xff"


def test_the_key_can_be_another() -> None:
    assert path_bytes({"path": "/srv/a", "dest": "/srv/b"}, "dest") == b"/srv/b"


@pytest.mark.parametrize("fields", [{}, {"path": None}, {"path": ""}, {"path_b64": ""}, {"dest": "/a"}])
def test_no_path(fields: dict[str, str | None]) -> None:
    assert path_bytes(fields) is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"path_b64": "L3Nydi!!"}, "path_b64 is not base64: 'L3Nydi!!'."),
        ({"path_b64": "L3Nydi/"}, "path_b64 is not base64: 'L3Nydi/'."),
        ({"path_b64": "ü"}, "path_b64 is not base64: 'ü'."),
        ({"path_b64": 5}, "path_b64 is not base64: 5."),
        ({"path": "/srv/a\0b\n"}, "path has a NUL byte in it, no file name can: /srv/a\\x00b\\n"),
        ({"path_b64": "L2EAYg=="}, "path has a NUL byte in it, no file name can: /a\\x00b"),
    ],
)
def test_bad_paths(fields: dict[str, str], message: str) -> None:
    with pytest.raises(RescueError) as caught:
        path_bytes(fields)
    assert str(caught.value) == message


def test_a_lone_surrogate_is_no_name() -> None:
    with pytest.raises(RescueError):
        path_bytes(json.loads('{"path": "/srv/\\ud800"}'))
