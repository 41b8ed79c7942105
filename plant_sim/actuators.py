"""Die-gap actuators: rate, resolution, backlash, and bolts that stick, crawl, turn free, run the wrong way or jump.

Imported inside plant_sim only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class Actuators:
    """One motor and screw a bolt; arrays have shape (zones,)."""

    gap_min_um: float
    gap_max_um: float
    rate_um_per_s: Array
    resolution_um: float  # motors come to rest on whole multiples of it; 0 means a continuous drive
    backlash_um: Array  # play between screw and lip


@dataclass(frozen=True, slots=True, eq=False)
class ActuatorState:
    """Where motors (fed back on the bus) and lips (felt by the slurry) stand, um, shape (zones,)."""

    motor_um: Array
    lip_um: Array


@dataclass(frozen=True, slots=True, eq=False)
class ActuatorFaults:
    """What is wrong with the bolts now; shape (zones,). None: no bolt has it."""

    rate_share: Array  # 1 is healthy, 0 is stuck
    backlash_extra_um: Array
    dead: BoolArray | None = None  # the screw turns free: fed back as if it moved, the lip stays where it was
    reversed: BoolArray | None = None  # the lip goes the other way than what is fed back
    stick_um: Array | None = None  # a sliding lip stays until the screw is ahead by so much, then jumps
    feedback_um: Array | None = None  # standard deviation of noise on the positions fed back


def at_rest(actuators: Actuators, gap_um: Array) -> ActuatorState:
    """Motors and lips at the same gap, in the middle of their play."""
    return ActuatorState(gap_um.copy(), gap_um.copy())


def reachable(actuators: Actuators, target_um: Array) -> Array:
    """The nearest position the motors can come to rest at."""
    inside = np.minimum(np.maximum(target_um, actuators.gap_min_um), actuators.gap_max_um)
    if actuators.resolution_um <= 0.0:
        return inside
    steps: Array = np.rint(inside / actuators.resolution_um) * actuators.resolution_um
    return steps


def move(
    actuators: Actuators, state: ActuatorState, rest_um: Array, dt_s: float, faults: ActuatorFaults | None = None
) -> ActuatorState:
    """Run every motor toward its place of rest (from `reachable`) for dt_s, and drag the lip through the play."""
    reach = actuators.rate_um_per_s * dt_s
    play = actuators.backlash_um
    if faults is not None:
        reach = reach * faults.rate_share
        play = play + faults.backlash_extra_um
    motor = np.minimum(np.maximum(rest_um, state.motor_um - reach), state.motor_um + reach)
    half = 0.5 * play
    lip = np.minimum(np.maximum(state.lip_um, motor - half), motor + half)
    if faults is not None:
        lip = _misled(state, motor, lip, faults)
    return ActuatorState(motor, lip)


def _misled(state: ActuatorState, motor_um: Array, lip_um: Array, faults: ActuatorFaults) -> Array:
    """The lip where bolts do not lead it as they should; lip_um is where healthy ones would have it, shape (zones,).

    A reversed bolt is taken to have no play; a bolt that is well again takes its lip along at once.
    """
    if faults.stick_um is not None:
        lip_um = np.where(np.abs(lip_um - state.lip_um) < faults.stick_um, state.lip_um, lip_um)
    if faults.reversed is not None:
        lip_um = np.where(faults.reversed, state.lip_um - (motor_um - state.motor_um), lip_um)
    if faults.dead is not None:
        lip_um = np.where(faults.dead, state.lip_um, lip_um)
    return lip_um


def at_limit(actuators: Actuators, motor_um: Array) -> BoolArray:
    """Bolts that stand at an end of their range, shape (zones,)."""
    margin = max(actuators.resolution_um, 1e-6)
    limits: BoolArray = (motor_um <= actuators.gap_min_um + margin) | (motor_um >= actuators.gap_max_um - margin)
    return limits
