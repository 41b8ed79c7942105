"""A batch's front is foreseen from its beginning, whatever its length; a batch that changes nothing is left alone."""

import numpy as np
import pytest

from controller.core import front

RATE, VARIANCE = 2e-8, 1e-8  # of the usual drift of solids, and of the level as it is known, log^2


def told(size: float, length_s: float, seconds: int, seed: int = 1, onset_m: float = 100.0) -> tuple[front.Front, list]:
    """A dry gauge 60 s behind the die watches a front go by at 1 m/s; returns what was foreseen and what came."""
    rng, drift, known, foreseen = np.random.default_rng(seed), 0.0, front.none(), []
    known = front.announced(known, 1, 0.0)
    for t in range(seconds):
        if t == int(onset_m):
            known = front.announced(known, 2, float(t))
        drift += rng.normal(0.0, RATE**0.5)
        at = t - 60.0
        level = drift + size * float(front.share(np.array([length_s]), at - onset_m)[0])
        known = front.seen(known, at, level + rng.normal(0.0, VARIANCE**0.5), VARIANCE, RATE, 1.0)
        now = size * float(front.share(np.array([length_s]), t - onset_m)[0])
        before = size * float(front.share(np.array([length_s]), at - onset_m)[0])
        foreseen.append((front.to_come(known, at, float(t), 1.0), now - before))
    return known, foreseen


@pytest.mark.parametrize("length_s", [60.0, 120.0, 300.0, 900.0])
@pytest.mark.parametrize("size", [0.015, -0.01])
def test_most_of_what_is_to_come_is_foreseen_once_the_front_has_begun(size, length_s):
    """From half a minute after the dry gauge first sees it, less of the rest is a surprise than without foresight."""
    pairs = np.array(told(size, length_s, 900)[1])[100 + 60 + 30 :]
    surprise = np.sqrt(np.mean((pairs[:, 0] - pairs[:, 1]) ** 2))
    assert surprise < max(0.75 * np.sqrt(np.mean(pairs[:, 1] ** 2)), 6e-4)


def test_nothing_is_foreseen_before_the_dry_gauge_sees_anything():
    _, pairs = told(0.015, 120.0, 160)
    assert all(foreseen == 0.0 for foreseen, _ in pairs)


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_that_changes_nothing_is_left_alone(seed):
    pairs = np.array(told(0.0, 120.0, 900, seed)[1])
    assert np.sqrt(np.mean(pairs[:, 0] ** 2)) < 0.001  # the solids' own drift, taken for a front


def test_the_first_name_of_a_batch_is_nothing_new_and_the_same_name_neither():
    first = front.announced(front.none(), 7, 50.0)
    assert np.isnan(first.onset_m)
    assert front.announced(first, 7, 60.0) is first
    assert front.announced(first, 8, 70.0).onset_m == 70.0


def test_a_front_by_hand():
    """Two tanks: after a fifth of its length, 1 - 2/e of it is there; after all of it, 96 %."""
    assert front.share(np.array([100.0]), 20.0)[0] == pytest.approx(1.0 - 2.0 / np.e)
    assert front.share(np.array([100.0]), 100.0)[0] == pytest.approx(0.96, abs=0.001)
    assert front.share(np.array([100.0]), -5.0)[0] == 0.0


def test_ahead_of_a_front_nobody_saw_yet_anything_of_a_usual_size_may_come():
    known = front.announced(front.announced(front.none(), 1, 0.0), 2, 100.0)
    assert front.ahead(known, 40.0, 100.0, 1.0) == (0.0, 0.0)
    spread = [front.ahead(known, 40.0, 100.0 + since, 1.0) for since in (1.0, 10.0, 60.0, 600.0)]
    assert all(guess == 0.0 for guess, _ in spread)
    variance = np.array([each for _, each in spread])
    assert np.all(np.diff(variance) > 0.0)
    usual = np.mean(front.share(front.LENGTHS_S, 60.0) ** 2) * front.USUAL_LOG**2
    assert variance[2] == pytest.approx(usual)
    assert front.ahead(front.none(), 40.0, 100.0, 1.0) == (0.0, 0.0)


def test_ahead_of_a_front_that_is_seen_the_guess_is_what_is_to_come_and_grows_sure():
    known, _ = told(0.015, 120.0, 300)
    guess, variance = front.ahead(known, 239.0, 299.0, 1.0)
    assert guess == pytest.approx(front.to_come(known, 239.0, 299.0, 1.0))
    assert variance < 0.1 * np.mean(front.share(front.LENGTHS_S, 60.0) ** 2) * front.USUAL_LOG**2


def test_the_spread_of_what_is_ahead_is_as_wide_as_it_says():
    """Sizes and lengths as usual, seen for a minute; a minute more is foreseen."""
    rng, missed = np.random.default_rng(3), []
    for seed in range(150):
        size, length = rng.normal(0.0, front.USUAL_LOG), rng.choice(front.LENGTHS_S)
        known, _ = told(size, float(length), 220, seed)
        guess, variance = front.ahead(known, 159.0, 219.0, 1.0)
        shares = [float(front.share(np.array([length]), since)[0]) for since in (59.0, 119.0)]
        missed.append((size * (shares[1] - shares[0]) - guess) / np.sqrt(variance))
    assert 0.7 < np.sqrt(np.mean(np.square(missed))) < 1.3
