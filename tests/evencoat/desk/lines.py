"""A line with a desk: the simulated plant and loop, a journal, a users file, and time that the test owns."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from evencoat.desk.clerk import Clerk
from evencoat.desk.tray import Tray, standing
from evencoat.desk.users import Role, Users
from evencoat.journal import CycleJournal, JournalReader
from evencoat.journal.audit import AuditRecord
from plant_sim.scenario import Scenario
from tests.runs import Line

PEOPLE: Mapping[str, Role] = {"vera": Role.VIEWER, "omar": Role.OPERATOR, "enid": Role.ENGINEER, "ada": Role.ADMIN}


def write_users(path: Path, people: Mapping[str, Role] = PEOPLE) -> Path:
    """A users file of people who cannot log in: roles are all that the control process looks at."""
    told = {name: {"role": str(role), "argon2": "none", "changed": ""} for name, role in people.items()}
    path.write_text(json.dumps({"evencoat_users": 1, "users": told}))
    path.chmod(0o600)
    return path


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class DeskLine:
    """A line in AUTO with a clerk; `ask` lets cycles pass until there is an answer."""

    def __init__(self, folder: Path, sends: bool = True) -> None:
        self.line = Line(Scenario.load("steady-night"))
        self.line.play_s(1.0)
        self.path = folder / "line.sqlite"
        settings = self.line.plan.settings
        self.journal = CycleJournal(self.path, settings.line, settings.text)
        self.tray, self.clock = Tray(self.journal), Clock()
        self.users = Users(write_users(folder / "users.json"))
        self.clerk = Clerk(
            self.journal, self.tray, self.users, lambda: standing(self.line.loop, sends), clock=self.clock
        )

    def cycle(self) -> None:
        """One cycle, and what the paced thread does after it."""
        self.line.play_s(self.line.line.control.cycle_s)
        self.tray.empty(self.line.loop)

    def say(self, line: bytes) -> dict[str, Any]:
        """The clerk's answer to a line, with cycles as long as it waits for one."""

        async def both() -> dict[str, Any]:
            answering = asyncio.create_task(self.clerk.answer(line))
            await asyncio.sleep(0)
            while not answering.done():
                self.cycle()
                await asyncio.sleep(0.001)
            return answering.result()

        return asyncio.run(both())

    def ask(self, who: str, action: str, via: str = "page", why: str = "", **values: Any) -> tuple[bool, str]:
        """Whether it was accepted, and the reason."""
        request = {"id": 7, "who": who, "via": via, "action": action, "values": values, "why": why}
        told = self.say(json.dumps(request).encode())
        assert told["id"] == 7
        return told["accepted"], told["reason"]

    def records(self) -> list[AuditRecord]:
        """The audit chain, which must hold; the journal is closed with it."""
        self.clerk.close()
        self.journal.close()
        with JournalReader(self.path) as reader:
            assert reader.verify().ok
            return list(reader.audit())


def told(records: Iterable[AuditRecord]) -> list[tuple[str, str, str]]:
    """Who, what, and to what."""
    return [(record.who, record.what, record.new) for record in records]
