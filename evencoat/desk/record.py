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
from controller.line.description import Array, BoolArray
from controller.loop import Loop
from evencoat.journal import CycleJournal, NoSink, What
from evencoat.past import Past, told_start
from evencoat.settings import Settings


def ask(loop: Loop, journal: CycleJournal | NoSink, asked: OperatorRequest, who: str, why: str) -> None:
    """Record a request, one audit record for each thing asked for, and pass it to the loop's next cycle."""
    trace = loop.trace
    if asked.mode is not None:
        journal.audit(who, What.MODE, str(trace.mode_requested) if trace else "", str(asked.mode), why)
    if asked.zone_manual is not None:
        journal.audit(who, What.MODE, _zones(trace.zone_manual) if trace else "", _zones(asked.zone_manual), why)
    if asked.target_gsm is not None:
        journal.audit(who, What.SETPOINT, _target(trace.target_gsm) if trace else "", _target(asked.target_gsm), why)
    if asked.gap_um is not None:
        held = _held(trace, asked)
        stood = _lips(trace.gap_target_um, held) if trace else ""
        journal.audit(who, What.SETPOINT, stood, _lips(asked.gap_um, held), why)
    if asked.pump_trim_pct is not None:
        stood = _trim(trace.pump_trim_pct) if trace else ""
        journal.audit(who, What.SETPOINT, stood, _trim(asked.pump_trim_pct), why)
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


def _held(trace: Trace | None, asked: OperatorRequest) -> BoolArray | None:
    """The zones whose lips are a person's while all others are the law's; None where he moves all."""
    if trace is None or asked.mode is not None or trace.mode_requested is not Mode.AUTO:
        return None
    return trace.zone_manual if asked.zone_manual is None else asked.zone_manual


def _lips(gap_um: Array, held: BoolArray | None) -> str:
    if held is None:
        return f"lips, um: {_list(gap_um)}"
    told = {int(zone) + 1: round(float(gap_um[zone]), 2) for zone in np.flatnonzero(held)}
    return f"lips held by hand, um: {json.dumps(told)}"


def _trim(pct: float) -> str:
    return f"pump trim, percent: {pct:.3f}"


def _zones(held: BoolArray) -> str:
    return f"zones held by hand: {json.dumps([int(zone) + 1 for zone in np.flatnonzero(held)])}"


def _target(mean_gsm: float) -> str:
    return f"target, g/m2: {mean_gsm:.3f}"


def _list(values: Array) -> str:
    return json.dumps([round(float(value), 2) for value in values])
