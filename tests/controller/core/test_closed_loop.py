"""Small closed loops on a web with nothing but transport: what is promised of both laws as named tests."""

import numpy as np
import pytest

from controller.core.step import configure, init, step
from controller.core.trace import Trace
from controller.line.command import Mode
from controller.line.description import Array, LawName, LineDescription
from tests.factories import ToyWeb, make_line

LAWS = [LawName.PI, LawName.IMC, LawName.ADAPTIVE]
CYCLE_S = 0.5
SECOND = round(1.0 / CYCLE_S)  # in cycles
MODE = np.cos(np.pi * (np.arange(8) + 0.5) / 8.0)  # the longest wave a lip of eight bolts can make


def run(web: ToyWeb, seconds: float) -> tuple[list[Trace], Array]:
    """Close the loop; the traces, and the error of the dry coat leaving the die in each cycle, (cycles, zones), log."""
    config = configure(web.line, web.line.control.cycle_s)
    state, traces, errors = init(config, Mode.AUTO), [], []
    for _ in range(round(seconds / web.line.control.cycle_s)):
        state, command, trace = step(config, state, web.inputs(), web.line.control.cycle_s)
        web.advance(command)
        traces.append(trace)
        errors.append(web.die_error)
    return traces, np.array(errors)


def fast_line(law: LawName, **parts: object) -> LineDescription:
    """Tuned as fast as its dead time allows, which is where a loop is nearest its limits."""
    control = {"closed_loop_cd_s": 4.0, "closed_loop_md_s": 4.0, "dead_band_um": 0.0, "bias_filter_s": 100.0}
    no_play = {"backlash_um": 0.0}  # nor has the toy web any
    return make_line(law=law, control=control | {"cycle_s": CYCLE_S}, lips=no_play, **parts)


@pytest.mark.parametrize("law", LAWS)
def test_a_step_of_the_mean_is_untouched_for_the_dead_time_and_then_removed(law):
    """+1 % at 10 m of web; the wet gauge sees it 3 m later."""
    line = fast_line(law)
    web = ToyWeb(line, coating=lambda web_m: 0.01 * (web_m >= 10.0))
    traces, errors = run(web, 70.0)
    mean = errors.mean(axis=1)
    np.testing.assert_allclose(mean[: 10 * SECOND - 1], 0.0, atol=1e-9)
    np.testing.assert_allclose(mean[10 * SECOND : 13 * SECOND - 1], 0.01, atol=1e-9)
    assert abs(mean[33 * SECOND :]).max() < 0.1 * 0.01  # gone in six dead times, two of them the estimate's filter
    assert mean.min() > -0.0025
    assert all(trace.mode_actual is Mode.AUTO for trace in traces)
    assert np.ptp(web.gap_um) == 0.0


@pytest.mark.parametrize("law", LAWS)
def test_a_step_of_the_shape_is_untouched_for_the_dead_time_and_then_removed(law):
    web = ToyWeb(fast_line(law), coating=lambda web_m: 0.005 * MODE * (web_m >= 10.0))
    _, errors = run(web, 70.0)
    size = errors @ MODE / (MODE @ MODE)
    np.testing.assert_allclose(size[10 * SECOND : 13 * SECOND - 1], 0.005, atol=1e-6)
    assert abs(size[33 * SECOND :]).max() < 0.1 * 0.005
    assert size.min() > -0.25 * 0.005
    assert web.trim_pct == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("gain", [0.6, 1.0, 1.4])
@pytest.mark.parametrize("speed_mps", [0.5, 1.0])
def test_a_wrong_gain_and_another_speed_leave_the_loop_stable(law, gain, speed_mps):
    """Forty percent either way, at full and at half speed: everything is counted in web length, so half is no worse."""
    shape = 0.005 * MODE + 0.002 * np.cos(3.0 * np.pi * (np.arange(8) + 0.5) / 8.0)
    web = ToyWeb(fast_line(law), coating=lambda web_m: 0.01 + shape, gain=gain)
    web.speed_mps = speed_mps
    traces, errors = run(web, 90.0 / speed_mps)
    last_seconds = round(20 * SECOND / speed_mps)
    start, end = errors[: 2 * SECOND], errors[-last_seconds:]
    assert np.abs(end).max() < 0.15 * np.abs(start).max()
    moves = np.abs(np.diff([trace.gap_target_um for trace in traces], axis=0)).max(axis=1)
    assert moves[-last_seconds:].max() <= 0.1 + 1e-9  # at rest, but for a count now and then


