"""The archive: Parquet files of an hour, by line and day, made of a journal's rows.

    FOLDER/line=line-40/day=2026-11-23/2026-11-23T14_JOURNALID_000000000001-000000036000.parquet

A file has its name only once it is whole and on the disk, and the name says which rows of which journal it has: the
names are the bookmark, so that a kill at any point neither loses nor doubles a row. What retention removes, and rows
that were pruned before they came here, stand in `journals/JOURNALID.json` beside the days.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow
from pyarrow import parquet

from controller.line.description import LineDescription
from controller.line.profile import LineState
from evencoat.atomic import write_whole
from evencoat.historian.outbox import Rows, SinkError, Source
from evencoat.journal import ARRAYS, LISTS, LOT_NAMES, SCANS
from evencoat.journal.export import arrow_table
from evencoat.journal.tables import KINDS
from evencoat.league.metrics import EDGE_TRIM_SHARE, OUT_WIDTH_SHARE

HOUR_S, DAY_S = 3600.0, 86_400.0
GRACE_S = 30.0  # after an hour: what the journal's writer still had in its hands belongs to it
GROUP_ROWS = 6000  # of a row group: ten minutes at 10 Hz
WORDS = (*LISTS, *LOT_NAMES, *(name for name, kind in KINDS.items() if kind == "TEXT"), "journal_id", "tolerance_pct")
NUMBERED = ("roll", "batch", "line_state", "limited_zones", "wet_scan_id", "dry_scan_id")
LINE_NAME, JOURNAL_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*"), re.compile(r"[0-9a-f]{32}")
FILE = re.compile(r"(\d{4}-\d\d-\d\dT\d\d)_([0-9a-f]{32})_(\d{12})-(\d{12})\.parquet")

Array = npt.NDArray[np.float64]


class Hour(NamedTuple):
    """What the name of a file says: its hour (hours since 1970, UTC), whose rows, and which."""

    path: Path
    hour: int
    journal_id: str
    first_row: int
    last_row: int


@dataclass(slots=True)
class Part:
    """The file that is being written."""

    hour: int
    first_row: int
    last_row: int
    writer: parquet.ParquetWriter
    held: list[pyarrow.Table]


class Archive:
    """The sink. Holds the lock of its line's folder from the first bookmark on. Raises OSError where the disk does."""

    name = "archive"

    def __init__(
        self, folder: Path, keep_days: float | None = None, now_unix_s: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._keep_days, self._now_unix_s = folder, keep_days, now_unix_s
        self._lock: IO[str] | None = None
        self._part: Part | None = None
        self._kept_row = 0

    def bookmark(self, source: Source) -> int:
        self._let_go()
        home = self._home(source)
        self._locked(home)
        for left in home.glob(".*.part"):
            left.unlink()
        noted = _noted(home, source.journal_id)
        rows = [one.last_row for one in hours(home) if one.journal_id == source.journal_id]
        self._kept_row = max([noted["kept_row"], *rows])
        _note(home, source.journal_id, self._kept_row)
        self._retire(home)
        return self._kept_row

    def deliver(self, source: Source, rows: Rows) -> int:
        hour = np.floor(rows.columns["t_unix_s"] / HOUR_S).astype(np.int64)
        ends = np.flatnonzero(np.diff(hour, append=hour[-1] + 1)) + 1
        for low, high in pairwise([0, *ends.tolist()]):
            self._take(source, int(hour[low]), rows.cut(low, high))
        return self._kept_row

    def settle(self, source: Source, everything: bool) -> int:
        part = self._part
        if part is not None and (everything or self._now_unix_s() > (part.hour + 1) * HOUR_S + GRACE_S):
            self._finish(source)
        return self._kept_row

    def missing(self, source: Source, first_row: int, last_row: int) -> None:
        self._finish(source)
        self._kept_row = last_row
        _note(self._home(source), source.journal_id, last_row, (first_row, last_row))

    def close(self) -> None:
        self._let_go()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _home(self, source: Source) -> Path:
        """The folder of a line. Raises SinkError for a name or an id that belongs in no path."""
        name = source.line.name
        if not LINE_NAME.fullmatch(name) or not JOURNAL_ID.fullmatch(source.journal_id):
            raise SinkError(f"line {name!r}, journal {source.journal_id!r}: no names for a folder and a file")
        return self._folder / f"line={name}"

    def _locked(self, home: Path) -> None:
        """One historian a line: two would write the same rows twice."""
        if self._lock is not None:
            return
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / ".lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise SinkError(f"{home}: another historian is at work there") from error
        self._lock = lock

    def _take(self, source: Source, hour: int, rows: Rows) -> None:
        """Rows of one hour, into the file that is open; where that is another hour's it is finished first."""
        if self._part is not None and self._part.hour != hour:
            self._finish(source)
        table = table_of(source, rows)
        first, last = int(rows.numbers[0]), int(rows.numbers[-1])
        if self._part is None:
            writer = _writer(self._home(source) / f".{source.journal_id}.part", table.schema)
            self._part = Part(hour, first, last, writer, [])
        self._part.last_row = last
        self._part.held.append(table)
        if sum(held.num_rows for held in self._part.held) >= GROUP_ROWS:
            _write_held(self._part)

    def _finish(self, source: Source) -> None:
        """Give the open file its name. From here on its rows are kept for good."""
        part, home = self._part, self._home(source)
        if part is None:
            return
        _write_held(part)
        part.writer.close()
        began = datetime.fromtimestamp(part.hour * HOUR_S, UTC)
        folder = home / f"day={began:%Y-%m-%d}"
        folder.mkdir(exist_ok=True)
        name = f"{began:%Y-%m-%dT%H}_{source.journal_id}_{part.first_row:012d}-{part.last_row:012d}.parquet"
        whole = home / f".{source.journal_id}.part"
        _to_disk(whole)
        os.replace(whole, folder / name)
        _to_disk(folder)
        _to_disk(home)
        self._part, self._kept_row = None, part.last_row
        _note(home, source.journal_id, part.last_row)
        self._retire(home)

    def _retire(self, home: Path) -> None:
        """Remove whole files that are older than is to be kept; that they were here is noted first."""
        if self._keep_days is None:
            return
        oldest_s = self._now_unix_s() - self._keep_days * DAY_S
        for old in hours(home):
            if (old.hour + 1) * HOUR_S <= oldest_s:
                _note(home, old.journal_id, old.last_row)
                old.path.unlink()
                if not any(old.path.parent.iterdir()):
                    old.path.parent.rmdir()

    def _let_go(self) -> None:
        """Forget what has no name yet."""
        if self._part is not None:
            self._part.writer.close()
            self._part = None


# --- files -------------------------------------------------------------------------------------------------------


def hours(home: Path) -> Iterator[Hour]:
    """Every file of a line, by its name, in the order of names."""
    for path in sorted(home.glob("day=*/*.parquet")):
        named = FILE.fullmatch(path.name)
        if named is not None:
            began = datetime.strptime(named[1], "%Y-%m-%dT%H").replace(tzinfo=UTC)
            yield Hour(path, round(began.timestamp() / HOUR_S), named[2], int(named[3]), int(named[4]))


def missing_rows(home: Path, journal_id: str) -> list[tuple[int, int]]:
    """Stretches of rows that were pruned from the journal before they came here."""
    return [(first, last) for first, last in _noted(home, journal_id)["missing"]]


def _noted(home: Path, journal_id: str) -> dict[str, Any]:
    """What is noted of a journal. Raises SinkError where somebody spoilt the note."""
    path = home / "journals" / f"{journal_id}.json"
    try:
        noted: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {"kept_row": int(noted["kept_row"]), "missing": [[int(one[0]), int(one[1])] for one in noted["missing"]]}
    except FileNotFoundError:
        return {"kept_row": 0, "missing": []}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise SinkError(f"{path}: is no note of ours ({error}); remove it, and the names of the files count") from error


def _note(home: Path, journal_id: str, kept_row: int, gone: tuple[int, int] | None = None) -> None:
    noted = _noted(home, journal_id)
    told = {"kept_row": max(kept_row, noted["kept_row"]), "missing": noted["missing"] + ([gone] if gone else [])}
    (home / "journals").mkdir(exist_ok=True)
    write_whole(home / "journals" / f"{journal_id}.json", json.dumps(told).encode())


def _writer(path: Path, schema: pyarrow.Schema) -> parquet.ParquetWriter:
    numbers = [f"{name}.list.element" for name in (*ARRAYS, *SCANS)]
    return parquet.ParquetWriter(
        path,
        schema,
        compression="zstd",
        use_dictionary=[name for name in (*WORDS, *NUMBERED) if name in schema.names],
        use_byte_stream_split=numbers,
    )


def _write_held(part: Part) -> None:
    if part.held:
        part.writer.write_table(pyarrow.concat_tables(part.held), row_group_size=GROUP_ROWS)
        part.held.clear()


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# --- rows --------------------------------------------------------------------------------------------------------


def table_of(source: Source, rows: Rows) -> pyarrow.Table:
    """Rows as they are archived: the journal's columns, whose row it is, and what its profile comes to."""
    table = arrow_table({"row_id": rows.numbers, **rows.columns, **judged(rows.columns, source.line)})
    whose = pyarrow.array([source.journal_id] * rows.numbers.size)
    return table.append_column("journal_id", whose)


def judged(columns: dict[str, npt.NDArray[Any]], line: LineDescription) -> dict[str, npt.NDArray[Any]]:
    """What a roll's sigma is summed from, a number a row, so that a month of rows can be judged without its profiles.

    judged_m: web of the cycle, 0 where the line did not coat or no zone was valid; level_pct: mean deviation from
    target over the width, edges trimmed; uneven_pct2: mean square about that; out: whether more of the width is out
    of tolerance than a good metre may have. They mean what evencoat.league.metrics means, of what was measured.
    """
    zones = line.target_profile_gsm.size
    trim = round(zones * EDGE_TRIM_SHARE)
    kept = slice(trim, zones - trim)
    profile = columns["profile_gsm"][:, kept].astype(np.float64)
    valid = columns["profile_valid"][:, kept] & np.isfinite(profile)
    aimed = columns["target_gsm"] / line.target_profile_gsm.mean()  # people may ask for another target
    target = line.target_profile_gsm[kept] * np.where(np.isfinite(aimed), aimed, 1.0)[:, None]
    deviation: Array = np.where(valid, 100.0 * (profile / target - 1.0), 0.0)
    count = valid.sum(axis=1)
    some = np.maximum(count, 1)
    level = deviation.sum(axis=1) / some
    uneven = (np.where(valid, deviation - level[:, None], 0.0) ** 2).sum(axis=1) / some
    outside = (np.abs(deviation) > line.target.tolerance_pct).sum(axis=1) / some
    speed = np.nan_to_num(columns["web_speed_mps"])
    coating = (columns["line_state"] == LineState.RUNNING) & (count > 0) & (speed > 0.0)
    return {
        "judged_m": np.where(coating, speed * line.control.cycle_s, 0.0),
        "level_pct": np.where(count > 0, level, math.nan),
        "uneven_pct2": np.where(count > 0, uneven, math.nan),
        "out": outside > OUT_WIDTH_SHARE,
        "tolerance_pct": np.full(count.size, line.target.tolerance_pct),
    }
