"""Does the line answer as it should? Today: do the bolts go where they are sent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, BoolArray, LipLimits

PATIENCE_S = 5.0  # a bolt that is away from its target and has not moved for this long does not follow
STILL_UM = 0.05  # feedback that moves less than this in a cycle is standing still


@dataclass(frozen=True, slots=True)
class FollowState:
    """still_s: how long each bolt has stood away from its target, (zones,); position_um: where it was a cycle ago."""

    still_s: Array
    position_um: Array


def init(zones: int) -> FollowState:
    return FollowState(still_s=np.zeros(zones), position_um=np.full(zones, np.nan))


def follow(
    lips: LipLimits, state: FollowState, target_um: Array, position_um: Array, dt_s: float
) -> tuple[FollowState, BoolArray]:
    """Watch each bolt for `dt_s`; returns who does not follow.

    A bolt may rest within backlash and two resolution steps of its target, and lag by what it moves in half a second.
    """
    allowance = lips.backlash_um + 2.0 * lips.resolution_um + 0.5 * lips.rate_um_per_s
    away = np.abs(target_um - position_um) > allowance
    still = np.abs(position_um - state.position_um) < STILL_UM
    still_s = np.where(away & still, state.still_s + dt_s, 0.0)
    return FollowState(still_s=still_s, position_um=position_um), still_s > PATIENCE_S
