"""Users of a machine's lines: a file of names, roles and argon2 hashes that belongs to its owner alone.

There is no user and no password until somebody adds one. The control process reads roles, page and shell verify
passwords; `evencoat user` writes. argon2-cffi is needed only where passwords are (extra `hmi`).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import secrets
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evencoat.atomic import write_whole
from evencoat.private import exposed

if TYPE_CHECKING:
    from argon2 import PasswordHasher

FORMAT = 1
FILE_SIZE_MAX = 1_000_000  # bytes
USERS_MOST = 1000
NAME = re.compile(r"[a-z][a-z0-9._-]{0,31}")
PASSWORD_LEAST, PASSWORD_MOST = 12, 256  # characters


class UsersError(Exception):
    """The users file, or what was asked of it, is wrong; the text says how, and never has a password or a hash."""


class Role(StrEnum):
    """What somebody may do; each role may do all that those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ENGINEER = "engineer"
    ADMIN = "admin"

    def covers(self, least: Role) -> bool:
        """Whether this role may do what `least` may."""
        order = list(Role)
        return order.index(self) >= order.index(least)


@dataclass(frozen=True, slots=True)
class User:
    """One person. `hash` is argon2's own text; it changes with every new password."""

    name: str
    role: Role
    hash: str
    changed: str  # when role or password were set last, ISO 8601, UTC


def default_path() -> Path:
    """$XDG_CONFIG_HOME/evencoat/users.json, below ~/.config where that says nothing."""
    base = Path(os.environ.get("XDG_CONFIG_HOME") or "")
    return (base if base.is_absolute() else Path("~/.config").expanduser()) / "evencoat" / "users.json"


class Users:
    """The reading side. The file is read anew whenever it has changed; a file that is not there has nobody in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] = ()
        self._users: Mapping[str, User] = {}

    def all(self) -> Mapping[str, User]:
        """Everybody, by name. Raises UsersError for a file that others may touch, or that is none of ours."""
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise UsersError(f"users file {self.path}: {error.strerror}; expected a file of your own") from error
        try:
            found = os.fstat(descriptor)
            _refuse_shared(self.path, found)
            seen = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if seen != self._seen:
                self._users = _parsed(self.path, os.read(descriptor, FILE_SIZE_MAX + 1))
                self._seen = seen
        finally:
            os.close(descriptor)
        return self._users

    def role(self, name: str) -> Role | None:
        """The role of a user; None for somebody unknown. Raises UsersError."""
        user = self.all().get(name)
        return user.role if user is not None else None

    def check(self, name: str, password: str) -> User | None:
        """The user with that name and password, else None, after the same work whether the name is known or not.

        Takes some 50 ms and 64 MB: bound how many of them run at once. Raises UsersError.
        """
        from argon2.exceptions import InvalidHashError, VerificationError

        hasher, nobody = _hasher(), _nobodys_hash()
        user = self.all().get(name)
        try:
            hasher.verify(user.hash if user is not None else nobody, _normal(password[: PASSWORD_MOST + 1]))
        except (VerificationError, InvalidHashError):
            return None
        return user


# --- changes -----------------------------------------------------------------------------------------------------


def add(path: Path, name: str, role: Role, password: str) -> User:
    """A new user. Raises UsersError: a name that is taken or no name, a password that is too short."""
    if NAME.fullmatch(name) is None:
        raise UsersError(f"user {name!r}: 1 to 32 of a-z, 0-9, '.', '_' and '-', beginning with a letter")
    user = User(name, role, hashed(password), _now())
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _changing(path) as users:
        if name in users:
            raise UsersError(f"user {name}: is there already; see evencoat user role, evencoat user password")
        if len(users) >= USERS_MOST:
            raise UsersError(f"user {name}: there are {len(users)} users already, and {USERS_MOST} is the most")
        users[name] = user
    return user


def set_role(path: Path, name: str, role: Role) -> User:
    """Another role. Raises UsersError."""
    with _changing(path) as users:
        users[name] = replace(_known(users, name), role=role, changed=_now())
        return users[name]


def set_password(path: Path, name: str, password: str) -> User:
    """Another password; sessions that began with the old one end. Raises UsersError."""
    made = hashed(password)
    with _changing(path) as users:
        users[name] = replace(_known(users, name), hash=made, changed=_now())
        return users[name]


def remove(path: Path, name: str) -> None:
    """Take a user out. Raises UsersError."""
    with _changing(path) as users:
        del users[_known(users, name).name]


def hashed(password: str) -> str:
    """argon2id of a password that is long enough. Raises UsersError."""
    length = len(_normal(password))
    if not PASSWORD_LEAST <= length <= PASSWORD_MOST:
        raise UsersError(f"password: has {length} characters; must have {PASSWORD_LEAST} to {PASSWORD_MOST}")
    return _hasher().hash(_normal(password))


# --- the file ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _changing(path: Path) -> Iterator[dict[str, User]]:
    """Everybody, to be changed; written whole at the end. One change at a time: the folder is locked meanwhile."""
    try:
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsersError(f"users file {path}: {path.parent}: {error.strerror}") from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        users = dict(Users(path).all())
        yield users
        told = {
            user.name: {"role": str(user.role), "argon2": user.hash, "changed": user.changed} for user in users.values()
        }
        write_whole(path, (json.dumps({"evencoat_users": FORMAT, "users": told}, indent=2) + "\n").encode())
    finally:
        os.close(folder)


def _known(users: Mapping[str, User], name: str) -> User:
    if name not in users:
        raise UsersError(f"user {name!r}: is not there; known are: {', '.join(sorted(users)) or 'none'}")
    return users[name]


def _refuse_shared(path: Path, found: os.stat_result) -> None:
    if why := exposed(path, found):
        raise UsersError(f"users file {why}")


def _parsed(path: Path, content: bytes) -> dict[str, User]:
    try:
        told = json.loads(content)
        if told["evencoat_users"] != FORMAT or len(content) > FILE_SIZE_MAX:
            raise ValueError("format")
        return {name: _user(name, one) for name, one in told["users"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:  # never its text: it has hashes
        raise UsersError(f"users file {path}: is no users file of evencoat ({type(error).__name__})") from None


def _user(name: str, told: Mapping[str, Any]) -> User:
    if NAME.fullmatch(name) is None or not isinstance(told["argon2"], str):
        raise ValueError("user")
    return User(name, Role(told["role"]), told["argon2"], str(told["changed"]))


def _normal(password: str) -> str:
    """The same letters typed on another keyboard are the same password (RFC 8265: NFC)."""
    return unicodedata.normalize("NFC", password)


@cache
def _hasher() -> PasswordHasher:
    try:
        from argon2 import PasswordHasher
    except ImportError:
        raise UsersError("passwords need argon2-cffi, which is not installed: pip install 'evencoat[hmi]'") from None
    return PasswordHasher()


@cache
def _nobodys_hash() -> str:
    """What an unknown name's password is held against."""
    return _hasher().hash(secrets.token_hex(32))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
