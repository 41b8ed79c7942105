"""Sizes of disturbances: what is scaled, what is not, and where a wanted Cpk is still reached."""

from dataclasses import replace

import numpy as np
import pytest

from evencoat.league import difficulty, field
from evencoat.league.bounds import bound
from evencoat.league.players import Bystander
from plant_sim.scenario import Scenario


def test_twice_the_disturbances_do_twice_as_much_where_nobody_moves_anything():
    """Beside the same line without any: as it stands there, its die is not quite what its drawing says."""
    small, large = (match for _, match in difficulty.matches(1, (0.25, 0.5), 4.0))
    without = replace(small, scenario=Scenario.quiet())
    webs = [field.play(match, Bystander()).web.deviation_pct()[100:] for match in (without, small, large)]
    done = [np.sqrt(np.mean((web - webs[0]) ** 2)) for web in webs[1:]]
    assert done[1] / done[0] == pytest.approx(2.0, rel=0.03)
    assert small.truth is large.truth  # gauges, lips and what the description does not know
    assert small.line.target.tolerance_pct == difficulty.TOLERANCE_PCT
    assert bound(large).sigma_pct == pytest.approx(2.0 * bound(small).sigma_pct, rel=0.02)


def test_what_is_no_disturbance_stays_as_it_was():
    day = Scenario.load("a-day")
    larger = difficulty.scaled(day, 2.0)
    changed = {old.name for old, new in zip(day.plays, larger.plays, strict=True) if old != new}
    assert {"pump-slip-step", "streak", "batch-change", "pump-pulsation"} < changed <= difficulty.DISTURBANCES
    assert all(replace(new, size=old.size) == old for old, new in zip(day.plays, larger.plays, strict=True))
    for size in (0.0, -1.0, 5.1, float("nan")):
        with pytest.raises(ValueError, match="size: "):
            difficulty.scaled(day, size)


def test_a_cpk_is_reached_between_two_sizes_beyond_all_or_nowhere():
    assert difficulty.reached_at((0.5, 1.0, 2.0), (4.0, 2.0, 1.0)) == pytest.approx(1.0)
    assert difficulty.reached_at((0.5, 1.0), (4.0, 1.0)) == pytest.approx(0.5**0.5)
    assert difficulty.reached_at((0.5, 1.0), (4.0, 2.5)) == 1.0
    assert difficulty.reached_at((0.5, 1.0), (1.9, 2.5)) is None
