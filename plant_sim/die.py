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
from plant_sim.compiled import compiled, exp, largest, ln, total
from plant_sim.slurry import Slurry

LAND_TOTAL_M = 0.040
CHOKER_GAP_RATIO = 1.25  # choker gap over lip gap
CHOKER_SHARE = 0.25  # of the pressure drop that the lip does not take
MANIFOLD_POINTS = 401
OPEN_LIP_MIN_UM = 20.0  # lips touch before they close


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


@compiled
def stress_factor(consistency_pa_sn: float, n: float) -> float:
    """2 K (2(2n+1)/n)^n: a power law's pressure over q^n sum L/H^(2n+1), from q = n H^2/(2(2n+1)) (tau_w/K)^(1/n)."""
    return 2.0 * consistency_pa_sn * (2.0 * (2.0 * n + 1.0) / n) ** n


@compiled
def resistance(gaps_and_lengths_m: Array, n: float) -> float:
    """Sum of L/H^(2n+1) over sections that no bolt moves; gap, length, gap, length, ..."""
    resisted = 0.0
    for i in range(0, gaps_and_lengths_m.size, 2):
        resisted += gaps_and_lengths_m[i + 1] / gaps_and_lengths_m[i] ** (2.0 * n + 1.0)
    return resisted


@compiled
def resist(
    n: float,
    lip_length_m: float,
    fixed_resistance: float,
    droop_log: Array,
    set_gap_um: Array,
    compliance_um_per_pa: Array,
    pressed_pa: float,
    base_log: Array,
    answer: Array,
) -> float:
    """ln of each lane's flow at unit stress factor and pressure but for its local factor, in `base_log`, the lip opened
    by pressed_pa beyond its setting; how it changes with pressure, 1/Pa, in `answer`. All shape (lanes,).

    From q = (P d / (A sum L/H^(2n+1)))^(1/n) at a manifold pressure P with droop d. Returns the largest answer.
    """
    steep, each = 2.0 * n + 1.0, 1.0 / n
    lip_log = math.log(lip_length_m) + steep * math.log(1e6)
    for i in range(base_log.size):
        base_log[i] = max(set_gap_um[i] + compliance_um_per_pa[i] * pressed_pa, OPEN_LIP_MIN_UM)
    for i in range(base_log.size):
        answer[i] = steep * each * compliance_um_per_pa[i] / base_log[i]
    for i in range(base_log.size):
        base_log[i] = exp(lip_log - steep * ln(base_log[i]))
    for i in range(base_log.size):
        answer[i] *= base_log[i] / (base_log[i] + fixed_resistance)
    for i in range(base_log.size):
        base_log[i] = (droop_log[i] - ln(base_log[i] + fixed_resistance)) * each
    return largest(answer)


@compiled
def flows(base_log: Array, local_log: Array, flow: Array) -> float:
    """Fill `flow` with each lane's flow from `resist` and the ln of its local factor. Returns the mean."""
    for i in range(flow.size):
        flow[i] = exp(base_log[i] + local_log[i])
    return total(flow) / flow.size


@lru_cache(maxsize=256)
def slot(die: Die, slurry: Slurry) -> Slot:
    """Fill a die with a slurry. K enters the pressure alone: the split of a power law does not know it."""
    n = slurry.flow_index
    return Slot(
        flow_index=n,
        stress_factor=float(stress_factor(slurry.consistency_pa_sn, n)),
        fixed_resistance=float(resistance(fixed_sections(die), n)),
        lip_length_m=die.lip_length_m,
        width_m=die.width_m,
        droop_log=droop_at(droop_table(die), n) - droop_at(droop_table(die), die.design_flow_index),
    )


def fixed_sections(die: Die) -> Array:
    """Gap and length of each section that no bolt moves, as `resistance` reads them."""
    return np.array([number for section in die.fixed for number in (section.gap_m, section.length_m)])


def split(filled: Slot, lip_gap_um: Array, local_log: Array) -> Split:
    """Divide the pumped flow over the lanes.

    lip_gap_um: true lip opening, shape (lanes,), > 0. local_log: ln of local flow factors of disturbances, same shape.
    """
    stiff, base_log, flow = np.zeros(lip_gap_um.size), np.empty(lip_gap_um.size), np.empty(lip_gap_um.size)
    n, lip_m, fixed = filled.flow_index, filled.lip_length_m, filled.fixed_resistance
    resist(n, lip_m, fixed, filled.droop_log, lip_gap_um, stiff, 0.0, base_log, flow)
    mean = flows(base_log, local_log, flow)
    return Split(flow / mean, filled.stress_factor * math.pow(filled.width_m * mean, -n), n)


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
INDEX_ROWS = INDEX_GRID.size
_INDEX_LEAST, _INDEX_STEP = float(INDEX_GRID[0]), float(INDEX_GRID[1] - INDEX_GRID[0])


def droop_at(table: Array, flow_index: float) -> Array:
    """ln of manifold pressure along the lanes at a flow index, from `droop_table`, shape (lanes,)."""
    row = np.empty(table.shape[1])
    droop_into(table.reshape(-1), flow_index, row)
    return row


@compiled
def droop_into(table: Array, flow_index: float, row: Array) -> None:
    """Fill `row` by interpolation between the indices of INDEX_GRID; the table flattened."""
    at = (flow_index - _INDEX_LEAST) / _INDEX_STEP
    at = min(max(at, 0.0), INDEX_ROWS - 1.000001)
    low = int(at)
    share = at - low
    below, above = table[low * row.size : (low + 1) * row.size], table[(low + 1) * row.size : (low + 2) * row.size]
    for i in range(row.size):
        row[i] = below[i] + share * (above[i] - below[i])


@lru_cache(maxsize=16)
def droop_table(die: Die) -> Array:
    """ln of manifold pressure against the feed for each index of INDEX_GRID, shape (31, lanes), nominal gap."""
    rows = []
    for n in INDEX_GRID:
        fixed = sum(section.length_m / section.gap_m ** (2.0 * n + 1.0) for section in die.fixed)
        resistance = fixed + die.lip_length_m / die.gap_nominal_m ** (2.0 * n + 1.0)
        profile = manifold_profile(float(n), die.width_m / 2.0, die.manifold_radius_m, resistance)
        log_pressure = n * np.log(profile / profile[0])
        rows.append(np.interp(die.lane_position, np.linspace(0.0, 1.0, MANIFOLD_POINTS), log_pressure))
    return np.array(rows)
