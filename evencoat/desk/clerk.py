"""The clerk decides: who may, who is in command, what is on record. It knows nothing of sockets and is of one thread.

Every request that changes something, and every refusal, is audited. Both are bounded, so that nobody can fill the disk
by asking: each user may do so much in a minute, and of refusals beyond so many only the number is kept.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest
from evencoat.desk.actions import ACTIONS, Action, Names, Refused, Release, Remark, Standing, Take, Wish, shown, text
from evencoat.desk.quota import Clock, Quota
from evencoat.desk.tray import Errand, Tray
from evencoat.desk.users import NAME, Role, Users, UsersError
from evencoat.journal import CycleJournal, What
from evencoat.journal.audit import ITSELF

VIAS = ("page", "opcua", "shell", "automation")
TOLD = {"refused": What.REFUSED, "user": What.USER}
KEYS = {"id", "who", "via", "action", "values", "why"}
COMMAND_IDLE_S = 30.0 * 60.0
TAKEN_WITHIN_S = 3.0  # wall time that a request waits for a cycle to take it in
ASKED_MOST, REFUSED_MOST, TOLD_MOST = 120, 30, 60  # records a minute: of each user, of refusals, of what rooms tell


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks, and through which room."""

    who: str
    via: str

    def __str__(self) -> str:
        return f"{self.who} via {self.via}"


@dataclass(frozen=True, slots=True)
class Request:
    """What came in, with the types that it must have."""

    person: Person
    action: str
    values: Mapping[str, Any]
    why: str


class Token:
    """Who is in command: one person through one room, until it is given back, taken, or not used for so long."""

    def __init__(self, idle_s: float, clock: Clock) -> None:
        self.idle_s, self._clock = idle_s, clock
        self.holder: Person | None = None
        self._used_s = 0.0

    def give(self, person: Person | None) -> None:
        """To somebody, or to nobody."""
        self.holder, self._used_s = person, self._clock()

    def used(self, person: Person) -> None:
        """Its holder has asked for something."""
        if person == self.holder:
            self._used_s = self._clock()

    @property
    def left_s(self) -> float:
        """Seconds until it is released for want of use."""
        return self._used_s + self.idle_s - self._clock()


