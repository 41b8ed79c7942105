"""A modal PI in shadow: what it would have made of the same disturbance, always, without a word to the line.

It reads the disturbance that the estimate sees, adds what its own moves would have done to that metre, and moves lips
and pump of its own within the same envelope. What the real loop leaves of the disturbance can then be set against what
the shadow leaves. Looked at a few times a dead time, with all modes at once: `controller.core.law.ModalPi` in numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from controller.core.delay_line import DelayLine
from controller.core.envelope import Applied, Envelope, certify
from controller.core.estimate import EstimateState, log_ratio
from controller.core.law import LawState, ModalPi
from controller.line.command import Limit, UncertifiedCommand
from controller.line.description import Array, BoolArray


@dataclass(frozen=True, slots=True)
class Pi:
    """The gains of a ModalPi as arrays, (modes,), and what it works on."""

    law: ModalPi
    kp_cd: Array
    ki_cd: Array
    envelope: Envelope

    @classmethod
    def of(cls, law: ModalPi, envelope: Envelope) -> Pi:
        return cls(law, np.array([pi.kp for pi in law.cd]), np.array([pi.ki for pi in law.cd]), envelope)

    def decide(
        self, memory: LawState, error: Array, last: Applied, web_s: float
    ) -> tuple[LawState, UncertifiedCommand]:
        """As ModalPi.decide, on an error in coordinates: (modes + 1 or more,), the mean last; log."""
        error_cd, error_md = error[: self.kp_cd.size], float(error[-1])
        integral_cd = memory.memory_cd - self.ki_cd * (web_s * error_cd)
        integral_md = memory.memory_md - self.law.md.ki * web_s * error_md
        lips_log, pump_log = integral_cd - self.kp_cd * error_cd, integral_md - self.law.md.kp * error_md
        memory = LawState(integral_cd, integral_md, memory.rest_um)
        return memory, self.law.modes.command(lips_log, pump_log, memory.rest_um, last)


class Shadow(NamedTuple):
    """Where the shadow's lips and pump stand, and what they did to the web on its way.

    effect: (zones,), shapes and mean, of the metre now leaving the die; behind: the same of metres further on.
    bound_cd, bound_md: share of the zones that limits held back in the last move, and whether they did the pump.
    """

    memory: LawState
    applied: Applied
    effect: Array
    behind: DelayLine
    bound_cd: float = 0.0
    bound_md: float = 0.0


def twin(pi: Pi, seen: EstimateState, applied: Applied) -> Shadow:
    """A shadow that stands where the real actuators stand, with their past."""
    return Shadow(pi.law.track(seen, applied), applied, effect(pi, applied), seen.model)


def effect(pi: Pi, applied: Applied) -> Array:
    """What lips and pump do to shapes and mean, (zones,), log."""
    modes = pi.law.modes
    done = np.empty(applied.gap_um.size)
    done[:-1] = applied.gap_um @ modes.response.effects
    done[-1] = log_ratio(applied.pump_ratio_rpm_per_mps, applied.pump_trim_pct, modes.ratio_nominal_rpm_per_mps)
    return done


def moved(pi: Pi, shadow: Shadow, error: Array, web_m: float, web_s: float, dt_s: float, idle: BoolArray) -> Shadow:
    """The shadow after `dt_s`, in which `web_s` seconds' worth of web passed and it saw `error` at the gauge.

    Bolts that are `idle` in truth stand still in the shadow too.
    """
    memory, asked_for = pi.decide(shadow.memory, error, shadow.applied, web_s)
    wish, idling = asked_for, np.count_nonzero(idle) > 0
    if idling:
        wish = replace(asked_for, gap_um=np.where(idle, shadow.applied.gap_um, asked_for.gap_um))
    command, limits, limited = certify(pi.envelope, wish, shadow.applied, dt_s, 0)
    applied = Applied(command.gap_um, command.pump_ratio_rpm_per_mps, command.pump_trim_pct)
    if limits or idling:
        memory = pi.law.limited(memory, asked_for, applied)
    behind = shadow.behind.push(web_m, shadow.effect)
    return Shadow(
        memory, applied, effect(pi, applied), behind, limited / applied.gap_um.size, float(pump_bound(limits))
    )


def pump_bound(limits: tuple[Limit, ...]) -> bool:
    """Whether a limit held back the pump."""
    return Limit.PUMP_RANGE in limits or Limit.PUMP_RATE in limits
