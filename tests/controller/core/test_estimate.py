"""Scans -> estimate: what is believed of the web after holes, outliers, bias, solids steps and silence."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import estimate
from controller.core.estimate import EstimateState, Estimator
from controller.core.response import believe
from controller.line.description import LineDescription
from tests.factories import ToyWeb, dry_scan, identical, make_inputs, make_line, wet_scan


def build(line: LineDescription) -> tuple[Estimator, EstimateState]:
    estimator = estimate.build(line, believe(line))
    return estimator, estimate.init(estimator)


def watch(web: ToyWeb, seconds: float, state: EstimateState | None = None) -> EstimateState:
    """Look at a web for some time without doing anything to it."""
    estimator, fresh = build(web.line)
    state = fresh if state is None else state
    for _ in range(round(seconds / web.line.control.cycle_s)):
        state = estimate.update(estimator, state, web.inputs())
        web.advance(None)
    return state


def see_wet(line: LineDescription, *errors: object, valid: object = None) -> EstimateState:
    """Take in wet scans one after the other, 0.1 s apart."""
    estimator, state = build(line)
    for i, error in enumerate(errors):
        scan = wet_scan(line, error, t_s=0.1 * i, web_m=0.1 * i, valid=valid)
        state = estimate.update(estimator, state, make_inputs(line, 0.1 * i, wet=scan))
    return state


# --------------------------------------------------------------------------------------------- one scan


def test_a_perfect_web_has_no_error():
    state = see_wet(make_line(), 0.0)
    np.testing.assert_allclose(state.reading.error, 0.0, atol=1e-12)
    np.testing.assert_allclose(state.reading.disturbance_cd, 0.0, atol=1e-12)
    assert state.reading.disturbance_md == pytest.approx(0.0, abs=1e-12)
    assert state.good_share == 1.0
    assert state.reading.t_ns >= 0


def test_zones_with_targets_of_their_own_are_measured_against_them():
    line = make_line(4, target={"profile_gsm": (170.0, 180.0, 180.0, 190.0)})
    state = see_wet(line, 0.0)
    np.testing.assert_allclose(state.reading.error, 0.0, atol=1e-12)
    np.testing.assert_allclose(
        estimate.fused_profile_gsm(build(line)[0], state), [170.0, 180.0, 180.0, 190.0], rtol=1e-12
    )


def test_a_pure_md_change_leaves_cd_at_zero():
    state = see_wet(make_line(), np.full(16, np.log(1.03)))
    assert state.reading.disturbance_md == pytest.approx(np.log(1.03), rel=1e-5)
    np.testing.assert_allclose(state.reading.disturbance_cd, 0.0, atol=1e-12)


def test_the_mean_is_the_mean_of_mass_and_not_of_its_logarithm():
    """One zone at 1.4 times target and the rest on it: the mean is 5 % up, by weight."""
    error = np.zeros(8)
    error[3] = np.log(1.4)
    assert estimate.mean_log(error) == pytest.approx(np.log(1.05))


def test_a_zone_with_one_bad_box_is_read_from_the_other():
    line, error, valid = make_line(4), np.repeat([0.01, 0.02, 0.03, 0.04], 2), np.ones(8, dtype=bool)
    error[2], valid[2] = 0.5, False
    state = see_wet(line, error, valid=valid)
    np.testing.assert_allclose(state.reading.error, [0.01, 0.02, 0.03, 0.04], atol=1e-6)
    assert state.reading.valid.all()
    assert state.good_share == pytest.approx(7 / 8)


@pytest.mark.parametrize("bad", [np.nan, 0.0, -5.0, np.inf, 1e308])
def test_a_hole_is_bridged_and_marked(bad):
    line = make_line(5)
    scan = wet_scan(line, np.repeat([0.00, 0.01, 0.02, 0.03, 0.04], 2))
    film = scan.film_um.copy()
    film[[4, 5]] = bad
    estimator, state = build(line)
    state = estimate.update(estimator, state, make_inputs(line, wet=replace(scan, film_um=film)))
    np.testing.assert_allclose(state.reading.error, [0.00, 0.01, 0.02, 0.03, 0.04], atol=1e-6)
    np.testing.assert_array_equal(state.reading.valid, [True, True, False, True, True])


def test_a_hole_at_the_edge_takes_the_nearest_zone():
    valid = np.ones(8, dtype=bool)
    valid[:2] = False
    state = see_wet(make_line(4), np.repeat([0.3, 0.02, 0.03, 0.04], 2), valid=valid)
    np.testing.assert_allclose(state.reading.error, [0.02, 0.02, 0.03, 0.04], atol=1e-6)


@pytest.mark.parametrize(("good", "usable"), [(8, True), (5, True), (4, True), (3, False), (0, False)])
def test_a_scan_with_too_few_good_boxes_tells_nothing(good, usable):
    state = see_wet(make_line(4), 0.05, valid=np.arange(8) < good)
    assert state.good_share == pytest.approx(good / 8)
    assert (state.reading.t_ns >= 0) is usable


def test_a_scan_without_any_idea_of_the_web_position_is_not_placed():
    line = make_line()
    estimator, state = build(line)
    state = estimate.update(estimator, state, make_inputs(line, wet=wet_scan(line, 0.02), encoder_valid=False))
    assert state.reading.t_ns == -1


def test_the_reading_stays_until_the_next_scan():
    line = make_line()
    estimator, state = build(line)
    state = estimate.update(estimator, state, make_inputs(line, 0.0, wet=wet_scan(line, 0.02)))
    later = estimate.update(estimator, state, make_inputs(line, 0.1))
    assert later.reading is state.reading


# ------------------------------------------------------------------------------------------ outlier gate


def test_a_box_that_jumps_out_of_the_profile_is_dropped():
    streak = np.zeros(16)
    streak[6] = 0.05
    state = see_wet(make_line(), 0.0, 0.0, streak)
    np.testing.assert_allclose(state.reading.error, 0.0, atol=1e-12)
    assert state.good_share == pytest.approx(15 / 16)


def test_a_jump_inside_the_noise_is_kept():
    """Three scans have equal weight so far: a third of the zone's jump shows."""
    noise = np.zeros(16)
    noise[6] = 0.01  # 2.5 sigma of one box
    state = see_wet(make_line(), 0.0, 0.0, noise)
    assert state.reading.error[3] == pytest.approx(0.005 / 3.0, rel=0.05)
    assert state.good_share == 1.0


