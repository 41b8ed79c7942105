"""Pressure and wet gauge part; the dry gauge says who is to blame, and only as far as it surely does."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import blame
from controller.core.blame import Blame

SPEED_MPS = 1.0
DRY_M = 60.0
RATE, READING2 = 2.5e-8, 1e-8  # a percent in twenty minutes, and a hundredth


def run(bias, rheology, offset=lambda t: 0.0, seconds: int = 900, noise: float = 0.0, seed: int = 3) -> list[Blame]:
    """The wet gauge errs by `bias` (log, of a time in s) and the slurry's rheology moves by `rheology`.

    Dry minus wet is the bias' opposite and `offset`, a transport delay later. What is known in every second.
    """
    draws, told, before, told_by_second = np.random.default_rng(seed), blame.none(DRY_M, 0.5), None, []
    for t in range(seconds):
        apart = rheology(t) - bias(t)
        told = blame.parted(told, 0.0 if before is None else apart - before, float(t))
        before = apart
        at = t - DRY_M
        reading = offset(at) - bias(at) + noise * draws.standard_normal()
        told = blame.confirmed(told, reading, at, SPEED_MPS, RATE, READING2)
        told_by_second.append(told)
    return told_by_second


def ramp(t: float) -> float:
    """2 % within 400 s, from second 200 on."""
    return 0.02 * min(max((t - 200.0) / 400.0, 0.0), 1.0)


def test_a_ramp_of_the_bias_is_blamed_on_the_gauge_once_the_dry_gauge_has_seen_some_of_it():
    told = run(ramp, lambda t: 0.0, noise=1e-4)
    assert told[255].share == 0.0  # nobody can know yet
    assert told[400].share > 0.6
    assert told[600].share > 0.85
    assert told[599].bias == pytest.approx(-0.02, rel=0.15)  # though the dry gauge has seen 1.7 % of it


def test_rheology_that_drifts_is_no_bias():
    told = run(lambda t: 0.0, ramp, noise=1e-4)
    assert max(one.share for one in told) < 0.05


def test_what_else_moves_the_dry_gauge_is_blamed_on_nobody():
    told = run(lambda t: 0.0, lambda t: 0.0, offset=ramp, noise=1e-4)
    assert max(abs(one.bias) for one in told) < 1e-4


def test_both_at_once_share_the_blame():
    told = run(ramp, lambda t: -ramp(t), noise=1e-4)  # they part twice as fast as the bias moves
    assert told[-1].share == pytest.approx(0.5, abs=0.12)
    assert told[-1].bias == pytest.approx(-0.02, rel=0.25)


@given(st.integers(0, 10_000), st.floats(0.0, 3e-3), st.floats(0.0, 3e-3))
@settings(max_examples=60, deadline=None)
def test_two_wanderings_that_know_nothing_of_each_other_do_little_harm(seed, apart_sigma, reading_sigma):
    """Whatever chance makes of it, the share stays one and nobody is blamed for more than was there."""
    draws, told, apart, reading = np.random.default_rng(seed), blame.none(DRY_M, 0.5), 0.0, 0.0
    for t in range(400):
        step = apart_sigma * draws.standard_normal() / 8.0
        apart, reading = apart + step, reading + reading_sigma * draws.standard_normal() / 8.0
        told = blame.confirmed(blame.parted(told, step, float(t)), reading, t - DRY_M, SPEED_MPS, RATE, READING2)
        assert 0.0 <= told.share <= 1.0
        assert abs(told.bias) <= abs(told.apart) + 1e-12
    assert told.square >= 0.99 * blame.AT_FIRST2 * (1.0 - blame.KEPT)


def test_a_gap_in_the_readings_begins_the_comparison_anew_and_keeps_what_was_learnt():
    told = run(ramp, lambda t: 0.0)[-1]
    assert math.isnan(blame.then(told, told.at_m + 100.0))  # nobody has seen that metre
    assert blame.confirmed(told, 1.0, told.at_m + 100.0, SPEED_MPS, RATE, READING2) == told
    told = blame.parted(told, 0.0, told.at_m + 100.0)
    after = blame.confirmed(told, 1.0, told.at_m + 100.0, SPEED_MPS, RATE, READING2)
    assert after.past == ()
    assert after.share == told.share
