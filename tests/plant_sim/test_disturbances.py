"""Drifts keep their statistics; white unevenness is a function of time."""

import numpy as np
import pytest

from plant_sim.disturbances import DriftsTold, add_white, follow, follow_smooth, keep_of, smooth_shape
from plant_sim.faults import Play
from plant_sim.noise import generator, smooth_taps, stream
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

ZONES = (np.arange(160) + 0.5) / 4.0


@pytest.mark.parametrize("period_s", [0.1, 7.0, 100.0])
def test_size_and_time_constant_do_not_depend_on_the_period(period_s):
    keep, paths = keep_of(100.0, period_s), []
    for seed in range(300):
        states = [0.0]
        for row in range(60):
            states.append(follow(stream(seed, "d"), row, 2.0, keep, states[-1]))
        paths.append(states[1:])
    states = np.array(paths)
    assert states.std() == pytest.approx(2.0, rel=0.07)
    assert states[:, 0].std() == pytest.approx(2.0, rel=0.15)  # drifting long before anyone looks
    lag_one = np.mean(states[:, 1:] * states[:, :-1]) / np.mean(states[:, :-1] ** 2)
    assert lag_one == pytest.approx(np.exp(-period_s / 100.0), abs=0.03)


def test_cross_web_drifts_are_correlated_over_zones_and_have_their_size():
    knots, first, weights = smooth_taps(ZONES, 3.0)
    states = np.empty((2000, 160))
    for seed in range(2000):
        state = np.zeros(160)
        for row in range(2):
            heard, drawn = np.empty(knots), np.empty(160)
            follow_smooth(stream(seed, "s"), row, 0.007, 0.9, state, first, weights.reshape(-1), heard, drawn)
        states[seed] = state
    assert states.std() == pytest.approx(0.007, rel=0.05)
    near = np.corrcoef(states[:, 80], states[:, 84])[0, 1]  # one zone
    far = np.corrcoef(states[:, 80], states[:, 120])[0, 1]  # ten zones
    assert near > 0.85 and abs(far) < 0.1


def white(from_s, to_s, size=1.0):
    drawn, log = np.empty(160), np.zeros(160)
    add_white(stream(1, "white"), size, from_s, to_s, drawn, log)
    return log


def test_white_unevenness_is_drawn_ten_times_a_second_and_none_is_left_out():
    assert white(3.0, 3.05).tobytes() == white(3.05, 3.1).tobytes() == white(3.0, 3.1).tobytes()
    assert white(3.0, 3.1).tobytes() != white(3.1, 3.2).tobytes()
    tenths = [white(3.0 + 0.1 * k, 3.1 + 0.1 * k) for k in range(5)]
    np.testing.assert_allclose(white(3.0, 3.5), np.mean(tenths, axis=0), atol=1e-12)
    assert white(0.0, 0.1, 0.0005).std() == pytest.approx(0.0005, rel=0.3)


def test_static_shape_is_normalised_and_smooth():
    for seed in range(20):
        shape = smooth_shape(generator(seed, "s"), ZONES, 2.5)
        assert (shape.mean(), shape.std()) == (pytest.approx(0.0, abs=1e-12), pytest.approx(1.0))
        assert np.corrcoef(shape[:-4], shape[4:])[0, 1] > 0.75  # one zone on


def test_who_may_know_is_told_the_drifts_that_the_plant_has(runner, line):
    truth = Truth.draw(line, 3)
    run = runner(line, truth, Scenario("test", "", (Play("slow-cd-drift"), Play("pump-slip-drift"))), seed=3)
    told = DriftsTold(truth.drifts, 3, truth.lanes_mm / truth.zone_pitch_mm)
    for dt_s in (0.1, 0.1, 0.5, 3.0, 0.4):
        run.step(dt_s)
        drifts, state = told.at(run.state.t_s), run.state.packed.lines[0]
        share = state["t_s"] - (state["drawn"] - 2)
        assert drifts.slip == pytest.approx(state["slip"] + share * (state["slip_next"] - state["slip"]), rel=1e-12)
        before, after = (run.state.vector(run.plant, name) for name in ("s_slow", "s_slow_next"))
        np.testing.assert_allclose(drifts.slow_cd, before + share * (after - before), rtol=1e-12)