def test_what_all_boxes_share_is_no_outlier():
    state = see_wet(make_line(), 0.0, 0.2)
    assert state.good_share == 1.0
    assert state.reading.disturbance_md == pytest.approx(0.1, rel=0.05)  # two scans, equal weight


def test_a_wild_box_is_found_in_the_scan_in_which_everything_jumps():
    jump = np.full(16, 0.05)
    jump[6] += 0.1
    state = see_wet(make_line(), 0.0, 0.0, jump)
    np.testing.assert_allclose(state.reading.error, 0.05 / 3.0, rtol=0.05)  # three scans: a third of it, evenly
    assert np.ptp(state.reading.error) < 1e-4
    assert state.good_share == pytest.approx(15 / 16)


def test_a_real_streak_gets_in_after_a_while():
    streak = np.zeros(16)
    streak[6] = 0.05
    gated = see_wet(make_line(), 0.0, *[streak] * 10)
    learned = see_wet(make_line(), 0.0, *[streak] * 400)
    assert gated.reading.error[3] == pytest.approx(0.0)
    assert learned.reading.error[3] == pytest.approx(0.025, rel=0.1)


def test_a_box_at_half_its_target_is_believed_neither_at_first_nor_later():
    torn = np.zeros(16)
    torn[6] = -0.8
    state = see_wet(make_line(), *[torn] * 60)
    np.testing.assert_allclose(state.reading.error, 0.0, atol=1e-12)