class Clerk:
    """The desk of one control process.

    standing: how the line stands now, None before its first cycle. Called on the desk's thread alone, as all here is.
    """

    def __init__(
        self,
        journal: CycleJournal,
        tray: Tray,
        users: Users,
        standing: Callable[[], Standing | None],
        idle_s: float = COMMAND_IDLE_S,
        taken_within_s: float = TAKEN_WITHIN_S,
        clock: Clock = time.monotonic,
    ) -> None:
        self._journal, self._tray, self._users, self._standing = journal, tray, users, standing
        self._taken_within_s, self._clock = taken_within_s, clock
        self.token = Token(idle_s, clock)
        self._one_at_a_time = asyncio.Lock()
        self._asked: dict[str, Quota] = {}  # by users of the file alone, so that it stays as small as that
        self._refusals, self._left_out = Quota(REFUSED_MOST, clock), 0
        self._tellings = Quota(TOLD_MOST, clock)

    async def answer(self, line: bytes) -> dict[str, Any]:
        """The answer to one line of the channel; never raises for what is in it."""
        number: Any = None
        person, action = Person("somebody", "local channel"), ""
        try:
            told = _object(line)
            number = told.get("id") if isinstance(told.get("id"), int | str) else None
            if told.get("action") == "state":
                return {"id": number, "accepted": True, "reason": "", "state": self.state()}
            request = _request(told)
            person, action = request.person, request.action
            reason = self._tell(request) if action == "tell" else await self._act(request)
        except Refused as refusal:
            words = str(refusal)
            self.refuse(person, words if words.startswith(action) else f"{action}: {words}")
            return {"id": number, "accepted": False, "reason": str(refusal)}
        return {"id": number, "accepted": True, "reason": reason}

    def state(self) -> dict[str, Any]:
        """What everybody may know."""
        self.tidy()
        standing, holder = self._standing(), self.token.holder
        held = {"who": holder.who, "via": holder.via, "release_s": round(self.token.left_s, 1)} if holder else None
        told: dict[str, Any] = {"holder": held, "idle_s": self.token.idle_s, "users": self._nobody_may()}
        told |= {"mode_by": self._tray.mode_by, "acted": self._tray.acted}
        if standing is None:
            return told | {"mode_requested": None, "mode_actual": None, "outcome": None, "sends": None}
        trace = standing.trace
        modes = {"mode_requested": trace.mode_requested, "mode_actual": trace.mode_actual, "outcome": trace.outcome}
        return told | {name: str(mode) for name, mode in modes.items()} | {"sends": standing.sends}

    def tidy(self) -> None:
        """Take the token from whoever does not use it or may not any more; tell of refusals that were left out."""
        holder = self.token.holder
        if holder is not None and self.token.left_s <= 0.0:
            self._give(None, f"nothing was asked for {self.token.idle_s / 60.0:g} minutes")
        elif holder is not None and not (self._role(holder) or Role.VIEWER).covers(Role.OPERATOR):
            self._give(None, f"{holder.who} is no operator any more")
        if self._left_out and self._refusals.over():
            self.close()

    def close(self) -> None:
        """Say how many refusals were left out, where some were."""
        if self._left_out:
            self._journal.audit(ITSELF, What.REFUSED, "", f"{self._left_out} more refusals", "too many to keep each")
            self._left_out = 0

    def refuse(self, person: Person, words: str) -> None:
        """Put a refusal on record; beyond so many in a minute it is only counted."""
        self.tidy()
        if self._refusals.allows():
            self._journal.audit(str(person), What.REFUSED, "", words, "")
        else:
            self._left_out += 1

    # --- one request ---

    async def _act(self, request: Request) -> str:
        """Do what is asked for; what the line does now. Raises Refused."""
        action = ACTIONS.get(request.action)
        if action is None:
            raise Refused(f"action {shown(request.action)}: there is none; there are {', '.join(ACTIONS)}")
        self.tidy()
        self._may(request, action)
        self.token.used(request.person)
        if not self._asked.setdefault(request.person.who, Quota(ASKED_MOST, self._clock)).allows():
            raise Refused(f"too many requests: {ASKED_MOST} in a minute are the most")
        if not action.moves:
            return self._at_the_desk(request, action.wish(request.values, None))
        async with self._one_at_a_time:  # so that what is asked next meets what this one did
            wish = action.wish(request.values, self._standing())
            assert isinstance(wish, OperatorRequest)
            return await self._handed_over(Errand(wish, str(request.person), request.why))

    def _may(self, request: Request, action: Action) -> None:
        """Raises Refused for whoever may not, and where somebody else is in command. To hold, nobody has to be."""
        person = request.person
        role, holds = self._role(person), request.action == "mode" and request.values.get("mode") == Mode.HOLD
        if role is None:
            raise Refused(self._nobody_may() or f"{person.who} is no user of this line")
        if not role.covers(action.least):
            raise Refused(f"{person.who} is {role}, and this takes {action.least}")
        if action.token and not holds and self.token.holder != person:
            raise Refused(f"{self._in_command()}; to ask for this, take command first")

    def _role(self, person: Person) -> Role | None:
        try:
            return self._users.role(person.who)
        except UsersError:
            return None

    def _nobody_may(self) -> str:
        """Why nobody at all can command; "" where somebody can."""
        try:
            return "" if self._users.all() else f"there are no users yet: evencoat user add ({self._users.path})"
        except UsersError as error:
            return str(error)

    def _in_command(self) -> str:
        return f"{self.token.holder} is in command" if self.token.holder else "nobody is in command"

    async def _handed_over(self, errand: Errand) -> str:
        """Give it to the paced thread, and wait for the cycle that takes it in. Raises Refused where none does."""
        self._tray.put(errand)
        done = asyncio.wrap_future(errand.done)
        await asyncio.wait([done], timeout=self._taken_within_s)
        if not done.done():
            if errand.done.cancel():
                raise Refused(f"no cycle took it in within {self._taken_within_s:g} s: is the line heard?")
            return "taken in, but no cycle has come since"
        if done.exception() is not None:
            raise Refused(f"it could not be recorded: {done.exception()}")
        return _now(done.result())

    def _at_the_desk(self, request: Request, wish: Wish) -> str:
        match wish:
            case Take(force):
                return self._take(request, force)
            case Release(force):
                return self._release(request, force)
            case Remark(what, words):
                self._journal.audit(str(request.person), What(what), "", words, request.why)
            case Names(names):
                self._journal.name(str(request.person), names, request.why)
                return "on record, and so from the next cycle on"
        return "on record"

    def _take(self, request: Request, force: bool) -> str:
        holder = self.token.holder
        if holder is not None and holder != request.person:
            self._may_force(request.person, force)
        if holder != request.person:
            self._give(request.person, request.why, str(request.person))
        return f"in command, as long as something is asked for every {self.token.idle_s / 60.0:g} minutes"

    def _release(self, request: Request, force: bool) -> str:
        if self.token.holder is None:
            return "nobody is in command"
        if self.token.holder != request.person:
            self._may_force(request.person, force)
        self._give(None, request.why, str(request.person))
        return "nobody is in command"

    def _may_force(self, person: Person, force: bool) -> None:
        if not (force and self._role(person) is Role.ADMIN):
            raise Refused(f"{self._in_command()}; an admin may take it with force")

    def _give(self, person: Person | None, why: str, who: str = ITSELF) -> None:
        self._journal.audit(who, What.COMMAND, str(self.token.holder or ""), str(person or ""), why)
        self.token.give(person)

    def _tell(self, request: Request) -> str:
        """What a room did by itself, in its own words."""
        what, words = TOLD.get(str(request.values.get("what"))), text("tell.text", request.values.get("text"))
        if what is None:
            raise Refused(f"tell.what = {shown(request.values.get('what'))}: must be one of {', '.join(TOLD)}")
        if what is What.REFUSED:
            self.refuse(request.person, words)
        elif self._tellings.allows():
            self._journal.audit(str(request.person), what, "", words, request.why)
        else:
            raise Refused(f"too much is told: {TOLD_MOST} records in a minute are the most")
        return "on record"


