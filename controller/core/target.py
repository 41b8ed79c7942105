"""Another target while the line runs: how far from the recipe's the areal density shall be, and how it gets there.

What is believed of the web stays what it was. Whoever answers it, or judges how well it is answered, is shown it less
the wanted difference (`sought`), which moves along a ramp of web so that nothing jumps. A target that more than half of
the pump's trim would be spent on is another recipe, and not taken.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from controller.core.estimate import EstimateState
from controller.line.command import OperatorRequest
from controller.line.description import LineDescription
from controller.line.profile import LineInputs

TRIM_SHARE_MAX = 0.5  # of the pump's trim
RAMP_S = 30.0  # seconds' worth of web at nominal speed in which the target moves by the tolerance


class Target(NamedTuple):
    """Log of the target over the recipe's: where it is now, and where it shall be."""

    log: float = 0.0
    goal_log: float = 0.0


def bounds_gsm(line: LineDescription) -> tuple[float, float]:
    """The lowest and the highest mean areal density that may be asked for, g/m2."""
    share, mean = 0.01 * TRIM_SHARE_MAX * line.pump.trim_max_pct, float(line.target_profile_gsm.mean())
    return mean * (1.0 - share), mean * (1.0 + share)


def gsm(line: LineDescription, target: Target) -> float:
    """The mean of the target profile now, g/m2."""
    return float(line.target_profile_gsm.mean()) * math.exp(target.log)


def moved(
    line: LineDescription, target: Target, asked: OperatorRequest | None, inputs: LineInputs, dt_s: float
) -> Target:
    """The target of this cycle. What is no number, or out of bounds, changes nothing."""
    goal = target.goal_log
    if asked is not None and asked.target_gsm is not None:
        low, high = bounds_gsm(line)
        if low <= asked.target_gsm <= high:
            goal = math.log(asked.target_gsm / float(line.target_profile_gsm.mean()))
    if goal == target.log:
        return target if goal == target.goal_log else Target(target.log, goal)
    web_s = inputs.web_speed_mps * dt_s / line.web_speed_mps if inputs.encoder_valid else 0.0
    most = math.log1p(0.01 * line.target.tolerance_pct) * web_s / RAMP_S
    return Target(target.log + min(max(goal - target.log, -most), most), goal)


def sought(target: Target, seen: EstimateState) -> EstimateState:
    """The estimate as whoever answers or judges it shall see it: the web over the target of now."""
    if target.log == 0.0:
        return seen
    reading, mean = seen.reading, seen.film.mean.copy()
    mean[-1] -= target.log
    return seen._replace(
        film=seen.film._replace(mean=mean),
        reading=reading._replace(error=reading.error - target.log, disturbance_md=reading.disturbance_md - target.log),
    )
