"""The journal: every cycle's Trace, events and audit records in SQLite, written off the paced thread.

It is the only road from the control process to everything people look at. `writer` keeps it, `reader` reads it back as
arrays, `lots` knows what the plant calls what runs, `audit` chains the records that must never be lost or changed
unseen, `retention` bounds its size, `salvage` reads torn copies, `export` hands it on. docs/journal.md says what it
promises.
"""

from evencoat.journal.audit import AuditRecord, Verdict, What, verify
from evencoat.journal.lots import Lot
from evencoat.journal.reader import JournalReader, Newest, Roll
from evencoat.journal.retention import Retention
from evencoat.journal.tables import (
    ARRAYS,
    COLUMNS,
    FLAGS,
    LISTS,
    LOT_NAMES,
    SCALARS,
    SCANS,
    SHOWN,
    TIMES,
    Event,
    JournalError,
)
from evencoat.journal.writer import CycleJournal, NoSink

__all__ = [
    "ARRAYS",
    "COLUMNS",
    "FLAGS",
    "LISTS",
    "LOT_NAMES",
    "SCALARS",
    "SCANS",
    "SHOWN",
    "TIMES",
    "AuditRecord",
    "CycleJournal",
    "Event",
    "JournalError",
    "JournalReader",
    "Lot",
    "Newest",
    "NoSink",
    "Retention",
    "Roll",
    "Verdict",
    "What",
    "verify",
]
