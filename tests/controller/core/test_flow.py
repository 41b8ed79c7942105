"""The pressure tells of slip before the wet gauge can see it; without a sensor that speaks, nobody asks it."""

import math
from dataclasses import replace

import numpy as np
import pytest

from controller.core import flow
from controller.core.flow import Flow, Meter
from tests.factories import make_inputs, make_line

METER = Meter(
    flow_index=0.6,
    film_rate=7e-8,
    rheology_rate=1e-8,
    pulse2=2e-6,
    own2=5e-7,
    speed_mps=1.0,
    pace_m=0.45,
    slowest_rpm=10.0,
)
WET_M = 5.0


def run(seconds: float, slip=lambda t: 0.0, rheology=lambda t: 0.0, seed=0, speaks=True, runs2=0.0):  # type: ignore[no-untyped-def]
    """Two cycles a second at 1 m/s, a wet gauge at 5 m, pulses of 0.2 % seen by both; film_now after each cycle."""
    rng, state, pulses, found = np.random.default_rng(seed), flow.none(METER), [], []
    for k in range(round(2 * seconds)):
        t = 0.5 * (k + 1)
        pulses.append(rng.normal(0.0, 2e-3))
        value = slip(t - 0.25) + pulses[-1] + rheology(t) + 3.0 if speaks else math.nan
        state, _ = flow.heard(METER, state, value, t, runs2)
        if k >= 10:
            wet = slip(t - 0.25 - WET_M) + pulses[k - 10] + rng.normal(0.0, METER.own2**0.5)
            state, _ = flow.met(METER, state, wet, t - 0.25 - WET_M)
        found.append(flow.film_now(METER, state, math.nan))
    return state, np.array(found)


def test_slip_is_known_before_the_wet_gauge_sees_it():
    """1 % at 300 s: a part is believed before the wet gauge sees the first of it, and soon all, without overshoot."""
    _, found = run(360.0, slip=lambda t: 0.01 * (t >= 300.0))
    before, unseen = found[2 * 300 - 1], found[2 * 304 + 1]
    assert abs(before) < 2e-3
    assert unseen - before > 0.0025
    assert found[2 * 315 :].mean() == pytest.approx(0.01, abs=1e-3)
    assert np.nanmax(found) < 0.013


def test_a_step_of_slip_is_no_noise_even_under_a_pump_that_pulses_hard():
    """0.5 % of pulses are learnt and averaged over a quarter of a minute; 2 % of slip are found in a few seconds."""
    rng, state, pulses, found = np.random.default_rng(7), flow.none(METER), [], []
    for k in range(1400):
        t = 0.5 * (k + 1)
        pulses.append(rng.normal(0.0, 5e-3))
        state, _ = flow.heard(METER, state, -0.02 * (k >= 1200) + pulses[-1] + 3.0, t, 0.0)
        if k >= 10:
            state, _ = flow.met(METER, state, -0.02 * (k - 10 >= 1200) + pulses[k - 10], t - 0.25 - WET_M)
        found.append(flow.film_now(METER, state, math.nan))
    assert found[1200 + 2 * 9] < -0.014
    assert np.mean(found[1300:]) == pytest.approx(-0.02, abs=1.5e-3)
    assert np.std(found[600:1200]) < 2.5e-3


def test_a_slow_drift_of_the_rheology_is_no_film():
    """The slurry warms and thins by 3 % in half an hour; the film is believed to be as it is."""
    _, found = run(1800.0, rheology=lambda t: -0.03 * t / 1800.0)
    assert np.abs(found[600:]).max() < 4e-3
    assert abs(found[600:].mean()) < 1e-3


def test_while_a_batch_makes_the_rheology_run_the_wet_gauge_is_believed():
    """A thicker batch: 20 % of pressure in two minutes, announced as such. The film does not follow it."""
    state, _ = run(300.0)
    rng = np.random.default_rng(1)
    found = []
    for k in range(240):
        t = 300.5 + 0.5 * k
        state, _ = flow.heard(METER, state, 3.0 + 0.2 * k / 240.0 + rng.normal(0.0, 1e-3), t, 1e-4)
        state, _ = flow.met(METER, state, rng.normal(0.0, 1e-3), t - 0.25 - WET_M)
        found.append(flow.film_now(METER, state, math.nan))
    assert np.abs(found).max() < 4e-3


