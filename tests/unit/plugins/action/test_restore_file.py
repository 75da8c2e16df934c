# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host answers to restore_file, and what the controller makes of it for the others."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible import constants

from ansible_collections.procfs.rescue.plugins.action import restore_file


@pytest.mark.parametrize("strategy", ["linear", "ansible.builtin.free", "host_pinned"])
@pytest.mark.parametrize("files", [[], None, 7, [{"path": 7}]])
def test_a_host_does_not_say_what_is_done_once_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str, files: Any
) -> None:
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    task = SimpleNamespace(args={}, async_val=0, check_mode=False, diff=False)
    task.get_play = lambda: SimpleNamespace(strategy=strategy)
    connection: Any = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/nowhere"))
    templar: Any = SimpleNamespace(template=lambda text: text)
    action: Any = restore_file.ActionModule(task, connection, None, None, templar, None)  # type: ignore[arg-type]
    options = {"offer": True, "packaged": True, "transport": "module", "requests": [{"path_prefix": "/x"}]}
    monkeypatch.setattr(action, "validate_argument_spec", lambda **_spec: (None, options))
    monkeypatch.setattr(restore_file, "checked", lambda given: given)
    said = {"changed": False, "files": files, "release": {"x": 1}, "on_its_own": True}
    monkeypatch.setattr(restore_file, "answer", lambda *_arguments, **_more: dict(said))
    told = action.run(None, {"inventory_hostname": "web1"})
    assert told.get("on_its_own", False) is (strategy != "linear")
