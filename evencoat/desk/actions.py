"""What can be asked for: the table of actions, who may ask for each, and what its values must be.

Each validator turns `values` into a wish, or raises Refused with field, value and bound. Nothing is put right silently
and nothing unknown is let by. Zones are counted from 1, as on the page and in the report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from controller.core.target import bounds_gsm
from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest
from controller.line.description import Array, LineDescription
from evencoat.desk.users import Role
from evencoat.journal import LOT_NAMES

TEXT_MOST = 500  # characters of a note, or of a reason
NAME_MOST = 80  # characters of an order's, a lot's or a roll's name
MODES = (Mode.MANUAL, Mode.HOLD, Mode.AUTO)
REMARKS = ("acknowledgement", "remark")


class Refused(Exception):
    """The desk says no; the text says why, in a sentence for whoever asked."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the line stands when something is asked for. manual_um: where lips that a person moves shall be, (zones,)."""

    line: LineDescription
    trace: Trace
    manual_um: Array
    sends: bool  # False in a process that was started to listen only


@dataclass(frozen=True, slots=True)
class Take:
    """The command token is wanted; with `force`, from whoever has it."""

    force: bool


@dataclass(frozen=True, slots=True)
class Release:
    """The command token is given back; with `force`, taken from whoever has it."""

    force: bool


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to be kept in the audit chain; `what` is one of REMARKS, or "recipe"."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class Names:
    """What the plant calls what runs from now on, by the names of the journal; what is not among them stays."""

    names: Mapping[str, str]


Wish = OperatorRequest | Take | Release | Remark | Names
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be asked for: by whom at least, and whether whoever asks must be in command."""

    least: Role
    token: bool
    moves: bool  # goes to the loop, so that a line must be there to hear it
    wish: Callable[[Values, Standing | None], Wish]


def _mode(values: Values, standing: Standing | None) -> OperatorRequest:
    _takes("mode", values, "mode")
    asked = values.get("mode")
    if asked not in MODES:
        raise Refused(f"mode = {shown(asked)}: must be one of {', '.join(MODES)}")
    if not _known(standing).sends:
        raise Refused("mode: this process was started with --mode advisory and sends nothing; start it again")
    return OperatorRequest(mode=Mode(asked))


def _gap_um(values: Values, standing: Standing | None) -> OperatorRequest:
    _takes("gap_um", values, "targets")
    stands, asked = _known(standing), values.get("targets")
    lips, zones = stands.line.lips, stands.line.zones
    if not isinstance(asked, Mapping) or not asked:
        raise Refused(f"gap_um.targets = {shown(asked)}: must name a target, um, for each of some zones")
    targets = stands.manual_um.copy()
    named = set()
    for name, value in asked.items():
        zone = _zone("gap_um.targets", name, zones)
        if zone in named:
            raise Refused(f"gap_um.targets: zone {zone + 1} is named twice")
        named.add(zone)
        targets[zone] = _number(f"gap_um.targets.{name}", value, lips.gap_min_um, lips.gap_max_um, "um")
    _by_hand(stands, named)
    if not np.isfinite(targets).all():
        raise Refused("gap_um: lips whose place is not known can only be moved all together")
    return OperatorRequest(gap_um=targets)


def _pump_trim_pct(values: Values, standing: Standing | None) -> OperatorRequest:
    _takes("pump_trim_pct", values, "value")
    stands = _known(standing)
    most = stands.line.pump.trim_max_pct
    value = _number("pump_trim_pct.value", values.get("value"), -most, most, "percent")
    _in_manual("pump_trim_pct", stands)
    return OperatorRequest(pump_trim_pct=value)


def _zone_manual(values: Values, standing: Standing | None) -> OperatorRequest:
    _takes("zone_manual", values, "zones", "manual")
    stands, asked, manual = _known(standing), values.get("zones"), values.get("manual")
    if not isinstance(asked, list) or not asked:
        raise Refused(f"zone_manual.zones = {shown(asked)}: must be a list of some zones, counted from 1")
    if not isinstance(manual, bool):
        raise Refused(f"zone_manual.manual = {shown(manual)}: must be true or false")
    mask = stands.trace.zone_manual.copy()
    for name in asked:
        mask[_zone("zone_manual.zones", name, stands.line.zones)] = manual
    return OperatorRequest(zone_manual=mask)


def _target_gsm(values: Values, standing: Standing | None) -> OperatorRequest:
    _takes("target_gsm", values, "value")
    low, high = bounds_gsm(_known(standing).line)
    return OperatorRequest(target_gsm=_number("target_gsm.value", values.get("value"), low, high, "g/m2"))


def _rearm(values: Values, standing: Standing | None) -> OperatorRequest:
    _takes("rearm", values)
    return OperatorRequest(rearm=True)


def _take(values: Values, _: Standing | None) -> Take:
    return Take(_force("take_command", values))


def _release(values: Values, _: Standing | None) -> Release:
    return Release(_force("release_command", values))


def _note(values: Values, _: Standing | None) -> Remark:
    _takes("note", values, "what", "text")
    what = values.get("what")
    if what not in REMARKS:
        raise Refused(f"note.what = {shown(what)}: must be one of {', '.join(REMARKS)}")
    return Remark(what, text("note.text", values.get("text")))


def _recipe(values: Values, _: Standing | None) -> Remark:
    _takes("recipe", values, "text")
    return Remark("recipe", text("recipe.text", values.get("text")))


def _lot(values: Values, _: Standing | None) -> Names:
    _takes("lot", values, *LOT_NAMES)
    if not values:
        raise Refused(f"lot: must give one of {', '.join(LOT_NAMES)}, or more")
    return Names({name: _name(f"lot.{name}", value) for name, value in values.items()})


ACTIONS: Mapping[str, Action] = {
    "note": Action(Role.VIEWER, False, False, _note),
    "take_command": Action(Role.OPERATOR, False, False, _take),
    "release_command": Action(Role.OPERATOR, False, False, _release),
    "mode": Action(Role.OPERATOR, True, True, _mode),
    "gap_um": Action(Role.OPERATOR, True, True, _gap_um),
    "pump_trim_pct": Action(Role.OPERATOR, True, True, _pump_trim_pct),
    "zone_manual": Action(Role.OPERATOR, True, True, _zone_manual),
    "target_gsm": Action(Role.ENGINEER, True, True, _target_gsm),
    "recipe": Action(Role.ENGINEER, True, False, _recipe),  # says which one was applied, after its parts were
    "rearm": Action(Role.OPERATOR, True, True, _rearm),
    "lot": Action(Role.OPERATOR, False, False, _lot),  # moves nothing: a PLC names rolls while a person is in command
}


def text(field: str, value: Any, least: int = 1) -> str:
    """A sentence of a person's. Raises Refused where it is none, or too long."""
    if not isinstance(value, str) or not least <= len(value.strip()) <= TEXT_MOST:
        raise Refused(f"{field} = {shown(value)}: must be a text of {least} to {TEXT_MOST} characters")
    if not all(letter.isprintable() for letter in value):
        raise Refused(f"{field}: must be one line, without control characters")
    return value.strip()