def test_one_percent_of_wild_boxes_does_not_disturb_the_profile():
    line, rng = make_line(), np.random.default_rng(5)
    profile = np.repeat(0.01 * np.cos(np.arange(8)), 2)
    estimator, state = build(line)
    worst = 0.0
    for i in range(300):
        seen = profile + rng.normal(0.0, 0.004, 16)
        wild = rng.uniform(size=16) < 0.01
        seen[wild] += rng.choice([-0.2, 0.2], wild.sum()) if i > 5 else 0.0
        scan = wet_scan(line, seen, t_s=0.1 * i, web_m=0.1 * i)
        state = estimate.update(estimator, state, make_inputs(line, 0.1 * i, wet=scan))
        worst = max(worst, float(np.abs(state.reading.error - profile[::2]).max()))
    assert worst < 5.0 * 0.004  # a wild box let through would show as 0.1


# ------------------------------------------------------------------- transport: what the actuators did is taken out


def test_what_the_lips_did_is_no_disturbance():
    line = make_line()
    rng = np.random.default_rng(2)
    gap_um = 600.0 + rng.normal(size=8)
    web = ToyWeb(line, gap_um=gap_um - gap_um.mean() + 600.0)
    web.trim_pct = 2.0
    web.advance(None)
    state = watch(web, 8.0)
    estimator, _ = build(line)
    assert np.abs(state.reading.error).max() > 1e-3
    np.testing.assert_allclose(state.reading.disturbance_cd, 0.0, atol=1e-4)  # the exponential's second order
    assert state.reading.disturbance_md == pytest.approx(0.0, abs=4e-4)  # scans older than the memory hardly count
    assert state.reading.error.mean() == pytest.approx(np.log(1.02), abs=4e-4)
    assert estimator.response.modes > 3


@pytest.mark.parametrize("speed_mps", [0.5, 1.0, 1.25])
def test_a_trim_step_is_taken_out_at_the_moment_it_arrives_at_any_speed(speed_mps):
    """The step shows in the error after the dead time and never in the disturbance, but for one sample of web."""
    line = make_line(4, dry=False)
    web = ToyWeb(line)
    web.speed_mps = speed_mps
    estimator, state = build(line)
    seen = []
    for cycle in range(round(8.0 / 0.1 / speed_mps)):
        state = estimate.update(estimator, state, web.inputs())
        seen.append((web.web_m, state.reading.disturbance_md, float(state.reading.error.mean())))
        if cycle == 20:
            web.trim_pct = 3.0
        web.advance(None)
    stepped_m = seen[21][0]
    array = np.array(seen)
    assert np.abs(array[:, 1]).max() < 0.03 * np.log(1.03)  # the one sample, filtered
    far = np.abs(array[:, 0] - stepped_m - 3.0) > 0.26
    before, after = array[far & (array[:, 0] < stepped_m + 3.0)], array[far & (array[:, 0] > stepped_m + 3.0)]
    np.testing.assert_allclose(before[:, 1:], 0.0, atol=1e-9)
    np.testing.assert_allclose(after[:, 2] - after[:, 1], np.log(1.03), atol=1e-9)


def test_lips_nobody_ever_heard_of_leave_no_trace_in_the_memory():
    """A bolt without feedback at the start must not poison the estimate after it is heard."""
    line = make_line()
    estimator, state = build(line)
    gap_um = np.full(8, 600.0)
    gap_um[2] = np.nan
    state = estimate.update(estimator, state, make_inputs(line, 0.0, gap_um=gap_um, wet=wet_scan(line, 0.01)))
    for i in range(1, 60):
        scan = wet_scan(line, 0.01, t_s=0.1 * i, web_m=0.1 * i)
        state = estimate.update(estimator, state, make_inputs(line, 0.1 * i, wet=scan))
        assert np.isfinite(state.reading.disturbance_cd).all()
        assert np.isfinite(state.reading.disturbance_md)


def test_log_ratio_by_hand():
    assert estimate.log_ratio(110.0, 2.0, 100.0) == pytest.approx(np.log(1.1 * 1.02))
    assert np.isfinite(estimate.log_ratio(0.0, 0.0, 100.0))


