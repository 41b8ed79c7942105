"""The nodes of a line: what there is to read, with units and ranges, and how a picture becomes values and statuses.

A node's id is the name that journal, page and historian know the value by (`ns=2;s=profile_gsm`). What a picture does
not have is never filled with what an older one had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from asyncua import Node, Server, ua

from controller.core.target import bounds_gsm
from controller.line.description import LineDescription
from controller.line.profile import LineState
from evencoat.journal import COLUMNS

NAMESPACE, NS = "urn:evencoat:line", 2  # 0 is the standard's, 1 the server's own
UNECE = "http://www.opcfoundation.org/UA/units/un/cefact"
LINE = "line"  # the id of the line's object

FLOAT, DOUBLE, TEXT, FLAG = ua.VariantType.Float, ua.VariantType.Double, ua.VariantType.String, ua.VariantType.Boolean
WHOLE = ua.VariantType.Int64
GOOD, NOTHING_YET = ua.StatusCodes.Good, ua.StatusCodes.BadWaitingForInitialData
SOME_ZONES, NO_ZONE = ua.StatusCodes.UncertainSubNormal, ua.StatusCodes.UncertainLastUsableValue
SILENT = ua.StatusCodes.BadNoCommunication


class Unit(NamedTuple):
    """Common code of UNECE recommendation 20, sign, and words."""

    code: str
    sign: str
    words: str


GSM = Unit("GM", "g/m²", "gram per square metre")
UM = Unit("4H", "µm", "micrometre")
PERCENT = Unit("P1", "%", "percent")
METRE = Unit("MTR", "m", "metre")
SPEED = Unit("MTS", "m/s", "metre per second")
RPM = Unit("RPM", "r/min", "revolutions per minute")
KPA = Unit("KPA", "kPa", "kilopascal")
MICROSECOND = Unit("B98", "µs", "microsecond")


class Told(NamedTuple):
    """One variable. `name`: of picture and journal, or of what is made of them here."""

    folder: str
    name: str
    kind: ua.VariantType
    words: str
    unit: Unit | None = None
    array: bool = False
    writable: bool = False


TOLD = (
    Told("state", "packml_state", TEXT, "state of the line after PackML"),
    Told("state", "packml_mode", TEXT, "unit mode after PackML: Production, Manual, Advisory"),
    Told("state", "line_state", TEXT, "what the line itself says that it does"),
    Told("state", "mode_requested", TEXT, "mode asked for; may be written: manual, hold, auto", writable=True),
    Told("state", "mode_actual", TEXT, "mode that is in force"),
    Told("state", "outcome", TEXT, "why the mode in force is what it is"),
    Told("state", "cycle", WHOLE, "number of the control cycle"),
    Told("state", "lateness_us", DOUBLE, "how late the cycle began", MICROSECOND),
    Told("web", "web_speed_mps", DOUBLE, "web speed", SPEED),
    Told("web", "web_m", DOUBLE, "web that has passed", METRE),
    Told("web", "roll", WHOLE, "number of the roll"),
    Told("web", "batch", WHOLE, "number of the slurry's batch"),
    Told("profile", "profile_gsm", FLOAT, "areal density of each zone at the gauge that closes the loop", GSM, True),
    Told("profile", "profile_valid", FLAG, "whether that zone was measured", array=True),
    Told("profile", "target_gsm", FLOAT, "target of each zone, as it is now", GSM, True),
    Told("profile", "target_mean_gsm", DOUBLE, "its mean; may be written by an engineer", GSM, False, True),
    Told("profile", "tolerance_pct", DOUBLE, "half the width of the tolerance band, percent of target", PERCENT),
    Told("lips", "gap_um", FLOAT, "lip gap of each zone, fed back", UM, True),
    Told("lips", "gap_target_um", FLOAT, "lip gap asked of each zone; may be written by hand", UM, True, True),
    Told("lips", "zone_manual", FLAG, "zones that a person holds by hand while the loop is closed", array=True),
    Told("lips", "zone_not_following", FLAG, "bolts that do not go where they are sent", array=True),
    Told("pump", "pump_trim_pct", DOUBLE, "trim of pump to web speed; may be written in manual", PERCENT, False, True),
    Told("pump", "pump_speed_rpm", DOUBLE, "speed of the pump", RPM),
    Told("pump", "pump_pressure_kpa", DOUBLE, "pressure before the die", KPA),
    Told("loop", "rung", TEXT, "which law acts: a rung of the fallback ladder"),
    Told("loop", "rung_cause", TEXT, "why it is not the rung above"),
    Told("loop", "limits", TEXT, "limits that bind", array=True),
    Told("loop", "link_faults", TEXT, "what is wrong with the links", array=True),
    Told("loop", "sigma_md_pct", DOUBLE, "spread of the mean along the web, of late", PERCENT),
    Told("loop", "harris_md", DOUBLE, "Harris index of the mean along the web"),
    Told("loop", "sent", FLAG, "whether commands go out"),
)  # fmt: skip
# What does not come with the picture: how the alarms stand, and what the plant calls what runs.
OF_ALARMS = (
    Told("alarms", "alarms_standing", WHOLE, "alarms that are so, acknowledged or not"),
    Told("alarms", "alarms_waiting", WHOLE, "alarms that nobody has acknowledged"),
    Told("alarms", "alarms_shelved", WHOLE, "alarms that somebody has put aside"),
    Told("alarms", "alarms_highest_priority", TEXT, "of what stands or waits: urgent, high, medium, low, or nothing"),
    Told("alarms", "alarms_highest_severity", WHOLE, "the same as a severity, 1 to 1000; 0 where there is none"),
    Told("alarms", "alarm_ids", TEXT, "ids of what stands or waits: waiting ones first, then by priority", array=True),
    Told("alarms", "alarm_texts", TEXT, "the same in words, with state and priority", array=True),
)
OF_LOT = (
    Told("lot", "production_order", TEXT, "order that runs; may be written by an operator", writable=True),
    Told("lot", "material_lot", TEXT, "lot of the slurry; may be written by an operator", writable=True),
    Told("lot", "roll_name", TEXT, "what the plant calls this roll; may be written by an operator", writable=True),
)
BESIDE = (*OF_ALARMS, *OF_LOT)
FOLDERS = {
    "state": "State", "web": "Web", "profile": "Profile", "lips": "Lips", "pump": "Pump", "loop": "Control loop",
    "alarms": "Alarms", "lot": "Lot",
}  # fmt: skip
KEPT_OTHERWISE = ("line_state", "limits", "link_faults")  # the journal has them otherwise than they are shown
KEPT_AS = {"target_mean_gsm": "target_gsm"}  # the journal has the mean of the target alone
HISTORY = (
    *(told for told in TOLD if KEPT_AS.get(told.name, told.name) in COLUMNS and told.name not in KEPT_OTHERWISE),
    *OF_LOT,
)


def id_of(name: str) -> ua.NodeId:
    """The node of a value."""
    return ua.NodeId(name, NS)


def ranges(line: LineDescription) -> Mapping[str, tuple[float, float]]:
    """Between what a value lies on this line, where the line file says so."""
    density = 2.0 * float(line.target_profile_gsm.max())
    gap = (line.lips.gap_min_um, line.lips.gap_max_um)
    trim = line.pump.trim_max_pct
    return {
        "profile_gsm": (0.0, density),
        "target_gsm": (0.0, density),
        "target_mean_gsm": bounds_gsm(line),
        "gap_um": gap,
        "gap_target_um": gap,
        "pump_trim_pct": (-trim, trim),
        "web_speed_mps": (0.0, line.web_speed_max_mps),
    }


@dataclass(slots=True)
class Nodes:
    """The nodes of one line in a server's address space."""

    server: Server
    line: LineDescription
    root: Node

    @staticmethod
    async def made(server: Server, line: LineDescription) -> Nodes:
        """Make them; all silent until a picture comes."""
        if await server.register_namespace(NAMESPACE) != NS:
            raise ValueError(f"namespace {NAMESPACE}: is not number {NS}")
        root = await server.nodes.objects.add_object(id_of(LINE), ua.QualifiedName(line.name, NS))
        await _say(root, line.name, "a slot-die coated web and the loop that keeps it even")
        folders = {}
        for name, words in FOLDERS.items():
            folders[name] = await root.add_folder(id_of(f"folder.{name}"), ua.QualifiedName(words, NS))
        within = ranges(line)
        for told in (*TOLD, *BESIDE):
            await _variable(folders[told.folder], told, within.get(told.name), line.zones)
        return Nodes(server, line, root)

    async def show(
        self, head: Mapping[str, Any], arrays: Mapping[str, np.ndarray[Any, Any]], packml: tuple[str, str]
    ) -> None:
        """A picture's values, with the time that it was taken."""
        at = datetime.fromtimestamp(head["t_unix_s"], UTC)
        values = {
            **head,
            **arrays,
            **self._target(head["target_gsm"]),
            "packml_state": str(packml[0]),
            "packml_mode": str(packml[1]),
        }
        values["line_state"] = LineState(head["line_state"]).name.lower()
        for told in TOLD:
            given = values[told.name]
            code = profile_status(arrays["profile_valid"]) if told.name == "profile_gsm" else GOOD
            if given is None:
                code = NOTHING_YET
            await self._put(told.name, ua.DataValue(as_variant(told, given), ua.StatusCode(code), at))

    async def show_beside(self, told_of: Sequence[Told], values: Mapping[str, Any], at_unix_s: float) -> None:
        """Values that come from elsewhere than the picture, with the time at which they were so."""
        at = datetime.fromtimestamp(at_unix_s, UTC)
        for told in told_of:
            await self._put(told.name, ua.DataValue(as_variant(told, values[told.name]), ua.StatusCode(GOOD), at))

    async def silent(self, told_of: Sequence[Told] = TOLD, code: int = SILENT) -> None:
        """Nobody tells what the line does: no value is good, and none is kept."""
        now = datetime.now(UTC)
        for told in told_of:
            await self._put(told.name, ua.DataValue(ua.Variant(None), ua.StatusCode(code), now))

    def _target(self, mean_gsm: float | None) -> dict[str, Any]:
        profile = None if mean_gsm is None else target_of(self.line.target_profile_gsm, mean_gsm)
        tolerance_pct = self.line.target.tolerance_pct
        return {"target_gsm": profile, "target_mean_gsm": mean_gsm, "tolerance_pct": tolerance_pct}

    async def _put(self, name: str, value: ua.DataValue) -> None:
        value.ServerTimestamp = datetime.now(UTC)
        await self.server.write_attribute_value(id_of(name), value)


