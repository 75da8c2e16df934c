# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
from pathlib import Path

from ansible_collections.procfs.rescue.plugins.module_utils._local_host import LOCAL


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """As over SFTP: whatever took the name meanwhile is not looked into."""
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("file")
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    folder = os.open(tmp_path, os.O_RDONLY)
    found = {name: LOCAL.open_file(folder, name) for name in (b"file", b"folder", b"link", b"fifo", b"socket", b"gone")}
    file = found.pop(b"file")
    assert file is not None
    assert os.read(file, 100) == b"content"
    assert set(found.values()) == {None}
    for fd in (file, folder):
        os.close(fd)
