"""What is asked of the line over OPC UA: writes and calls, each put to the desk in the name of whoever is logged in.

The desk decides and keeps it on record, accepted or refused. A call answers with its words; a write has but a status:
BadUserAccessDenied where the person may not, or is not in command, BadOutOfRange where the value is none that there can
be, BadInvalidState where the line is not as it has to be, BadNoCommunication where no control process listens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from asyncua import Node, ua

from controller.line.description import LineDescription
from evencoat.desk.actions import ACTIONS, MODES
from evencoat.desk.client import Answer, Desk, DeskError
from evencoat.desk.users import Users, UsersError
from evencoat.journal import LOT_NAMES
from evencoat.opcua.alarms import ACKNOWLEDGE, SHELVE, AlarmDesk
from evencoat.opcua.nodes import LINE, NS, id_of, ranges
from evencoat.opcua.people import VIA

WRITTEN = "written over OPC UA"
NUMBERS = frozenset(
    {
        ua.VariantType.Float, ua.VariantType.Double, ua.VariantType.SByte, ua.VariantType.Byte, ua.VariantType.Int16,
        ua.VariantType.UInt16, ua.VariantType.Int32, ua.VariantType.UInt32, ua.VariantType.Int64, ua.VariantType.UInt64,
    }
)  # fmt: skip


class Argument(NamedTuple):
    """Of a method. `numbers`: any kind of number will do, and many of them where it is an array."""

    name: str
    kind: ua.VariantType
    array: bool
    words: str


TEXT, FLAG, DOUBLE, INT = ua.VariantType.String, ua.VariantType.Boolean, ua.VariantType.Double, ua.VariantType.Int32
WHY = Argument("why", TEXT, False, "the reason, for the audit chain")
ZONES = Argument("zones", INT, True, "numbers of the zones, counted from 1")
ANSWER = (
    Argument("accepted", FLAG, False, "whether the desk took it"),
    Argument("reason", TEXT, False, "why not, or what the line does now"),
)


@dataclass(frozen=True, slots=True)
class Method:
    """Something to be called: what the desk calls it, and how its arguments become the desk's values.

    What is done with alarms is asked of whoever keeps them, by way of the desk: see evencoat.opcua.alarms.
    """

    name: str
    action: str
    words: str
    arguments: tuple[Argument, ...]
    values: Callable[..., Mapping[str, Any]]


METHODS = (
    Method("take_command", "take_command", "be in command: nobody else's page, client or shell is then", (), dict),
    Method("release_command", "release_command", "be no longer in command", (), dict),
    Method(
        "set_mode", "mode", "ask for manual, hold or auto",
        (Argument("mode", TEXT, False, "manual, hold or auto"),), lambda mode: {"mode": mode},
    ),
    Method(
        "set_lips", "gap_um", "ask lips of some zones for a gap: in manual, or zones that are held by hand",
        (
            ZONES,
            Argument("gap_um", DOUBLE, True, "a gap for each of them, um"),
        ),
        lambda zones, gap_um: {"targets": _each(zones, gap_um)},
    ),
    Method(
        "set_pump_trim", "pump_trim_pct", "ask the pump for a trim, in manual",
        (Argument("trim_pct", DOUBLE, False, "of the pump's ratio to web speed, percent"),),
        lambda trim_pct: {"value": trim_pct},
    ),
    Method(
        "set_target", "target_gsm", "ask for another mean areal density, by a ramp of web; takes an engineer",
        (Argument("target_gsm", DOUBLE, False, "the mean of the target profile, g/m2"),),
        lambda target_gsm: {"value": target_gsm},
    ),
    Method(
        "set_lot", "lot", "say what the plant calls what runs from now on; moves nothing, and takes no command",
        (
            Argument("production_order", TEXT, False, "the order; empty where it is not known"),
            Argument("material_lot", TEXT, False, "the slurry's lot"),
            Argument("roll_name", TEXT, False, "this roll"),
        ),
        lambda *names: dict(zip(LOT_NAMES, (name or "" for name in names), strict=True)),
    ),
    Method(
        "hold_zones", "zone_manual", "hold zones by hand while the loop is closed: their lips are yours",
        (ZONES,), lambda zones: {"zones": zones, "manual": True},
    ),
    Method(
        "give_back_zones", "zone_manual", "let the law have zones again, without a bump",
        (ZONES,), lambda zones: {"zones": zones, "manual": False},
    ),
    Method("rearm", "rearm", "let nodes that latched follow commands again", (), dict),
    Method(
        "note", "note", "put a remark into the audit chain",
        (Argument("text", TEXT, False, "a sentence"),), lambda text: {"what": "remark", "text": text},
    ),
    Method(
        "acknowledge_alarm", ACKNOWLEDGE, "say that an alarm has been seen",
        (Argument("alarm", TEXT, False, "its id, of alarm_ids or of its event"),), lambda alarm: {"alarm": alarm},
    ),
    Method(
        "shelve_alarm", SHELVE, "put an alarm aside for a while; takes a reason",
        (
            Argument("alarm", TEXT, False, "its id"),
            Argument("minutes", DOUBLE, False, "for how long: eight hours at most"),
        ),
        lambda alarm, minutes: {"alarm": alarm, "minutes": minutes},
    ),
)  # fmt: skip


class Requests:
    """The road from a session to the desk."""

    def __init__(self, desk: Desk, users: Users, alarms: AlarmDesk, line: LineDescription) -> None:
        self._desk, self._users, self._alarms, self._zones = desk, users, alarms, line.zones
        self._within = ranges(line)
        self._methods = {id_of(f"method.{method.name}"): method for method in METHODS}
        self._writes: Mapping[ua.NodeId, tuple[str, Callable[[Any], Mapping[str, Any]]]] = {
            id_of("mode_requested"): ("mode", lambda given: {"mode": given}),
            id_of("pump_trim_pct"): ("pump_trim_pct", lambda given: {"value": given}),
            id_of("target_mean_gsm"): ("target_gsm", lambda given: {"value": given}),
            id_of("gap_target_um"): ("gap_um", self._all_lips),
            **{id_of(name): ("lot", partial(_named, name)) for name in LOT_NAMES},
        }

    async def add_methods(self, root: Node) -> None:
        """Their nodes, below the line's."""
        for node_id, method in self._methods.items():
            inputs = [_as_argument(one) for one in (*method.arguments, WHY)]
            name = ua.QualifiedName(method.name, NS)
            node = await root.add_method(node_id, name, None, inputs, [_as_argument(one) for one in ANSWER])
            words = ua.DataValue(ua.Variant(ua.LocalizedText(method.words)))
            await node.write_attribute(ua.AttributeIds.Description, words)

    def writable(self, node: ua.NodeId) -> bool:
        """Whether a node may be written to at all."""
        return node in self._writes

    def callable(self, owner: ua.NodeId, node: ua.NodeId) -> bool:
        """Whether that is a method of the line's."""
        return owner == id_of(LINE) and node in self._methods

    async def write(self, who: str, node: ua.NodeId, given: ua.Variant) -> ua.StatusCode:
        """Ask for what was written; see above for what the status means."""
        action, values = self._writes[node]
        if not _of_kind(given, TEXT if action in ("mode", "lot") else DOUBLE, action == "gap_um"):
            return ua.StatusCode(ua.StatusCodes.BadTypeMismatch)
        told = given.Value
        if action == "gap_um" and len(told) != self._zones:
            return ua.StatusCode(ua.StatusCodes.BadOutOfRange)
        try:
            answer = await self._asked(who, action, values(told), WRITTEN)
        except DeskError:
            return ua.StatusCode(ua.StatusCodes.BadNoCommunication)
        return ua.StatusCode(ua.StatusCodes.Good if answer.accepted else await self._why_not(who, action, node, told))

    async def call(self, who: str, node: ua.NodeId, given: Sequence[ua.Variant]) -> ua.CallMethodResult:
        """Ask for what was called; the answer is the desk's."""
        method = self._methods[node]
        wanted = (*method.arguments, WHY)
        if len(given) != len(wanted):
            few = len(given) < len(wanted)
            code = ua.StatusCodes.BadArgumentsMissing if few else ua.StatusCodes.BadTooManyArguments
            return ua.CallMethodResult(StatusCode=ua.StatusCode(code))
        right = [_of_kind(one, argument.kind, argument.array) for one, argument in zip(given, wanted, strict=True)]
        if not all(right):
            codes = [ua.StatusCode(GOOD if one else ua.StatusCodes.BadTypeMismatch) for one in right]
            return ua.CallMethodResult(ua.StatusCode(ua.StatusCodes.BadInvalidArgument), codes)
        *arguments, why = (one.Value for one in given)
        try:
            answer = await self._asked(who, method.action, method.values(*arguments), why or "")
        except (DeskError, ValueError) as error:
            answer = Answer(False, str(error))
        told = [ua.Variant(answer.accepted, FLAG), ua.Variant(answer.reason, TEXT)]
        return ua.CallMethodResult(ua.StatusCode(GOOD), [ua.StatusCode(GOOD) for _ in given], [], told)

    async def _asked(self, who: str, action: str, values: Mapping[str, Any], why: str) -> Answer:
        if action in (ACKNOWLEDGE, SHELVE):
            return await asyncio.to_thread(self._alarms.ask, who, action, values, why)
        return await asyncio.to_thread(self._desk.ask, who, VIA, action, values, why)

    async def _why_not(self, who: str, action: str, node: ua.NodeId, told: Any) -> int:
        """The status for what the desk refused."""
        try:
            role = self._users.role(who)
            holder = (await asyncio.to_thread(self._desk.state))["holder"]
        except (UsersError, DeskError):
            return int(ua.StatusCodes.BadNoCommunication)
        in_command = holder is not None and (holder["who"], holder["via"]) == (who, VIA)
        if role is None or not role.covers(ACTIONS[action].least) or (ACTIONS[action].token and not in_command):
            return int(ua.StatusCodes.BadUserAccessDenied)
        return int(ua.StatusCodes.BadInvalidState if self._can_be(node, told) else ua.StatusCodes.BadOutOfRange)

    def _can_be(self, node: ua.NodeId, told: Any) -> bool:
        """Whether the value lies within its bounds. Of a name nothing else can be wrong."""
        if isinstance(told, str):
            return node == id_of("mode_requested") and told in MODES
        low, high = self._within[str(node.Identifier)]
        return all(low <= one <= high for one in (told if isinstance(told, list) else [told]))

    def _all_lips(self, given: list[float]) -> Mapping[str, Any]:
        return {"targets": _each(range(1, self._zones + 1), given)}


GOOD = ua.StatusCodes.Good


def _each(zones: Sequence[int], gap_um: Sequence[float]) -> dict[str, float]:
    """Targets by zone. Raises ValueError where there are not as many of one as of the other."""
    if len(zones) != len(gap_um) or len(set(zones)) != len(zones):
        raise ValueError(
            f"set_lips: {len(zones)} zones and {len(gap_um)} gaps; there must be one for each, and none twice"
        )
    return {str(zone): gap for zone, gap in zip(zones, gap_um, strict=True)}


def _named(name: str, given: str) -> Mapping[str, str]:
    return {name: given}


def _of_kind(given: ua.Variant, kind: ua.VariantType, array: bool) -> bool:
    """Whether a value is of a kind; where a number is wanted any kind of number is."""
    if array != isinstance(given.Value, list):
        return False
    return given.VariantType in NUMBERS if kind in NUMBERS else given.VariantType == kind


def _as_argument(told: Argument) -> ua.Argument:
    rank = ua.Int32(1 if told.array else -1)
    dimensions = [ua.UInt32(0)] if told.array else []
    return ua.Argument(told.name, ua.NodeId(told.kind.value), rank, dimensions, ua.LocalizedText(told.words))
