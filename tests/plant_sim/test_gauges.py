"""What gauges see, do not see, and get wrong: on the plant, lips and pump standing still."""

from dataclasses import replace

import numpy as np
import pytest

from controller.line.description import GaugeDescription, GaugeKind
from plant_sim import gauges
from plant_sim.counting import relative_noise
from plant_sim.faults import Play
from plant_sim.gauges import box_means, count, mean_scan
from plant_sim.noise import stream
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line

LINE = make_line(10)
SCANNING = replace(LINE, dry_gauge=GaugeDescription(GaugeKind.DRY_SCANNER, 20, 8.0, 2.0, 0.3, head_speed_mps=0.2))
FILM_UM = 180.0 / (1.73 * 0.58)


def clean(line=LINE, **changed):
    """A line as described, with a dry gauge near enough for a short test."""
    near = replace(line, dry_gauge=replace(line.dry_gauge, distance_m=8.0))
    truth = Truth.nominal(near)
    return replace(truth, dry=replace(truth.dry, noise=0.0, depth=0.0, **changed), wet=replace(truth.wet, noise=0.0))


def scans(runner, truth, *plays, count=150, kind=GaugeKind.WET_ARRAY, seed=1, dt_s=0.1):
    run = runner(LINE, truth, Scenario("test", "", plays), seed)
    return [scan for row in run.steps(count, dt_s) for scan in row.scans if scan.kind is kind]


# --- arrays -----------------------------------------------------------------------------------------------------------


def test_nothing_is_read_before_coated_web_arrives(runner):
    wet, dry = (scans(runner, clean(), kind=kind) for kind in (GaugeKind.WET_ARRAY, GaugeKind.DRY_ARRAY))
    assert all(np.isnan(scan.values).all() for scan in wet[:30]) and np.isfinite(wet[30].values).all()
    assert [bool(np.isfinite(scan.values).all()) for scan in dry[:10]] == [False] * 8 + [True] * 2
    np.testing.assert_allclose(wet[-1].values, FILM_UM, rtol=1e-9)
    np.testing.assert_allclose(dry[-1].values, 180.0, rtol=1e-9)


@pytest.mark.parametrize("line", ["array", "scanner"])
def test_a_gauge_that_counts_has_nothing_to_count_before_coated_web_arrives(runner, line):
    if line == "array":
        counting = replace(clean(), dry=replace(clean().dry, noise=0.003, depth=2.0, full_scale=9e3))
        first = scans(runner, counting, count=10, kind=GaugeKind.DRY_ARRAY)[0]
    else:
        counting = clean(SCANNING)
        first = passes(
            runner, truth=replace(counting, dry=replace(counting.dry, noise=0.003, depth=2.0, full_scale=9e3))
        )[0]
    assert np.isnan(first.values).all()


def test_each_gauge_has_its_own_period_and_says_when_and_where_it_looked(runner):
    wet, dry = (scans(runner, clean(), count=100, kind=kind) for kind in (GaugeKind.WET_ARRAY, GaugeKind.DRY_ARRAY))
    assert (len(wet), len(dry)) == (100, 10)
    assert dry[3].t_s == pytest.approx(3.5) and dry[3].web_m == pytest.approx(3.5)
    assert [scan.scan_id for scan in wet[:3]] == [1, 2, 3]
    assert wet[0].edges_mm == (-125.0, 125.0) and wet[0].direction == 0


def test_a_step_longer_than_the_period_reports_the_mean_of_its_scans(runner):
    noisy = replace(clean(), wet=replace(clean().wet, noise=0.01))
    fast, slow = scans(runner, noisy, count=200), scans(runner, noisy, count=40, dt_s=0.5)
    assert len(slow) == 40 and slow[-1].scan_id == fast[-1].scan_id == 200
    five = np.mean([scan.values for scan in fast[-5:]], axis=0)
    np.testing.assert_allclose(slow[-1].values, five, rtol=1e-9)


def test_a_sine_along_the_web_is_no_profile(runner):
    truth = replace(clean(), pump=replace(clean().pump, pulsation=0.01))
    for kind in (GaugeKind.WET_ARRAY, GaugeKind.DRY_ARRAY):
        seen = [scan.values for scan in scans(runner, truth, Play("pump-pulsation"), kind=kind)]
        seen = [values for values in seen if np.isfinite(values).all()]
        assert len(seen) >= 6 and np.ptp([values.mean() for values in seen]) > 0.1
        assert max(np.ptp(values) for values in seen) < 1e-9


