"""Reading torn journals: every row whose page is whole, whatever else of the file is missing.

SQLite refuses a file that ends before its header says so, and finds nothing below an inner page that is gone. Rows lie
in leaf pages, which can be read without the tree above them: each page of the file, and of the write-ahead log beside
it, is looked at alone. Source of the format: https://www.sqlite.org/fileformat2.html, sections 1.6, 2.1 and 4.
"""

from __future__ import annotations

import json
import os
import sqlite3
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from evencoat.journal.tables import (
    ARRAYS,
    AUDIT_COLUMNS,
    COLUMNS,
    EVENT_COLUMNS,
    FLAGS,
    LOT_COLUMNS,
    LOT_NAMES,
    SCANS,
    SHOWN,
    create_tables,
)

LEAF = 0x0D  # first byte of a page that holds rows of a table
FILE_HEADER, WAL_HEADER, FRAME_HEADER = 100, 32, 24
MAGIC = b"SQLite format 3\0"
WIDTHS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}  # bytes of an integer, by serial type

Value = int | float | str | bytes | None
Row = tuple[int, list[Value]]  # row number and columns


@dataclass(frozen=True, slots=True)
class Pages:
    """The pages of a database and of the log beside it. The log's are the newer ones."""

    path: Path
    size: int
    usable: int
    newer: Mapping[int, bytes]

    @classmethod
    def of(cls, path: Path) -> Pages | None:
        """None where not even the first page can be read."""
        with path.open("rb") as file:
            header = file.read(FILE_HEADER)
        size = _page_size(header)
        if size is None:
            return None
        return cls(path, size, size - header[20], _logged(path.with_name(f"{path.name}-wal"), size))

    def all(self) -> Iterator[tuple[int, bytes]]:
        """Number and bytes of every whole page."""
        with self.path.open("rb") as file:
            number = 0
            while len(page := file.read(self.size)) == self.size:
                number += 1
                if number not in self.newer:
                    yield number, page
        yield from self.newer.items()

    def one(self, number: int) -> bytes:
        """A page by its number. Raises ValueError where it is not there."""
        if number in self.newer:
            return self.newer[number]
        if not 0 < number * self.size <= self.path.stat().st_size:
            raise ValueError(f"page {number} is beyond the tear")
        with self.path.open("rb") as file:
            file.seek((number - 1) * self.size)
            return file.read(self.size)


def is_cut(path: Path) -> bool:
    """Whether a file ends within a page. SQLite reads what is missing of that one as zeros, and finds nothing wrong."""
    with path.open("rb") as file:
        size = _page_size(file.read(FILE_HEADER))
        return size is not None and os.fstat(file.fileno()).st_size % size != 0


def salvaged(path: Path) -> sqlite3.Connection | None:
    """A database of its own with every row that could be saved; None where nothing of ours is to be found.

    It lies in a temporary file that goes with the connection.
    """
    pages = Pages.of(path)
    if pages is None:
        return None
    found = _sorted_out(pages)
    meta = {str(values[0]): str(values[1]) for _, values in found["meta"].items() if isinstance(values[1], str)}
    if not {"schema_version", "line", "target_gsm", "journal_id"} <= meta.keys():
        return None
    db = sqlite3.connect("")
    with db:
        create_tables(db)
        db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", meta.items())
        audit = {number: values for number, values in found["audit"].items() if _is_text(values[2:])}
        _fill(db, "audit", AUDIT_COLUMNS[1:], "seq", audit)
        named = {number: values for number, values in found["lots"].items() if _is_text(values[-len(LOT_NAMES) :])}
        _fill(db, "lots", LOT_COLUMNS, "id", named)
        _fill(db, "events", EVENT_COLUMNS, "id", found["events"])
        _fill(db, "cycles", COLUMNS, "id", _whole_cycles(found["cycles"], len(json.loads(meta["target_gsm"]))))
    return db


def _sorted_out(pages: Pages) -> dict[str, dict[int, list[Value]]]:
    """Rows by table and number. Tables are told from each other by how many columns they have."""
    tables = {
        2: "meta",
        1 + len(EVENT_COLUMNS): "events",
        len(AUDIT_COLUMNS): "audit",
        1 + len(LOT_COLUMNS): "lots",
        1 + len(COLUMNS): "cycles",
    }
    found: dict[str, dict[int, list[Value]]] = {name: {} for name in tables.values()}
    for number, page in pages.all():
        for row_number, values in _rows(pages, number, page):
            name = tables.get(len(values))
            if name is not None:
                found[name].setdefault(row_number, values)
    return found


