"""How near the envelope comes to a wish: its parts against slow ones that try everything, or mend bolt by bolt.

tests/controller/core/test_envelope.py holds that no limit is broken; here, that a wish loses no more than it must.
"""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core import envelope
from controller.core.envelope import Applied, Envelope, certify
from controller.line.command import Limit, UncertifiedCommand
from controller.line.description import LipLimits

NO_BOUND = 10_000


def counts(low: int = -NO_BOUND, high: int = NO_BOUND, neighbour: int = NO_BOUND, bend: int = NO_BOUND):
    return envelope._Counts(low=low, high=high, neighbour=neighbour, bend=bend)


def beyond(value: float, limit: float) -> float:
    """By how much `value` is outside +-limit, with its sign."""
    return value - limit if value > limit else value + limit if value < -limit else 0.0


lips_counts = st.lists(st.integers(-60, 60).map(float), min_size=2, max_size=9)


@given(lips_counts, st.integers(0, 12), st.integers(0, 12))
def test_projections_mend_disjoint_pairs_and_triples_one_by_one(gap, neighbour, bend):
    limits = counts(-40, 40, neighbour, bend)
    expected = list(gap)
    for _ in range(envelope.SWEEPS):
        for start in (0, 1):
            for i in range(start, len(expected) - 1, 2):
                half = beyond(expected[i + 1] - expected[i], neighbour) / 2.0
                expected[i] += half
                expected[i + 1] -= half
        for start in (0, 1, 2):
            for i in range(start, len(expected) - 2, 3):
                sixth = beyond(expected[i] - 2.0 * expected[i + 1] + expected[i + 2], bend) / 6.0
                expected[i] -= sixth
                expected[i + 1] += 2.0 * sixth
                expected[i + 2] -= sixth
        expected = [min(max(x, -40.0), 40.0) for x in expected]
    given_gap = np.array(gap)
    np.testing.assert_allclose(envelope._project(limits, given_gap, neighbour, bend), expected, atol=1e-9)
    assert given_gap.tolist() == gap  # what was asked for stays as it was


@given(st.floats(-50.0, 50.0), st.integers(0, 20))
def test_an_excess_is_what_lies_beyond_either_side(value, limit):
    assert envelope._excess(np.array([value]), limit)[0] == pytest.approx(beyond(value, limit))


small = st.integers(-24, 24).map(lambda quarters: quarters / 4.0)  # quarters: on the grid, halfway, and between


@given(st.data(), st.integers(2, 6))
def test_no_rounding_within_the_bounds_comes_nearer(data, zones):
    """Against all of them."""
    point = np.array(data.draw(st.lists(small, min_size=zones, max_size=zones)))
    target = np.array(data.draw(st.lists(st.integers(-8, 8).map(float), min_size=zones, max_size=zones)))

    def bounds(order):
        middle = np.diff(point, n=order).round()
        width = data.draw(st.lists(st.integers(0, 2), min_size=middle.size, max_size=middle.size))
        return (middle - width).tolist(), (middle + width).tolist()

    slopes, bends = bounds(1), bounds(2)
    found = envelope._round_within(point, target, slopes, bends)
    fitting = [
        rounded
        for rounded in itertools.product(*({math.floor(x), math.ceil(x)} for x in point.tolist()))
        if (slopes[0] <= np.diff(rounded)).all()
        and (np.diff(rounded) <= slopes[1]).all()
        and (bends[0] <= np.diff(rounded, n=2)).all()
        and (np.diff(rounded, n=2) <= bends[1]).all()
    ]
    if found is None:
        assert not fitting
        return
    assert tuple(found) in fitting
    assert np.abs(target - found).sum() == min(np.abs(target - rounded).sum() for rounded in fitting)


def test_a_point_a_hair_off_the_grid_is_on_it():
    free = ([-9.0], [9.0])
    for hair in (0.0, 5e-10, -5e-10):
        point = np.array([3.0 + hair, 7.0 - hair])
        for goal in (-50.0, 50.0):
            assert envelope._round_within(point, np.array([goal, goal]), free, ([], [])) == [3.0, 7.0]


