# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The attacks, as an unprivileged user (mallory) would carry them out, each with the reasons that refuse it.

Where two reasons are given, two checks of the judge catch it.
"""

from __future__ import annotations

from typing import NamedTuple

BASH = "/usr/bin/bash"
# A log of a daemon whose folder belongs to its group, and so on: places in which others may write.
SHARED = "/srv/shared"


class Attack(NamedTuple):
    """``code`` runs as ``user`` on the host (see `stage`), root's where it is None.

    ``prepare`` is what root did before it, ``meanwhile`` what root does after it and before the real file is deleted.
    ``reasons`` are those that refuse the false candidate.
    """

    name: str
    sentence: str
    reasons: frozenset[str]
    code: str
    path: str = BASH
    user: str | None = "mallory"
    prepare: str = "true"
    meanwhile: str = "true"
    # What an operator has to accept there for the honest file to come back.
    accept: tuple[str, ...] = ()


def _attack(name: str, sentence: str, reasons: str, code: str, **more: object) -> Attack:
    return Attack(name, sentence, frozenset(reasons.split()), code, **more)  # type: ignore[arg-type]


_BIND_FOLDER = """
ARGUMENTS = ["infinity"]
def make():
    evil(WORK + "/bin/bash")
    bind(WORK + "/bin", "/usr/bin")
    return "/usr/bin/bash"
"""

# The lower folder is root's own: what is run from it is root's, as seen by everybody.
_OVERLAY = """
ARGUMENTS = ["-c", "kill -STOP $$; :"]
def make():
    mount("tmpfs", "/media", "tmpfs")
    for name in ("upper", "work"):
        os.mkdir("/media/" + name)
    data = "lowerdir=/usr/bin,upperdir=/media/upper,workdir=/media/work,userxattr"
    mount("overlay", "/usr/bin", "overlay", 0, data)
    return "/usr/bin/bash"
"""

_RUN = """
def before():
    become_root_of_namespaces()
    path = make()
    start(path, *ARGUMENTS)
    os.unlink(path)
stage(before)
"""

_PASS = """
def before():
    fd = passed_out(make)
    execute(fd, *ARGUMENTS)
    return fd
held = stage(before)
"""

_HOLD = """
def before():
    evil(PATH)
    fd = os.open(PATH, os.O_RDONLY)
    return fd
held = stage(before, lambda: os.path.exists(PATH) and os.unlink(PATH))
"""

ATTACKS = (
    _attack(
        "file bound over bash",
        "Her own file, mounted on /usr/bin/bash in namespaces of hers, run and unlinked.",
        "not_held",  # the mount is detached when root deletes the real bash, and the path with it
        """
def before():
    become_root_of_namespaces()
    bind(evil(WORK + "/evil"), "/usr/bin/bash")
    start("/usr/bin/bash", "infinity")
    os.unlink(WORK + "/evil")
stage(before)
""",
    ),
    _attack(
        "folder bound over /usr/bin",
        "Her own folder, mounted on /usr/bin in namespaces of hers: it stays when root deletes the real bash.",
        "namespace_untrusted owner_differs",
        _BIND_FOLDER + _RUN,
    ),
    _attack(
        "overlay over /usr/bin",
        "An overlay of hers over the real /usr/bin: the file that she runs and deletes there belongs to root.",
        "namespace_untrusted",
        _OVERLAY + _RUN,
    ),
    _attack(
        "descriptor of a bound folder passed out",
        "The descriptor of her file goes to a process in the host's own namespaces, which executes it.",
        "mount_unknown owner_differs",
        _BIND_FOLDER + _PASS,
    ),
    _attack(
        "descriptor of an overlay passed out",
        "The same with the file of her overlay, which belongs to root.",
        "mount_unknown",
        _OVERLAY + _PASS,
    ),
    _attack(
        "root's own file, bound and deleted by root",
        "A folder of root's, mounted on /usr/bin in namespaces of hers; root deletes the file later, as upgrades do.",
        "namespace_untrusted",
        """
def before():
    become_root_of_namespaces()
    bind("/srv/old", "/usr/bin")
    start("/usr/bin/bash", "infinity")
stage(before)
""",
        prepare="mkdir -p /srv/old && cp /usr/bin/sleep /srv/old/bash",
        meanwhile="rm /srv/old/bash",
    ),
    _attack(
        "bash of a container",
        "A container that root runs deletes its own /usr/bin/bash.",
        "place_differs",
        """
def before():
    unshare(CLONE_NEWNS)
    mount("tmpfs", "/mnt", "tmpfs")
    os.makedirs("/mnt/usr/bin")
    os.mkdir("/mnt/proc")
    shutil.copy("/opt/procfs-rescue-fleet/busybox", "/mnt/usr/bin/bash")
    os.chdir("/mnt")
    checked(libc.syscall(PIVOT_ROOT, b".", b"."))
    checked(libc.umount2(b".", 2))
    if os.fork() == 0:
        os.execv("/usr/bin/bash", ["sleep", "100000"])
    time.sleep(0.3)
    os.unlink("/usr/bin/bash")
stage(before)
""",
        user=None,
    ),
    _attack(
        "memfd called ../../usr/bin/bash",
        "Memory with a name that looks like a path.",
        "not_held",
        """
