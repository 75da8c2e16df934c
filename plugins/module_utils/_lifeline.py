# Copyright (c) 2026, procfs.rescue contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this module util is **PRIVATE** to the collection. It can have breaking changes at any time.

"""The lifeline's way in: SFTP as root with keys of its own, by a port or an account of its own, and nothing else.

All that it is on a host is a drop-in of sshd, a file of keys and, in account mode, one line in passwd and in shadow.
"""

import fcntl
import os
import re
import shutil
from contextlib import contextmanager, suppress
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.procfs.rescue.plugins.module_utils import _sshd
from ansible_collections.procfs.rescue.plugins.module_utils._errors import RescueError, fault
from ansible_collections.procfs.rescue.plugins.module_utils._sshd import DROP_IN, Address, Login

KEYS = "/etc/ssh/procfs-rescue-lifeline.keys"

_PASSWD = "/etc/passwd"
_SHADOW = "/etc/shadow"
_LOCK = "/etc/.pwd.lock"
# No home that userdel could remove, no shell that su could start: sshd asks for neither in a chroot.
_ACCOUNT = "%s:x:0:0:procfs.rescue lifeline:/nonexistent:/usr/sbin/nologin"
_ACCOUNT_NAME = re.compile(_ACCOUNT.replace("%s", "(?!root:)([^:]+)") + r"\Z")

_HEAD = (
    "# Of role procfs.rescue.lifeline, which tries this file against the rest of the configuration: do not edit it.\n"
)

_KEY = re.compile(r"[^\n#][^\n]*\Z")
_KEY_BODY = re.compile(r"(?:\A|[\s])(?:ssh|ecdsa|sk)-[\w@.-]+ AAAA[0-9A-Za-z+/]+=*(?:\s|\Z)")
_USER = re.compile(r"[a-z_][a-z0-9_-]{0,30}\Z")
_PATTERN = re.compile(r"[0-9A-Za-z.:/*?_-]+\Z")

SPEC: Dict[str, Any] = {
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mode": {"type": "str", "choices": ["port", "account"], "default": "port"},
    "port": {"type": "int"},
    "user": {"type": "str"},
    "keys": {"type": "list", "elements": "str", "no_log": False},
    "addresses": {"type": "list", "elements": "str", "default": []},
    "private_key_file": {"type": "path"},
    "previous": {"type": "dict"},
}


class WayIn(NamedTuple):
    """What the lifeline is on a host; None for what is not there. ``account`` is the name of an account of its own."""

    drop_in: Optional[str] = None
    keys: Optional[str] = None
    account: Optional[str] = None


class Wish(NamedTuple):
    """What the user asked for. ``port`` is None in account mode: the account may use any."""

    user: str
    port: Optional[int]
    keys: Tuple[str, ...]
    addresses: Tuple[str, ...]

    @property
    def settings(self) -> List[Tuple[str, str]]:
        """What sshd must do at a login by the lifeline; a line each."""
        allowed = ["%s@%s" % (self.user, address) for address in self.addresses] or [self.user]
        return [
            ("AllowUsers", " ".join(allowed)),
            ("AllowGroups", "root"),
            ("PermitRootLogin", "prohibit-password"),
            ("AuthenticationMethods", "publickey"),
            ("PubkeyAuthentication", "yes"),
            ("PasswordAuthentication", "no"),
            ("KbdInteractiveAuthentication", "no"),
            ("AuthorizedKeysFile", KEYS),
            ("AuthorizedKeysCommand", "none"),
            ("TrustedUserCAKeys", "none"),
            ("ChrootDirectory", "/"),
            ("ForceCommand", "internal-sftp"),
            ("DisableForwarding", "yes"),
            ("PermitTunnel", "no"),
            ("PermitTTY", "no"),
            ("PermitUserRC", "no"),
            ("MaxSessions", "10"),
        ]

    def drop_in(self, listen: List[str]) -> str:
        match = "Match User %s" % self.user + ("" if self.port is None else " LocalPort %d" % self.port)
        lines = listen + [match] + ["    %s %s" % setting for setting in self.settings]
        if self.port is not None:  # the port is a way in for nobody else
            lines += ["Match User *,!%s LocalPort %d" % (self.user, self.port), "    AllowUsers %s" % self.user]
        return _HEAD + "".join("%s\n" % line for line in lines)


