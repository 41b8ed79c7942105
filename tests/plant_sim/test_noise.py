"""Random streams by name."""

import numpy as np
import pytest
from scipy import stats

from plant_sim.noise import TAPS, generator, normal, normals, smooth_normals, smooth_taps, stream, uniforms


def row(key, index, width, fill=normals):
    out = np.empty(width)
    fill(key, index, out)
    return out


def test_same_seed_and_name_same_bytes_in_any_order():
    key, again = stream(7, "a"), stream(7, "a")
    forward = [row(key, k, 5).tobytes() for k in range(600)]
    backward = [row(again, k, 5).tobytes() for k in reversed(range(600))]
    assert forward == backward[::-1] and len(set(forward)) == 600


@pytest.mark.parametrize("other", [stream(8, "a"), stream(7, "b"), stream(7, "a", 1)])
def test_other_seed_or_name_is_uncorrelated(other):
    mine, theirs = (np.concatenate([row(key, k, 400) for k in range(40)]) for key in (stream(7, "a"), other))
    assert abs(np.corrcoef(mine, theirs)[0, 1]) < 0.03


@pytest.mark.parametrize("width", [1, 2, 7, 400])
def test_normal_numbers_are_normal_within_and_along_rows(width):
    rows = np.array([row(stream(3, "n"), k, width) for k in range(80_000 // width)])
    assert stats.kstest(rows.reshape(-1), "norm").pvalue > 1e-3
    assert abs(np.corrcoef(rows[:-1].reshape(-1), rows[1:].reshape(-1))[0, 1]) < 0.015
    assert abs(np.corrcoef(rows.reshape(-1)[:-1], rows.reshape(-1)[1:])[0, 1]) < 0.015
    tails = np.abs(rows) > 3.0
    assert tails.mean() == pytest.approx(0.0027, rel=0.25)


def test_a_stream_of_one_is_a_row_of_one():
    assert [normal(stream(3, "n"), k) for k in range(50)] == [row(stream(3, "n"), k, 1)[0] for k in range(50)]


def test_uniform_numbers_are_uniform():
    drawn = np.concatenate([row(stream(1, "u"), k, 501, uniforms) for k in range(100)])
    assert drawn.min() >= 0.0 and drawn.max() < 1.0
    assert stats.kstest(drawn, "uniform").pvalue > 1e-3


def test_names_of_a_generator_are_ordered_words():
    draws = {generator(1, *names).random() for names in (("a", "b"), ("b", "a"), ("a",), ("a", 1), ("ab",))}
    assert len(draws) == 5


def test_smooth_noise_has_unit_variance_and_the_wanted_correlation():
    zones = np.arange(0.0, 40.0, 0.5)
    knots, first, weights = smooth_taps(zones, 3.0)
    assert first.min() == 0.0 and first.max() + TAPS == knots
    rows, heard, out = np.empty((6000, zones.size)), np.empty(knots), np.empty(zones.size)
    for k in range(len(rows)):
        smooth_normals(stream(3, "m"), k, first, weights.reshape(-1), heard, out)
        rows[k] = out
    assert rows.std(axis=0) == pytest.approx(1.0, abs=0.06)
    for apart in (1, 3, 6):
        correlation = np.mean(rows[:, 20:40] * rows[:, 20 + 2 * apart : 40 + 2 * apart])
        assert correlation == pytest.approx(np.exp(-((apart / 3.0) ** 2)), abs=0.05)