def _whole_cycles(cycles: dict[int, list[Value]], zones: int) -> dict[int, list[Value]]:
    """Cycles as they must be: arrays of the line's zones. Pruned ones whose page lies unused may be among them."""
    sizes = dict.fromkeys(ARRAYS, 4 * zones) | dict.fromkeys(FLAGS, zones)
    sometimes = dict.fromkeys(SCANS, 4 * zones) | {name: 4 * size for name, size in SHOWN.items()}

    def whole(values: list[Value]) -> bool:
        told = dict(zip(COLUMNS, values[1:], strict=True))
        blobs = ((told[name], size) for name, size in sizes.items())
        shown = all(told[name] is None or _is_long(told[name], size) for name, size in sometimes.items())
        numbers = shown and isinstance(told["cycle"], int) and isinstance(told["t_line_ns"], int)
        return numbers and all(_is_long(blob, size) for blob, size in blobs)

    return {number: values for number, values in cycles.items() if whole(values)}


def _fill(db: sqlite3.Connection, table: str, columns: tuple[str, ...], key: str, rows: dict[int, list[Value]]) -> None:
    names = ", ".join((key, *columns))
    marks = ", ".join("?" * (1 + len(columns)))
    values = ((number, *row[1:]) for number, row in sorted(rows.items()))
    db.executemany(f"INSERT INTO {table} ({names}) VALUES ({marks})", values)


def _is_long(value: Value, size: int) -> bool:
    return isinstance(value, bytes) and len(value) == size


def _is_text(values: list[Value]) -> bool:
    return all(isinstance(value, str) for value in values)


# --- the format --------------------------------------------------------------------------------------------------


def _page_size(header: bytes) -> int | None:
    """Bytes of a page, as the file's header tells; None where it is no header."""
    if len(header) < FILE_HEADER or not header.startswith(MAGIC):
        return None
    (size,) = struct.unpack(">H", header[16:18])
    size = 65536 if size == 1 else int(size)
    return None if size < 512 or size & (size - 1) else size


def _logged(path: Path, size: int) -> dict[int, bytes]:
    """The newest whole copy of each page in the write-ahead log; those of an earlier round of the log are left out."""
    pages: dict[int, bytes] = {}
    if not path.is_file():
        return pages
    with path.open("rb") as file:
        header = file.read(WAL_HEADER)
        if len(header) < WAL_HEADER or struct.unpack(">I", header[8:12])[0] != size:
            return pages
        while len(frame := file.read(FRAME_HEADER + size)) == FRAME_HEADER + size:
            if frame[8:16] != header[16:24]:  # salts
                break
            pages[struct.unpack(">I", frame[:4])[0]] = frame[FRAME_HEADER:]
    return pages


def _rows(pages: Pages, number: int, page: bytes) -> Iterator[Row]:
    """The rows of one page that can be made out; none where it is no leaf of a table."""
    at = FILE_HEADER if number == 1 else 0
    if page[at] != LEAF:
        return
    (cells,) = struct.unpack(">H", page[at + 3 : at + 5])
    for k in range(min(cells, (pages.size - at - 8) // 2)):
        (place,) = struct.unpack(">H", page[at + 8 + 2 * k : at + 10 + 2 * k])
        try:
            yield _cell(pages, page, place)
        except (ValueError, IndexError, struct.error):
            continue


def _cell(pages: Pages, page: bytes, place: int) -> Row:
    """Raises ValueError, IndexError or struct.error for what is no cell."""
    length, place = _varint(page, place)
    number, place = _varint(page, place)
    usable = pages.usable
    if not 0 < length <= 1 << 24:
        raise ValueError("no row is that long")
    local = length
    if length > usable - 35:
        least = (usable - 12) * 32 // 255 - 23
        local = least + (length - least) % (usable - 4)
        local = local if local <= usable - 35 else least
    record = page[place : place + local]
    if len(record) < local:
        raise ValueError("the cell goes beyond its page")
    if local < length:
        (following,) = struct.unpack(">I", page[place + local : place + local + 4])
        record = _overflowing(pages, record, length, following)
    return number, _values(record)


def _overflowing(pages: Pages, record: bytes, length: int, following: int) -> bytes:
    parts, missing = [record], length - len(record)
    while missing > 0:
        page = pages.one(following)
        (following,) = struct.unpack(">I", page[:4])
        parts.append(page[4 : 4 + min(missing, pages.usable - 4)])
        missing -= len(parts[-1])
    return b"".join(parts)


def _values(record: bytes) -> list[Value]:
    end, place = _varint(record, 0)
    kinds = []
    while place < end:
        kind, place = _varint(record, place)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        value, end = _value(record, end, kind)
        values.append(value)
    if end != len(record):
        raise ValueError("a row of another length than it says")
    return values


def _value(record: bytes, at: int, kind: int) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return (None, 0, 1)[(0, 8, 9).index(kind)], at
    if kind == 7:
        return struct.unpack(">d", record[at : at + 8])[0], at + 8
    width = WIDTHS[kind] if kind in WIDTHS else (kind - 12) // 2
    if kind in (10, 11) or at + width > len(record):
        raise ValueError("no such value")
    part = record[at : at + width]
    if kind in WIDTHS:
        return int.from_bytes(part, "big", signed=True), at + width
    return (part.decode() if kind % 2 else bytes(part)), at + width


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for k in range(8):
        byte = data[at + k]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + k + 1
    return value << 8 | data[at + 8], at + 9