@pytest.mark.parametrize("boxes", [7, 20, 80, 160])
def test_boxes_average_their_lanes(boxes):
    profile, out = np.linspace(100.0, 200.0, 80), np.empty(boxes)
    box_means(profile, np.linspace(0.0, 80.0, boxes + 1), 0.0, np.empty(81), out)
    centres = (np.arange(boxes) + 0.5) / boxes * 80 - 0.5
    np.testing.assert_allclose(out[1:-1], np.interp(centres, np.arange(80), profile)[1:-1], rtol=5e-3)
    assert out.mean() == pytest.approx(profile.mean())


def test_a_gauge_that_stands_beside_its_place_sees_shifted_lanes_and_bare_foil_at_one_edge():
    profile, out = np.arange(80.0) + 100.0, np.empty(20)
    box_means(profile, np.linspace(0.0, 80.0, 21), 3.0, np.empty(81), out)
    np.testing.assert_allclose(out[:-1], 101.5 + 4.0 * np.arange(19) + 3.0)
    assert np.isnan(out[-1])  # a quarter of it lies on the web
    box_means(profile, np.linspace(0.0, 80.0, 21), -1.0, np.empty(81), out)
    assert out[0] == pytest.approx(np.sum(profile[:3]) / 4.0)  # three quarters, the rest is bare


# --- noise ------------------------------------------------------------------------------------------------------------


def test_wet_noise_has_its_size(runner):
    noisy = replace(clean(), wet=replace(clean().wet, noise=0.004))
    values = np.array([scan.values for scan in scans(runner, noisy, count=300)[30:]])
    assert (values / FILM_UM - 1.0).std() == pytest.approx(0.004, rel=0.05)


@pytest.mark.parametrize("density", [0.6, 1.0, 1.4])
def test_counting_noise_grows_with_density_as_poisson_has_it(density):
    """sigma_m/m = e^(x/2)/(x sqrt N0) with N0 such that it is the stated noise at target, where x is 2."""
    values = np.full(200_000, 180.0 * density)
    drawn = np.random.default_rng(1).standard_normal(values.size)
    count(values, drawn, 180.0, 0.003, 2.0, 1.0)
    empty_counts = np.exp(2.0) / (2.0 * 0.003) ** 2
    assert values.std() / values.mean() == pytest.approx(relative_noise(2.0 * density, empty_counts), rel=0.02)
    assert values.mean() == pytest.approx(180.0 * density, rel=1e-4)


def test_counts_are_whole_quanta_and_skew_as_poisson_does():
    values, quanta = np.full(400_000, 180.0), 1.0 / (2.0 * 0.05) ** 2
    count(values, np.random.default_rng(2).standard_normal(values.size), 180.0, 0.05, 2.0, 1.0)
    counted = quanta * np.exp(2.0 * (1.0 - values / 180.0))
    assert np.abs(counted - np.rint(counted)).max() < 1e-9
    assert (counted.mean(), counted.var()) == (pytest.approx(quanta, rel=2e-3), pytest.approx(quanta, rel=2e-2))
    skew = np.mean((counted - counted.mean()) ** 3) / counted.std() ** 3
    assert skew == pytest.approx(1.0 / np.sqrt(quanta), rel=0.1)


def test_more_scans_in_one_step_leave_less_noise():
    one, many = np.empty(4000), np.empty(4000)
    mean_scan(stream(1, "s"), 9, 1, one, np.empty(4000))
    mean_scan(stream(1, "s"), 9, 4, many, np.empty(4000))
    assert one.std() == pytest.approx(1.0, rel=0.05) and many.std() == pytest.approx(1.0, rel=0.05)
    assert np.corrcoef(one, many)[0, 1] == pytest.approx(0.5, abs=0.05)


def test_bias_is_slow_and_of_its_size(runner):
    biased = replace(clean(), wet=replace(clean().wet, bias_common=0.003, bias_box=0.004, bias_tau_s=7200.0))
    offsets = [scans(runner, biased, count=45, seed=seed)[-1].values / FILM_UM - 1.0 for seed in range(80)]
    assert np.std(offsets) == pytest.approx(0.005, rel=0.2)
    values = np.array([scan.values for scan in scans(runner, biased, count=200)[40:]])
    assert np.ptp(values, axis=0).max() / FILM_UM < 0.002
    late = [scans(runner, biased, count=1, dt_s=7200.0, seed=seed) for seed in range(3)]
    assert all(len(scan) == 1 for scan in late)


# --- faults -----------------------------------------------------------------------------------------------------------


