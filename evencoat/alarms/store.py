"""What of the alarms has to outlive a restart: where each stands, and what moved. One small SQLite file, bounded.

One process keeps it. Others look on: they read how things stand, and lay down in it what a person asks for, which the
keeper does and answers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from evencoat.alarms.engine import SHELVED_MOST_S, EngineState, Key, Standing, State, Transition, Why

SCHEMA_VERSION = 1
HISTORY_MOST = 20_000  # transitions: at one alarm in ten minutes, more than a month
SPARE = 500  # transitions over that before the oldest are pruned
KEPT_S = 10.0  # between two writings where nothing moved: a file that is much older has no keeper
TOLD_MOST = 1000  # transitions that an onlooker is told of at a time
ASK_AGAIN_S = 0.05  # between two looks for an answer
ASKED_MOST = 100  # questions that may wait, and answers that nobody came for
NAME = "alarms.sqlite"


class StoreError(Exception):
    """The file is not ours, of another version, or somebody else's just now; the text names it."""


class KeptElsewhere(StoreError):
    """Another process has the file, and with it the alarms of the line."""


class Told(NamedTuple):
    """A transition and the wall time at which it happened, s."""

    t_unix_s: float
    moved: Transition


class Asked(NamedTuple):
    """What a person wants done with one alarm, by way of another process that has made sure of the person.

    what: "acknowledge" or "shelve"; minutes and why: of a shelf.
    """

    what: str
    key: str
    who: str
    minutes: float = 0.0
    why: str = ""


class Seen(NamedTuple):
    """How things stood when they were last kept, at wall time `t_unix_s`, and what moved since an onlooker's last look.

    newest: number of the newest transition that there is.
    """

    state: EngineState
    t_unix_s: float
    moved: Sequence[Told]
    newest: int

    def unix_of(self, at_s: float) -> float:
        """Wall time of a time of the engine's."""
        return self.t_unix_s - (self.state.now_s - at_s)


def path_beside(journal: Path) -> Path:
    """Where the alarms of the line that writes this journal are kept."""
    own = journal.name == "journal.sqlite"
    return journal.with_name(NAME if own else f"{journal.name}.{NAME}")


class AlarmStore:
    """The file, while one process at a time has it."""

    def __init__(self, path: Path) -> None:
        """Open or create it. Raises StoreError."""
        self.path = path
        try:
            self._lock = path.with_name(f"{path.name}.lock").open("w")
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror or error}; alarms will not outlive a restart") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise KeptElsewhere(f"{path}: another process keeps the alarms of this line") from error
        try:
            self._db = _opened(path)
        except StoreError:
            self._lock.close()
            raise
        self._rows = int(self._db.execute("SELECT COUNT(*) FROM history").fetchone()[0])

    def load(self, now_unix_s: float) -> EngineState:
        """The state as it was kept; the time since then has passed for the engine, too.

        A wall clock that was set back passes for no time; no shelf then lasts longer than a shelf may. Raises
        sqlite3.Error.
        """
        state = _state(self._db, now_unix_s)
        self._put_meta({"now_s": repr(state.now_s), "t_unix_s": repr(now_unix_s)})
        return state

    def keep(self, state: EngineState, moved: Sequence[Told], now_unix_s: float) -> None:
        """Take in what moved and where everything stands now. Raises sqlite3.Error where the disk refuses."""
        told = [(t_unix_s, one.at_s, str(one.key), one.before, one.after, one.why, one.detail, one.who, one.group,
                 one.first_out) for t_unix_s, one in moved]  # fmt: skip
        meta = {"now_s": repr(state.now_s), "t_unix_s": repr(now_unix_s), "group": str(state.group)}
        with self._db:
            self._db.execute("DELETE FROM standings")
            rows = [(str(key), json.dumps(_plain(one))) for key, one in state.standings.items()]
            self._db.executemany("INSERT INTO standings VALUES (?, ?)", rows)
            self._db.executemany(f"INSERT INTO history VALUES (NULL{', ?' * 10})", told)
            self._put_meta(meta)
            self._rows += len(told)
            if self._rows > HISTORY_MOST + SPARE:
                self._db.execute("DELETE FROM history WHERE id <= (SELECT MAX(id) FROM history) - ?", (HISTORY_MOST,))
                self._rows = HISTORY_MOST

    def history(self, most: int = HISTORY_MOST) -> list[Told]:
        """So many of the newest transitions, oldest first."""
        return _history(self._db, most)

    def asked(self) -> list[tuple[int, Asked]]:
        """What other processes ask for, each with its number. From here on it is not taken back any more.

        Raises sqlite3.Error.
        """
        if self._db.execute("SELECT 1 FROM asked LIMIT 1").fetchone() is None:  # as nearly always: no lock is taken
            return []
        with self._db:
            rows = self._db.execute("DELETE FROM asked RETURNING id, what, key, who, minutes, why").fetchall()
        return sorted((row[0], Asked(*row[1:])) for row in rows)

    def answer(self, number: int, refusal: str) -> None:
        """Say that it was done, or why not. Raises sqlite3.Error."""
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO answered VALUES (?, ?)", (number, refusal))
            self._db.execute("DELETE FROM answered WHERE id <= ?", (number - ASKED_MOST,))

    def close(self) -> None:
        """Give the file back."""
        self._db.close()
        self._lock.close()

    def __enter__(self) -> AlarmStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _put_meta(self, meta: Mapping[str, str]) -> None:
        """In the transaction that is open, or one of its own."""
        inside = self._db.in_transaction
        self._db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
        if not inside:
            self._db.commit()


