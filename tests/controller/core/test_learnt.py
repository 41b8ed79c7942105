"""The adaptive law's mean: batches and slip foreseen where a pressure sensor speaks, nothing lost where none does."""

import math
from typing import Any

import numpy as np
import pytest

from controller.core import estimate, learnt
from controller.core.response import believe
from controller.core.step import configure, init, step
from controller.line.command import Mode
from controller.line.description import GaugeKind, LawName, LineDescription
from controller.line.profile import LineInputs
from tests.factories import ToyWeb, identical, make_inputs, make_line

CYCLE_S = 0.5
SHAPE = 0.005 * np.cos(np.pi * (np.arange(8) + 0.5) / 8.0)
INDEX = 0.6


def adaptive_line(**parts: Any) -> LineDescription:
    control = {"cycle_s": CYCLE_S, "closed_loop_md_s": 4.0, "closed_loop_cd_s": 8.0} | parts.pop("control", {})
    parts["wet_gauge"] = {"period_s": 0.5} | parts.get("wet_gauge", {})
    return make_line(law=LawName.ADAPTIVE, control=control, **parts)


def arrived(since_s: float, length_s: float) -> float:
    turns = 5.0 * max(since_s, 0.0) / length_s
    return 1.0 - (1.0 + turns) * math.exp(-turns)


class Pressed(ToyWeb):
    """The toy web with a pump whose pressure shows its flow and the batch: `thicker` (web_m) is ln of consistency."""

    def __init__(self, line: LineDescription, thicker: Any = lambda web_m: 0.0, seed: int = 0, **parts: Any) -> None:
        super().__init__(line, **parts)
        self._thicker, self._rng = thicker, np.random.default_rng(seed)

    def heard(self, batch: int) -> LineInputs:
        flow_log = float(np.mean(self.coating(self.web_m))) + math.log1p(self.trim_pct / 100.0)
        ln_pressure = INDEX * flow_log + self._thicker(self.web_m) + self._rng.normal(0.0, 1e-4)
        rpm = self.line.pump_ratio_nominal_rpm_per_mps * self.speed_mps * (1.0 + self.trim_pct / 100.0)
        return self.inputs(batch=batch, pump_pressure_kpa=250.0 * math.exp(ln_pressure), pump_speed_rpm=rpm)


def closed(web: Pressed, seconds: float, onset_s: float = math.inf, blind: bool = False) -> np.ndarray:
    """Close the loop; the mean of the dry coat leaving the die in each cycle, log. blind: no pressure sensor."""
    config = configure(web.line, CYCLE_S)
    state, mean = init(config, Mode.AUTO), []
    for cycle in range(round(seconds / CYCLE_S)):
        inputs = web.heard(1 + (cycle * CYCLE_S >= onset_s))
        inputs = inputs._replace(pump_pressure_kpa=math.nan) if blind else inputs
        state, command, _ = step(config, state, inputs, CYCLE_S)
        web.advance(command)
        mean.append(estimate.mean_log(web.die_error))
    return np.array(mean)


ONSET_M, LENGTH_S, SIZE = 400.0, 300.0, 0.015


def batch(line: LineDescription, thicker: float) -> Pressed:
    return Pressed(
        line,
        thicker=lambda web_m: thicker * arrived(web_m - ONSET_M, LENGTH_S),
        solids=lambda web_m: SIZE * arrived(web_m - ONSET_M, LENGTH_S),
    )


def test_a_batch_is_foreseen_once_the_dry_gauge_has_seen_it_begin():
    """1.5 % over five minutes, 63 m away: 40 s after the dry gauge sees the first of it, little is still missed."""
    mean = closed(batch(adaptive_line(), 0.12), 900.0, ONSET_M)
    unseen = np.abs(mean[round(400 / CYCLE_S) : round(463 / CYCLE_S)]).max()
    after = np.abs(mean[round(505 / CYCLE_S) :])
    assert unseen == pytest.approx(SIZE * arrived(63.0, LENGTH_S), rel=0.1)
    assert after.max() < 0.12 * SIZE


