"""The virtual areal density at moments and places of which one knows what can be known."""

import numpy as np
import pytest

from controller.core import estimate, front, virtual
from controller.core.response import believe
from controller.line.description import LineDescription
from tests.factories import ToyWeb, make_inputs, make_line, wet_scan


def looked_at(web: ToyWeb, seconds: float) -> tuple[estimate.Estimator, estimate.EstimateState]:
    estimator = estimate.build(web.line, believe(web.line))
    state = estimate.init(estimator)
    for _ in range(round(seconds / web.line.control.cycle_s)):
        state = estimate.update(estimator, state, web.inputs())
        web.advance(None)
    return estimator, state


def test_before_anything_was_seen_nothing_is_said():
    line = make_line()
    estimator = estimate.build(line, believe(line))
    assert virtual.areal_density(estimator, estimate.init(estimator), np.array([0.0])) is None


def test_a_move_of_lips_and_pump_shows_at_the_die_before_any_gauge_sees_it():
    web = ToyWeb(make_line(control={"cycle_s": 0.5}))
    estimator, state = looked_at(web, 200.0)
    web.gap_um = web.gap_um + 2.0 * np.cos(np.pi * (np.arange(8) + 0.5) / 8)
    web.trim_pct = 1.0
    for _ in range(3):
        web.advance(None)
        state = estimate.update(estimator, state, web.inputs())
    seen = virtual.areal_density(estimator, state, np.array([web.web_m, web.web_m - 20.0]))
    assert seen is not None
    np.testing.assert_allclose(seen.areal_density_gsm[0], 180.0 * np.exp(web.die_error), rtol=3e-4)
    np.testing.assert_allclose(seen.areal_density_gsm[1], 180.0, rtol=3e-4)
    assert np.all(seen.half_gsm[0] > seen.half_gsm[1])  # nobody has seen what the move really did


def test_each_metre_between_the_gauges_keeps_what_was_seen_of_it():
    """A bump of 5 m of web on its way to the dry gauge is believed where it is."""
    web = ToyWeb(make_line(control={"cycle_s": 0.5}), coating=lambda web_m: 0.01 * (150.0 <= web_m < 160.0))
    estimator, state = looked_at(web, 190.0)
    seen = virtual.areal_density(estimator, state, np.array([140.0, 158.0, 175.0]))
    assert seen is not None
    level = seen.areal_density_gsm.mean(axis=1)
    assert level[0] == pytest.approx(180.0, rel=1e-3)
    assert level[1] > 181.2  # of 181.8: the filter is on its way
    assert level[2] == pytest.approx(180.0, rel=3e-3)


def test_the_interval_grows_with_the_web_that_nobody_has_seen():
    estimator, state = looked_at(ToyWeb(make_line(control={"cycle_s": 0.5})), 300.0)
    seen = virtual.areal_density(estimator, state, 300.0 - np.array([0.0, 1.0, 2.0, 3.5, 20.0, 40.0, 60.0]))
    assert seen is not None
    assert np.all(np.diff(seen.half_gsm.mean(axis=1)) <= 1e-9)
    later = virtual.areal_density(estimator, state, np.array([300.0, 900.0]))
    assert later is not None
    assert later.half_gsm[1].mean() > 2.0 * later.half_gsm[0].mean()


def test_without_a_dry_gauge_the_wet_ones_own_error_stays_in_the_interval():
    both = looked_at(ToyWeb(make_line(control={"cycle_s": 0.5})), 300.0)
    wet = looked_at(ToyWeb(make_line(dry=False, control={"cycle_s": 0.5})), 300.0)
    halves = [virtual.areal_density(*each, np.array([290.0])).half_gsm.mean() for each in (both, wet)]
    assert halves[1] > 1.5 * halves[0]
    assert halves[1] > 180.0 * 1.96 * 0.0065


def test_a_gauge_noisier_than_described_widens_the_interval():
    """Told by the innovations alone."""

    halves = []
    for share in (1.0, 4.0):
        line, rng = make_line(dry=False), np.random.default_rng(2)
        estimator = estimate.build(line, believe(line))
        state = estimate.init(estimator)
        for i in range(3000):
            scan = wet_scan(line, rng.normal(0.0, share * 0.004, 16), t_s=0.1 * i, web_m=0.1 * i)
            state = estimate.update(estimator, state, make_inputs(line, 0.1 * i, wet=scan))
        cd, _ = estimate.settled(state)
        halves.append(cd)
    assert halves[1] > 5.0 * halves[0]


def only_dry() -> LineDescription:
    return make_line(wet=False, control={"cycle_s": 0.5})


def test_a_batch_on_its_way_to_an_only_gauge_widens_the_interval_behind_its_beginning_alone():
    """Its size cannot be known before the gauge has seen of it."""
    web = ToyWeb(only_dry())
    estimator, state = looked_at(web, 300.0)
    places = np.array([web.web_m - 40.0, web.web_m])
    before = virtual.areal_density(estimator, state, places)
    begun = front.announced(front.announced(front.none(), 1, 0.0), 2, web.web_m - 30.0)
    after = virtual.areal_density(estimator, state._replace(front=begun), places)
    assert before is not None and after is not None
    np.testing.assert_allclose(after.half_gsm[0], before.half_gsm[0])
    assert np.all(after.half_gsm[1] > 1.5 * before.half_gsm[1])


def test_an_only_gauge_learns_how_fast_its_line_drifts():
    """A mean that wanders by 1 % a minute leaves the die less sure than one that stands still."""
    halves = []
    for size in (0.0, 0.01):
        rng = np.random.default_rng(4)
        walk = np.cumsum(rng.normal(0.0, size / 60.0**0.5, 1500))
        web = ToyWeb(only_dry(), coating=lambda web_m, walk=walk: walk[int(max(web_m, 0.0))])
        estimator, state = looked_at(web, 900.0)
        seen = virtual.areal_density(estimator, state, np.array([web.web_m]))
        assert seen is not None
        halves.append(float(seen.half_gsm.mean()))
    assert halves[1] > 2.0 * halves[0]
