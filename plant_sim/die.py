"""The slot die: sections in series at a common manifold pressure, manifold droop, and how the pumped flow is split.

The split is normalised to the pump's flow: a slot die is pre-metered, lips redistribute and never create. SI units but
for gaps of the lip in um. Imported inside plant_sim only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from controller.line.description import Array
from plant_sim.slurry import Slurry

LAND_TOTAL_M = 0.040
CHOKER_GAP_RATIO = 1.25  # choker gap over lip gap
CHOKER_SHARE = 0.25  # of the pressure drop that the lip does not take
MANIFOLD_POINTS = 401


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the slot that no bolt moves."""

    gap_m: float
    length_m: float


@dataclass(frozen=True, slots=True, eq=False)
class Die:
    """Geometry of one die. `lane_position` is |x| over half the width for each lane, 0 at the feed, 1 at the edge."""

    width_m: float
    gap_nominal_m: float
    lip_length_m: float
    fixed: tuple[Section, ...]
    manifold_radius_m: float
    design_flow_index: float  # the manifold was cut so that this flow index comes out flat
    lane_position: Array


def build(
    width_m: float,
    gap_nominal_m: float,
    lip_share: float,
    flow_index: float,
    manifold_radius_m: float,
    lane_position: Array,
) -> Die:
    """A die of the usual length whose lip takes `lip_share` of the pressure drop at `flow_index`.

    A section's share of the pressure drop is its L / H^(2n+1) over the sum of all.
    """
    lip, choker = lip_share, CHOKER_SHARE * (1.0 - lip_share)
    wide = CHOKER_GAP_RATIO ** (2.0 * flow_index + 1.0)
    lengths = np.array([lip, choker * wide, 1.0 - lip - choker])
    lip_m, choker_m, land_m = lengths * LAND_TOTAL_M / lengths.sum()
    fixed = (Section(CHOKER_GAP_RATIO * gap_nominal_m, float(choker_m)), Section(gap_nominal_m, float(land_m)))
    return Die(width_m, gap_nominal_m, float(lip_m), fixed, manifold_radius_m, flow_index, lane_position)


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """A die filled with one slurry: what the split needs, computed once per slurry."""

    flow_index: float
    stress_factor: float  # 2 K (2(2n+1)/n)^n: pressure = factor * q^n * sum L/H^(2n+1)
    fixed_resistance: float  # sum of L/H^(2n+1) over choker and land
    lip_length_m: float
    width_m: float
    droop_log: Array  # ln of manifold pressure along the lanes against the feed, shape (lanes,)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """How the flow divides: `share` of each lane against an even split, mean exactly 1, shape (lanes,)."""

    share: Array
    pressure_coefficient: float  # manifold pressure = coefficient * Q^n, Q in m3/s
    flow_index: float

    def pressure_pa(self, flow_m3ps: float) -> float:
        """Manifold pressure at a total flow."""
        return self.pressure_coefficient * math.pow(max(flow_m3ps, 0.0), self.flow_index)


@lru_cache(maxsize=256)
def slot(die: Die, slurry: Slurry) -> Slot:
    """Fill a die with a slurry. K enters the pressure alone: the split of a power law does not know it."""
    n = slurry.flow_index
    fixed = sum(section.length_m / section.gap_m ** (2.0 * n + 1.0) for section in die.fixed)
    return Slot(
        flow_index=n,
        stress_factor=2.0 * slurry.consistency_pa_sn * (2.0 * (2.0 * n + 1.0) / n) ** n,
        fixed_resistance=fixed,
        lip_length_m=die.lip_length_m,
        width_m=die.width_m,
        droop_log=_droop_on_lanes(die, n) - _droop_on_lanes(die, die.design_flow_index),
    )


