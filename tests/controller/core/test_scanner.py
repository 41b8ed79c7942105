"""A head that crosses a running web: the mean's wandering is not taken for a profile, nor a profile for the mean."""

from dataclasses import replace

import numpy as np
import pytest

from controller.core import estimate
from controller.core.response import believe
from controller.line.description import Array, GaugeKind, LineDescription
from tests.factories import dry_scan, make_inputs, make_line

PASS_S, TRAVEL_S = 5.0, 4.0  # a metre a second of web; 0.4 m at 0.1 m/s, and a second of turning
ZONES = 16


def scanned_line() -> LineDescription:
    """16 zones, one head 63 m behind the die, two boxes a zone."""
    scanner = {"kind": GaugeKind.DRY_SCANNER, "period_s": PASS_S, "head_speed_mps": 0.1}
    return make_line(ZONES, wet=False, dry_gauge=scanner, control={"cycle_s": 1.0})


def watched(shape: Array, mean, passes: int, noise: float = 0.0, told: bool = True) -> estimate.EstimateState:
    """Passes to and fro over a web of this shape (zones,) and this mean as a function of the web, both log errors."""
    line, rng = scanned_line(), np.random.default_rng(1)
    estimator = estimate.build(line, believe(line))
    state = estimate.init(estimator)
    along = (np.arange(2 * ZONES) + 0.5) / (2 * ZONES)
    for t in range(63):
        state = estimate.update(estimator, state, make_inputs(line, float(t)))
    for number in range(passes):
        start = 63.0 + number * PASS_S
        direction = 1 if number % 2 == 0 else -1
        moment = start + TRAVEL_S * (along if direction > 0 else 1.0 - along)
        seen = np.repeat(shape, 2) + mean(moment - 63.0) + rng.normal(0.0, noise + 1e-12, 2 * ZONES)
        end = start + PASS_S
        scan = dry_scan(line, seen, t_s=end, web_m=start + 0.5 * PASS_S)
        if told:
            scan = replace(scan, direction=direction)
        state = estimate.update(estimator, state, make_inputs(line, end, dry=scan))
    return state


def shape_of(state: estimate.EstimateState) -> Array:
    line = scanned_line()
    shown: Array = believe(line).basis @ state.film.mean[:-1]
    return shown


def test_a_standing_profile_is_found():
    shape = 0.01 * np.cos(np.pi * (np.arange(ZONES) + 0.5) / ZONES * 2)
    state = watched(shape, lambda web_m: 0.004 + 0.0 * web_m, 40)
    np.testing.assert_allclose(shape_of(state), shape, atol=2e-4)
    assert state.film.mean[-1] == pytest.approx(0.004, abs=3e-4)
    assert state.reading.t_ns > 0


@pytest.mark.parametrize(("period_m", "share"), [(3.1, 0.6), (7.3, 0.3), (23.0, 0.2), (61.0, 0.2), (300.0, 0.1)])
def test_how_much_of_a_sine_of_the_mean_enters_the_profile(period_m, share):
    """1 % up and down, off the harmonics of the scan. Waves shorter than a pass look most like a profile to a head."""
    state = watched(np.zeros(ZONES), lambda web_m: 0.01 * np.sin(2 * np.pi * web_m / period_m), 120)
    assert np.sqrt(np.mean(shape_of(state) ** 2)) < share * 0.01 / np.sqrt(2.0)


def test_at_a_harmonic_of_the_scan_one_head_is_fooled_and_not_by_more_than_it_sees():
    """A sine that repeats with every to and fro is a profile to a single head. It is bounded by the sine itself."""
    state = watched(np.zeros(ZONES), lambda web_m: 0.01 * np.sin(2 * np.pi * web_m / (2 * PASS_S)), 120)
    shown = np.sqrt(np.mean(shape_of(state) ** 2))
    assert 0.1 * 0.01 / np.sqrt(2.0) < shown < 0.01


def test_a_pass_is_also_kept_as_it_came():
    """Whoever learns the map from what moves did must not be shown a filter's belief instead."""
    shape = 0.01 * np.cos(np.pi * (np.arange(ZONES) + 0.5) / ZONES * 2)
    state = watched(shape, lambda web_m: 0.004 + 0.0 * web_m, 3)
    assert state.passed is not None
    np.testing.assert_allclose(believe(scanned_line()).basis @ state.passed[:-1], shape, atol=1e-4)
    assert state.passed[-1] == pytest.approx(0.004, abs=1e-4)


def test_to_and_fro_cancels_what_a_ramp_of_the_mean_would_leave_as_a_tilt():
    """1 % in ten minutes. Told the direction or not, no tilt beyond a thousandth of that is left."""
    for told in (True, False):
        state = watched(np.zeros(ZONES), lambda web_m: 0.01 * web_m / 600.0, 120, told=told)
        assert np.abs(shape_of(state)).max() < 1e-4
        assert state.film.mean[-1] == pytest.approx(0.01, abs=2e-3)


def test_the_mean_and_the_shape_are_known_as_well_as_they_say():
    shape = 0.01 * np.sin(np.arange(ZONES))
    shape -= shape.mean()
    state = watched(shape, lambda web_m: 0.0 * web_m, 100, noise=0.003)
    missed = shape_of(state) - shape
    believed = float(np.mean(state.film.variance[:-1])) * (ZONES - 1) / ZONES
    assert np.mean(missed**2) < 3.0 * believed
    assert np.isfinite(state.film.variance).all() and state.film.variance.min() > 0.0


def test_a_move_of_the_pump_on_the_way_is_no_disturbance():
    """The pump steps by 1 %; each zone is compared with what the pump did when the head was over it."""
    line = scanned_line()
    estimator = estimate.build(line, believe(line))
    state = estimate.init(estimator)
    along = (np.arange(2 * ZONES) + 0.5) / (2 * ZONES)
    for t in range(0, 300):
        trim = 1.0 if t >= 150 else 0.0
        inputs = make_inputs(line, float(t), pump_trim_pct=trim)
        number, late = divmod(t - 63 - int(PASS_S), int(PASS_S))
        if number >= 0 and late == 0:
            start, direction = 63.0 + number * PASS_S, 1 if number % 2 == 0 else -1
            moment = start - 63.0 + TRAVEL_S * (along if direction > 0 else 1.0 - along)
            seen = np.log1p(0.01 * (moment >= 150.0))
            scan = replace(dry_scan(line, seen, t_s=float(t), web_m=start + 0.5 * PASS_S), direction=direction)
            inputs = inputs._replace(dry=scan)
        state = estimate.update(estimator, state, inputs)
        assert abs(state.film.mean[-1]) < 2e-3
    assert abs(state.film.mean[-1]) < 2e-4
    assert np.abs(shape_of(state)).max() < 5e-4
