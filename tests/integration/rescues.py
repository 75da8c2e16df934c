# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fixtures: the playbook rescue over the fleet of the module, and a small package to lose."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import debs
from fleet import Host
from fleet.controller import run_ansible

BASH = "/usr/bin/bash"
TOOL = "/usr/bin/tool"
CONTENT = b"#!/bin/sh\necho tool\n"


class Run(NamedTuple):
    code: int
    results: dict[str, Any]
    output: str

    def file(self, host: str) -> dict[str, Any]:
        (file,) = self.results[host]["files"]
        return dict(file)


@pytest.fixture
def rescue(fleet, tmp_path):
    """``rescue(extra, playbook=, limit=)`` runs the playbook over hosts of the fleet."""

    def run(
        extra: dict[str, Any],
        playbook: str = "rescue",
        limit: str = "all",
        inventory: Path | list[Path] | None = None,
        may_warn: bool = False,
        options: Sequence[str] = (),
        **env: str,
    ) -> Run:
        report = tmp_path / "report.json"
        report.unlink(missing_ok=True)
        values = json.dumps({**extra, "rescue_report_path": str(report)})
        inventories = inventory if isinstance(inventory, list) else [inventory or fleet.inventory()]
        named = [part for path in inventories for part in ("-i", str(path))]
        command = [f"procfs.rescue.{playbook}", *named, "-e", values, "-l", limit, *options]
        done = run_ansible("ansible-playbook", *command, env=env, may_warn=may_warn)
        results = json.loads(report.read_text()) if report.exists() else {}
        assert may_warn or ("WARNING" not in done.stderr and "DEPRECATION" not in done.stderr), done.stderr
        return Run(done.returncode, results, done.stdout + done.stderr)

    return run


@pytest.fixture
def tool(fleet, tmp_path):
    """Installs a package with these contents on hosts; what of it is there goes with the test."""
    installed: list[Host] = []

    def install(*hosts: Host, version: str = "1.0", content: bytes = CONTENT, **links: str) -> Path:
        named = {f"/usr/bin/{name}": target for name, target in links.items()}
        package = debs.build(tmp_path, "tool", version, {TOOL: content}, named)
        for host in hosts:
            debs.install(host, package)
            installed.append(host)
        return package

    yield install
    for host in installed:
        host.run(["dpkg", "--purge", "tool"])


def content_of(host: Host, path: str) -> bytes | None:
    done = host.run(["cat", path], check=False)
    return done.stdout if done.returncode == 0 else None


def stat_of(host: Host, path: str = TOOL) -> str:
    return host.run(["stat", "-c", "%U:%G %a %Y", path]).stdout.decode().strip()