def test_without_a_sensor_a_batch_is_foreseen_from_the_dry_gauge_alone():
    mean = closed(batch(adaptive_line(), 0.0), 900.0, ONSET_M, blind=True)
    assert np.abs(mean[round(505 / CYCLE_S) :]).max() < 0.25 * SIZE


def test_slip_is_answered_before_the_wet_gauge_sees_it():
    """The pump delivers 1 % less from 400 m on; the wet gauge stands 3 m away. Only the first seconds are lost."""
    sums = []
    for blind in (False, True):
        web = Pressed(adaptive_line(), coating=lambda web_m: -0.01 * (web_m >= 400.0))
        sums.append(np.sum(closed(web, 480.0, blind=blind)[round(400 / CYCLE_S) :] ** 2))
    assert sums[0] < 0.75 * sums[1]


def test_solids_are_no_lip_error_and_no_slip():
    """3 % of solids that nobody announced: lips stay, and the pump answers once the dry gauge has seen them."""
    web = Pressed(adaptive_line(), solids=lambda web_m: math.log(1.03) * (web_m >= 200.0))
    mean = closed(web, 500.0)
    np.testing.assert_allclose(mean[round(205 / CYCLE_S) : round(262 / CYCLE_S)], math.log(1.03), atol=1e-3)
    assert np.abs(mean[-100:]).max() < 0.003
    np.testing.assert_array_equal(web.gap_um, 600.0)


def test_zero_error_means_no_move():
    web = Pressed(adaptive_line())
    mean = closed(web, 120.0)
    assert np.abs(mean).max() < 2e-4
    np.testing.assert_array_equal(web.gap_um, 600.0)


def test_a_mirrored_web_gets_mirrored_lips_and_the_same_trim():
    webs = [
        Pressed(adaptive_line(control={"dead_band_um": 0.0}), coating=lambda m, s=s: 0.01 + s)
        for s in (SHAPE, SHAPE[::-1])
    ]
    for web in webs:
        closed(web, 60.0)
    np.testing.assert_allclose(webs[0].gap_um, webs[1].gap_um[::-1], atol=0.11)  # a count of the command
    assert webs[0].trim_pct == pytest.approx(webs[1].trim_pct, abs=1e-6)
    assert np.abs(webs[0].gap_um - 600.0).max() > 1.0


@pytest.mark.parametrize("pressure", [math.nan, 0.0])
def test_the_estimate_of_a_line_without_pressure_is_that_of_the_usual_filter(pressure):
    """A line that never had a batch and has no sensor: the mean is believed as the `imc` law believes it."""
    found = []
    for law in (LawName.IMC, LawName.ADAPTIVE):
        line = make_line(law=law, control={"cycle_s": CYCLE_S}, wet_gauge={"period_s": 0.5}, dry=False)
        estimator = estimate.build(line, believe(line))
        state, web = estimate.init(estimator), ToyWeb(line, coating=lambda web_m: 0.01 * math.sin(web_m / 20.0))
        for _ in range(200):
            state = estimate.update(estimator, state, web.inputs(pump_pressure_kpa=pressure))
            web.advance(None)
        found.append(state.reading.disturbance_md)
    assert found[0] == found[1]


@pytest.mark.parametrize("scanning", [False, True])
def test_where_the_only_gauge_is_behind_the_dryer_slip_is_seen_at_once(scanning):
    """1 % of slip 63 m before the gauge: the pressure tells of it, and it is answered within seconds."""
    head = {"kind": GaugeKind.DRY_SCANNER, "period_s": 4.0, "head_speed_mps": 0.1} if scanning else {}
    line = adaptive_line(wet=False, dry_gauge=head, control={"closed_loop_md_s": 60.0, "closed_loop_cd_s": 120.0})
    web = Pressed(line, coating=lambda web_m: -0.01 * (web_m >= 600.0))
    config = configure(line, CYCLE_S)
    state, told = estimate.init(config.estimator), []
    for _ in range(1300):
        state = estimate.update(config.estimator, state, web.heard(1))
        web.advance(None)
        told.append(state.reading.disturbance_md)
    assert abs(told[1190]) < 1e-3
    assert told[1240] < -0.006  # 20 s after it began, and 43 s before the gauge can see any of it