@pytest.mark.parametrize("size", [0.7e-3, 2e-3, 5e-3])
def test_the_size_of_the_pulses_is_learnt_and_kept_within_bounds(size):
    rng, noise = np.random.default_rng(2), flow.White(0.0, 0.0, 2e-6, 0)
    for _ in range(3000):
        noise = flow.white(noise, rng.normal(0.0, size), False)
    assert noise.variance == pytest.approx(size**2, rel=0.25)
    for _ in range(3000):
        noise = flow.white(noise, rng.normal(0.0, 1.0), False)
    assert noise.variance == flow.MOST
    for _ in range(10000):
        noise = flow.white(noise, 0.0, False)
    assert noise.variance == flow.LEAST


def test_nothing_is_learnt_of_noise_while_the_series_runs_away():
    noise = flow.White(0.0, 0.0, 2e-6, 5)
    for k in range(100):
        noise = flow.white(noise, (-1.0) ** k, True)
    assert noise.variance == 2e-6


@pytest.mark.parametrize("pressure", [math.nan, 0.0, -3.0, math.inf])
def test_a_pressure_that_is_none_is_not_asked(pressure):
    assert math.isnan(flow.pressed(METER, make_inputs(make_line(), pump_pressure_kpa=pressure)))


def test_a_standing_pump_and_a_lost_encoder_tell_nothing():
    assert math.isnan(flow.pressed(METER, make_inputs(make_line(), pump_speed_rpm=0.0)))
    assert math.isnan(flow.pressed(METER, make_inputs(make_line(), encoder_valid=False)))


def test_what_is_pressed_does_not_know_the_pump_s_speed():
    """By the power law ln P goes as n ln Q: twice the speed at the pressure it makes is the same."""
    one = flow.pressed(METER, make_inputs(make_line(), pump_pressure_kpa=200.0, pump_speed_rpm=50.0))
    two = flow.pressed(METER, make_inputs(make_line(), pump_pressure_kpa=200.0 * 2.0**0.6, pump_speed_rpm=100.0))
    assert one == pytest.approx(two)


def test_without_a_sensor_the_wet_gauge_s_own_filter_is_taken():
    state, found = run(60.0, speaks=False)
    assert np.isnan(found).all()
    assert flow.film_now(METER, state, 0.123) == 0.123


def test_a_spike_is_let_go_and_a_level_that_stays_is_another_beginning():
    """A pressure ten times too high for two seconds moves nothing; one that stays so is believed anew after a while."""
    state, found = run(60.0)
    before = found[-1]
    for k in range(60):
        t = 60.5 + 0.5 * k
        state, _ = flow.heard(METER, state, 3.0 + 3.8, t, 0.0)
        assert abs(flow.film_now(METER, state, before) - before) < 2e-3
        if k == 3:
            after, _ = flow.heard(METER, state, 3.0, t + 0.5, 0.0)
            assert after.smooth == pytest.approx(3.0, abs=3e-3)
    assert state.smooth == pytest.approx(6.8)


def test_a_sensor_that_stands_still_is_given_up():
    state = flow.none(METER)
    for k in range(2 * flow.FROZEN_AFTER):
        state, _ = flow.heard(METER, state, 3.0, 0.5 * k, 0.0)
        state, _ = flow.met(METER, state, 1e-3 * k, 0.5 * k - WET_M)
    assert flow.film_now(METER, state, 0.5) == 0.5


def test_a_web_set_back_and_a_long_silence_begin_anew():
    state, _ = run(60.0)
    for web_m in (20.0, 500.0):
        after, _ = flow.heard(METER, state, 3.0, web_m, 0.0)
        assert after.filled == 0 and after.begun_m == web_m
        assert flow.film_now(METER, after, 0.5) == 0.5


