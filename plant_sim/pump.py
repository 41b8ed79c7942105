"""The metering pump: drive lag, displacement, slip against pressure, pulsation. SI units but for rpm.

Imported inside plant_sim only. Q = V_d N eta - dP / R_slip; pulsation at the stator's frequency and its double.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from plant_sim.compiled import compiled
from plant_sim.die import Split

SECOND_HARMONIC = 0.4  # of the fundamental's amplitude
NOTHING_M3PS = 1e-15  # a drive that runs out never quite stands
_PULSE = math.sqrt(2.0 / (1.0 + SECOND_HARMONIC**2))


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


@compiled
def turned(speed_rpm: float, target_rpm: float, lag_s: float, dt_s: float) -> tuple[float, float]:
    """Speed after dt_s (> 0) and its mean: exact for a first-order lag.

    The exact mean keeps the coated mass independent of how a run is cut into steps.
    """
    keep = math.exp(-dt_s / lag_s)
    offset = speed_rpm - target_rpm
    return target_rpm + offset * keep, target_rpm + offset * (1.0 - keep) * lag_s / dt_s


@compiled
def mean_pulse(phase: float, turn: float) -> float:
    """Mean over a turn of the stator (radians, from `phase` on) of a pulse of unit standard deviation."""
    if turn < 1e-9:
        return 0.0
    end = phase + turn
    first = (math.cos(phase) - math.cos(end)) / turn
    second = (math.cos(2.0 * phase) - math.cos(2.0 * end)) / (2.0 * turn)
    return _PULSE * (first + SECOND_HARMONIC * second)


@compiled
def settled_pressure_pa(
    displaced_m3ps: float,
    slip_m3ps_per_pa: float,
    ln_coefficient: float,
    n: float,
    slope_per_pa: float,
    about_pa: float,
) -> float:
    """Pressure at which the flow that is left after slip makes that pressure; 0 where nothing is displaced.

    Solves ln P = ln C + slope (P - about) + n ln(D - g P). The right side less the left is concave and falls with ln P,
    so Newton's method from a pressure that is too high comes down to the one root without overshooting.
    `slope_per_pa` (<= 0) is how ln C changes where pressure opens the lip.
    """
    if displaced_m3ps < NOTHING_M3PS:
        return 0.0
    u = ln_coefficient + n * math.log(displaced_m3ps) - min(slope_per_pa * about_pa, 0.0)
    if slip_m3ps_per_pa > 0.0:
        u = min(u, math.log(displaced_m3ps * (1.0 - 1e-12) / slip_m3ps_per_pa))
    for _ in range(200):
        pressure = math.exp(u)
        left = displaced_m3ps - slip_m3ps_per_pa * pressure
        miss = ln_coefficient + slope_per_pa * (pressure - about_pa) + n * math.log(left) - u
        move = miss / (1.0 + n * slip_m3ps_per_pa * pressure / left - slope_per_pa * pressure)
        u += move
        if abs(move) <= 1e-15 * max(abs(u), 1.0):
            break
    return math.exp(u)


@compiled
def driven(
    speed_rpm: float,
    phase: float,
    target_rpm: float,
    dt_s: float,
    lag_s: float,
    speed_max_rpm: float,
    pulses_per_rev: float,
    pulsation: float,
    delivered_m3_per_rev: float,
) -> tuple[float, float, float]:
    """Speed and phase after dt_s (> 0) of running toward a target, and what was displaced on average, m3/s."""
    speed_rpm, mean_rpm = turned(speed_rpm, min(max(target_rpm, 0.0), speed_max_rpm), lag_s, dt_s)
    turn = 2.0 * math.pi * pulses_per_rev * mean_rpm / 60.0 * dt_s
    ripple = 1.0 + pulsation * mean_pulse(phase, turn)
    return speed_rpm, (phase + turn) % (2.0 * math.pi), delivered_m3_per_rev * mean_rpm / 60.0 * ripple


def advance(pump: Pump, state: PumpState, target_rpm: float, dt_s: float, pulsation_size: float) -> PumpStep:
    """Move the drive for dt_s (> 0) toward its target."""
    speed, phase, displaced = driven(
        state.speed_rpm,
        state.phase,
        target_rpm,
        dt_s,
        pump.lag_s,
        pump.speed_max_rpm,
        pump.pulses_per_rev,
        pump.pulsation * pulsation_size,
        pump.displacement_m3_per_rev * pump.efficiency,
    )
    return PumpStep(PumpState(speed, phase), displaced)


def delivered_m3ps(pump: Pump, displaced_m3ps: float, split: Split) -> float:
    """Flow that reaches the die, >= 0: Q = displaced - dP(Q) / R_slip."""
    if displaced_m3ps < NOTHING_M3PS or math.isinf(pump.slip_resistance_pa_s_per_m3):
        return max(displaced_m3ps, 0.0)
    slip, ln_coefficient = 1.0 / pump.slip_resistance_pa_s_per_m3, math.log(split.pressure_coefficient)
    pressure = settled_pressure_pa(displaced_m3ps, slip, ln_coefficient, split.flow_index, 0.0, 0.0)
    return math.exp((math.log(pressure) - ln_coefficient) / split.flow_index)
