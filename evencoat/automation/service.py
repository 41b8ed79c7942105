"""The automation beside a control process: it looks at the picture and the desk, and asks the desk.

A process of its own. Where it ends, the line goes on as it was asked to; where the control process does, it waits.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from evencoat import picture
from evencoat.automation.attendant import Attendant, seen
from evencoat.automation.plan import Plan
from evencoat.desk.client import Answer, Desk, DeskError
from evencoat.journal import JournalError, JournalReader
from evencoat.journal.interventions import AUTOMATION
from evencoat.settings import Settings

LOOK_S = 0.5  # wall time between two looks
PLC_LOOK_S = 5.0
PLC_SAID = "PLC: recipe "  # what `evencoat opcua follow` puts on record, with the new name after the last arrow
ARROW = " -> "
log = structlog.get_logger()


class Service:
    """The automation of one control process. `tick` is called now and then."""

    def __init__(self, settings: Settings, plan: Plan, journal: Path, desk: Desk | None = None) -> None:
        self._attendant = Attendant(settings.automation, plan, settings.line.lips.rate_um_per_s)
        self._viewer = picture.Viewer(picture.path_of(journal))
        self._desk, self._who = desk or Desk(journal), settings.automation.acts_as
        names_plc = settings.plc is not None and any(change.plc is not None for change in plan.changes)
        self._plc = Plc(journal, f"{settings.plc.acts_as} via opcua") if names_plc and settings.plc else None
        self._silent = ""

    def tick(self) -> None:
        """Look, and carry out what is to be done: up to some seconds, while the desk answers. Never raises for that."""
        content = self._viewer.latest()
        if content is None:
            return
        head, arrays = picture.told(content)
        try:
            look = seen({**head, **arrays}, self._desk.state(), self._plc.recipe() if self._plc else "")
        except DeskError as error:
            self._complain(str(error))
            return
        self._silent = ""
        deed = self._attendant.look(look) if look is not None else None
        if deed is not None:
            refused = asyncio.run(self._attendant.carry_out(deed, self._ask))
            words = "; ".join(ask.why or str(ask.values.get("text", "")) for ask in deed.asks[:1])
            log.info("automation", deed=str(deed.kind), why=words, refused=refused)

    async def _ask(self, action: str, values: Mapping[str, Any], why: str) -> Answer:
        """At the desk; that no answer came is a refusal."""
        try:
            return await asyncio.to_thread(self._desk.ask, self._who, AUTOMATION, action, values, why)
        except DeskError as error:
            return Answer(False, str(error))

    def _complain(self, words: str) -> None:
        if words != self._silent:  # once, not twice a second
            log.warning("automation", waits=words)
        self._silent = words


class Plc:
    """The recipe that the PLC named last, as `evencoat opcua follow` put it on record in the name of `who`."""

    def __init__(self, journal: Path, who: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._journal, self._who, self._clock = journal, who, clock
        self._asked_s, self._recipe = -PLC_LOOK_S, ""

    def recipe(self) -> str:
        """Its name; "" where none was named. Looked up every few seconds; where that fails, the one known before."""
        if self._clock() - self._asked_s >= PLC_LOOK_S:
            self._asked_s = self._clock()
            try:
                with JournalReader(self._journal) as reader:
                    said = reader.last_remark(self._who, PLC_SAID)
            except (JournalError, sqlite3.Error, OSError) as error:
                log.warning("automation", plc=str(error))
            else:
                self._recipe = said.rpartition(ARROW)[2]
        return self._recipe


def serve(service: Service, stop: Callable[[], bool], wait: Callable[[float], object] = time.sleep) -> None:
    """Tick until told to stop."""
    while not stop():
        service.tick()
        wait(LOOK_S)
