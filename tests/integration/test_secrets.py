# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What files contain, and how processes were called, is nobody's to read in logs, facts and on screens."""

from __future__ import annotations

import base64
import subprocess
import time

import pytest

MARKER = b"s3cret-c0ntent"
HOLD = (
    "import sys\n"
    "path = sys.argv[1]\n"
    "open(path, 'wb').write(('s3cret-' + 'c0ntent\\n').encode() * 5)\n"
    "held = open(path, 'rb')\n"
)


def inside(host, path):
    return host.root() / path.lstrip("/")


def traces(text: str | bytes) -> list[bytes]:
    """How the marker could be in it: as it is, or in base64 at any offset."""
    raw = text.encode() if isinstance(text, str) else text
    forms = [MARKER]
    for shift in range(3):
        encoded = base64.b64encode(b"x" * shift + MARKER)
        forms.append(encoded[4 if shift else 0 : -4])  # what no neighbour changes
    return [form for form in forms if form in raw]


def test_it_would_be_seen():
    for shift in range(3):
        assert traces(base64.b64encode(b"y" * shift + MARKER + b"\n"))
    assert traces(b"x" + MARKER) and not traces(b"s3cret")


@pytest.fixture
def syslog(host):
    """What is logged on the host; a plain listener is enough to see it."""
    code = (
        "import os, socket\n"
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
        "s.bind('/dev/log')\n"
        "os.chmod('/dev/log', 0o666)\n"
        "os.write(1, b'ready\\n')\n"
        "while True: os.write(1, s.recv(99999) + b'\\n')\n"
    )
    listener = host.spawn(["/usr/bin/python3", "-c", code], stdout=subprocess.PIPE)
    assert listener.stdout.readline() == b"ready\n"

    def read() -> bytes:
        time.sleep(0.1)
        listener.kill()
        return listener.stdout.read()

    yield read
    listener.kill()
    host.run(["rm", "-f", "/dev/log"])


@pytest.fixture
def gone(host, lab, hold):
    path = f"{lab}/secret"
    hold(HOLD, path)
    inside(host, path).unlink()
    return path


@pytest.fixture
def as_root(fleet):
    """SFTP has no become."""
    return fleet.inventory(user="root", become=False)


@pytest.mark.parametrize("transport", ["module", "sftp"])
def test_restore_tells_nothing_of_the_content(host, gone, syslog, as_root, run_module, transport):
    inside(host, gone).write_bytes(b"what is there now: " + MARKER)
    arguments = {"path": gone, "force": True, "transport": transport}
    answer = run_module("restore_file", arguments, diff=True, options=("-vvv",), inventory=as_root)
    assert not answer.failed and MARKER in inside(host, gone).read_bytes()
    log = syslog()
    assert transport == "sftp" or b"restored " + gone.encode() in log
    assert traces(answer.output) == [] and traces(log) == []


def test_a_failure_tells_nothing_of_the_content(gone, syslog, run_module):
    wrong = "sha256:" + "0" * 64
    answer = run_module("restore_file", {"path": gone, "checksum": wrong}, diff=True, options=("-vvv",))
    assert answer.failed and answer.files[0]["refused"] == ["checksum_differs"]
    assert traces(answer.output) == [] and traces(syslog()) == []


@pytest.mark.parametrize("transport", ["module", "sftp"])
def test_fetch_tells_nothing_of_the_content(gone, syslog, as_root, run_module, tmp_path, transport):
    """Ansible shows what a module answers, with -vvv: here the content would be in it."""
    arguments = {"path": gone, "dest": f"{tmp_path}/", "flat": True, "transport": transport}
    answer = run_module("fetch_file", arguments, diff=True, options=("-vvv",), inventory=as_root)
    assert not answer.failed and MARKER in (tmp_path / "secret").read_bytes()
    assert "fetch_file" in answer.output
    assert traces(answer.output) == [] and traces(syslog()) == []


def test_facts_tell_nothing_of_content_arguments_and_environment(host, gone, syslog, run_module):
    argument, variable = "--password=s3cret-argument", "s3cret-variable"
    code = "import os, sys\nf = open('/srv/told', 'w')\nos.unlink('/srv/told')\nprint(1, flush=True)\ninput()\n"
    holder = host.spawn(
        ["/usr/bin/python3", "-c", code, argument], env={"PASSWORD": variable}, stdin=-1, stdout=subprocess.PIPE
    )
    assert holder.stdout.readline() == b"1\n"
    answer = run_module("deleted_files_facts", {}, options=("-vvv",))
    holder.kill()
    paths = [entry["path"] for entry in answer.result["ansible_facts"]["deleted_files"]]
    assert {gone, "/srv/told"} <= set(paths)
    for text in (answer.output, syslog().decode()):
        assert traces(text) == [] and argument not in text and variable not in text