def target_of(recipe_gsm: np.ndarray[Any, Any], mean_gsm: float) -> np.ndarray[Any, Any]:
    """The target of each zone, (zones,), g/m2, where people have moved its mean: the recipe's shape stays."""
    return np.asarray(recipe_gsm * (mean_gsm / recipe_gsm.mean()))


def as_variant(told: Told, given: Any) -> ua.Variant:
    """A value as OPC UA has it; nothing where there is none."""
    if given is None:
        return ua.Variant(None)
    if not told.array:
        return ua.Variant(given, told.kind)
    values = np.asarray(given)
    if told.kind == FLAG:
        values = values.astype(np.bool_)  # a picture has flags as numbers
    return ua.Variant(values.tolist(), told.kind, is_array=True)


def profile_status(valid: np.ndarray[Any, Any]) -> int:
    """Good where every zone was measured."""
    if np.all(valid):
        return GOOD
    return SOME_ZONES if np.any(valid) else NO_ZONE


async def _variable(folder: Node, told: Told, within: tuple[float, float] | None, zones: int) -> None:
    """One variable, with its words, unit and range."""
    empty = [] if told.array else ua.get_default_value(told.kind)
    kind = ua.NodeId(told.kind.value)
    name = ua.QualifiedName(told.name, NS)
    node = await folder.add_variable(id_of(told.name), name, empty, told.kind, kind)
    await _say(node, told.name, told.words)
    if told.array:
        await node.write_attribute(ua.AttributeIds.ValueRank, _whole(1))
        if told.folder in ("profile", "lips"):
            await node.write_array_dimensions([zones])
    if told.writable:
        for level in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            await node.set_attr_bit(level, ua.AccessLevel.CurrentWrite)
    if told in HISTORY:
        for level in (ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel):
            await node.set_attr_bit(level, ua.AccessLevel.HistoryRead)
    if told.unit is not None:
        await _analog(node, told, within)


