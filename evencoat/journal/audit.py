"""The audit chain: who did what, when, from what to what and why, each record bound to the one before by SHA-256.

The hash of a record is that of its canonical bytes: the UTF-8 of the JSON array [1, seq, t_unix_ns, who, what, old,
new, why, before] with no spaces and no escapes but JSON's own, where `before` is the hash of the record before it, and
for the first one that of the journal's identity. A record that is changed, taken out or put in breaks the chain from
there on. Without a key the chain cannot stop somebody who rewrites all of it: whoever must rule that out keeps a head
(number and hash) elsewhere, and gives it to `verify`.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from evencoat.journal.tables import AUDIT_COLUMNS, INSERT_AUDIT

FORMAT = 1
ITSELF = "evencoat"  # who acts where no person does
SELECT = f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit ORDER BY seq"

LAST_START = (
    f"SELECT {', '.join(AUDIT_COLUMNS)} FROM audit WHERE seq >= "
    "(SELECT MAX(seq) FROM audit WHERE what = 'start') AND what IN ('start', 'stop') ORDER BY seq"
)

Tell = Callable[[int, int], None]  # (records looked at, of how many)


def nobody(done: int, of: int) -> None:
    """Hears nothing."""


class What(StrEnum):
    """What an audit record is about."""

    START = "start"
    STOP = "stop"
    MODE = "mode"
    SETPOINT = "setpoint"
    ACKNOWLEDGEMENT = "acknowledgement"
    RECIPE = "recipe"
    MODEL = "model"
    RESTORE = "restore"
    PRUNE = "prune"
    COMMAND = "command"  # who is in command
    USER = "user"  # logins and logouts
    REFUSED = "refused"  # what somebody asked for and did not get
    LOT = "lot"  # order, material lot and roll, as the plant names them
    REMARK = "remark"


@dataclass(frozen=True, slots=True)
class Note:
    """A record on its way into the chain. What belongs to whom is text; numbers are written by whoever notes them."""

    t_unix_ns: int
    who: str
    what: What
    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """A record of the chain; `before` and `hash` are hexadecimal SHA-256."""

    seq: int
    t_unix_ns: int
    who: str
    what: str
    old: str
    new: str
    why: str
    before: str
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `verify` found. `broken` says what is wrong first, "" where nothing is; `seq` of which record, 0 of none."""

    records: int
    head_seq: int
    head_hash: str
    broken: str
    seq: int
    cycles: int
    pruned_before: int  # cycles before this row number were pruned, as the chain says

    @property
    def ok(self) -> bool:
        return not self.broken

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"ok": self.ok, **asdict(self)}


def note(who: str, what: What, old: str, new: str, why: str) -> Note:
    """A record of now."""
    return Note(time.time_ns(), who, what, old, new, why)


def digest(seq: int, noted: Note | AuditRecord, before: str) -> str:
    """SHA-256 over the canonical bytes of a record and the hash before it, hexadecimal."""
    parts = [FORMAT, seq, noted.t_unix_ns, noted.who, str(noted.what), noted.old, noted.new, noted.why, before]
    canonical = json.dumps(parts, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(canonical.encode(errors="surrogatepass")).hexdigest()


def genesis(db: sqlite3.Connection) -> str:
    """What the first record is bound to: this journal and no other."""
    meta = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('line', 'journal_id')").fetchall())
    return hashlib.sha256(f"evencoat audit {FORMAT} {meta['journal_id']} {meta['line']}".encode()).hexdigest()


def append(db: sqlite3.Connection, notes: Iterable[Note]) -> None:
    """Chain notes to whatever is the head now, inside the caller's transaction, which must hold the write lock."""
    head = db.execute("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1").fetchone()
    seq, before = head if head is not None else (0, genesis(db))
    rows = []
    for noted in notes:
        seq += 1
        own = digest(seq, noted, before)
        rows.append((seq, noted.t_unix_ns, noted.who, str(noted.what), noted.old, noted.new, noted.why, before, own))
        before = own
    db.executemany(INSERT_AUDIT, rows)


def records(db: sqlite3.Connection) -> Iterator[AuditRecord]:
    """The chain from its beginning."""
    for row in db.execute(SELECT):
        yield AuditRecord(*row)


def pruned_before(chain: Iterable[AuditRecord]) -> int:
    """Cycles with smaller row numbers than this were pruned, as the chain says; 1 where none were."""
    marks = [json.loads(record.new)["cycles_from"] for record in chain if record.what == What.PRUNE]
    return max(marks, default=1)


def verify(db: sqlite3.Connection, known_head: tuple[int, str] | None = None, tell: Tell = nobody) -> Verdict:
    """Walk the chain, and hold what it says of pruning against the rows that are there.

    known_head: number and hash of a record that somebody kept elsewhere; it must still be there. `tell` hears how many
    records of how many were looked at.
    """
    (of,) = db.execute("SELECT COUNT(*) FROM audit").fetchone()
    seq, before, mark = 0, genesis(db), 1
    broken, broken_seq = "", 0
    for record in records(db):
        broken, broken_seq = _fault(record, seq, before, known_head), record.seq
        if broken:
            break
        seq, before = record.seq, record.hash
        if record.what == What.PRUNE:
            mark = max(mark, pruned_before([record]))
        if seq % 1000 == 0:
            tell(seq, of)
    if not broken:
        broken_seq = 0
        if known_head is not None and known_head[0] > seq:
            broken, broken_seq = f"record {known_head[0]}, which was known, is not there any more", known_head[0]
    count, missing = _gap(db, mark)
    return Verdict(of, seq, before, broken or missing, broken_seq, count, mark)


def _fault(record: AuditRecord, last_seq: int, before: str, known: tuple[int, str] | None) -> str:
    """What is wrong with a record that follows `last_seq` with its hash `before`; "" where nothing is."""
    seq = record.seq
    if seq != last_seq + 1:
        return f"record {last_seq + 1} is missing: after {last_seq} comes {seq}"
    if record.before != before:
        return f"record {seq} ({record.what}) does not follow the one before it"
    if record.hash != digest(seq, record, before):
        return f"record {seq} ({record.what}) is not what it was when it was written"
    if known is not None and known[0] == seq and known[1] != record.hash:
        return f"record {seq} ({record.what}) is another one than was known: the chain was written anew"
    return ""


def _gap(db: sqlite3.Connection, mark: int) -> tuple[int, str]:
    """Number of cycles, and what is missing of them without a record that says so."""
    last = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'cycles'").fetchone()
    count, low, high = db.execute("SELECT COUNT(*), MIN(id), MAX(id) FROM cycles WHERE id >= ?", (mark,)).fetchone()
    (older,) = db.execute("SELECT COUNT(*) FROM cycles WHERE id < ?", (mark,)).fetchone()
    ever = last[0] if last is not None else 0
    if ever >= mark and (low, high, count) != (mark, ever, ever - mark + 1):
        missing = ever - mark + 1 - count
        return (
            count + older,
            f"{missing} cycles are missing of rows {mark} to {ever}, and no record says that they went",
        )
    return count + older, ""
