"""The journal's file: its tables, how it is opened, and rows to arrays and back. Only this room touches SQLite."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.core.network import BATCH_CONTEXT, BATCH_TAPS, MEAN_CONTEXT, MEAN_TAPS
from controller.core.trace import NOTHING, Trace
from controller.line.description import LineDescription

SCHEMA_VERSION = 9

# Columns in the order of the table; names are those of Trace. Arrays are little-endian float32, flags one byte a zone;
# SCANS have something only in cycles in which a scan came; what the network was SHOWN (so many numbers, whatever the
# zones) is kept once a second of line time.
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
    ("guest_pct", "REAL"),
    ("guest_whole_pct", "REAL"),
    ("guest_authority", "REAL"),
    ("batch_foretold_pct", "REAL"),
    ("batch_foretold_sd_pct", "REAL"),
    ("batch_step_pct", "REAL"),
    ("batch_step_sd_pct", "REAL"),
    ("batch_answered_pct", "REAL"),
    ("guest_missed_pct", "REAL"),
    ("guest_missed_m", "REAL"),
    ("target_gsm", "REAL"),
    ("slurry_temperature_c", "REAL"),
    ("wet_scan_share", "REAL"),
    ("wet_scan_rough_pct", "REAL"),
    ("wet_scan_past_boxes", "REAL"),
    ("wet_scan_m", "REAL"),
    ("dry_scan_share", "REAL"),
    ("dry_scan_rough_pct", "REAL"),
    ("dry_scan_past_boxes", "REAL"),
    ("dry_scan_m", "REAL"),
)
PAGE_BYTES = 8192  # a row of a forty-zone line would leave a quarter of smaller ones empty
LISTS = ("limits", "link_faults")  # joined by "; "
ARRAYS = ("profile_gsm", "wet_bias_pct", "gap_um", "gap_law_um", "gap_target_um")
FLAGS = ("profile_valid", "zone_not_following", "zone_manual")
SCANS = ("wet_scan_gsm", "dry_scan_gsm")  # as ARRAYS, NULL where no scan came
SHOWN = {"batch_shown": BATCH_TAPS + BATCH_CONTEXT, "guest_shown": MEAN_TAPS + MEAN_CONTEXT}
TIMES = ("step_us", "lateness_us", "t_unix_s")  # how long the step took, how late the cycle began, wall clock
KINDS = dict(SCALARS)

COLUMNS = (*(name for name, _ in SCALARS), *LISTS, *ARRAYS, *FLAGS, *SCANS, *SHOWN, *TIMES)
EVENT_COLUMNS = ("t_unix_s", "t_line_ns", "cycle", "kind", "text")
LOT_NAMES = ("production_order", "material_lot", "roll_name")  # told beside each cycle, kept in a table of their own
LOT_COLUMNS = ("from_row", "t_unix_s", "roll", *LOT_NAMES)
AUDIT_COLUMNS = ("seq", "t_unix_ns", "who", "what", "old", "new", "why", "before", "hash")


def _insert(table: str, columns: tuple[str, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"


INSERT_CYCLE = _insert("cycles", COLUMNS)
INSERT_EVENT = _insert("events", EVENT_COLUMNS)
INSERT_AUDIT = _insert("audit", AUDIT_COLUMNS)
INSERT_LOT = _insert("lots", LOT_COLUMNS)


def without_shown(trace: Trace) -> Trace:
    """The same cycle, without what the network was shown in it."""
    return trace._replace(batch_shown=NOTHING, guest_shown=NOTHING)


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
class Cycle:
    """One cycle on its way to the file."""

    trace: Trace
    step_us: float
    lateness_us: float
    t_unix_s: float


# --- the file ----------------------------------------------------------------------------------------------------


def open_for_writing(path: Path, line: LineDescription, settings_text: str) -> sqlite3.Connection:
    """Open or create the journal of a line. Raises JournalError when it is something else."""
    db = sqlite3.connect(path, check_same_thread=False)  # opened here so that start-up fails loudly, used by the writer
    try:
        db.execute(f"PRAGMA page_size={PAGE_BYTES}")  # of a new file
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")  # before the first table; lets `prune` give pages back
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")  # what was committed survives a power cut too
        version = db.execute("PRAGMA table_info(meta)").fetchall() and dict(_meta_of(db)).get("schema_version")
        if version and version != str(SCHEMA_VERSION):
            raise JournalError(f"{path}: schema version {version}, this evencoat writes {SCHEMA_VERSION}")
        _create(db, line, settings_text)
        meta = dict(_meta_of(db))
    except sqlite3.DatabaseError as error:
        db.close()
        raise JournalError(f"{path}: not a cycle journal ({error})") from error
    except JournalError:
        db.close()
        raise
    if meta["line"] != line.name:
        db.close()
        raise JournalError(f"{path}: is the journal of line {meta['line']!r}, not of {line.name!r}")
    return db


def open_existing(path: Path) -> sqlite3.Connection:
    """Open a journal that is there, to append to its chain or to prune it. Raises JournalError."""
    if not path.is_file():
        raise JournalError(f"{path}: no such journal")
    db = sqlite3.connect(path, timeout=30.0)
    try:
        db.execute("PRAGMA synchronous=FULL")
        check_version(path, dict(_meta_of(db)))
    except sqlite3.DatabaseError as error:
        db.close()
        raise JournalError(f"{path}: not a cycle journal ({error})") from error
    except JournalError:
        db.close()
        raise
    return db


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open read-only, also in a folder that nobody may write."""
    uri = path.resolve().as_uri()
    db = sqlite3.connect(f"{uri}?mode=ro", uri=True)
    try:
        db.execute("SELECT 1 FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        # WAL needs a writable folder even to read; a cleanly closed journal in an archive can be read as it lies
        db.close()
        db = sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)
    except sqlite3.DatabaseError:
        pass  # not a database, or a torn one: the caller's first query says so
    return db


