"""The lip as a beam on an elastic foundation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import lip

BOLTS = (np.arange(12) - 5.5) * 25.0
LANES = ((np.arange(48) + 0.5) / 48 - 0.5) * 300.0


def test_full_width_at_half_height():
    half = lip.FWHM_TIMES_BETA / 2.0
    assert lip.kernel(np.array([half]))[0] == pytest.approx(0.5, abs=1e-5)


def test_minimum_and_zero_of_the_kernel():
    s = np.linspace(0.0, 6.0, 600_001)
    values = lip.kernel(s)
    assert values.min() == pytest.approx(-0.04321, abs=1e-5)
    assert s[values.argmin()] == pytest.approx(math.pi, abs=1e-4)
    assert lip.kernel(np.array([0.75 * math.pi]))[0] == pytest.approx(0.0, abs=1e-12)


def test_integral_is_force_over_foundation_stiffness():
    """Both sides of e^-s (cos s + sin s) over s make 2: times F beta / (2 k) and 1/beta that is F/k."""
    s = np.linspace(0.0, 40.0, 400_001)
    assert 2.0 * np.trapezoid(lip.kernel(s), s) == pytest.approx(2.0, abs=1e-6)


@pytest.mark.parametrize(("fwhm", "coupling"), [(1.0, 0.06), (1.5, 0.31), (2.0, 0.50), (2.5, 0.63)])
def test_neighbour_coupling_at_one_pitch(fwhm, coupling):
    assert lip.kernel(np.array([lip.FWHM_TIMES_BETA / fwhm]))[0] == pytest.approx(coupling, abs=0.006)


@given(st.floats(1.0, 3.0), st.lists(st.floats(0.7, 1.3), min_size=12, max_size=12), st.floats(-12.0, 12.0))
def test_equal_moves_open_the_lip_evenly(fwhm, gains, shift):
    matrix = lip.response(LANES, BOLTS, fwhm * 25.0, np.array(gains), shift)
    np.testing.assert_allclose(matrix @ np.full(12, 7.0), 7.0, rtol=1e-12)


@given(st.floats(1.0, 3.0), st.lists(st.floats(0.7, 1.3), min_size=12, max_size=12), st.floats(-12.0, 12.0))
def test_a_mirrored_lip_has_the_mirrored_response(fwhm, gains, shift):
    gain = np.array(gains)
    matrix = lip.response(LANES, BOLTS, fwhm * 25.0, gain, shift)
    mirrored = lip.response(LANES, BOLTS, fwhm * 25.0, gain[::-1], -shift)
    np.testing.assert_allclose(mirrored, matrix[::-1, ::-1], atol=1e-12)


def test_shift_moves_the_peak_against_the_bolts():
    """A web whose zero lies 25 mm beside the bolts' sees bolt 5 where bolt 4 would be."""
    straight = lip.response(LANES, BOLTS, 45.0)
    shifted = lip.response(LANES, BOLTS, 45.0, None, 25.0)
    assert abs(LANES[straight[:, 5].argmax()] - BOLTS[5]) < 7.0
    assert abs(LANES[shifted[:, 5].argmax()] - BOLTS[4]) < 7.0


def test_a_stiffer_bolt_weighs_more():
    gain = np.ones(12)
    gain[5] = 1.1
    peak = lip.response(LANES, BOLTS, 45.0)[:, 5].argmax()
    ratio = lip.response(LANES, BOLTS, 45.0, gain)[peak, 5] / lip.response(LANES, BOLTS, 45.0)[peak, 5]
    assert 1.02 < ratio < 1.1