def _name(field: str, value: Any) -> str:
    """What a plant calls something; a whole number is its digits, "" says that it is not known. Raises Refused."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or len(value.strip()) > NAME_MOST or not all(one.isprintable() for one in value):
        raise Refused(f"{field} = {shown(value)}: must be a text of at most {NAME_MOST} characters on one line")
    return value.strip()


def shown(value: Any) -> str:
    """What somebody gave, for a refusal: as JSON, and cut where it is long."""
    try:
        told = json.dumps(value, ensure_ascii=True)
    except (TypeError, ValueError):
        told = type(value).__name__
    return told if len(told) <= 60 else told[:57] + "..."


def _takes(action: str, values: Values, *names: str) -> None:
    for name in values:
        if name not in names:
            raise Refused(f"{action}: takes {', '.join(names) or 'no values'}, not {shown(name)}")


def _known(standing: Standing | None) -> Standing:
    if standing is None:
        raise Refused("the line has not been heard yet")
    return standing


def _in_manual(action: str, standing: Standing) -> None:
    if standing.trace.mode_actual is not Mode.MANUAL:
        why = f" ({standing.trace.outcome})" if standing.trace.mode_requested is Mode.MANUAL else ""
        raise Refused(f"{action}: only in manual; the line is in {standing.trace.mode_actual}{why}")


def _by_hand(standing: Standing, zones: Iterable[int]) -> None:
    """Lips are a person's in MANUAL, and in AUTO those of the zones that he holds."""
    if standing.trace.mode_actual is not Mode.AUTO:
        _in_manual("gap_um", standing)
        return
    for zone in sorted(zones):
        if not standing.trace.zone_manual[zone]:
            raise Refused(f"gap_um: only in manual; the line is in auto, and zone {zone + 1} is not held by hand")


def _zone(field: str, name: Any, zones: int) -> int:
    """A zone's index, from its number as people count it."""
    if isinstance(name, str) and name.isascii() and name.isdigit() and len(name) <= 4:
        name = int(name)
    if isinstance(name, bool) or not isinstance(name, int) or not 1 <= name <= zones:
        raise Refused(f"{field}: zone {shown(name)} is none of 1 to {zones}")
    return name - 1


def _number(field: str, value: Any, low: float, high: float, unit: str) -> float:
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not (right and low <= value <= high and math.isfinite(value)):
        raise Refused(f"{field} = {shown(value)}: must lie between {low:g} and {high:g} {unit}")
    return float(value)


def _force(action: str, values: Values) -> bool:
    _takes(action, values, "force")
    force = values.get("force", False)
    if not isinstance(force, bool):
        raise Refused(f"{action}.force = {shown(force)}: must be true or false")
    return force
