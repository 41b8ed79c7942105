"""Slot flow of a Carreau slurry: no closed form, so one quadrature of the Rabinowitsch integral and its inversion.

Stands beside plant_sim.rheology for slurries whose viscosity levels off at low and high shear; the plant's own step
uses the local power law. Units as there: q is flow per unit width in m2/s, gaps and lengths in m, pressures in Pa.
Imported by plant_sim.oracles, the tour and tests.
Source: Carreau (1972), as in Bird, Armstrong, Hassager, Dynamics of Polymeric Liquids, vol. 1, ch. 4; flow between
plates by Rabinowitsch, q = H^2/(2 tau_w^2) * integral of tau * rate over tau from 0 to tau_w.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

QUADRATURE_POINTS = 64  # the integrand is analytic in asinh(lambda * rate): 64 points reach rounding up to 1e6
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(QUADRATURE_POINTS)
NEWTON_STEPS = 60


@dataclass(frozen=True, slots=True)
class Carreau:
    """eta = eta_inf + (eta_0 - eta_inf) * (1 + (lambda rate)^2)^((n-1)/2), with 0 <= eta_inf <= eta_0, 0 < n <= 1."""

    viscosity_zero_pa_s: float
    viscosity_infinite_pa_s: float
    time_s: float
    flow_index: float

    def viscosity_pa_s(self, rate_per_s: float) -> float:
        """Viscosity at a shear rate."""
        thinning = math.pow(1.0 + (self.time_s * rate_per_s) ** 2, 0.5 * (self.flow_index - 1.0))
        return self.viscosity_infinite_pa_s + (self.viscosity_zero_pa_s - self.viscosity_infinite_pa_s) * thinning

    def stress_exponent(self, rate_per_s: float) -> float:
        """d ln tau / d ln rate: 1 for a Newtonian liquid, n deep in the power-law range."""
        square = (self.time_s * rate_per_s) ** 2
        thinning = math.pow(1.0 + square, 0.5 * (self.flow_index - 1.0))
        thinned = (self.viscosity_zero_pa_s - self.viscosity_infinite_pa_s) * thinning
        share = thinned / (self.viscosity_infinite_pa_s + thinned)
        return 1.0 + share * (self.flow_index - 1.0) * square / (1.0 + square)


def flow_at_wall_rate_m2ps(slurry: Carreau, wall_rate_per_s: float, gap_m: float) -> float:
    """Flow whose shear rate at the wall is wall_rate_per_s (> 0).

    With the rate as the variable of integration no viscosity law has to be inverted:
    q = H^2/(2 tau_w^2) * integral of tau * rate * dtau/drate over rate from 0 to the wall's.
    """
    if slurry.time_s * wall_rate_per_s < 1e-9:
        return wall_rate_per_s * gap_m**2 / 6.0
    reach = math.asinh(slurry.time_s * wall_rate_per_s)
    z = 0.5 * reach * (_NODES + 1.0)
    rate = np.sinh(z) / slurry.time_s
    thinned = (slurry.viscosity_zero_pa_s - slurry.viscosity_infinite_pa_s) * np.cosh(z) ** (slurry.flow_index - 1.0)
    stress = (slurry.viscosity_infinite_pa_s + thinned) * rate
    # dtau/drate = eta + rate * deta/drate, with rate^2/(1 + rate^2) = tanh^2 z in units of 1/lambda
    slope = slurry.viscosity_infinite_pa_s + thinned * (1.0 + (slurry.flow_index - 1.0) * np.tanh(z) ** 2)
    integrand = stress * rate * slope * np.cosh(z) / slurry.time_s
    integral = 0.5 * reach * float(_WEIGHTS @ integrand)
    wall_stress = slurry.viscosity_pa_s(wall_rate_per_s) * wall_rate_per_s
    return gap_m**2 / (2.0 * wall_stress**2) * integral


def wall_rate_per_s(slurry: Carreau, flow_m2ps: float, gap_m: float) -> float:
    """Shear rate at the wall at a flow (> 0): Newton on ln q over ln rate, started from the Newtonian rate.

    Slope without a second quadrature: d ln q/d ln rate = m (H^2 rate/(2 q) - 2), m = d ln tau/d ln rate.
    """
    rate = 6.0 * flow_m2ps / gap_m**2
    for _ in range(NEWTON_STEPS):
        flow = flow_at_wall_rate_m2ps(slurry, rate, gap_m)
        miss = math.log(flow_m2ps / flow)
        slope = slurry.stress_exponent(rate) * (gap_m**2 * rate / (2.0 * flow) - 2.0)
        rate *= math.exp(miss / slope)
        if abs(miss) < 1e-14:
            break
    return rate


def pressure_pa(slurry: Carreau, flow_m2ps: float, gap_m: float, length_m: float) -> float:
    """Pressure drop along one slot at a flow (> 0): dP = 2 L tau_w / H."""
    rate = wall_rate_per_s(slurry, flow_m2ps, gap_m)
    return 2.0 * length_m / gap_m * slurry.viscosity_pa_s(rate) * rate


def flow_m2ps(slurry: Carreau, pressure_drop_pa: float, gap_m: float, length_m: float) -> float:
    """Flow through one slot at a pressure drop; 0 where there is none."""
    wall_stress = gap_m * pressure_drop_pa / (2.0 * length_m)
    if wall_stress <= 0.0:
        return 0.0
    rate = wall_stress / slurry.viscosity_zero_pa_s
    for _ in range(NEWTON_STEPS):
        miss = math.log(wall_stress / (slurry.viscosity_pa_s(rate) * rate))
        rate *= math.exp(miss / slurry.stress_exponent(rate))
        if abs(miss) < 1e-14:
            break
    return flow_at_wall_rate_m2ps(slurry, rate, gap_m)
