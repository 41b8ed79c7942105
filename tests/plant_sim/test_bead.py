"""The coating window warns and says when it may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import bead


def test_published_example():
    assert bead.film_min_small_ca_m(1e-3, 100e-6) == pytest.approx(0.670e-6, rel=0.01)


@given(st.floats(1e-5, 100.0), st.floats(50e-6, 500e-6))
def test_full_form_is_thinner_than_the_small_ca_form_and_than_the_gap(capillary, gap):
    full = bead.film_min_m(capillary, gap)
    assert 0.0 < full < min(gap, bead.film_min_small_ca_m(capillary, gap))


def test_both_forms_meet_at_small_capillary_numbers():
    assert bead.film_min_m(1e-6, 1.0) == pytest.approx(bead.film_min_small_ca_m(1e-6, 1.0), rel=1e-4)


@given(st.floats(1e-4, 20.0))
def test_full_form_agrees_with_its_inverse(capillary):
    """Ca = 0.65 (2/(H/h - 1))^(3/2), the other way of writing it, within its printed digits."""
    ratio = 1.0 / bead.film_min_m(capillary, 1.0)
    assert 0.65 * (2.0 / (ratio - 1.0)) ** 1.5 == pytest.approx(capillary, rel=0.01)


@pytest.mark.parametrize(
    ("film_um", "viscosity", "warning", "valid"),
    [(60.0, 0.004, False, True), (5.0, 0.004, True, True), (160.0, 0.4, False, False), (100.0, 0.4, True, False)],
)
def test_a_check_says_what_it_finds_and_whether_to_believe_it(film_um, viscosity, warning, valid):
    """40 mN/m at 1 m/s, gap 200 um: Ca 0.1 and 10, limits 25.2 and 151 um; the last two are outside of the theory."""
    found = bead.check(film_um * 1e-6, 200e-6, viscosity, 1.0, 0.040)
    assert (found.warning, found.valid) == (warning, valid)


@given(st.floats(10e-6, 190e-6))
def test_pressure_gradient_changes_its_sign_at_half_the_gap(film):
    gradient = bead.pressure_gradient_pa_per_m(film, 200e-6, 1.0, 1.0)
    assert (gradient > 0.0) == (film < 100e-6) or film == 100e-6