def before():
    fd = os.memfd_create("../../usr/bin/bash")
    os.write(fd, b"evil")
    return fd
held = stage(before)
""",
    ),
    _attack(
        "memfd with a newline and {{ }}",
        "The same with text that logs and templates could trip over.",
        "not_held",
        """
def before():
    fd = os.memfd_create("\\n/usr/bin/bash\\n{{ 7*7 }}")
    os.write(fd, b"evil")
    return fd
held = stage(before)
""",
    ),
    _attack(
        "live file called bash (deleted)",
        "A file that was never deleted and whose own name ends like that of a deleted one.",
        "not_held",
        """
def before():
    return os.open(evil("/home/mallory/bin/bash (deleted)"), os.O_RDONLY)
held = stage(before)
""",
        path="/home/mallory/bin/bash",
        prepare="install -d -o mallory -g mallory /home/mallory/bin",
    ),
    _attack(
        "folder renamed to one that root trusts",
        "Root moves her folder to a place that was root's, with her deleted file still held.",
        "owner_differs",
        """
def before():
    os.makedirs("/var/tmp/m/trusted")
    fd = os.open(evil("/var/tmp/m/trusted/bash"), os.O_RDONLY)
    os.unlink("/var/tmp/m/trusted/bash")
    return fd
held = stage(before)
""",
        path="/srv/trusted/bash",
        prepare="rm -rf /srv/trusted /srv/before && mkdir /srv/trusted",
        meanwhile="cd /srv && mv trusted before && mv /var/tmp/m/trusted . && chown root: trusted && chmod 755 trusted",
    ),
    _attack(
        "FIFO where bash was",
        "A FIFO in the folder that she mounted on /usr/bin: who opens it waits for ever.",
        "namespace_untrusted not_regular owner_differs",
        """
def before():
    become_root_of_namespaces()
    os.makedirs(WORK + "/bin")
    os.mkfifo(WORK + "/bin/bash")
    bind(WORK + "/bin", "/usr/bin")
    fd = os.open("/usr/bin/bash", os.O_RDWR)
    os.unlink("/usr/bin/bash")
    return fd
held = stage(before)
""",
    ),
    _attack(
        "device where a file was",
        "A device that root made by mistake, held and deleted: to read it may act.",
        "not_regular",
        """
def before():
    fd = os.open("/srv/device/null", os.O_RDWR)
    os.unlink("/srv/device/null")
    return fd
held = stage(before)
""",
        path="/srv/device/null",
        user=None,
        prepare="rm -rf /srv/device && mkdir /srv/device && mknod /srv/device/null c 1 3",
    ),
    _attack(
        "terminal where a file was",
        "A terminal of hers, below a mount of terminals over /usr/bin, whose other end is closed.",
        "namespace_untrusted not_regular owner_differs",
        """
def before():
    become_root_of_namespaces()
    mount("terminals", "/usr/bin", "devpts", 0, "newinstance,ptmxmode=0666")
    other = os.open("/usr/bin/ptmx", os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(other, TIOCSPTLCK, bytes(4))
    fd = os.open("/usr/bin/0", os.O_RDWR | os.O_NOCTTY)
    os.close(other)
    return fd
held = stage(before)
""",
        path="/usr/bin/0",
    ),
    _attack(
        "folder in which others may write",
        "Her own file in a folder of a group of which she is one.",
        "ancestor_writable owner_differs",
        "PATH = '/srv/shared/log'\n" + _HOLD,
        path="/srv/shared/log",
        prepare="rm -rf /srv/shared && install -d -g mallory -m 0775 /srv/shared",
        accept=("ancestor_writable",),
    ),
    _attack(
        "folder above that belongs to her",
        "A folder of root's below one of hers, which she may exchange for another.",
        "ancestor_writable owner_differs",
        """
def before():
    fd = os.open(evil("/home/mallory/top/own"), os.O_RDONLY)
    os.rename("/home/mallory/top/own", "/home/mallory/top/app-old")
    os.unlink("/home/mallory/top/app-old")
    os.rename("/home/mallory/top/app", "/home/mallory/top/roots")
    os.mkdir("/home/mallory/top/app")
    held = os.open(evil("/home/mallory/top/app/bash"), os.O_RDONLY)
    os.unlink("/home/mallory/top/app/bash")
    os.rmdir("/home/mallory/top/app")
    os.rename("/home/mallory/top/roots", "/home/mallory/top/app")
    return held
held = stage(before)
""",
        path="/home/mallory/top/app/bash",
        prepare="rm -rf /home/mallory/top && install -d -o mallory /home/mallory/top && mkdir /home/mallory/top/app",
        accept=("ancestor_writable",),
    ),
    _attack(
        "old version with setuid",
        "The old version of a setuid program, root's own, which she kept open across its upgrade.",
        "superseded",
        """
def before():
    return os.open("/usr/bin/chfn", os.O_RDONLY)
held = stage(before)
""",
        path="/usr/bin/chfn",
        prepare="cp -p /usr/bin/chfn /srv/chfn.new && printf old >> /usr/bin/chfn && chmod 4755 /usr/bin/chfn",
        meanwhile="true",
    ),
)
