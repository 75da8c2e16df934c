# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The role lifeline on a host that runs systemd, as its users run it and as it is used on the worst day."""

from __future__ import annotations

import base64
import json
import os
import stat
import struct
import subprocess
import time

import pytest

from fleet.controller import run_ansible

PORT = 2222
UNIT = "procfs-rescue-keeper.service"
BASH = "/usr/bin/bash"
DROP_INS = "/etc/ssh/sshd_config.d"


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "lifeline"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return path


def _long(value):
    return pytest.param(value, marks=pytest.mark.long)


@pytest.fixture(scope="module")
def machine(systemd_fleet):
    return systemd_fleet.hosts[0]


@pytest.fixture
def lifeline(systemd_fleet, machine, key):
    """``lifeline(**variables)`` runs the playbook; in the end the host is as it was before the first run."""
    before = tree(machine)

    def run(*options, **variables):
        settings = {
            "lifeline_port": PORT,
            "lifeline_keys": [key.with_suffix(".pub").read_text()],
            "lifeline_private_key_file": str(key),
            **variables,
        }
        inventory = str(systemd_fleet.inventory())
        return run_ansible(
            *("ansible-playbook", "procfs.rescue.lifeline", "-i", inventory, "-e", json.dumps(settings), *options),
            env={"ANSIBLE_PIPELINING": "true"},
        )

    yield run
    if tree(machine) != before:
        done = run(lifeline_state="absent")
        assert done.returncode == 0, done.stdout
    assert tree(machine) == before, "absent removes what the role made, and nothing else"


@pytest.fixture
def sshd(machine):
    """``sshd(text)`` adds to the configuration of sshd what an administrator may have there."""

    def configure(text, name="50-site.conf"):
        machine.run(["tee", f"{DROP_INS}/{name}"], input=text.encode())
        machine.run(["systemctl", "reload", "ssh"])

    yield configure
    machine.run(["sh", "-c", f"rm -f {DROP_INS}/*-site.conf && systemctl reload ssh"])


def tree(host, *folders):
    """Everything about the files that the role may touch, but their times."""
    found = {}
    for folder in folders or ("etc", "opt", "run/procfs-rescue", "var/lib/procfs-rescue"):
        for path in sorted((host.root() / folder).rglob("*")):
            result = path.lstat()
            content = path.read_bytes() if stat.S_ISREG(result.st_mode) else b""
            link = os.readlink(path) if stat.S_ISLNK(result.st_mode) else ""
            found[str(path)] = (oct(result.st_mode), result.st_uid, result.st_gid, link, content)
    return found


def changed(done):
    assert done.returncode == 0, done.stdout + done.stderr
    return "changed=0" not in done.stdout


