"""The line's alarms over OPC UA: how they stand as variables, each move of one as an event, and people seeing to them.

They are the ones that the page shows, of the engine that runs beside it: read from the file in which it keeps them. A
second engine here would not know what was acknowledged, and two that disagree are worse than one that is missing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from asyncua import Server, ua

from evencoat.alarms.catalogue import CATALOGUE, Priority, told
from evencoat.alarms.engine import SHELVED_MOST_S, Key, Standing, State
from evencoat.alarms.replay import in_words
from evencoat.alarms.store import KEPT_S, Asked, Onlooker, StoreError, Told
from evencoat.desk.actions import Refused, shown, text
from evencoat.desk.client import Answer, Desk
from evencoat.desk.users import Role, Users, UsersError
from evencoat.opcua.nodes import OF_ALARMS, Nodes, event_type
from evencoat.opcua.people import VIA

SEVERITIES = {Priority.URGENT: 900, Priority.HIGH: 700, Priority.MEDIUM: 500, Priority.LOW: 300}  # of 1 to 1000
UNKEPT_S = 3.0 * KEPT_S  # since they were last kept: then nobody keeps them
LISTED_MOST = 100
PATIENCE_S = 3.0  # for whoever keeps them to do what is asked for
KEY_MOST, TEXT_MOST = 80, 400  # characters
ALL = 2**62  # transitions that an onlooker who has just come does not hear of
ACKNOWLEDGE, SHELVE = "acknowledge", "shelve"
MINUTE_S = 60.0
WAITING, STANDING = (State.ACTIVE, State.RETURNED), (State.ACTIVE, State.ACKNOWLEDGED)
FIELDS = (
    ("AlarmId", ua.VariantType.String), ("State", ua.VariantType.String), ("Before", ua.VariantType.String),
    ("Priority", ua.VariantType.String), ("Subject", ua.VariantType.String), ("Zone", ua.VariantType.UInt16),
    ("Detail", ua.VariantType.String), ("Cause", ua.VariantType.String), ("Consequence", ua.VariantType.String),
    ("Action", ua.VariantType.String), ("Why", ua.VariantType.String), ("Who", ua.VariantType.String),
    ("FirstOut", ua.VariantType.Boolean), ("Trouble", ua.VariantType.UInt32),
)  # fmt: skip


class AlarmTeller:
    """Shows how the alarms stand, and tells each move once, from the first look on."""

    def __init__(self, onlooker: Onlooker, nodes: Nodes, generator: Any) -> None:
        self._onlooker, self._nodes, self._generator = onlooker, nodes, generator
        self._newest: int | None = None

    @staticmethod
    async def made(server: Server, nodes: Nodes, onlooker: Onlooker) -> AlarmTeller:
        """Make the type of event."""
        kind = await event_type(server, "LineAlarmEventType", FIELDS)
        generator = await server.get_event_generator(kind, ua.ObjectIds.Server)
        generator.event.SourceNode, generator.event.SourceName = nodes.root.nodeid, nodes.line.name
        return AlarmTeller(onlooker, nodes, generator)

    async def tell(self) -> int:
        """Show how they stand, and tell what moved; how many moves. Where nobody keeps them no value is good."""
        try:
            seen = await asyncio.to_thread(self._onlooker.look, ALL if self._newest is None else self._newest)
        except StoreError:
            await self._nodes.silent(OF_ALARMS)
            return 0
        if abs(time.time() - seen.t_unix_s) < UNKEPT_S:
            await self._nodes.show_beside(OF_ALARMS, as_values(seen.state.standings), seen.t_unix_s)
        else:
            await self._nodes.silent(OF_ALARMS)
        begun_anew = self._newest is not None and seen.newest < self._newest  # another file
        self._newest = 0 if begun_anew else seen.newest
        for one in seen.moved:
            await self._tell(one)
        return len(seen.moved)

    async def _tell(self, one: Told) -> None:
        moved, event = one.moved, self._generator.event
        alarm = CATALOGUE.get(moved.key.alarm)
        if alarm is None:  # kept by another version
            return
        words = told(alarm, moved.key.subject)
        event.Severity, event.Priority = SEVERITIES[alarm.priority], str(alarm.priority)
        event.AlarmId, event.State, event.Before = str(moved.key), str(moved.after), str(moved.before)
        event.Subject, event.Zone, event.Detail = moved.key.subject, ua.UInt16(zone_of(moved.key)), moved.detail
        event.Cause, event.Consequence, event.Action = words.cause, words.consequence, words.action
        event.Why, event.Who = str(moved.why), moved.who
        event.FirstOut, event.Trouble = moved.first_out, ua.UInt32(moved.group)
        at = datetime.fromtimestamp(one.t_unix_s, UTC)
        await self._generator.trigger(at, f"{in_words(moved.key, moved.detail)}: {moved.after}")


class AlarmDesk:
    """What operators do with alarms: on record at the desk first, then done by whoever keeps them. As on the page."""

    def __init__(self, desk: Desk, users: Users, onlooker: Onlooker) -> None:
        self._desk, self._users, self._onlooker = desk, users, onlooker

    def ask(self, who: str, what: str, values: Mapping[str, Any], why: str) -> Answer:
        """Acknowledge an alarm, or shelve it. `values` has alarm, and minutes where it is shelved. Blocks.

        Raises DeskError: without a control process there is no record, and nothing is done.
        """
        try:
            asked = self._judged(who, what, values, why)
            words = (
                f"alarm {asked.key}: {'seen' if what == ACKNOWLEDGE else f'put aside for {asked.minutes:g} minutes'}"
            )
            answer = self._desk.ask(who, VIA, "note", {"what": "acknowledgement", "text": words}, why)
            if not answer.accepted:
                return answer
            if refusal := self._onlooker.ask(asked, PATIENCE_S):
                raise Refused(refusal)
        except (Refused, StoreError) as error:
            self._desk.tell(who, VIA, "refused", f"{what} alarm: {error}"[:TEXT_MOST])
            return Answer(False, str(error))
        return Answer(True, words)

    def _judged(self, who: str, what: str, values: Mapping[str, Any], why: str) -> Asked:
        """Raises Refused for who may not, and for values that there cannot be."""
        try:
            role = self._users.role(who)
        except UsersError as error:
            raise Refused(str(error)) from error
        if role is None or not role.covers(Role.OPERATOR):
            raise Refused(f"{who} is {role or 'no user'}, and this takes {Role.OPERATOR}")
        key = text("alarm", values["alarm"])
        if len(key) > KEY_MOST:
            raise Refused(f"alarm = {shown(key)}: has more than {KEY_MOST} characters")
        if what == ACKNOWLEDGE:
            return Asked(what, key, who)
        minutes, most = values["minutes"], SHELVED_MOST_S / MINUTE_S
        if not 0.0 < minutes <= most:
            raise Refused(f"minutes = {shown(minutes)}: must lie above 0 and at most {most:g}")
        return Asked(what, key, who, float(minutes), text("why", why))


def as_values(standings: Mapping[Key, Standing]) -> dict[str, Any]:
    """How alarms stand, as the variables of OF_ALARMS have it."""
    known = {key: one for key, one in standings.items() if key.alarm in CATALOGUE}
    listed = [key for key, one in known.items() if one.state in (*WAITING, *STANDING)]
    listed.sort(key=lambda key: (known[key].state not in WAITING, _priority(key).rank, -known[key].began_s, key))
    highest = min((_priority(key) for key in listed), key=lambda one: one.rank, default=None)
    return {
        "alarms_standing": sum(known[key].state in STANDING for key in listed),
        "alarms_waiting": sum(known[key].state in WAITING for key in listed),
        "alarms_shelved": sum(one.state is State.SHELVED for one in known.values()),
        "alarms_highest_priority": str(highest or ""),
        "alarms_highest_severity": SEVERITIES[highest] if highest else 0,
        "alarm_ids": [str(key) for key in listed[:LISTED_MOST]],
        "alarm_texts": [
            f"{_priority(key)}, {known[key].state}: {in_words(key, known[key].detail)}" for key in listed[:LISTED_MOST]
        ],
    }


def zone_of(key: Key) -> int:
    """The zone that an alarm is about, counted from 1; 0 where it is about none."""
    kind, _, number = key.subject.partition(" ")
    return int(number) if kind in ("zone", "bolt") and number.isdecimal() else 0


def _priority(key: Key) -> Priority:
    return CATALOGUE[key.alarm].priority
