# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The throwaway hosts themselves: real, apart from each other and from the machine, and gone without a trace."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from fleet import CommandFailed, Fleet, FleetError, Host, debian
from fleet.linux import mount_namespace
from fleet.proof import Place, delete
from fleet.state import State, folder_of

TESTS = Path(__file__).resolve().parents[1]
BASH = "/usr/bin/bash"

STARTER = """
import sys, time
from fleet import Fleet
fleet = Fleet(3, name=sys.argv[1]).up()
fleet.hosts[0].spawn(["sleep", "60"])
fleet.inventory()
time.sleep(60)
"""

Process = tuple[int, int]


def ssh(host: Host, user: str, command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*host.ssh_command(user), command], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )


def python(*arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def cli(*arguments: str) -> tuple[int, str]:
    """Exit status and output of one command of the command line."""
    with python("-m", "fleet", *arguments) as process:
        stdout, stderr = process.communicate(timeout=60)
    return process.returncode, (stdout + stderr).decode()


def mounts() -> str:
    return Path("/proc/self/mountinfo").read_text()


def processes_of(name: str) -> set[Process]:
    """PID and start time of the fleet's supervisor, which has the name in its arguments, and all below it."""
    parents, found = {}, set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            arguments = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        process = int(entry.name), int(fields[19])
        parents[process] = int(fields[1])
        if b"fleet.supervisor" in arguments and name.encode() in arguments:
            found.add(process)
    while True:
        below = {process for process, parent in parents.items() if parent in {pid for pid, _start in found}}
        if below <= found:
            return found
        found |= below


def running(processes: set[Process]) -> set[Process]:
    """Which of them have not ended; a zombie has, and waits for nobody but the machine's own init."""
    still = set()
    for pid, start in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[19]) == start and fields[0] != b"Z":
            still.add((pid, start))
    return still


def ownerless() -> set[str]:
    """Links to fleets that have no state directory, and cgroups of such; other fleets may be up meanwhile."""
    states = folder_of("any").parent.glob("*/state.json")
    owned = {json.loads(state.read_text())["run_id"] for state in states}
    links = {link for link in os.listdir("/sys/class/net") if link.startswith("fleet-")}
    cgroups = {path.name for path in Path("/sys/fs/cgroup").glob("*/procfs-rescue-fleet-*")}
    cgroups |= {path.name for path in Path("/sys/fs/cgroup").glob("procfs-rescue-fleet-*")}
    return {found for found in links | cgroups if found.rpartition("-")[2] not in owned}


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not become true in time"
        time.sleep(0.002)


@pytest.fixture
def name() -> Iterator[str]:
    """A name for a fleet, of which nothing is left in the end."""
    name = f"test-{secrets.token_hex(4)}"
    yield name
    assert not processes_of(name)
    assert not folder_of(name).exists()
    wait_until(lambda: not ownerless())
    assert "procfs-rescue-fleet" not in mounts()


@pytest.fixture(scope="module")
def pair() -> Iterator[Fleet]:
    with Fleet(2, upper_size="16m") as fleet:
        yield fleet


def test_three_hosts_are_up_in_seconds_and_let_the_right_users_in(name):
    start = time.monotonic()
    with Fleet(3, name=name) as fleet:
        assert time.monotonic() - start < 5
        for host in fleet.hosts:
            for user, command, answer in (
                ("oncall", "id -un; hostname", f"oncall\n{host.name}\n"),
                ("oncall", "sudo -n id -un", "root\n"),
                ("root", "id -un; pwd; echo $0", "root\n/root\nbash\n"),
                ("mallory", "id -un", "mallory\n"),
            ):
                done = ssh(host, user, command)
                assert (done.stdout.decode(), done.stderr) == (answer, b"")
            assert ssh(host, "mallory", "sudo -n true").returncode != 0


