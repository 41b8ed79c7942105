"""Slot flow of the slurry: Newtonian, power law, Herschel-Bulkley. Exact formulas, one slot, per unit width.

q is flow per unit width in m2/s, gap (H) and length (L) in m, pressures in Pa, consistency (K) in Pa s^n. Imported
inside plant_sim only.
Source: fully developed flow between parallel plates, width >> H (Bird, Armstrong, Hassager, Dynamics of Polymeric
Liquids, vol. 1, ch. 4); the Herschel-Bulkley integral agrees with quadrature of the velocity profile.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HerschelBulkley:
    """tau = tau_0 + K * rate^n. A power law when tau_0 is 0, Newtonian when n is 1 as well."""

    consistency_pa_sn: float
    flow_index: float
    yield_stress_pa: float = 0.0


def newtonian_pressure_pa(viscosity_pa_s: float, flow_m2ps: float, gap_m: float, length_m: float) -> float:
    """dP = 12 mu L q / H^3."""
    return 12.0 * viscosity_pa_s * length_m * flow_m2ps / gap_m**3


def power_law_flow_m2ps(slurry: HerschelBulkley, pressure_pa: float, gap_m: float, length_m: float) -> float:
    """q = n H^2 / (2 (2n+1)) * (H dP / (2 K L))^(1/n); the yield stress is not looked at."""
    n = slurry.flow_index
    wall_stress = gap_m * pressure_pa / (2.0 * length_m)
    return n * gap_m**2 / (2.0 * (2.0 * n + 1.0)) * math.pow(wall_stress / slurry.consistency_pa_sn, 1.0 / n)


def power_law_pressure_pa(slurry: HerschelBulkley, flow_m2ps: float, gap_m: float, length_m: float) -> float:
    """dP = (2 K L / H) * (2 (2n+1) q / (n H^2))^n; the yield stress is not looked at."""
    rate = wall_rate_per_s(slurry.flow_index, flow_m2ps, gap_m)
    return 2.0 * slurry.consistency_pa_sn * length_m / gap_m * math.pow(rate, slurry.flow_index)


def wall_rate_per_s(flow_index: float, flow_m2ps: float, gap_m: float) -> float:
    """Wall shear rate of a power law, 2 (2n+1)/n * q/H^2."""
    return 2.0 * (2.0 * flow_index + 1.0) / flow_index * flow_m2ps / gap_m**2


def wall_stress_flow_m2ps(slurry: HerschelBulkley, wall_stress_pa: float, gap_m: float) -> float:
    """Herschel-Bulkley flow for a wall stress tau_w = H dP / (2 L), zero where the stress does not exceed the yield.

    q = n/(2n+1) * H^2/2 * (tau_w/K)^(1/n) * (1-phi)^(1+1/n) * (1 + n/(n+1) phi), phi = tau_0/tau_w.
    """
    if wall_stress_pa <= slurry.yield_stress_pa or wall_stress_pa <= 0.0:
        return 0.0
    n = slurry.flow_index
    phi = slurry.yield_stress_pa / wall_stress_pa
    no_yield = n / (2.0 * n + 1.0) * gap_m**2 / 2.0 * math.pow(wall_stress_pa / slurry.consistency_pa_sn, 1.0 / n)
    return no_yield * math.pow(1.0 - phi, 1.0 + 1.0 / n) * (1.0 + n / (n + 1.0) * phi)


def herschel_bulkley_flow_m2ps(slurry: HerschelBulkley, pressure_pa: float, gap_m: float, length_m: float) -> float:
    """Flow through one slot at a pressure drop."""
    return wall_stress_flow_m2ps(slurry, gap_m * pressure_pa / (2.0 * length_m), gap_m)


def stress_exponent(slurry: HerschelBulkley, wall_stress_pa: float) -> float:
    """d ln q / d ln tau_w: 1/n for a power law, more with a yield stress. Needs tau_w > tau_0.

    Differentiating the Herschel-Bulkley flow, with d phi / d ln tau_w = -phi.
    """
    n = slurry.flow_index
    phi = slurry.yield_stress_pa / wall_stress_pa
    lobe = n / (n + 1.0) * phi
    return 1.0 / n + (1.0 + 1.0 / n) * phi / (1.0 - phi) - lobe / (1.0 + lobe)


def wall_stress_pa(slurry: HerschelBulkley, flow_m2ps: float, gap_m: float) -> float:
    """Wall stress that gives a flow (> 0): Newton on ln q over ln tau_w, smooth and monotone above the yield."""
    n = slurry.flow_index
    power_law = slurry.consistency_pa_sn * math.pow(wall_rate_per_s(n, flow_m2ps, gap_m), n)
    stress = power_law + 1.5 * slurry.yield_stress_pa  # from above, where the curve is nearest to a straight line
    for _ in range(60):
        miss = math.log(wall_stress_flow_m2ps(slurry, stress, gap_m) / flow_m2ps)
        move = stress * math.expm1(-miss / stress_exponent(slurry, stress))
        stress = max(stress + move, 0.5 * (stress + slurry.yield_stress_pa))
        if abs(miss) < 1e-13:
            break
    return stress


def local_power_law(slurry: HerschelBulkley, flow_m2ps: float, gap_m: float) -> HerschelBulkley:
    """The power law that has the same wall stress and the same d ln q / d ln tau_w at this operating point.

    A die works within a few percent of one flow, so its sections can be solved as this power law in closed form; the
    yield stress then shows as a lower flow index. For a power law the answer is the slurry itself.
    """
    if slurry.yield_stress_pa <= 0.0:
        return slurry
    stress = wall_stress_pa(slurry, flow_m2ps, gap_m)
    index = 1.0 / stress_exponent(slurry, stress)
    return HerschelBulkley(stress / wall_rate_per_s(index, flow_m2ps, gap_m) ** index, index)
