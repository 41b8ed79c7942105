"""What the alarms say of devices (NAMUR NE 107), and of the line in one word (PackML, OPC 30050)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from controller.line.command import Mode, Outcome
from controller.line.description import LineDescription
from controller.line.profile import LineState
from evencoat.alarms.catalogue import CATALOGUE, DEVICES, Ne107
from evencoat.alarms.engine import EngineState, Key, State

STANDING = frozenset({State.ACTIVE, State.ACKNOWLEDGED, State.SHELVED})


class Health(NamedTuple):
    """What a device is worth, and which alarms say so."""

    status: Ne107
    because: tuple[str, ...]


def devices(line: LineDescription) -> tuple[str, ...]:
    """Every device of a line that has a health: those of DEVICES that it has, and each bolt."""
    has = {"wet gauge": line.wet_gauge, "dry gauge": line.dry_gauge}
    return (
        *(name for name in DEVICES if has.get(name, name) is not None),
        *(f"bolt {k + 1}" for k in range(line.zones)),
    )


def health(line: LineDescription, state: EngineState) -> Mapping[str, Health]:
    """Each device by the worst of the alarms that stand and name it. A shelved one counts while it is so."""
    found: dict[str, list[tuple[Ne107, str]]] = {name: [] for name in devices(line)}
    for key, standing in state.standings.items():
        if standing.state in STANDING and (standing.so or standing.state is not State.SHELVED):
            for name in concerned(line, key):
                found.setdefault(name, []).append((CATALOGUE[key.alarm].health, str(key)))
    return {
        name: Health(max((one for one, _ in told), key=lambda one: one.rank, default=Ne107.GOOD), _causes(told))
        for name, told in found.items()
    }


def concerned(line: LineDescription, key: Key) -> Iterable[str]:
    """The devices that an alarm speaks of."""
    alarm = CATALOGUE[key.alarm]
    if alarm.health is Ne107.GOOD:
        return ()
    names = {
        "": (),
        "*": (key.subject,),
        "gauge": ("wet gauge" if line.wet_gauge is not None else "dry gauge",),
        "gauges": ("wet gauge", "dry gauge"),
    }
    return names.get(alarm.device, (alarm.device,))


def _causes(told: Iterable[tuple[Ne107, str]]) -> tuple[str, ...]:
    return tuple(key for _, key in sorted(told, key=lambda one: -one[0].rank))


# --- the line in one word ----------------------------------------------------------------------------------------


class PackMl(StrEnum):
    """States of PackML that this unit has: not those of a machine that moves by itself (Clearing, Completing)."""

    STARTING = "Starting"
    EXECUTE = "Execute"
    HELD = "Held"  # internal cause: what belongs to this unit is not well, or its operator holds it
    SUSPENDED = "Suspended"  # external cause: the line does not bring web
    IDLE = "Idle"  # ready, and not asked to move anything
    STOPPED = "Stopped"
    ABORTED = "Aborted"


class UnitMode(StrEnum):
    """Modes of PackML; Advisory is a user-defined one."""

    PRODUCTION = "Production"
    MANUAL = "Manual"
    ADVISORY = "Advisory"


UNIT_MODES = {
    Mode.AUTO: UnitMode.PRODUCTION,
    Mode.HOLD: UnitMode.PRODUCTION,
    Mode.MANUAL: UnitMode.MANUAL,
    Mode.ADVISORY: UnitMode.ADVISORY,
}
OF_OUTCOME = {
    Outcome.START_UP: PackMl.STARTING,
    Outcome.SAFE_STOP: PackMl.ABORTED,
    Outcome.ENCODER_LOST: PackMl.HELD,
    Outcome.GAUGE_STALE: PackMl.HELD,
    Outcome.GAUGE_INVALID: PackMl.HELD,
    Outcome.FEEDBACK_LOST: PackMl.HELD,
    Outcome.PUMP_LOST: PackMl.HELD,
    Outcome.NODES_LATCHED: PackMl.HELD,
    Outcome.NOT_FINITE: PackMl.HELD,
    Outcome.REFUSED: PackMl.HELD,
    Outcome.NO_LAW_LEFT: PackMl.HELD,
}
OF_MODE = {
    Mode.AUTO: PackMl.EXECUTE,
    Mode.MANUAL: PackMl.EXECUTE,
    Mode.HOLD: PackMl.HELD,
    Mode.ADVISORY: PackMl.IDLE,
}


def packml(mode_requested: str, outcome: str, line_state: int, alive: bool = True) -> tuple[PackMl, UnitMode]:
    """State and unit mode. `alive` False: no cycle comes, so nobody commands anything.

    A fault of ours comes before a web that stands: who looks wants to know of the one that does not pass by itself.
    """
    asked = Mode(mode_requested)
    mode = UNIT_MODES[asked]
    if not alive:
        return PackMl.STOPPED, mode
    why = Outcome(outcome)
    if why in OF_OUTCOME:
        return OF_OUTCOME[why], mode
    if why is Outcome.LINE_STOPPED or line_state != LineState.RUNNING:
        return (PackMl.STOPPED if asked is Mode.HOLD else PackMl.SUSPENDED), mode
    return OF_MODE[asked], mode
