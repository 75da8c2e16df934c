# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.procfs.rescue.plugins.module_utils._cgroup import container_of, reopen, unit_of, user_unit_of

ID = b"0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (b"0::/system.slice/nginx.service\n", "nginx.service"),
        (b"0::/user.slice/user-0.slice/session-3.scope\n", "session-3.scope"),
        (b"0::/user.slice/user-7.slice/user@7.service/app.slice/editor.service\n", "user@7.service"),
        (b"0::/user.slice/user-7.slice/user@7.service/sshd.service\n", "user@7.service"),
        (
            b"0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/ssh.service\n",
            "systemd-nspawn@web.service",
        ),
        (b"0::/lxc.payload.web/system.slice/ssh.service\n", None),
        (b"0::/system.slice\n", None),
        (b"0::/system.slice/docker-" + ID + b".scope/init\n", "docker-" + ID.decode() + ".scope"),
        (b"12:cpu:/\n1:name=systemd:/system.slice/ssh.service\n0::/other.service\n", "ssh.service"),
        (b"1:name=systemd:/\n0::/other.service\n", None),
        (b"12:cpu:/other.service\n1:name=systemd:/system.slice/ssh.service\n", "ssh.service"),  # v1 alone
        (b"12:cpu:/system.slice/ssh.service\n", None),
        (b"0::/system.slice/a:b:c.service\n", "a:b:c.service"),
        (b"0::/system.slice/x.service.d\n", None),
        (b"0::/\n", None),
        (b"", None),
        (b"odd\n0::/system.slice/cut.servi", None),
    ],
)
def test_unit(cgroup: bytes, unit: str | None) -> None:
    assert unit_of(cgroup) == unit


@pytest.mark.parametrize(
    ("cgroup", "container"),
    [
        (b"0::/system.slice/docker-" + ID + b".scope\n", ID.decode()),
        (b"0::/docker/" + ID + b"\n", ID.decode()),
        (b"4:memory:/docker/" + ID + b"/init.scope\n0::/\n", ID.decode()),
        (b"0::/machine.slice/libpod-" + ID + b".scope/container\n", ID.decode()),
        (b"0::/kubepods.slice/kubepods-pod5.slice/cri-containerd-" + ID + b".scope\n", ID.decode()),
        (b"0::/kubepods/besteffort/pod5/" + ID + b"\n", ID.decode()),
        (b"0::/kubepods.slice/kubepods-pod5.slice/crio-" + ID + b".scope\n", ID.decode()),
        (b"0::/system.slice/containerd.service/kubepods-pod5.slice:cri-containerd:" + ID + b"\n", ID.decode()),
        (b"0::/default/web\n", "web"),
        (b"7:memory:/default/web/below\n", "web"),
        (b"0::/default\n", None),
        (b"0::/system.slice/default/web\n", None),
        (b"0::/lxc.payload.web/system.slice/ssh.service\n", "web"),
        (b"0::/lxc/web/init.scope\n", "web"),
        (b"0::/machine.slice/machine-web.scope/payload\n", "web"),
        (rb"0::/machine.slice/machine-my\x2dbox.scope" + b"\n", "my-box"),
        (rb"0::/machine.slice/machine-\x1b\x5b2J.scope" + b"\n", r"\x1b[2J"),
        (rb"0::/machine.slice/machine-qemu\x2d1\x2dweb.scope/libvirt" + b"\n", None),
        (b"0::/machine.slice/systemd-nspawn@web.service/payload\n", "web"),
        (b"0::/system.slice/docker.service\n", None),
        (b"0::/docker/" + ID[1:] + b"\n", None),
        (b"0::/\n", None),
        (b"", None),
    ],
)
def test_container(cgroup: bytes, container: str | None) -> None:
    assert container_of(cgroup) == container


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [
        (b"0::/user.slice/user-7.slice/user@7.service/app.slice/editor.service\n", "editor.service"),
        (b"0::/user.slice/user-7.slice/user@7.service/app.slice/app-web.slice/web@1.service/x\n", "web@1.service"),
        (b"0::/user.slice/user-7.slice/user@7.service/init.scope\n", "init.scope"),
        (b"1:name=systemd:/user.slice/user-7.slice/user@7.service/editor.service\n", "editor.service"),
        (b"0::/user.slice/user-7.slice/user@7.service/app.slice/\xff.service\n", "\\xff.service"),
        (b"0::/user.slice/user-7.slice/user@7.service/of-a-program/sshd.service\n", None),
        (b"0::/user.slice/user-7.slice/user@7.service\n", None),
        (b"0::/user.slice/user-7.slice/session-3.scope/x.service\n", None),
        (b"0::/system.slice/nginx.service/x.service\n", None),
        (b"0::/lxc/web/user.slice/user@7.service/x.service\n", None),
        (b"", None),
    ],
)
def test_unit_of_a_user(cgroup: bytes, unit: str | None) -> None:
    assert user_unit_of(cgroup) == unit


@pytest.mark.parametrize("cgroup", [b"0::/lxc.monitor.web\n", b"0::/machine.slice/libpod-conmon-" + ID + b".scope\n"])
def test_what_watches_over_a_container_is_not_in_it(cgroup: bytes) -> None:
    assert container_of(cgroup) is None


@pytest.mark.parametrize(
    ("cgroup", "command"),
    [
        (b"0::/system.slice/nginx.service\n", "systemctl reload-or-restart nginx.service"),
        (b"0::/system.slice/a b;reboot.service\n", "systemctl reload-or-restart 'a b;reboot.service'"),
        (b"0::/system.slice/\n", None),
        (b"0::/user.slice/user-7.slice/user@7.service/app.slice/editor.service\n", None),
        (b"0::/user.slice/user-0.slice/session-3.scope\n", None),
        (b"0::/system.slice/docker-" + ID + b".scope\n", None),
        (b"0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/ssh.service\n", None),
        (b"0::/lxc.payload.web/system.slice/ssh.service\n", None),
        (b"", None),
    ],
)
def test_what_makes_a_writer_open_its_files_again(cgroup: bytes, command: str | None) -> None:
    """A restart of a user's manager, a session or a container would end more than the writer."""
    assert reopen(cgroup) == command


def test_names_are_printable() -> None:
    """A user may call cgroups of a delegated tree anything."""
    assert unit_of(b"0::/user.slice/\x1b]0;x\x07\xff.service\n") == "\\x1b]0;x\\x07\\xff.service"
    assert container_of(b"0::/lxc/\x1b[2J\xff\n") == "\\x1b[2J\\xff"
