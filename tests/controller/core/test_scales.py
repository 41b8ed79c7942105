"""What a line is said to be like at first, it is found to be; and no day, however odd, takes it out of its bounds."""

import numpy as np
import pytest

from controller.core import kalman, scales
from controller.core.statistics import Noise

SHAPES, PERIOD_S = 12, 0.5
USUAL = Noise(
    start=np.full(SHAPES + 1, 1.0),
    rate=np.append(np.geomspace(4e-7, 4e-8, SHAPES), 7e-8),
    reading=np.append(np.full(SHAPES, 1.6e-5), 2e-6),
)


def watched(faster: float, noisier: float, seconds: float, seed: int = 1) -> scales.Scales:
    """A line whose shapes drift and whose gauge errs so much more than usual, in variances."""
    rng, bank, known = np.random.default_rng(seed), kalman.start(USUAL), scales.none(USUAL)
    truth = np.zeros(SHAPES + 1)
    for k in range(round(seconds / PERIOD_S)):
        truth = truth + rng.normal(0.0, np.sqrt(faster * USUAL.rate * PERIOD_S))
        reading = truth + rng.normal(0.0, np.sqrt(noisier * USUAL.reading))
        bank = kalman.corrected(bank, known.noise, reading, PERIOD_S if k else 0.0)
        known = scales.read(known, USUAL, reading, bank, PERIOD_S * k, 1.0)
    return known


@pytest.mark.parametrize(("faster", "noisier"), [(1.0, 1.0), (3.0, 0.5), (0.4, 2.0), (2.0, 3.0)])
def test_a_line_s_own_statistics_are_found(faster, noisier):
    found = np.mean([scales.factors(watched(faster, noisier, 900.0, seed)) for seed in range(3)], axis=0)
    assert found[0] == pytest.approx(faster, rel=0.35)
    assert found[1] == pytest.approx(noisier, rel=0.15)


@pytest.mark.parametrize(("faster", "noisier"), [(0.0, 0.0), (100.0, 100.0)])
def test_bounds_hold(faster, noisier):
    rate, reading = scales.factors(watched(faster, noisier, 600.0))
    assert scales.RATE_WITHIN[0] <= rate <= scales.RATE_WITHIN[1]
    assert scales.READING_WITHIN[0] <= reading <= scales.READING_WITHIN[1]


def test_the_mean_keeps_the_statistics_of_its_own_filter():
    known = watched(3.0, 3.0, 600.0)
    assert known.noise.rate[-1] == USUAL.rate[-1] and known.noise.reading[-1] == USUAL.reading[-1]
    np.testing.assert_array_equal(known.noise.start, USUAL.start)


def test_nothing_is_learnt_before_the_profile_is_found():
    """A start far off target is no noise and no drift."""
    bank, known = kalman.start(USUAL), scales.none(USUAL)
    for k in range(100):
        reading = np.full(SHAPES + 1, 0.02 * np.exp(-k / 20.0))
        bank = kalman.corrected(bank, known.noise, reading, PERIOD_S if k else 0.0)
        known = scales.read(known, USUAL, reading, bank, PERIOD_S * k, 1.0)
    assert known.noise is USUAL


def test_a_mirrored_line_is_found_alike():
    def of(sign: float) -> tuple[float, float]:
        rng, bank, known = np.random.default_rng(4), kalman.start(USUAL), scales.none(USUAL)
        for k in range(900):
            reading = sign * rng.normal(0.0, 4e-3, SHAPES + 1)
            bank = kalman.corrected(bank, known.noise, reading, PERIOD_S if k else 0.0)
            known = scales.read(known, USUAL, reading, bank, PERIOD_S * k, 1.0)
        return scales.factors(known)

    assert of(1.0) == of(-1.0)


def test_a_quiet_day_winds_nothing_up_and_a_step_is_followed_without_a_burst():
    """24 h on which nothing moves, then a shape of 1 %: the filters are as slow as they may be, and no slower."""
    bank, known = kalman.start(USUAL), scales.none(USUAL)
    quiet = np.zeros(SHAPES + 1)
    for k in range(43200):
        bank = kalman.corrected(bank, known.noise, quiet, 2.0 if k else 0.0)
        known = scales.read(known, USUAL, quiet, bank, 2.0 * k, 1.0)
    assert np.all(bank.variance <= 2.0 * USUAL.reading) and np.all(bank.variance > 0.0)
    assert scales.factors(known) == (scales.RATE_WITHIN[0], scales.READING_WITHIN[0])
    step, seen = np.append(0.01, np.zeros(SHAPES)), []
    for k in range(43200, 43200 + 300):
        bank = kalman.corrected(bank, known.noise, step, 2.0)
        known = scales.read(known, USUAL, step, bank, 2.0 * k, 1.0)
        seen.append(bank.mean[0])
    assert max(seen) <= 0.01 + 1e-12 and seen[-1] > 0.0099
