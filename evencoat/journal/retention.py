"""How long cycles are kept: by age and by size, the oldest go first. Events stay, audit records always do.

A stretch that goes leaves a record of itself in the chain before the first of its rows is deleted, so that a crash in
between leaves too many rows and never too few.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evencoat.journal.audit import Note, What, append, note
from evencoat.journal.tables import open_existing

DAY_S = 86_400.0
CHUNK_ROWS = 500  # deleted in one transaction: whoever waits to write waits no longer than for these
SIZE_SLACK = 0.05  # of the largest size is freed at once, so that the chain gets a record now and then, not each minute
AGE_SLACK_S = 3600.0


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds on what is kept of cycles. None is no bound."""

    keep_days: float | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went: cycles with row numbers below `cycles_from`."""

    rows: int
    cycles_from: int
    first_unix_s: float
    last_unix_s: float
    why: str


Tell = Callable[[int, int], None]  # (rows gone, of how many)


def size_bytes(db: sqlite3.Connection) -> int:
    """What the journal's rows take, without pages that are free to be used again."""
    pages, free, size = (_pragma(db, name) for name in ("page_count", "freelist_count", "page_size"))
    return (pages - free) * size


def overdue(db: sqlite3.Connection, retention: Retention, now_unix_s: float, slack: bool = True) -> tuple[int, str]:
    """The row number that cycles may begin at, and why; (0, "") where nothing is too old or too much.

    With `slack`, an hour too much is borne. Of what is too large a twentieth more goes than must.
    """
    cut, why = 0, ""
    if retention.keep_days is not None:
        oldest_s = now_unix_s - retention.keep_days * DAY_S
        first = db.execute("SELECT t_unix_s FROM cycles ORDER BY id LIMIT 1").fetchone()
        if first is not None and first[0] is not None and first[0] < oldest_s - (AGE_SLACK_S if slack else 0.0):
            cut, why = _first_since(db, oldest_s), f"older than {retention.keep_days:g} days"
    if retention.max_bytes is not None:
        size = size_bytes(db)
        if size > retention.max_bytes:
            too_much = size - retention.max_bytes * (1.0 - SIZE_SLACK)
            by_size = oldest_share(db, min(too_much / max(size - _empty_bytes(db), 1), 1.0))
            if by_size > cut:
                cut, why = by_size, f"larger than {retention.max_bytes} bytes"
    return cut, why


def _empty_bytes(db: sqlite3.Connection) -> int:
    """What the tables and indices take before there is anything in them."""
    (trees,) = db.execute("SELECT COUNT(*) FROM sqlite_schema WHERE rootpage > 0").fetchone()
    return int(trees) * _pragma(db, "page_size")


def oldest_share(db: sqlite3.Connection, share: float, least: int = 1) -> int:
    """The row number before which that share of the cycles lies, and `least` of them; 0 where there are none."""
    low, high = db.execute("SELECT MIN(id), MAX(id) FROM cycles").fetchone()
    return 0 if low is None else min(low + max(least, int(share * (high - low + 1))), high + 1)


def prune(db: sqlite3.Connection, cut: int, who: str, why: str, tell: Tell = lambda rows, of: None) -> Pruned | None:
    """Delete cycles with row numbers below `cut`, after a record of it; None where there are none.

    Raises sqlite3.Error where the disk refuses; what was recorded and not deleted goes with the next prune.
    """
    found = _stretch(db, cut)
    if found is None:
        return None
    rows, low, first_s, last_s = found
    with writing(db):
        append(db, [_record(rows, low, cut, first_s, last_s, who, why)])
    for _ in _delete(db, cut, rows, tell):
        pass
    return Pruned(rows, cut, first_s, last_s, why)


def give_back(db: sqlite3.Connection) -> None:
    """Hand free pages back to the file system, as far as SQLite can without rewriting the file."""
    db.executescript("PRAGMA incremental_vacuum")  # a row a page: execute() would stop after the first
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def pruned_to(path: Path, retention: Retention, who: str, why: str, tell: Tell) -> tuple[Pruned | None, int]:
    """Prune a journal that lies there, also one that is being written; what went, and the bytes that are left.

    Raises JournalError, and sqlite3.Error where the disk refuses.
    """
    with closing(open_existing(path)) as db:
        cut, reason = overdue(db, retention, time.time(), slack=False)
        gone = prune(db, cut, who, f"{reason}: {why}" if why else reason, tell) if cut else None
        give_back(db)
        return gone, size_bytes(db)


@contextmanager
def writing(db: sqlite3.Connection) -> Iterator[None]:
    """A transaction that holds the write lock from its beginning, so that what it reads of the head stays true."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _delete(db: sqlite3.Connection, cut: int, rows: int, tell: Tell) -> Iterator[int]:
    gone = 0
    while True:
        with writing(db):
            done = db.execute(
                "DELETE FROM cycles WHERE id IN (SELECT id FROM cycles WHERE id < ? ORDER BY id LIMIT ?)",
                (cut, CHUNK_ROWS),
            ).rowcount
        gone += done
        tell(gone, rows)
        if done < CHUNK_ROWS:
            return
        yield gone


def _stretch(db: sqlite3.Connection, cut: int) -> tuple[int, int, float, float] | None:
    rows, low, first_s, last_s = db.execute(
        "SELECT COUNT(*), MIN(id), MIN(t_unix_s), MAX(t_unix_s) FROM cycles WHERE id < ?", (cut,)
    ).fetchone()
    return (rows, low, first_s or 0.0, last_s or 0.0) if rows else None


def _record(rows: int, low: int, cut: int, first_s: float, last_s: float, who: str, why: str) -> Note:
    old: dict[str, Any] = {
        "cycles_from": low,
        "rows": rows,
        "first_unix_s": round(first_s, 3),
        "last_unix_s": round(last_s, 3),
    }
    return note(who, What.PRUNE, json.dumps(old), json.dumps({"cycles_from": cut}), why)


def _first_since(db: sqlite3.Connection, t_unix_s: float) -> int:
    """Row number of the first cycle that is not older, by halving: there is no index on wall time, which can jump."""
    low, high = db.execute("SELECT MIN(id), MAX(id) FROM cycles").fetchone()
    while low <= high:
        middle = (low + high) // 2
        row = db.execute("SELECT id, t_unix_s FROM cycles WHERE id >= ? ORDER BY id LIMIT 1", (middle,)).fetchone()
        if row is None or row[1] is None or row[1] >= t_unix_s:
            high = middle - 1
        else:
            low = row[0] + 1
    return int(low)


def _pragma(db: sqlite3.Connection, name: str) -> int:
    (value,) = db.execute(f"PRAGMA {name}").fetchone()
    return int(value)
