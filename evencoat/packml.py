"""The line in one word (PackML, OPC 30050): one function for page, alarms and OPC UA."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from controller.line.command import Mode, Outcome
from controller.line.profile import LineState


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
OF_OUTCOME: Mapping[str, PackMl] = {
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
    word = OF_OUTCOME.get(outcome)
    if word is not None:
        return word, mode
    if outcome == Outcome.LINE_STOPPED or line_state != LineState.RUNNING:
        return (PackMl.STOPPED if asked is Mode.HOLD else PackMl.SUSPENDED), mode
    return OF_MODE[asked], mode
