"""Carreau slot flow: its two limits, an independent integration, and inversion."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import carreau, rheology
from plant_sim.carreau import Carreau
from plant_sim.rheology import HerschelBulkley

H, L, Q = 0.6e-3, 0.040, 1.5e-4

slurries = st.builds(
    lambda eta0, ratio, log_time, n: Carreau(eta0, eta0 * ratio, 10.0**log_time, n),
    st.floats(0.1, 100.0),
    st.floats(0.0, 1.0),
    st.floats(-4.0, 3.0),
    st.floats(0.3, 1.0),
)
flows = st.floats(1e-6, 1e-3)
gaps = st.floats(0.3e-3, 1.2e-3)


@pytest.mark.parametrize(
    "slurry", [Carreau(2.0, 0.0, 0.0, 0.4), Carreau(2.0, 0.0, 5.0, 1.0), Carreau(2.0, 2.0, 5.0, 0.4)]
)
def test_three_ways_to_be_newtonian(slurry):
    assert carreau.pressure_pa(slurry, Q, H, L) == pytest.approx(2e6 / 3.0, rel=1e-10)


@given(st.floats(0.35, 0.9), flows)
def test_deep_in_the_power_law_range_it_is_the_power_law(n, flow):
    """With lambda = 1e5 s, rates are far above 1/lambda; K = eta_0 lambda^(n-1)."""
    slurry = Carreau(10.0 * 1e5 ** (1.0 - n), 0.0, 1e5, n)
    expected = rheology.power_law_pressure_pa(HerschelBulkley(10.0, n), flow, H, L)
    assert carreau.pressure_pa(slurry, flow, H, L) == pytest.approx(expected, rel=1e-5)


@given(slurries, st.floats(0.1, 1e4), gaps)
def test_quadrature_agrees_with_the_integral_by_parts(slurry, rate, gap):
    """q = H^2/4 * (rate_w - integral of (tau/tau_w)^2 over rate), by the trapezium rule on 20,001 points."""
    rates = rate * np.linspace(0.0, 1.0, 20_001) ** 2
    thinning = (1.0 + (slurry.time_s * rates) ** 2) ** (0.5 * (slurry.flow_index - 1.0))
    eta = slurry.viscosity_infinite_pa_s + (slurry.viscosity_zero_pa_s - slurry.viscosity_infinite_pa_s) * thinning
    stress = eta * rates
    expected = gap**2 / 4.0 * (rate - np.trapezoid((stress / stress[-1]) ** 2, rates))
    assert carreau.flow_at_wall_rate_m2ps(slurry, rate, gap) == pytest.approx(expected, rel=1e-5)


@given(slurries, flows, gaps)
def test_pressure_and_flow_are_inverse(slurry, flow, gap):
    pressure = carreau.pressure_pa(slurry, flow, gap, L)
    assert carreau.flow_m2ps(slurry, pressure, gap, L) == pytest.approx(flow, rel=1e-9)


@given(slurries, st.floats(0.1, 1e4))
def test_stress_exponent_is_the_slope(slurry, rate):
    stress = [slurry.viscosity_pa_s(rate * f) * rate * f for f in (1.0001, 0.9999)]
    slope = math.log(stress[0] / stress[1]) / math.log(1.0001 / 0.9999)
    assert slurry.stress_exponent(rate) == pytest.approx(slope, abs=1e-6)


def test_no_pressure_no_flow():
    assert carreau.flow_m2ps(Carreau(10.0, 0.1, 1.0, 0.5), 0.0, H, L) == 0.0