def _now(trace: Trace) -> str:
    """What the line does, after the cycle that took a request in."""
    return f"{trace.mode_actual}: {trace.outcome}"


def _object(line: bytes) -> dict[str, Any]:
    """A line read. Raises Refused."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        raise Refused("the line is no JSON") from None
    if not isinstance(told, dict):
        raise Refused("the line is no JSON object")
    return told


def _request(told: Mapping[str, Any]) -> Request:
    """A request with the types that it must have. Raises Refused."""
    for name in told:
        if name not in KEYS:
            raise Refused(f"a request has {', '.join(sorted(KEYS))}, not {shown(name)}")
    who, via, action = told.get("who"), told.get("via"), told.get("action")
    values = told.get("values", {})
    if via not in VIAS:
        raise Refused(f"via = {shown(via)}: must be one of {', '.join(VIAS)}")
    if not isinstance(action, str):
        raise Refused(f"action = {shown(action)}: must be a text")
    if not isinstance(values, dict):
        raise Refused(f"values = {shown(values)}: must be an object")
    if action == "tell":  # of somebody who may be unknown
        who = text("who", who)
    elif not isinstance(who, str) or NAME.fullmatch(who) is None:
        raise Refused(f"who = {shown(who)}: is no user's name")
    return Request(Person(who, str(via)), action, values, text("why", told.get("why", ""), 0))
