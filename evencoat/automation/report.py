"""What a journal says of a line that was left alone: who stepped in, what the automation did, how long the loop ran.

The journal is only read, some rows at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.line.command import Mode
from controller.line.profile import LineState
from evencoat.journal import JournalReader, Roll
from evencoat.journal.audit import AuditRecord
from evencoat.journal.interventions import interventions

BLOCK_ROWS = 20_000
ROLLS_MOST = 10_000
COLUMNS = ("t_line_ns", "web_m", "line_state", "mode_actual", "outcome")
STEP_MOST_S = 10.0  # line time between two cycles that is taken for passed; more was not seen
Columns = dict[str, npt.NDArray[Any]]


def told(reader: JournalReader) -> dict[str, Any]:
    """All rolls of a journal, oldest first, and the whole of it; what `--json` prints."""
    rolls = [_roll(reader, roll) for roll in reversed(reader.rolls(reader.last_row() + 1, ROLLS_MOST))]
    hold_s: dict[str, float] = defaultdict(float)
    for roll in rolls:
        for outcome, held_s in roll["hold_s"].items():
            hold_s[outcome] += held_s
    sums = {name: sum(roll[name] for roll in rolls) for name in ("line_s", "running_s", "auto_s", "web_m", "manual")}
    return {
        **{name: round(value, 3) for name, value in sums.items()},
        "auto_of_running_pct": _pct(sums["auto_s"], sums["running_s"]),
        "hold_s": _longest_first(hold_s),
        "rolls": rolls,
    }


def _roll(reader: JournalReader, roll: Roll) -> dict[str, Any]:
    """One roll. `auto_s` is of the time in which the web ran."""
    line_s = running_s = auto_s = web_m = 0.0
    hold_s: dict[str, float] = defaultdict(float)
    for rows in _blocks(reader, roll):
        dt_s = np.diff(rows["t_line_ns"], prepend=rows["t_line_ns"][:1]) / 1e9
        dt_s = np.where((dt_s > 0.0) & (dt_s < STEP_MOST_S), dt_s, 0.0)
        running = rows["line_state"] == LineState.RUNNING
        line_s, running_s = line_s + float(dt_s.sum()), running_s + float(dt_s[running].sum())
        auto_s += float(dt_s[running & (rows["mode_actual"] == str(Mode.AUTO))].sum())
        web_m += float(np.nansum(np.maximum(np.diff(rows["web_m"]), 0.0)))
        held = rows["mode_actual"] == str(Mode.HOLD)
        for outcome in np.unique(rows["outcome"][held]):
            hold_s[str(outcome)] += float(dt_s[held & (rows["outcome"] == outcome)].sum())
    asked = interventions(reader, roll.first_row, roll.last_row)
    return {
        "roll": roll.roll,
        "first_row": roll.first_row,
        "last_row": roll.last_row,
        "line_s": round(line_s, 1),
        "running_s": round(running_s, 1),
        "auto_s": round(auto_s, 1),
        "auto_of_running_pct": _pct(auto_s, running_s),
        "web_m": round(web_m, 1),
        "hold_s": _longest_first(hold_s),
        "manual": len(asked.manual),
        "manual_asked": [_asked(record) for record in asked.manual],
        "automatic": [_asked(record) for record in asked.automatic],
    }


def _longest_first(hold_s: dict[str, float]) -> dict[str, float]:
    return {outcome: round(s, 1) for outcome, s in sorted(hold_s.items(), key=lambda held: -held[1])}


def _blocks(reader: JournalReader, roll: Roll) -> Iterator[Columns]:
    """The rows of a roll, each block with the last row of the one before it."""
    for first in range(roll.first_row, roll.last_row + 1, BLOCK_ROWS):
        rows = reader.rows(COLUMNS, max(first - 1, roll.first_row), min(first + BLOCK_ROWS - 1, roll.last_row))
        if rows["t_line_ns"].size:
            yield rows


def _asked(record: AuditRecord) -> dict[str, Any]:
    told = {name: getattr(record, name) for name in ("seq", "who", "what", "why")}
    return {**told, "t_unix_s": record.t_unix_ns / 1e9, "new": record.new[:120]}


def _pct(part: float, whole: float) -> float | None:
    return round(100.0 * part / whole, 3) if whole > 0.0 else None
