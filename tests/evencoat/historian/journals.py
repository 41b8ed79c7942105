"""Journals for the historian's tests: rows of any hour, and what of a journal somewhere else must be."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from controller.core.trace import Trace
from evencoat.journal import Lot, lots
from evencoat.journal.tables import INSERT_CYCLE, Cycle, cycle_row, open_for_writing
from tests.evencoat.test_journal import LINE, make_trace

HOUR_S = 3600.0
MONDAY_S = 1_795_392_000.0  # 2026-11-23 00:00 UTC


def append(path: Path, times_unix_s: Sequence[float], traces: Sequence[Trace] | None = None) -> None:
    """More rows, written at those times; by themselves each differs from the others in every figure."""
    with closing(open_for_writing(path, LINE.line, LINE.text)) as db, db:
        (first,) = db.execute("SELECT COALESCE(MAX(id), 0) FROM cycles").fetchone()
        told = traces or [make_trace(first + k) for k in range(len(times_unix_s))]
        rows = (cycle_row(Cycle(trace, 100.0, 5.0, t)) for trace, t in zip(told, times_unix_s, strict=True))
        db.executemany(INSERT_CYCLE, rows)


def named(path: Path, *known: Lot) -> None:
    """What begins to hold, as the writer keeps it."""
    with closing(open_for_writing(path, LINE.line, LINE.text)) as db, db:
        lots.append(db, known)


def hours_of(count: int, rows: int) -> list[float]:
    """So many hours of so many rows each."""
    return [MONDAY_S + HOUR_S * (k // rows) + HOUR_S / rows * (k % rows) for k in range(count * rows)]


def prune_below(path: Path, row: int) -> None:
    """Rows that are gone."""
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM cycles WHERE id < ?", (row,))
