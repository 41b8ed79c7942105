"""Slot-flow oracles. Base case H = 0.6 mm, L = 40 mm, q = 1.5e-4 m2/s."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import rheology
from plant_sim.rheology import HerschelBulkley

H, L, Q = 0.6e-3, 0.040, 1.5e-4


def test_newtonian_slot():
    assert rheology.newtonian_pressure_pa(1.0, Q, H, L) == pytest.approx(1e6 / 3.0, rel=1e-9)


@pytest.mark.parametrize(("k", "n", "pressure"), [(10, 0.6, 164_434.5), (5, 0.7, 175_009.3), (20, 0.5, 153_960.1)])
def test_power_law_pressure(k, n, pressure):
    assert rheology.power_law_pressure_pa(HerschelBulkley(k, n), Q, H, L) == pytest.approx(pressure, rel=1e-6)


def test_a_power_law_of_index_one_is_newtonian():
    assert rheology.power_law_pressure_pa(HerschelBulkley(1.0, 1.0), Q, H, L) == pytest.approx(1e6 / 3.0, rel=1e-12)


@pytest.mark.parametrize(("n", "slope"), [(1.0, 3.0), (0.7, 3.4286), (0.6, 3.6667), (0.5, 4.0)])
def test_log_slope_of_flow_against_gap(n, slope):
    law = HerschelBulkley(10.0, n)
    wide, narrow = (rheology.power_law_flow_m2ps(law, 1e5, H * f, L) for f in (1.001, 0.999))
    assert math.log(wide / narrow) / math.log(1.001 / 0.999) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize(
    ("tau_0", "k", "n", "flow"),
    [(5, 8, 0.6, 9.899941e-6), (20, 10, 0.5, 1.355940e-5), (10, 1, 1.0, 1.110075e-5), (0, 10, 0.6, 7.234098e-6)],
)
def test_herschel_bulkley_flow(tau_0, k, n, flow):
    """At a wall stress of 200 Pa; the last without yield stress recovers the power law."""
    pressure = 200.0 * 2.0 * L / H
    got = rheology.herschel_bulkley_flow_m2ps(HerschelBulkley(k, n, tau_0), pressure, H, L)
    assert got == pytest.approx(flow, rel=1e-6)


def test_index_one_with_a_yield_stress_is_the_bingham_formula():
    phi = 10.0 / 200.0
    bingham = H**2 * 200.0 / (6.0 * 1.0) * (1.0 - 1.5 * phi + 0.5 * phi**3)
    assert rheology.wall_stress_flow_m2ps(HerschelBulkley(1.0, 1.0, 10.0), 200.0, H) == pytest.approx(
        bingham, rel=1e-12
    )


@pytest.mark.parametrize("stress", [0.0, 3.0, 5.0])
def test_no_flow_below_the_yield_stress(stress):
    assert rheology.wall_stress_flow_m2ps(HerschelBulkley(8.0, 0.6, 5.0), stress, H) == 0.0


laws = st.builds(
    HerschelBulkley,
    st.floats(3.0, 30.0),
    st.floats(0.35, 0.85),
    st.floats(0.0, 20.0),
)


@given(laws, st.floats(1e-5, 5e-4), st.floats(0.4e-3, 1.2e-3))
def test_stress_and_flow_are_inverse(law, flow, gap):
    stress = rheology.wall_stress_pa(law, flow, gap)
    assert rheology.wall_stress_flow_m2ps(law, stress, gap) == pytest.approx(flow, rel=1e-9)


@given(laws, st.floats(1e-5, 5e-4), st.floats(0.4e-3, 1.2e-3))
def test_local_power_law_touches_the_slurry(law, flow, gap):
    """Same flow and same slope at the operating point."""
    local = rheology.local_power_law(law, flow, gap)
    stress = rheology.wall_stress_pa(law, flow, gap)
    assert rheology.wall_stress_flow_m2ps(local, stress, gap) == pytest.approx(flow, rel=1e-8)
    above, below = (rheology.wall_stress_flow_m2ps(law, stress * f, gap) for f in (1.0001, 0.9999))
    slope = math.log(above / below) / math.log(1.0001 / 0.9999)
    assert 1.0 / local.flow_index == pytest.approx(slope, rel=1e-5)


def test_yield_stress_shows_as_a_lower_flow_index():
    assert rheology.local_power_law(HerschelBulkley(10.0, 0.6, 10.0), Q, H).flow_index < 0.6
