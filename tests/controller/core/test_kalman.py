"""The bank of scalar filters against the textbook and against a simulation of what it believes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import kalman
from controller.core.statistics import Noise, Statistics, film_noise, offset_noise, spectrum
from tests.factories import make_line

ONE = Noise(start=np.array([4.0]), rate=np.array([0.01]), reading=np.array([1.0]))


def test_two_readings_by_hand():
    """4 against 1: gain 0.8. Then 0.8 of variance left, 0.1 wandered in 10 s: gain 0.9/1.9."""
    first = kalman.corrected(kalman.start(ONE), ONE, np.array([1.0]), 0.0)
    assert first.mean == pytest.approx(0.8)
    assert first.variance == pytest.approx(0.8)
    second = kalman.corrected(first, ONE, np.array([1.0]), 10.0)
    assert second.mean == pytest.approx(0.8 + 0.9 / 1.9 * 0.2)
    assert second.variance == pytest.approx(0.9 / 1.9)
    assert kalman.ahead(second, ONE, 10.0) == pytest.approx(0.9 / 1.9 + 0.1)


def test_a_doubtful_reading_counts_for_less():
    bank = kalman.corrected(kalman.start(ONE), ONE, np.array([1.0]), 0.0, doubt=4.0)
    assert bank.mean == pytest.approx(0.5)
    assert bank.variance == pytest.approx(2.0)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-2, 10.0), st.floats(1e-2, 10.0), st.floats(0.1, 60.0))
def test_it_settles_where_the_riccati_equation_does(rate, reading, period_s):
    """Kept gains of a regular rhythm are the gains that would have been worked out each time."""
    noise = Noise(np.array([100.0]), np.array([rate]), np.array([reading]))
    bank, variance = kalman.start(noise), 100.0
    for _ in range(1200):
        bank = kalman.corrected(bank, noise, np.zeros(1), period_s)
        prior = variance + rate * period_s
        variance = prior * reading / (prior + reading)
    gain = variance / reading
    assert bank.gain[0] == pytest.approx(gain, rel=0.05)
    assert kalman.smoothing_s(noise, period_s)[0] == pytest.approx(-period_s / np.log1p(-gain), rel=0.05)


def test_its_variance_is_the_variance_of_its_error():
    """400 coordinates wander as believed and are read with the noise believed."""
    rng, size = np.random.default_rng(1), 400
    noise = Noise(np.full(size, 4.0), np.full(size, 0.01), np.full(size, 1.0))
    truth, bank, errors = rng.normal(0.0, 2.0, size), kalman.start(noise), []
    for i in range(900):
        truth = truth + rng.normal(0.0, 0.1, size)
        bank = kalman.corrected(bank, noise, truth + rng.normal(0.0, 1.0, size), 1.0)
        if i > 300:
            errors.append(bank.mean - truth)
    assert np.mean(np.square(errors)) == pytest.approx(bank.variance[0], rel=0.06)
    assert bank.surprise2.mean() == pytest.approx(1.0, abs=0.05)
    assert abs(bank.surprise_lag.mean()) < 0.05


def test_an_irregular_rhythm_is_not_taken_for_a_settled_one():
    """After an hour's silence the next reading is believed nearly whole, however long it was regular before."""
    bank = kalman.start(ONE)
    for _ in range(600):
        bank = kalman.corrected(bank, ONE, np.zeros(1), 1.0)
    assert bank.gain[0] < 0.2
    assert kalman.corrected(bank, ONE, np.ones(1), 3600.0).mean[0] > 0.95


def test_a_smooth_profile_lives_in_the_coarse_shapes():
    zones = 32
    shapes = np.array([np.cos(np.pi * k * (np.arange(zones) + 0.5) / zones) for k in range(1, zones)]).T
    shapes /= np.linalg.norm(shapes, axis=0)
    share = spectrum(shapes, 4.0)
    assert 0.7 * zones < share.sum() < zones  # all of the variance but that of the mean
    assert share[0] > 20.0 * share[16]
    np.testing.assert_allclose(spectrum(shapes, 1e-3), 1.0)


def test_statistics_become_the_variances_they_say():
    line = make_line(16)
    basis = np.linalg.qr(np.column_stack((np.ones(16), np.eye(16)[:, :15])))[0][:, 1:]
    assert line.wet_gauge is not None and line.dry_gauge is not None
    quiet, wild = Statistics(), Statistics(slip_pct=1.0, solids_pct=0.8, wet_noise_share=2.0, white_cd_pct=0.0)
    film = [film_noise(line, line.wet_gauge, basis, known) for known in (quiet, wild)]
    both = [offset_noise(line, line.wet_gauge, line.dry_gauge, basis, known) for known in (quiet, wild)]
    assert film[0].rate[-1] == pytest.approx(1e-4 * (2 * 0.5**2 / 690 + 0.36 * 2 * 0.65**2 / 7200))
    assert film[1].rate[-1] > 3.5 * film[0].rate[-1]
    assert film[1].reading[0] == pytest.approx(1e-4 * 4.0 * 0.4**2 / 2.0)
    assert both[1].rate[-1] > 3.0 * both[0].rate[-1]
