"""What the controller believes of the die, against numbers worked out elsewhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core.response import beam_kernel, believe, gauge_to_zone_weights, lip_matrix, local_gain_per_um
from tests.factories import lip_response_per_um, make_line


def test_the_kernel_is_half_at_half_its_width():
    beta = 2.02696  # FWHM * beta, from b(s) = 1/2 solved on paper: s = 1.01348
    assert np.exp(-beta / 2.0) * (np.cos(beta / 2.0) + np.sin(beta / 2.0)) == pytest.approx(0.5, abs=1e-5)
    np.testing.assert_allclose(beam_kernel(np.array([0.0, 25.0, -25.0]), 50.0), [1.0, 0.5, 0.5], atol=1e-5)


def test_the_kernel_lifts_the_lip_by_four_percent_beside_the_bolt():
    distance = np.linspace(0.0, 10.0, 100_001)
    kernel = beam_kernel(distance, 2.02696)  # beta = 1: distance is s
    assert kernel.min() == pytest.approx(-0.04321, abs=1e-5)
    assert distance[kernel.argmin()] == pytest.approx(np.pi, abs=1e-3)


@pytest.mark.parametrize("shift_mm", [0.0, 7.0, -12.5])
@pytest.mark.parametrize("zones", [1, 2, 16])
def test_equal_moves_open_the_lip_evenly(zones, shift_mm):
    matrix = lip_matrix(make_line(zones, die={"alignment_shift_mm": shift_mm}).die)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    np.testing.assert_allclose(matrix @ np.full(zones, 600.0), 600.0)


def test_gain_by_hand():
    """n = 0.6, H = 600 um, all pressure in the lip: (2 + 1/0.6)/600 = 0.61 % a micrometre."""
    full = make_line(die={"lip_share": 1.0, "gap_nominal_um": 600.0}, slurry={"flow_index": 0.6})
    assert local_gain_per_um(full) == pytest.approx(0.00611111, rel=1e-5)
    assert local_gain_per_um(make_line(die={"lip_share": 0.4})) == pytest.approx(0.4 * 0.00611111, rel=1e-5)
    assert local_gain_per_um(make_line(slurry={"flow_index": 1.0})) == pytest.approx(0.4 * 3.0 / 600.0)


@pytest.mark.parametrize("zones", [8, 17])
@pytest.mark.parametrize("shift_mm", [0.0, 9.0])
def test_the_belief_is_the_drawing_without_its_mean(zones, shift_mm):
    line = make_line(zones, die={"alignment_shift_mm": shift_mm})
    model, drawn = believe(line), lip_response_per_um(line)
    np.testing.assert_allclose(model.matrix.sum(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(model.matrix.sum(axis=1), 0.0, atol=1e-12)
    move = np.random.default_rng(1).normal(size=zones)
    move -= move.mean()
    effect = drawn @ move
    np.testing.assert_allclose(model.matrix @ move, effect - effect.mean(), atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.floats(1.0, 3.0), st.sampled_from([0.05, 0.1, 0.3]), st.floats(0.0, 12.0))
def test_modes_are_orthonormal_blind_to_the_mean_and_worth_their_moves(zones, fwhm, floor, uncertainty_mm):
    line = make_line(
        zones,
        die={"kernel_fwhm_pitches": fwhm, "alignment_uncertainty_mm": uncertainty_mm},
        control={"mode_gain_floor": floor},
    )
    model = believe(line)
    assert model.profiles.shape == model.shapes.shape == (zones, model.modes)
    identity = np.eye(model.modes)
    np.testing.assert_allclose(model.profiles.T @ model.profiles, identity, atol=1e-9)
    np.testing.assert_allclose(model.shapes.T @ model.shapes, identity, atol=1e-9)
    np.testing.assert_allclose(model.profiles.sum(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(model.shapes.sum(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(model.matrix @ model.shapes, model.profiles * model.gains, atol=1e-12)
    assert (np.diff(model.gains) <= 1e-15).all()
    assert (model.gains >= floor * np.linalg.svd(model.matrix, compute_uv=False)[0] - 1e-15).all()
    assert (model.wavelength_mm >= 6.0 * uncertainty_mm).all()


def test_a_mirrored_die_is_believed_to_answer_mirrored():
    line = make_line(15)
    model = believe(line)
    np.testing.assert_allclose(model.matrix[::-1, ::-1], model.matrix, atol=1e-15)
    mended = model.shapes @ np.diag(1.0 / model.gains) @ model.profiles.T
    np.testing.assert_allclose(mended[::-1, ::-1], mended, atol=1e-6 * np.abs(mended).max())


def test_fine_waves_are_left_alone_where_alignment_does_not_support_them():
    """At an uncertainty d nothing finer than 6 d is kept, and the count follows: 2 L/(6 d) half waves."""
    sure = believe(make_line(40, control={"mode_gain_floor": 0.0}, die={"alignment_uncertainty_mm": 0.0}))
    unsure = believe(make_line(40, control={"mode_gain_floor": 0.0}, die={"alignment_uncertainty_mm": 20.0}))
    assert sure.modes == 39
    assert unsure.modes == pytest.approx(2.0 * 1000.0 / 120.0, abs=1)
    assert unsure.wavelength_mm.min() >= 120.0


def test_one_zone_has_a_mean_and_no_shape():
    assert believe(make_line(1)).modes == 0


@pytest.mark.parametrize(("zones", "boxes"), [(4, 8), (4, 4), (5, 7), (7, 5), (4, 1)])
def test_a_zone_reads_the_boxes_over_it(zones, boxes):
    """A profile that is a straight line across the web must come out as its value at each zone's middle."""
    line = make_line(zones)
    weights = gauge_to_zone_weights(line, boxes)
    np.testing.assert_allclose(weights.sum(axis=1), 25.0)  # every zone is covered over its full pitch, mm
    np.testing.assert_allclose(weights.sum(axis=0), 25.0 * zones / boxes)
    if boxes % zones == 0:
        middles = (np.arange(boxes) + 0.5) / boxes
        np.testing.assert_allclose(weights @ middles / 25.0, (np.arange(zones) + 0.5) / zones)


def test_a_zone_beyond_the_coated_width_borrows_the_outermost_box():
    line = make_line(8, line={"web_width_mm": 100.0})  # the coat covers the four zones in the middle
    weights = gauge_to_zone_weights(line, 4)
    np.testing.assert_allclose(weights[[0, 1], :], [[1, 0, 0, 0]] * 2)
    np.testing.assert_allclose(weights[[6, 7], :], [[0, 0, 0, 1]] * 2)
    np.testing.assert_allclose(weights[2:6], 25.0 * np.eye(4))
