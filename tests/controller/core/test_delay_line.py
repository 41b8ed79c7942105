"""The memory along the web, against a plain dictionary of every sample ever passed."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.delay_line import DelayLine


class Oracle:
    """What a delay line should answer, with a dictionary and np.interp. Forgets all when the web jumps or goes far."""

    def __init__(self, rows: int, step_m: float) -> None:
        self.rows, self.step_m, self.kept = rows, step_m, {}

    def push(self, web_m: float, value: float) -> None:
        sample = math.floor(web_m / self.step_m)
        newest = max(self.kept, default=None)
        if newest is not None and newest - 5 <= sample <= newest:
            return
        if newest is None or sample < newest or sample >= newest + self.rows:
            self.kept = {sample: value}
            return
        for passed in range(newest + 1, sample + 1):
            self.kept[passed] = value
        self.kept = {key: kept for key, kept in self.kept.items() if key > sample - self.rows}

    def at(self, web_m: float) -> float | None:
        if not self.kept:
            return None
        samples = sorted(self.kept)
        return float(np.interp(web_m / self.step_m, samples, [self.kept[sample] for sample in samples]))


moves_m = st.one_of(
    st.floats(0.0, 0.4),  # a standing or creeping web
    st.floats(0.0, 3.0),  # several samples at once
    st.sampled_from([-1.0, -0.01, 8.0, 1000.0, -1000.0]),  # the encoder was reset, or jumped
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(moves_m, st.floats(-1e3, 1e3)), min_size=1, max_size=40),
    st.floats(-12.0, 2.0),
    st.sampled_from([0.1, 0.21, 0.5]),
    st.floats(-50.0, 50.0),
)
def test_it_answers_as_a_dictionary_does(moves, back_m, step_m, web_m):
    line = DelayLine.spanning(5.0, 2, step_m)
    oracle = Oracle(line.rows, step_m)
    for move_m, value in moves:
        web_m += move_m
        line = line.push(web_m, np.array([value, -2.0 * value]))
        oracle.push(web_m, value)
        row, expected = line.at(web_m + back_m), oracle.at(web_m + back_m)
        assert row is not None
        position = (web_m + back_m) / step_m
        assert line.holds(web_m + back_m) == (min(oracle.kept) <= position <= max(oracle.kept) + 1)
        np.testing.assert_allclose(row, [expected, -2.0 * expected], rtol=1e-9, atol=1e-6)


def test_nothing_is_known_before_the_first_push():
    line = DelayLine.spanning(5.0, 3, 0.1)
    assert line.at(0.0) is None
    assert not line.holds(0.0)


@pytest.mark.parametrize("speeds_mps", [[1.0] * 100, [0.5] * 200, [1.0] * 40 + [0.25] * 100 + [1.5] * 30, [2.5] * 40])
def test_what_lies_three_metres_back_does_not_depend_on_the_speed_on_the_way(speeds_mps):
    """Each metre carries its own position; after any speed profile the row 3 m back is that of 3 m back."""
    line, web_m = DelayLine.spanning(6.0, 1, 0.1), 0.0
    for speed_mps in speeds_mps:
        web_m += 0.1 * speed_mps
        line = line.push(web_m, np.array([web_m]))
    seen = line.at(web_m - 3.0)
    assert seen is not None
    assert seen[0] == pytest.approx(web_m - 3.0, abs=0.25)  # one sample, and one cycle at the fastest web


def test_a_standing_web_changes_nothing():
    line = DelayLine.spanning(5.0, 1, 0.1).push(2.05, np.array([1.0]))
    assert line.push(2.06, np.array([9.0])) is line


def test_push_leaves_the_old_line_as_it_was():
    old = DelayLine.spanning(5.0, 1, 0.1).push(1.0, np.array([1.0]))
    new = old.push(2.0, np.array([2.0]))
    np.testing.assert_allclose(old.at(2.0), [1.0])
    np.testing.assert_allclose(new.at(2.0), [2.0])


def test_before_its_tail_it_answers_with_the_oldest_row():
    line = DelayLine.spanning(2.0, 1, 0.1)
    for sample in range(200):
        line = line.push(0.1 * sample + 0.05, np.array([float(sample)]))
    rows = line.rows
    np.testing.assert_allclose(line.at(-100.0), [200.0 - rows])
    assert rows * 0.1 >= 2.0 + 0.1


def test_an_encoder_that_goes_back_empties_it():
    line = DelayLine.spanning(5.0, 1, 0.1)
    for sample in range(40):
        line = line.push(0.1 * sample, np.array([1.0]))
    line = line.push(0.0, np.array([7.0]))
    np.testing.assert_allclose(line.at(-3.0), [7.0])
    assert not line.holds(-0.2)


@pytest.mark.parametrize(("web_m", "inside"), [(9.99, True), (10.05, True), (10.11, False), (9.0, False), (9.51, True)])
def test_it_knows_what_it_holds(web_m, inside):
    line = DelayLine.spanning(20.0, 1, 0.1).push(9.51, np.array([1.0]))
    for web in np.arange(9.55, 10.001, 0.05):
        line = line.push(float(web), np.array([1.0]))
    assert line.holds(web_m) is inside