def test_outliers_dropout_bias_silence(runner):
    truth = clean()
    rows = scans(runner, truth, Play("gauge-outliers", size=20.0, chance_pct=5.0), count=600)
    values = np.array([scan.values for scan in rows[40:]])
    hit = np.abs(values / FILM_UM - 1.0) > 0.1
    assert hit.mean() == pytest.approx(0.05, abs=0.01)
    np.testing.assert_allclose(np.abs(values[hit] / FILM_UM - 1.0), 0.2)
    dropped = scans(runner, truth, Play("gauge-dropout", from_share=0.15, to_share=0.3))[-1].values
    assert np.flatnonzero(np.isnan(dropped)).tolist() == [3, 4, 5]
    assert scans(runner, truth, Play("gauge-bias", size=2.0))[-1].values[0] == pytest.approx(1.02 * FILM_UM)
    assert scans(runner, truth, Play("gauge-silent")) == []


def test_a_frozen_gauge_repeats_its_last_scan_and_wakes_where_the_web_is(runner):
    noisy = replace(clean(), wet=replace(clean().wet, noise=0.004))
    rows = scans(runner, noisy, Play("gauge-frozen", onset_s=5.95, duration_s=3.0), count=120)
    usual = scans(runner, noisy, count=120)
    assert all(rows[k].values.tobytes() == rows[59].values.tobytes() for k in range(60, 90))
    assert [a.values.tobytes() == b.values.tobytes() for a, b in zip(rows[90:], usual[90:], strict=True)] == [True] * 30
    assert np.isnan(scans(runner, noisy, Play("gauge-frozen"))[-1].values).all()  # since before it saw coating


def test_a_gauge_drifts_until_it_is_standardised(runner):
    play = Play("gauge-drift", size=36.0, every_s=60.0)  # a percent in 100 s
    rows = scans(runner, clean(), play, count=1000)
    error = np.array([scan.values[0] / FILM_UM - 1.0 for scan in rows])
    assert error[500] == pytest.approx(0.36 * 50.1 / 3600.0, rel=1e-3)
    assert np.isnan(error[600:798]).all() and np.isfinite(error[[597, 800]]).all()  # twenty seconds with the shutter
    assert error[800] == pytest.approx(0.36 * 20.1 / 3600.0, rel=0.01)


def test_foil_reaches_the_dry_reading_and_not_the_truth(runner):
    truth, step = clean(), Play("foil-step", onset_s=9.95, size=5.0)
    run = runner(LINE, truth, Scenario("test", "", (step,)), 1)
    rows = run.steps(300)
    assert all(row.areal_density_gsm.tobytes() == rows[0].areal_density_gsm.tobytes() for row in rows[1:])
    dry = [scan for row in rows for scan in row.scans if scan.kind is GaugeKind.DRY_ARRAY]
    assert dry[16].values[0] == pytest.approx(180.0)
    assert dry[18].values[0] == pytest.approx(180.0 + 0.05 * truth.foil_gsm)  # 8 m later
    wet = [scan for row in rows for scan in row.scans if scan.kind is GaugeKind.WET_ARRAY]
    assert wet[-1].values[0] == pytest.approx(FILM_UM)


def test_foil_varies_across_and_along_and_the_first_side_shows_through(runner):
    dry = {
        name: np.array(
            [s.values for s in scans(runner, clean(), Play(name, size=2.0), count=900, kind=GaugeKind.DRY_ARRAY)[9:]]
        )
        for name in ("foil-variation", "b-side")
    }
    foil_gsm = 0.02 * clean().foil_gsm
    assert 0.2 * foil_gsm < dry["foil-variation"].std(axis=1).mean() < 3.0 * foil_gsm
    assert dry["foil-variation"].mean(axis=1).std() > 0.1 * foil_gsm
    assert 0.5 < dry["b-side"].std(axis=1).mean() < 8.0 and dry["b-side"].std(axis=0).max() < 1e-9


def test_misregistration_shows_in_profile_and_edges_and_grows_over_its_ramp(runner):
    truth = replace(clean(), unevenness_um=30.0 * clean().lanes_mm / 125.0)
    play = Play("gauge-misregistration", onset_s=6.0, ramp_s=4.0, size=6.25)
    rows = scans(runner, truth, Play("static-profile"), play, count=150)
    assert rows[50].edges_mm == (-125.0, 125.0) and rows[140].edges_mm == (-131.25, 118.75)
    assert rows[79].edges_mm[0] == pytest.approx(-125.0 - 0.5 * 6.25)
    before, after = rows[55].values, rows[140].values
    np.testing.assert_allclose(after[2:-2], before[2:-2] + 0.5 * (before[3:-1] - before[2:-2]), rtol=2e-4)


