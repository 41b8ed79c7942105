"""Closed-loop stories with a number at their end. Each runs the real plant, bus, bridge and controller in lockstep.

The pilot line (16 zones, 30 m/min) plays most of them: its delays are as long and its tests are quicker.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from controller.core.ladder import ALLOWED, WORSE_CD, WORSE_MD
from controller.line.command import Cause, Mode, OperatorRequest, Outcome, Rung
from controller.line.description import GaugeKind
from controller.line.profile import LineInputs, LineState
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from firmware_bridge.contract import NodeState
from tests.controller.core.test_ladder import under, ways
from tests.runs import DRIFTS, Line, story, with_line


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


@pytest.mark.parametrize("rival", [Rival.PID, Rival.IMC])
def test_uneven_lips_become_an_even_coating(rival: Rival) -> None:
    line = Line(story(drifts=DRIFTS), rival=rival)
    line.play_s(10.0)
    uneven = rms(line.rows(8.0))
    line.play_s(420.0)
    assert rms(line.rows(60.0)) < 0.3 * uneven
    assert line.checker.violations == 0 and line.checker.commands > 0


def test_the_web_stops_with_the_daemon_dead() -> None:
    """The pump stops with the web although nobody commands it, and nothing more is pumped onto a standing web."""
    line = Line(story({"name": "web-stop", "onset_s": 130.0, "duration_s": 1e4, "ramp_s": 5.0}))
    line.play_s(120.0)
    assert line.nodes.pump.watch.state is NodeState.OPERATING
    line.play_dead_s(40.0)
    readings = line.nodes.readings
    assert readings is not None and readings.line_state is LineState.STOPPED
    assert readings.web_speed_mps == 0.0
    assert readings.pump_speed_rpm == pytest.approx(0.0, abs=1e-3)
    assert line.nodes.die.watch.state is NodeState.LATCHED


@pytest.mark.parametrize("daemon_alive", [True, False], ids=["daemon alive", "daemon dead"])
def test_the_web_slows_to_half(daemon_alive: bool) -> None:
    """The pump follows web speed by itself; the mean holds within tolerance once the transport delay is over."""
    line = Line(story({"name": "web-speed", "onset_s": 200.0, "size": 0.5, "ramp_s": 10.0}))
    line.play_s(195.0)
    (line.play_s if daemon_alive else line.play_dead_s)(15.0 + 20.0)
    gauge_m = line.line.wet_gauge.distance_m
    (line.play_s if daemon_alive else line.play_dead_s)(gauge_m / (0.5 * line.line.web_speed_mps))
    (line.play_s if daemon_alive else line.play_dead_s)(60.0)
    mean = line.rows(60.0).mean(axis=1)
    assert np.abs(mean).max() < line.line.target.tolerance_pct


def test_a_bolt_sticks_during_a_batch_change() -> None:
    """The bolt is noticed, the others go on, no limit is broken, and the web comes back into tolerance."""
    line = Line(
        story(
            {"name": "stuck-bolt", "at": 0.5, "onset_s": 0.0},
            {"name": "batch-change", "onset_s": 240.0, "front_s": 60.0},
            drifts=("static-profile", "slow-cd-drift"),
        ),
        seed=3,
    )
    line.play_s(240.0)
    stuck = line.sink.all[-1].zone_not_following
    assert stuck.sum() == 1
    line.play_s(360.0)
    assert line.checker.violations == 0
    level = line.rows(60.0).mean(axis=1)
    assert np.abs(level).max() < line.line.target.tolerance_pct
    free = np.delete(line.sink.all[-1].profile_gsm, np.flatnonzero(stuck) + np.array([-1, 0, 1]))
    assert np.abs(free / line.line.target.areal_density_gsm - 1.0).max() < 0.015


@pytest.mark.parametrize("name", ["stuck-bolt", "reversed-bolt"])
def test_a_bolt_that_cannot_be_used_is_left_alone_and_the_others_do_its_part(name: str) -> None:
    """A stuck one shows in its feedback; a reversed one only in the web, which it makes worse until it is found."""
    drifts = ("static-profile", "slow-cd-drift", "fast-cd-drift", "white-cd")
    well, ill = Line(story(drifts=drifts)), Line(story({"name": name, "at": 0.5, "onset_s": 200.0}, drifts=drifts))
    for line in (well, ill):
        line.play_s(900.0)
    ends = [rms(line.rows(120.0)) for line in (well, ill)]
    assert ill.checker.violations == 0
    assert np.flatnonzero(ill.sink.all[-1].zone_not_following).tolist() == [8]
    assert not well.sink.all[-1].zone_not_following.any()
    assert ends[1] < 1.5 * ends[0]


def test_a_silent_wet_gauge_holds_and_comes_back_without_a_bump() -> None:
    line = Line(story({"name": "gauge-silent", "gauge": "wet", "onset_s": 150.0, "duration_s": 30.0}, drifts=DRIFTS))
    line.play_s(149.0)
    quiet = line.play_s(30.0)
    held = [trace for trace in quiet if trace.mode_actual is Mode.HOLD]
    assert {trace.outcome for trace in held} == {Outcome.GAUGE_STALE}
    assert all(np.array_equal(trace.gap_target_um, held[0].gap_target_um) for trace in held)
    back = line.play_s(10.0)
    assert back[-1].mode_actual is Mode.AUTO
    steps = np.diff([held[-1].gap_target_um, *(trace.gap_target_um for trace in back)], axis=0)
    assert np.abs(steps).max() <= line.line.lips.rate_um_per_s * line.cycle_s + 1e-9


@pytest.mark.parametrize("rival", [Rival.PID, Rival.IMC])
def test_a_frozen_wet_gauge_is_not_believed(rival: Rival) -> None:
    """It repeats its last profile for a minute: every move would look like a disturbance that nothing can answer."""
    frozen = {"name": "gauge-frozen", "gauge": "wet", "onset_s": 240.0, "duration_s": 60.0}
    line = Line(story(frozen, drifts=DRIFTS), rival=rival)
    line.play_s(240.0)
    even = rms(line.rows(60.0))
    held = line.play_s(60.0)[-1]
    assert held.outcome is Outcome.GAUGE_STALE
    assert any("repeats itself" in fault for fault in held.link_faults)
    assert line.play_s(30.0)[-1].mode_actual is Mode.AUTO
    assert rms(line.rows(90.0)) < 2.0 * even


def test_a_lost_encoder_stops_the_pump_and_holds_the_lips() -> None:
    line = Line(story({"name": "encoder-loss", "onset_s": 150.0, "duration_s": 10.0}, drifts=DRIFTS))
    line.play_s(155.0)
    assert line.sink.all[-1].outcome is Outcome.ENCODER_LOST
    readings = line.nodes.readings
    assert readings is not None and readings.pump_speed_rpm == pytest.approx(0.0, abs=0.5)
    line.play_s(60.0)
    assert line.sink.all[-1].mode_actual is Mode.AUTO
    assert line.checker.violations == 0


def test_a_standing_line_keeps_ratio_and_lips() -> None:
    line = Line(story({"name": "web-stop", "onset_s": 150.0, "duration_s": 30.0, "ramp_s": 5.0}, drifts=DRIFTS))
    line.play_s(150.0)
    stopped = [trace for trace in line.play_s(40.0) if trace.line_state is LineState.STOPPED]
    assert {trace.outcome for trace in stopped} == {Outcome.LINE_STOPPED}
    assert len({trace.pump_trim_pct for trace in stopped}) == 1
    assert len({trace.pump_ratio_rpm_per_mps for trace in stopped}) == 1
    line.play_s(120.0)
    assert np.abs(line.rows(20.0).mean(axis=1)).max() < line.line.target.tolerance_pct


def test_hands_over_and_back_without_a_bump() -> None:
    """AUTO -> MANUAL -> AUTO -> HOLD -> AUTO: no command steps further than one rate step, nor does the pump."""
    line = Line(story(drifts=DRIFTS))
    line.play_s(120.0)
    for mode in (Mode.MANUAL, Mode.AUTO, Mode.HOLD, Mode.AUTO):
        line.request(OperatorRequest(mode=mode))
        traces = line.play_s(20.0)
        assert traces[-1].mode_actual is mode
    gaps = np.array([trace.gap_target_um for trace in line.sink.all])
    trims = np.array([trace.pump_trim_pct for trace in line.sink.all])
    assert np.abs(np.diff(gaps, axis=0)).max() <= line.line.lips.rate_um_per_s * line.cycle_s + 1e-9
    assert np.abs(np.diff(trims)).max() <= line.line.pump.trim_rate_pct_per_s * line.cycle_s + 1e-9


def test_a_pure_md_sine_moves_no_lip() -> None:
    """Pump pulsation shifts the whole web; an array gauge sees no profile in it. The lips go as they go without it."""
    quiet, pulsing = (Line(story(*plays)) for plays in ((), ({"name": "pump-pulsation", "size": 5.0},)))
    lips = [np.array([trace.gap_target_um for trace in line.play_s(180.0)]) for line in (quiet, pulsing)]
    assert np.std(pulsing.rows(60.0).mean(axis=1)) > 0.2, "a sine worth the name"
    assert np.abs(lips[0] - lips[1]).max() <= 0.3 + 1e-9  # a dead band crossed a little earlier or later


def test_a_solids_step_is_the_pumps_business() -> None:
    """Solids change what the dry gauge sees and not what the wet one does. The pump answers; the lips do not."""
    line = Line(story({"name": "batch-change", "onset_s": 400.0, "front_s": 30.0}), seed=2)
    line.play_s(400.0)
    lips, trim = line.sink.all[-1].gap_target_um, line.sink.all[-1].pump_trim_pct
    traces = line.play_s(400.0)
    assert abs(traces[-1].pump_trim_pct - trim) > 0.3
    assert np.abs(line.rows(30.0).mean(axis=1)).max() < 0.5
    assert rms(traces[-1].gap_target_um - lips) < 3.0


def lips_with_and_without(play: dict[str, object], seconds: float) -> tuple[np.ndarray, Line]:
    """How far the lips of the line to which it happens stand from those of its twin, (cycles, zones), um."""
    twin, line = Line(story(drifts=("static-profile",))), Line(story(play, drifts=("static-profile",)))
    lips = [np.array([trace.gap_target_um for trace in each.play_s(seconds)]) for each in (twin, line)]
    return lips[1] - lips[0], line


def test_a_foil_step_is_the_pumps_business() -> None:
    """Foil 1 % of the coating heavier reaches the dry gauge as coating. The mean follows it; no lip does."""
    moved, line = lips_with_and_without({"name": "gauge-bias", "gauge": "dry", "onset_s": 150.0, "size": 1.0}, 240.0)
    trims = [trace.pump_trim_pct for trace in line.sink.all]
    assert trims[-1] - trims[1500] == pytest.approx(-1.0, abs=0.15)
    assert np.abs(moved).max() <= 1.0  # two dead bands: crossed a little earlier or later


def test_a_ramp_of_the_wet_gauges_bias_is_learned_and_moves_no_lip() -> None:
    """1.5 % in two minutes and a half, seen against the dry gauge a minute later. Lips stay; the mean comes back."""
    steps = [{"name": "gauge-bias", "gauge": "wet", "onset_s": 100.0 + 10.0 * i, "size": 0.1} for i in range(15)]
    twin, line = Line(story(drifts=("static-profile",))), Line(story(*steps, drifts=("static-profile",)))
    lips = [np.array([trace.gap_target_um for trace in each.play_s(420.0)]) for each in (twin, line)]
    assert np.abs(lips[1] - lips[0]).max() <= 1.0
    assert line.sink.all[-1].wet_bias_pct.mean() == pytest.approx(-1.5 + twin.sink.all[-1].wet_bias_pct.mean(), abs=0.1)
    apart = line.rows(420.0).mean(axis=1) - twin.rows(420.0).mean(axis=1)
    assert -0.9 < apart.min() < -0.5  # what a ramp of 0.01 %/s does within 62 s, and no more
    assert abs(apart[-300:].mean()) < 0.1


def test_advisory_sends_nothing_and_shows_what_it_would_do() -> None:
    line = Line(story(drifts=DRIFTS))
    frames: list[int] = []
    line.loop = line.controller(line.sink, Mode.ADVISORY)
    own = {0x100, 0x040, 0x018, 0x701}
    line.hub.tap(lambda frame: frames.append(frame.can_id))
    advice = line.play_s(120.0)[-1]
    assert advice.mode_actual is Mode.ADVISORY and advice.outcome is Outcome.OK and not advice.sent
    assert not own & set(frames) and len(frames) > 1000
    assert line.nodes.die.watch.state is NodeState.HOLDING
    assert np.ptp(advice.gap_target_um) > 1.0, "the advice for an uneven web is not to do nothing"


def test_a_restarted_daemon_takes_over_where_the_lips_stand() -> None:
    """The daemon dies, the nodes hold and latch; a new one re-arms them and goes on from the fed-back positions."""
    line = Line(story(drifts=DRIFTS))
    line.play_s(200.0)
    line.play_dead_s(10.0)
    assert line.nodes.die.watch.state is NodeState.LATCHED
    stood, turned = line.nodes.readings.lip_motor_um.copy(), line.nodes.pump.trim_pct
    line.loop = line.controller(line.sink, Mode.AUTO)
    traces = line.play_s(30.0)
    assert traces[0].mode_actual is Mode.HOLD
    assert np.abs(traces[0].gap_target_um - stood).max() <= line.line.lips.command_step_um
    assert abs(traces[0].pump_trim_pct - turned) < 0.01
    assert traces[-1].mode_actual is Mode.AUTO and line.nodes.die.watch.state is NodeState.OPERATING
    gaps = np.array([trace.gap_target_um for trace in traces])
    assert np.abs(np.diff(gaps, axis=0)).max() <= line.line.lips.rate_um_per_s * line.cycle_s + 1e-9
    assert line.checker.violations == 0


def test_a_line_with_a_dry_gauge_only() -> None:
    settings = with_line("pilot-16", wet_gauge=None)
    line = Line(story(drifts=DRIFTS), line=settings)
    line.play_s(10.0)
    uneven = rms(line.rows(8.0))
    line.play_s(1200.0)
    assert rms(line.rows(120.0)) < 0.5 * uneven
    assert line.checker.violations == 0


def test_a_line_with_a_wet_gauge_only() -> None:
    settings = with_line("pilot-16", dry_gauge=None)
    line = Line(story(drifts=("static-profile",)), line=settings)
    line.play_s(10.0)
    uneven = rms(line.rows(8.0))
    line.play_s(300.0)
    assert rms(line.rows(60.0)) < 0.5 * uneven


def test_a_line_with_nothing_but_a_scanner() -> None:
    """One head in a zig-zag behind the dryer closes the loop over the bus; the passes' direction comes with them."""
    dry = load_line("pilot-16").line.dry_gauge
    assert dry is not None
    scanner = replace(dry, kind=GaugeKind.DRY_SCANNER, period_s=3.0, head_speed_mps=0.2)
    settings = with_line("pilot-16", wet_gauge=None, dry_gauge=scanner)
    line = Line(story(drifts=("static-profile", "slow-cd-drift")), line=settings)
    read, directions = line.loop._port.read, []

    def overheard() -> LineInputs:
        inputs = read()
        directions.extend([] if inputs.dry is None else [inputs.dry.direction])
        return inputs

    line.loop._port.read = overheard  # type: ignore[method-assign]
    line.play_s(10.0)
    uneven = rms(line.rows(8.0))
    line.play_s(1500.0)
    assert rms(line.rows(120.0)) < 0.4 * uneven
    assert line.checker.violations == 0
    assert directions[:4] == [1, -1, 1, -1] and len(directions) > 400