def wish_from(params: Dict[str, Any]) -> Wish:
    """Raises RescueError."""
    port, user = params["port"], params["user"]
    if params["mode"] == "port":
        if not port or not 1 <= port <= 65535:
            raise RescueError("port must say which port the lifeline shall have, 1 to 65535.")
        if user not in (None, "root"):
            raise RescueError(
                "The user is root where the lifeline has a port of its own; another one needs mode account."
            )
    elif not user or user == "root" or not _USER.match(user):
        raise RescueError("user must name the account that the lifeline shall have: small letters, digits, - and _.")
    keys = [key.strip() for key in params["keys"] or []]
    if not keys:
        raise RescueError("keys is empty: give the public keys that may log in by the lifeline.")
    for key in keys:
        if not _KEY.match(key) or not _KEY_BODY.search(key):
            raise RescueError("This is no line of an authorized_keys file: %r" % key[:60])
    for address in params["addresses"]:
        if not _PATTERN.match(address):
            raise RescueError("This is no address, network (CIDR) or pattern of those: %r" % address)
    return Wish(
        user or "root", port if params["mode"] == "port" else None, tuple(keys), tuple(sorted(params["addresses"]))
    )


def found() -> WayIn:
    """What is there. Raises RescueError."""
    accounts = [match.group(1) for match in map(_ACCOUNT_NAME.match, _lines(_PASSWD)) if match]
    return WayIn(_text(DROP_IN), _text(KEYS), accounts[0] if accounts else None)


def planned(wish: Wish) -> WayIn:
    """What is to be there, after a proof that it does what it shall and nothing else. Changes nothing.

    Raises RescueError.
    """
    _sshd.refuse_unfit()
    logins = _usual_logins()
    before = [_sshd.settings(login, None) for login in logins]
    drop_in = _listening(wish, logins[0])
    for login, then in zip(logins, before):
        now = _sshd.settings(login, drop_in)
        if now.lines != then.lines:
            raise RescueError(
                "sshd would treat %s differently on port %d with the lifeline, so it was left alone: %s"
                % (login.user, login.port, "; ".join(sorted(set(now.lines) ^ set(then.lines))) or "the order of lines")
            )
    for port in [wish.port] if wish.port is not None else sorted({login.port for login in logins}):
        _check_settings(wish, logins[0]._replace(user=wish.user, port=port), drop_in)
    if wish.port is None:
        _refuse_account_of_others(wish.user)
    return WayIn(drop_in, "".join("%s\n" % key for key in wish.keys), None if wish.port is not None else wish.user)


def is_reached(way: WayIn) -> bool:
    """Whether sshd has taken it up: it answers wherever it shall."""
    return all(map(_sshd.answers, _expected(way)))


def put(way: WayIn, before: WayIn) -> None:
    """Makes ``way`` what is there, in place of ``before``; what fails is undone. Raises RescueError."""
    expected = _expected(way)
    try:
        _write(way)
        _sshd.reload(expected)
    except (RescueError, OSError) as error:
        _write(before)
        _sshd.reload(())
        why = str(error) if isinstance(error, RescueError) else fault(error)
        raise RescueError("Everything is as it was before. %s" % why) from error


def _usual_logins() -> List[Login]:
    """Root and the operator, as they come in without the lifeline."""
    own = _sshd.own_login() or Login("root", "127.0.0.1", "127.0.0.1", 22)
    ports = {address.port for address in _sshd.settings(own, None).addresses}
    return [own._replace(user=user, port=port) for user in dict.fromkeys(("root", own.user)) for port in sorted(ports)]


