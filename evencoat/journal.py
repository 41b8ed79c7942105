"""The cycle journal: every cycle's Trace in SQLite, written off the paced thread, and read back as arrays.

The journal is the only road from the control process to everything people look at. The loop calls `record`, which
never blocks and never raises; a writer thread commits in batches, so that after a kill -9 the file opens with every
committed row (at most COMMIT_PERIOD_S of line are lost with the process, none that a reader has already seen).
evencoat.cli and evencoat.daemon write, reports and other processes read; nothing else touches the file.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.core.trace import Trace
from controller.line.description import Array, LineDescription

SCHEMA_VERSION = 4
QUEUE_MAX = 6000  # ten minutes of cycles at 10 Hz: a disk that stalls longer loses rows, and says so
COMMIT_PERIOD_S = 0.25
BATCH_MAX = 500

# Columns in the order of the table; names are those of Trace. Arrays are little-endian float32, flags one byte a zone.
SCALARS: tuple[tuple[str, str], ...] = (
    ("cycle", "INTEGER"),
    ("t_line_ns", "INTEGER"),
    ("sync_cycle", "INTEGER"),
    ("web_m", "REAL"),
    ("web_speed_mps", "REAL"),
    ("line_state", "INTEGER"),
    ("roll", "INTEGER"),
    ("batch", "INTEGER"),
    ("mode_requested", "TEXT"),
    ("mode_actual", "TEXT"),
    ("outcome", "TEXT"),
    ("wet_scan_id", "INTEGER"),
    ("dry_scan_id", "INTEGER"),
    ("pump_ratio_rpm_per_mps", "REAL"),
    ("pump_trim_law_pct", "REAL"),
    ("pump_trim_pct", "REAL"),
    ("pump_trim_applied_pct", "REAL"),
    ("pump_speed_rpm", "REAL"),
    ("pump_pressure_kpa", "REAL"),
    ("limited_zones", "INTEGER"),
    ("sent", "INTEGER"),
    ("valid_until_cycle", "INTEGER"),
    ("surprise_cd", "REAL"),
    ("surprise_md", "REAL"),
    ("harris_md", "REAL"),
    ("sigma_md_pct", "REAL"),
    ("rung", "TEXT"),
    ("rung_cause", "TEXT"),
    ("model_news", "TEXT"),
    ("against_pi_cd", "REAL"),
    ("against_pi_md", "REAL"),
)
LISTS = ("limits", "link_faults")  # joined by "; "
ARRAYS = ("profile_gsm", "wet_bias_pct", "gap_um", "gap_law_um", "gap_target_um")
FLAGS = ("profile_valid", "zone_not_following")
TIMES = ("step_us", "lateness_us")  # how long the step took, how late the cycle began

_COLUMNS = (*(name for name, _ in SCALARS), *LISTS, *ARRAYS, *FLAGS, *TIMES)
_INSERT = f"INSERT INTO cycles ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
_INSERT_EVENT = "INSERT INTO events (t_unix_s, t_line_ns, cycle, kind, text) VALUES (?, ?, ?, ?, ?)"


class JournalError(Exception):
    """The file is not a journal of ours, of another version, or of another line."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something worth a sentence: when (wall clock, and line time of the last cycle before it), what, in words."""

    t_unix_s: float
    t_line_ns: int
    cycle: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Newest:
    """The last cycle in a few figures: what a progress bar or a status line shows."""

    cycle: int
    t_line_ns: int
    mode_actual: str
    outcome: str
    worst_pct: float  # largest deviation of a valid zone from its target; NaN where none is valid


@dataclass(frozen=True, slots=True)
class _Cycle:
    trace: Trace
    step_us: float
    lateness_us: float


