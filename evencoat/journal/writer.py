"""CycleJournal: what the loop and the daemon write to. Nothing here blocks or raises on the caller's thread.

A writer thread commits in batches, at most COMMIT_PERIOD_S after the first row of each; what was committed survives
kill -9 and a power cut. It also keeps the journal within its retention, and makes room where the disk is full: a
reserve beside the journal is let go and the oldest cycles are pruned. Cycles that cannot be written even then are lost
and counted; audit records and events wait until they can be.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue

from controller.core.trace import Trace
from controller.line.description import LineDescription
from evencoat.journal import lots
from evencoat.journal import retention as keeping
from evencoat.journal.audit import ITSELF, Note, What, append, note
from evencoat.journal.lots import Ledger, Lot, Naming
from evencoat.journal.retention import Retention
from evencoat.journal.tables import (
    INSERT_CYCLE,
    INSERT_EVENT,
    Cycle,
    Event,
    cycle_row,
    event_row,
    open_for_writing,
    without_shown,
)

QUEUE_MAX = 6000  # ten minutes of cycles at 10 Hz: a disk that stalls longer loses rows, and says so
OWED_MAX = 10_000  # events that wait for a disk; the oldest give way beyond
COMMIT_PERIOD_S = 0.25
BATCH_MAX = 500
TIDY_PERIOD_S = 60.0  # between two looks at age and size, and at whether a full disk has room again
ROOM_S = 0.005  # from one look for room in the queue to the next, where somebody waits for it
SHOWN_EVERY_NS = 1_000_000_000  # line time from one look at what the network was shown to the next
RESERVE_BYTES = 4 << 20  # let go when the disk is full: what the pruning itself has to write
FULL_SHARE = 0.1  # of the cycles that go when the disk is full
CHECKPOINT_BYTES = 4 << 20  # of the log, before they are moved into the file

Item = Cycle | Event | Note | Naming


class CycleJournal:
    """Writer of one journal file. Opening an existing file of the same line appends to it.

    `lost` counts cycles that found the queue full or the disk refusing; `error` keeps the last refusal in words, and is
    None again once cycles go through.
    """

    def __init__(
        self,
        path: Path | str,
        line: LineDescription,
        settings_text: str,
        queue_max: int = QUEUE_MAX,
        retention: Retention | None = None,
        patient: bool = False,
    ) -> None:
        """Open or create the file. Raises JournalError when it is something else, OSError when it cannot be made.

        `patient` is for lines that are played faster than a disk writes: `record` waits for room instead of losing.
        """
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lost = 0
        self.written = 0
        self.error: str | None = None
        self._queue_max = queue_max
        self._patient = patient
        self._retention = retention
        self._queue: SimpleQueue[Item | None] = SimpleQueue()
        self._last = (0, -1)  # line time and number of the newest cycle: what an event is stamped with
        self._shown_ns = -SHOWN_EVERY_NS  # line time of the cycle whose network's view was kept last
        self._lost_told = 0
        self._owed: list[Event | Note | Naming] = []  # what the disk refused and must still be written
        self._tidied_s = -math.inf
        self._closed = False
        self._db = open_for_writing(self.path, line, settings_text)
        self._ledger = Ledger(lots.newest(self._db))
        self._db.execute("PRAGMA wal_autocheckpoint=0")  # a checkpoint that fails has to be seen
        self._db.execute(f"PRAGMA journal_size_limit={CHECKPOINT_BYTES // 2}")  # once it begins anew
        self._reserve = Reserve(self.path.with_name(f"{self.path.name}.reserve")) if retention is not None else None
        self._thread = threading.Thread(target=self._write_until_closed, name="journal", daemon=True)
        self._thread.start()

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """Keep one cycle. Never raises, and blocks only where it is patient; a full queue counts the cycle as lost."""
        self._last = (trace.t_line_ns, trace.cycle)
        kept = 0 <= trace.t_line_ns - self._shown_ns < SHOWN_EVERY_NS
        self._shown_ns = self._shown_ns if kept else trace.t_line_ns
        self._put(Cycle(without_shown(trace) if kept else trace, step_us, lateness_us, time.time()))
        if trace.model_news:
            self.event("model", trace.model_news)
            self.audit(ITSELF, What.MODEL, "", trace.model_news, "learnt while the loop ran")

    def event(self, kind: str, text: str) -> None:
        """Keep a sentence, stamped with the newest cycle."""
        self._put(Event(time.time(), *self._last, kind, text))

    def audit(self, who: str, what: What, old: str, new: str, why: str) -> None:
        """Chain a record. A full queue does not keep it out."""
        if not self._closed:
            self._queue.put(note(who, what, old, new, why))

    @property
    def lot(self) -> Lot:
        """Order, material lot and roll that are on the file by now."""
        return self._ledger.lot

    def name(self, who: str, names: Mapping[str, str], why: str) -> None:
        """Call what runs so from the next cycle on, and chain a record of it; names that are not given stay."""
        before = {name: text for name, text in self.lot.named().items() if name in names}
        self.audit(who, What.LOT, _json(before), _json(names), why)
        if not self._closed:
            self._queue.put(Naming(time.time(), dict(names)))

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

    def _put(self, item: Cycle | Event) -> None:
        while self._patient and self._queue.qsize() >= self._queue_max and self._thread.is_alive():
            time.sleep(ROOM_S)
        if self._closed or self._queue.qsize() >= self._queue_max:
            self.lost += 1
        else:
            self._queue.put(item)

    # --- on the writer's thread ---

    def _write_until_closed(self) -> None:
        for batch, last in _batches(self._queue):
            self._keep(batch)
            if time.monotonic() - self._tidied_s > TIDY_PERIOD_S:
                self._tidied_s = time.monotonic()
                self._tidy()
            if last:
                return

    def _keep(self, batch: Sequence[Item]) -> None:
        """Commit a batch; where the disk refuses, make room and try once more."""
        left = [*self._owed, *batch]
        try:
            try:
                self._commit(left)
                left = []
                self._checkpoint()
            except (sqlite3.Error, OSError) as error:
                self._refused(error)
                left += self._make_room(error, sum(isinstance(item, Cycle) for item in left))
                self._commit(left)
        except (sqlite3.Error, OSError) as error:  # a full or dying disk must not stop the line
            self._refused(error)
            self._owe(left)

    def _owe(self, refused: Sequence[Item]) -> None:
        """Cycles are lost; audit records, names and the newest events wait."""
        notes = [item for item in refused if isinstance(item, Note | Naming)]
        events = [item for item in refused if isinstance(item, Event)]
        self._owed = [*notes, *events[-OWED_MAX:]]
        self.lost += len(refused) - len(self._owed)

    def _commit(self, batch: Sequence[Item]) -> None:
        """One transaction: the batch, and a row of its own for what was lost since the last one."""
        if not (batch or self.lost > self._lost_told):
            return
        cycles = [cycle_row(item) for item in batch if isinstance(item, Cycle)]
        events = [event_row(item) for item in batch if isinstance(item, Event)]
        notes = [item for item in batch if isinstance(item, Note)]
        lost = self.lost
        if lost > self._lost_told:
            text = f"{lost - self._lost_told} rows lost: the queue was full or the disk refused"
            events.append(event_row(Event(time.time(), *self._last, "journal-overflow", text)))
        with keeping.writing(self._db):
            ledger, begun = _named(self._ledger, batch, _last_row(self._db))
            self._db.executemany(INSERT_CYCLE, cycles)
            lots.append(self._db, begun)
            self._db.executemany(INSERT_EVENT, events)
            if notes:
                append(self._db, notes)
        self._ledger = ledger
        self._lost_told = lost
        self.written += len(cycles)
        self._owed = []
        if cycles:
            self.error = None

    def _checkpoint(self) -> None:
        """Move what was committed from the log into the file, once there is enough of it. A reader may put it off."""
        wal = self.path.with_name(f"{self.path.name}-wal")
        if wal.exists() and wal.stat().st_size > CHECKPOINT_BYTES:
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _refused(self, error: Exception) -> None:
        self.error = str(error)
        if self._db.in_transaction:
            self._db.rollback()

    def _make_room(self, error: Exception, rows: int) -> list[Event]:
        """After a refusal: let the reserve go and prune the oldest cycles, `rows` at least. Events that tell of it.

        Raises what refuses again; the error itself where room is no cure, or nobody said that anything may go.
        """
        if self._reserve is None or not _is_full(error):
            raise error
        self._reserve.let_go()
        cut = keeping.oldest_share(self._db, FULL_SHARE, 2 * rows)
        gone = keeping.prune(self._db, cut, ITSELF, f"the disk refused: {error}")
        keeping.give_back(self._db)
        self._reserve.make()
        text = f"journal full ({error}): the oldest {gone.rows if gone else 0} cycles were pruned to make room"
        return [Event(time.time(), *self._last, "alarm", text)]

    def _tidy(self) -> None:
        """Now and then: what is too old or too much goes, and the reserve is made again where there is room for it."""
        if self._retention is None:
            return
        try:
            cut, why = keeping.overdue(self._db, self._retention, time.time())
            if cut:
                keeping.prune(self._db, cut, ITSELF, why)
            if self._reserve is not None and self._reserve.gone:
                self._reserve.make()
        except (sqlite3.Error, OSError) as error:
            self._refused(error)


def _named(ledger: Ledger, batch: Sequence[Item], row: int) -> tuple[Ledger, list[Lot]]:
    """What holds after a batch whose first cycle comes after that row, and what began to hold within it."""
    begun = []
    for item in batch:
        before = ledger.lot
        if isinstance(item, Cycle):
            row += 1
            ledger = ledger.passed(item.trace, row, item.t_unix_s)
        elif isinstance(item, Naming):
            ledger = ledger.told(item, row + 1)
        if ledger.lot is not before:
            begun.append(ledger.lot)
    return ledger, begun


def _last_row(db: sqlite3.Connection) -> int:
    """The highest row number that a cycle ever had."""
    found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'cycles'").fetchone()
    return found[0] if found else 0


def _json(names: Mapping[str, str]) -> str:
    return json.dumps(dict(names), ensure_ascii=False)


class Reserve:
    """A file that takes up room until it is needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.gone = True
        self.make()

    def make(self) -> bool:
        """Take the room up; False where there is none."""
        try:
            with self._path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
        except OSError:
            self.let_go()
            return False
        self.gone = False
        return True

    def let_go(self) -> None:
        """Give the room back."""
        self._path.unlink(missing_ok=True)
        self.gone = True


def _is_full(error: Exception) -> bool:
    """Whether a refusal is of the kind that room would cure."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return isinstance(error, OSError) or code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _batches(queue: SimpleQueue[Item | None]) -> Iterator[tuple[list[Item], bool]]:
    """What comes within one commit period of its first row, or until an audit record does; whether it is the last."""
    last = False
    while not last:
        batch: list[Item] = []
        until: float | None = None
        while len(batch) < BATCH_MAX:
            try:
                item = queue.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
            except Empty:
                break
            if item is None:
                last = True
                break
            if isinstance(item, Note | Naming):
                until = time.monotonic()  # at once
            until = until or time.monotonic() + COMMIT_PERIOD_S
            batch.append(item)
        yield batch, last


class NoSink:
    """Keeps nothing: for runs of which only the truth matters."""

    error: str | None = None
    lost = 0

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """Nothing kept."""

    def event(self, kind: str, text: str) -> None:
        """Nothing kept."""

    def audit(self, who: str, what: What, old: str, new: str, why: str) -> None:
        """Nothing kept."""
