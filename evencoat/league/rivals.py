"""Who else could run the line: nobody (`open`), an operator (`hand`), and the laws of the controller.

Every rival drives the same loop through the same port and envelope. `open` and `hand` are MANUAL mode with a person who
does nothing, or what today's operators do; the others are AUTO with a law.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from controller.core.response import lip_matrix, local_gain_per_um
from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest
from controller.line.description import Array, LawName, LineDescription


class Rival(StrEnum):
    """Names as the command line takes them."""

    OPEN = "open"
    HAND = "hand"
    PID = "pid"
    IMC = "imc"
    ADAPTIVE = "adaptive"
    NEURAL = "neural"


LAWS = {
    Rival.PID: LawName.PI,
    Rival.IMC: LawName.IMC,
    Rival.ADAPTIVE: LawName.ADAPTIVE,
    Rival.NEURAL: LawName.NEURAL,
}

LOOK_EVERY_S = 600.0
FIRST_LOOK_S = 150.0  # right after start-up, when the dry gauge has first seen the web
DISPLAY_AVERAGE_S = 30.0  # what the gauge's own screen averages
WORST_BOLTS = 5
WHOLE_UM = 1.0
LARGEST_TURN_UM = 10.0
PUMP_STEP_PCT = 0.1


def prepare(line: LineDescription, rival: Rival) -> tuple[LineDescription, Mode]:
    """The line's description with the rival's law in it, and the mode that the rival works in."""
    law = LAWS.get(rival)
    if law is None:
        return line, Mode.MANUAL
    return replace(line, control=replace(line.control, law=law)), Mode.AUTO


@dataclass(frozen=True, slots=True)
class Glance:
    """What the operator reads off the screen in one cycle."""

    t_s: float
    deviation_log: Array


class Operator:
    """Today's practice: every ten minutes look at the profile, turn the worst few bolts by whole um, trim the pump.

    The operator sees what the controller's estimate shows, averaged as a gauge's screen does, and knows the lip's gain
    from its drawing; one bolt moves its neighbours too, so the turn is reckoned for a bolt alone.
    """

    def __init__(self, line: LineDescription) -> None:
        self._line = line
        self._target = line.target_profile_gsm
        alone = np.diag(lip_matrix(line.die)) - 1.0 / line.zones
        self._gain_per_um = local_gain_per_um(line) * alone
        self._seen: deque[Glance] = deque()
        self._next_look_s: float | None = None

    def watch(self, trace: Trace) -> OperatorRequest | None:
        """See one cycle; now and then, ask for something."""
        t_s = trace.t_line_ns / 1e9
        if self._next_look_s is None:
            self._next_look_s = t_s + FIRST_LOOK_S
        if trace.profile_valid.any():
            self._seen.append(Glance(t_s, np.log(trace.profile_gsm / self._target)))
        while self._seen and self._seen[0].t_s < t_s - DISPLAY_AVERAGE_S:
            self._seen.popleft()
        if t_s < self._next_look_s or not self._seen or trace.mode_actual is not Mode.MANUAL:
            return None
        self._next_look_s = t_s + LOOK_EVERY_S
        return self._turn(trace, np.mean([glance.deviation_log for glance in self._seen], axis=0))

    def _turn(self, trace: Trace, deviation_log: Array) -> OperatorRequest:
        level = float(deviation_log.mean())
        uneven = deviation_log - level
        worst = np.argsort(-np.abs(uneven))[:WORST_BOLTS]
        turn_um = np.round(-uneven[worst] / self._gain_per_um[worst] / WHOLE_UM) * WHOLE_UM
        gap_um = trace.gap_target_um.copy()
        gap_um[worst] += np.clip(turn_um, -LARGEST_TURN_UM, LARGEST_TURN_UM)
        trim_step_pct = round(-100.0 * level / PUMP_STEP_PCT) * PUMP_STEP_PCT
        return OperatorRequest(gap_um=gap_um, pump_trim_pct=trace.pump_trim_pct + trim_step_pct)
