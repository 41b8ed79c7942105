"""Manifold oracles, the split of flow, and the local gain of the lip."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import die as slot_die
from plant_sim.slurry import Slurry

H, L, W, LANES = 0.6e-3, 0.040, 0.35, 160
FLAT = np.zeros(LANES)


def make_die(lip_share=0.4, flow_index=0.6, radius_m=0.017):
    position = np.abs(((np.arange(LANES) + 0.5) / LANES - 0.5) * 2.0)
    return slot_die.build(1.0, H, lip_share, flow_index, radius_m, position)


def slurry(n=0.6, k=12.0):
    return Slurry(k, n, 1730.0, 0.58)


def share(die, gap_um, n=0.6, k=12.0):
    return slot_die.split(slot_die.slot(die, slurry(n, k)), gap_um, FLAT).share


@pytest.mark.parametrize(("radius_mm", "ratio"), [(8, 0.98311), (10, 0.99302), (12, 0.99662), (15, 0.99862)])
def test_newtonian_manifold(radius_mm, ratio):
    resistance = L / H**3
    profile = slot_die.manifold_profile(1.0, W, radius_mm * 1e-3, resistance)
    assert profile[-1] / profile[0] == pytest.approx(ratio, abs=1e-5)
    m = slot_die.newtonian_droop_rate_per_m(H, radius_mm * 1e-3, L)
    assert profile[-1] / profile[0] == pytest.approx(1.0 / math.cosh(m * W), abs=1e-6)


@pytest.mark.parametrize(("n", "ratio"), [(0.8, 0.98943), (0.6, 0.96455), (0.5, 0.93283), (0.4, 0.86926)])
def test_power_law_manifold(n, ratio):
    """Neither K nor Q is among the arguments: they cancel, as physics says."""
    profile = slot_die.manifold_profile(n, W, 0.012, L / H ** (2 * n + 1))
    assert profile[-1] / profile[0] == pytest.approx(ratio, abs=2e-5)


def test_die_is_flat_for_its_own_slurry_and_not_for_another():
    die = make_die()
    even = np.full(LANES, 600.0)
    assert np.ptp(share(die, even)) < 1e-12
    thinner = share(die, even, n=0.5)
    assert thinner[0] < thinner[LANES // 2] - 1e-3


@given(st.floats(3.0, 30.0), st.integers(0, 2**31))
def test_consistency_changes_no_profile(k, seed):
    gap = 600.0 + 20.0 * np.random.default_rng(seed).standard_normal(LANES)
    np.testing.assert_allclose(share(make_die(), gap, k=k), share(make_die(), gap, k=12.0), rtol=1e-12)


@pytest.mark.parametrize("n", [0.45, 0.6, 0.8])
@pytest.mark.parametrize("lip_share", [0.2, 0.4, 1.0])
def test_local_gain(n, lip_share):
    """dq/q = (2 + 1/n) f_lip (dH/H - mean(dH/H))."""
    die = make_die(lip_share, n)
    move = np.zeros(LANES)
    move[70:74] = 0.01
    got = (share(die, 600.0 + move, n) - share(die, 600.0 - move, n)) / 2.0
    expected = (2.0 + 1.0 / n) * lip_share * (move - move.mean()) / 600.0
    np.testing.assert_allclose(got, expected, atol=1e-4 * np.abs(expected).max())


def test_one_micrometre_at_full_lip_share_is_0_61_percent():
    move = np.zeros(LANES)
    move[0] = 1.0
    assert share(make_die(1.0), 600.0 + move)[0] - 1.0 == pytest.approx(0.0061, abs=1e-4)


@given(st.integers(0, 2**31), st.floats(-60.0, 60.0))
def test_split_is_normalised_and_a_common_move_leaves_the_mean(seed, common):
    gap = 600.0 + 10.0 * np.random.default_rng(seed).standard_normal(LANES)
    for moved in (gap, gap + common):
        shares = share(make_die(), moved)
        assert shares.mean() == pytest.approx(1.0, abs=1e-12)
        assert shares.min() > 0.0


@given(st.integers(0, 2**31))
def test_mirrored_lips_give_a_mirrored_profile(seed):
    gap = 600.0 + 20.0 * np.random.default_rng(seed).standard_normal(LANES)
    np.testing.assert_allclose(share(make_die(), gap[::-1]), share(make_die(), gap)[::-1], rtol=1e-12)


def test_pressure_of_an_even_slot_is_that_of_sections_in_series():
    die = make_die(1.0)
    split = slot_die.split(slot_die.slot(die, slurry(k=10.0)), np.full(LANES, 600.0), FLAT)
    assert split.pressure_pa(1.5e-4) == pytest.approx(164_434.5, rel=1e-6)
    assert split.pressure_pa(-1.0) == 0.0
