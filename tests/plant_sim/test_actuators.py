"""Rate, resolution, backlash and bolts that do not move."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plant_sim import actuators
from plant_sim.actuators import ActuatorFaults, Actuators, ActuatorState

ZONES = 6
DRIVES = Actuators(480.0, 720.0, np.full(ZONES, 5.0), 0.2, np.full(ZONES, 0.5))
START = np.full(ZONES, 600.0)
targets = st.lists(st.floats(300.0, 900.0), min_size=ZONES, max_size=ZONES).map(np.array)


def run(state, target_um, seconds, dt_s=0.1, faults=None):
    rest = actuators.reachable(DRIVES, target_um)
    for _ in range(round(seconds / dt_s)):
        state = actuators.move(DRIVES, state, rest, dt_s, faults)
    return state


@given(targets, st.floats(0.01, 2.0))
def test_never_faster_than_the_rate(target, dt_s):
    state = actuators.at_rest(DRIVES, START)
    moved = actuators.move(DRIVES, state, actuators.reachable(DRIVES, target), dt_s)
    assert np.abs(moved.motor_um - START).max() <= 5.0 * dt_s + 1e-9


@given(targets)
def test_comes_to_rest_on_the_grid_within_range_and_nearest_to_the_target(target):
    state = run(actuators.at_rest(DRIVES, START), target, 60.0)
    inside = np.clip(target, 480.0, 720.0)
    assert np.abs(state.motor_um - inside).max() <= 0.1 + 1e-9
    assert np.abs(state.motor_um / 0.2 - np.rint(state.motor_um / 0.2)).max() < 1e-6


@given(targets, targets)
def test_lip_stays_within_half_the_play(first, second):
    state = run(run(actuators.at_rest(DRIVES, START), first, 5.0), second, 5.0)
    assert np.abs(state.motor_um - state.lip_um).max() <= 0.25 + 1e-9


def test_play_is_lost_on_reversal():
    """Up 10 um, then back: the lip does not answer the first half micrometre."""
    up = run(actuators.at_rest(DRIVES, START), START + 10.0, 5.0)
    np.testing.assert_allclose(up.lip_um, 609.75)
    back = run(up, START + 9.6, 5.0)
    np.testing.assert_allclose(back.motor_um, 609.6)
    np.testing.assert_allclose(back.lip_um, 609.75)
    np.testing.assert_allclose(run(back, START + 9.0, 5.0).lip_um, 609.25)


def test_stuck_and_slow_bolts():
    share = np.ones(ZONES)
    share[2], share[3] = 0.0, 0.1
    state = run(actuators.at_rest(DRIVES, START), START + 10.0, 1.0, faults=ActuatorFaults(share, np.zeros(ZONES)))
    np.testing.assert_allclose(state.motor_um - 600.0, [5.0, 5.0, 0.0, 0.5, 5.0, 5.0])


def test_grown_backlash_widens_the_play():
    extra = np.zeros(ZONES)
    extra[1] = 4.0
    state = run(actuators.at_rest(DRIVES, START), START + 10.0, 5.0, faults=ActuatorFaults(np.ones(ZONES), extra))
    np.testing.assert_allclose(state.lip_um[:2], [609.75, 607.75])


def one_bolt(bolt, value=True):
    marked = np.zeros(ZONES, dtype=type(value))
    marked[bolt] = value
    return marked


def with_faults(**what):
    return ActuatorFaults(np.ones(ZONES), np.zeros(ZONES), **what)


def test_a_dead_bolt_turns_and_its_lip_stays():
    state = run(actuators.at_rest(DRIVES, START), START + 10.0, 5.0, faults=with_faults(dead=one_bolt(2)))
    np.testing.assert_allclose(state.motor_um, 610.0)
    np.testing.assert_allclose(state.lip_um, [609.75, 609.75, 600.0, 609.75, 609.75, 609.75])


def test_a_reversed_bolt_goes_as_far_the_other_way():
    state = run(actuators.at_rest(DRIVES, START), START + 10.0, 5.0, faults=with_faults(reversed=one_bolt(4)))
    np.testing.assert_allclose(state.motor_um, 610.0)
    np.testing.assert_allclose(state.lip_um, [609.75, 609.75, 609.75, 609.75, 590.0, 609.75])
    back = run(state, START, 5.0, faults=with_faults(reversed=one_bolt(4)))
    assert back.lip_um[4] == pytest.approx(600.0)


def test_a_sliding_lip_stays_until_the_screw_is_ahead_and_then_jumps_the_whole_way():
    faults, state = with_faults(stick_um=one_bolt(1, 3.0)), actuators.at_rest(DRIVES, START)
    lips = []
    for _ in range(40):
        state = actuators.move(DRIVES, state, START + 20.0, 0.1, faults)
        lips.append(state.lip_um[:2])
    smooth, sticking = np.diff(np.array(lips), axis=0).T
    assert smooth.max() <= 0.5 + 1e-9
    jumps = sticking[sticking > 0.0]
    assert len(jumps) >= 4 and jumps.min() >= 3.0 - 1e-9 and jumps.max() <= 3.5 + 1e-9
    assert (sticking == 0.0).sum() > 25
    assert run(state, START + 21.0, 5.0, faults=faults).lip_um[1] == state.lip_um[1]  # a small move does not answer


def test_a_fault_without_size_moves_lips_as_none_does():
    none = with_faults(dead=one_bolt(0, False), reversed=one_bolt(0, False), stick_um=np.zeros(ZONES))
    target = START + np.array([10.0, -7.0, 3.0, 0.1, -20.0, 6.0])
    healthy = run(actuators.at_rest(DRIVES, START), target, 3.0)
    faulty = run(actuators.at_rest(DRIVES, START), target, 3.0, faults=none)
    assert healthy.lip_um.tobytes() == faulty.lip_um.tobytes()
    assert healthy.motor_um.tobytes() == faulty.motor_um.tobytes()


def test_end_of_range_is_reported():
    state = ActuatorState(np.array([480.0, 480.1, 481.0, 600.0, 719.9, 720.0]), START)
    assert actuators.at_limit(DRIVES, state.motor_um).tolist() == [True, True, False, False, True, True]


@pytest.mark.parametrize("seconds", [0.1, 7.3])
def test_holding_does_not_creep(seconds):
    """A position fed back as a target moves no motor."""
    state = run(actuators.at_rest(DRIVES, START), START + 13.0, 5.0)
    assert run(state, state.motor_um, seconds).motor_um.tobytes() == state.motor_um.tobytes()