def test_a_quiet_day_winds_nothing_up_and_a_step_is_followed_without_a_burst():
    """24 h of a pulse and nothing else, then slip of 1 %: covariances as after ten minutes, and no overshoot."""
    rng, state = np.random.default_rng(3), flow.none(METER)
    early: Flow | None = None
    for k in range(43200):
        t = 2.0 * k
        pulse = rng.normal(0.0, 2e-3)
        state, _ = flow.heard(METER, state, 3.0 + pulse, t, 0.0)
        state, _ = flow.met(METER, state, pulse, t - 1.0)
        early = state if k == 1800 else early
    assert early is not None
    for was, now in zip(early.film[2:5], state.film[2:5], strict=True):
        assert abs(now) < 3.0 * abs(was) + 1e-9
    assert state.film.film2 * state.film.rheology2 >= state.film.both**2
    assert flow.LEAST <= state.pulses.variance <= flow.MOST
    found = []
    for k in range(120):
        t = 86400.0 + 2.0 * k
        pulse = rng.normal(0.0, 2e-3)
        state, _ = flow.heard(METER, state, 3.01 + pulse, t, 0.0)
        state, _ = flow.met(METER, state, 0.01 + pulse, t - 1.0)
        found.append(flow.film_now(METER, state, math.nan))
    assert max(found) < 0.0135 and np.mean(found[-60:]) == pytest.approx(0.01, abs=1.5e-3)


def test_a_slow_line_remembers_as_far_as_its_dry_gauge():
    meter = replace(METER, pace_m=3.0)
    state = flow.none(meter)
    for k in range(2000):
        state, _ = flow.heard(meter, state, 3.0 + 1e-3 * (k % 7), 0.5 * k, 0.0)
    assert flow.held(state, 0.5 * 2000 - 250.0)
    assert not flow.held(state, 0.5 * 2000 - 400.0)


def unsteady(rate: float, seconds: float, seed: int = 6) -> tuple[Flow, np.ndarray, np.ndarray]:
    """A slurry whose rheology wanders at `rate`, log^2/s, over slip as usual; film_now and the film, each cycle."""
    rng, state, found, truth = np.random.default_rng(seed), flow.none(METER), [], []
    rheology, slip, pulses = 3.0, [0.0], [0.0]
    for k in range(round(2 * seconds)):
        rheology += rng.normal(0.0, (0.5 * rate) ** 0.5)
        slip.append(slip[-1] + rng.normal(0.0, (0.5 * METER.film_rate) ** 0.5))
        pulses.append(rng.normal(0.0, 1e-3))
        t = 0.5 * (k + 1)
        state, _ = flow.heard(METER, state, slip[-1] + pulses[-1] + rheology, t, 0.0)
        if k >= 10:
            wet = slip[-11] + pulses[-11] + rng.normal(0.0, METER.own2**0.5)
            state, _ = flow.met(METER, state, wet, t - 0.25 - WET_M)
        found.append(flow.film_now(METER, state, math.nan))
        truth.append(slip[-1])
    return state, np.array(found), np.array(truth)


@pytest.mark.parametrize("rate", [1e-8, 3e-7, 3e-6])
def test_how_fast_the_rheology_drifts_is_learnt(rate):
    state, _, _ = unsteady(rate, 1800.0)
    assert state.film.drift.rate == pytest.approx(rate, rel=1.0, abs=2e-8)


def test_a_pressure_that_means_little_costs_little():
    """The slurry warms and cools by far more than slip moves: the film is no worse than by the wet gauge alone."""
    _, found, truth = unsteady(3e-6, 1800.0)
    wet_alone = math.sqrt(WET_M * METER.film_rate)  # what the film drifts by before it is seen
    assert np.sqrt(np.mean((found[1200:] - truth[1200:]) ** 2)) < 1.8 * wet_alone


def test_the_rheology_s_drift_is_bounded():
    state, _, _ = unsteady(1e-3, 600.0)
    assert state.film.drift.rate == flow.RHEOLOGY_MOST
    state, _, _ = unsteady(0.0, 600.0)
    assert 0.0 < state.film.drift.rate < 10.0 * METER.rheology_rate