@pytest.mark.parametrize("law", LAWS)
def test_a_change_of_speed_on_the_way_is_no_disturbance(law):
    """The delay doubles in seconds and stays 3 m; a loop at rest does not notice."""
    web = ToyWeb(fast_line(law), coating=lambda web_m: 0.01 + 0.005 * MODE)
    run_until_rest, _ = run(web, 80.0)
    at_rest = run_until_rest[-1]
    config = configure(web.line, CYCLE_S)
    state = init(config, Mode.AUTO)
    for cycle in range(60 * SECOND):
        web.speed_mps = 1.0 - 0.5 * min(1.0, cycle / (10.0 * SECOND))
        state, command, trace = step(config, state, web.inputs(), CYCLE_S)
        web.advance(command)
        assert trace.mode_actual is Mode.AUTO
        assert np.abs(trace.gap_target_um - at_rest.gap_target_um).max() < 0.6
        assert abs(trace.pump_trim_pct - at_rest.pump_trim_pct) < 0.05


@pytest.mark.parametrize("law", LAWS)
def test_solids_are_corrected_by_the_pump_once_the_dry_gauge_has_seen_them(law):
    """3 % of solids at 100 m: nobody knows for 63 m, then the mean goes and the lips stay."""
    line = make_line(law=law, control={"bias_filter_s": 100.0, "cycle_s": 0.5, "closed_loop_md_s": 8.0})
    web = ToyWeb(line, solids=lambda web_m: np.log(1.03) * (web_m >= 100.0))
    _, errors = run(web, 330.0)
    mean = errors.mean(axis=1)
    np.testing.assert_allclose(mean[201:320], np.log(1.03), atol=1e-6)
    assert np.abs(mean[-60:]).max() < 0.003
    np.testing.assert_array_equal(web.gap_um, 600.0)


@pytest.mark.parametrize("law", LAWS)
def test_a_line_with_a_dry_gauge_only_is_slow_and_stable(law):
    line = make_line(law=law, wet=False, control={"closed_loop_cd_s": 120.0, "closed_loop_md_s": 100.0, "cycle_s": 1.0})
    web = ToyWeb(line, coating=lambda web_m: 0.01 + 0.005 * MODE)
    _, errors = run(web, 900.0)
    assert np.abs(errors[-50:]).max() < 0.2 * np.abs(errors[0]).max()


@pytest.mark.parametrize("law", LAWS)
def test_a_trim_at_its_limit_is_left_as_soon_as_it_need_not_be_there(law):
    """+10 % is more than the trim's 8 %. When it goes after 60 m, the trim comes back: dead time, filters, no more."""
    web = ToyWeb(fast_line(law), coating=lambda web_m: np.log(1.10) * (5.0 <= web_m < 65.0))
    traces, errors = run(web, 110.0)
    trim = np.array([trace.pump_trim_pct for trace in traces])
    assert trim[64 * SECOND] == pytest.approx(-8.0)
    assert trim[70 * SECOND] > -7.7
    assert np.abs(errors[-10 * SECOND :].mean(axis=1)).max() < 2e-3


@pytest.mark.parametrize("law", LAWS)
def test_a_stuck_bolt_does_not_wind_the_others_up(law):
    """Bolt 3 stays where it is. The shape cannot be removed, but nothing runs away from it."""
    web = ToyWeb(fast_line(law), coating=lambda web_m: 0.005 * MODE)
    config = configure(web.line, CYCLE_S)
    state, held, traces = init(config, Mode.AUTO), web.gap_um[3], []
    for _ in range(240 * SECOND):
        state, command, trace = step(config, state, web.inputs(), CYCLE_S)
        web.advance(command)
        web.gap_um[3] = held
        traces.append(trace)
    targets = np.array([trace.gap_target_um for trace in traces])
    others = np.arange(8) != 3
    assert np.abs(web.die_error).max() < 0.005
    assert np.abs(targets[-1] - targets[-60 * SECOND])[others].max() < 2.0
    assert np.abs(targets[-1][others] - 600.0).max() < 30.0