def sftp(host, key, batch, *options, user="root", port=PORT):
    """What an SFTP login with the lifeline's key gives: exit code and all that is on the screen."""
    command = host.ssh_command(user, f"-oPort={port}", f"-oIdentityFile={key}", *options)
    command[:1] = ["sftp", "-b", "-"]
    done = subprocess.run(command, input=batch, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def ssh(host, key, *command, user="root", port=PORT):
    argv = [*host.ssh_command(user, f"-oPort={port}", f"-oIdentityFile={key}"), *command]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def sshd_says(host, user, port):
    where = f"user={user},host=192.0.2.1,addr=192.0.2.1,laddr=192.0.2.2,lport={port}"
    return host.run(["sshd", "-T", "-C", where]).stdout.decode().splitlines()


def effective(host, user, port=22):
    """What sshd does for a login, but for where it listens."""
    return [line for line in sshd_says(host, user, port) if not line.startswith(("port ", "listenaddress "))]


def listening(host):
    """The ports at which something listens."""
    lines = host.run(["cat", "/proc/net/tcp", "/proc/net/tcp6"]).stdout.decode().splitlines()
    return {int(line.split()[1].rpartition(":")[2], 16) for line in lines if line.split()[3] == "0A"}


def test_a_way_in_that_needs_no_shell_and_is_nothing_else(machine, lifeline, key):
    before = tree(machine)
    usual = [effective(machine, user) for user in ("root", "oncall", "mallory")]
    done = lifeline("--check")
    assert changed(done) and tree(machine) == before, "check mode changes nothing"
    assert changed(lifeline())
    assert listening(machine) == {22, PORT}
    assert [effective(machine, user) for user in ("root", "oncall", "mallory")] == usual
    mode = (machine.root() / "etc/ssh/procfs-rescue-lifeline.keys").stat()
    assert (mode.st_uid, stat.S_IMODE(mode.st_mode)) == (0, 0o600)
    now = tree(machine)
    assert not changed(lifeline()) and not changed(lifeline("--check")) and tree(machine) == now

    bash = (machine.root() / BASH[1:]).read_bytes()
    machine.wreck(BASH)
    try:
        assert "Permission denied" in ssh(machine, key, "true", port=22)[1], "root's shell is gone"
        code, said = sftp(machine, key, "ls -l /etc/shadow\nrename /etc/motd /etc/motd.x\nrename /etc/motd.x /etc/motd")
        assert code == 0 and "/etc/shadow" in said, said
    finally:
        machine.run(["install", "-m", "0755", "/dev/stdin", BASH], input=bash)

    for command in ((), ("true",)):
        assert "This service allows sftp connections only." in ssh(machine, key, *command)[1]
    assert "forwarding failed" in ssh(machine, key, "-W", "127.0.0.1:22")[1]
    for user, identity in (
        ("root", "/dev/null"),  # with the key in root's own file
        ("oncall", key),
    ):
        assert "Permission denied" in ssh(machine, identity, "true", user=user)[1], user
        assert ssh(machine, identity, "true", user=user, port=22)[0] == 0


@pytest.mark.long
@pytest.mark.parametrize(
    "site",
    [
        "PermitRootLogin no\nAllowUsers oncall\nAllowGroups oncall\nMaxSessions 1\n",
        _long("AuthenticationMethods publickey,password\nPasswordAuthentication yes\nUsePAM yes\n"),
        _long("Port 22\nPort 2022\nListenAddress 0.0.0.0\nMatch User oncall\n    X11Forwarding yes\n"),
        _long("ListenAddress 0.0.0.0:22\nListenAddress 127.0.0.1:2022\n"),
    ],
    ids=["root is refused", "two factors", "ports", "addresses with ports"],
)
def test_whatever_the_rest_of_the_configuration_says(machine, lifeline, sshd, key, site):
    sshd(site)
    usual, ports = [effective(machine, user) for user in ("root", "oncall")], listening(machine)
    assert changed(lifeline())
    assert [effective(machine, user) for user in ("root", "oncall")] == usual
    assert listening(machine) == ports | {PORT}
    assert sftp(machine, key, "ls /root")[0] == 0
    assert not changed(lifeline())
    assert changed(lifeline(lifeline_state="absent"))
    assert listening(machine) == ports


@pytest.mark.long
def test_only_from_the_given_addresses(machine, lifeline, key):
    assert changed(lifeline(lifeline_from=["10.0.0.0/8"]))
    assert sftp(machine, key, "ls /root")[0] == 0, "the machine is 10.x to its hosts"
    allowed = [line for line in sshd_says(machine, "root", PORT) if line.startswith("allowusers")]
    assert allowed == ["allowusers root@10.0.0.0/8"]
    done = lifeline(lifeline_from=["192.0.2.0/24"])
    assert done.returncode == 2 and "everything is as it was before" in done.stdout, "it would keep us out"
    assert [line for line in sshd_says(machine, "root", PORT) if line.startswith("allowusers")] == allowed
    assert sftp(machine, key, "ls /root")[0] == 0


@pytest.mark.parametrize(
    ("site", "name", "complaint"),
    [
        (
            "Match all\n    ForceCommand /bin/true\n",
            "00-a-site.conf",
            "another Match block makes ForceCommand '/bin/true'",
        ),
        ("Match User root\n    AllowUsers nobody\n", "00-a-site.conf", "makes AllowUsers 'nobody root' for it"),
        (f"Port 22\nPort {PORT}\n", "50-site.conf", f"sshd serves everybody on port {PORT}"),
        ("DenyUsers root\n", "50-site.conf", "could not log in by the lifeline, so everything is as it was before"),
    ],
    ids=["ForceCommand", "AllowUsers", "its own port", "DenyUsers"],
)
def test_a_configuration_that_it_does_not_fit_into(machine, lifeline, sshd, site, name, complaint):
    # sshd reads 00-a before our 00-p.
    sshd(site, name)
    before, ports = tree(machine), listening(machine)
    done = lifeline()
    assert done.returncode == 2 and complaint in done.stdout, done.stdout
    assert tree(machine) == before and listening(machine) == ports
    machine.run(["rm", f"{DROP_INS}/{name}"])


def test_an_sshd_that_reads_no_drop_in(machine, lifeline):
    main = machine.root() / "etc/ssh/sshd_config"
    text = main.read_text()
    machine.run(["tee", "/etc/ssh/sshd_config"], input=text.replace("Include", "#Include").encode())
    try:
        done = lifeline()
        assert done.returncode == 2 and "has no Include that reads" in done.stdout
        within = text.replace("Include", "#Include") + "Match User mallory\n    Include /etc/ssh/sshd_config.d/*.conf\n"
        machine.run(["tee", "/etc/ssh/sshd_config"], input=within.encode())
        done = lifeline()
        assert done.returncode == 2 and "has no Include that reads" in done.stdout
    finally:
        machine.run(["tee", "/etc/ssh/sshd_config"], input=text.encode())


LISTENER = """
import socket, sys
server = socket.socket()
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("0.0.0.0", int(sys.argv[1])))
server.listen()
print("listens", flush=True)
while True:
    client, _peer = server.accept()
    client.sendall(sys.argv[2].encode())
    client.close()
"""


@pytest.mark.long
@pytest.mark.parametrize("greeting", ["220 ftp\r\n", _long("SSH-2.0-other\r\n")])
def test_a_port_that_another_program_has(machine, lifeline, greeting):
    before, ports = tree(machine), listening(machine)
    with machine.spawn(["python3", "-c", LISTENER, str(PORT), greeting], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline()
        done = lifeline()
        other.kill()
    assert done.returncode == 2 and "verything is as it was before" in done.stdout, done.stdout
    assert tree(machine) == before and listening(machine) == ports


@pytest.mark.long
def test_a_key_that_does_not_open(machine, lifeline, key, tmp_path):
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    other = (tmp_path / "other.pub").read_text()
    before, ports = tree(machine), listening(machine)
    done = lifeline(lifeline_keys=[other])
    assert done.returncode == 2 and "everything is as it was before" in done.stdout and "denied" in done.stdout
    assert tree(machine) == before and listening(machine) == ports
    # The same for keys that shall replace others: those stay.
    assert changed(lifeline())
    now = tree(machine)
    assert lifeline(lifeline_keys=[other]).returncode == 2
    assert tree(machine) == now and sftp(machine, key, "ls /root")[0] == 0


@pytest.mark.parametrize(
    ("variables", "complaint"),
    [
        ({"lifeline_keys": []}, "keys is empty"),
        ({"lifeline_keys": ["-----BEGIN OPENSSH PRIVATE KEY-----"]}, "no line of an authorized_keys file"),
        ({"lifeline_keys": ["ssh-ed25519 AAAA\nssh-ed25519 AAAA"]}, "no line of an authorized_keys file"),
        ({"lifeline_port": None}, "port must say"),
        ({"lifeline_port": 22}, "sshd serves everybody on port 22"),
        ({"lifeline_user": "oncall"}, "The user is root"),
        ({"lifeline_from": ["192.0.2.0/24 root@*"]}, "This is no address"),
    ],
)
def test_wishes_that_are_refused(machine, lifeline, variables, complaint):
    before = tree(machine)
    done = lifeline(**variables)
    assert done.returncode == 2 and complaint in done.stdout, done.stdout
    assert tree(machine) == before


def test_an_sshd_that_systemd_starts_for_each_connection(machine, lifeline):
    before = tree(machine)
    machine.run(["sh", "-c", "systemctl stop ssh.service && systemctl start ssh.socket"])
    try:
        done = lifeline()
    finally:
        machine.run(["sh", "-c", "systemctl stop ssh.socket && systemctl start ssh.service"])
    assert done.returncode == 2 and "systemctl disable --now ssh.socket" in done.stdout, done.stdout
    assert tree(machine) == before


# The keeper.


@pytest.fixture
def kept(machine, lifeline):
    """``kept(path, …)``: the keeper holds these files, and nothing else does."""

    def keep(*paths, **variables):
        done = lifeline(**({"lifeline_files": list(paths)} if paths else {}), **variables)
        assert done.returncode == 0, done.stdout
        return eventually(lambda: keeper(machine)["problems"] == [] and keeper(machine))

    return keep


def keeper(machine):
    return json.loads(machine.run(["python3", "/opt/procfs-rescue/keeper.py", "check"], check=False).stdout)


def eventually(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.1)
    return condition()


def state_of(host, path):
    """With whole seconds: SFTP knows no others."""
    path = host.root() / path[1:]
    return path.read_bytes(), path.stat().st_mode, path.stat().st_uid, int(path.stat().st_mtime)


def rescue(systemd_fleet, *paths, transport="auto"):
    variables = json.dumps({"rescue_paths": list(paths), "rescue_transport": transport})
    who = {"user": "root", "become": False} if transport == "sftp" else {}
    return run_ansible(
        "ansible-playbook", "procfs.rescue.rescue", "-i", str(systemd_fleet.inventory(**who)), "-e", variables
    )


def main_pid(machine):
    return machine.run(["systemctl", "show", "-P", "MainPID", UNIT]).stdout.decode().strip()


def killed(machine):
    before = main_pid(machine)
    machine.run(["systemctl", "kill", "--signal=KILL", UNIT])
    return eventually(lambda: main_pid(machine) not in ("0", before))


def without_its_program(machine):
    """systemd cannot start it any more and alone has the handles."""
    machine.run(["mv", "/opt/procfs-rescue/keeper.py", "/opt/procfs-rescue/away"])
    machine.run(["systemctl", "kill", "--signal=KILL", UNIT])
    return eventually(lambda: main_pid(machine) == "0")


EVENTS = {
    "nothing else": main_pid,
    "kill -9": killed,
    "kill -9 twice": lambda machine: killed(machine) and killed(machine),
    "restart": lambda machine: machine.run(["systemctl", "restart", UNIT]),
    "daemon-reexec": lambda machine: machine.run(["systemctl", "daemon-reexec"]),
    "daemon-reexec and kill -9": lambda machine: machine.run(["systemctl", "daemon-reexec"]) and killed(machine),
    "it cannot start any more": without_its_program,
}


@pytest.mark.parametrize("happens", ["kill -9", *(_long(event) for event in EVENTS if event != "kill -9")])
def test_a_file_that_only_the_keeper_held(machine, systemd_fleet, kept, happens):
    kept(BASH)
    before = state_of(machine, BASH)
    machine.wreck(BASH)
    try:
        assert EVENTS[happens](machine)
        done = rescue(systemd_fleet, BASH)
        assert done.returncode == 0, done.stdout
        assert state_of(machine, BASH) == before
        if happens == "it cannot start any more":
            machine.run(["mv", "/opt/procfs-rescue/away", "/opt/procfs-rescue/keeper.py"])
        assert eventually(lambda: keeper(machine) == {"problems": [], "handles": 1, "gone": [], "old": []}), (
            "it holds the new file, and the old one not any more"
        )
    finally:
        if not (machine.root() / BASH[1:]).exists():
            machine.run(["install", "-m", "0755", "/dev/stdin", BASH], input=before[0])


def test_what_it_holds_by_default(machine, kept):
    handles = kept()["handles"]
    assert handles > 20
    record = json.loads((machine.root() / "run/procfs-rescue/keeper.json").read_text())
    assert record["links"]["/usr/bin/sh"] == "dash" and record["links"]["/bin"] == "usr/bin"
    assert {BASH, "/usr/bin/sudo", "/usr/sbin/sshd"} < set(record["files"])
    assert any(name.endswith("/libc.so.6") for name in record["files"])


def test_it_may_do_little(machine, kept):
    kept(BASH)
    pid = main_pid(machine)
    status = machine.run(["cat", f"/proc/{pid}/status"]).stdout.decode()
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert int(fields["CapEff"], 16) == 1 << 2, "CAP_DAC_READ_SEARCH"
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    mode = [(machine.root() / "run/procfs-rescue" / name).stat().st_mode for name in ("", "keeper.json")]
    assert [stat.S_IMODE(one) for one in mode] == [0o700, 0o600]
    # Handles of another mount namespace would not be believed when systemd alone has them.
    assert len({machine.run(["readlink", f"/proc/{one}/ns/mnt"]).stdout for one in (pid, "1")}) == 1


TOOL = "/usr/bin/precious"


@pytest.fixture
def package(machine):
    """``package(version, text)`` installs a package with the file TOOL."""

    def install(version, text):
        folder = f"/tmp/precious-{version}"
        control = f"Package: precious\nVersion: {version}\nArchitecture: all\nMaintainer: x\nDescription: x\n"
        script = (
            f"mkdir -p {folder}/DEBIAN {folder}/usr/bin && cat > {folder}/DEBIAN/control && printf '{text}' > "
            f"{folder}{TOOL} && chmod 755 {folder}{TOOL} && cd {folder} && md5sum usr/bin/* > DEBIAN/md5sums && "
            f"dpkg-deb -b {folder} {folder}.deb && dpkg -i {folder}.deb"
        )
        machine.run(["sh", "-c", script], input=control.encode())

    yield install
    machine.run(["sh", "-c", "dpkg --purge precious; rm -rf /tmp/precious-* /usr/bin/alias"])


def holds(machine):
    """What the keeper has, new and old."""
    script = "for fd in /proc/$1/fd/*; do [ -f $fd ] && cat $fd && echo; done; true"
    return set(machine.run(["sh", "-c", script, "-", main_pid(machine)]).stdout.decode().split())


def replace(machine, text):
    script = f"printf '{text}' > {TOOL}.new && chmod 755 {TOOL}.new && mv {TOOL}.new {TOOL}"
    machine.run(["sh", "-c", script])


@pytest.mark.long
def test_an_upgrade_and_what_nobody_vouches_for(machine, package, kept):
    package(1, "one")
    kept(TOOL)
    assert holds(machine) == {"one"}
    package(2, "two")
    assert eventually(lambda: holds(machine) == {"two"}), "no disk is held for the old one"
    assert keeper(machine) == {"problems": [], "handles": 1, "gone": [], "old": []}

    replace(machine, "mine")
    assert eventually(lambda: "mine" in holds(machine))
    replace(machine, "yours")
    assert eventually(lambda: "yours" in holds(machine))
    assert killed(machine) and eventually(lambda: keeper(machine)["problems"] == [])
    assert holds(machine) == {"two", "mine", "yours"}, "nobody vouches for the new ones"
    assert keeper(machine)["old"] == [TOOL]
    machine.wreck(TOOL)
    assert eventually(lambda: keeper(machine)["gone"] == [TOOL])
    package(3, "three")
    assert eventually(lambda: holds(machine) == {"three"})


# cap_net_raw+ep, see linux/capability.h
XATTRS = {"security.capability": struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0), "user.x": b"y"}
SET_XATTRS = f"""
import os, sys
for name, value in {XATTRS}.items():
    os.setxattr(sys.argv[1], name, value)
"""


@pytest.mark.long
def test_the_record_keeps_what_is_gone(machine, package, kept):
    package(1, "one")
    machine.run(["ln", "-s", "precious", "/usr/bin/alias"])
    try:
        machine.run(["python3", "-c", SET_XATTRS, TOOL])
        kept("/bin/alias", "/bin/nothing*", "/no/such")
        record = json.loads((machine.root() / "run/procfs-rescue/keeper.json").read_text())
        assert record["links"]["/usr/bin/alias"] == "precious"
        xattrs = record["files"][TOOL]["xattrs"]
        assert {name: base64.b64decode(value) for name, value in xattrs.items()} == XATTRS
        machine.run(["rm", "/usr/bin/alias"])
        machine.wreck(TOOL)
        assert killed(machine)
        assert eventually(lambda: keeper(machine)["gone"] == [TOOL, "/usr/bin/alias"])
        assert json.loads((machine.root() / "run/procfs-rescue/keeper.json").read_text()) == record
    finally:
        package(2, "two")
        machine.run(["sh", "-c", "ln -sf precious /usr/bin/alias"])
        assert eventually(lambda: holds(machine) == {"two"})


@pytest.mark.parametrize("transport", ["module", "sftp"])
def test_a_symlink_that_only_the_record_knows(machine, systemd_fleet, kept, transport):
    machine.run(["ln", "-sf", "precious", "/usr/bin/alias"])
    kept("/usr/bin/alias")
    machine.run(["rm", "/usr/bin/alias"])
    done = rescue(systemd_fleet, "/usr/bin/alias", transport=transport)
    assert done.returncode == 0, done.stdout
    assert machine.run(["readlink", "/usr/bin/alias"]).stdout == b"precious\n"


@pytest.mark.long
def test_a_new_list_is_noticed_and_nothing_is_let_go_that_would_be_lost(machine, systemd_fleet, lifeline, kept):
    kept(BASH, "/usr/bin/cat")
    pid = main_pid(machine)
    assert kept("/usr/bin/ls")["handles"] and eventually(lambda: keeper(machine)["handles"] == 1)
    kept("/usr/bin/ls", BASH)
    before = state_of(machine, BASH)
    machine.wreck(BASH)
    try:
        assert kept("/usr/bin/ls")["gone"] == [BASH], "although it is not in the list any more"
        assert main_pid(machine) == pid, "no list needs a restart"
        for variables in ({"lifeline_state": "absent"}, {"lifeline_keeper": False}):
            done = lifeline(**variables)
            assert done.returncode == 2 and f"only it has {BASH}" in done.stdout, done.stdout
            assert PORT in listening(machine), "it is left alone as a whole"
        assert rescue(systemd_fleet, BASH).returncode == 0
        assert state_of(machine, BASH) == before
        assert eventually(lambda: keeper(machine)["handles"] == 1)
    finally:
        if not (machine.root() / BASH[1:]).exists():
            machine.run(["install", "-m", "0755", "/dev/stdin", BASH], input=before[0])


# The account.

ACCOUNT = {"lifeline_mode": "account", "lifeline_user": "line", "lifeline_port": None}
LINE = {"user": "line", "port": 22}


@pytest.mark.long
def test_an_account_instead_of_a_port(machine, lifeline, key):
    accounts = [machine.root() / "etc" / name for name in ("passwd", "shadow")]
    before, texts = tree(machine), [path.read_text() for path in accounts]
    usual = [effective(machine, user) for user in ("root", "oncall", "mallory")]
    assert changed(lifeline("--check", **ACCOUNT)) and tree(machine) == before
    assert changed(lifeline(**ACCOUNT)) and listening(machine) == {22}
    assert [effective(machine, user) for user in ("root", "oncall", "mallory")] == usual
    assert [path.read_text().startswith(text) for path, text in zip(accounts, texts, strict=True)] == [True, True]
    assert machine.run(["id", "-un", "0"]).stdout == b"root\n"
    now = tree(machine)
    assert not changed(lifeline(**ACCOUNT)) and tree(machine) == now

    bash = (machine.root() / BASH[1:]).read_bytes()
    machine.wreck(BASH)
    try:
        code, said = sftp(machine, key, "ls -l /etc/shadow\nrename /etc/motd /etc/x\nrename /etc/x /etc/motd", **LINE)
        assert code == 0 and "/etc/shadow" in said, said
    finally:
        machine.run(["install", "-m", "0755", "/dev/stdin", BASH], input=bash)
    assert "This service allows sftp connections only." in ssh(machine, key, "true", **LINE)[1]
    assert "forwarding failed" in ssh(machine, key, "-W", "127.0.0.1:22", **LINE)[1]
    assert "Permission denied" in ssh(machine, "/dev/null", **LINE)[1]
    assert machine.run(["su", "line", "-c", "true"], check=False).returncode

    # Whoever tries to remove it as any account: root's files are not its home.
    folders = ("root", "home")
    files = tree(machine, *folders)
    top = sorted(os.listdir(machine.root()))
    script = "mkdir /tmp/old && cp -a /etc/*- /tmp/old; userdel -r line; userdel -rf line; mv /tmp/old/* /etc"
    machine.run(["sh", "-c", f"{script} && rmdir /tmp/old"])
    assert tree(machine, *folders) == files and sorted(os.listdir(machine.root())) == top

    assert changed(lifeline(**ACCOUNT)) and sftp(machine, key, "ls /root", **LINE)[0] == 0
    assert changed(lifeline()), "from here on it is a port"
    assert [path.read_text() for path in accounts] == texts and listening(machine) == {22, PORT}
    assert sftp(machine, key, "ls /root")[0] == 0 and "denied" in sftp(machine, key, "ls /root", **LINE)[1]


@pytest.mark.long
def test_an_account_of_somebody_else(machine, lifeline):
    for user, complaint in (("mallory", "There is an account mallory already"), ("root", "must name the account")):
        done = lifeline(**{**ACCOUNT, "lifeline_user": user})
        assert done.returncode == 2 and complaint in done.stdout, done.stdout
    done = lifeline(**{**ACCOUNT, "lifeline_keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA"]})
    assert done.returncode == 2 and "everything is as it was before" in done.stdout, done.stdout
    assert (machine.root() / "etc/passwd").read_text().count(":x:0:0:") == 1


