"""The metering pump: drive lag, displacement, slip against pressure, pulsation. SI units but for rpm.

Imported inside plant_sim only. Q = V_d N eta - dP / R_slip; pulsation at the stator's frequency and its double.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from plant_sim.die import Split

SECOND_HARMONIC = 0.4  # of the fundamental's amplitude


@dataclass(frozen=True, slots=True)
class Pump:
    """One pump and its drive."""

    displacement_m3_per_rev: float
    efficiency: float
    slip_resistance_pa_s_per_m3: float  # infinite: no slip
    lag_s: float
    speed_max_rpm: float
    pulsation: float  # standard deviation of flow over its mean
    pulses_per_rev: float


@dataclass(frozen=True, slots=True)
class PumpState:
    """Where the drive stands; phase of the pulsation in radians."""

    speed_rpm: float
    phase: float = 0.0


@dataclass(frozen=True, slots=True)
class PumpStep:
    """One step of the drive: its state after, and what it displaced on average."""

    state: PumpState
    displaced_m3ps: float


def advance(pump: Pump, state: PumpState, target_rpm: float, dt_s: float, pulsation_size: float) -> PumpStep:
    """Move the drive for dt_s (> 0) toward its target: exact for a first-order lag, at the end and in the mean.

    The exact mean keeps the coated mass independent of how a run is cut into steps.
    """
    target = min(max(target_rpm, 0.0), pump.speed_max_rpm)
    keep = math.exp(-dt_s / pump.lag_s)
    offset = state.speed_rpm - target
    mean_rpm = target + offset * (1.0 - keep) * pump.lag_s / dt_s
    turned = 2.0 * math.pi * pump.pulses_per_rev * mean_rpm / 60.0 * dt_s
    ripple = 1.0 + pump.pulsation * pulsation_size * _mean_pulse(state.phase, turned)
    displaced = pump.displacement_m3_per_rev * mean_rpm / 60.0 * pump.efficiency * ripple
    following = PumpState(target + offset * keep, math.fmod(state.phase + turned, 2.0 * math.pi))
    return PumpStep(following, displaced)


def _mean_pulse(phase: float, turned: float) -> float:
    """Mean over the step of a pulse of unit standard deviation."""
    if turned < 1e-9:
        return 0.0
    end = phase + turned
    first = (math.cos(phase) - math.cos(end)) / turned
    second = (math.cos(2.0 * phase) - math.cos(2.0 * end)) / (2.0 * turned)
    amplitude = math.sqrt(2.0 / (1.0 + SECOND_HARMONIC**2))
    return amplitude * (first + SECOND_HARMONIC * second)


def delivered_m3ps(pump: Pump, displaced_m3ps: float, split: Split) -> float:
    """Flow that reaches the die, >= 0: solves Q = displaced - dP(Q) / R_slip by Newton's method.

    The die's pressure grows as Q^n, so the left side is monotone and there is one root.
    """
    if displaced_m3ps <= 0.0:
        return 0.0
    c = split.pressure_coefficient / pump.slip_resistance_pa_s_per_m3
    if c == 0.0:
        return displaced_m3ps
    n = split.flow_index
    flow = displaced_m3ps
    for _ in range(30):
        slip = c * math.pow(flow, n)
        move = (displaced_m3ps - slip - flow) / (1.0 + n * slip / flow)
        flow = max(flow + move, 0.1 * flow)
        if abs(move) <= 1e-14 * displaced_m3ps:
            break
    return flow
