# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module as the action plugin calls it."""

from __future__ import annotations

import base64
import io
import json
import sys
import syslog
import zlib
from pathlib import Path

import pytest
from ansible.module_utils import basic

from ansible_collections.procfs.rescue.plugins.modules import supply_file


def test_contents_go_into_no_log_and_not_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    logged: list[str] = []
    monkeypatch.setattr(basic.AnsibleModule, "log", lambda _module, line, **_more: logged.append(str(line)))
    monkeypatch.setattr(syslog, "syslog", lambda _priority, line: logged.append(line))
    content = base64.b64encode(zlib.compress(b"what is in the file")).decode()
    offer = {
        "size": 19,
        "mode": "0644",
        "owner": "root",
        "group": "root",
        "mtime_ns": 0,
        "xattrs": {},
        "leads_to": None,
        "folders": [],
    }
    file = {"path": str(tmp_path / "file"), "by": "peer web1", "content": content, "offer": {**offer, "source": "/x"}}
    arguments = {"ANSIBLE_MODULE_ARGS": {"sources": ["peer"], "files": [file]}}
    monkeypatch.setattr(sys, "argv", ["supply_file"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(arguments).encode())))
    monkeypatch.setattr(basic, "_ANSIBLE_ARGS", None)
    with pytest.raises(SystemExit):
        supply_file.main()
    answer = capsys.readouterr().out
    assert json.loads(answer)["files"][0]["refused"] == ["no_digest"]
    assert content not in answer
    assert not any(content in line for line in logged)