def test_a_line_of_another_maker_runs_with_a_map_and_no_code() -> None:
    """24 zones, classic CAN, other ids, names, byte orders and scalings: the loop closes and no limit is broken."""
    settings = load_line(Path(__file__).parent / "firmware_bridge" / "foreign.toml")
    assert not settings.wire.fd and settings.line.zones == 24
    line = Line(story(drifts=DRIFTS), line=settings)
    line.play_s(10.0)
    uneven = rms(line.rows(8.0))
    line.play_s(300.0)
    assert rms(line.rows(60.0)) < 0.4 * uneven
    assert line.checker.commands > 1000 and line.checker.violations == 0


@pytest.mark.parametrize(
    ("way", "causes"),
    [
        ("no number", {Cause.NOT_FINITE}),
        ("wrong sign", {Cause.WORSE_CD, Cause.WORSE_MD}),
        ("ten times too fast", {Cause.WORSE_CD, Cause.WORSE_MD}),
    ],
)
def test_a_law_that_goes_wrong_is_replaced_by_one_below_it(way: str, causes: set[Cause]) -> None:
    """Tried again ever more seldom; three minutes after it was last sent away the web is as even as it should be."""
    line = Line(story(drifts=DRIFTS))
    line.loop.config = under(line.loop.config, ways(line.loop.config)[way])
    line.play_s(60.0)
    while (away := quiet_s(line)) < 180.0:
        line.play_s(max(5.0, 180.0 - away))
        assert len(line.sink.all) * line.cycle_s < 1500.0, "a rung below the top is held before long"
    traces = line.sink.all
    below = [trace for trace in traces if trace.rung is not Rung.OWN]
    assert {trace.rung_cause for trace in below} <= causes
    assert {trace.mode_actual for trace in below} == {Mode.AUTO}
    assert np.abs(line.rows(60.0).mean(axis=1)).max() < line.line.target.tolerance_pct
    assert rms(line.rows(60.0)) < 0.5 * line.line.target.tolerance_pct
    gaps = np.array([trace.gap_target_um for trace in traces])
    assert np.abs(np.diff(gaps, axis=0)).max() <= line.line.lips.rate_um_per_s * line.cycle_s + 1e-9
    changes = [k for k in range(1, len(traces)) if traces[k].rung is not traces[k - 1].rung]
    for k in changes:
        np.testing.assert_allclose(gaps[k], gaps[k - 1], atol=1e-9)
        assert traces[k].pump_trim_pct == pytest.approx(traces[k - 1].pump_trim_pct, abs=1.5e-3)
    assert line.checker.violations == 0


