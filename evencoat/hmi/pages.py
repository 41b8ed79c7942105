"""What the pages behind the overview show, from the journal: capability, rolls, the audit chain and its verdict.

A journal may hold weeks. Nothing here reads a stretch as a whole: of the last minutes, and of every roll, so many
cycles are looked at, evenly spaced, and figures are those of the looks.
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from controller.line.command import Mode
from controller.line.description import LineDescription
from controller.line.profile import LineState
from evencoat.hmi.source import SourceError
from evencoat.journal import JournalError, JournalReader, Roll
from evencoat.journal.interventions import interventions

LOOKS = 400  # cycles of a stretch that figures are made of
OUT_SHARE = 0.02  # of the width beyond tolerance, from which a metre counts as out: as the reports count
TEXT_MOST = 400  # characters of a record's old and new; a settings file is one
VERDICT_KEPT_S = 10.0
COLUMNS = ("t_unix_s", "web_m", "line_state", "mode_actual", "batch", "target_gsm", "profile_gsm", "profile_valid")
FIGURES = ("mean_pct", "sigma_pct", "sigma_cd_pct", "sigma_md_pct", "cpk", "out_pct", "out_m")

Answer = TypeVar("Answer")
Rows = dict[str, npt.NDArray[Any]]


class Pages:
    """Questions about the journal of one line. Each opens it for a moment; all raise SourceError where it cannot be."""

    def __init__(self, journal: Path, line: LineDescription) -> None:
        self._journal, self._line = journal, line
        self._one = threading.Lock()  # verdicts are worked out one at a time
        self._verdict: tuple[float, dict[str, Any]] | None = None

    def capability(self, minutes: float) -> dict[str, Any]:
        """How even the last so many minutes were, as the gauge that closes the loop saw them."""

        def asked(reader: JournalReader) -> dict[str, Any]:
            last = reader.last_row()
            first = max(last - int(60.0 * minutes / self._line.control.cycle_s) + 1, reader.first_row())
            return {"minutes": minutes, **_figures(self._line, _looks(reader, first, last))}

        return self._asked(asked)

    def rolls(self, before_row: int, most: int) -> list[dict[str, Any]]:
        """So many rolls before a row number, the newest first."""
        return self._asked(lambda reader: [self._roll(reader, roll) for roll in reader.rolls(before_row, most)])

    def audit(self, before: int, most: int) -> list[dict[str, Any]]:
        """So many audit records before a number, the newest first; long texts are cut, and say so."""
        return self._asked(lambda reader: [_record(record) for record in reader.audit_before(before, most)])

    def verdict(self) -> dict[str, Any]:
        """Whether the audit chain holds. Worked out for one who asks at a time, and kept for some seconds."""
        with self._one:
            if self._verdict is None or time.monotonic() - self._verdict[0] > VERDICT_KEPT_S:
                found = self._asked(lambda reader: reader.verify().as_dict())
                self._verdict = (time.monotonic(), found | {"t_unix_s": time.time()})
            return self._verdict[1]

    def _roll(self, reader: JournalReader, roll: Roll) -> dict[str, Any]:
        rows = _looks(reader, roll.first_row, roll.last_row)
        times = rows["t_unix_s"]
        batches = rows["batch"]
        return {
            "roll": roll.roll,
            "first_row": roll.first_row,
            "begun_unix_s": float(times[0]),
            "ended_unix_s": float(times[-1]),
            **reader.lot_at(roll.last_row).named(),
            "batches": 1 + int(np.count_nonzero(np.diff(batches))),
            "auto_pct": 100.0 * float(np.mean(rows["mode_actual"] == str(Mode.AUTO))),
            "interventions": len(interventions(reader, roll.first_row, roll.last_row).manual),
            **_figures(self._line, rows),
        }

    def _asked(self, ask: Callable[[JournalReader], Answer]) -> Answer:
        try:
            with JournalReader(self._journal) as reader:
                return ask(reader)
        except (JournalError, sqlite3.Error, OSError) as error:
            raise SourceError(str(error)) from error


def _looks(reader: JournalReader, first_row: int, last_row: int) -> Rows:
    count = min(LOOKS, last_row - first_row + 1)
    return reader.picked(COLUMNS, [int(row) for row in np.linspace(first_row, last_row, max(count, 0))])


def _figures(line: LineDescription, rows: Rows) -> dict[str, Any]:
    """Evenness of rows, percent of target. Only coated web counts, and zones that were read; None where none was."""
    metres = float(np.nansum(np.maximum(np.diff(rows["web_m"]), 0.0)))
    kept = rows["line_state"] != LineState.STOPPED
    if kept.any():
        kept &= rows["profile_valid"].any(axis=1)
    if not kept.any():
        return {"looks": 0, "metres": metres, **dict.fromkeys(FIGURES)}
    profile = line.target_profile_gsm  # its shape; its mean is what was asked for in each cycle
    target = profile * (rows["target_gsm"][kept] / profile.mean())[:, None]
    deviation = 100.0 * (rows["profile_gsm"][kept].astype(np.float64) / target - 1.0)
    deviation = np.where(rows["profile_valid"][kept], deviation, np.nan)
    mean, spread = float(np.nanmean(deviation)), float(np.nanstd(deviation))
    tolerance = line.target.tolerance_pct
    read = np.isfinite(deviation)
    beyond = (np.abs(deviation) > tolerance).sum(axis=1) / read.sum(axis=1)
    out = float(np.mean(beyond > OUT_SHARE))
    found = {
        "mean_pct": mean,
        "sigma_pct": math.hypot(mean, spread),
        "sigma_cd_pct": float(np.sqrt(np.mean(np.nanvar(deviation, axis=1)))),
        "sigma_md_pct": float(np.std(np.nanmean(deviation, axis=1))),
        "cpk": (tolerance - abs(mean)) / (3.0 * max(spread, 1e-9)),
        "out_pct": 100.0 * out,
        "out_m": out * metres,
    }
    known = {name: value if math.isfinite(value) else None for name, value in found.items()}
    return {"looks": int(kept.sum()), "metres": metres, **known}


def _record(record: Any) -> dict[str, Any]:
    told = {name: getattr(record, name) for name in ("seq", "who", "what", "why", "hash")}
    told["t_unix_s"] = record.t_unix_ns / 1e9
    for name in ("old", "new", "why"):
        text = getattr(record, name)
        told[name] = text if len(text) <= TEXT_MOST else f"{text[:TEXT_MOST]}…"
    return told