# ------------------------------------------------------------------------------------------- wet and dry


def test_a_solids_step_is_an_offset_of_the_mean_and_no_lip_error():
    """Only the dry gauge sees solids. Before it does nobody knows; after, it is one number for all zones."""
    line = make_line(control={"cycle_s": 0.5})
    before = watch(ToyWeb(line, solids=lambda web_m: 0.03 * (web_m > 100.0)), 160.0)
    after = watch(ToyWeb(line, solids=lambda web_m: 0.03 * (web_m > 100.0)), 400.0)
    assert before.offset.mean[-1] == pytest.approx(0.0, abs=1e-9)
    assert before.reading.disturbance_md == pytest.approx(0.0, abs=1e-9)
    assert after.offset.mean[-1] == pytest.approx(0.03, rel=0.02)
    assert after.reading.disturbance_md == pytest.approx(0.03, rel=0.02)
    np.testing.assert_allclose(after.offset.mean[:-1], 0.0, atol=1e-9)
    np.testing.assert_allclose(after.reading.disturbance_cd, 0.0, atol=1e-9)


def test_a_static_error_of_the_wet_boxes_is_learned_from_the_dry_scans():
    """As fast as the noise of one dry scan beside the usual size of such errors allows, and then for good."""
    line, boxes = make_line(), 0.01 * np.sin(np.arange(16))
    zones = boxes.reshape(8, 2).mean(axis=1)
    unaware = watch(ToyWeb(line, wet_box_bias=boxes), 50.0)
    np.testing.assert_allclose(unaware.reading.error, zones, atol=1e-6)
    aware = watch(ToyWeb(line, wet_box_bias=boxes), 75.0)
    assert np.abs(aware.reading.error).max() < 0.25 * np.abs(zones).max()
    later = watch(ToyWeb(line, wet_box_bias=boxes), 400.0)
    assert np.abs(later.reading.error).max() < 0.03 * np.abs(zones).max()
    estimator, _ = build(line)
    assert np.abs(estimate.bias_pct(estimator, later) + 100.0 * zones).max() < 0.03


def test_what_the_actuators_do_meanwhile_is_no_bias():
    """Wet and dry are compared on the same metre of web, so a move between the gauges cancels out."""
    line = make_line()
    web = ToyWeb(line)
    estimator, state = build(line)
    rng = np.random.default_rng(4)
    for cycle in range(1500):
        state = estimate.update(estimator, state, web.inputs())
        if cycle % 100 == 0:
            web.gap_um = 600.0 + rng.normal(0.0, 2.0, 8)
            web.trim_pct = float(rng.normal())
        web.advance(None)
    assert state.offset.readings > 70
    assert np.abs(state.offset.mean[:-1]).max() < 1e-3  # moves are ten times that; what is left is half a scan of web
    assert abs(state.offset.mean[-1]) < 1e-3


def test_the_mean_of_the_offset_is_learned_faster_than_its_shape():
    """All boxes together are less noisy than one shape, and solids change faster than boxes err."""
    line = make_line(16, control={"cycle_s": 1.0})
    shape = 0.01 * np.cos(np.arange(16))
    shape -= shape.mean()
    web = ToyWeb(line, solids=lambda web_m: (0.01 + shape) * (web_m > 300.0))
    state = watch(web, 300.0 + 63.0 + 11.0)
    estimator, _ = build(line)
    learned = estimate.to_error(estimator.response, state.offset.mean)
    assert learned.mean() == pytest.approx(0.01, rel=0.1)
    assert 0.02 < (learned - learned.mean()) @ shape / (shape @ shape) < 0.5


def test_a_dry_gauge_that_takes_long_over_a_scan_teaches_as_well():
    """Half a minute of web lies in one scan: what the wet gauge saw of its first metre must still be remembered."""
    line = make_line(control={"cycle_s": 1.0}, dry_gauge={"period_s": 30.0})
    state = watch(ToyWeb(line, solids=lambda web_m: 0.01), 500.0)
    estimator, _ = build(line)
    assert state.offset.readings >= 10
    assert estimate.to_error(estimator.response, state.offset.mean).mean() == pytest.approx(0.01, rel=0.05)