def test_a_host_sees_its_own_processes_files_and_network_only(pair):
    one, other = pair.hosts
    paths = ["/srv/mine", "/dev/shm/mine", "/run/mine", "/tmp/mine"]
    one.run(["touch", *paths])
    assert one.run(["ls", *paths]).stdout.decode().split() == sorted(paths)
    assert other.run(["ls", *paths], check=False).stdout == b""
    assert not any(Path(path).exists() for path in paths)
    assert other.run(["ls", "-A", "/tmp", "/root/.ssh"]).stdout == b"/root/.ssh:\nauthorized_keys\n\n/tmp:\n"

    programs = one.run(["ps", "-eo", "comm="]).stdout.split()
    assert programs[0] == b"busybox" and b"sshd" in programs and len(programs) < 10
    assert one.run(["sh", "-c", "echo /sys/class/net/*"]).stdout == b"/sys/class/net/eth0 /sys/class/net/lo\n"
    assert one.run(["stat", "-c", "%a %U", "/run/procfs-rescue-fleet"]).stdout == b"600 root\n"
    assert "procfs-rescue-fleet" not in mounts()


def test_a_host_starts_programs_as_a_machine_does(pair):
    host = pair.hosts[0]
    status = host.run(["cat", "/proc/self/status", "/proc/1/status"]).stdout.decode().splitlines()
    masks = [int(line.split()[1], 16) for line in status if line.startswith(("SigIgn", "SigBlk"))]
    # What pytest was started with is inherited (a shell's background job ignores SIGINT, make's children libc's own
    # 32); what Python itself ignores must not be.
    inherited = int(Path("/proc/self/status").read_text().partition("SigIgn:")[2].split()[0], 16)
    pythons = 1 << (signal.SIGPIPE - 1) | 1 << (signal.SIGXFSZ - 1)
    assert [mask & ~(inherited & ~pythons) for mask in masks] == [0] * 4
    assert host.run(["ls", "/proc/self/fd", "/proc/1/fd"]).stdout.split().count(b"3") == 1, "the folder ls reads"
    assert host.run(["sh", "-c", "echo x > /dev/tty"], check=False).returncode != 0
    assert set(host.run(["env"]).stdout.split()) == {
        b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        b"HOME=/root",
        b"LANG=C.UTF-8",
    }


def test_run_and_spawn(pair):
    host = pair.hosts[0]
    here = (os.getcwd(), mount_namespace(), os.listdir("/"))
    assert host.run(["cat"], input=b"\0\xff").stdout == b"\0\xff"
    assert host.run([b"printf", b"\xff"]).stdout == b"\xff"
    assert host.run(["sh", "-c", "id -un; echo $HOME $X"], user="mallory", env={"X": "y"}).stdout == (
        b"mallory\n/home/mallory y\n"
    )
    with pytest.raises(CommandFailed, match="only this"):
        host.run(["sh", "-c", "echo only this >&2; exit 3"])
    assert host.run(["no-such-program"], check=False).returncode == 127
    with pytest.raises(subprocess.TimeoutExpired):
        host.run(["sleep", "60"], timeout=0.1)
    with pytest.raises(FleetError, match="no user nobody-knows"):
        host.run(["true"], user="nobody-knows")

    sleeper = host.spawn(["sleep", "60"])
    assert Path(f"/proc/{sleeper.pid}/exe").readlink() == Path("/usr/bin/sleep"), "it runs when spawn returns"
    inside = host.host_pid(sleeper.pid)
    assert host.run(["cat", f"/proc/{inside}/comm"]).stdout == b"sleep\n"
    with pytest.raises(FleetError, match="not one of h1"):
        host.host_pid(os.getpid())
    assert (os.getcwd(), mount_namespace(), os.listdir("/")) == here, "this process itself went nowhere"


def test_what_one_host_deletes_is_still_on_the_other_and_on_the_machine(pair):
    one, other = pair.hosts
    before = Path(BASH).stat()
    one.wreck("/bin/bash")
    assert one.run([BASH, "-c", "true"], check=False).returncode == 127
    assert ssh(one, "root", "true").returncode == 255
    assert ssh(one, "oncall", "true").returncode == 0
    assert other.run([BASH, "-c", "echo $0"]).stdout == b"/usr/bin/bash\n"
    assert Path(BASH).stat() == before
    with pytest.raises(FleetError, match="No such file"):
        one.wreck("/bin/bash")


