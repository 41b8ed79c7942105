"""Cycles as measurement files: MF4, which test benches and calibration tools read, and MCAP, which robots' tools read.

Their libraries are loaded when they are needed: asammdf alone takes a second.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from evencoat.journal.tables import ARRAYS, FLAGS, KINDS, LISTS, LOT_NAMES, SCANS, SHOWN, JournalError

NS = 1e-9
WORDS = (*(name for name, kind in KINDS.items() if kind == "TEXT"), *LISTS, *LOT_NAMES)
UNITS = {
    "rpm_per_mps": "rpm/(m/s)", "gsm": "g/m2", "pct": "%", "kpa": "kPa", "mps": "m/s", "rpm": "rpm", "um": "um",
    "ns": "ns", "us": "us", "m": "m", "s": "s",
}  # fmt: skip

Columns = dict[str, npt.NDArray[Any]]


def unit_of(name: str) -> str:
    """The unit that a column's name ends in, "" where it has none."""
    return next((unit for end, unit in UNITS.items() if name.endswith(f"_{end}")), "")


def needed(form: str) -> None:
    """Raises JournalError where the library of a format is missing."""
    library = {"mf4": "asammdf", "mcap": "mcap"}[form]
    try:
        importlib.import_module(f"{library}.writer" if form == "mcap" else library)
    except ImportError as error:
        raise JournalError(
            f"format: {form} needs {library} (pip install 'evencoat[export]'); csv and jsonl do not"
        ) from error


# --- MF4 ---------------------------------------------------------------------------------------------------------


def write_mf4(chunks: Callable[[Sequence[str] | None], Iterator[Columns]], path: Path) -> int:
    """Write cycles, a channel each column and zone, over line time; the number of rows.

    `chunks` gives the cycles a part at a time, of the columns that are asked for. Words are numbers with a table of
    what they mean. Where line time begins anew, so does a group.
    """
    from asammdf import MDF, Signal

    words = _dictionary(chunks(WORDS))
    rows, end_s = 0, np.inf
    with MDF(version="4.10") as mdf:
        for chunk in chunks(None):
            time_s = NS * chunk["t_line_ns"].astype(np.float64)
            samples = dict(_channels(chunk, words))
            if not rows:
                mdf.header.start_time = datetime.fromtimestamp(float(chunk["t_unix_s"][0]), UTC)
            for some in _forward(time_s):
                if time_s[some][0] < end_s:
                    texts = {name: _conversion(words[name]) for name in WORDS}
                    group = mdf.append(
                        [
                            Signal(values[some], time_s[some], _unit_of(name), name, conversion=texts.get(name))
                            for name, values in samples.items()
                        ],
                        comment="cycles",
                        common_timebase=True,
                    )
                else:
                    mdf.extend(group, [(time_s[some], None), *((values[some], None) for values in samples.values())])
                end_s = float(time_s[some][-1])
            rows += time_s.size
        beside = path.with_name(f"{path.name}.mf4")  # the suffix that asammdf insists on
        mdf.save(beside, overwrite=True, compression=2)
    beside.replace(path)
    return rows


def _dictionary(chunks: Iterable[Columns]) -> dict[str, dict[str, int]]:
    """Every word that a column of words ever has, numbered in the order in which they come."""
    words: dict[str, dict[str, int]] = {name: {} for name in WORDS}
    for chunk in chunks:
        for name, known in words.items():
            for word in dict.fromkeys(chunk[name].tolist()):
                known.setdefault(word, len(known))
    return words


def _conversion(words: dict[str, int]) -> dict[str, Any]:
    """From numbers to words, as asammdf takes it."""
    return {f"val_{k}": k for k in words.values()} | {f"text_{k}": word for word, k in words.items()}


def _channels(chunk: Columns, words: dict[str, dict[str, int]]) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for name, values in chunk.items():
        if name in words:
            yield name, np.asarray([words[name][word] for word in values.tolist()], dtype=np.uint32)
            continue
        plain = values.astype(np.uint8) if values.dtype.kind == "b" else values
        if plain.ndim == 1:
            yield name, plain
        else:
            yield from ((f"{name}_{k:03d}", np.ascontiguousarray(plain[:, k])) for k in range(plain.shape[1]))


def _unit_of(channel: str) -> str:
    """Of a column, or of one zone of one."""
    return unit_of(channel) or unit_of(channel.rpartition("_")[0])


def _forward(time_s: npt.NDArray[np.float64]) -> Iterator[slice]:
    """Stretches in which time does not go back."""
    ends = np.flatnonzero(np.diff(time_s, append=-np.inf) < 0.0) + 1
    return (slice(low, high) for low, high in pairwise([0, *ends.tolist()]))


# --- MCAP --------------------------------------------------------------------------------------------------------


def write_mcap(rows: Iterable[dict[str, Any]], path: Path, part: str, about: dict[str, str]) -> int:
    """Write rows as JSON messages of the topic /PART, logged at their wall time; the number of rows.

    about: what the file says of itself.
    """
    from mcap.writer import Writer

    count = 0
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start(library="evencoat")
        writer.add_metadata("evencoat", about)
        schema = writer.register_schema(f"evencoat.{part}", "jsonschema", json.dumps(_schema(part)).encode())
        channel = writer.register_channel(f"/{part}", "json", schema)
        for row in rows:
            count += 1
            at_ns = row.get("t_unix_ns", round(1e9 * (row.get("t_unix_s") or 0.0)))
            content = json.dumps(row, ensure_ascii=False, allow_nan=False).encode()
            writer.add_message(channel, at_ns, content, at_ns, count & 0xFFFFFFFF)
        writer.finish()  # type: ignore[no-untyped-call]
    return count


def _schema(part: str) -> dict[str, Any]:
    """JSON Schema of a row. What is no number is null."""
    from evencoat.journal.audit import AuditRecord
    from evencoat.journal.tables import COLUMNS, Event

    if part == "cycles":
        told = {name: _kind(name) for name in (*COLUMNS, *LOT_NAMES)}
    else:
        fields = (Event if part == "events" else AuditRecord).__annotations__
        told = {
            name: {"type": {"int": "integer", "float": "number"}.get(kind, "string")} for name, kind in fields.items()
        }
    return {"type": "object", "title": f"evencoat.{part}", "properties": told}


def _kind(name: str) -> dict[str, Any]:
    if name in (*ARRAYS, *SCANS, *SHOWN):
        return {"type": "array", "items": {"type": ["number", "null"]}}
    if name in FLAGS:
        return {"type": "array", "items": {"type": "boolean"}}
    if name in WORDS:
        return {"type": "string"}
    if name == "sent":
        return {"type": "boolean"}
    return {"type": "integer" if KINDS.get(name) == "INTEGER" else ["number", "null"], "description": unit_of(name)}
