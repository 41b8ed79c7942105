"""What gauges see, do not see, and get wrong."""

from dataclasses import replace

import numpy as np
import pytest

from controller.line.description import GaugeKind
from plant_sim import gauges
from plant_sim import web as coated_web
from plant_sim.gauges import HEALTHY, Gauge, GaugeFaults, GaugeTruth

LANES = 80
CLEAN = GaugeTruth(GaugeKind.WET_ARRAY, 20, 3.0, 0.1, 0.0, 0.0, 0.0, 7200.0, 600.0)
DRY = replace(CLEAN, kind=GaugeKind.DRY_ARRAY, period_s=1.0)


def coat(web, areal, gsm_per_um=1.0, length_m=0.1):
    return coated_web.coat(web, length_m, np.full(LANES, 1.0) * areal, gsm_per_um)


def scans(truth, rows, faults=HEALTHY, seed=1, gsm_per_um=1.0):
    """All scans while one row after another is coated, 0.1 m and 0.1 s each."""
    gauge = Gauge.of(truth, seed, LANES)
    state, web, seen = gauges.start(gauge, 0.0, 0.0), coated_web.empty(LANES, 20.0), []
    for k, areal in enumerate(rows):
        web = coat(web, areal, gsm_per_um)
        state, reading = gauges.scan(gauge, state, web, 0.1 * (k + 1), faults)
        if reading is not None:
            seen.append(reading)
    return seen


def test_reads_what_left_the_die_a_distance_ago_and_nothing_before():
    seen = scans(CLEAN, range(100, 200))
    assert all(np.isnan(reading.values).all() for reading in seen[:30])
    assert [reading.values[0] for reading in seen[30:33]] == pytest.approx([100.0, 101.0, 102.0])


def test_web_position_of_a_scan_tells_where_its_web_left_the_die():
    for truth in (CLEAN, DRY):
        reading = scans(truth, range(100, 200))[-1]
        middle_m = reading.web_m - truth.distance_m
        assert reading.values[0] == pytest.approx(100.0 + middle_m / 0.1 - 0.5)


def test_each_gauge_has_its_own_period():
    assert [len(scans(truth, np.full(100, 180.0))) for truth in (CLEAN, DRY)] == [100, 10]
    assert scans(DRY, np.full(100, 180.0))[3].t_s == pytest.approx(3.5)


def test_wet_gauge_is_blind_to_solids():
    """Twice the dry mass in the same film: the dry gauge sees it, the wet one does not."""
    wet = [scans(CLEAN, np.full(40, m), gsm_per_um=m / 179.0)[-1].values[0] for m in (180.0, 360.0)]
    dry = [scans(DRY, np.full(40, m), gsm_per_um=m / 179.0)[-1].values[0] for m in (180.0, 360.0)]
    assert wet == pytest.approx([179.0, 179.0])
    assert dry == pytest.approx([180.0, 360.0])


def test_a_sine_along_the_web_is_no_profile():
    rows = 180.0 * (1.0 + 0.01 * np.sin(np.arange(200) / 7.0))
    for truth in (CLEAN, DRY):
        seen = [reading.values for reading in scans(truth, rows) if not np.isnan(reading.values).any()]
        assert len(seen) >= 15
        assert max(np.ptp(values) for values in seen) < 1e-9


@pytest.mark.parametrize("boxes", [7, 20, 80, 160])
def test_boxes_average_their_lanes(boxes):
    profile = np.linspace(100.0, 200.0, LANES)
    view = gauges.box_view(boxes, LANES)
    np.testing.assert_allclose(view.sum(axis=1), 1.0)
    got = view @ profile
    centres = (np.arange(boxes) + 0.5) / boxes * LANES - 0.5
    np.testing.assert_allclose(got[1:-1], np.interp(centres, np.arange(LANES), profile)[1:-1], rtol=5e-3)
    assert got.mean() == pytest.approx(profile.mean())


def test_noise_has_its_size():
    noisy = replace(CLEAN, noise=0.004)
    values = np.array([reading.values for reading in scans(noisy, np.full(230, 180.0))[30:]])
    assert (values / 180.0 - 1.0).std() == pytest.approx(0.004, rel=0.05)


def test_bias_is_slow_and_of_its_size():
    biased = replace(CLEAN, bias_common=0.003, bias_box=0.004)
    offsets = [scans(biased, np.full(40, 180.0), seed=seed)[-1].values / 180.0 - 1.0 for seed in range(60)]
    assert np.std(offsets) == pytest.approx(0.005, rel=0.25)
    values = np.array([reading.values for reading in scans(biased, np.full(100, 180.0))[40:]])
    assert np.ptp(values, axis=0).max() / 180.0 < 0.001


def test_same_seed_same_bytes_and_other_seed_other_noise():
    noisy = replace(CLEAN, noise=0.004, bias_box=0.004)
    one, two, other = (scans(noisy, np.full(50, 180.0), seed=s)[-1].values for s in (1, 1, 2))
    assert one.tobytes() == two.tobytes() != other.tobytes()


def test_faults_outlier_dropout_bias_frozen_silent():
    rows = np.full(200, 180.0)
    outliers = np.array([r.values for r in scans(CLEAN, rows, GaugeFaults(outlier_chance=0.05, outlier_size=0.2))[40:]])
    hit = np.abs(outliers / 180.0 - 1.0) > 0.1
    assert hit.mean() == pytest.approx(0.05, abs=0.015)
    np.testing.assert_allclose(np.abs(outliers[hit] / 180.0 - 1.0), 0.2)
    dropped = scans(CLEAN, rows, GaugeFaults(dropout=(3, 6)))[-1].values
    assert np.flatnonzero(np.isnan(dropped)).tolist() == [3, 4, 5]
    assert scans(CLEAN, rows, GaugeFaults(bias=0.02))[-1].values[0] == pytest.approx(183.6)
    assert np.isnan(scans(CLEAN, rows, GaugeFaults(frozen=True))[-1].values).all()  # frozen since before coating
    assert scans(CLEAN, rows, GaugeFaults(silent=True)) == []


def test_faults_that_are_off_have_no_effect():
    noisy = replace(CLEAN, noise=0.004)
    rows = np.full(60, 180.0)
    off = scans(noisy, rows, GaugeFaults(outlier_size=0.5))[-1].values
    assert off.tobytes() == scans(noisy, rows)[-1].values.tobytes()


def test_what_is_beyond_full_scale_is_invalid():
    assert np.isnan(scans(CLEAN, np.full(40, 700.0))[-1].values).all()
