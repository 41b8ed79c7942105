"""Maps that are far from the description are told apart, also those that turn fine shapes round; and nothing is read
from what tells nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import candidates, response
from controller.core.candidates import Candidates, Evidence
from controller.line.description import Array
from tests.factories import lip_response_per_um, make_line

LINE = make_line(16)
NOISE = 0.002
ROUGH = np.array([0.2, 0.5])


def known_of() -> Candidates:
    return candidates.build(LINE, response.believe(LINE).basis, np.full(15, NOISE**2), ROUGH)


def true_map(gain: float, kernel: float, shift: float) -> Array:
    die = LINE.die
    die = replace(
        die, kernel_fwhm_pitches=kernel * die.kernel_fwhm_pitches, alignment_shift_mm=shift * die.zone_pitch_mm
    )
    return gain * lip_response_per_um(replace(LINE, die=die))


def looked(known: Candidates, true: Array, size_um: float = 8.0, late: float = 0.0, looks: int = 1) -> Evidence:
    """Looks at moves of this size; what is truly late by a share of a dead time shows a share of the jolt."""
    rng, seen = np.random.default_rng(3), candidates.nothing()
    for _ in range(looks):
        moved_um, jolt_um = size_um * rng.standard_normal((2, 16))
        changed = true @ (moved_um + late * jolt_um) + NOISE * rng.standard_normal(16)
        seen = candidates.weighed(known, seen, changed - changed.mean(), moved_um, jolt_um)
    return seen


@pytest.mark.parametrize(
    ("gain", "kernel", "shift"), [(1.0, 1.0, 0.0), (1.67, 0.77, -0.5), (0.7, 1.43, 1.0), (1.4, 0.8, -1.25)]
)
def test_a_few_looks_at_large_moves_tell_the_map(gain: float, kernel: float, shift: float) -> None:
    known = known_of()
    numbers, sigma = candidates.believed(known, looked(known, true_map(gain, kernel, shift), looks=4))
    assert numbers[0] == pytest.approx(np.log(gain), abs=0.15)
    assert numbers[1] == pytest.approx(np.log(kernel), abs=0.15)
    assert numbers[2] == pytest.approx(shift, abs=0.15)
    assert (sigma[:3] < [0.2, 0.12, 0.15]).all()


def test_a_web_that_comes_late_is_not_taken_for_a_lesser_gain() -> None:
    known = known_of()
    numbers, _ = candidates.believed(known, looked(known, true_map(1.67, 0.77, -0.5), late=0.2, looks=4))
    assert numbers[:3] == pytest.approx([np.log(1.67), np.log(0.77), -0.5], abs=0.12)


def test_nothing_seen_is_the_description_and_as_unsure_as_it_is() -> None:
    known = known_of()
    numbers, sigma = candidates.believed(known, candidates.nothing())
    np.testing.assert_allclose(numbers, 0.0, atol=1e-9)
    np.testing.assert_allclose(sigma[:3], [0.4, 0.2, 0.5], rtol=0.1)


def test_small_moves_tell_little() -> None:
    known = known_of()
    numbers, sigma = candidates.believed(known, looked(known, true_map(1.67, 0.77, -0.5), size_um=0.1, looks=5))
    assert (np.abs(numbers[:3]) < 2.0 * sigma[:3]).all()
    assert sigma[2] > 0.25


def test_a_look_that_fits_no_map_is_left_out_and_what_was_known_counts_for_less() -> None:
    known = known_of()
    before = looked(known, true_map(1.0, 1.0, 0.0), looks=3)
    wild = np.where(np.arange(16) % 2, 0.3, -0.3)
    after = candidates.weighed(known, before, wild, 8.0 * np.cos(np.arange(16.0)), np.zeros(16))
    assert after.looks == before.looks
    np.testing.assert_allclose(after.inner, candidates.DOUBTED * before.inner)
    assert after.unease > before.unease


@given(st.floats(0.01, 30.0), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_no_map_leaves_the_grid_whatever_is_read(size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = known_of()
    numbers, sigma = candidates.believed(known, looked(known, size * 1e-3 * rng.standard_normal((16, 16)), looks=5))
    assert np.isfinite(numbers).all()
    assert (sigma[:3] > 0.0).all()
    assert (np.abs(numbers[:3]) <= [1.0 + 1e-9, 0.6 + 1e-9, 1.5 + 1e-9]).all()
