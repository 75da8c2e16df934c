# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A module as it is started where it is piped to Python: without AnsibleModule, its checked options on stdin."""

START = """
import json, sys
from ansible_collections.procfs.rescue.plugins.module_utils._task import main
main(%r, json.load(sys.stdin), check_mode=False, diff=False, logs=True)
"""
