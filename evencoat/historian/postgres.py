"""PostgreSQL, and TimescaleDB where its extension is in the database: every row of the journal, once.

Rows are copied to a staging table and inserted where they are not there yet, and the bookmark moves, all in one
transaction: whichever of the two machines dies, the next delivery begins where the last commit ended. With the
extension `timescaledb` in the database the table becomes a hypertable by time; without it, it is a plain one.
"""

from __future__ import annotations

import contextlib
import math
from datetime import UTC, datetime
from typing import Any

import numpy as np
import psycopg
from psycopg.conninfo import conninfo_to_dict

from evencoat.historian.outbox import Rows, SinkDown, SinkError, Source
from evencoat.journal import ARRAYS, COLUMNS, FLAGS, LISTS, LOT_NAMES, SCANS, SHOWN, TIMES
from evencoat.journal.tables import KINDS

CONNECT_S, STATEMENT_MS, SILENT_MS = 5, 60_000, 20_000
TABLE, BOOKMARKS, GAPS = "evencoat_cycles", "evencoat_bookmarks", "evencoat_gaps"
KEY = {"journal_id": "text", "row_id": "bigint", "time": "timestamptz"}
TYPES = {"INTEGER": "bigint", "REAL": "double precision", "TEXT": "text"}
TOLD = (*COLUMNS, *LOT_NAMES)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _type(name: str) -> str:
    if name == "sent":
        return "boolean"
    if name in (*ARRAYS, *SCANS, *SHOWN):
        return "real[]"
    if name in FLAGS:
        return "boolean[]"
    return "text" if name in (*LISTS, *LOT_NAMES) else "double precision" if name in TIMES else TYPES[KINDS[name]]


FIELDS = {**KEY, "line": "text", **{name: _type(name) for name in TOLD}}
NOT_NULL = {*KEY, "line"}
CREATE = (
    f"CREATE TABLE {TABLE} ("
    + ", ".join(f"{name} {kind}{' NOT NULL' if name in NOT_NULL else ''}" for name, kind in FIELDS.items())
    + f", PRIMARY KEY ({', '.join(KEY)}))",
    f"CREATE INDEX {TABLE}_line_time ON {TABLE} (line, time)",
    f"CREATE TABLE {BOOKMARKS} (journal_id text PRIMARY KEY, line text NOT NULL, row_id bigint NOT NULL)",
    f"CREATE TABLE {GAPS} (journal_id text NOT NULL, first_row bigint NOT NULL, last_row bigint NOT NULL, "
    "told timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (journal_id, first_row))",
)
MARK = (
    f"INSERT INTO {BOOKMARKS} VALUES (%s, %s, %s) ON CONFLICT (journal_id) "
    f"DO UPDATE SET row_id = GREATEST({BOOKMARKS}.row_id, EXCLUDED.row_id)"
)
PASSING = (psycopg.OperationalError, psycopg.InterfaceError)


