# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes what a module answered where conftest.py reads it. A second task for that would take as long as the module."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: answer
type: notification
short_description: Writes what a module answered
description: For the tests of this collection.
requirements: [the environment variable ANSWER]
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "answer"
    CALLBACK_NEEDS_ENABLED = True

    def v2_runner_on_ok(self, result):
        self._write(result._result)

    def v2_runner_on_failed(self, result, ignore_errors=False):  # noqa: ARG002
        self._write({**result._result, "failed": True})

    def _write(self, result):
        answer = {key: value for key, value in result.items() if not key.startswith("_ansible_")}
        Path(os.environ["ANSWER"]).write_text(json.dumps(answer), encoding="utf-8")
