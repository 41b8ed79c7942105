"""The attendant: keeps the state of the automation, and carries out at a desk what was decided.

It asks as anybody does: takes command, asks, gives command back. Where somebody else is in command it waits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import numpy as np

from controller.line.command import Mode, Outcome
from controller.line.profile import LineState
from evencoat.automation.decide import Deed, Seen, State, answered, decide
from evencoat.automation.plan import Place, Plan
from evencoat.desk.client import Answer
from evencoat.settings import Automation

Asked = Callable[[str, Mapping[str, Any], str], Awaitable[Answer]]  # action, values, why
NOBODY = ""


class Attendant:
    """The automation of one line, whatever it looks through and asks through."""

    def __init__(self, policy: Automation, plan: Plan, rate_um_per_s: float) -> None:
        self.policy, self.plan, self._rate_um_per_s = policy, plan, rate_um_per_s
        self.state = State()

    def look(self, seen: Seen) -> Deed | None:
        """What is to be carried out now; nothing else is decided until it was."""
        self.state, deed = decide(self.policy, self.plan, self._rate_um_per_s, self.state, seen)
        return deed

    async def carry_out(self, deed: Deed, ask: Asked) -> str:
        """Ask for it; "" where all of it was taken, else why not."""
        refused = await self._through(deed, ask) if not deed.token else await self._in_command(deed, ask)
        self.state = answered(self.state, deed, refused, self.state.t_s)
        return refused

    async def _in_command(self, deed: Deed, ask: Asked) -> str:
        taken = await ask("take_command", {}, str(deed.kind))
        if not taken.accepted:
            return taken.reason
        try:
            return await self._through(deed, ask)
        finally:
            await ask("release_command", {}, str(deed.kind))

    async def _through(self, deed: Deed, ask: Asked) -> str:
        for action, values, why in deed.asks:
            answer = await ask(action, values, why)
            if not answer.accepted:
                return answer.reason
        return ""


def seen(cycle: Mapping[str, Any], desk: Mapping[str, Any], plc: str = "") -> Seen | None:
    """One look: a cycle by the names of Trace, from a trace or from a picture, and what the desk says of itself.

    None where the desk has not seen a cycle yet.
    """
    if desk["mode_requested"] is None:
        return None
    holder = desk["holder"]
    return Seen(
        t_s=cycle["t_line_ns"] / 1e9,
        cycle=int(cycle["cycle"]),
        place=Place(int(cycle["roll"]), _number(cycle["web_m"]), plc),
        web_speed_mps=_number(cycle["web_speed_mps"]),
        line_state=LineState(int(cycle["line_state"])),
        mode_requested=Mode(desk["mode_requested"]),
        mode_actual=Mode(desk["mode_actual"]),
        outcome=Outcome(desk["outcome"]),
        faults=tuple(cycle["link_faults"]),
        lost_bolts=int(np.count_nonzero(cycle["zone_not_following"])),
        read_share=float(np.mean(cycle["profile_valid"])),
        by_hand=bool(np.any(cycle["zone_manual"])),
        target_gsm=_number(cycle["target_gsm"]),
        sent_um=tuple(map(float, cycle["gap_target_um"])),
        mode_by=desk["mode_by"],
        acted=bool(desk["acted"]),
        holder=f"{holder['who']} via {holder['via']}" if holder else NOBODY,
        sends=bool(desk["sends"]),
    )


def _number(value: Any) -> float:
    """A picture says null for NaN."""
    return float("nan") if value is None else float(value)