def test_nothing_is_deleted_without_the_proof(pair, tmp_path):
    victim = tmp_path / "victim"
    victim.touch()
    machine = mount_namespace()
    for place, reason in (
        (Place(machine, machine + 1, "tag", "token"), "the machine itself"),
        (Place(0, machine + 1, "tag", "token"), "not the host's mount namespace"),
        (Place(0, machine, "tag", "token"), "not an overlay of this fleet"),
    ):
        with pytest.raises(FleetError, match=reason):
            delete(place, [str(victim)])
    assert victim.exists()

    state = State.load(pair.name)
    for claimed, reason in (
        (dataclasses.replace(state, run_id="another"), "not an overlay of this fleet"),
        (dataclasses.replace(state, token="another"), "this fleet's token"),
    ):
        pair.hosts[0].run(["touch", "/srv/victim"])
        with pytest.raises(FleetError, match=reason):
            Host(state.hosts[0], claimed).wreck("/srv/victim")
        pair.hosts[0].run(["rm", "/srv/victim"])
    stranger = dataclasses.replace(state.hosts[0], pid=os.getpid())
    with pytest.raises(FleetError, match="not running any more"):
        Host(stranger, state).wreck(str(victim))
    assert victim.exists()


def test_a_host_can_write_no_more_than_its_upper_size(pair):
    host = pair.hosts[1]
    full = host.run(["dd", "if=/dev/zero", "of=/srv/filler", "bs=1M", "count=64"], check=False)
    assert full.returncode and b"No space left" in full.stderr
    host.run(["rm", "/srv/filler"])


def test_the_inventory_leads_to_the_hosts(pair):
    inventory = pair.inventory(user="root", become=False, interpreter="/usr/bin/python3.11")
    group = yaml.safe_load(inventory.read_text())["all"]["children"]["fleet"]
    assert group["hosts"] == {host.name: {"ansible_host": host.address} for host in pair.hosts}
    assert group["vars"]["ansible_user"] == "root" and group["vars"]["ansible_become"] is False
    assert group["vars"]["ansible_python_interpreter"] == "/usr/bin/python3.11"
    assert str(pair.known_hosts) in group["vars"]["ansible_ssh_common_args"]
    assert pair.key.stat().st_mode & 0o777 == 0o600


def test_of_twenty_hosts_nothing_is_left(name):
    with Fleet(20, name=name) as fleet:
        link = f"fleet-{State.load(name).run_id}"
        assert link in os.listdir("/sys/class/net")
        fleet.hosts[0].spawn(["sleep", "60"])
        busy = processes_of(name)
        assert len(busy) > 2 * 20
        assert "procfs-rescue-fleet" not in mounts()
    assert not running(busy)
    assert link not in os.listdir("/sys/class/net")
    assert not fleet.state_dir.exists()


def test_a_host_that_ends_leaves_no_zombie(name):
    with Fleet(2, name=name) as fleet:
        host = fleet.hosts[0]
        host.run(["sh", "-c", "sleep 0 & exec sleep 0.1 &"])
        wait_until(lambda: b"sleep" not in host.run(["ps", "-eo", "comm="]).stdout)
        os.kill(host.pid, signal.SIGKILL)
        wait_until(lambda: not Path(f"/proc/{host.pid}").exists())
        with pytest.raises(FleetError, match="h1 is not running any more"):
            host.run(["true"])
        assert fleet.hosts[1].run(["hostname"]).stdout == b"h2\n"


def starter(name: str) -> subprocess.Popen[bytes]:
    return python("-c", STARTER, name)