def test_behind_the_dryer_a_pressure_that_the_gauge_does_not_confirm_loses_its_trust():
    """The slurry warms and cools by 3 % of flow every few minutes and the coat does not care."""
    line = adaptive_line(wet=False, control={"closed_loop_md_s": 60.0, "closed_loop_cd_s": 120.0})
    web = Pressed(line, thicker=lambda web_m: 0.02 * math.sin(web_m / 50.0))
    estimator = estimate.build(line, believe(line))
    state, told = estimate.init(estimator), []
    for _ in range(2400):
        state = estimate.update(estimator, state, web.heard(1))
        web.advance(None)
        told.append(state.reading.disturbance_md)
    assert state.learnt is not None and state.learnt.trust.share < 0.1
    assert np.abs(told[-600:]).max() < 6e-3 < np.abs(told[:600]).max()


def test_a_batch_s_name_alone_changes_nothing_and_the_first_one_is_nothing_new():
    line = adaptive_line()
    mean = estimate.build(line, believe(line)).mean
    assert mean is not None
    known = learnt.cycle(mean, learnt.none(mean), make_inputs(line, batch=7))
    assert math.isnan(known.onset_m)
    known = learnt.cycle(mean, known, make_inputs(line, 1.0, batch=8))
    assert known.onset_m == 1.0
    assert learnt.now(known, 0.004) == 0.004


def test_what_is_learnt_is_a_function_of_what_was_heard():
    line = adaptive_line()
    estimator = estimate.build(line, believe(line))
    runs = []
    for _ in range(2):
        state, web = estimate.init(estimator), batch(line, 0.1)
        for cycle in range(1000):
            state = estimate.update(estimator, state, web.heard(1 + (cycle >= 800)))
            web.advance(None)
        runs.append(state)
    assert identical(runs[0], runs[1])


def test_a_quiet_day_in_closed_loop_and_then_a_step():
    """24 h at a pace of 10 s in which the pump answers what is believed, then slip of 2 %: no burst, and it is gone."""
    line = adaptive_line(wet_gauge={"period_s": 10.0})
    mean = estimate.build(line, believe(line)).mean
    assert mean is not None
    known, rng, trim, errors = learnt.none(mean), np.random.default_rng(5), 0.0, []
    usual = make_inputs(line)
    for k in range(8640 + 360):
        web_m, slip = 5.0 * k, -0.02 * (k >= 8640)
        pulse = rng.normal(0.0, 1e-3)
        pressure = 250.0 * math.exp(INDEX * (slip + trim + pulse))
        known = learnt.cycle(
            mean, known, usual._replace(web_m=web_m, pump_pressure_kpa=pressure, pump_speed_rpm=100.0 * math.exp(trim))
        )
        known = learnt.wet(mean, known, slip + pulse, web_m - 3.0)
        if k % 4 == 0:
            known = learnt.dry(mean, known, rng.normal(0.0, 3e-4), web_m - 63.0, 1.0)
        trim = min(max(trim - learnt.now(known, slip) - trim, trim - 0.02), trim + 0.02)
        errors.append(slip + trim)
    quiet, after = np.array(errors[600:8640]), np.array(errors[8640:])
    assert np.abs(quiet).max() < 4e-3
    assert after.max() < 4e-3  # never beyond the other side
    assert np.abs(after[20:]).max() < 4e-3
    assert known.dry.level2.max() < 1e-4 and known.flow.film.film2 < 1e-4


def test_what_was_blamed_on_the_gauge_becomes_level_where_the_memory_of_it_is_lost():
    """The encoder was set back: nothing says any more what the two had parted by at the metre now read."""
    mean = configure(adaptive_line(), CYCLE_S).estimator.mean
    known = learnt.none(mean)
    for metre in range(200):
        known = learnt.dry(mean, known, 0.010, float(metre), 1.0)
    known = known._replace(blame=known.blame._replace(share=0.8, apart=-0.005))
    after = learnt.dry(mean, known, 0.006, 200.0, 1.0)  # what level and bias say together
    np.testing.assert_allclose(after.dry.level, 0.006, atol=1e-5)
    assert after.blame.bias == 0.0
