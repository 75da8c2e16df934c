# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attacks. Each fooled some simpler check."""

from __future__ import annotations

from attacks.attack import BASH, ROOM, Attack

# In a folder of root's, in which anybody may put files: there a file of hers is as good as any.
IN_TMP = "/tmp/report"
_REAL_IN_TMP = f"cp /usr/bin/dash {IN_TMP}"

_OLD = f"{ROOM}/old"
_ROOTS_OLD = f"mkdir {_OLD} && cp /usr/bin/sleep {_OLD}/bash"
_LOSE_BOTH = f"rm {BASH} {_OLD}/bash"

_APP = f"{ROOM}/app/tool"
_REAL_APP = f"mkdir {ROOM}/app && echo real > {_APP}"
_CHFN = "/usr/bin/chfn"

# Chosen by hand, a file of her folder would go back into that folder, which is hers.
_AT_ITS_TRUE_PLACE = ("namespace_untrusted",)

ATTACKS = (
    # With the real file its mount is gone, and with that its path: it had no name that it could be given back.
    Attack("1", "her file bound over the real one", "file_over", ("not_held",), by_hand=()),
    Attack(
        "1",
        "her folder bound over the real one",
        "folder_over",
        ("namespace_untrusted", "owner_differs"),
        by_hand=_AT_ITS_TRUE_PLACE,
        second=("place_differs", "owner_differs"),
    ),
    Attack(
        "2",
        "her overlay over the real folder, with a file of root's",
        "overlay_over",
        ("namespace_untrusted",),
        (_OLD,),
        second=("place_differs",),
        prepare=_ROOTS_OLD,
    ),
    Attack(
        "3",
        "a file of her folder, passed out and executed outside",
        "folder_over",
        ("mount_unknown", "owner_differs"),
        ("passed",),
    ),
    Attack(
        "3",
        "a file of her overlay, passed out and executed outside",
        "overlay_over",
        ("mount_unknown",),
        (_OLD, "passed"),
        prepare=_ROOTS_OLD,
    ),
    Attack(
        "4",
        "a folder of root's bound over the real one, then emptied by root",
        "root_folder_over",
        ("namespace_untrusted",),
        (_OLD,),
        second=("place_differs",),
        prepare=_ROOTS_OLD,
        loss=_LOSE_BOTH,
    ),
    Attack(
        "4",
        "the same, passed out and executed outside",
        "root_folder_over",
        ("mount_unknown",),
        (_OLD, "passed"),
        prepare=_ROOTS_OLD,
        loss=_LOSE_BOTH,
    ),
    # On overlayfs a mapping leads to the file of the layer, which is another inode.
    Attack(
        "5",
        "a container's own file",
        "container",
        ("place_differs", "mount_unknown"),
        user="root",
        by_hand=("place_differs", "mount_unknown", "holder_changed"),
    ),
    *(
        Attack("6", f"a memfd named {name!r}", "memfd", ("not_held",), (name,), by_hand=("no_name",))
        for name in ("../../usr/bin/bash", "../../usr/bin/bash\n/usr/bin/bash", "{{ 7*7 }}/../../usr/bin/bash")
    ),
    Attack("7", "a live file called (deleted)", "live", ("not_held",), path=IN_TMP, prepare=_REAL_IN_TMP),
    Attack(
        "7",
        "a live file called (deleted) in her folder over the real one",
        "live_over",
        ("namespace_untrusted", "owner_differs"),
        by_hand=_AT_ITS_TRUE_PLACE,
        second=("not_held",),
    ),
    Attack("7", "the same, passed out", "live_over", ("mount_unknown", "owner_differs"), ("passed",)),
    Attack(
        "8",
        "held in her folder, which root took over and renamed",
        "held_and_removed",
        ("owner_differs",),
        (f"{ROOM}/new/tool",),
        path=_APP,
        prepare=f"{_REAL_APP}; mkdir {ROOM}/new; chown mallory {ROOM}/new",
        loss=f"rm -r {ROOM}/app; chown root {ROOM}/new; mv {ROOM}/new {ROOM}/app",
    ),
    Attack(
        "9",
        "the holder's PID reused",
        "pid_reused",
        ("holder_changed",),
        path=IN_TMP,
        user="root",
        prepare=_REAL_IN_TMP,
        stale_facts=True,
    ),
    Attack(
        "9",
        "the holder executes another program",
        "other_program",
        ("holder_changed",),
        path=IN_TMP,
        prepare=_REAL_IN_TMP,
        stale_facts=True,
    ),
    *(
        Attack("11", f"a {kind}", "successor", ("not_regular",), (kind,), path=IN_TMP, prepare=_REAL_IN_TMP)
        for kind in ("fifo", "folder", "socket", "symlink")
    ),
    Attack(
        "11",
        "a terminal bound over the real file",
        "terminal",
        ("not_regular", "namespace_untrusted", "owner_differs"),
        second=("not_regular", "place_differs", "owner_differs"),
    ),
    Attack(
        "12",
        "her file in a folder that anybody may write",
        "successor",
        ("owner_differs", "ancestor_writable", "checksum_wanted"),
        ("file",),
        path=_APP,
        prepare=f"{_REAL_APP}; chmod 0777 {ROOM}/app",
        accept=("owner_differs", "ancestor_writable"),
        checksum=True,
        still_refused=("checksum_differs",),
    ),
    Attack(
        "12",
        "folders of root's, exchanged below her folder",
        "swapped_folder",
        ("ancestor_writable",),
        (f"{ROOM}/old",),
        path=_APP,
        prepare=f"{_REAL_APP}; mkdir {_OLD}; echo old > {_OLD}/tool; chown mallory {ROOM}",
        loss=f"rm {_APP} {_OLD}/tool",
        honest=False,
    ),
    Attack(
        "13",
        "an old setuid version, held across an upgrade",
        "hold",
        ("superseded",),
        path=_CHFN,
        prepare=f"cp -p {_CHFN} {ROOM}/new; echo a hole >> {_CHFN}; chmod 4755 {_CHFN}",
        meanwhile=f"mv {ROOM}/new {_CHFN}",
    ),
)
