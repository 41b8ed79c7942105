"""Who logs in over OPC UA: users of the desk's file, by name and password; and what was refused, on record.

asyncua's own role `Admin` may write to every node and add new ones, whatever their access levels say: nobody is ever
given it here, our administrators neither. What a person may ask for is the desk's to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_server import InternalServer
from asyncua.server.user_managers import UserManager

from evencoat.desk.client import Desk, DeskError
from evencoat.desk.users import Users, UsersError

VIA = "opcua"
LOOK_S = 2.0  # between two looks at whether somebody is still a user
TOLD_EVERY_S = 60.0  # what is refused again within this is counted, and told with the next
KINDS_MOST = 200  # sorts of refusal that are kept apart; beyond, they are counted together
NAME_MOST = 64
log = logging.getLogger("evencoat.opcua")


@dataclass
class Person(User):
    """Somebody who is logged in. `hash`: the password's, as it was at the login."""

    hash: str = ""


class People(UserManager):
    """Passwords are looked at in a thread, one at a time: each costs 50 ms and 64 MB. What was found waits to be asked
    for, once; what nobody looked at is nobody."""

    def __init__(self, users: Users) -> None:
        self._users = users
        self._one = asyncio.Lock()
        self._found: dict[tuple[str, str], Person | None] = {}
        self._seen_s, self._hashes = -LOOK_S, dict[str, str]()

    @contextlib.asynccontextmanager
    async def looked_at(self, name: str, password: str) -> AsyncIterator[None]:
        """While this is open, `get_user` knows whether that is somebody's name and password."""
        async with self._one:
            try:
                self._found[name, password] = await asyncio.to_thread(self._checked, name, password)
                yield
            finally:
                self._found.clear()

    def _checked(self, name: str, password: str) -> Person | None:
        try:
            user = self._users.check(name, password)
        except UsersError as error:
            log.error("login of %r: %s", name, error)
            return None
        return None if user is None else Person(UserRole.User, user.name, user.hash)

    def get_user(
        self,
        iserver: InternalServer,
        username: str | None = None,
        password: str | None = None,
        certificate: Any = None,
    ) -> User | None:
        """What asyncua asks at a login: the person, or None."""
        return self._found.get((username or "", password or ""))

    def still(self, person: User) -> bool:
        """Whether somebody is still a user, with the same password. The file is looked at every LOOK_S."""
        now_s = time.monotonic()
        if now_s - self._seen_s >= LOOK_S:
            try:
                self._hashes = {name: user.hash for name, user in self._users.all().items()}
            except UsersError as error:
                log.error("%s", error)
                self._hashes = {}
            self._seen_s = now_s
        return isinstance(person, Person) and self._hashes.get(person.name or "") == person.hash


class Refusals:
    """What was refused goes into the line's audit chain: the first of its sort at once; more of the same is counted and
    told a minute later, so that whoever knocks without end does not fill the chain, which is kept for good."""

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk, self._clock = desk, clock
        self._told: dict[tuple[str, str, str], tuple[float, int]] = {}  # when it was last told, and how many since
        self._waiting: asyncio.Queue[tuple[str, str, str]] = asyncio.Queue(2 * KINDS_MOST)

    def __call__(self, who: str, peer: str, what: str) -> None:
        """Put on record that `what` was refused. `who` is a name as somebody gave it, `peer` an address."""
        key = (clean(who) or "nobody", peer, what)
        if key not in self._told and len(self._told) >= KINDS_MOST:
            key = ("somebody", "many addresses", "refused")
        last_s, more = self._told.get(key, (-TOLD_EVERY_S, 0))
        if self._clock() - last_s >= TOLD_EVERY_S:
            self._told[key] = (self._clock(), 0)
            self._put(key, more)
        else:
            self._told[key] = (last_s, more + 1)

    def catch_up(self) -> None:
        """Tell what was counted, where its minute is over; forget what was told and did not come again."""
        for key, (last_s, more) in list(self._told.items()):
            if self._clock() - last_s >= TOLD_EVERY_S:
                del self._told[key]
                if more:
                    self._told[key] = (self._clock(), 0)
                    self._put(key, more - 1)

    async def keep(self) -> None:
        """Carry what waits to the desk, for ever. What no desk takes is said in the log."""
        while True:
            who, what, text = await self._waiting.get()
            await self._tell(who, what, text)
            self._waiting.task_done()

    async def all_told(self) -> None:
        """Until nothing waits."""
        await self._waiting.join()

    def login(self, who: str, peer: str) -> None:
        """Put on record that somebody logged in."""
        with contextlib.suppress(asyncio.QueueFull):
            self._waiting.put_nowait((clean(who), "user", f"logged in from {peer}"))

    def _put(self, key: tuple[str, str, str], more: int) -> None:
        who, peer, what = key
        again = f", and {more} times before within a minute or more" if more else ""
        try:
            self._waiting.put_nowait((who, "refused", f"{what}, from {peer}{again}"))
        except asyncio.QueueFull:
            log.error("refused: %s, %s from %s: too many wait for the desk", who, what, peer)

    async def _tell(self, who: str, what: str, text: str) -> None:
        try:
            answer = await asyncio.to_thread(self._desk.tell, who, VIA, what, text)
            reason = "" if answer.accepted else answer.reason
        except DeskError as error:
            reason = str(error)
        if reason:
            log.warning("%s: %s (%s), not in the audit chain: %s", who, text, what, reason)


def clean(name: str) -> str:
    """A name as strangers gave it, fit to be shown and kept."""
    return "".join(letter if letter.isprintable() else "?" for letter in name[:NAME_MOST])


def username(token: Any) -> str:
    """The name in an identity token; "" where it has none."""
    return str(token.UserName or "") if isinstance(token, ua.UserNameIdentityToken) else ""


def password(token: Any) -> str:
    """The password in a token that came over an encrypted channel. Raises ValueError where it is encrypted once more.

    Our endpoints ask for it plain within the channel. asyncua would take RSA PKCS#1 1.5 too, whose padding tells who
    asks often enough what was encrypted, and does not look whether the nonce in it is this session's.
    """
    if not isinstance(token, ua.UserNameIdentityToken) or token.EncryptionAlgorithm:
        raise ValueError("a password encrypted once more")
    return (token.Password or b"").decode() if isinstance(token.Password, bytes) else str(token.Password or "")


@contextlib.contextmanager
def quiet_library() -> Iterator[None]:
    """asyncua speaks of each refused request at ERROR; what we refuse is on record already."""
    library = logging.getLogger("asyncua")
    before = library.level
    library.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        library.setLevel(before)