def test_what_is_beyond_full_scale_is_invalid(runner):
    assert np.isnan(scans(runner, replace(clean(), wet=replace(clean().wet, full_scale=100.0)))[-1].values).all()


# --- scanner ----------------------------------------------------------------------------------------------------------


def passes(runner, *plays, truth=None, count=400, dt_s=0.1, seed=1):
    run = runner(SCANNING, truth or clean(SCANNING), Scenario("test", "", plays), seed)
    return [scan for row in run.steps(count, dt_s) for scan in row.scans if scan.kind is GaugeKind.DRY_SCANNER]


def test_a_scanner_reports_at_the_end_of_each_pass_and_turns(runner):
    seen = passes(runner)
    assert len(seen) == 20 and [scan.direction for scan in seen[:4]] == [1, -1, 1, -1]
    assert np.isnan(seen[2].values).all() and np.isfinite(seen[6].values).all()
    np.testing.assert_allclose(seen[6].values, 180.0, rtol=1e-9)
    assert seen[6].t_s == pytest.approx(13.0) and seen[6].web_m == pytest.approx(13.0)


def test_an_even_ramp_along_the_web_looks_like_a_tilt_that_turns_with_the_head(runner):
    """A scanner cannot tell a ramp in MD from a profile in one pass: the known trap, which arrays do not have."""
    play = Play("web-speed", onset_s=0.0, size=0.9, ramp_s=60.0)  # the pump keeps its speed: the film thickens
    seen = passes(runner, play)
    right, left = ([scan.values for scan in seen[8:] if scan.direction == side] for side in (1, -1))
    assert all(values[-1] > values[0] + 0.1 for values in right)
    assert all(values[-1] < values[0] - 0.1 for values in left)


def test_a_fixed_profile_is_the_same_in_both_directions_and_smeared_by_the_spot(runner):
    truth = replace(clean(SCANNING), unevenness_um=4.0 * np.sin(clean(SCANNING).lanes_mm / 12.0))
    right, left = (scan.values for scan in passes(runner, Play("static-profile"), truth=truth)[-2:])
    np.testing.assert_allclose(right, left, rtol=1e-9)
    narrow = replace(truth, dry=replace(truth.dry, spot_mm=0.5))
    sharp = passes(runner, Play("static-profile"), truth=narrow)[-1].values
    assert np.ptp(right) < np.ptp(sharp)


def test_the_head_sees_a_bubble_only_when_it_is_over_it(runner):
    """1 m/s of web under a head of 0.2 m/s: of 40 holes at one place across the web, it meets a few."""
    holes = [Play("bubble", onset_s=10.0 + 0.5 * k, at=0.5, width_mm=12.5, size=30.0) for k in range(40)]
    seen = [scan.values for scan in passes(runner, *holes) if np.isfinite(scan.values).all()]
    dips = sum(bool(values.min() < 175.0) for values in seen)
    assert 1 <= dips < len(seen)


def test_steps_of_another_length_make_the_same_pass(runner):
    truth = replace(clean(SCANNING), unevenness_um=4.0 * np.sin(clean(SCANNING).lanes_mm / 60.0))
    fine = passes(runner, Play("static-profile"), truth=truth, count=1600, dt_s=0.025)
    coarse = passes(runner, Play("static-profile"), truth=truth, count=80, dt_s=0.5)
    assert len(fine) == len(coarse) == 20
    np.testing.assert_allclose(coarse[-1].values, fine[-1].values, rtol=1e-3)


def test_a_scanner_that_hangs_or_drops_out_says_so_as_arrays_do(runner):
    assert passes(runner, Play("gauge-silent", gauge="dry")) == []
    dropped = passes(runner, Play("gauge-dropout", gauge="dry", from_share=0.5, to_share=1.0))[-1].values
    assert np.isnan(dropped[10:]).all() and np.isfinite(dropped[:10]).all()
    noisy = replace(clean(SCANNING), dry=replace(Truth.draw(SCANNING, 1).dry, distance_m=8.0))
    frozen = passes(runner, Play("gauge-frozen", gauge="dry", onset_s=20.0), truth=noisy)
    assert frozen[-1].values.tobytes() == frozen[-2].values.tobytes() and np.isfinite(frozen[-1].values).all()
    assert gauges.HALF_SEEN == 0.5
