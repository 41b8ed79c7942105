"""A batch's course is foreseen from its beginning; a quiet line winds nothing up; two sensors share their lengths."""

import numpy as np
import pytest

from controller.core import course

RATE, NOISE2 = 2e-8, 2e-7  # of the usual drift of solids, log^2/s, and of a dry scan's mean, log^2
DELAY_S = 60.0


def of(length_s: float, since_s: float) -> float:
    turns = 5.0 * max(since_s, 0.0) / length_s
    return 1.0 - (1.0 + turns) * float(np.exp(-turns))


def foretold(size: float, length_s: float, pressure: float | None, seconds: int = 400, seed: int = 1) -> np.ndarray:
    """A dry gauge 60 s behind the die watches a front; what was foreseen of the mean at the die less what was there."""
    rng, level = np.random.default_rng(seed), 0.0
    dry, pressed = course.begun(0.0, 1e-8, 0.015**2), course.begun(0.0, 1e-6, 0.25)
    missed = []
    for t in range(seconds):
        level += rng.normal(0.0, RATE**0.5)
        if pressure is not None:
            value = pressure * of(length_s, t) + rng.normal(0.0, 1e-3)
            pressed = course.seen(pressed, value, course.arrived(t), 1e-7, 1e-6)
        if t > DELAY_S:
            value = level + size * of(length_s, t - DELAY_S) + rng.normal(0.0, NOISE2**0.5)
            dry = course.seen(dry, value, course.arrived(t - DELAY_S), RATE, NOISE2)
        weight = course.likely(dry.told + pressed.told)
        missed.append(course.at(dry, weight, course.arrived(t)) - level - size * of(length_s, t))
    return np.array(missed)


@pytest.mark.parametrize("length_s", [60.0, 150.0, 400.0])
@pytest.mark.parametrize("size", [0.015, -0.01])
def test_what_is_to_come_is_known_soon_after_the_dry_gauge_sees_the_first_of_it(size, length_s):
    """After half a minute of it, a fifth of the batch is missed at most from then on, and soon next to nothing."""
    missed = foretold(size, length_s, 0.2)
    assert np.sqrt(np.mean(missed[95:] ** 2)) < 0.2 * abs(size)
    assert np.abs(missed[200:]).mean() < 0.1 * abs(size)


def test_the_pressure_tells_the_course_before_the_dry_gauge_could():
    """With it, less than half is missed in the half minute after the dry gauge saw the first, over many batches."""
    window = slice(70, 100)
    squares = [
        [np.mean(foretold(0.015, 60.0, pressure, 105, seed)[window] ** 2) for seed in range(12)]
        for pressure in (0.2, None)
    ]
    assert np.mean(squares[0]) < 0.25 * np.mean(squares[1])


def test_a_batch_that_does_nothing_to_the_pressure_is_foreseen_as_without_it():
    squares = [
        [np.mean(foretold(0.015, 150.0, pressure, 200, seed)[65:] ** 2) for seed in range(8)]
        for pressure in (0.0, None)
    ]
    assert np.mean(squares[0]) < 1.5 * np.mean(squares[1])


def test_nothing_is_foreseen_before_the_dry_gauge_sees_anything():
    """Pressure alone says when and how fast, never how much."""
    size = 0.015
    missed = foretold(size, 150.0, 0.3, 60)
    truth = np.array([size * of(150.0, t) for t in range(60)])
    np.testing.assert_allclose(missed, -truth, atol=3e-3)


def test_a_mirrored_batch_is_foreseen_mirrored():
    dry, other = course.begun(0.0, 1e-8, 0.015**2), course.begun(0.0, 1e-8, 0.015**2)
    for t in range(100):
        here = course.arrived(t)
        dry = course.seen(dry, 0.01 * of(90.0, t), here, RATE, NOISE2)
        other = course.seen(other, -0.01 * of(90.0, t), here, RATE, NOISE2)
        weight = course.likely(dry.told)
        np.testing.assert_array_equal(weight, course.likely(other.told))
        assert course.at(dry, weight, course.arrived(t + 60.0)) == -course.at(other, weight, course.arrived(t + 60.0))


def test_a_quiet_day_winds_nothing_up_and_a_step_is_followed_without_a_burst():
    """24 h of readings that say nothing new, ten minutes after a batch; then a step of 1 %."""
    known = course.begun(0.0, 1e-8, 0.015**2)
    for t in range(0, 86400, 2):
        known = course.seen(known, 0.0, course.arrived(600.0 + t), 2.0 * RATE, NOISE2)
    for covariance in (known.level2, known.size2):
        assert np.all(covariance >= 0.0) and covariance.max() <= 1.1 * 0.015**2
    assert np.all(np.abs(known.both) <= np.sqrt(known.level2 * known.size2) + 1e-12)
    assert np.all(np.isfinite(known.told))
    weight, here, believed = course.likely(known.told), course.arrived(9e4), []
    for _ in range(300):
        known = course.seen(known, 0.01, here, 2.0 * RATE, NOISE2)
        weight = course.likely(known.told)
        believed.append(course.at(known, weight, here))
    assert max(believed) < 0.0101 and believed[-1] > 0.0099
    assert np.all(np.diff(believed) > -1e-9)


def test_certainty_is_what_it_says():
    """Over many batches, what is missed has the variance that was foretold of it, within a factor of two."""
    squares, foreseen = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        size, length_s, level = rng.normal(0.0, 0.015), float(np.exp(rng.uniform(np.log(40.0), np.log(900.0)))), 0.0
        known = course.begun(0.0, 1e-8, 0.015**2)
        for t in range(1, 41):
            level += rng.normal(0.0, RATE**0.5)
            value = level + size * of(length_s, t) + rng.normal(0.0, NOISE2**0.5)
            known = course.seen(known, value, course.arrived(t), RATE, NOISE2)
        weight, then = course.likely(known.told), course.arrived(100.0)
        squares.append((course.at(known, weight, then) - level - size * of(length_s, 100.0)) ** 2)
        foreseen.append(course.doubt2(known, weight, then))
    assert 0.5 < np.mean(squares) / np.mean(foreseen) < 2.0