class Postgres:
    """The sink. Connects when it is first needed, and anew after whatever went wrong."""

    name = "postgres"

    def __init__(self, dsn: str) -> None:
        """A connection string or URI. Raises SinkError where it is none, without showing it: it may hold a password."""
        try:
            given = conninfo_to_dict(dsn)
        except psycopg.Error:
            given = {}
        if not given:
            raise SinkError("postgres: no connection string; for instance postgresql://evencoat@db.plant/coating")
        own = {
            "connect_timeout": CONNECT_S,
            "application_name": "evencoat",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": SILENT_MS,
            "options": f"-c statement_timeout={STATEMENT_MS}",
        }
        self._given: dict[str, Any] = {**own, **given}
        self._secret = str(given.get("password") or "")
        self._db: psycopg.Connection[Any] | None = None
        self.hypertable = False

    def bookmark(self, source: Source) -> int:
        with self._trying() as db, db.transaction():
            row = db.execute(f"SELECT row_id FROM {BOOKMARKS} WHERE journal_id = %s", (source.journal_id,)).fetchone()
        return int(row[0]) if row is not None else 0

    def deliver(self, source: Source, rows: Rows) -> int:
        last = int(rows.numbers[-1])
        with self._trying() as db, db.transaction():
            with db.cursor().copy(f"COPY staging ({', '.join(FIELDS)}) FROM STDIN (FORMAT BINARY)") as copy:
                copy.set_types([kind.replace("double precision", "float8") for kind in FIELDS.values()])
                for row in _records(source, rows):
                    copy.write_row(row)
            db.execute(f"INSERT INTO {TABLE} SELECT * FROM staging ON CONFLICT DO NOTHING")
            db.execute(MARK, (source.journal_id, source.line.name, last))
        return last

    def settle(self, source: Source, everything: bool) -> int:
        return self.bookmark(source)

    def missing(self, source: Source, first_row: int, last_row: int) -> None:
        with self._trying() as db, db.transaction():
            found = (source.journal_id, first_row, last_row)
            db.execute(f"INSERT INTO {GAPS} VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", found)
            db.execute(MARK, (source.journal_id, source.line.name, last_row))

    def close(self) -> None:
        if self._db is not None:
            with contextlib.suppress(psycopg.Error):
                self._db.close()
            self._db = None

    @contextlib.contextmanager
    def _trying(self) -> Any:
        """The connection, made where there is none. What may pass is SinkDown, what will not is SinkError."""
        try:
            if self._db is None:
                self._db = psycopg.connect(**self._given, autocommit=True)
                self._ready(self._db)
            yield self._db
        except PASSING as error:
            self.close()
            raise SinkDown(self._words(error)) from None
        except psycopg.Error as error:
            self.close()
            raise SinkError(f"postgres: {self._words(error)}") from None

    def _words(self, error: psycopg.Error) -> str:
        words = " ".join(str(error).split()) or type(error).__name__
        return words.replace(self._secret, "***") if self._secret else words

    def _ready(self, db: psycopg.Connection[Any]) -> None:
        """Tables that are not there yet, and the staging table of this connection."""
        with db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(hashtext('evencoat'))")  # two lines may begin at once
            if db.execute("SELECT to_regclass(%s)", (TABLE,)).fetchone() == (None,):
                for words in CREATE:
                    db.execute(words)
                if _has_timescale(db):
                    db.execute("SELECT create_hypertable(%s::regclass, 'time')", (TABLE,))
            for name in sorted(FIELDS.keys() - _columns_of(db)):  # a table of an older evencoat
                db.execute(f"ALTER TABLE {TABLE} ADD COLUMN {name} {FIELDS[name]}")
            db.execute(f"CREATE TEMP TABLE staging (LIKE {TABLE}) ON COMMIT DELETE ROWS")
            self.hypertable = _is_hypertable(db)


def _columns_of(db: psycopg.Connection[Any]) -> set[str]:
    found = db.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped", (TABLE,)
    )
    return {row[0] for row in found}


def _has_timescale(db: psycopg.Connection[Any]) -> bool:
    return db.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone() is not None


def _is_hypertable(db: psycopg.Connection[Any]) -> bool:
    """Whether the table is one now: it may have been made before the extension came, and is then left as it is."""
    if not _has_timescale(db):
        return False
    found = db.execute("SELECT 1 FROM timescaledb_information.hypertables WHERE hypertable_name = %s", (TABLE,))
    return found.fetchone() is not None


def _records(source: Source, rows: Rows) -> Any:
    """Rows as the table has them, in the order of FIELDS; what is no number in a scalar is NULL."""
    columns = [_plain(name, rows.columns[name]) for name in TOLD]
    written = rows.columns["t_unix_s"].tolist()
    for number, t_unix_s, *values in zip(rows.numbers.tolist(), written, *columns, strict=True):
        yield (source.journal_id, number, _time(t_unix_s), source.line.name, *values)


def _time(t_unix_s: float) -> datetime:
    """To the microsecond, and always the same for the same row: it is part of the key."""
    return datetime.fromtimestamp(round(t_unix_s, 6), UTC) if math.isfinite(t_unix_s) else EPOCH


def _plain(name: str, values: np.ndarray[Any, Any]) -> list[Any]:
    if name in SHOWN or name in SCANS:
        return [None if np.isnan(one).all() else one.tolist() for one in values]
    if values.dtype.kind == "f" and values.ndim == 1:
        return [None if math.isnan(value) else value for value in values.tolist()]
    plain: list[Any] = values.tolist()
    return plain
