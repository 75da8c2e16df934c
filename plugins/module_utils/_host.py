# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""What the steps ask of a host, whichever way leads to it: its own kernel (`_local_host`), or SFTP from the controller.

What is decided is one piece of code; only how it is asked and done differs. A descriptor is the number by which the
host knows an opened file or folder.
"""

from typing import (
    Any,
    Callable,
    ContextManager,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from ansible_collections.procfs.rescue.plugins.module_utils._deadline import Tell
from ansible_collections.procfs.rescue.plugins.module_utils._draft import Draft
from ansible_collections.procfs.rescue.plugins.module_utils._freeze import Frozen
from ansible_collections.procfs.rescue.plugins.module_utils._metadata import Metadata
from ansible_collections.procfs.rescue.plugins.module_utils._model import (
    Effort,
    Folder,
    Installed,
    Made,
    Missing,
    Mount,
    Process,
    Recorded,
    Scan,
    Sighting,
    Target,
    Witness,
)
from ansible_collections.procfs.rescue.plugins.module_utils._publish import Linked


class Room(NamedTuple):
    """Of a file system, in bytes; ``free`` and ``size`` are None where it does not count them."""

    read_only: bool
    free: Optional[int]
    size: Optional[int]


class Host(NamedTuple):
    """The steps as functions, described where `_local_host.LOCAL` has them from. All raise OSError and RescueError."""

    scan: Callable[[Callable[[Sighting], bool], Effort], Scan]
    is_of_one_file: Callable[[Sighting, Sighting], bool]
    unpin: Callable[[Iterable[Sighting]], None]
    # Keeps what is pinned open for so many seconds after the task; how many files.
    keep_open: Callable[[Iterable[Sighting], float], int]
    readable: Callable[[Sighting], ContextManager[int]]
    close: Callable[[int], None]
    # Lets everything else on the host go first.
    give_way: Callable[[], None]

    # Those of some paths that lead over a file system that does not answer.
    unreachable: Callable[[Iterable[bytes], Dict[int, Mount]], Set[bytes]]
    # What some work gives that asks file systems which may never answer: it is given up after so many seconds without
    # anything, when these (paths) do not answer within so many. Raises SilenceError.
    in_time: Callable[[Callable[[], Any], float, Sequence[str], float], Any]
    # Shares work out among processes; what they tell. None where one session does it all.
    shares: Optional[Callable[[Callable[[int, int, Tell], None]], Iterator[Any]]]
    # Whether the session ended, and all that was opened with it is gone; a scan begins another.
    has_ended: Callable[[], bool]
    open_folder: Callable[[bytes, Dict[int, Mount]], Folder]
    open_target: Callable[[bytes, Dict[int, Mount]], Target]
    # The mode of what has the name in an opened folder, None where nothing has.
    path_of: Callable[[int], Optional[bytes]]
    mode_of: Callable[[int, bytes], Optional[int]]
    # The same of a path as a process sees it, whose mount namespace is believed.
    mode_seen_by: Callable[[int, bytes], Optional[int]]
    # Where the symlink of that name in an opened folder leads.
    readlink: Callable[[int, bytes], bytes]
    # A regular file of that name in an opened folder, to be read; None where there is none.
    open_file: Callable[[int, bytes], Optional[int]]
    room: Callable[[int], Room]
    process: Callable[[int], Process]
    # What a process runs, pinned, whether its name is gone or not.
    program: Callable[[int], Sighting]

    witnesses: Callable[[Iterable[bytes]], Dict[bytes, Witness]]
    # Which packages put paths there; where their names are known, these.
    installed: Callable[..., Dict[bytes, Installed]]
    # Files and symlinks that packages put below a folder.
    paths_below: Callable[[bytes], List[bytes]]
    # Whether a package may have put a symlink there that leads to the second one.
    may_be_symlink: Callable[[bytes, bytes], bool]
    # What a package database says of a path's owner and mode.
    recorded: Callable[[bytes], Optional[Recorded]]
    release: Callable[[], str]
    user_names: Callable[[], Dict[int, str]]
    group_names: Callable[[], Dict[int, str]]

    # What the lifeline's keeper wrote down.
    read_record: Callable[[], bytes]
    # symlink(2): a folder, a name in it, where it is to lead. Fails where the name is taken.
    symlink: Callable[[int, bytes, bytes], None]
    # Our own uid and gid there.
    own_ids: Callable[[], Tuple[int, int]]
    # Folders in an opened folder, one in another; the descriptor of the last one, and what they have got.
    make_folders: Callable[[int, Sequence[Missing]], Tuple[int, List[Made]]]
    # Takes those away again in which there is nothing.
    unmake_folders: Callable[[int, Sequence[Made]], None]
    # Work, the pids to be stopped meanwhile, the file's (st_dev, st_ino), for how many seconds at most.
    while_frozen: Callable[[Callable[[], Any], Mapping[int, int], Tuple[int, int], float], Tuple[Any, Frozen]]

    size: Callable[[int], int]
    # Of the first so many bytes, where a number is given.
    content: Callable[..., Iterator[bytes]]
    digests: Callable[..., Dict[str, str]]
    draft_digests: Callable[[int, Iterable[str]], Dict[str, str]]
    read_metadata: Callable[[int], Metadata]
    apply_metadata: Callable[[int, Metadata], None]
    differences: Callable[[int, Metadata], List[str]]

    sweep_once: Callable[[int, Set[Tuple[int, int]]], None]
    draft_in: Callable[..., ContextManager[Draft]]
    clone_content: Callable[[int, int], bool]
    copy_content: Callable[[int, int], None]
    # Appends pieces to a draft; the size that it has then.
    write_content: Callable[[Iterable[bytes], int], int]
    # How many drafts may wait for their names at a time, while others are made.
    drafts_at_once: Callable[[], int]
    # Lets a draft's content go to the disk meanwhile.
    start_writing: Callable[[int], None]
    sync_draft: Callable[[int], None]
    publish: Callable[..., None]
    replace: Callable[..., Optional[bytes]]
    link_again: Callable[..., Optional[Linked]]
    is_named: Callable[[int, int, bytes], bool]
    # Whether the opened program of that name and sha256 starts, None where that is not tried.
    does_start: Callable[[int, bytes, str], Optional[bool]]
