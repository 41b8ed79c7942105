"""Die-gap actuators: rate, resolution, backlash, and bolts that stick, crawl, turn free, run the wrong way or jump.

Imported inside plant_sim only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, BoolArray
from plant_sim.compiled import compiled


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


@compiled
def turn_bolts(
    motor_um: Array, lip_um: Array, rest_um: Array, rate_um_per_s: Array, backlash_um: Array, dt_s: float
) -> None:
    """Run every motor toward its place of rest for dt_s and drag the lip through the play; in place, shape (zones,)."""
    for i in range(motor_um.size):
        reach = rate_um_per_s[i] * dt_s
        motor_um[i] = min(max(rest_um[i], motor_um[i] - reach), motor_um[i] + reach)
    for i in range(motor_um.size):
        half = 0.5 * backlash_um[i]
        lip_um[i] = min(max(lip_um[i], motor_um[i] - half), motor_um[i] + half)


@compiled
def turn_faulty_bolts(
    motor_um: Array,
    lip_um: Array,
    rest_um: Array,
    rate_um_per_s: Array,
    backlash_um: Array,
    dt_s: float,
    share: Array,
    extra_um: Array,
    dead: Array,
    wrong: Array,
    stick_um: Array,
) -> None:
    """The same where bolts do not lead their lips as they should; faults as in ActuatorFaults, shape (zones,).

    A reversed bolt is taken to have no play; a bolt that is well again takes its lip along at once.
    """
    for i in range(motor_um.size):
        reach = rate_um_per_s[i] * dt_s * share[i]
        motor = min(max(rest_um[i], motor_um[i] - reach), motor_um[i] + reach)
        half = 0.5 * (backlash_um[i] + extra_um[i])
        lip = min(max(lip_um[i], motor - half), motor + half)
        if abs(lip - lip_um[i]) < stick_um[i]:
            lip = lip_um[i]
        if wrong[i] != 0.0:
            lip = lip_um[i] - (motor - motor_um[i])
        if dead[i] != 0.0:
            lip = lip_um[i]
        motor_um[i] = motor
        lip_um[i] = lip


def move(
    actuators: Actuators, state: ActuatorState, rest_um: Array, dt_s: float, faults: ActuatorFaults | None = None
) -> ActuatorState:
    """Where motors and lips stand dt_s later, when every motor runs toward its place of rest (from `reachable`)."""
    motor, lip = state.motor_um.copy(), state.lip_um.copy()
    rates, play = actuators.rate_um_per_s, actuators.backlash_um
    if faults is None:
        turn_bolts(motor, lip, rest_um, rates, play, dt_s)
    else:
        turn_faulty_bolts(motor, lip, rest_um, rates, play, dt_s, *fault_rows(faults))
    return ActuatorState(motor, lip)


def fault_rows(faults: ActuatorFaults) -> tuple[Array, Array, Array, Array, Array]:
    """Rate share, extra play, dead, reversed, stick: what nobody has is zero, shape (zones,) each."""
    nothing = np.zeros(faults.rate_share.size)

    def row(values: Array | BoolArray | None) -> Array:
        return nothing if values is None else values.astype(np.float64)

    return faults.rate_share, faults.backlash_extra_um, row(faults.dead), row(faults.reversed), row(faults.stick_um)


def at_limit(actuators: Actuators, motor_um: Array) -> BoolArray:
    """Bolts that stand at an end of their range, shape (zones,)."""
    margin = max(actuators.resolution_um, 1e-6)
    limits: BoolArray = (motor_um <= actuators.gap_min_um + margin) | (motor_um >= actuators.gap_max_um - margin)
    return limits