def _listening(wish: Wish, login: Login) -> str:
    """The drop-in with lines that make sshd listen as before and at the port; its other lines decide which do."""
    old = _sshd.settings(login, None).addresses
    if wish.port is None:
        return wish.drop_in([])
    if wish.port in {address.port for address in old}:
        raise RescueError("sshd serves everybody on port %d: give the lifeline another one." % wish.port)
    hosts = sorted({address.host for address in old if not _is_covered(address.host, old)})
    wanted = old | {Address(host, wish.port) for host in hosts}
    new = "Port %d" % wish.port
    for listen in (
        [new],
        # The first Port takes away the default.
        ["Port %d" % port for port in sorted({address.port for address in old})] + [new],
        ["ListenAddress %s:%d" % (host, wish.port) for host in hosts],
    ):
        if _sshd.settings(login, wish.drop_in(listen)).addresses == wanted:
            return wish.drop_in(listen)
    raise RescueError("Port and ListenAddress of sshd cannot be extended by port %d: see sshd -T." % wish.port)


def _is_covered(host: str, addresses: Set[Address]) -> bool:
    """Whether sshd listens at all addresses of this family anyway: the same port at one of them would be taken."""
    every = "[::]" if host.startswith("[") else "0.0.0.0"
    return host != every and any(address.host == every for address in addresses)


def _check_settings(wish: Wish, login: Login, drop_in: str) -> None:
    effective = _sshd.settings(login, drop_in)
    for name, value in wish.settings:
        values = effective.values(name.lower())
        # What sshd calls it when it is asked.
        wanted = "without-password" if value == "prohibit-password" else value
        if " ".join(values) != wanted:
            raise RescueError(
                "The lifeline would not be what it must, so sshd is as before: another Match block makes %s %r for it "
                "instead of %r." % (name, " ".join(values), wanted)
            )


def _refuse_account_of_others(name: str) -> None:
    if any(line.startswith(name + ":") and not _ACCOUNT_NAME.match(line) for line in _lines(_PASSWD)):
        raise RescueError("There is an account %s already which is not the lifeline's: choose another user." % name)


def _expected(way: WayIn) -> Set[Address]:
    """Where sshd must answer: with the lifeline where it answers without, and there at its port, too."""
    login = Login("root", "127.0.0.1", "127.0.0.1", 22)
    old = set(filter(_sshd.answers, _sshd.settings(login, None).addresses))
    new = _sshd.settings(login, way.drop_in).addresses - _sshd.settings(login, None).addresses
    return old | {address for address in new if address.host in {one.host for one in old}}


def _write(way: WayIn) -> None:
    """What is right already is not touched. The keys come before the drop-in that names them."""
    _write_account(way.account)
    for path, text, mode in ((KEYS, way.keys, 0o600), (DROP_IN, way.drop_in, 0o644)):
        if text is None:
            with suppress(FileNotFoundError):
                os.unlink(path)
        elif _text(path) != text:
            _replace(path, text, mode)


def _write_account(name: Optional[str]) -> None:
    """Root's second name stands after the first, which is what everybody else finds. No other line is touched."""
    with _accounts_locked():
        old = {match.group(1) for match in map(_ACCOUNT_NAME.match, _lines(_PASSWD)) if match}
        if old == ({name} if name else set()):
            return
        passwd = [line for line in _lines(_PASSWD) if not _ACCOUNT_NAME.match(line)]
        shadow = [line for line in _lines(_SHADOW) if line.partition(":")[0] not in old]
        if name:
            shadow.append(name + ":*:::::::")
            passwd.append(_ACCOUNT % name)
        for path, lines in ((_SHADOW, shadow), (_PASSWD, passwd)):
            _replace(path, "".join("%s\n" % line for line in lines))


@contextmanager
def _accounts_locked() -> Iterator[None]:
    """As lckpwdf(3), which useradd and the like take."""
    fd = os.open(_LOCK, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _replace(path: str, text: str, mode: Optional[int] = None) -> None:
    """Writes a whole file or nothing; without ``mode`` it keeps owner, mode and label of the old one."""
    draft = path + ".procfs-rescue"
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            if mode is None:
                old = os.stat(path)
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
                shutil.copystat(path, draft)
            else:
                os.fchmod(file.fileno(), mode)
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, path)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)
        raise


def _lines(path: str) -> List[str]:
    return (_text(path) or "").rstrip("\n").split("\n")


def _text(path: str) -> Optional[str]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None
