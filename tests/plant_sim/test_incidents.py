"""What befalls slurry and film: each incident's signature and size, on the plant as it runs."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim.faults import Play
from plant_sim.incidents import (
    FILM_LEFT,
    Bubble,
    Rise,
    add_run_out,
    cooling,
    covered,
    edge_log,
    pierce,
    rows_of,
    tilt_and_bow,
)
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line

LINE = make_line()
LANES_MM = 6.25 * (np.arange(160) - 79.5)
NAMES = ("roll-run-out", "streak", "bubble", "filter-clog", "tank-level", "cd-temperature")
SIZES = {"bubble": 50.0, "streak": -20.0, "filter-clog": 200.0, "tank-level": 2.0}


def no_slip(truth):
    return replace(truth, pump=replace(truth.pump, slip_resistance_pa_s_per_m3=math.inf))


def played(runner, truth, *plays, seed=1):
    return runner(LINE, truth, Scenario("test", "", plays), seed)


def profile_pct(readings):
    return 100.0 * (readings.areal_density_gsm / readings.mean_gsm - 1.0)


# --- the parts --------------------------------------------------------------------------------------------------------


def test_a_rise_grows_in_a_straight_line_and_stays():
    rise = Rise(100.0, 50.0, 2.0)
    assert [rise.at(t) for t in (0.0, 100.0, 125.0, 150.0, 1e6)] == [0.0, 0.0, 1.0, 2.0, 2.0]
    assert Rise(100.0, 0.0, 2.0).at(100.0) == 2.0


@given(st.floats(0.0, 1.0), st.floats(0.5, 60.0))
def test_a_strip_keeps_its_width_wherever_it_lies(at, width_mm):
    share = covered(LANES_MM, at, width_mm)
    assert share.min() >= 0.0 and share.max() <= 1.0 + 1e-12
    assert share.sum() * 6.25 == pytest.approx(width_mm)
    place_mm = float(share @ LANES_MM / share.sum())
    assert abs(place_mm - np.clip((at - 0.5) * 1000.0, -500.0 + width_mm / 2, 500.0 - width_mm / 2)) < 3.2


def test_run_out_over_a_whole_turn_is_nothing_in_any_lane():
    tilt, bow = tilt_and_bow(160)

    def log(from_m, to_m):
        added = np.zeros(160)
        add_run_out(tilt, bow, 0.8, 0.01, from_m, to_m, added)
        return added

    assert np.abs(log(3.3, 4.1)).max() < 1e-12
    fine = np.array([log(x, x + 0.001) for x in np.arange(0.0, 0.8, 0.001)])
    assert fine.std() == pytest.approx(0.01, rel=1e-3)
    np.testing.assert_allclose(log(0.2, 0.5), fine[200:500].mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(log(0.2, 0.2), log(0.2, 0.2001), atol=1e-4)


def test_cooling_is_warmest_where_told_and_of_its_size():
    middle, left = cooling(160, 0.5, 3.0), cooling(160, 0.0, 3.0)
    assert int(middle.argmax()) in (79, 80) and int(left.argmax()) == 0
    assert np.ptp(middle) == pytest.approx(3.0, rel=0.02) and np.ptp(left) == pytest.approx(3.0, rel=0.02)
    assert abs(middle.mean()) < 1e-12 and abs(left.mean()) < 1e-12


def test_bubbles_of_one_step_add_up_and_a_standing_web_has_none():
    covers = covered(LANES_MM, 0.5, 12.5)
    bubble = Bubble.of(1.02, math.inf, 0.05, 1.0, covers)

    def left(from_s, to_s, *bubbles):
        share = np.ones(160)
        volume = pierce(rows_of(bubbles), 160, from_s, to_s, share)
        assert share.mean() == pytest.approx(1.0, abs=1e-12)
        return (volume * share).min()

    one = left(1.0, 1.1, bubble)
    assert one == pytest.approx(1.0 - 0.5 * (1.0 - FILM_LEFT))
    assert left(1.0, 1.1, bubble, bubble) == pytest.approx(one**2)
    assert left(1.07, 1.2, bubble) == 1.0 and left(0.9, 1.02, bubble) == 1.0
    assert left(0.5, 2.0, Bubble.of(1.0, math.inf, 0.05, 0.0, covers)) == 1.0


def test_heavy_edges_fall_to_a_third_within_their_width_at_both_sides_alike():
    log = edge_log(LANES_MM, 0.1, 20.0)
    np.testing.assert_allclose(log, log[::-1], rtol=1e-12)
    profile = np.expm1(log)
    inward_mm = LANES_MM[:8] + 500.0
    np.testing.assert_allclose(profile[:8], 0.1 * np.exp(-inward_mm / 20.0), rtol=0.01)


# --- on the plant -----------------------------------------------------------------------------------------------------


def test_roll_run_out_waves_with_web_length_and_leaves_the_mean(runner, nominal):
    truth = no_slip(nominal)
    plays = (Play("roll-run-out", size=0.5, turn_m=0.8), Play("web-speed", onset_s=20.0, size=0.5, ramp_s=1.0))
    run = played(runner, truth, *plays)
    rows = []
    for _ in range(4000):
        run.rpm = LINE.pump_ratio_nominal_rpm_per_mps * run.plant.web_speed_mps(run.state.t_s)
        rows.append(run.step(0.01))
    errors = np.array([profile_pct(row) for row in rows])
    assert errors.std() == pytest.approx(0.5, rel=0.02)
    assert max(abs(row.areal_density_gsm.mean() / row.mean_gsm - 1.0) for row in rows) < 1e-12
    web_m, side = np.array([row.web_m for row in rows]), errors[:, 0]
    for part in (web_m < 19.0, web_m > 22.0):  # the speed changed and the turn did not
        waves = np.exp(-2j * np.pi * web_m[part, None] / np.array([0.4, 0.8, 1.6]))
        power = np.abs(side[part] @ waves)
        assert power.argmax() == 1 and power[1] > 5.0 * power[[0, 2]].max()


def test_a_streak_is_narrower_than_a_zone_and_the_rest_of_the_web_takes_what_it_lacks(runner, nominal):
    run = played(runner, no_slip(nominal), Play("streak", onset_s=1.0, duration_s=2.0, at=0.3, width_mm=6.25, size=-20))
    rows = run.steps(50)
    streaked = profile_pct(rows[20])
    low = np.flatnonzero(streaked < -1.0)
    assert 1 <= low.size <= 2 and abs(LANES_MM[low].mean() - (-200.0)) < 6.25
    assert streaked[low].sum() == pytest.approx(-20.0, abs=0.3)
    assert np.delete(streaked, low).min() > 0.0 and np.delete(streaked, low).max() < 0.2
    assert rows[20].mean_gsm == pytest.approx(rows[0].mean_gsm, rel=1e-9)
    assert np.abs(profile_pct(rows[40])).max() < 1e-9


@pytest.mark.parametrize("dt_s", [0.1, 0.02, 0.5])
def test_a_bubble_leaves_one_hole_whose_area_is_lost_whatever_the_step(runner, nominal, dt_s):
    run = played(runner, nominal, Play("bubble", onset_s=2.03, at=0.6, width_mm=10.0, size=80.0))
    rows = run.steps(round(4.0 / dt_s), dt_s)
    lost_m2 = sum((1.0 - row.areal_density_gsm / 180.0).mean() * row.coated_m * 1.0 for row in rows)
    assert lost_m2 == pytest.approx(0.010 * 0.080 * (1.0 - FILM_LEFT), rel=1e-6)
    holed = [row for row in rows if row.areal_density_gsm.min() < 179.0]
    assert 1 <= len(holed) <= math.ceil(0.08 / dt_s) + 1
    away = holed[0].areal_density_gsm[np.abs(LANES_MM - 100.0) > 12.0]
    np.testing.assert_allclose(away, 180.0, rtol=1e-9)  # air does not thicken its neighbours
    assert all(row.mean_gsm == pytest.approx(row.areal_density_gsm.mean()) for row in rows)


def test_a_bubble_at_the_edge_is_no_bare_web_to_the_gauge(runner, nominal):
    run = played(runner, nominal, Play("bubble", onset_s=2.0, at=0.0, width_mm=60.0, size=100.0))
    scans = [scan for row in run.steps(60) for scan in row.scans if scan.kind.value == "wet-array"]
    seen = [scan.values for scan in scans if np.isfinite(scan.values).all() and scan.values[0] < 20.0]
    assert len(seen) == 1 and seen[0][-1] == pytest.approx(180.0 / (1.73 * 0.58))


def test_a_clogging_filter_raises_pressure_and_slip_and_a_new_one_ends_it(runner, nominal):
    run = played(runner, nominal, Play("filter-clog", onset_s=10.0, duration_s=50.0, ramp_s=40.0, size=200.0))
    rows = run.steps(700)
    before, half, full, after = rows[90], rows[299], rows[550], rows[650]
    assert half.pump_pressure_kpa / before.pump_pressure_kpa == pytest.approx(2.0, rel=0.02)
    assert full.pump_pressure_kpa / before.pump_pressure_kpa == pytest.approx(3.0, rel=0.03)
    rise_pa = 1e3 * (full.pump_pressure_kpa - before.pump_pressure_kpa)
    slip = nominal.pump.slip_resistance_pa_s_per_m3
    assert before.pump_flow_m3ps - full.pump_flow_m3ps == pytest.approx(rise_pa / slip, rel=1e-6)
    assert 0.96 < full.mean_gsm / before.mean_gsm < 0.992
    assert np.abs(profile_pct(full)).max() < 1e-9
    assert after.mean_gsm == before.mean_gsm


def test_a_tight_pump_knows_no_filter_and_no_tank(runner, nominal):
    rows = played(runner, no_slip(nominal), Play("filter-clog", size=300.0), Play("tank-level", size=3.0)).steps(3)
    assert rows[-1].mean_gsm == pytest.approx(runner(LINE, no_slip(nominal)).step().mean_gsm, rel=1e-9)


def test_a_low_tank_costs_its_head_over_the_pumps_tightness(runner, nominal):
    low, full = played(runner, nominal, Play("tank-level", size=2.0)), runner(LINE, nominal)
    a, b = low.steps(5)[-1], full.steps(5)[-1]
    head_pa = 2.0 * 9.81 * nominal.batches[0].density_kgm3
    fall_pa = 1e3 * (b.pump_pressure_kpa - a.pump_pressure_kpa)  # less flow, less pressure: a part comes back
    lost = (head_pa - fall_pa) / nominal.pump.slip_resistance_pa_s_per_m3
    assert b.pump_flow_m3ps - a.pump_flow_m3ps == pytest.approx(lost, rel=1e-6)
    assert 0.0 < 1.0 - a.mean_gsm / b.mean_gsm < 0.005


def test_warm_slurry_runs_where_it_is_warm_and_the_mean_stays(runner, nominal):
    run = played(runner, no_slip(nominal), Play("cd-temperature", onset_s=0.0, ramp_s=10.0, size=2.0))
    rows = run.steps(200)
    profile = profile_pct(rows[-1])
    assert int(profile.argmax()) in (79, 80) and profile.argmin() in (0, 159)
    n = nominal.batches[0].flow_index
    assert np.ptp(profile) == pytest.approx(100.0 * 0.02 * 2.0 / n, rel=0.05)
    assert rows[-1].mean_gsm == pytest.approx(runner(LINE, no_slip(nominal)).step().mean_gsm, rel=1e-9)
    np.testing.assert_allclose(profile_pct(rows[49]), 0.5 * profile, atol=0.06)


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bytes_with_it_and_no_effect_without_size(runner, name):
    truth = Truth.draw(LINE, 3)

    def web(*plays):
        rows = played(runner, truth, Play("slow-cd-drift"), *plays, seed=3).steps(40)
        return b"".join(row.areal_density_gsm.tobytes() for row in rows)

    play = Play(name, onset_s=1.0, size=SIZES.get(name, 2.0))
    assert web(play) == web(play) != web()
    assert web(replace(play, duration_s=0.0)) == web() == web(replace(play, onset_s=50.0))
    if name != "bubble":  # its least size is a millimetre
        with_none, without = (np.frombuffer(b) for b in (web(replace(play, size=0.0)), web()))
        np.testing.assert_allclose(with_none, without, rtol=1e-14)


def test_all_at_once_keep_the_pumps_slurry(runner):
    """What is coated is what was delivered, streaks and warm sides and all; only a bubble takes slurry's place."""
    truth = Truth.draw(LINE, 5)
    plays = [Play(name, size=SIZES.get(name, 1.0)) for name in NAMES if name != "bubble"]
    run = played(runner, truth, Play("static-profile"), Play("white-cd"), *plays)
    solids = truth.batches[0].solids_kgm3
    for row in run.steps(30):
        coated = row.areal_density_gsm.mean() * truth.width_m * row.coated_m
        assert coated == pytest.approx(1e3 * solids * row.pump_flow_m3ps * 0.1, rel=1e-9)
