"""Random streams by name."""

import numpy as np
import pytest

from plant_sim.noise import BLOCK_ROWS, Law, NoiseStream, generator, smooth_mix


def test_same_seed_and_name_same_bytes():
    one, two = NoiseStream(7, "a", 5), NoiseStream(7, "a", 5)
    for k in (0, 3, BLOCK_ROWS, 3, 5 * BLOCK_ROWS + 1):
        assert one.row(k).tobytes() == two.row(k).tobytes()


def test_rows_do_not_depend_on_the_order_they_are_asked_in():
    forward = [row.copy() for row in map(NoiseStream(1, "a", 2).row, range(600))]
    stream = NoiseStream(1, "a", 2)
    backward = [stream.row(k).copy() for k in reversed(range(600))]
    np.testing.assert_array_equal(forward, backward[::-1])


@pytest.mark.parametrize("other", [NoiseStream(8, "a", 400), NoiseStream(7, "b", 400)])
def test_other_seed_or_name_is_uncorrelated(other):
    mine = np.concatenate([NoiseStream(7, "a", 400).row(k) for k in range(20)])
    theirs = np.concatenate([other.row(k) for k in range(20)])
    assert abs(np.corrcoef(mine, theirs)[0, 1]) < 0.05


def test_rows_cannot_be_changed_by_their_readers():
    with pytest.raises(ValueError, match="read-only"):
        NoiseStream(1, "a", 2).row(0)[0] = 1.0


def test_laws():
    normal = np.concatenate([NoiseStream(1, "n", 500).row(k) for k in range(40)])
    uniform = np.concatenate([NoiseStream(1, "u", 500, law=Law.UNIFORM).row(k) for k in range(40)])
    assert (normal.mean(), normal.std()) == (pytest.approx(0.0, abs=0.03), pytest.approx(1.0, abs=0.03))
    assert uniform.min() >= 0.0 and uniform.max() < 1.0 and uniform.mean() == pytest.approx(0.5, abs=0.01)


def test_names_of_a_generator_are_ordered_words():
    draws = {generator(1, *names).random() for names in (("a", "b"), ("b", "a"), ("a",), ("a", 1), ("ab",))}
    assert len(draws) == 5


def test_mixed_noise_has_unit_variance_and_the_wanted_correlation():
    zones = np.arange(0.0, 40.0, 0.5)
    stream = NoiseStream(3, "m", zones.size, mix=smooth_mix(zones, 3.0))
    rows = np.array([stream.row(k) for k in range(4000)])
    assert rows.std(axis=0) == pytest.approx(1.0, abs=0.06)
    correlation = np.mean(rows[:, 20] * rows[:, 26])  # three zones apart
    assert correlation == pytest.approx(np.exp(-1.0), abs=0.05)
