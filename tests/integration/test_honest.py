# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The honest are not refused: sandboxed services of a real systemd, chroots, other users, other file systems.

Where one has to be refused, the reason has a name and there is a way: ``accept`` or ``dest``.
"""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import pytest

from fleet import Host

TEXT = "precious\n"
CHECKSUM = "sha256:" + hashlib.sha256(TEXT.encode()).hexdigest()

# Makes argv[1], if it may and has to, and holds it.
HOLD = f"""
import os, signal, sys
if not os.path.exists(sys.argv[1]):
    open(sys.argv[1], 'w').write({TEXT!r})
held = open(sys.argv[1])
"""
SERVICE = HOLD + "print(1, flush=True)\nsignal.pause()\n"


def inside(host, path):
    return host.root() / path.lstrip("/")


def restored(run_module, path: str, **more: Any) -> dict[str, Any]:
    """The result for a file that has to come back."""
    answer = run_module("restore_file", {"path": path, **more})
    assert not answer.failed and answer.files[0]["status"] == "restored", answer.output
    return answer.files[0]


def refused(run_module, path: str, **more: Any) -> list[str]:
    answer = run_module("restore_file", {"path": path, **more})
    assert answer.failed and not answer.result["changed"], answer.output
    return answer.files[0]["refused"]


# On a host without systemd.


def test_a_chrooted_daemon(host, lab, hold, run_module):
    hold(
        "import os, signal, sys\nos.chroot(sys.argv[1])\nheld = open('/log', 'w+')\nheld.write('x\\n')\nheld.flush()",
        lab,
    )
    path = f"{lab}/log"
    host.wreck(path)
    restored(run_module, path)
    assert inside(host, path).read_text() == "x\n"


def test_a_holder_under_another_user(host, lab, hold, run_module):
    path = f"{lab}/file"
    inside(host, path).write_text(TEXT)
    hold(HOLD, path, user="mallory")
    host.wreck(path)
    restored(run_module, path)
    assert inside(host, path).stat().st_uid == 0


def test_another_mounted_file_system(host, lab, hold, run_module):
    path = f"{lab}/disk/deep/file"
    host.run(["mkdir", f"{lab}/disk"])
    host.run(["mount", "-t", "tmpfs", "-o", "mode=755", "disk", f"{lab}/disk"])
    try:
        inside(host, path).parent.mkdir()
        hold(HOLD, path)
        host.wreck(path)
        restored(run_module, path)
        assert inside(host, path).stat().st_dev != inside(host, lab).stat().st_dev
    finally:
        host.run(["umount", "-l", f"{lab}/disk"])


def test_a_lower_file_of_an_overlay_is_on_another_device_than_its_folder(host, hold, run_module):
    path = "/usr/bin/infocmp"
    pid = hold(HOLD, path)
    file, folder = (int(host.run(["stat", "-Lc", "%d", at]).stdout) for at in (f"/proc/{pid}/fd/3", "/usr/bin"))
    assert file != folder, "this host is not one that the test is about"
    host.wreck(path)
    # Through the /usr merge.
    file = restored(run_module, "/bin/infocmp")
    assert file["path"] == path and file["content_by"] == "package" and file["usable"]


def test_a_users_own_files(host, hold, run_module):
    """In the user's own folder, and where root's sticky bit keeps them from others."""
    paths = ["/home/oncall/notes", "/var/tmp/oncall.log"]
    for path in paths:
        hold(HOLD, path, user="oncall")
    before = [inside(host, path).stat() for path in paths]
    host.wreck(*paths)
    answer = run_module("restore_file", {"files": paths})
    assert not answer.failed, answer.output
    after = [inside(host, path).stat() for path in paths]
    assert [(one.st_uid, one.st_mode) for one in after] == [(one.st_uid, one.st_mode) for one in before]
    assert {one.st_uid for one in after} == {2000}
    host.run(["rm", *paths])


def test_processes_in_another_namespace_only(host, lab, hold, run_module):
    namespaces = ["cgroup", "ipc", "net", "pid", "uts"]
    for namespace in namespaces:
        hold(HOLD, f"{lab}/{namespace}", wrapper=["unshare", f"--{namespace}", "--fork", "--kill-child"])
    host.wreck(*(f"{lab}/{namespace}" for namespace in namespaces))
    answer = run_module("restore_file", {"path_prefix": lab})
    assert not answer.failed, answer.output
    assert sorted(os.listdir(inside(host, lab))) == namespaces


# Folders of daemons: refused until the reasons are accepted by their names, and then without privileges.


class Shared(NamedTuple):
    """Owners and modes of a log folder and of a file in it, and what stands against it."""

    folder: int
    folder_mode: int
    file: int
    reasons: list[str]


SHARED = {
    "daemons-file-in-roots-folder": Shared(0, 0o755, 2001, ["owner_differs"]),
    "daemons-file-in-anothers-folder": Shared(2000, 0o755, 2001, ["owner_differs"]),
    "roots-file-in-a-groups-folder": Shared(0, 0o775, 0, ["ancestor_writable"]),
    "daemons-file-in-its-groups-folder": Shared(2001, 0o2770, 2001, ["ancestor_writable"]),
    "daemons-file-in-a-groups-folder": Shared(0, 0o2775, 2001, ["ancestor_writable", "owner_differs"]),
}


def test_logs_in_folders_that_are_shared(host, lab, hold, run_module):
    paths = [f"{lab}/{name}/log" for name in SHARED]
    for path, shared in zip(paths, SHARED.values(), strict=True):
        folder, file = inside(host, path).parent, inside(host, path)
        folder.mkdir()
        hold(HOLD, path)
        for item, owner, mode in ((folder, shared.folder, shared.folder_mode), (file, shared.file, 0o6755)):
            os.chown(item, owner, 2001)
            item.chmod(mode)
        host.run(["setcap", "cap_net_raw+ep", path])
    host.wreck(*paths)
    # The checksum proves the content, but not that something with privileges belongs there.
    wishes = [{"path": path, "checksum": CHECKSUM} for path in paths]
    accepted = {}
    for accept in ([], ["owner_differs"], ["ancestor_writable"], ["ancestor_writable", "owner_differs"]):
        files = run_module("restore_file", {"files": wishes, "accept": accept}).files
        for (name, shared), path, file in zip(SHARED.items(), paths, files, strict=True):
            if file["status"] == "failed":
                assert sorted(file["refused"]) == shared.reasons
            elif file["status"] == "restored":
                accepted[name] = accept
                assert sorted(file["accepted"]) == shared.reasons
                assert file["dropped"] == ["setuid", "setgid", "capabilities"] and not file["usable"]
                after = inside(host, path).stat()
                assert (stat.S_IMODE(after.st_mode), after.st_uid, after.st_gid) == (0o755, shared.file, 2001)
                assert host.run(["getcap", path]).stdout == b""
    assert accepted == {name: shared.reasons for name, shared in SHARED.items()}


def test_a_log_in_a_folder_of_a_group_needs_no_checksum(host, lab, hold, run_module):
    path = f"{lab}/log"
    hold(HOLD, path)
    inside(host, lab).chmod(0o775)
    host.wreck(path)
    file = restored(run_module, path, accept=["ancestor_writable"])
    assert file["accepted"] == ["ancestor_writable"] and file["content_by"] == "none"


def test_where_anybody_may_write_a_checksum_is_needed_too(host, lab, hold, run_module):
    path = f"{lab}/deep/log"
    inside(host, path).parent.mkdir()
    hold(HOLD, path)
    inside(host, lab).chmod(0o777)
    host.wreck(path)
    other = "sha256:" + hashlib.sha256(b"other").hexdigest()
    assert refused(run_module, path, accept=["ancestor_writable"]) == ["ancestor_writable", "checksum_wanted"]
    assert refused(run_module, path, accept=["ancestor_writable"], checksum=other) == ["checksum_differs"]
    assert refused(run_module, path, checksum=CHECKSUM) == ["ancestor_writable"]
    restored(run_module, path, accept=["ancestor_writable"], checksum=CHECKSUM)


# Services of a real systemd.


class Service(NamedTuple):
    """A sandbox, what the service in it calls the file, and where that is (a pattern): the same unless it is given."""

    properties: tuple[str, ...]
    path: str
    place: str = ""


_STRICT = (
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "PrivateNetwork=yes",
    "ProtectKernelTunables=yes",
    "ProtectControlGroups=yes",
    "ProtectProc=invisible",
    "ProcSubset=pid",
    "NoNewPrivileges=yes",
)

SERVICES = {
    "private-tmp": Service(("PrivateTmp=yes",), "/srv/private-tmp/file"),
    "in-private-tmp": Service(
        ("PrivateTmp=yes",), "/tmp/file", "/tmp/systemd-private-*-in-private-tmp.service-*/tmp/file"
    ),
    "in-private-var-tmp": Service(
        ("PrivateTmp=yes",), "/var/tmp/file", "/var/tmp/systemd-private-*-in-private-var-tmp.service-*/tmp/file"
    ),
    "protect-system": Service(("ProtectSystem=full",), "/usr/lib/protect-system/file"),
    "protect-system-strict": Service((*_STRICT, "ReadWritePaths=/srv/strict"), "/srv/strict/file"),
    "read-only-paths": Service(("ReadOnlyPaths=/srv/read-only",), "/srv/read-only/file"),
    "read-write-paths": Service(
        ("ProtectSystem=strict", "ReadWritePaths=/srv/read-write"), "/srv/read-write/deep/file"
    ),
    "state-directory": Service(("ProtectSystem=strict", "StateDirectory=app"), "/var/lib/app/file"),
    "logs-directory": Service(("ProtectSystem=strict", "LogsDirectory=app"), "/var/log/app/file"),
    "runtime-directory": Service(("ProtectSystem=strict", "RuntimeDirectory=app"), "/run/app/file"),
    "user": Service(("User=oncall", "ProtectSystem=strict", "CacheDirectory=app"), "/var/cache/app/file"),
    "dynamic-user": Service(("DynamicUser=yes", "StateDirectory=dynamic"), "/var/lib/dynamic/file"),
    "private-users": Service(("PrivateUsers=yes", "PrivateTmp=yes"), "/srv/private-users/file"),
    "protect-home": Service(("ProtectHome=read-only",), "/root/file"),
    "private-mounts": Service(("PrivateMounts=yes",), "/srv/private-mounts/file"),
    "bind-paths": Service(("BindPaths=/srv/a:/srv/b",), "/srv/b/file", "/srv/a/file"),
    "bind-paths-of-a-file": Service(("BindPaths=/srv/one/file:/etc/one",), "/etc/one", "/srv/one/file"),
    "root-directory": Service(
        ("RootDirectory=/srv/jail", "MountAPIVFS=yes", "BindReadOnlyPaths=/usr /bin /lib /lib64"),
        "/var/file",
        "/srv/jail/var/file",
    ),
}
# Not all sandboxes let a service make files.
MADE_BEFORE = ["/usr/lib/protect-system/file", "/srv/read-only/file", "/root/file", "/srv/one/file"]
FOLDERS = [os.path.dirname(service.path) for service in SERVICES.values() if service.path.startswith("/srv/")]
FOLDERS += ["/usr/lib/protect-system", "/srv/one", "/srv/a", "/srv/jail/var"]


class Rescue(NamedTuple):
    """What was before, what the facts said, what came back."""

    pid: int
    place: str
    before: os.stat_result
    entry: dict[str, Any]
    result: dict[str, Any]


def start_service(host: Host, options: Sequence[str], path: str, **more: Any) -> None:
    """Start a service that holds ``path``; ``options`` are systemd-run's."""
    process = host.spawn(
        ["systemd-run", "--quiet", "--pipe", *options, "/usr/bin/python3", "-c", SERVICE, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **more,
    )
    assert process.stdout and process.stderr
    if process.stdout.readline() != b"1\n":
        raise RuntimeError(f"{options} did not start: {process.stderr.read().decode()}")


@pytest.fixture(scope="module")
def serve(booted: Host) -> Iterator[Callable[..., int]]:
    """``serve(unit, properties, path)`` starts a service of the host; gives its pid."""
    units = []

    def start(unit: str, properties: tuple[str, ...], path: str) -> int:
        start_service(booted, [f"--unit={unit}", *(f"--property={value}" for value in properties)], path)
        units.append(unit)
        return int(booted.run(["systemctl", "show", "--property=MainPID", "--value", unit]).stdout)

    yield start
    booted.run(["systemctl", "stop", *units])


def only(host: Host, pattern: str) -> str:
    """The one path of the host that the pattern means."""
    top = str(host.root())
    (path,) = glob.glob(top + pattern)
    return path.removeprefix(top)


@pytest.fixture(scope="module")
def rescues(booted: Host, serve: Callable[..., int], run_on_booted: Callable[..., Any]) -> dict[str, Rescue]:
    """All the files deleted at once, and all restored in one call."""
    booted.run(["mkdir", "-p", *FOLDERS])
    for path in MADE_BEFORE:
        inside(booted, path).write_text(TEXT)
    pids = {unit: serve(unit, service.properties, service.path) for unit, service in SERVICES.items()}
    places = {unit: only(booted, service.place or service.path) for unit, service in SERVICES.items()}
    before = {unit: inside(booted, place).stat() for unit, place in places.items()}
    booted.wreck(*places.values())
    facts = run_on_booted("deleted_files_facts", {}).result["ansible_facts"]["deleted_files"]
    entries = {holder["unit"]: entry for entry in facts for holder in entry["holders"]}
    answer = run_on_booted("restore_file", {"files": list(places.values())})
    return {
        unit: Rescue(pids[unit], places[unit], before[unit], entries[f"{unit}.service"], result)
        for unit, result in zip(SERVICES, answer.files, strict=True)
    }


def mount_namespace(host: Host, pid: int) -> bytes:
    return host.run(["readlink", f"/proc/{pid}/ns/mnt"]).stdout


@pytest.mark.parametrize("unit", SERVICES)
def test_a_sandboxed_service(booted, rescues, unit):
    pid, place, before, entry, result = rescues[unit]
    assert mount_namespace(booted, pid) != mount_namespace(booted, 1), "the test is about services with one"
    assert entry["restorable"] and entry["refused"] == [] and entry["state"] == "removed"
    assert result["status"] == "restored", result["msg"]
    assert result["path"] == entry.get("host_path", entry["path"])
    assert inside(booted, place).read_text() == TEXT
    after = inside(booted, place).stat()
    for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns"):
        assert getattr(after, field) == getattr(before, field), field


@pytest.mark.parametrize("unit", ["bind-paths", "bind-paths-of-a-file", "in-private-tmp", "root-directory"])
def test_a_path_that_is_the_services_own_view_comes_with_its_true_place(rescues, unit):
    """That place is where test_a_sandboxed_service saw it come back."""
    service, (_pid, place, _before, entry, _result) = SERVICES[unit], rescues[unit]
    assert (entry["path"], entry["host_path"]) == (service.path, place)


def test_what_the_facts_say_of_bind_paths_can_be_handed_on(booted, serve, run_on_booted):
    booted.run(["mkdir", "-p", "/srv/c", "/srv/d"])
    serve("handed-on", ("BindPaths=/srv/c:/srv/d",), "/srv/d/file")
    booted.wreck("/srv/c/file")
    # The place that its path means to this host is another one, and free as well.
    assert refused(run_on_booted, "/srv/d/file") == ["place_differs"]
    facts = run_on_booted("deleted_files_facts", {"paths": ["/srv/d"]}).result["ansible_facts"]
    (entry,) = facts["deleted_files"]
    answer = run_on_booted("restore_file", {"source": entry})
    assert not answer.failed and answer.files[0]["path"] == "/srv/c/file"
    assert inside(booted, "/srv/c/file").read_text() == TEXT and not inside(booted, "/srv/d/file").exists()


def test_the_program_that_a_protected_service_runs(booted, run_on_booted):
    """A lower file of the overlay, in /usr bound read-only, asked for through the /usr merge."""
    before = inside(booted, "/usr/bin/sleep").stat()
    options = [f"--property={value}" for value in _STRICT]
    booted.run(["systemd-run", "--unit=sleeper", "--service-type=exec", *options, "/usr/bin/sleep", "infinity"])
    booted.wreck("/usr/bin/sleep")
    file = restored(run_on_booted, "/bin/sleep")
    booted.run(["systemctl", "stop", "sleeper"])
    assert file["path"] == "/usr/bin/sleep" and file["content_by"] == "package" and file["usable"]
    after = inside(booted, "/usr/bin/sleep").stat()
    assert (after.st_mode, after.st_uid, after.st_mtime_ns) == (before.st_mode, before.st_uid, before.st_mtime_ns)
    assert booted.run(["/bin/sleep", "0"]).returncode == 0


def test_a_file_that_was_only_in_the_sandbox_can_be_copied_out(booted, serve, run_on_booted):
    pid = serve("own-tmpfs", ("TemporaryFileSystem=/srv",), "/srv/only-there")
    booted.run(["nsenter", f"--target={pid}", "--mount", "rm", "/srv/only-there"])
    assert refused(run_on_booted, "/srv/only-there") == ["place_differs"]
    restored(run_on_booted, "/srv/only-there", dest="/root/copied-out")
    assert inside(booted, "/root/copied-out").read_text() == TEXT


# Services of a user's own systemd.


@pytest.fixture(scope="module")
def serve_user(booted: Host) -> Iterator[Callable[..., None]]:
    """``serve_user(properties, path, unit)`` starts a service of oncall's."""
    booted.run(["loginctl", "enable-linger", "oncall"])
    booted.run(["systemctl", "start", "user@2000.service"])

    def start(properties: tuple[str, ...], path: str, unit: str) -> None:
        options = ["--user", f"--unit={unit}", *(f"--property={value}" for value in properties)]
        start_service(booted, options, path, user="oncall", env={"XDG_RUNTIME_DIR": "/run/user/2000"})

    yield start
    booted.run(["loginctl", "terminate-user", "oncall"])


def test_a_service_of_a_user(booted, serve_user, run_on_booted):
    serve_user((), "/home/oncall/plain", "plain")
    booted.wreck("/home/oncall/plain")
    facts = run_on_booted("deleted_files_facts", {"paths": ["/home/oncall/plain"]}).result["ansible_facts"]
    ((holder,),) = (entry["holders"] for entry in facts["deleted_files"])
    assert (holder["unit"], holder["user_unit"]) == ("user@2000.service", "plain.service")
    restored(run_on_booted, "/home/oncall/plain")
    assert inside(booted, "/home/oncall/plain").stat().st_uid == 2000


def test_a_sandbox_that_a_user_made_can_lie_and_only_copies_leave_it(booted, serve_user, run_on_booted):
    """To root it looks just like the attack with a folder bound over another one."""
    path = "/home/oncall/boxed"
    serve_user(("PrivateUsers=yes", "ProtectSystem=strict", "ReadWritePaths=/home/oncall"), path, "boxed")
    booted.wreck(path)
    assert refused(run_on_booted, path) == ["namespace_untrusted"]
    restored(run_on_booted, path, dest="/root/boxed")
    assert inside(booted, "/root/boxed").read_text() == TEXT
    after = inside(booted, "/root/boxed").stat()
    assert (after.st_uid, stat.S_IMODE(after.st_mode)) == (0, 0o600)
