"""A journal handed on: CSV and JSON lines, and where their libraries are there Parquet, MF4 and MCAP.

One file, written whole or not at all.
"""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from evencoat.journal import measurements
from evencoat.journal.reader import JournalReader
from evencoat.journal.tables import COLUMNS, LOT_NAMES, JournalError

FORMATS = ("csv", "jsonl", "parquet", "mf4", "mcap")
EXPORTED = (*COLUMNS, *LOT_NAMES)
PARTS = ("cycles", "events", "audit")
ROWS_AT_ONCE = 2000

Tell = Callable[[int, int], None]  # (rows written, of how many)
Columns = dict[str, npt.NDArray[Any]]


def export(journal: JournalReader, path: Path, part: str = "cycles", form: str = "", tell: Tell | None = None) -> int:
    """Write a part of a journal to a file; returns the number of rows. Without a format the file's suffix is it.

    Arrays are lists in JSON lines, MCAP and Parquet, and a column a zone in CSV and MF4. What is no number is empty in
    CSV and null in JSON and MCAP. MF4 has cycles only. Raises JournalError for a format that is unknown, or whose
    library is missing; OSError.
    """
    form = form or path.suffix.removeprefix(".")
    if form not in FORMATS:
        raise JournalError(f"format: {form!r} must be one of {', '.join(FORMATS)}, or the file must end in one of them")
    if part not in PARTS:
        raise JournalError(f"part: {part!r} must be one of {', '.join(PARTS)}")
    if form == "mf4" and part != "cycles":
        raise JournalError(f"part: mf4 carries cycles, no {part}; mcap, csv and jsonl do")
    if form == "parquet":
        _parquet_or_refuse()
    elif form in ("mf4", "mcap"):
        measurements.needed(form)
    tell = tell or (lambda rows, of: None)
    with _whole(path) as part_path:
        if form == "parquet":
            return _parquet(journal, part_path, part, tell)
        if form == "mf4":
            return measurements.write_mf4(lambda columns: _chunks(journal, tell, columns or EXPORTED), part_path)
        if form == "mcap":
            about = {name: journal.meta[name] for name in ("line", "journal_id", "schema_version")}
            return measurements.write_mcap(_rows_of(journal, part, tell), part_path, part, about)
        with part_path.open("w", encoding="utf-8", newline="") as file:
            return (_csv if form == "csv" else _jsonl)(journal, file, part, tell)


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file beside the one that is meant, which takes its name once it is whole and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _chunks(journal: JournalReader, tell: Tell, columns: Sequence[str] = EXPORTED) -> Iterator[Columns]:
    """Cycles, some at a time, each with its order, lot and roll: a journal can be larger than memory."""
    kept = [name for name in columns if name not in LOT_NAMES]
    row, last = 1, journal.last_row()
    done, of = 0, journal.cycle_count()
    while row <= last:
        numbers, found = journal.numbered(kept, row, ROWS_AT_ONCE)
        if not numbers.size:
            return
        row, done = int(numbers[-1]) + 1, done + numbers.size
        yield {**found, **{name: values for name, values in journal.lots_of(numbers).items() if name in columns}}
        tell(min(done, of), of)


def _rows_of(journal: JournalReader, part: str, tell: Tell) -> Iterator[dict[str, Any]]:
    """Rows as JSON knows them: arrays are lists, NaN is None."""
    if part == "cycles":
        for chunk in _chunks(journal, tell):
            for k in range(chunk["cycle"].size):
                yield {name: _plain(values[k]) for name, values in chunk.items()}
        return
    rows: Sequence[Any] = journal.events() if part == "events" else journal.audit()
    for k, row in enumerate(rows, start=1):
        yield asdict(row)
        tell(k, len(rows))


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(one) for one in value.tolist()] if value.dtype.kind == "f" else value.tolist()
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _jsonl(journal: JournalReader, file: IO[str], part: str, tell: Tell) -> int:
    rows = 0
    for row in _rows_of(journal, part, tell):
        file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
        rows += 1
    return rows


def _csv(journal: JournalReader, file: IO[str], part: str, tell: Tell) -> int:
    rows, writer = 0, csv.writer(file)
    for row in _rows_of(journal, part, tell):
        flat: dict[str, Any] = {}
        for name, value in row.items():
            if isinstance(value, list):
                flat |= {f"{name}_{zone:03d}": one for zone, one in enumerate(value)}
            else:
                flat[name] = value
        if not rows:
            writer.writerow(flat)
        writer.writerow(flat.values())
        rows += 1
    return rows


def _parquet_or_refuse() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise JournalError(
            "format: parquet needs pyarrow (pip install 'evencoat[parquet]'); csv and jsonl do not"
        ) from error
    return pyarrow


def arrow_table(columns: Columns) -> Any:
    """Cycles as a pyarrow Table: arrays and flags are lists, what is no number in a scalar is null."""
    pyarrow = _parquet_or_refuse()

    def made(values: npt.NDArray[Any]) -> Any:
        if values.ndim == 1:
            return pyarrow.array(values, from_pandas=True)
        ends = np.arange(0, values.size + 1, max(values.shape[1], 1), dtype=np.int32)
        return pyarrow.ListArray.from_arrays(ends, pyarrow.array(values.reshape(-1)))

    return pyarrow.table({name: made(values) for name, values in columns.items()})


def _parquet(journal: JournalReader, path: Path, part: str, tell: Tell) -> int:
    pyarrow = _parquet_or_refuse()
    if part != "cycles":
        table = pyarrow.Table.from_pylist(list(_rows_of(journal, part, tell)))
        pyarrow.parquet.write_table(table, path)
        return int(table.num_rows)
    rows, writer = 0, None
    for chunk in _chunks(journal, tell):
        table = arrow_table(chunk)
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
        rows += table.num_rows
    if writer is None:
        pyarrow.parquet.write_table(pyarrow.table({name: [] for name in EXPORTED}), path)
    else:
        writer.close()
    return rows