def state_of(name: str) -> dict[str, object]:
    try:
        return json.loads((folder_of(name) / "state.json").read_text())
    except FileNotFoundError:
        return {}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(lambda _: True, id="at once"),
        pytest.param(processes_of, id="supervisor runs"),
        pytest.param(lambda name: folder_of(name).exists(), id="name is taken"),
        pytest.param(lambda name: f"fleet-{state_of(name).get('run_id')}" in os.listdir("/sys/class/net"), id="link"),
        pytest.param(lambda name: (folder_of(name) / "key").exists(), id="key"),
        pytest.param(lambda name: (folder_of(name) / "known_hosts").exists(), id="known hosts"),
        pytest.param(lambda name: len(processes_of(name)) > 2, id="first hosts"),
        pytest.param(lambda name: state_of(name).get("hosts"), id="hosts have started"),
        pytest.param(lambda name: any(folder_of(name).glob("inventory-*")), id="it is in use"),
    ],
)
def test_a_fleet_does_not_outlive_its_starter(name, moment):
    with starter(name) as process:
        try:
            wait_until(lambda: bool(moment(name)))
        finally:
            process.kill()
    busy = processes_of(name)
    wait_until(lambda: not running(busy) and not processes_of(name) and not folder_of(name).exists(), 5)


def test_a_kept_fleet_stays_until_it_is_taken_down(name):
    status, output = cli("up", "2", "--name", name)
    assert status == 0 and [line.split()[0] for line in output.splitlines()] == ["h1", "h2"]
    busy = processes_of(name)
    assert len(busy) > 4

    assert cli("up", "1", "--name", name) == (
        1,
        f"fleet: There is a fleet called {name} already: take it down first.\n",
    )
    assert f"{name} 2 hosts" in cli("list")[1].splitlines()
    assert cli("exec", "h2", "--name", name, "--", "sh", "-c", "hostname; exit 7") == (7, "h2\n")
    assert cli("exec", "h9", "--name", name, "--", "true") == (1, f"fleet: The fleet {name} has no host h9.\n")
    assert yaml.safe_load(cli("inventory", "--name", name)[1])["all"]["children"]["fleet"]["hosts"].keys() == {
        "h1",
        "h2",
    }
    assert running(busy) == busy

    assert cli("down", "--name", name) == (0, "")
    assert not running(busy)
    assert cli("down", "--name", name) == (1, f"fleet: There is no fleet called {name}.\n")


def test_a_fleet_whose_supervisor_was_killed_can_be_taken_down(name):
    assert cli("up", "2", "--name", name)[0] == 0
    busy = processes_of(name)
    os.kill(State.load(name).pid, signal.SIGKILL)
    wait_until(lambda: not running(busy))
    assert f"{name} dead: take it down" in cli("list")[1].splitlines()
    assert cli("up", "1", "--name", name)[0] == 1
    assert cli("down", "--name", name) == (0, "")


def test_two_fleets_at_once_are_apart(name):
    with ThreadPoolExecutor() as pool, Fleet(2, name=name) as one:
        others = [pool.submit(Fleet(2).up) for _fleet in range(3)]
        fleets = [one, *(other.result() for other in others)]
        try:
            subnets = {host.address.rpartition(".")[0] for fleet in fleets for host in fleet.hosts}
            assert len(subnets) == len(fleets)
            for fleet in fleets:
                fleet.hosts[0].run(["sh", "-c", "cat > /srv/fleet"], input=fleet.name.encode())
            for fleet in fleets:
                assert ssh(fleet.hosts[0], "oncall", "cat /srv/fleet").stdout == fleet.name.encode()
        finally:
            for fleet in fleets[1:]:
                fleet.down()


