"""Every row of the oracle table holds, the table is whole, and nothing beats the best possible control."""

from collections import Counter

import pytest

from plant_sim import oracles
from plant_sim.rheology import HerschelBulkley

ROWS = oracles.table()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.group}: {row.name}")
def test_row(row):
    assert row.passes, f"{row.computed!r} {row.unit} against {row.expected!r}, tolerance {row.tolerance:g}"


def test_every_oracle_has_its_rows():
    """Counted by hand from the list of oracles."""
    assert Counter(row.group for row in ROWS) == {
        "slot": 9,
        "yield stress": 6,
        "Carreau": 3,
        "lip gain": 2,
        "manifold": 11,
        "lip kernel": 9,
        "lip opening": 3,
        "coating window": 6,
        "levelling": 5,
        "counting gauge": 7,
        "foil": 2,
        "transport": 6,
        "mass balance": 3,
        "pump": 2,
        "slurry": 5,
        "best possible control": 9,
        "pure delay": 2,
    }
    assert len({(row.group, row.name) for row in ROWS}) == len(ROWS)


def test_a_row_outside_its_tolerance_fails():
    row = oracles.Oracle("g", "n", 2.0, 2.2, "m", 0.1, "s")
    assert not row.passes
    assert row.error == pytest.approx(0.2)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.1, 1.5])
@pytest.mark.parametrize(("phi", "delay"), [(0.95, 5), (0.99, 70)])
def test_nothing_beats_minimum_variance(phi, delay, share):
    """Taking off more or less than phi^d of what is known leaves more; the same drift for all, so no luck is in it."""
    assert oracles.best_prediction_ratio(phi, delay, share) > oracles.best_prediction_ratio(phi, delay)


@pytest.mark.parametrize(("delay_m", "dt_s"), [(3.0, 0.05), (70.0, 0.5)])
def test_integral_control_of_a_pure_delay_dies_below_the_limit_and_swells_above(delay_m, dt_s):
    limit = oracles.integral_gain_limit_per_s(delay_m)
    below, above = (oracles.delay_loop_growth(share * limit, delay_m, 1.0, dt_s) for share in (0.95, 1.05))
    assert below < 0.0 < above


def test_at_half_the_web_speed_half_the_gain_is_the_limit():
    fast, slow = (oracles.delay_loop_limit_per_s(3.0, speed, 0.05 / speed) for speed in (1.0, 0.5))
    assert slow == pytest.approx(0.5 * fast, rel=1e-6)


@pytest.mark.parametrize("n", [0.4, 0.8])
def test_a_marched_manifold_does_not_know_consistency_nor_flow(n):
    """An integration that is given K and Q finds them cancelling."""
    args = (0.35, 0.012, 0.6e-3, 0.040)
    base = oracles.manifold_by_marching(HerschelBulkley(10.0, n), 5e-5, *args)
    assert oracles.manifold_by_marching(HerschelBulkley(20.0, n), 5e-5, *args) == pytest.approx(base, rel=1e-9)
    assert oracles.manifold_by_marching(HerschelBulkley(10.0, n), 1e-4, *args) == pytest.approx(base, rel=1e-9)
