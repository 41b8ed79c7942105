"""The virtual areal density says how sure it is, and is right about it, on every family of lines."""

import numpy as np
import pytest

from evencoat.league import field
from evencoat.league.coverage import coverage
from plant_sim.families import FAMILIES

LINES = (21, 22, 23, 24)
SCANNED = "dry-scanner-only"
SCANNED_LINES = range(1, 9)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_95_percent_interval_covers_the_truth_as_often_as_it_says(family: str) -> None:
    """Pooled over lines, places from die to dry gauge, zones and moments of a quarter of an hour with a new batch."""
    seen = [coverage(field.draw(family, seed, 15.0)) for seed in LINES]
    assert 0.93 <= np.mean([each.share for each in seen]) <= 0.97
    assert np.mean([each.half_pct for each in seen]) < 1.5  # an interval that is always right tells nothing


def test_behind_a_scanner_alone_it_does_so_at_every_place() -> None:
    """There most of the interval is what no gauge has seen yet: this line's own drift, and a batch on its way."""
    seen = [coverage(field.draw(SCANNED, seed, 15.0)) for seed in SCANNED_LINES]
    by_place = np.mean([each.by_place for each in seen], axis=0)
    assert 0.93 <= by_place.mean() <= 0.97
    assert np.all((by_place >= 0.92) & (by_place <= 0.98))
    assert all(0.86 <= each.share <= 0.99 for each in seen)  # the least where the pump pulses most: nobody sees that
