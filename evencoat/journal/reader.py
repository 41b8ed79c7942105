"""JournalReader: a journal read back as arrays, also while it is written, after a kill, and from a torn copy."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from controller.line.description import Array
from evencoat.journal import audit as chain
from evencoat.journal import lots, salvage
from evencoat.journal.audit import AuditRecord, Verdict, What
from evencoat.journal.lots import Lot
from evencoat.journal.tables import (
    AUDIT_COLUMNS,
    COLUMNS,
    EVENT_COLUMNS,
    LISTS,
    LOT_COLUMNS,
    SHOWN,
    Event,
    JournalError,
    check_version,
    column,
    open_for_reading,
)

BLOCK_ROWS = 2000  # that are held at once where a journal is gone through
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Newest:
    """The last cycle in a few figures: what a progress bar or a status line shows."""

    cycle: int
    t_line_ns: int
    mode_actual: str
    outcome: str
    worst_pct: float  # largest deviation of a valid zone from its target of that cycle; NaN where none is valid


@dataclass(frozen=True, slots=True)
class Roll:
    """One roll as it lies in the journal: its number, and row numbers of its first and last cycle."""

    roll: int
    first_row: int
    last_row: int


class JournalReader:
    """Reads a journal. `torn` says what is wrong with a copy of which a part could be read, "" with a whole one."""

    def __init__(self, path: Path | str) -> None:
        """Open read-only. Raises JournalError when there is no journal, or none of ours."""
        self.path = Path(path)
        if not self.path.is_file():
            raise JournalError(f"{self.path}: no such journal")
        self.torn, self._salvaged = "", False
        self._db = open_for_reading(self.path)
        try:
            if salvage.is_cut(self.path):
                self._save(sqlite3.DatabaseError("the file ends within a page"))
            self.meta: dict[str, str] = dict(self._rows("SELECT key, value FROM meta"))
            check_version(self.path, self.meta)
            self._zones = len(json.loads(self.meta["target_gsm"]))
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise JournalError(f"{self.path}: not a cycle journal ({error})") from error
        except JournalError:
            self._db.close()
            raise

    @property
    def line(self) -> str:
        return self.meta["line"]

    @property
    def settings_text(self) -> str:
        return self.meta["settings"]

    @property
    def target_gsm(self) -> Array:
        """Target of each zone, shape (zones,), g/m2."""
        return np.asarray(json.loads(self.meta["target_gsm"]), dtype=np.float64)

    def cycle_count(self) -> int:
        """How many cycles are committed."""
        ((count,),) = self._rows("SELECT COUNT(*) FROM cycles")
        return int(count)

    def newest(self) -> Newest | None:
        """The last committed cycle, or None while there is none."""
        rows = self._rows(
            "SELECT cycle, t_line_ns, mode_actual, outcome, profile_gsm, profile_valid, target_gsm "
            "FROM cycles ORDER BY id DESC LIMIT 1"
        )
        if not rows:
            return None
        row = rows[0]
        profile, valid = np.frombuffer(row[4], dtype="<f4"), np.frombuffer(row[5], dtype=np.bool_)
        target = self.target_gsm * (row[6] / self.target_gsm.mean())  # people may ask for another than the recipe's
        deviation = 100.0 * np.abs(profile / target - 1.0)[valid]
        worst_pct = float(deviation.max()) if deviation.size else np.nan
        return Newest(row[0], row[1], row[2], row[3], worst_pct)

    def last_row(self) -> int:
        """Row number of the last committed cycle, 0 while there is none. No number is ever used twice."""
        ((last,),) = self._rows("SELECT COALESCE(MAX(id), 0) FROM cycles")
        return int(last)

    def row_numbers(self) -> npt.NDArray[np.int64]:
        """Row numbers of all cycles, in their order, (T,)."""
        return np.asarray([row[0] for row in self._rows("SELECT id FROM cycles ORDER BY id")], dtype=np.int64)

    def cycles(
        self, columns: Sequence[str] = COLUMNS, first_cycle: int | None = None, last_cycle: int | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Columns of the cycles asked for, in the order written.

        Scalars come as (T,), arrays and flags as (T, zones), text (modes, outcome, limits, link faults) as (T,) of str.
        Raises ValueError naming an unknown column.
        """
        low = -(2**63) if first_cycle is None else first_cycle
        high = 2**63 - 1 if last_cycle is None else last_cycle
        return self._columns(columns, "cycle BETWEEN ? AND ?", (low, high))

    def rows(self, columns: Sequence[str], first_row: int, last_row: int) -> dict[str, npt.NDArray[Any]]:
        """The same for a stretch of row numbers: what long journals are read by, a part at a time."""
        return self._columns(columns, "id BETWEEN ? AND ?", (first_row, last_row))

    def one_by_one(self, columns: Sequence[str], first_row: int, last_row: int) -> Iterator[dict[str, Any]]:
        """Rows from one number to another, each by the names of Trace: what watches a line a cycle at a time is fed."""
        for first in range(first_row, last_row + 1, BLOCK_ROWS):
            rows = self.rows(columns, first, min(first + BLOCK_ROWS - 1, last_row))
            lists = [name for name in columns if name in LISTS]
            split = {name: [tuple(str(text).split("; ")) if text else () for text in rows.pop(name)] for name in lists}
            told: dict[str, Sequence[Any] | npt.NDArray[Any]] = {**rows, **split}
            for k in range(len(next(iter(told.values())))):
                yield {name: values[k] for name, values in told.items()}

    def numbered(
        self, columns: Sequence[str], first_row: int, most: int
    ) -> tuple[npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
        """So many rows from a row number on, with their numbers (T,): one question, so pruning cannot come between."""
        found = self._rows(
            f"SELECT id, {', '.join(_known(columns))} FROM cycles WHERE id >= ? ORDER BY id LIMIT ?", (first_row, most)
        )
        numbers = np.asarray([row[0] for row in found], dtype=np.int64)
        return numbers, {name: self._column(name, [row[k] for row in found]) for k, name in enumerate(columns, start=1)}

    def looks(self, columns: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        """The same of those cycles in which is kept what the network was shown: one in a second of line time."""
        return self._columns(columns, " OR ".join(f"{name} IS NOT NULL" for name in SHOWN), ())

    def thinned(self, columns: Sequence[str], first_row: int, last_row: int, every: int) -> dict[str, npt.NDArray[Any]]:
        """The last row of a stretch and every so manieth before it: what a picture of it needs."""
        bounds = (first_row, last_row, last_row, every)
        return self._columns(columns, "id BETWEEN ? AND ? AND (? - id) % ? = 0", bounds)

    def picked(self, columns: Sequence[str], row_numbers: Sequence[int]) -> dict[str, npt.NDArray[Any]]:
        """The same of these rows, where they are there: a look at a long stretch that does not read all of it."""
        return self._columns(columns, "id IN (SELECT value FROM json_each(?))", (json.dumps(list(row_numbers)),))

    def first_row(self) -> int:
        """Row number of the first cycle that is still there, 0 while there is none."""
        ((first,),) = self._rows("SELECT COALESCE(MIN(id), 0) FROM cycles")
        return int(first)

    def rolls(self, before_row: int, most: int) -> list[Roll]:
        """So many rolls that lie before a row number, the newest first, a few looks each however long they are."""
        found: list[Roll] = []
        first = self.first_row()
        last = self._row_at(before_row - 1) if first else None
        while last is not None and len(found) < most:
            row, roll = last
            begun = self._begin_of(roll, row, first)
            found.append(Roll(roll, begun, row))
            last = self._row_at(begun - 1) if begun > first else None
        return found

    def _row_at(self, row: int) -> tuple[int, int] | None:
        """Number and roll of the last cycle up to a row number."""
        found = self._rows("SELECT id, roll FROM cycles WHERE id <= ? ORDER BY id DESC LIMIT 1", (row,))
        return found[0] if found else None

    def _begin_of(self, roll: int, row: int, first: int) -> int:
        """The first row of the stretch of one roll that ends in `row`: back in steps that double, then by halving."""
        inside, step = row, 1
        while inside > first:
            at = self._row_at(max(inside - step, first))
            if at is None or at[1] != roll:
                break
            inside, step = at[0], 2 * step
        outside = max(inside - step, first - 1)
        while inside - outside > 1:
            middle = (inside + outside) // 2
            at = self._row_at(middle)
            if at is not None and at[1] == roll:
                inside = middle
            else:
                outside = middle
        return inside

    def lots(self) -> list[Lot]:
        """Order, material lot and roll in the order in which they began to hold."""
        if not self._rows("SELECT 1 FROM sqlite_master WHERE name = 'lots'"):
            return []  # of a journal that was begun before there were names
        return [Lot(*row) for row in self._rows(f"SELECT {', '.join(LOT_COLUMNS)} FROM lots ORDER BY id")]

    def lot_at(self, row: int) -> Lot:
        """What the cycle with that row number was, and what of it held since when."""
        return next((lot for lot in reversed(self.lots()) if lot.from_row <= row), Lot())

    def lots_of(self, numbers: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.str_]]:
        """Names of each of these cycles, (T,), by column; "" where nobody gave one.

        Ask after the cycles were read: names that hold from a cycle on are on the file no later than it is.
        """
        return lots.of_rows(self.lots(), numbers)

    def newest_events(self, most: int) -> list[Event]:
        """So many of the newest events, the newest first."""
        query = f"SELECT {', '.join(EVENT_COLUMNS)} FROM events ORDER BY id DESC LIMIT ?"
        return [Event(*row) for row in self._rows(query, (most,))]

    def event_counts(self) -> dict[str, int]:
        """How many events there are of each kind."""
        return dict(self._rows("SELECT kind, COUNT(*) FROM events GROUP BY kind"))

    def deadlines_missed(self) -> int:
        """Deadlines that the control process said it missed: the number that each of its overruns begins with."""
        ((missed,),) = self._rows(
            "SELECT COALESCE(SUM(CAST(text AS INTEGER)), 0) FROM events WHERE kind = ?", ("overrun",)
        )
        return int(missed)

    def events(self) -> list[Event]:
        """Every event in the order written."""
        return [Event(*row) for row in self._rows(f"SELECT {', '.join(EVENT_COLUMNS)} FROM events ORDER BY id")]

    def audit(self) -> list[AuditRecord]:
        """Every record of the chain, from its beginning."""
        return [AuditRecord(*row) for row in self._rows(chain.SELECT)]

    def audit_before(self, seq: int, most: int) -> list[AuditRecord]:
        """So many records of the chain that lie before a number, the newest first."""
        query = f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?"
        return [AuditRecord(*row) for row in self._rows(query, (seq, most))]

    def audit_newest(self, what: What) -> AuditRecord | None:
        """The newest record of one kind, or None while there is none."""
        query = f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit WHERE what = ? ORDER BY seq DESC LIMIT 1"
        rows = self._rows(query, (str(what),))
        return AuditRecord(*rows[0]) if rows else None

    def audit_between(self, from_unix_ns: int, to_unix_ns: int) -> list[AuditRecord]:
        """Every record of the chain of a stretch of wall time, both ends included."""
        query = f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit WHERE t_unix_ns BETWEEN ? AND ? ORDER BY seq"
        return [AuditRecord(*row) for row in self._rows(query, (from_unix_ns, to_unix_ns))]

    def last_remark(self, who: str, beginning: str) -> str:
        """The newest remark of somebody's that begins so; "" where there is none."""
        query = "SELECT new FROM audit WHERE who = ? AND what = ? AND substr(new, 1, ?) = ? ORDER BY seq DESC LIMIT 1"
        found = self._rows(query, (who, str(chain.What.REMARK), len(beginning), beginning))
        return str(found[0][0]) if found else ""

    def wall_time(self, row: int) -> float | None:
        """When a cycle was, UTC in seconds; None where there is no row of that number."""
        found = self._rows("SELECT t_unix_s FROM cycles WHERE id = ?", (row,))
        return float(found[0][0]) if found else None

    def head(self) -> AuditRecord | None:
        """The last record of the chain, or None while there is none."""
        rows = self._rows(f"{chain.SELECT} DESC LIMIT 1")
        return AuditRecord(*rows[0]) if rows else None

    def pruned_before(self) -> int:
        """Cycles with smaller row numbers were pruned, as the chain says; 1 where none were."""
        return chain.pruned_before(self.audit())

    def ends(self) -> list[AuditRecord]:
        """The record of the last start, and that of its stop where it ended cleanly."""
        last = self._rows(chain.LAST_START)
        return [AuditRecord(*row) for row in last]

    def last_mode(self) -> tuple[float, str, str] | None:
        """Wall time, mode asked for and reason in words of the last committed cycle, or None while there is none."""
        rows = self._rows("SELECT t_unix_s, mode_requested, outcome FROM cycles ORDER BY id DESC LIMIT 1")
        return rows[0] if rows else None

    def verify(self, known_head: tuple[int, str] | None = None, tell: chain.Tell = chain.nobody) -> Verdict:
        """Whether the chain holds and no cycle went without a record: see evencoat.journal.audit.verify."""
        return self._asked(lambda db: chain.verify(db, known_head, tell))

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _columns(self, columns: Sequence[str], where: str, bounds: tuple[object, ...]) -> dict[str, npt.NDArray[Any]]:
        rows = self._rows(f"SELECT {', '.join(_known(columns))} FROM cycles WHERE {where} ORDER BY id", bounds)
        return {name: self._column(name, [row[k] for row in rows]) for k, name in enumerate(columns)}

    def _column(self, name: str, values: list[Any]) -> npt.NDArray[Any]:
        try:
            return column(name, values, self._zones)
        except (TypeError, ValueError, OverflowError) as error:
            raise JournalError(
                f"{self.path}: damaged: column {name} holds what is none of its values ({error})"
            ) from error

    def _rows(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        return self._asked(lambda db: db.execute(query, values).fetchall())

    def _asked(self, ask: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """The answer of the file; where that turns out to be torn, of what could be saved of it."""
        try:
            return ask(self._db)
        except sqlite3.OperationalError as error:
            if str(error).startswith("Could not decode"):
                self.torn = f"damaged ({error}): what is no text is shown as \N{REPLACEMENT CHARACTER}"
                self._db.text_factory = _legible
                return ask(self._db)
            if not str(error).startswith("no such column"):
                raise  # locked, or no such table: not torn
            self._save(error)  # what the file says of its tables is spoilt; the rows need not be
            return ask(self._db)
        except sqlite3.DatabaseError as error:
            self._save(error)
            return ask(self._db)

    def _save(self, error: sqlite3.DatabaseError) -> None:
        """Go on with what could be saved of a torn file. Raises the error where that is nothing, or was done before."""
        saved = None if self._salvaged else salvage.salvaged(self.path)
        if saved is None:
            raise error
        self._db.close()
        saved.text_factory, self._salvaged = _legible, True
        self._db, self.torn = saved, f"torn ({error}): only what lies before the tear could be read"


def _legible(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _known(columns: Sequence[str]) -> Sequence[str]:
    """The same columns. Raises ValueError naming one that a journal does not have."""
    for name in columns:
        if name not in COLUMNS:
            raise ValueError(f"journal has no column {name!r}; it has {', '.join(COLUMNS)}")
    return columns
