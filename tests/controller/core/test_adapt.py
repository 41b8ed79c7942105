"""The map is learnt from moves that matter, from nothing else, and never without bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import adapt, blocks, estimate, response
from controller.core.adapt import GAIN, SHIFT, Adaptation, AdaptState
from controller.line.description import Array, LawName, LineDescription
from tests.factories import lip_response_per_um, make_inputs, make_line

LINE = make_line(16, LawName.ADAPTIVE)
CYCLE_M, DELAY = 0.1, 30
KERNEL = LINE.die.kernel_fwhm_pitches


def known_of(line: LineDescription) -> Adaptation:
    return adapt.build(line, estimate.build(line, response.believe(line)))


def watched(
    true: Array, moves_um: float, blocks: int = 12, noise: float = 0.0, drift: float = 0.0, seed: int = 0, late: int = 0
) -> tuple[Adaptation, AdaptState]:
    """Lips that go to new places every three seconds, and readings of what the truth makes of them beyond the model.

    late: cycles by which the web comes later than thought.
    """
    rng = np.random.default_rng(seed)
    estimator = estimate.build(LINE, response.believe(LINE))
    known, state, seen = known_of(LINE), adapt.init(16), estimate.init(estimator)
    gap = np.full(16, 600.0)
    laid, disturbance = [gap] * (DELAY + late + 1), np.zeros(16)
    for cycle in range(1, blocks * DELAY):
        if cycle % DELAY == 1:
            gap = 600.0 + moves_um * rng.standard_normal(16)
        laid.append(gap)
        disturbance = disturbance + drift * rng.standard_normal(16)
        beyond = true @ laid[-1 - DELAY - late] - lip_response_per_um(LINE) @ laid[-1 - DELAY]
        error = beyond + disturbance + noise * rng.standard_normal(16)
        reading = estimate.to_coordinates(estimator.response, error - error.mean())
        film = seen.film._replace(mean=reading, gain=np.ones(16), innovation=np.zeros(16), readings=cycle)
        seen = seen._replace(film=film)
        inputs = make_inputs(LINE, t_s=0.1 * cycle, gap_um=gap)
        state = adapt.watch(known, state, seen, inputs)
    return known, state


def rested(state: AdaptState) -> AdaptState:
    """As right after a look, when what was found is offered."""
    return state._replace(block=blocks.begun(16))


def test_a_map_that_fits_is_left_alone() -> None:
    known, state = watched(lip_response_per_um(LINE), 6.0, noise=0.001)
    assert state.looks > 5
    assert np.abs(adapt.mean(known, state))[GAIN] < 0.05 and abs(adapt.mean(known, state)[SHIFT]) < 0.05
    assert adapt.proposal(known, rested(state)) is None


def test_a_wrong_gain_and_alignment_are_found_and_offered() -> None:
    moved = replace(LINE, die=replace(LINE.die, alignment_shift_mm=10.0))
    known, state = watched(1.4 * lip_response_per_um(moved), 6.0, noise=0.001)
    numbers = adapt.proposal(known, rested(state))
    assert numbers is not None
    assert np.exp(numbers[GAIN]) == pytest.approx(1.4, rel=0.15)
    assert numbers[SHIFT] == pytest.approx(0.4, abs=0.2), "straight from the description; the next lesson does the rest"


def test_a_web_that_comes_later_than_thought_is_found_out() -> None:
    known, state = watched(lip_response_per_um(LINE), 6.0, blocks=20, noise=0.001, late=12)
    late, unsure = adapt.mean(known, state)[adapt.LATE], adapt.deviation(known, state)[adapt.LATE]
    assert late == pytest.approx(12 / DELAY, abs=3.0 * unsure)
    assert state.late_share == pytest.approx(late - adapt.SURE_SIGMAS * unsure) and state.late_share > 0.0
    _, in_time = watched(lip_response_per_um(LINE), 6.0, blocks=20, noise=0.001)
    assert in_time.looks > 5 and in_time.late_share == 0.0


def test_moves_lost_in_play_and_resolution_teach_nothing() -> None:
    """Half the play there and back: the model would read a gain of nought from it."""
    known, state = watched(0.2 * lip_response_per_um(LINE), 0.3, blocks=60, noise=0.001)
    assert state.looks == 0 and not state.information.any()
    assert (adapt.mean(known, state) == 0.0).all()


def crept(troubled: bool) -> AdaptState:
    """Lips that go 0.3 um a dead time, each its own way, for two minutes; the truth has twice the gain."""
    estimator = estimate.build(LINE, response.believe(LINE))
    known, state, seen = known_of(LINE), adapt.init(16), estimate.init(estimator)
    pattern = np.random.default_rng(0).standard_normal(16)
    for cycle in range(1, 40 * DELAY):
        gap, then = (600.0 + 0.3 / DELAY * max(one, 0) * pattern for one in (cycle, cycle - DELAY))
        error = lip_response_per_um(LINE) @ then
        reading = estimate.to_coordinates(estimator.response, error - error.mean())
        film = seen.film._replace(mean=reading, gain=np.ones(16), innovation=np.zeros(16), readings=cycle)
        inputs = make_inputs(LINE, t_s=0.1 * cycle, gap_um=gap)
        state = adapt.watch(known, state, seen._replace(film=film), inputs, troubled)
    return state


def test_lips_that_creep_are_looked_at_only_once_the_loop_has_come_off_its_own_law() -> None:
    """In usual running what drifts, and is answered, would look like lips that do nothing."""
    assert crept(troubled=False).looks == 0
    state = crept(troubled=True)
    assert state.looks >= 5
    assert np.exp(adapt.mean(known_of(LINE), state)[GAIN]) > 1.5


def test_what_was_accepted_is_not_offered_again_and_the_description_stays_where_it_was() -> None:
    known, state = watched(1.25 * lip_response_per_um(LINE), 6.0, noise=0.001)
    numbers = adapt.proposal(known, rested(state))
    assert numbers is not None
    assert (np.abs(numbers) < adapt.FAR).all()
    after, moved = adapt.accepted(state, numbers), np.append(numbers, 0.0)
    np.testing.assert_allclose(adapt.mean(known, after), adapt.mean(known, state) - moved, atol=1e-9)
    assert after.centre == pytest.approx(-moved)


def test_a_map_far_away_is_taken_whole_and_what_a_straight_line_made_of_the_moves_is_forgotten() -> None:
    """Fine shapes turned round: 1.2 zones off, and a kernel a quarter narrower than told."""
    die = replace(LINE.die, alignment_shift_mm=1.2 * LINE.die.zone_pitch_mm, kernel_fwhm_pitches=0.78 * KERNEL)
    known, state = watched(1.4 * lip_response_per_um(replace(LINE, die=die)), 6.0, noise=0.001)
    numbers = adapt.proposal(known, rested(state))
    assert numbers is not None
    assert numbers[:3] == pytest.approx([np.log(1.4), np.log(0.78), 1.2], abs=0.13), "as near as the grid is fine"
    after = adapt.accepted(state, numbers)
    assert not after.information.any() and not after.centre.any()
    assert after.there == pytest.approx(numbers)
    assert adapt.proposal(known, rested(after)) is None


@given(st.floats(0.05, 20.0), st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_no_number_leaves_its_box_whatever_is_read(size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    known, state = watched(size * rng.standard_normal((16, 16)) * 1e-3, 8.0, blocks=8, noise=0.01, seed=seed)
    numbers = adapt.proposal(known, rested(state))
    if numbers is not None:
        assert (np.abs(numbers) <= adapt.BOX + 1e-12).all()


def test_long_excitation_never_makes_it_surer_than_its_worth() -> None:
    known, state = watched(lip_response_per_um(LINE), 8.0, blocks=400, noise=0.001)
    worth = np.diag(state.information) / known.precision
    assert worth.max() <= adapt.WORTH * 1.001


def test_quiet_running_winds_nothing_up_and_old_knowledge_stays() -> None:
    """An hour of noise without excitation after a lesson: neither covariance nor numbers move."""
    known, state = watched(1.4 * lip_response_per_um(LINE), 6.0, noise=0.001)
    seen = estimate.init(estimate.build(LINE, response.believe(LINE)))
    before, rng = (adapt.mean(known, state), adapt.deviation(known, state)), np.random.default_rng(1)
    web_m = state.block.begun_m
    state = adapt.watch(known, state, seen, make_inputs(LINE, web_m=web_m, encoder_valid=False))
    for cycle in range(36_000):
        film = seen.film._replace(readings=10_000 + cycle, mean=0.001 * rng.standard_normal(16))
        inputs = make_inputs(LINE, web_m=web_m + CYCLE_M * cycle)
        state = adapt.watch(known, state, seen._replace(film=film), inputs)
    np.testing.assert_array_equal(adapt.mean(known, state), before[0])
    np.testing.assert_array_equal(adapt.deviation(known, state), before[1])


def test_a_new_batch_makes_the_gain_less_sure_and_changes_no_number() -> None:
    known, state = watched(1.4 * lip_response_per_um(LINE), 6.0, noise=0.001)
    seen = estimate.init(estimate.build(LINE, response.believe(LINE)))
    inputs = make_inputs(LINE, web_m=state.block.begun_m + 0.1, batch=2)
    after = adapt.watch(known, state, seen, inputs)
    np.testing.assert_allclose(adapt.mean(known, after), adapt.mean(known, state), atol=1e-6)
    assert adapt.deviation(known, after)[GAIN] > adapt.deviation(known, state)[GAIN]
    assert adapt.deviation(known, after)[SHIFT] == pytest.approx(adapt.deviation(known, state)[SHIFT], rel=0.05)


def test_a_look_that_fits_nothing_is_left_out() -> None:
    known, state = watched(lip_response_per_um(LINE), 6.0, noise=0.001)
    lips, moved = state.stood_um + 8.0 * np.cos(np.arange(16.0)), np.append(np.full(15, 0.5), 0.0)
    wild = adapt._weighed(known, state, moved, lips - state.stood_um, np.zeros(16), known.drift, 30)
    assert wild.looks == state.looks
    np.testing.assert_allclose(wild.information, adapt.DOUBTED * state.information)