def test_a_dry_scan_whose_metre_the_wet_gauge_never_saw_teaches_nothing():
    line = make_line()
    estimator, state = build(line)
    inputs = make_inputs(line, 0.0, wet=wet_scan(line, 0.0), dry=dry_scan(line, 0.05))
    state = estimate.update(estimator, state, inputs)
    assert state.offset.readings == 0
    np.testing.assert_array_equal(state.offset.mean, 0.0)


def test_metres_that_the_wet_gauge_did_not_see_are_not_compared():
    """A silence of the wet gauge reaches the dry one a minute later; what was read before and after it is not mixed."""
    line = make_line(control={"cycle_s": 0.5}, wet_gauge={"period_s": 0.5})
    web = ToyWeb(line, coating=lambda web_m: 0.02 * (web_m > 100.0))
    estimator, state = build(line)
    compared = []
    for _ in range(400):
        inputs = web.inputs()
        if 95.0 <= web.web_m < 110.0:
            inputs = inputs._replace(wet=None)
        before = state.offset.readings
        state = estimate.update(estimator, state, inputs)
        if state.offset.readings > before:
            compared.append(web.web_m - 63.0)
        web.advance(None)
    assert not [web_m for web_m in compared if 92.5 < web_m < 107.0]
    assert np.abs(state.offset.mean).max() < 1e-6


def test_a_bad_dry_scan_teaches_nothing():
    line = make_line()
    web = ToyWeb(line, solids=lambda web_m: 0.03)
    estimator, state = build(line)
    for _ in range(900):
        inputs = web.inputs()
        if inputs.dry is not None:
            inputs = inputs._replace(dry=replace(inputs.dry, valid=np.arange(16) < 7))
        state = estimate.update(estimator, state, inputs)
        web.advance(None)
    assert state.offset.readings == 0
    assert state.good_share == 1.0  # that of the gauge which closes the loop


def test_a_line_with_a_dry_gauge_only_is_closed_by_it():
    line = make_line(wet=False)
    estimator, _ = build(line)
    state = watch(ToyWeb(line, coating=lambda web_m: np.log(1.02), solids=lambda web_m: 0.01), 70.0)
    assert estimator.primary.distance_m == 63.0
    assert state.reading.disturbance_md == pytest.approx(np.log(1.02) + 0.01, rel=1e-4)
    assert state.offset.readings == 0
    bad = estimate.update(
        estimator, state, make_inputs(line, 71.0, dry=dry_scan(line, 0.0, t_s=71.0, valid=np.zeros(16, bool)))
    )
    assert bad.good_share == 0.0
    assert bad.reading.t_ns == state.reading.t_ns


def test_a_line_with_a_wet_gauge_only_never_learns_a_bias():
    line = make_line(dry=False)
    estimator, _ = build(line)
    state = watch(ToyWeb(line, wet_box_bias=0.01), 70.0)
    np.testing.assert_allclose(estimate.bias_pct(estimator, state), 0.0)
    assert state.reading.disturbance_md == pytest.approx(0.01, rel=1e-4)


# ------------------------------------------------------------------------------------- holes, edges, surprises


def test_a_wide_hole_keeps_what_was_known_there():
    """Half of a lobed profile vanishes: what is believed of it stays, and does not become a straight line."""
    line = make_line(16)
    lobed = 0.01 * np.cos(np.arange(16))
    before = see_wet(line, *[np.repeat(lobed, 2)] * 50)
    estimator, _ = build(line)
    state, valid = before, np.ones(32, dtype=bool)
    valid[8:20] = False
    for i in range(50, 100):
        scan = wet_scan(line, np.repeat(lobed, 2), t_s=0.1 * i, web_m=0.1 * i, valid=valid)
        state = estimate.update(estimator, state, make_inputs(line, 0.1 * i, wet=scan))
    np.testing.assert_array_equal(state.reading.valid, [*[True] * 4, *[False] * 6, *[True] * 6])
    np.testing.assert_allclose(state.reading.error, before.reading.error, atol=2e-4)