def _state(db: sqlite3.Connection, now_unix_s: float) -> EngineState:
    meta = dict(db.execute("SELECT name, value FROM meta"))
    kept_s, unix_s = float(meta.get("now_s", 0.0)), float(meta.get("t_unix_s", now_unix_s))
    now_s = kept_s + max(now_unix_s - unix_s, 0.0)
    rows = db.execute("SELECT key, standing FROM standings").fetchall()
    standings = {Key.of(key): _standing(json.loads(text), now_s) for key, text in rows}
    return EngineState(now_s, standings, frozenset(), int(meta.get("group", 0)))


def _history(db: sqlite3.Connection, most: int) -> list[Told]:
    rows = db.execute("SELECT * FROM history ORDER BY id DESC LIMIT ?", (most,)).fetchall()
    return [_told(row) for row in reversed(rows)]


class Onlooker:
    """The alarms of a line as other processes see them. The file is opened for each question."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def look(self, after: int) -> Seen:
        """How things stand, and what moved since the transition of that number. Raises StoreError."""
        try:
            with contextlib.closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)) as db:
                db.execute("BEGIN")  # all of it as it was at one moment
                meta = dict(db.execute("SELECT name, value FROM meta"))
                _check(self.path, meta)
                now_s = float(meta.get("now_s", 0.0))
                rows = db.execute("SELECT key, standing FROM standings").fetchall()
                told = db.execute("SELECT * FROM history WHERE id > ? ORDER BY id LIMIT ?", (after, TOLD_MOST))
                moved = told.fetchall()
                (newest,) = db.execute("SELECT COALESCE(MAX(id), 0) FROM history").fetchone()
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error
        standings = {Key.of(key): _standing(json.loads(text), now_s) for key, text in rows}
        newest = moved[-1][0] if moved else newest
        state = EngineState(now_s, standings, frozenset(), int(meta.get("group", 0)))
        return Seen(state, float(meta.get("t_unix_s", 0.0)), [_told(row) for row in moved], newest)

    def kept(self, now_unix_s: float, most: int) -> tuple[EngineState, list[Told]]:
        """The state as whoever keeps the alarms would have it now, and so many of the newest transitions.

        Raises sqlite3.Error where there is nothing yet, or it cannot be read.
        """
        with contextlib.closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return _state(db, now_unix_s), _history(db, most)

    def ask(self, asked: Asked, patience_s: float) -> str:
        """Have it done by whoever keeps the alarms; "" once it is, else why not. Blocks; raises StoreError.

        Where nobody has taken it in time it is taken back, and cannot be done later.
        """
        try:
            with contextlib.closing(sqlite3.connect(f"{self.path.resolve().as_uri()}?mode=rw", uri=True)) as db:
                _check(self.path, dict(db.execute("SELECT name, value FROM meta")))
                return _asked(db, asked, time.monotonic() + patience_s)
        except sqlite3.Error as error:
            raise StoreError(f"{self.path}: {error}") from error


def _asked(db: sqlite3.Connection, asked: Asked, until_s: float) -> str:
    with db:
        if db.execute("SELECT COUNT(*) FROM asked").fetchone()[0] >= ASKED_MOST:
            raise StoreError(f"{ASKED_MOST} questions wait for whoever keeps the alarms")
        put = db.execute("INSERT INTO asked (what, key, who, minutes, why) VALUES (?, ?, ?, ?, ?)", asked)
        number = put.lastrowid
    while True:
        over = time.monotonic() >= until_s
        if over:
            with db:
                back = db.execute("DELETE FROM asked WHERE id = ?", (number,)).rowcount
            if back:
                raise StoreError("nobody keeps the alarms of this line: is `evencoat serve` running?")
        found = db.execute("SELECT refusal FROM answered WHERE id = ?", (number,)).fetchone()
        if found is not None:
            return str(found[0])
        if over:
            raise StoreError("taken in, but not answered")
        time.sleep(ASK_AGAIN_S)


def _told(row: Sequence[Any]) -> Told:
    return Told(
        row[1],
        Transition(row[2], Key.of(row[3]), State(row[4]), State(row[5]), Why(row[6]), row[7], row[8], row[9],
                   bool(row[10])),
    )  # fmt: skip


def _check(path: Path, meta: Mapping[str, str]) -> None:
    """Raises StoreError for a file of another version."""
    version = meta.get("schema")
    if version != str(SCHEMA_VERSION):
        raise StoreError(f"{path}: schema version {version}, this evencoat has {SCHEMA_VERSION}")


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")  # an acknowledgement is kept when it is answered
        with db:
            db.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
            db.execute("CREATE TABLE IF NOT EXISTS standings (key TEXT PRIMARY KEY, standing TEXT NOT NULL)")
            db.execute(
                "CREATE TABLE IF NOT EXISTS history (id INTEGER PRIMARY KEY AUTOINCREMENT, t_unix_s REAL, at_s REAL, "
                "key TEXT, before TEXT, after TEXT, why TEXT, detail TEXT, who TEXT, grouped INTEGER, "
                "first_out INTEGER)"
            )
            db.execute(
                "CREATE TABLE IF NOT EXISTS asked (id INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT, key TEXT, "
                "who TEXT, minutes REAL, why TEXT)"
            )
            db.execute("CREATE TABLE IF NOT EXISTS answered (id INTEGER PRIMARY KEY, refusal TEXT NOT NULL)")
            db.execute("INSERT OR IGNORE INTO meta VALUES ('schema', ?)", (str(SCHEMA_VERSION),))
        meta = dict(db.execute("SELECT name, value FROM meta"))
        _check(path, meta)
    except sqlite3.Error as error:
        db.close()
        raise StoreError(f"{path}: not a store of alarms ({error})") from error
    except StoreError:
        db.close()
        raise
    return db


def _plain(standing: Standing) -> Mapping[str, Any]:
    """As JSON has it: no infinity."""
    return {**standing._asdict(), "until_s": None if standing.until_s == float("inf") else standing.until_s}


def _standing(told: Mapping[str, Any], now_s: float) -> Standing:
    """Back from JSON."""
    until_s = float("inf") if told["until_s"] is None else min(float(told["until_s"]), now_s + SHELVED_MOST_S)
    known = {name: told[name] for name in Standing._fields if name in told}
    with contextlib.suppress(ValueError):
        known["state"] = State(told["state"])
    return Standing(**{**known, "until_s": until_s})
