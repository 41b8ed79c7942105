"""What opens the lip besides its bolts: the slurry's pressure, and heat. Gaps of the lip in um, everything else in SI.

The plant's step does not call this yet (see docs/plant.md). Imported by the oracles, the tour, tests.
Sources: cantilever plate under even pressure (any handbook of strength of materials); that flow and deflection must be
solved together: slit-die experiments, Int. Polym. Process. 10(2) (1995) 137; bow of a bar with a temperature
difference across it: Timoshenko.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array
from plant_sim import die as slot_die
from plant_sim.die import Slot, Split

STEEL_MODULUS_PA = 200e9
STEEL_POISSON = 0.3
STEEL_EXPANSION_PER_K = 11e-6
CONVERGED_UM = 1e-10
ITERATIONS_MAX = 200


@dataclass(frozen=True, slots=True)
class CantileverLip:
    """A lip clamped at its root: `overhang_m` reaches out, `thickness_m` at the flexure, a plate in plane strain."""

    overhang_m: float
    thickness_m: float
    modulus_pa: float = STEEL_MODULUS_PA
    poisson: float = STEEL_POISSON

    @property
    def compliance_um_per_pa(self) -> float:
        """Opening at the tip for a unit of even pressure: 1.5 l^4 (1-nu^2)/(E t^3)."""
        stiffness = self.modulus_pa * self.thickness_m**3
        return 1e6 * 1.5 * self.overhang_m**4 * (1.0 - self.poisson**2) / stiffness

    def opening_um(self, pressure_pa: float) -> float:
        """Opening at the tip under an even pressure."""
        return self.compliance_um_per_pa * pressure_pa


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A lip and a flow that agree with each other."""

    lip_gap_um: Array  # shape (lanes,)
    split: Split
    iterations: int
    contraction: float  # bound on the share of an error that one iteration leaves; below 1 the answer is the only one


class LipUnstable(ValueError):
    """The lip is so soft that opening and pressure chase each other: no fixed point is reached."""


def opened_by_pressure(
    filled: Slot, set_gap_um: Array, local_log: Array, flow_m3ps: float, compliance_um_per_pa: Array
) -> Opened:
    """Solve lip opening and flow together at a pumped flow.

    set_gap_um: opening without pressure; compliance_um_per_pa: opening of each lane for a unit of manifold pressure,
    both shape (lanes,) (an even pressure over the lip is a half of the manifold's where it falls along the slot).
    Iterates H <- H_set + c P(H). P falls with every gap, d ln P/d ln H_i = -(2n+1) * lip's share * lane's share of
    flow, and the iterates never leave H_set or more; so an error, as a share of H_set, shrinks by
    (2n+1) * max(c P(H_set)/H_set) at least. Below 1 that is Banach's fixed point; a softer lip may still settle.
    Raises LipUnstable when it does not.
    """
    gap, contraction, pressure = set_gap_um, np.inf, 0.0
    for iteration in range(1, ITERATIONS_MAX + 1):
        pressure = slot_die.split(filled, gap, local_log).pressure_pa(flow_m3ps)
        opening = compliance_um_per_pa * pressure
        if iteration == 1:
            contraction = (2.0 * filled.flow_index + 1.0) * float(np.max(opening / set_gap_um))
        moved = float(np.max(np.abs(set_gap_um + opening - gap)))
        gap = set_gap_um + opening
        if moved < CONVERGED_UM:
            return Opened(gap, slot_die.split(filled, gap, local_log), iteration, contraction)
    raise LipUnstable(
        f"lip: no common state of opening and flow after {ITERATIONS_MAX} iterations; largest compliance "
        f"{float(compliance_um_per_pa.max()):.3g} um/Pa at {1e-3 * pressure:.0f} kPa"
    )


def clamshell(lane_position: Array, end_share: float) -> Array:
    """How much of the middle's opening each lane has, shape as lane_position (0 at the feed, 1 at the ends).

    Bolted ends hold the body together, so the middle opens most: a parabola from 1 to end_share (assumed shape).
    """
    shape: Array = 1.0 - (1.0 - end_share) * lane_position**2
    return shape


def thermal_bow_um(
    lanes_mm: Array, difference_k: float, height_m: float, expansion_per_k: float = STEEL_EXPANSION_PER_K
) -> Array:
    """Opening of each lane when one face of the die body is warmer than the other, shape (lanes,), mean 0.

    A bar of this height bends to the curvature alpha dT/height; over a width W its sag is alpha dT W^2/(8 height).
    Positive difference_k opens the middle. The mean is left out: the body's position is set with the lip.
    """
    across_m = lanes_mm * 1e-3
    bow = -0.5e6 * expansion_per_k * difference_k / height_m * across_m**2
    opening: Array = bow - bow.mean()
    return opening