@pytest.mark.parametrize(
    ("goal", "limits", "expected", "bound"),
    [
        ([0.0, 4.0], counts(neighbour=4), [0.0, 4.0], []),
        ([0.0, 5.0], counts(neighbour=4), [1.0, 5.0], [Limit.NEIGHBOUR]),  # halves go up
        ([0.0, 3.0, 0.0], counts(bend=6), [0.0, 3.0, 0.0], []),
        ([0.0, 4.0, 0.0], counts(bend=6), [1.0, 3.0, 1.0], [Limit.BEND]),
        ([0.0, 12.0, 0.0], counts(neighbour=4, bend=6), [4.0, 5.0, 2.0], [Limit.NEIGHBOUR, Limit.BEND]),
        ([0.0, 9.0], counts(neighbour=0), [5.0, 5.0], [Limit.NEIGHBOUR]),
        ([-3.0, 3.0, -3.0], counts(bend=0), [-1.0, -1.0, -1.0], [Limit.BEND]),
        ([7.0], counts(neighbour=0, bend=0), [7.0], []),
    ],
)
def test_the_point_that_neighbour_and_bend_allow_by_hand(goal, limits, expected, bound):
    target, found = envelope._target(limits, np.array(goal), np.array(goal))
    assert (np.round(target, 9).tolist(), found) == (expected, bound)


@pytest.mark.parametrize(
    ("last", "target", "step", "limits", "expected", "bound"),
    [
        ([0.0, 0.0], [3.0, -2.0], 3.0, counts(), [3.0, -2.0], []),
        ([0.0, 0.0], [5.0, -2.0], 3.0, counts(), [3.0, -2.0], [Limit.RATE]),
        ([0.0, 0.0], [0.0, 0.0], 3.0, counts(), [0.0, 0.0], []),
        ([0.0, 0.0, 0.0], [2.0, 4.0, 6.0], 4.0, counts(bend=0), [2.0, 3.0, 4.0], [Limit.RATE, Limit.BEND]),
        ([0.0, 0.0, 0.0], [2.0, 1.0, 0.0], 1.0, counts(bend=1), [1.0, 1.0, 0.0], [Limit.RATE]),
        ([0.0, 4.0, 0.0], [0.0, 0.0, 0.0], 1.0, counts(bend=2), [0.0, 3.0, 0.0], [Limit.RATE]),
    ],
)
def test_a_walk_by_hand(last, target, step, limits, expected, bound):
    point, found = envelope._walk(limits, np.array(last), np.array(target), step)
    assert (point.tolist(), found) == (expected, bound)


LIPS = LipLimits(
    gap_min_um=480.0,
    gap_max_um=720.0,
    rate_um_per_s=5.0,
    resolution_um=0.2,
    backlash_um=0.5,
    neighbour_max_um=50.0,
    bend_max_um=70.0,
    command_step_um=0.1,
)
STANDS = [600.0, 600.0, 600.0, 600.0]


