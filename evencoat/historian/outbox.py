"""From the journal to sinks, at least once: the journal's rows are the outbox, and a row's number is its key.

A row is named for good by the journal's id and its number, which is never used twice. A sink remembers for good up to
which row it has everything; an Outbox reads on from there, some rows at a time, and hands them over. Whatever dies in
between, rows come again and none is left out, and a sink takes a row that it has for the same row.
"""

from __future__ import annotations

import math
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from controller.line.description import LineDescription
from evencoat.journal import COLUMNS, JournalError, JournalReader
from evencoat.settings import SettingsError, read_line

ROWS_AT_ONCE = 1000  # some megabytes of a wide line: the most that one sink keeps in memory at a time
LOOK_S = 1.0  # between two looks at a journal that has nothing new
RETRY_FIRST_S, RETRY_MOST_S = 0.5, 5.0


class SinkError(Exception):
    """The sink cannot take rows, and trying again would not help; the text says why."""


class SinkDown(Exception):
    """The sink cannot take rows now; they are offered again later. The text says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class Source:
    """Whose rows they are."""

    journal_id: str
    line: LineDescription


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a journal in their order: their numbers (T,), the journal's columns, and LOT_NAMES beside them."""

    numbers: npt.NDArray[np.int64]
    columns: dict[str, npt.NDArray[Any]]

    def cut(self, low: int, high: int) -> Rows:
        """Some of them, by their places."""
        return Rows(self.numbers[low:high], {name: values[low:high] for name, values in self.columns.items()})


class Sink(Protocol):
    """Where rows go. One thread calls it."""

    name: str

    def bookmark(self, source: Source) -> int:
        """The last row of this journal up to which everything is kept for good, 0 where there is none."""

    def deliver(self, source: Source, rows: Rows) -> int:
        """Take rows; the last one that is kept for good now, which may be an earlier one.

        Some may be there already. Raises SinkDown, and is then asked for its bookmark again.
        """

    def settle(self, source: Source, everything: bool) -> int:
        """Nothing new came, or with `everything` nothing will: the last row that is kept for good now."""

    def missing(self, source: Source, first_row: int, last_row: int) -> None:
        """These rows can never be handed over: they were pruned from the journal first."""

    def close(self) -> None:
        """Let go of everything; what was not settled comes again."""


@dataclass(slots=True)
class Progress:
    """How far one sink is. Written by its thread, read by others: each field is a number or a text."""

    kept_row: int = 0
    kept_unix_s: float = math.nan  # when the newest row that is kept for good was written; at first, the one after it
    newest_row: int = 0
    newest_unix_s: float = math.nan
    missing_rows: int = 0
    failures: int = 0
    error: str = ""

    @property
    def lag_rows(self) -> int:
        return max(self.newest_row - self.kept_row, 0)

    @property
    def lag_s(self) -> float:
        """How much older the newest row that is kept for good is than the journal's newest; NaN where nobody knows."""
        return max(self.newest_unix_s - self.kept_unix_s, 0.0) if self.lag_rows else 0.0


Tell = Callable[[str, str], None]  # (kind: "gap", "down" or "up", words)


@dataclass(slots=True)
class Outbox:
    """Follows one journal for one sink."""

    journal: Path
    sink: Sink
    tell: Tell
    progress: Progress = field(default_factory=Progress)
    _source: Source | None = None
    _next_row: int = 0  # the first that was not handed over
    _times: deque[tuple[int, float]] = field(
        default_factory=deque
    )  # last rows not known to be kept, and when they were

    def step(self) -> int:
        """Hand over what is next; how many rows. Raises SinkDown, SinkError, JournalError, sqlite3.Error, OSError."""
        with JournalReader(self.journal) as reader:
            newest = reader.last_mode()
            self.progress.newest_unix_s = newest[0] if newest else math.nan
            self.progress.newest_row = reader.last_row()
            self._begin(reader)
            numbers, columns = reader.numbered(COLUMNS, self._next_row, ROWS_AT_ONCE)
            columns |= reader.lots_of(numbers)
        assert self._source is not None
        if not numbers.size:
            self._kept(self.sink.settle(self._source, everything=False))
            return 0
        ends = np.flatnonzero(np.diff(numbers, append=-1) != 1) + 1
        for low, high in pairwise([0, *ends.tolist()]):
            self._hand_over(Rows(numbers, columns).cut(low, high))
        return int(numbers.size)

    def _hand_over(self, rows: Rows) -> None:
        """Rows without a gap between them; where there is one before them, say so loudly first."""
        assert self._source is not None
        first, last = int(rows.numbers[0]), int(rows.numbers[-1])
        if first > self._next_row:
            self.sink.missing(self._source, self._next_row, first - 1)
            self.progress.missing_rows += first - self._next_row
            gone = f"rows {self._next_row} to {first - 1}"
            self.tell("gap", f"{self.sink.name}: {gone} were pruned from the journal before they were handed over")
            self._next_row = first
        written_s = rows.columns["t_unix_s"]
        if math.isnan(self.progress.kept_unix_s):
            self.progress.kept_unix_s = float(written_s[0])
        self._times.append((last, float(written_s[-1])))
        kept = self.sink.deliver(self._source, rows)
        self._next_row = last + 1
        self._kept(kept)

    def drain(self, progress: Callable[[int, int], None] = lambda done, of: None) -> int:
        """Hand over everything that is there, and settle it; how many rows. Raises what `step` raises."""
        done = 0
        while handed := self.step():
            done += handed
            progress(done, done + self.progress.newest_row - self._next_row + 1)
        assert self._source is not None
        self._kept(self.sink.settle(self._source, everything=True))
        return done

    def run(self, stop: Event) -> None:
        """Follow until told to stop; a sink that is down is tried again, ever less often. Raises SinkError."""
        retry_s = RETRY_FIRST_S
        while not stop.is_set():
            try:
                handed = self.step()
            except (SinkDown, JournalError, sqlite3.Error, OSError) as error:
                self._failed(str(error))
                stop.wait(retry_s)
                retry_s = min(2.0 * retry_s, RETRY_MOST_S)
                continue
            if self.progress.error:
                self.tell("up", f"{self.sink.name}: goes on from row {self._next_row}")
            retry_s, self.progress.error = RETRY_FIRST_S, ""
            if handed < ROWS_AT_ONCE:
                stop.wait(LOOK_S)

    def _failed(self, words: str) -> None:
        """Everything that was not kept for good is offered again."""
        if words != self.progress.error:
            self.tell("down", f"{self.sink.name}: {words}")
        self.progress.failures += 1
        self.progress.error = words
        self._source = None

    def _begin(self, reader: JournalReader) -> None:
        """Know whose rows these are, and where to go on; anew where another journal lies there now."""
        if self._source is not None and self._source.journal_id == reader.meta["journal_id"]:
            return
        try:
            line = read_line(reader.settings_text, self.journal).line
        except SettingsError as error:
            raise SinkError(str(error)) from error
        source = Source(reader.meta["journal_id"], line)
        kept = self.sink.bookmark(source)
        self._source, self._next_row, self._times = source, kept + 1, deque()
        self.progress.kept_row = kept

    def _kept(self, row: int) -> None:
        self.progress.kept_row = row
        while self._times and self._times[0][0] <= row:
            self.progress.kept_unix_s = self._times.popleft()[1]
