"""What was: values of a line out of its journal, as OPC UA's raw history, a bounded number at a time."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.history import HistoryStorageInterface

from evencoat.journal import JournalError, JournalReader
from evencoat.opcua.nodes import HISTORY, KEPT_AS, NOTHING_YET, NS, OF_LOT, Told, as_variant, profile_status, target_of

VALUES_MOST, ARRAYS_MOST = 5000, 500  # in one answer; the rest with a continuation point
KEPT = {told.name: told for told in HISTORY}
NEVER = ua.get_win_epoch()


class JournalHistory(HistoryStorageInterface):
    """Reads; nothing is kept here, for the journal keeps it. The file is opened for each question, in a thread."""

    def __init__(self, journal: Path) -> None:
        super().__init__()
        self._journal = journal

    async def init(self) -> None:
        """Nothing to do."""

    async def stop(self) -> None:
        """Nothing to do."""

    async def read_node_history(
        self, node_id: ua.NodeId, start: datetime | None, end: datetime | None, nb_values: int
    ) -> tuple[list[ua.DataValue], datetime | None]:
        """Values of a node from `start` to `end`, both included; backwards where `end` comes first or `start` is none.

        Also the time of the first value that did not fit, or None. Raises ServiceError.
        """
        told = KEPT.get(str(node_id.Identifier)) if node_id.NamespaceIndex == NS else None
        if told is None:
            raise ServiceError(ua.StatusCodes.BadHistoryOperationUnsupported)
        try:
            return await asyncio.to_thread(self._read, told, _time(start), _time(end), nb_values)
        except (JournalError, sqlite3.Error) as error:
            raise ServiceError(ua.StatusCodes.BadNoCommunication) from error

    def _read(
        self, told: Told, start: datetime | None, end: datetime | None, most: int
    ) -> tuple[list[ua.DataValue], datetime | None]:
        if start is None and end is None:
            raise ServiceError(ua.StatusCodes.BadInvalidTimestampArgument)
        backwards = start is None or (end is not None and end < start)
        early, late = (end, start) if backwards and start is not None else (start, end)
        if backwards and start is None:
            early, late = None, end
        fits = ARRAYS_MOST if told.array else VALUES_MOST
        wanted = min(most or fits, fits)
        with JournalReader(self._journal) as reader:
            last = reader.last_row()
            first_row = 1 if early is None else _row_from(reader, last, early)
            last_row = last if late is None else _row_from(reader, last, late + timedelta(microseconds=1)) - 1
            values = _values(reader, told, first_row, last_row, wanted + 1, backwards)
        rest = values[wanted].SourceTimestamp if len(values) > wanted and (not most or most > wanted) else None
        return values[:wanted], rest

    async def new_historized_node(self, node_id: Any, period: Any, count: int = 0) -> None:
        """Never: see the class."""
        raise NotImplementedError

    async def save_node_value(self, node_id: Any, datavalue: Any) -> None:
        """Never: see the class."""
        raise NotImplementedError

    async def new_historized_event(self, source_id: Any, evtypes: Any, period: Any, count: int = 0) -> None:
        """Never: see the class."""
        raise NotImplementedError

    async def save_event(self, event: Any) -> None:
        """Never: see the class."""
        raise NotImplementedError

    async def read_event_history(self, source_id: Any, start: Any, end: Any, nb_values: int, evfilter: Any) -> Any:
        """Not told: Session.history_read refuses it before."""
        raise NotImplementedError


def _values(reader: JournalReader, told: Told, first: int, last: int, most: int, backwards: bool) -> list[ua.DataValue]:
    """Values of rows, at most so many from the end that comes first."""
    first, last = (max(first, last - most + 1), last) if backwards else (first, min(last, first + most - 1))
    rows = _rows(reader, told, first, last)
    found = []
    for k, t_unix_s in enumerate(rows["t_unix_s"]):
        given = rows[told.name][k]
        code = profile_status(rows["profile_valid"][k]) if told.name == "profile_gsm" else ua.StatusCodes.Good
        plain = given if told.array else given.item() if isinstance(given, np.generic) else given
        if isinstance(plain, float) and not math.isfinite(plain):
            plain, code = None, NOTHING_YET
        found.append(ua.DataValue(as_variant(told, plain), ua.StatusCode(code), stamp(t_unix_s)))
    return found[::-1] if backwards else found


def _rows(reader: JournalReader, told: Told, first: int, last: int) -> dict[str, Any]:
    """A value by its name, its times, and what its status takes."""
    if told in OF_LOT:
        numbers, rows = reader.numbered(["t_unix_s"], first, max(last - first + 1, 0))
        kept = numbers <= last
        return {"t_unix_s": rows["t_unix_s"][kept], told.name: reader.lots_of(numbers[kept])[told.name]}
    name = KEPT_AS.get(told.name, told.name)
    rows = reader.rows(["t_unix_s", name] + (["profile_valid"] if told.name == "profile_gsm" else []), first, last)
    if told.name == "target_gsm":
        return {**rows, told.name: [target_of(reader.target_gsm, mean_gsm) for mean_gsm in rows[name]]}
    return {**rows, told.name: rows[name]}


def _row_from(reader: JournalReader, last: int, t: datetime) -> int:
    """The first row that is not older than `t`, last + 1 where all are; rows that were pruned are the oldest."""
    low, high = 1, last + 1
    while low < high:
        middle = (low + high) // 2
        found = reader.rows(["t_unix_s"], middle, middle)["t_unix_s"]
        if not found.size or stamp(found[0]) < t:
            low = middle + 1
        else:
            high = middle
    return low


def stamp(t_unix_s: float) -> datetime:
    """A time as OPC UA has it, to the microsecond."""
    return datetime.fromtimestamp(float(t_unix_s), UTC)


def _time(given: datetime | None) -> datetime | None:
    """None for a time that was left out, which comes as the beginning of the year 1601."""
    if given is None:
        return None
    given = given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    return None if given <= NEVER.replace(tzinfo=UTC) else given
