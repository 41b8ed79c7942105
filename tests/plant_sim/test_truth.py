"""The true line: right when the description is right, different in every seed, as hard as stated."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plant_sim.truth import RANGES, Truth
from tests.plant_sim.lines_for_tests import make_line

LINE = make_line()
SIZES = {
    "slow_cd_pct": "slow_cd",
    "fast_cd_pct": "fast_cd",
    "white_cd_pct": "white_cd",
    "slip_pct": "slip",
    "solids_pct": "solids",
}
PHYSICS = {
    "static_pct": (1.0, 3.0),
    "slow_cd_pct": (0.4, 1.0),
    "slow_cd_min": (10.0, 40.0),
    "fast_cd_pct": (0.05, 0.25),
    "fast_cd_min": (1.0, 5.0),
    "cd_zones": (2.0, 4.0),
    "white_cd_pct": (0.03, 0.1),
    "slip_pct": (0.2, 0.8),
    "slip_min": (3.0, 20.0),
    "solids_pct": (0.2, 0.6),
    "solids_min": (10.0, 40.0),
    "pulsation_pct": (0.05, 0.4),
    "wet_bias_pct": (0.3, 1.0),
}


@pytest.mark.parametrize("name", PHYSICS)
def test_ranges_are_those_of_the_stated_difficulty(name):
    """Numbers restated by hand."""
    low, high = PHYSICS[name]
    assert low <= RANGES[name][0] < RANGES[name][1] <= high


def test_a_nominal_line_is_what_its_description_says():
    truth = Truth.nominal(LINE)
    assert truth.die.lip_length_m == pytest.approx(0.4 * sum_of_lengths(truth), rel=0.02)
    assert not truth.unevenness_um.any()
    assert truth.pump_offset == truth.solids_offset == 0.0
    assert truth.drifts.slow_cd == truth.drifts.slip == truth.pump.pulsation == 0.0
    assert truth.wet is not None and truth.wet.noise == truth.wet.bias_box == 0.0
    assert len({(b.flow_index, b.density_kgm3, b.solids_fraction) for b in truth.batches}) == 1
    assert truth.batches[0].flow_index == 0.6
    assert truth.batches[0].density_kgm3 == pytest.approx(1730.0)


def sum_of_lengths(truth):
    """Lengths as if every section had the lip's gap: shares of the pressure drop."""
    gap = truth.die.gap_nominal_m
    return truth.die.lip_length_m + sum(s.length_m * (gap / s.gap_m) ** 2.2 for s in truth.die.fixed)


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_sizes_are_drawn_within_their_ranges(seed):
    truth = Truth.draw(LINE, seed)
    for name, attribute in SIZES.items():
        low, high = RANGES[name]
        assert low <= 100.0 * getattr(truth.drifts, attribute) <= high
    static_pct = 100.0 * truth.unevenness_um.std() * (2.0 + 1.0 / 0.6) * 0.4 / 600.0
    assert RANGES["static_pct"][0] - 1e-9 <= static_pct <= RANGES["static_pct"][1] + 1e-9
    offset_pct = 100.0 * abs(truth.pump_offset + truth.solids_offset)
    assert RANGES["offset_pct"][0] <= offset_pct <= RANGES["offset_pct"][1]
    assert truth.wet is not None and truth.dry is not None
    assert 0.2 <= 100.0 * truth.wet.noise <= 0.8 and 0.15 <= 100.0 * truth.dry.noise <= 0.5


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_batches_step_by_the_drawn_size_and_stay_near_the_recipe(seed):
    mass = np.array([batch.solids_kgm3 for batch in Truth.draw(LINE, seed).batches])
    steps_pct = 100.0 * np.abs(np.diff(mass)) / mass[0]
    assert steps_pct.min() > 0.85 and steps_pct.max() < 1.7
    assert np.abs(mass / mass[0] - 1.0).max() < 0.017


def test_lip_response_translates_rigidly_and_its_bolts_differ():
    truth = Truth.draw(LINE, 3)
    np.testing.assert_allclose(truth.lip_response.sum(axis=1), 1.0, rtol=1e-12)
    gains = truth.lip_response.sum(axis=0)[3:-3]
    assert 0.03 < gains.std() / gains.mean() < 0.12


def test_same_seed_same_truth_other_seed_other_truth():
    one, two, other = (Truth.draw(LINE, seed) for seed in (5, 5, 6))
    assert one.unevenness_um.tobytes() == two.unevenness_um.tobytes() != other.unevenness_um.tobytes()
    assert one.lip_response.tobytes() == two.lip_response.tobytes()
    assert one.batches == two.batches and one.drifts == two.drifts != other.drifts


@pytest.mark.parametrize(("zones", "lanes_per_zone"), [(8, 4), (16, 6), (120, 2)])
def test_any_number_of_zones(zones, lanes_per_zone):
    truth = Truth.draw(make_line(zones), 1, lanes_per_zone=lanes_per_zone)
    assert truth.lanes == zones * lanes_per_zone
    assert truth.lip_response.shape == (truth.lanes, zones)
    assert truth.lanes_mm[0] == pytest.approx(-truth.lanes_mm[-1])
