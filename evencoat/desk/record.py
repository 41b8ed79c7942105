"""What a person, or a procedure for a person, asks of a loop is recorded here and then passed on."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest
from controller.line.description import Array
from controller.loop import Loop
from evencoat.journal import CycleJournal, NoSink, What
from evencoat.past import Past, told_start
from evencoat.settings import Settings

ABOUT = {"gap_um": "lips", "pump_trim_pct": "pump trim"}


def ask(loop: Loop, journal: CycleJournal | NoSink, asked: OperatorRequest, who: str, why: str) -> None:
    """Record a request, one audit record for each thing asked for, and pass it to the loop's next cycle."""
    trace = loop.trace
    if asked.mode is not None:
        journal.audit(who, What.MODE, str(trace.mode_requested) if trace else "", str(asked.mode), why)
    for field, new in (("gap_um", asked.gap_um), ("pump_trim_pct", asked.pump_trim_pct)):
        if new is not None:
            journal.audit(who, What.SETPOINT, _stood(trace, field), _told(field, new), why)
    if asked.offset_log is not None:
        new_pct = f"beside the target, percent: {_list(100.0 * np.expm1(asked.offset_log))}, {asked.offset_m:.1f} m"
        journal.audit(who, What.SETPOINT, "", new_pct, why)
    if asked.rearm:
        faults = "; ".join(trace.link_faults) if trace else ""
        journal.audit(who, What.ACKNOWLEDGEMENT, faults, "nodes may follow commands again", why)
    loop.request(asked)


@contextmanager
def opened(path: Path | None, settings: Settings, mode: Mode, why: str) -> Iterator[CycleJournal | NoSink]:
    """The journal of a procedure, with its start on record, and its stop where it came to one; nothing without a path.

    Raises JournalError, OSError.
    """
    if path is None:
        yield NoSink()
        return
    past, who = Past.of(path), getpass.getuser()
    with CycleJournal(path, settings.line, settings.text, retention=settings.retention) as journal:
        told_start(journal, settings, past, who, mode, mode, why)
        yield journal
        journal.audit(who, What.STOP, "", "", why)


def _stood(trace: Trace | None, field: str) -> str:
    if trace is None:
        return ""
    return _told(field, trace.gap_target_um if field == "gap_um" else trace.pump_trim_pct)


def _told(field: str, value: Array | float) -> str:
    if isinstance(value, np.ndarray):
        return f"{ABOUT[field]}, um: {_list(value)}"
    return f"{ABOUT[field]}, percent: {value:.3f}"


def _list(values: Array) -> str:
    return json.dumps([round(float(value), 2) for value in values])
