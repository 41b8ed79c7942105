"""Diagnosis beside the page: reads the journal on, once a second, and tells what it found.

    python -m evencoat.diagnosis.service JOURNAL

A process of its own, of lower priority, that `evencoat serve` starts and starts again (`Beside`): what it takes to
think is not taken from a page that has to be fresh. It reads the journal and not the picture, because a picture shows
the newest cycle only, and evidence must not miss any. Each line that it prints is all that /diagnosis.json says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

from evencoat.diagnosis.replay import replayed
from evencoat.diagnosis.told import as_dict
from evencoat.diagnosis.watch import Diagnoser, Diagnosis
from evencoat.journal import JournalError, JournalReader
from evencoat.settings import Settings, read_line

LOOK_S = 1.0
BACK_S = 1800.0  # of line that a start takes up: what the detectors remember
HISTORY_TOLD = 100
ROWS_MOST = 3000  # in one look, so that a start tells how far it is
NICE = 10
AGAIN_S = 5.0  # until a process that ended is started again
LINE_MOST = 1 << 20  # bytes that it may tell at once


class DiagnosisService:
    """One line's diagnoses."""

    def __init__(self, journal: Path, settings: Settings) -> None:
        self.journal, self._line = journal, settings.line
        self._diagnoser = Diagnoser(settings.line)
        self._row = 0
        self._named: deque[Diagnosis] = deque(maxlen=HISTORY_TOLD)
        self.problem = ""
        self._told = self._now()

    def look(self) -> None:
        """Read on from where it stopped. Blocks on the disk."""
        try:
            with JournalReader(self.journal) as reader:
                if self._row == 0:
                    back = int(BACK_S / self._line.control.cycle_s)
                    self._row = max(reader.last_row() - back, 0) + 1
                last = min(reader.last_row(), self._row + ROWS_MOST - 1)
                named = replayed(self._diagnoser, reader, self._row, last)
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


class Beside:
    """That process, as the page has it."""

    def __init__(self, journal: Path, again_s: float = AGAIN_S) -> None:
        self._journal, self._again_s = journal, again_s
        self.pid: int | None = None
        self._told: dict[str, Any] = {"standing": [], "history": [], "line_s": None, "problem": "not begun yet"}

    async def run(self) -> None:
        """Have it run, for ever; it ends with the task."""
        while True:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "evencoat.diagnosis.service", str(self._journal),
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, limit=LINE_MOST,
                start_new_session=True,  # Ctrl-C is ours to answer
            )  # fmt: skip
            self.pid = child.pid
            try:
                assert child.stdout is not None
                async for line in child.stdout:
                    self._told = json.loads(line)
                self._told = {**self._told, "problem": "diagnosis ended by itself; it is started again"}
            finally:
                with contextlib.suppress(ProcessLookupError):
                    child.kill()
                await child.wait()
                self.pid = None
            await asyncio.sleep(self._again_s)

    def told(self) -> dict[str, Any]:
        """All of it, as /diagnosis.json has it."""
        return self._told


def main(journal: Path) -> None:
    """Look and tell until nobody listens."""
    os.nice(NICE)
    with JournalReader(journal) as reader:
        settings = read_line(reader.settings_text, journal)
    service = DiagnosisService(journal, settings)
    with contextlib.suppress(BrokenPipeError):
        while True:
            service.look()
            print(json.dumps(service.told()), flush=True)
            time.sleep(LOOK_S)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