def test_boxes_inside_the_edge_mask_are_not_believed():
    """25 mm at either edge are masked: two boxes each. A heavy edge there says nothing of the outermost zones."""
    line = make_line(wet_gauge={"edge_mask_mm": 25.0})
    heavy = np.zeros(16)
    heavy[[0, 1, -2, -1]] = 0.2
    state = see_wet(line, heavy, heavy)
    np.testing.assert_allclose(state.reading.error, 0.0, atol=1e-9)
    assert state.good_share == 1.0


@pytest.mark.parametrize(("share", "low", "high"), [(1.0, 0.7, 1.4), (0.25, 0.02, 0.2), (3.0, 4.0, 12.0)])
def test_innovations_tell_whether_the_noise_is_as_described(share, low, high):
    """Their mean square over what was expected is 1 where the gauge is as noisy as described."""
    line, rng = make_line(16, dry=False, control={"cycle_s": 0.1}), np.random.default_rng(3)
    estimator, state = build(line)
    for i in range(6000):
        scan = wet_scan(line, rng.normal(0.0, share * 0.004, 32), t_s=0.1 * i, web_m=0.1 * i)
        state = estimate.update(estimator, state, make_inputs(line, 0.1 * i, wet=scan))
    assert low < state.film.surprise2[:-1].mean() < high


def test_innovations_hang_together_when_the_web_drifts_faster_than_believed():
    line, rng = make_line(16, dry=False), np.random.default_rng(4)
    estimator, steady = build(line)
    drifting, drift = steady, np.zeros(16)
    for i in range(3000):
        noise = rng.normal(0.0, 0.004, 32)
        drift += rng.normal(0.0, 0.001, 16)
        for_steady = wet_scan(line, noise, t_s=0.1 * i, web_m=0.1 * i)
        for_drifting = wet_scan(line, noise + np.repeat(drift, 2), t_s=0.1 * i, web_m=0.1 * i)
        steady = estimate.update(estimator, steady, make_inputs(line, 0.1 * i, wet=for_steady))
        drifting = estimate.update(estimator, drifting, make_inputs(line, 0.1 * i, wet=for_drifting))
    assert abs(steady.film.surprise_lag[:-1].mean()) < 0.1
    assert drifting.film.surprise_lag[:-1].mean() > 0.5


# ------------------------------------------------------------------------------------------- any input at all


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=8, max_size=8), min_size=1, max_size=5),
    st.integers(0, 255),
)
def test_no_reading_makes_the_estimate_anything_but_a_number(films, mask):
    line = make_line(4)
    estimator, state = build(line)
    valid = np.array([bool(mask >> bit & 1) for bit in range(8)])
    for i, film in enumerate(films):
        wet = replace(wet_scan(line, t_s=0.1 * i, web_m=0.1 * i, valid=valid), film_um=np.array(film))
        dry = replace(dry_scan(line, t_s=0.1 * i, web_m=60.0 + 0.1 * i), areal_density_gsm=np.array(film))
        state = estimate.update(estimator, state, make_inputs(line, 0.1 * i, wet=wet, dry=dry))
        for values in (state.reading.error, state.reading.disturbance_cd, state.film.mean, state.offset.mean):
            assert np.isfinite(values).all()
        assert np.isfinite([state.reading.disturbance_md, state.good_share]).all()


def test_update_is_pure():
    line = make_line()
    web = ToyWeb(line, coating=lambda web_m: 0.01)
    state = watch(web, 70.0)
    estimator, _ = build(line)
    inputs = web.inputs()
    kept, kept_inputs = deepcopy(state), deepcopy(inputs)
    first = estimate.update(estimator, state, inputs)
    second = estimate.update(estimator, state, inputs)
    assert identical(first, second)
    assert identical(state, kept)
    assert identical(inputs, kept_inputs)
    assert not identical(first, state)
