"""Which order, which material, which roll: what the plant calls what runs here, and from which cycle on it does.

Cycles count rolls and batches by themselves; what the plant's systems call them is told by people and PLCs, now and
then. It is kept in a table of its own that is only ever added to, each row with all that holds from one cycle on: every
cycle has its names, and none has to carry them. ISA-95 calls them operations request (the order), material lot, and
material sublot (the roll).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from controller.core.trace import Trace
from controller.line.profile import LineState
from evencoat.journal.tables import INSERT_LOT, LOT_COLUMNS, LOT_NAMES

NO_ROLL = -1  # of a name that was given before any cycle came
EARLY_NS = 30_000_000_000  # line time: a roll that is named so shortly before the line counts it is the one to come


@dataclass(frozen=True, slots=True)
class Lot:
    """What holds from the cycle with row number `from_row` on; "" is a name that nobody gave.

    roll: the line's own number of the roll that `roll_name` is of.
    """

    from_row: int = 0
    t_unix_s: float = 0.0
    roll: int = NO_ROLL
    production_order: str = ""
    material_lot: str = ""
    roll_name: str = ""

    def named(self) -> dict[str, str]:
        """The names alone."""
        return {name: getattr(self, name) for name in LOT_NAMES}


@dataclass(frozen=True, slots=True)
class Naming:
    """New names on their way to the file; those that are not in `names` stay."""

    t_unix_s: float
    names: Mapping[str, str]


class Ledger(NamedTuple):
    """What holds now, and what of the cycles decides how long. named_ns: line time at which the roll got its name."""

    lot: Lot = Lot()
    named_ns: int | None = None
    roll: int = NO_ROLL
    t_line_ns: int = 0

    def told(self, naming: Naming, next_row: int) -> Ledger:
        """Names were given before the cycle with that row number."""
        names = {**self.lot.named(), **naming.names}
        if names == self.lot.named():
            return self
        lot = Lot(next_row, naming.t_unix_s, self.lot.roll, **names)
        if "roll_name" not in naming.names:
            return self._replace(lot=lot)
        return self._replace(lot=replace(lot, roll=self.roll), named_ns=self.t_line_ns)

    def passed(self, trace: Trace, row: int, t_unix_s: float) -> Ledger:
        """A cycle. The name of a roll ends with the roll: rather no name than that of another."""
        if trace.line_state != LineState.RUNNING:
            return self
        now = self._replace(roll=trace.roll, t_line_ns=trace.t_line_ns)
        lot = self.lot
        if not lot.roll_name or trace.roll == lot.roll:
            return now
        given_ns = None if self.named_ns is None else trace.t_line_ns - self.named_ns
        to_come = lot.roll == NO_ROLL or (given_ns is not None and 0 <= given_ns <= EARLY_NS)
        name = lot.roll_name if to_come else ""
        return now._replace(
            lot=replace(lot, from_row=row, t_unix_s=t_unix_s, roll=trace.roll, roll_name=name), named_ns=None
        )


def newest(db: sqlite3.Connection) -> Lot:
    """What holds at the end of a journal."""
    found = db.execute(f"SELECT {', '.join(LOT_COLUMNS)} FROM lots ORDER BY id DESC LIMIT 1").fetchone()
    return Lot(*found) if found else Lot()


def append(db: sqlite3.Connection, lots: Iterable[Lot]) -> None:
    """Keep what begins to hold, inside the caller's transaction."""
    db.executemany(INSERT_LOT, (astuple(lot) for lot in lots))


def of_rows(lots: Iterable[Lot], numbers: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.str_]]:
    """The names of each of these cycles, (T,), by their row numbers; `lots` in the order written."""
    known = [Lot(), *lots]
    at = np.searchsorted(np.asarray([lot.from_row for lot in known]), numbers, side="right") - 1
    return {name: np.asarray([getattr(lot, name) for lot in known], dtype=np.str_)[at] for name in LOT_NAMES}
