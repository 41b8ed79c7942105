"""A scan as it came: zones, holes, roughness and place, worked out here by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from controller.core import estimate, response
from controller.core.estimate import Estimator
from tests.factories import dry_scan, make_inputs, make_line, wet_scan

LINE = make_line(zones=8, wet_gauge={"edge_mask_mm": 0.0}, dry_gauge={"edge_mask_mm": 0.0})


@pytest.fixture(scope="module")
def estimator() -> Estimator:
    return estimate.build(LINE, response.believe(LINE))


def test_no_scan_is_told_as_nothing(estimator: Estimator) -> None:
    for told in estimate.looks(estimator, make_inputs(LINE)):
        assert told.gsm.size == 0 and math.isnan(told.share) and math.isnan(told.web_m)


def test_zones_are_the_mean_of_their_boxes_and_neither_bias_nor_gate_touches_them(estimator: Estimator) -> None:
    errors = np.zeros(16)
    errors[6], errors[7] = 0.30, 0.10  # zone 3: what an outlier gate would throw away
    inputs = make_inputs(LINE, wet=wet_scan(LINE, errors, web_m=12.5), dry=dry_scan(LINE, -errors, web_m=70.0))
    wet, dry = estimate.looks(estimator, inputs)
    expected = np.full(8, 180.0)
    expected[3] = 180.0 * math.exp(0.20)
    np.testing.assert_allclose(wet.gsm, expected)
    np.testing.assert_allclose(dry.gsm, 180.0**2 / expected)
    assert (wet.share, wet.web_m, dry.share, dry.web_m) == (1.0, 12.5, 1.0, 70.0)
    jumps = (0.30, -0.20, -0.10)
    assert wet.rough_pct == pytest.approx(100.0 * math.sqrt(0.5 * sum(j * j for j in jumps) / 15))


def test_what_is_not_valid_is_left_out_and_told(estimator: Estimator) -> None:
    valid = np.ones(16, dtype=bool)
    valid[[0, 4, 5]] = False
    errors = np.zeros(16)
    errors[0] = 0.5
    wet, _ = estimate.looks(estimator, make_inputs(LINE, wet=wet_scan(LINE, errors, valid=valid)))
    assert wet.share == 13 / 16
    assert wet.gsm[0] == pytest.approx(180.0)  # of its second box alone
    assert np.isnan(wet.gsm).tolist() == [zone == 2 for zone in range(8)]
    assert wet.rough_pct == 0.0


def test_a_blind_gauge_is_nothing_but_holes(estimator: Estimator) -> None:
    wet, _ = estimate.looks(estimator, make_inputs(LINE, wet=wet_scan(LINE, valid=np.zeros(16, dtype=bool))))
    assert wet.share == 0.0 and np.isnan(wet.gsm).all() and math.isnan(wet.rough_pct)


@pytest.mark.parametrize(
    ("gone", "past"),
    [([15], 1.0), ([13, 14, 15], 3.0), ([0, 1], -2.0), ([0, 14, 15], 1.0), ([7], 0.0), (range(16), 0.0)],
)
def test_boxes_that_look_past_the_web_are_counted_from_its_edges(
    estimator: Estimator, gone: list[int], past: float
) -> None:
    valid = np.ones(16, dtype=bool)
    valid[list(gone)] = False
    _, dry = estimate.looks(estimator, make_inputs(LINE, dry=dry_scan(LINE, valid=valid)))
    assert dry.past_boxes == past
