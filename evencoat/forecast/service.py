"""Forecasts beside the page: reads the journal on whenever somebody asks, never more than a bounded part at once."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from controller.line.description import LineDescription
from evencoat.forecast.told import COLUMNS, Teller
from evencoat.journal import JournalError, JournalReader

BACK_S = 900.0  # of line time that is read at first, and after a pause
ROWS_MOST = 3000  # in one look: under two seconds of reading


class ForecastError(Exception):
    """The journal cannot be read now; the text says why."""


class ForecastService:
    """One line's forecasts. Any thread may ask; one at a time reads on."""

    def __init__(
        self, journal: Path, line: LineDescription, last_row: Callable[[JournalReader], int] = JournalReader.last_row
    ) -> None:
        """`last_row`: where the present is; the end of the journal where nothing is said."""
        self._journal, self._line, self._last_row = journal, line, last_row
        self._one = threading.Lock()
        self._teller, self._row = Teller(line), 0

    def told(self) -> dict[str, Any]:
        """As /forecast.json has it. Raises ForecastError."""
        with self._one:
            behind = self._read_on()
            if behind > ROWS_MOST:
                return {"known": False, "why": f"reading the run: {behind} cycles to go"}
            return self._teller.told()

    def what_if(self, target: float | None, speed: float | None, solids: float | None) -> dict[str, Any]:
        """As /what-if.json has it. Raises ForecastError, and WhatIfError for a question out of bounds."""
        with self._one:
            self._read_on()
            return self._teller.what_if(target, speed, solids)

    def _read_on(self) -> int:
        """See the next part of the journal; returns how many cycles are left."""
        try:
            with JournalReader(self._journal) as reader:
                last = self._last_row(reader)
                back = round(BACK_S / self._line.control.cycle_s)
                if not 0 <= last - self._row <= back:
                    self._teller, self._row = Teller(self._line), max(last - back, reader.first_row() - 1)
                until = min(self._row + ROWS_MOST, last)
                for cycle in reader.one_by_one(COLUMNS, self._row + 1, until):
                    self._teller.see(cycle)
        except (JournalError, sqlite3.Error) as error:
            raise ForecastError(str(error)) from error
        self._row = until
        return last - until