# The check.


@pytest.mark.long
def test_a_check_proves_both_and_changes_nothing(machine, lifeline, kept):
    kept(BASH)
    now = tree(machine)
    done = lifeline(lifeline_check=True)
    assert not changed(done) and "Ask the keeper" in done.stdout

    for damage, repair, complaint in (
        (f"systemctl stop {UNIT}", f"systemctl start {UNIT}", f"{UNIT} does not run"),
        # It comes back as another file, which the keeper has no time to take hold of.
        (
            f"systemctl kill -s STOP {UNIT}; cp -a {BASH} /tmp/b; mv /tmp/b {BASH}",
            f"systemctl kill -s CONT {UNIT}",
            f"{BASH} is not held",
        ),
        (
            f"mv {DROP_INS}/00-* /root/drop-in",
            f"mv /root/drop-in {DROP_INS}/00-procfs-rescue-lifeline.conf",
            "not there",
        ),
        ("mv /etc/ssh/*.keys /root/keys", "mv /root/keys /etc/ssh/procfs-rescue-lifeline.keys", "not there"),
    ):
        machine.run(["sh", "-c", damage], check=False)
        done = lifeline(lifeline_check=True)
        machine.run(["sh", "-c", repair])
        assert done.returncode == 2 and complaint in done.stdout, done.stdout
        assert "changed=0" in done.stdout and tree(machine) == now
    assert eventually(lambda: keeper(machine)["problems"] == []) and not changed(lifeline(lifeline_check=True))


# Both together.


@pytest.mark.parametrize("mode", ["port", _long("account")])
def test_what_only_the_keeper_held_comes_back_through_the_lifeline(machine, systemd_fleet, key, kept, mode):
    way = ACCOUNT if mode == "account" else {}
    kept(BASH, **way)
    before = state_of(machine, BASH)
    machine.wreck(BASH)
    try:
        settings = {"lifeline_port": PORT, "lifeline_private_key_file": str(key), **way}
        arguments = f"path={BASH} transport=sftp"
        inventory = ("-i", str(systemd_fleet.inventory()), "-e", json.dumps(settings))
        done = run_ansible("ansible", "h1", "-m", "procfs.rescue.restore_file", "-a", arguments, *inventory)
        assert done.returncode == 0 and '"way": "lifeline"' in done.stdout, done.stdout + done.stderr
        assert state_of(machine, BASH) == before
        assert eventually(lambda: keeper(machine) == {"problems": [], "handles": 1, "gone": [], "old": []})
    finally:
        if not (machine.root() / BASH[1:]).exists():
            machine.run(["install", "-m", "0755", "/dev/stdin", BASH], input=before[0])
