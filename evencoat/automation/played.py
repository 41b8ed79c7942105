"""A line and its automation in lockstep: desk, clerk and tray as beside a control process, without the waiting.

Runs without a person (benchmarks/hands_off.py) and the tests use it. The clerk's clock is line time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from controller.core.trace import Trace
from evencoat.automation.attendant import Attendant, seen
from evencoat.automation.decide import Deed
from evencoat.automation.plan import Plan
from evencoat.desk.clerk import Clerk
from evencoat.desk.client import Answer
from evencoat.desk.tray import Tray, standing
from evencoat.desk.users import Role, User, Users
from evencoat.journal import CycleJournal
from evencoat.journal.interventions import AUTOMATION
from evencoat.settings import Automation
from evencoat.simulate import SimulatedLine
from firmware_bridge.frames import Frame
from firmware_bridge.medium import Medium, Played

LOOK_S = 0.5  # line time between two looks
TICKS = 12  # of the event loop after a cycle: more than an answer needs on its way back
TAKEN_WITHIN_S = 600.0  # wall time; cycles come as fast as the machine allows, and not at all while it is busy


class AutomationAlone(Users):
    """The users of a line at which nobody is: the automation, as an engineer who cannot log in."""

    def __init__(self, name: str) -> None:
        super().__init__(Path("nowhere"))
        self._alone = MappingProxyType({name: User(name, Role.ENGINEER, "none", "")})

    def all(self) -> Mapping[str, User]:
        """Only that one."""
        return self._alone


class Unattended:
    """A sink for a simulated line: journal, tray and automation after each cycle. `sit` says which line."""

    def __init__(
        self,
        journal: CycleJournal,
        policy: Automation,
        plan: Plan,
        rate_um_per_s: float,
        users: Users | None = None,
    ) -> None:
        self.attendant = Attendant(policy, plan, rate_um_per_s)
        self.tray = Tray(journal)
        self._journal, self._t_s, self._looked_s = journal, 0.0, -LOOK_S
        self._line: SimulatedLine | None = None
        self.clerk = Clerk(
            journal,
            self.tray,
            users or AutomationAlone(policy.acts_as),
            self._standing,
            taken_within_s=TAKEN_WITHIN_S,
            clock=lambda: self._t_s,
        )
        self._events = asyncio.new_event_loop()
        self._under_way: asyncio.Task[str] | None = None
        self.deeds: list[tuple[float, Deed, str]] = []  # line time, what was asked for, why it was refused
        self._deed: Deed | None = None

    def sit(self, line: SimulatedLine) -> None:
        """Take the line whose cycles come in."""
        self._line = line

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """One cycle of the loop."""
        self._journal.record(trace, step_us, lateness_us)
        self._t_s = trace.t_line_ns / 1e9
        if self._line is None:
            return
        self.tray.empty(self._line.loop)
        if self._under_way is not None:
            self._go_on(self._under_way)
        elif self._t_s - self._looked_s >= LOOK_S - 1e-6 or self._t_s < self._looked_s:
            self._looked_s = self._t_s
            self._look(trace)

    def close(self) -> None:
        """End what is under way."""
        if self._under_way is not None:
            self._under_way.cancel()
            self._events.run_until_complete(asyncio.gather(self._under_way, return_exceptions=True))
        self.clerk.close()
        self._events.close()

    def _look(self, trace: Trace) -> None:
        look = seen(trace._asdict(), self.clerk.state())
        deed = self.attendant.look(look) if look is not None else None
        if deed is not None:
            self._deed = deed
            self._under_way = self._events.create_task(self.attendant.carry_out(deed, self._ask))
            self._go_on(self._under_way)

    def _go_on(self, task: asyncio.Task[str]) -> None:
        """Let the desk work until it waits for the next cycle."""
        for _ in range(TICKS):
            self._events.run_until_complete(asyncio.sleep(0))
        if task.done() and self._deed is not None:
            self.deeds.append((self._t_s, self._deed, task.result()))
            self._under_way = self._deed = None

    async def _ask(self, action: str, values: Mapping[str, Any], why: str) -> Answer:
        who = self.attendant.policy.acts_as
        request = {"who": who, "via": AUTOMATION, "action": action, "values": dict(values), "why": why}
        told = await self.clerk.answer(json.dumps(request).encode())
        return Answer(told["accepted"], told["reason"])

    def _standing(self) -> Any:
        return None if self._line is None else standing(self._line.loop, True)


class CutWire(Medium):
    """A perfect wire that is cut at times: (from, for so long), s of line time. Then nobody hears anybody."""

    def __init__(self, cuts_s: Sequence[tuple[float, float]]) -> None:
        super().__init__(Played())
        self._cuts_s = tuple(cuts_s)

    def offer(self, frame: Frame, sender: int, now_s: float) -> None:
        """Lose it, or carry it."""
        if any(from_s <= now_s < from_s + for_s for from_s, for_s in self._cuts_s):
            self.lost += 1
        else:
            super().offer(frame, sender, now_s)