async def event_type(server: Server, name: str, fields: Sequence[tuple[str, ua.VariantType]]) -> Node:
    """A type of event with these fields, under ids that stay: clients filter by them."""
    base = server.get_node(ua.NodeId(ua.ObjectIds.BaseEventType))
    made = await base.add_object_type(id_of(name), ua.QualifiedName(name, NS))
    for field, kind in fields:
        empty = ua.get_default_value(kind)
        await made.add_property(id_of(f"{name}.{field}"), ua.QualifiedName(field, NS), empty, varianttype=kind)
    return made


async def _analog(node: Node, told: Told, within: tuple[float, float] | None) -> None:
    """Unit, and range where there is one, as part 8 of the standard has them."""
    assert told.unit is not None
    kind = ua.ObjectIds.AnalogItemType if within else ua.ObjectIds.BaseAnalogType
    await node.delete_reference(
        ua.NodeId(ua.ObjectIds.BaseDataVariableType), ua.NodeId(ua.ObjectIds.HasTypeDefinition), True, False
    )
    await node.add_reference(ua.NodeId(kind), ua.NodeId(ua.ObjectIds.HasTypeDefinition), True, False)
    code = int.from_bytes(told.unit.code.encode(), "big")
    unit = ua.EUInformation(UNECE, code, ua.LocalizedText(told.unit.sign), ua.LocalizedText(told.unit.words))
    await node.add_property(id_of(f"{told.name}.EngineeringUnits"), "0:EngineeringUnits", unit)
    if within is not None:
        await node.add_property(id_of(f"{told.name}.EURange"), "0:EURange", ua.Range(*within))


async def _say(node: Node, name: str, words: str) -> None:
    for attribute, text in ((ua.AttributeIds.DisplayName, name), (ua.AttributeIds.Description, words)):
        await node.write_attribute(attribute, ua.DataValue(ua.Variant(ua.LocalizedText(text))))


def _whole(value: int) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Int32))