def split(filled: Slot, lip_gap_um: Array, local_log: Array) -> Split:
    """Divide the pumped flow over the lanes.

    lip_gap_um: true lip opening, shape (lanes,), > 0. local_log: ln of local flow factors of disturbances, same shape.
    From q = (P d / (A sum L/H^(2n+1)))^(1/n) at a manifold pressure P with droop d.
    """
    n = filled.flow_index
    lip = filled.lip_length_m * np.exp((-2.0 * n - 1.0) * np.log(lip_gap_um * 1e-6))
    log_flow = (filled.droop_log - np.log(lip + filled.fixed_resistance)) / n + local_log
    flow = np.exp(log_flow)
    mean = float(flow.sum()) / flow.size
    coefficient = filled.stress_factor * math.pow(filled.width_m * mean, -n)
    return Split(flow / mean, coefficient, n)


def newtonian_droop_rate_per_m(gap_m: float, radius_m: float, length_m: float) -> float:
    """m of q(x)/q(0) = cosh(m (W-x)) / cosh(m W): m^2 = 2 H^3 / (3 pi R^4 L); viscosity drops out."""
    return math.sqrt(2.0 * gap_m**3 / (3.0 * math.pi * radius_m**4 * length_m))


def manifold_profile(flow_index: float, half_width_m: float, radius_m: float, slot_resistance: float) -> Array:
    """Slot flow along a manifold of constant radius, against its value at the far end, shape (MANIFOLD_POINTS,).

    Point 0 is the feed, the last the end. slot_resistance is sum L/H^(2n+1) of the slot, SI.
    With P = A S q^n and dP/dx = -(2K/R) ((3n+1) Q/(n pi R^3))^n the consistency and the flow rate cancel:
    d(q^n)/dx = -c Q^n with dQ/dx = -q. Counted from the end, where Q = 0, no shooting is needed; Picard iteration on
    the integral form converges because droop is a part of one.
    """
    n = flow_index
    slot_factor = 2.0 * (2.0 * (2.0 * n + 1.0) / n) ** n * slot_resistance
    c = 2.0 / radius_m * ((3.0 * n + 1.0) / (n * math.pi * radius_m**3)) ** n / slot_factor
    # cubing the grid puts points where Q^n has its infinite slope
    y = half_width_m * np.linspace(0.0, 1.0, MANIFOLD_POINTS) ** 3
    dy = np.diff(y)
    q = np.ones_like(y)
    for _ in range(80):
        flow = _cumulative(q, dy)
        following = (1.0 + c * _cumulative(flow**n, dy)) ** (1.0 / n)
        done = float(np.max(np.abs(following - q))) < 1e-12
        q = following
        if done:
            break
    even = np.linspace(0.0, half_width_m, MANIFOLD_POINTS)
    return np.interp(even, y, q)[::-1]


def _cumulative(values: Array, dy: Array) -> Array:
    return np.concatenate(([0.0], np.cumsum(0.5 * (values[1:] + values[:-1]) * dy)))


INDEX_GRID = np.linspace(0.25, 1.0, 31)  # flow indices the droop is tabulated at; between them it is interpolated


def _droop_on_lanes(die: Die, flow_index: float) -> Array:
    table = _droop_table(die)
    at = float(np.clip((flow_index - INDEX_GRID[0]) / (INDEX_GRID[1] - INDEX_GRID[0]), 0.0, INDEX_GRID.size - 1.000001))
    low = int(at)
    row: Array = table[low] + (at - low) * (table[low + 1] - table[low])
    return row


@lru_cache(maxsize=16)
def _droop_table(die: Die) -> Array:
    """ln of manifold pressure against the feed for each index of INDEX_GRID, shape (31, lanes), nominal gap."""
    rows = []
    for n in INDEX_GRID:
        fixed = sum(section.length_m / section.gap_m ** (2.0 * n + 1.0) for section in die.fixed)
        resistance = fixed + die.lip_length_m / die.gap_nominal_m ** (2.0 * n + 1.0)
        profile = manifold_profile(float(n), die.width_m / 2.0, die.manifold_radius_m, resistance)
        log_pressure = n * np.log(profile / profile[0])
        rows.append(np.interp(die.lane_position, np.linspace(0.0, 1.0, MANIFOLD_POINTS), log_pressure))
    return np.array(rows)
