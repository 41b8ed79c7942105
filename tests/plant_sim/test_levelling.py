"""What heals before the dryer and what is frozen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import levelling
from plant_sim.levelling import WetFilm

FILM = WetFilm(150e-6, 5.0, 0.045, 1900.0)
PITCH_M = 0.5e-3


@pytest.mark.parametrize(("wavelength_mm", "time_s"), [(2.0, 0.973), (10.0, 309.2), (20.0, 1951.1)])
def test_times(wavelength_mm, time_s):
    assert levelling.time_s(FILM, wavelength_mm * 1e-3) == pytest.approx(time_s, rel=1e-3)


@pytest.mark.parametrize("half_waves", [1, 4, 20, 75])
def test_a_cosine_decays_by_its_own_time_and_keeps_its_shape(half_waves):
    lanes = 200
    x = (np.arange(lanes) + 0.5) / lanes
    ripple = np.cos(np.pi * half_waves * x)
    tau = levelling.time_s(FILM, 2.0 * lanes * PITCH_M / half_waves)
    after = levelling.levelled(FILM, 150.0 + ripple, PITCH_M, tau)
    np.testing.assert_allclose(after - 150.0, np.exp(-1.0) * ripple, atol=1e-9)


@given(st.integers(0, 2**31), st.floats(0.0, 1e4), st.integers(8, 300))
def test_levelling_keeps_the_mass_and_makes_nothing_rougher(seed, elapsed_s, lanes):
    profile = 150.0 + np.random.default_rng(seed).standard_normal(lanes)
    after = levelling.levelled(FILM, profile, PITCH_M, elapsed_s)
    assert after.mean() == pytest.approx(profile.mean(), rel=1e-12)
    assert after.std() <= profile.std() * (1.0 + 1e-12)
    np.testing.assert_allclose(levelling.levelled(FILM, profile[::-1], PITCH_M, elapsed_s), after[::-1], atol=1e-9)


def test_in_a_minute_a_streak_heals_and_an_error_at_the_scale_of_bolts_does_not():
    """The plant leaves levelling out: over 60 s an error of one 25 mm zone keeps its area and 98 % of a 50 mm wave."""
    assert np.exp(-60.0 * levelling.rate_per_s(FILM, 0.050)) > 0.98
    assert np.exp(-60.0 * levelling.rate_per_s(FILM, 0.002)) < 1e-20