class CycleJournal:
    """Writer of one journal file. Opening an existing file of the same line appends to it.

    `lost` counts rows that found the queue full or the disk refusing; `error` keeps the last refusal in words.
    """

    def __init__(self, path: Path | str, line: LineDescription, settings_text: str, queue_max: int = QUEUE_MAX) -> None:
        """Open or create the file. Raises JournalError when it is something else, OSError when it cannot be made."""
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lost = 0
        self.written = 0
        self.error: str | None = None
        self._queue_max = queue_max
        self._queue: SimpleQueue[_Cycle | Event | None] = SimpleQueue()
        self._last = (0, -1)  # line time and number of the newest cycle: what an event is stamped with
        self._lost_told = 0
        self._closed = False
        self._db = _open_for_writing(self.path, line, settings_text)
        self._thread = threading.Thread(target=self._write_until_closed, name="journal", daemon=True)
        self._thread.start()

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """Keep one cycle. Never blocks and never raises; a full queue counts the cycle as lost."""
        self._last = (trace.t_line_ns, trace.cycle)
        self._put(_Cycle(trace, step_us, lateness_us))
        if trace.model_news:
            self.event("model", trace.model_news)

    def event(self, kind: str, text: str) -> None:
        """Keep a sentence, stamped with the newest cycle."""
        self._put(Event(time.time(), *self._last, kind, text))

    def close(self) -> None:
        """Write what is queued, commit and close the file. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._db.close()

    def __enter__(self) -> CycleJournal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _put(self, item: _Cycle | Event) -> None:
        if self._closed or self._queue.qsize() >= self._queue_max:
            self.lost += 1
        else:
            self._queue.put(item)

    def _write_until_closed(self) -> None:
        for batch, last in _batches(self._queue):
            try:
                self._commit(batch)
            except (sqlite3.Error, OSError) as error:  # a full or dying disk must not stop the line
                self.error = str(error)
                self.lost += len(batch)
                self._db.rollback()
            if last:
                return

    def _commit(self, batch: Sequence[_Cycle | Event]) -> None:
        """One transaction: the batch, and a row of its own for what was lost since the last one."""
        cycles = [_row(item) for item in batch if isinstance(item, _Cycle)]
        events = [_event_row(item) for item in batch if isinstance(item, Event)]
        lost = self.lost
        if lost > self._lost_told:
            text = f"{lost - self._lost_told} rows lost: the queue was full or the disk refused"
            events.append(_event_row(Event(time.time(), *self._last, "journal-overflow", text)))
        with self._db:
            self._db.executemany(_INSERT, cycles)
            self._db.executemany(_INSERT_EVENT, events)
        self._lost_told = lost
        self.written += len(cycles)


class JournalReader:
    """Reads a journal, also while it is written and after its writer was killed."""

    def __init__(self, path: Path | str) -> None:
        """Open read-only. Raises JournalError when there is no journal."""
        self.path = Path(path)
        if not self.path.is_file():
            raise JournalError(f"{self.path}: no such journal")
        self._db = _open_for_reading(self.path)
        try:
            self.meta: dict[str, str] = dict(self._db.execute("SELECT key, value FROM meta"))
        except sqlite3.DatabaseError as error:
            raise JournalError(f"{self.path}: not a cycle journal ({error})") from error
        _check_version(self.path, self.meta)

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
        (count,) = self._db.execute("SELECT COUNT(*) FROM cycles").fetchone()
        return int(count)

    def newest(self) -> Newest | None:
        """The last committed cycle, or None while there is none."""
        row = self._db.execute(
            "SELECT cycle, t_line_ns, mode_actual, outcome, profile_gsm, profile_valid "
            "FROM cycles ORDER BY id DESC LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        profile, valid = np.frombuffer(row[4], dtype="<f4"), np.frombuffer(row[5], dtype=np.bool_)
        deviation = 100.0 * np.abs(profile / self.target_gsm - 1.0)[valid]
        worst_pct = float(deviation.max()) if deviation.size else np.nan
        return Newest(row[0], row[1], row[2], row[3], worst_pct)

    def cycles(
        self, columns: Sequence[str] = _COLUMNS, first_cycle: int | None = None, last_cycle: int | None = None
    ) -> dict[str, npt.NDArray[Any]]:
        """Columns of the cycles asked for, in the order written.

        Scalars come as (T,), arrays and flags as (T, zones), text (modes, outcome, limits, link faults) as (T,) of str.
        Raises ValueError naming an unknown column.
        """
        unknown = [name for name in columns if name not in _COLUMNS]
        if unknown:
            raise ValueError(f"journal has no column {unknown[0]!r}; it has {', '.join(_COLUMNS)}")
        low = -(2**63) if first_cycle is None else first_cycle
        high = 2**63 - 1 if last_cycle is None else last_cycle
        query = f"SELECT {', '.join(columns)} FROM cycles WHERE cycle BETWEEN ? AND ? ORDER BY id"
        rows = self._db.execute(query, (low, high)).fetchall()
        return {name: _column(name, [row[k] for row in rows]) for k, name in enumerate(columns)}

    def events(self) -> list[Event]:
        """Every event in the order written."""
        return [
            Event(*row)
            for row in self._db.execute("SELECT t_unix_s, t_line_ns, cycle, kind, text FROM events ORDER BY id")
        ]

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# --- the file ----------------------------------------------------------------------------------------------------


def _open_for_writing(path: Path, line: LineDescription, settings_text: str) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)  # opened here so that start-up fails loudly, used by the writer
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")  # survives the process; a power cut may cost the last checkpoint
        _create(db, line, settings_text)
        meta: dict[str, str] = dict(db.execute("SELECT key, value FROM meta"))
    except sqlite3.DatabaseError as error:
        db.close()
        raise JournalError(f"{path}: not a cycle journal ({error})") from error
    try:
        _check_version(path, meta)
        if meta["line"] != line.name:
            raise JournalError(f"{path}: is the journal of line {meta['line']!r}, not of {line.name!r}")
    except JournalError:
        db.close()
        raise
    return db


def _create(db: sqlite3.Connection, line: LineDescription, settings_text: str) -> None:
    columns = ", ".join(
        [f"{name} {kind}" for name, kind in SCALARS]
        + [f"{name} TEXT" for name in LISTS]
        + [f"{name} BLOB" for name in ARRAYS + FLAGS]
        + [f"{name} REAL" for name in TIMES]
    )
    meta = {
        "schema_version": str(SCHEMA_VERSION),
        "line": line.name,
        "settings": settings_text,
        "target_gsm": json.dumps(line.target_profile_gsm.tolist()),
        "started_unix_s": f"{time.time():.3f}",
    }
    with db:
        db.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        db.execute(f"CREATE TABLE IF NOT EXISTS cycles (id INTEGER PRIMARY KEY, {columns})")
        db.execute(
            "CREATE TABLE IF NOT EXISTS events "
            "(id INTEGER PRIMARY KEY, t_unix_s REAL, t_line_ns INTEGER, cycle INTEGER, kind TEXT, text TEXT)"
        )
        db.execute("CREATE INDEX IF NOT EXISTS cycles_cycle ON cycles (cycle)")
        db.execute("CREATE INDEX IF NOT EXISTS cycles_t_line_ns ON cycles (t_line_ns)")
        db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", meta.items())


def _open_for_reading(path: Path) -> sqlite3.Connection:
    uri = path.resolve().as_uri()
    db = sqlite3.connect(f"{uri}?mode=ro", uri=True)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # WAL needs a writable folder even to read; a cleanly closed journal in an archive can be read as it lies
        db.close()
        db = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    except sqlite3.DatabaseError:
        pass  # not a database: the caller's first query says so with the path
    return db


def _check_version(path: Path, meta: dict[str, str]) -> None:
    version = meta.get("schema_version")
    if version != str(SCHEMA_VERSION):
        raise JournalError(f"{path}: schema version {version}, this evencoat reads {SCHEMA_VERSION}")


# --- rows --------------------------------------------------------------------------------------------------------


def _batches(queue: SimpleQueue[_Cycle | Event | None]) -> Iterator[tuple[list[_Cycle | Event], bool]]:
    """Whatever comes within one commit period of its first row, and whether it is the last batch."""
    last = False
    while not last:
        batch: list[_Cycle | Event] = []
        until: float | None = None
        while len(batch) < BATCH_MAX:
            try:
                item = queue.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except Empty:
                break
            if item is None:
                last = True
                break
            until = until or time.monotonic() + COMMIT_PERIOD_S
            batch.append(item)
        yield batch, last


def _row(item: _Cycle) -> tuple[object, ...]:
    trace = item.trace
    return (
        *(getattr(trace, name) for name, _ in SCALARS),
        *("; ".join(getattr(trace, name)) for name in LISTS),
        *(np.asarray(getattr(trace, name), dtype="<f4").tobytes() for name in ARRAYS),
        *(np.asarray(getattr(trace, name), dtype=np.uint8).tobytes() for name in FLAGS),
        item.step_us,
        item.lateness_us,
    )


def _event_row(event: Event) -> tuple[object, ...]:
    return (event.t_unix_s, event.t_line_ns, event.cycle, event.kind, event.text)


def _column(name: str, values: list[Any]) -> npt.NDArray[Any]:
    """One column as an array. SQLite stores NaN as NULL; it comes back as NaN."""
    if name in ARRAYS or name in FLAGS:
        flat = np.frombuffer(b"".join(values), dtype="<f4" if name in ARRAYS else np.bool_)
        return flat.reshape(len(values), -1) if values else flat.reshape(0, 0)
    if name in LISTS or _KINDS.get(name) == "TEXT":
        return np.asarray(values, dtype=np.str_)
    if name == "sent":
        return np.asarray(values, dtype=np.bool_)
    if _KINDS.get(name) == "INTEGER":
        return np.asarray(values, dtype=np.int64)
    return np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)


_KINDS = dict(SCALARS)


class NoSink:
    """Keeps nothing: for runs of which only the truth matters."""

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """Nothing kept."""
