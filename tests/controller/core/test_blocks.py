"""A block gathers each reading once and each position every cycle; what it says are their means."""

from __future__ import annotations

import numpy as np

from controller.core import blocks, estimate, response
from tests.factories import make_line

SEEN = estimate.init(estimate.build(make_line(4), response.believe(make_line(4))))


def seen_after(readings: int, value: float) -> estimate.EstimateState:
    film = SEEN.film._replace(mean=np.full(4, value), gain=np.ones(4), innovation=np.zeros(4), readings=readings)
    return SEEN._replace(film=film)


def test_a_reading_counts_once_and_positions_every_cycle() -> None:
    block = blocks.begun(4, 10.0, film_readings=5)
    for readings, value, position in ((5, 9.0, 600.0), (6, 1.0, 602.0), (6, 1.0, 604.0), (7, 3.0, 606.0)):
        block = blocks.gathered(block, seen_after(readings, value), np.full(4, position))
    assert block.mean_read is not None
    np.testing.assert_allclose(block.mean_read, 2.0)  # the fifth reading belonged to the block before
    np.testing.assert_allclose(block.mean_stood_um, 603.0)
    assert (block.begun_m, block.reads, block.stands) == (10.0, 2, 4)


def test_nothing_read_says_nothing() -> None:
    block = blocks.gathered(blocks.begun(4), seen_after(0, 1.0), np.full(4, 600.0))
    assert block.mean_read is None and np.isnan(block.begun_m)