def check_version(path: Path, meta: dict[str, str]) -> None:
    """Raises JournalError for a journal of another version."""
    version = meta.get("schema_version")
    if version != str(SCHEMA_VERSION):
        raise JournalError(f"{path}: schema version {version}, this evencoat reads {SCHEMA_VERSION}")


def _meta_of(db: sqlite3.Connection) -> list[tuple[str, str]]:
    return db.execute("SELECT key, value FROM meta").fetchall()


def _create(db: sqlite3.Connection, line: LineDescription, settings_text: str) -> None:
    meta = {
        "schema_version": str(SCHEMA_VERSION),
        "line": line.name,
        "settings": settings_text,
        "target_gsm": json.dumps(line.target_profile_gsm.tolist()),
        "started_unix_s": f"{time.time():.3f}",
        "journal_id": secrets.token_hex(16),  # what the audit chain begins with
    }
    with db:
        create_tables(db)
        db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", meta.items())


def create_tables(db: sqlite3.Connection) -> None:
    """All tables, where they are missing. Numbers of cycles are never used twice: a gap shows."""
    columns = ", ".join(
        [f"{name} {kind}" for name, kind in SCALARS]
        + [f"{name} TEXT" for name in LISTS]
        + [f"{name} BLOB" for name in (*ARRAYS, *FLAGS, *SCANS, *SHOWN)]
        + [f"{name} REAL" for name in TIMES]
    )
    db.execute("CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
    db.execute(f"CREATE TABLE IF NOT EXISTS cycles (id INTEGER PRIMARY KEY AUTOINCREMENT, {columns})")
    db.execute(
        "CREATE TABLE IF NOT EXISTS events "
        "(id INTEGER PRIMARY KEY, t_unix_s REAL, t_line_ns INTEGER, cycle INTEGER, kind TEXT, text TEXT)"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS audit (seq INTEGER PRIMARY KEY, t_unix_ns INTEGER, who TEXT, what TEXT, "
        "old TEXT, new TEXT, why TEXT, before TEXT, hash TEXT)"
    )
    db.execute(
        "CREATE TABLE IF NOT EXISTS lots (id INTEGER PRIMARY KEY, from_row INTEGER, t_unix_s REAL, roll INTEGER, "
        + ", ".join(f"{name} TEXT" for name in LOT_NAMES)
        + ")"
    )
    db.execute("CREATE INDEX IF NOT EXISTS cycles_cycle ON cycles (cycle)")
    db.execute("CREATE INDEX IF NOT EXISTS cycles_t_line_ns ON cycles (t_line_ns)")


# --- rows --------------------------------------------------------------------------------------------------------


def cycle_row(item: Cycle) -> tuple[object, ...]:
    """One cycle as SQLite keeps it, in the order of COLUMNS."""
    trace = item.trace
    with np.errstate(over="ignore"):  # a target typed beyond what four bytes hold is Inf in the journal
        return (
            *(getattr(trace, name) for name, _ in SCALARS),
            *("; ".join(getattr(trace, name)) for name in LISTS),
            *(np.asarray(getattr(trace, name), dtype="<f4").tobytes() for name in ARRAYS),
            *(np.asarray(getattr(trace, name), dtype=np.uint8).tobytes() for name in FLAGS),
            *(np.asarray(getattr(trace, name), dtype="<f4").tobytes() or None for name in (*SCANS, *SHOWN)),
            item.step_us,
            item.lateness_us,
            item.t_unix_s,
        )


def event_row(event: Event) -> tuple[object, ...]:
    """One event in the order of EVENT_COLUMNS."""
    return (event.t_unix_s, event.t_line_ns, event.cycle, event.kind, event.text)


def column(name: str, values: list[Any], zones: int) -> npt.NDArray[Any]:
    """One column as an array. SQLite stores NaN as NULL; it comes back as NaN, as does what was not shown."""
    if name in SHOWN or name in SCANS:
        size = SHOWN.get(name, zones)
        nothing = np.full(size, np.nan, dtype="<f4").tobytes()
        return np.frombuffer(b"".join(value or nothing for value in values), dtype="<f4").reshape(len(values), size)
    if name in ARRAYS or name in FLAGS:
        flat = np.frombuffer(b"".join(values), dtype="<f4" if name in ARRAYS else np.bool_)
        return flat.reshape(len(values), -1) if values else flat.reshape(0, 0)
    if name in LISTS or KINDS.get(name) == "TEXT":
        return np.asarray(values, dtype=np.str_)
    if name == "sent":
        return np.asarray(values, dtype=np.bool_)
    if KINDS.get(name) == "INTEGER":
        return np.asarray(values, dtype=np.int64)
    return np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
