# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Strategies of Hypothesis: what an attacker or an odd kernel may write into names and into /proc."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

# A test that runs programs or writes files has fewer examples than one that only computes.
FEWER = settings(max_examples=max(settings.default.max_examples // 50, 20))

_PIECES = [
    *(b"..", b".", b"-rf", b"~", b"%2E", b"%", b"a", b"tool", b";5f3a2b1c", b" (deleted)", b"//deleted", b"memfd:"),
    *(
        b"\n",
        b"\t",
        b"\r",
        b"\x1b[2J",
        b"\x7f",
        b" ",
        b"\\",
        b"\\n",
        b"\\012",
        b"\\040",
        b"\xff",
        b"\xc3",
        b"\xed\xa0\x80",
    ),
    *(
        b"'",
        b'"',
        b"`",
        b"$(touch owned)",
        b";",
        b"&",
        b"|",
        b"#",
        b"*",
        b"?",
        b"[a]",
        b"{{ 7*7 }}",
        b"{% raw %}",
        b"!",
    ),
    *("ü".encode(), "\u202e".encode(), "\u2028".encode(), "\ufeff".encode(), "\U0010ffff".encode(), b" - ", b") S 1 ("),
    *(b"Uid:\t0\t0\t0\t0", b"mnt_id:\t1", b"27 1 254:0 / / rw - ext4 x rw", b"system.slice", b"sshd.service", b"0::"),
]

# Any bytes that procfs may show for a text; those that end a string or a component are for who uses it.
TEXTS = st.one_of(st.binary(max_size=40), st.lists(st.sampled_from(_PIECES), max_size=8).map(b"".join)).map(
    lambda raw: raw.replace(b"\0", b"")
)

# One component of a path, as a file system takes it.
NAMES = TEXTS.map(lambda raw: raw.replace(b"/", b"")[:255]).map(
    lambda name: b"x" if name in (b"", b".", b"..") else name
)

PATHS = st.lists(NAMES, min_size=1, max_size=5).map(lambda names: b"/" + b"/".join(names))

# What a link may read: not even a path, and components that no file has.
LINKS = st.one_of(PATHS, TEXTS, TEXTS.map(lambda raw: b"/memfd:" + raw), PATHS.map(lambda path: path + b"/.."))
