"""Does the line answer as it should? Today: do the bolts go where they are sent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from controller.line.description import Array, BoolArray, LipLimits

PATIENCE_S = 5.0  # a bolt that is away from its target and has not moved for this long does not follow
STILL_UM = 0.05  # a bolt that is within this of where it stood is standing still


class FollowState(NamedTuple):
    """still_s: how long each bolt has stood away from its target, (zones,); stood_um: where it stands."""

    still_s: Array
    stood_um: Array


def init(zones: int) -> FollowState:
    return FollowState(still_s=np.zeros(zones), stood_um=np.full(zones, np.nan))


def follow(
    lips: LipLimits, state: FollowState, target_um: Array, position_um: Array, dt_s: float
) -> tuple[FollowState, BoolArray]:
    """Watch each bolt for `dt_s`; returns who does not follow.

    A bolt may rest within backlash and two resolution steps of its target. One that creeps toward it is slow, but it
    follows.
    """
    away, moved = np.abs(target_um - position_um), np.abs(position_um - state.stood_um)
    bound_um = lips.backlash_um + 2.0 * lips.resolution_um
    if away.item(away.argmax()) <= bound_um and moved.item(moved.argmax()) < STILL_UM:  # all is well; NaN never is
        if np.count_nonzero(state.still_s):
            state = FollowState(np.zeros(away.size), state.stood_um)
        return state, np.zeros(away.size, dtype=np.bool_)
    still = moved < STILL_UM
    still_s = np.where((away > bound_um) & still, state.still_s + dt_s, 0.0)
    return FollowState(still_s=still_s, stood_um=np.where(still, state.stood_um, position_um)), still_s > PATIENCE_S