@pytest.mark.parametrize(
    ("wish", "last", "expected", "limits", "zones"),
    [
        ([600.3, 600.0, 600.0, 600.0], STANDS, [600.3, 600.0, 600.0, 600.0], (), 0),
        ([600.04, 600.0, 600.0, 600.0], STANDS, STANDS, (), 0),
        ([601.0, 600.0, 599.0, 600.0], STANDS, [600.5, 600.0, 599.5, 600.0], (Limit.RATE,), 2),
        ([math.nan, 601.0, 600.0, 600.0], STANDS, STANDS, (Limit.FINITE,), 0),
        ([math.inf, 601.0, 600.0, 600.0], STANDS, STANDS, (Limit.FINITE,), 0),
        ([480.0 - 0.3] * 4, [480.2] * 4, [480.0] * 4, (Limit.RANGE,), 4),
        ([720.0 + 0.3] * 4, [719.8] * 4, [720.0] * 4, (Limit.RANGE,), 4),
        ([1e9] * 4, [719.8] * 4, [720.0] * 4, (Limit.RANGE,), 4),
        ([-1e9] * 4, [480.2] * 4, [480.0] * 4, (Limit.RANGE,), 4),
        ([600.0] * 4, [math.nan, 600.0, 600.0, 600.0], [600.0] * 4, (), 0),
        ([600.0] * 4, [math.inf, 600.0, 600.0, 600.0], [600.0] * 4, (), 0),
        ([600.0, 601.0, 601.0, 601.0], [math.nan, 601.0, 601.0, 601.0], [600.0, 601.0, 601.0, 601.0], (), 0),
        ([480.0 - 0.04] * 4, [480.0] * 4, [480.0] * 4, (Limit.RANGE,), 0),
        ([600.6, 600.0, 600.0, 600.0], STANDS, [600.5, 600.0, 600.0, 600.0], (Limit.RATE,), 1),
    ],
)
def test_a_command_its_limits_and_the_zones_they_changed_by_hand(wish, last, expected, limits, zones):
    made = Envelope(LIPS, trim_max_pct=8.0, trim_rate_pct_per_s=0.5, ratio_rpm_per_mps=112.0)
    asked = UncertifiedCommand(np.array(wish), 112.0, 0.0)
    command, touched, changed = certify(made, asked, Applied(np.array(last), 112.0, 0.0), 0.1, 3)
    np.testing.assert_allclose(command.gap_um, expected, atol=1e-9)
    assert (touched, changed) == (limits, zones)


def test_after_no_end_of_time_a_command_is_where_it_was_wished():
    made = Envelope(LIPS, trim_max_pct=8.0, trim_rate_pct_per_s=0.5, ratio_rpm_per_mps=112.0)
    asked = UncertifiedCommand(np.array([605.0, 605.0, 600.0, 595.0]), 112.0, 3.0)
    command, touched, _ = certify(made, asked, Applied(np.array(STANDS), 112.0, 0.0), math.inf, 3)
    np.testing.assert_allclose(command.gap_um, asked.gap_um)
    assert touched == ()


@pytest.mark.parametrize(
    ("asked", "last", "dt_s", "trim", "limits"),
    [
        ((112.0, 0.05), (112.0, 0.0), 0.1, 0.05, ()),
        ((112.0, 0.051), (112.0, 0.0), 0.1, 0.05, (Limit.PUMP_RATE,)),
        ((112.0, -0.2), (112.0, 0.0), 0.1, -0.05, (Limit.PUMP_RATE,)),
        ((112.0, 8.01), (112.0, 7.99), 0.1, 8.0, (Limit.PUMP_RANGE,)),
        ((112.0, -8.01), (112.0, -7.99), 0.1, -8.0, (Limit.PUMP_RANGE,)),
        ((113.0, 0.0), (112.0, 0.0), 0.1, 0.0, (Limit.PUMP_RANGE,)),
        ((math.nan, 1.0), (112.0, 0.5), 0.1, 0.5, (Limit.FINITE,)),
        ((112.0, math.inf), (112.0, 0.5), 0.1, 0.5, (Limit.FINITE,)),
        ((112.0, 0.01), (112.0, math.nan), 0.1, 0.01, ()),
        ((112.0, 0.01), (112.0, 0.0), -1.0, 0.0, (Limit.PUMP_RATE,)),
        ((112.0, 0.0104), (112.0, 0.0), 1.0, 0.01, ()),
        ((112.0, 0.0106), (112.0, 0.0), 1.0, 0.011, ()),
    ],
)
def test_a_trim_by_hand(asked, last, dt_s, trim, limits):
    made = Envelope(LIPS, trim_max_pct=8.0, trim_rate_pct_per_s=0.5, ratio_rpm_per_mps=112.0)
    lips = np.full(4, 600.0)
    command, touched, _ = certify(made, UncertifiedCommand(lips, *asked), Applied(lips, *last), dt_s, 3)
    assert command.pump_trim_pct == pytest.approx(trim, abs=1e-9)
    assert (command.pump_ratio_rpm_per_mps, touched) == (112.0, limits)
