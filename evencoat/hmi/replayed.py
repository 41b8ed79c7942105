"""A journal played again to the page as if it were live: feed, recent web and events know nothing of later.

It is a copy that is played, with a picture of its own: neither alarms nor pages of the line itself are touched.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from evencoat import picture
from evencoat.hmi.source import COLUMNS, Source, SourceError
from evencoat.journal import JournalError, JournalReader

PAUSE_MOST_S = 2.0  # of line time between two cycles that is waited for: a night without a line is not


def copied(journal: Path, folder: Path) -> Path:
    """A copy of a journal, also of one that is being written. Raises SourceError."""
    copy = folder / "journal.sqlite"
    try:
        with (
            closing(sqlite3.connect(f"{journal.resolve().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise SourceError(f"{journal}: {error}") from error
    return copy


class Replayed(Source):
    """One journal, and how far it has been played. `speed`: line seconds in a second of `clock`."""

    now = False

    def __init__(self, journal: Path, speed: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`journal` is a copy. Raises SourceError where it is none of ours, or has no cycle, PictureError."""
        super().__init__(journal)
        self.speed, self._clock = speed, clock
        try:
            with JournalReader(journal) as reader:
                self._rows = reader.row_numbers()
                t_line_ns = reader.cycles(["t_line_ns"])["t_line_ns"]
        except (JournalError, sqlite3.Error) as error:
            raise SourceError(str(error)) from error
        if not self._rows.size:
            raise SourceError(f"{journal}: holds no cycle")
        steps_s = np.clip(np.diff(t_line_ns) / 1e9, 0.0, PAUSE_MOST_S)
        self._at_s = np.concatenate(([0.0], np.cumsum(steps_s)))
        self._began_s = clock()
        self._easel = picture.Easel(picture.path_of(journal), self.settings.line.zones)
        self.viewer = Player(self, self._easel)

    @property
    def head(self) -> int:
        """Row number of the newest cycle that has been played."""
        played_s = (self._clock() - self._began_s) * self.speed
        return int(self._rows[np.searchsorted(self._at_s, played_s, side="right") - 1])

    @property
    def ended(self) -> bool:
        return self.head == int(self._rows[-1])

    def close(self) -> None:
        """Take the picture away."""
        self._easel.close()

    def line(self) -> dict[str, Any]:
        """The line's scales and marks, under a name that says that it is a replay."""
        told = super().line()
        return told | {"name": f"{told['name']} (replay, {self.speed:g} x)", "replay": self.speed}

    def last_row(self, reader: JournalReader) -> int:
        """The play head is the newest there is."""
        return self.head

    def events(self) -> list[dict[str, Any]]:
        """What had happened by the play head, newest first. Raises SourceError."""
        row = self.row(self.head)
        return [event for event in super().events() if event["t_unix_s"] <= row["t_unix_s"]]

    def row(self, number: int) -> dict[str, Any]:
        """One cycle by the names of Trace. Raises SourceError."""
        try:
            with JournalReader(self.journal) as reader:
                found = reader.rows(COLUMNS, number, number)
        except (JournalError, sqlite3.Error) as error:
            raise SourceError(str(error)) from error
        return {name: values[0] for name, values in found.items()} | {"model_news": ""}


class Player(picture.Viewer):
    """Whoever looks through it moves the picture on to the cycle under the play head, for all who look."""

    def __init__(self, source: Replayed, easel: picture.Easel) -> None:
        super().__init__(easel.path)
        self._source, self._easel, self._shown = source, easel, -1

    def latest(self) -> bytes | None:
        """The cycle under the play head, once; None until there is another, and where it cannot be read now."""
        head = self._source.head
        if head != self._shown:
            with suppress(SourceError):
                row = self._source.row(head)
                self._easel.put(picture.message(row, float(row["lateness_us"]), float(row["t_unix_s"])))
                self._shown = head
        return super().latest()
