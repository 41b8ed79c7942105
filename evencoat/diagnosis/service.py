"""Diagnosis beside the page: reads the journal on, once a second, and answers who asks.

A task of `evencoat serve`, never of the control process. It reads the journal and not the picture, because a picture
shows the newest cycle only, and evidence must not miss any.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from pathlib import Path
from typing import Any

from evencoat.diagnosis.replay import replayed
from evencoat.diagnosis.told import as_dict
from evencoat.diagnosis.watch import Diagnoser, Diagnosis
from evencoat.journal import JournalError, JournalReader
from evencoat.settings import Settings

LOOK_S = 1.0
BACK_S = 1800.0  # of line that a start takes up: what the detectors remember
HISTORY_TOLD = 100


class DiagnosisService:
    """One line's diagnoses."""

    def __init__(self, journal: Path, settings: Settings) -> None:
        self.journal, self._line = journal, settings.line
        self._diagnoser = Diagnoser(settings.line)
        self._row = 0
        self._named: deque[Diagnosis] = deque(maxlen=HISTORY_TOLD)
        self.problem = ""
        self._told = self._now()  # made whole on the thread that looks, so that whoever asks sees no half

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    def look(self) -> None:
        """Read on from where it stopped. Blocks on the disk."""
        try:
            with JournalReader(self.journal) as reader:
                if self._row == 0:
                    back = int(BACK_S / self._line.control.cycle_s)
                    self._row = max(reader.last_row() - back, 0) + 1
                named, last = replayed(self._diagnoser, reader, self._row)
            self._row, self.problem = last + 1, ""
            self._named.extend(named)
            self._told = self._now()
        except (JournalError, sqlite3.Error) as error:
            self.problem = str(error)

    def told(self) -> dict[str, Any]:
        """All of it, as /diagnosis.json has it: what stands, and what was named of late, the newest first."""
        return {**self._told, "problem": self.problem}

    def _now(self) -> dict[str, Any]:
        begun_ns = self._diagnoser.begun_ns
        return {
            "standing": [as_dict(one, begun_ns, self.journal) for one in self._diagnoser.standing()],
            "history": [as_dict(one, begun_ns, self.journal) for one in reversed(self._named)],
            "line_s": round(begun_ns / 1e9 + self._diagnoser.t_s, 1) if begun_ns >= 0 else None,
        }