def quiet_s(line: Line) -> float:
    """For how long the top rung was not stood on, s."""
    traces = line.sink.all
    top = [k for k in range(len(traces)) if traces[k].rung is Rung.OWN]
    return (len(traces) - 1 - top[-1]) * line.cycle_s


@pytest.mark.parametrize("rival", [Rival.PID, Rival.IMC])
def test_what_happens_to_any_line_sends_nobody_down_the_ladder(rival: Rival) -> None:
    """A new batch, a ramp of the wet gauge's bias, a pump that slips, and a web that slows: no law is to blame."""
    ramp = [{"name": "gauge-bias", "gauge": "wet", "onset_s": 400.0 + 10.0 * i, "size": 0.1} for i in range(15)]
    line = Line(
        story(
            {"name": "batch-change", "onset_s": 200.0, "front_s": 60.0},
            *ramp,
            {"name": "pump-slip-step", "onset_s": 620.0, "size": 1.5},
            {"name": "web-speed", "onset_s": 700.0, "size": 0.6, "ramp_s": 10.0},
            drifts=DRIFTS,
        ),
        rival=rival,
    )
    traces = line.play_s(840.0)
    assert {trace.rung for trace in traces} == {Rung.PI if rival is Rival.PID else Rung.OWN}
    assert {trace.rung_cause for trace in traces} == {Cause.NONE}
    worse = np.array([(trace.against_pi_cd, trace.against_pi_md) for trace in traces[100:]])
    assert np.nanmax(worse) < ALLOWED[traces[-1].rung].take([WORSE_CD, WORSE_MD]).min()
