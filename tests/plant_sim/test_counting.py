"""Counting noise: formula, optimum, and drawn counts that agree with it."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import counting


@pytest.mark.parametrize(("depth", "percent"), [(0.5, 0.257), (1.0, 0.165), (2.0, 0.136), (3.0, 0.149)])
def test_noise_at_a_million_counts(depth, percent):
    assert 100.0 * counting.relative_noise(depth, 1e6) == pytest.approx(percent, abs=5e-4)


@given(st.floats(0.05, 10.0), st.floats(1e3, 1e9))
def test_nothing_is_better_than_depth_two(depth, counts):
    assert counting.relative_noise(depth, counts) >= counting.relative_noise(counting.BEST_DEPTH, counts)


@given(st.floats(0.2, 6.0), st.floats(1e-4, 1e-2))
def test_counts_needed_give_the_wanted_noise(depth, wanted):
    assert counting.relative_noise(depth, counting.counts_needed(depth, wanted)) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("depth", [0.5, 2.0, 3.0])
def test_spread_of_drawn_readings_passes_a_chi_square_test(depth):
    """(n-1) s^2/sigma^2 within 4.5 sigma of chi square: n - 1 +- 4.5 sqrt(2n)."""
    n, true = 20_000, 180.0
    readings = counting.readings_gsm(np.full(n, true), depth / true, 1e6, np.random.default_rng(7))
    chi_square = (n - 1) * readings.var() / (true * counting.relative_noise(depth, 1e6)) ** 2
    assert abs(chi_square - (n - 1)) < 4.5 * math.sqrt(2.0 * n)
    assert readings.mean() == pytest.approx(true, rel=1e-4)


def test_without_a_count_there_is_no_reading():
    assert np.isnan(counting.readings_gsm(np.array([1e4]), 0.1, 1e6, np.random.default_rng(1))).all()
