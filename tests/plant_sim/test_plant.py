"""The plant as a whole: pre-metered, K-blind, mirror-symmetric, deterministic, and as hard as stated."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.line.profile import LineState
from plant_sim import plant
from plant_sim.faults import DRIFTS, Play
from plant_sim.plant import Command, Plant
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line

LINE = make_line()
DRIFTING = Scenario("drifting", "", tuple(Play(name) for name in DRIFTS))


def no_slip(truth):
    return replace(truth, pump=replace(truth.pump, slip_resistance_pa_s_per_m3=math.inf))


def stiff(truth):
    """Lips that do not give way under pressure."""
    return replace(truth, compliance_um_per_pa=np.zeros(truth.lanes))


def scenario(*plays):
    return Scenario("test", "", plays)


def relative_profile(readings):
    return readings.areal_density_gsm / readings.mean_gsm - 1.0


def test_true_mean_is_the_target_when_the_description_is_right(runner, nominal):
    readings = runner(LINE, nominal).step()
    assert readings.mean_gsm == pytest.approx(180.0, rel=1e-9)
    np.testing.assert_allclose(readings.areal_density_gsm, 180.0, rtol=1e-9)


def test_mass_balance(runner):
    """mean * W * U * dt is what the pump delivered, solids and all, whatever drifts."""
    run = runner(LINE, Truth.draw(LINE, 4), scenario(*(Play(name) for name in DRIFTS if name != "solids-drift")))
    solids = run.plant.truth.batches[0].solids_kgm3 * (1.0 + run.plant.truth.solids_offset)
    for readings in run.steps(50):
        coated = readings.areal_density_gsm.mean() * run.plant.truth.width_m * readings.coated_m
        assert coated == pytest.approx(1e3 * solids * readings.pump_flow_m3ps * 0.1, rel=1e-9)
        assert readings.areal_density_gsm.min() > 0.0


@pytest.mark.parametrize("common_um", [-40.0, 3.0, 60.0])
def test_equal_lip_moves_leave_the_mean(runner, common_um):
    truth = no_slip(Truth.draw(LINE, 2))
    still, moved = runner(LINE, truth, DRIFTING), runner(LINE, truth, DRIFTING)
    moved.gap_um = moved.gap_um + common_um
    for a, b in zip(still.steps(150), moved.steps(150), strict=True):
        assert b.mean_gsm == pytest.approx(a.mean_gsm, rel=1e-9)


def test_with_slip_a_wider_lip_lowers_pressure_and_raises_the_mean_by_dp_over_r(runner, nominal):
    still, moved = runner(LINE, nominal), runner(LINE, nominal)
    moved.gap_um = moved.gap_um + 30.0
    a, b = still.steps(100)[-1], moved.steps(100)[-1]
    fall_pa = 1e3 * (b.pump_pressure_kpa - a.pump_pressure_kpa)
    assert fall_pa < 0.0
    slip = nominal.pump.slip_resistance_pa_s_per_m3
    assert b.pump_flow_m3ps - a.pump_flow_m3ps == pytest.approx(-fall_pa / slip, rel=1e-6)


def test_one_bolt_moves_the_coating_by_the_stated_gain(runner, nominal):
    truth = replace(nominal, actuators=replace(nominal.actuators, backlash_um=np.zeros(LINE.zones)))
    run = runner(LINE, truth)
    run.gap_um[20] += 2.0
    profile = relative_profile(run.steps(20)[-1])
    opening = nominal.lip_response[:, 20] * 2.0
    expected = (2.0 + 1.0 / 0.6) * 0.4 * (opening - opening.mean()) / 600.0
    np.testing.assert_allclose(profile, expected, atol=0.01 * expected.max())


def test_double_consistency_changes_no_profile(runner):
    truth = stiff(Truth.draw(LINE, 3))
    thick = replace(truth, batches=tuple(replace(b, consistency_pa_sn=2 * b.consistency_pa_sn) for b in truth.batches))
    a, b = runner(LINE, truth, DRIFTING).steps(5)[-1], runner(LINE, thick, DRIFTING).steps(5)[-1]
    np.testing.assert_allclose(relative_profile(b), relative_profile(a), atol=1e-12)
    assert b.pump_pressure_kpa > 1.9 * a.pump_pressure_kpa


def test_another_flow_index_does_change_the_profile(runner):
    truth = Truth.draw(LINE, 3)
    other = replace(truth, batches=tuple(replace(b, flow_index=b.flow_index - 0.05) for b in truth.batches))
    a, b = runner(LINE, truth, DRIFTING).step(), runner(LINE, other, DRIFTING).step()
    assert np.abs(relative_profile(b) - relative_profile(a)).max() > 1e-3


def test_the_wet_gauge_does_not_see_solids_and_the_dry_one_does(runner, nominal):
    richer = tuple(replace(b, solids_fraction=b.solids_fraction * 1.01) for b in nominal.batches)
    films, masses = [], []
    for truth in (nominal, replace(nominal, batches=richer)):
        scans = [scan for readings in runner(LINE, truth).steps(700) for scan in readings.scans]
        films.append(np.mean([s.values for s in scans if s.kind.value == "wet-array"][-1]))
        masses.append(np.mean([s.values for s in scans if s.kind.value == "dry-array"][-1]))
    assert films[1] == pytest.approx(films[0], rel=1e-9)
    assert masses[1] == pytest.approx(1.01 * masses[0], rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_a_mirrored_line_makes_a_mirrored_web(seed):
    truth = Truth.draw(LINE, seed % 1000)
    mirrored = replace(
        truth,
        lip_response=truth.lip_response[::-1, ::-1].copy(),
        unevenness_um=truth.unevenness_um[::-1].copy(),
        actuators=replace(
            truth.actuators,
            rate_um_per_s=truth.actuators.rate_um_per_s[::-1],
            backlash_um=truth.actuators.backlash_um[::-1],
        ),
    )
    lips = 600.0 + 10.0 * np.random.default_rng(seed).standard_normal(LINE.zones)
    uneven = scenario(Play("static-profile"), Play("set-up-offset"))
    webs = []
    for line_truth, gap_um in ((truth, lips), (mirrored, lips[::-1])):
        one = Plant.of(line_truth, uneven, 1)
        state = plant.start(one, 112.0)
        for _ in range(60):
            state, readings = plant.step(one, state, Command(gap_um, 112.0), 0.1)
        webs.append(readings.areal_density_gsm)
    np.testing.assert_allclose(webs[1][::-1], webs[0], rtol=1e-10)


def test_same_seed_same_bytes_and_other_seed_other_bytes(runner):
    def web(seed):
        rows = runner(LINE, Truth.draw(LINE, seed), Scenario.load("first-shift"), seed).steps(120)
        scans = [scan.values.tobytes() for readings in rows for scan in readings.scans]
        return b"".join([readings.areal_density_gsm.tobytes() for readings in rows] + scans)

    assert web(1) == web(1)
    assert web(1) != web(2)


def test_playing_one_disturbance_more_changes_no_other(runner):
    """White unevenness on top leaves drift, slip and gauge noise as they were."""
    truth = Truth.draw(LINE, 1)
    base = (Play("slow-cd-drift"), Play("pump-slip-drift"))
    one, two = runner(LINE, truth, scenario(*base)), runner(LINE, truth, scenario(*base, Play("fast-cd-drift")))
    for a, b in zip(one.steps(40), two.steps(40), strict=True):
        assert a.pump_flow_m3ps == pytest.approx(b.pump_flow_m3ps, rel=1e-4)  # by pressure and slip alone
        assert len(a.scans) == len(b.scans)
    for name in ("s_slow", "s_slow_next"):
        assert one.state.vector(one.plant, name).tobytes() == two.state.vector(two.plant, name).tobytes()
    assert one.state.packed.lines["slip"] == two.state.packed.lines["slip"] != 0.0
    assert one.state.packed.gauges["bias_common"].tobytes() == two.state.packed.gauges["bias_common"].tobytes()


def test_step_is_pure(runner):
    """From one state, the same command twice gives the same bytes, whatever was done in between."""
    run = runner(LINE, Truth.draw(LINE, 1), Scenario.load("first-shift"))
    run.steps(300)
    past = run.state
    first = run.steps(40)[-1].areal_density_gsm.tobytes()
    run.state, run.rpm = past, 90.0
    run.steps(300)
    run.state, run.rpm = past, LINE.pump_ratio_nominal_rpm_per_mps
    assert run.steps(40)[-1].areal_density_gsm.tobytes() == first


def test_a_stuck_bolt_stays_and_the_others_go(runner, nominal):
    run = runner(LINE, nominal, scenario(Play("stuck-bolt", at=0.26, onset_s=1.0, duration_s=5.0)))
    run.gap_um = run.gap_um + 30.0
    motors = [readings.lip_motor_um for readings in run.steps(100)]
    assert motors[50][10] == motors[12][10] < 606.0
    assert np.delete(motors[59], 10).min() == pytest.approx(630.0)
    assert motors[99][10] > motors[60][10]


def test_a_dead_bolt_is_fed_back_as_moved_and_the_web_does_not_know(runner, nominal):
    dead = runner(LINE, nominal, scenario(Play("dead-bolt", at=0.26)))
    well = runner(LINE, nominal)
    for run in (dead, well):
        run.gap_um[10] += 10.0
    a, b = dead.steps(40)[-1], well.steps(40)[-1]
    assert a.lip_fed_back_um.tobytes() == b.lip_fed_back_um.tobytes()
    np.testing.assert_allclose(relative_profile(a), 0.0, atol=1e-12)
    assert relative_profile(b).max() > 0.005


def test_a_reversed_bolt_makes_the_mirrored_error(runner, nominal):
    truth = replace(nominal, actuators=replace(nominal.actuators, backlash_um=np.zeros(LINE.zones)))
    profiles = []
    for play, move_um in ((Play("reversed-bolt", at=0.26), 4.0), (Play("encoder-loss"), -4.0)):
        run = runner(LINE, truth, scenario(play))
        run.gap_um[10] += move_um
        profiles.append(relative_profile(run.steps(20)[-1]))
    np.testing.assert_allclose(profiles[0], profiles[1], atol=1e-12)


def test_feedback_noise_has_its_size_reaches_no_lip_and_ends(runner, nominal):
    noisy = runner(LINE, nominal, scenario(Play("feedback-noise", onset_s=1.0, duration_s=40.0, size=0.5)), seed=3)
    again = runner(LINE, nominal, noisy.plant.scenario, seed=3)
    quiet = runner(LINE, nominal)
    rows, still = noisy.steps(450), quiet.steps(450)
    for a, b in zip(rows, still, strict=True):
        assert a.lip_motor_um.tobytes() == b.lip_motor_um.tobytes()
        assert a.areal_density_gsm.tobytes() == b.areal_density_gsm.tobytes()
    error_um = np.array([r.lip_fed_back_um - r.lip_motor_um for r in rows])
    assert error_um[15:400].std() == pytest.approx(0.5, rel=0.03)
    assert not error_um[:10].any() and not error_um[-30:].any()
    assert (
        np.array([r.lip_fed_back_um for r in again.steps(450)]).tobytes()
        == np.array([r.lip_fed_back_um for r in rows]).tobytes()
    )


def test_batch_change_moves_the_mean_by_its_solids_and_the_film_not_at_all(runner):
    truth = Truth.draw(LINE, 2)
    run = runner(LINE, no_slip(truth), scenario(Play("batch-change", onset_s=10.0, front_s=30.0)))
    readings = run.steps(1200)
    old, new = truth.batches[:2]
    assert readings[50].batch == 1 and readings[-1].batch == 2
    assert readings[90].mean_gsm == pytest.approx(readings[0].mean_gsm, rel=1e-9)
    assert readings[-1].mean_gsm / readings[0].mean_gsm == pytest.approx(new.solids_kgm3 / old.solids_kgm3, rel=1e-6)
    assert readings[-1].pump_flow_m3ps == pytest.approx(readings[0].pump_flow_m3ps, rel=1e-9)


def test_half_speed_with_half_the_pump_keeps_the_mean(runner, nominal):
    """Pre-metering in areal terms; what is left is slip, whose share grows as speed falls."""
    run = runner(LINE, nominal, scenario(Play("web-speed", onset_s=5.0, size=0.5, ramp_s=20.0)))
    for _ in range(600):
        run.rpm = LINE.pump_ratio_nominal_rpm_per_mps * run.plant.web_speed_mps(run.state.t_s)
        readings = run.step()
    assert readings.web_speed_mps == pytest.approx(0.5)
    assert readings.mean_gsm == pytest.approx(180.0, rel=0.006)


def test_a_standing_web_is_not_coated_and_gauges_go_on(runner, nominal):
    run = runner(LINE, nominal, scenario(Play("web-stop", onset_s=10.0, duration_s=20.0, ramp_s=2.0)))
    readings = run.steps(200)
    still = [r for r in readings if r.coated_m == 0.0]
    assert len(still) > 50 and all(not r.areal_density_gsm.any() for r in still)
    assert all(len(r.scans) >= 1 for r in readings)


def test_without_flow_the_foil_stays_bare_and_gauges_say_so(runner, nominal):
    run = runner(LINE, nominal)
    run.steps(50)
    run.rpm = 0.0
    readings = run.steps(60)
    assert not readings[-1].areal_density_gsm.any()
    assert np.isnan(readings[-1].scans[0].values).all()


def test_lips_never_close_whatever_is_asked(runner, nominal):
    run = runner(
        LINE, replace(nominal, unevenness_um=np.full(nominal.lanes, -5000.0)), scenario(Play("static-profile"))
    )
    assert np.isfinite(run.step().areal_density_gsm).all()


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("name", ["first-shift", "steady-night"])
def test_open_loop_stands_at_2_to_6_percent_over_an_hour(runner, name, seed):
    run = runner(LINE, Truth.draw(LINE, seed), Scenario.load(name), seed)
    web = np.array([readings.areal_density_gsm for readings in run.steps(1800, 2.0)])
    sigma_pct = 100.0 * np.sqrt(np.mean((web / 180.0 - 1.0) ** 2))
    assert 2.0 <= sigma_pct <= 6.0


def test_patches_have_the_film_of_a_continuous_coating_and_gaps_are_nobodys_scrap(runner, nominal):
    run = runner(LINE, nominal, scenario(Play("patch-coating", onset_s=0.0, size=2.0, gap_m=0.5)))
    rows = run.steps(500)
    meant = np.array([row.coated_m for row in rows])
    assert meant.sum() == pytest.approx(50.0 * 2.0 / 2.5, abs=0.1)
    assert all(row.areal_density_gsm.all() == (row.coated_m > 0.0) for row in rows)  # no sliver of bare web to judge
    assert {str(row.line_state) for row in rows if row.coated_m == 0.0} == {str(LineState.PATCH_GAP)}
    np.testing.assert_allclose([row.mean_gsm for row in rows if row.coated_m > 0.0], 180.0, rtol=1e-9)
    seen = [scan.values for row in rows for scan in row.scans if scan.kind.value == "wet-array"]
    valid = [values for values in seen[60:] if np.isfinite(values).all()]
    assert 0.7 < len(valid) / len(seen[60:]) < 0.9
    np.testing.assert_allclose(valid, 180.0 / (1.73 * 0.58), rtol=1e-9)
