"""How fast a line drifts is found from how far the belief of it moves; before that, lines at large are believed."""

import numpy as np
import pytest

from controller.core import kalman, wander
from controller.core.statistics import Noise

NOISE = Noise(np.full(9, 1e-2), np.append(np.full(8, 4.5e-7), 9e-8), np.append(np.full(8, 7e-6), 3e-7))
PASS_S, PASSES_A_STRETCH = 5.0, 6


def watched(faster: tuple[float, float], passes: int, seed: int) -> np.ndarray:
    """The scale found on a line whose shapes and mean drift so much faster than NOISE says, (2,)."""
    rng, bank, known = np.random.default_rng(seed), kalman.start(NOISE), wander.none(9)
    rate = NOISE.rate * np.append(np.full(8, faster[0]), faster[1])
    truth = np.zeros(9)
    for number in range(passes):
        truth = truth + rng.normal(0.0, np.sqrt(rate * PASS_S))
        bank = kalman.corrected(bank, NOISE, truth + rng.normal(0.0, np.sqrt(NOISE.reading)), PASS_S)
        if number == wander.SETTLED_PASSES:
            known = wander.begun(known, bank, number * PASS_S)
        elif number > wander.SETTLED_PASSES and (number - wander.SETTLED_PASSES) % PASSES_A_STRETCH == 0:
            known = wander.passed(known, bank, NOISE.rate, number * PASS_S, PASSES_A_STRETCH * PASS_S)
    return wander.scale(known)


def test_the_mean_of_lines_at_large_is_that_of_lines_drawn_from_the_range():
    rng = np.random.default_rng(1)
    low, high = 1.0 - wander.LINES_DIFFER, 1.0 + wander.LINES_DIFFER
    rates = rng.uniform(low, high, 400_000) ** 2 / rng.uniform(low, high, 400_000)
    np.testing.assert_allclose(wander.USUAL, rates.mean(), rtol=0.01)
    np.testing.assert_allclose(wander.USUAL2, np.mean(rates**2), rtol=0.02)


def test_before_a_stretch_has_passed_a_line_drifts_as_lines_at_large_do():
    np.testing.assert_allclose(wander.scale(wander.none(9)), wander.USUAL)
    np.testing.assert_allclose(watched((1.0, 1.0), wander.SETTLED_PASSES + 2, 1), wander.USUAL)


@pytest.mark.parametrize("faster", [(1.0, 1.0), (1.0, 4.0), (0.5, 0.5), (3.0, 1.0)])
def test_a_line_that_drifts_faster_or_slower_is_found_out_shapes_and_mean_apart(faster):
    found = np.mean([watched(faster, 600, seed) for seed in range(12)], axis=0)
    np.testing.assert_array_less(np.abs(np.log(found / faster)), np.log(1.5))


def test_what_a_batch_is_known_to_have_added_is_no_drift():
    bank = kalman.start(NOISE)
    begun = wander.begun(wander.none(9), bank._replace(variance=np.full(9, 1e-6)), 0.0)
    moved = bank._replace(mean=np.append(np.zeros(8), 0.01), variance=np.full(9, 1e-6))
    told = [wander.scale(wander.passed(begun, moved, NOISE.rate, 30.0, 30.0, front))[1] for front in (0.0, 0.01)]
    assert told[1] < wander.USUAL < 5.0 < told[0]