def test_a_host_that_runs_systemd(name):
    tree = Path(debian.tree())
    release = (tree / "etc/os-release").stat()
    start = time.monotonic()
    with Fleet(2, name=name, systemd=True) as fleet:
        assert time.monotonic() - start < 10
        host, other = fleet.hosts
        assert host.run(["systemctl", "is-system-running"]).stdout == b"running\n"
        assert host.run(["readlink", "/proc/1/exe"]).stdout == b"/usr/lib/systemd/systemd\n"
        assert host.run(["systemctl", "is-active", "ssh.service"]).stdout == b"active\n"
        for user, command, answer in (
            ("root", "id -un; hostname", "root\nh1\n"),
            ("oncall", "sudo -n id -un", "root\n"),
            ("mallory", "id -un", "mallory\n"),
        ):
            done = ssh(host, user, command)
            assert (done.stdout.decode(), done.stderr) == (answer, b"")
        host.wreck("/usr/lib/os-release")
        assert other.run(["ls", "/usr/lib/os-release"]).returncode == 0
        assert (tree / "etc/os-release").stat() == release


def test_a_tree_that_does_not_boot_is_told(name, tmp_path):
    for file in ("usr/sbin/sshd", "etc/passwd", "etc/group", "etc/shadow"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    with pytest.raises(FleetError, match="h1 did not boot: Directory /run/root doesn't look like an OS root"):
        Fleet(1, name=name, tree=str(tmp_path), systemd=True).up()


def test_a_machine_without_cgroups_for_systemd_is_told(name):
    tree = debian.tree()
    inside = f"umount -R /sys/fs/cgroup; exec {sys.executable} -m fleet up 1 --systemd --tree {tree} --name {name}"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", inside],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert done.stderr.decode().splitlines() == [
        "fleet: h1: systemd needs cgroups: neither version 2 nor version 1's name=systemd is mounted here.",
        "Not every host started.",
    ]


def test_a_fleet_that_runs_systemd_does_not_outlive_its_starter(name):
    debian.tree()
    with python("-c", STARTER.replace("Fleet(3, ", "Fleet(2, systemd=True, "), name) as process:
        try:
            wait_until(lambda: any(folder_of(name).glob("inventory-*")))
        finally:
            process.kill()
    busy = processes_of(name)
    wait_until(lambda: not running(busy) and not processes_of(name) and not folder_of(name).exists(), 5)


def test_a_fleet_that_runs_systemd_and_whose_supervisor_was_killed_can_be_taken_down(name):
    debian.tree()
    assert cli("up", "1", "--systemd", "--name", name)[0] == 0
    assert cli("exec", "h1", "--name", name, "--", "systemctl", "is-system-running") == (0, "running\n")
    busy = processes_of(name)
    os.kill(State.load(name).pid, signal.SIGKILL)
    wait_until(lambda: not running(busy))
    assert cli("down", "--name", name) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["up", "0"], "A fleet has 1 to 250 hosts."),
        (["up", "251"], "A fleet has 1 to 250 hosts."),
        (["up", "1", "--upper-size", "1,2"], "'1,2' is no size: 64m would be one."),
        (["up", "1", "--name", "../x"], "'../x' is no name for a fleet: letters, digits, '.', '_' and '-' make one."),
        (["up", "1", "--tree", "/proc"], "The tree /proc has no /usr/sbin/sshd: install openssh-server in it."),
    ],
)
def test_what_cannot_be_started_is_refused_in_a_sentence(name, arguments, sentence):
    if "--name" not in arguments:
        arguments = [*arguments, "--name", name]
    assert cli(*arguments) == (1, f"fleet: {sentence}\n")


def test_only_root_can_start_a_fleet(name):
    code = f"import os; from fleet import Fleet; os.seteuid(65534); Fleet(name='{name}').up()"
    with python("-c", code) as process:
        assert "FleetError: A fleet needs root." in process.communicate()[1].decode()


def test_a_chroot_is_refused_since_its_hosts_would_be_those_of_the_tree_around_it(tmp_path):
    code = "from fleet import Fleet; Fleet(1).up()"
    inside = f"PYTHONPATH={TESTS} exec chroot {tmp_path} {sys.executable} -c '{code}'"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", f"mount --rbind / {tmp_path} && {inside}"], capture_output=True, check=False
    )
    assert done.returncode != 0 and b"A fleet needs the root of its mount namespace: this is a chroot." in done.stderr
