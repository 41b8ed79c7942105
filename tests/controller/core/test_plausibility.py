"""Do the bolts go where they are sent?"""

import numpy as np
import pytest

from controller.core.plausibility import follow, init
from tests.factories import make_line

LIPS = make_line().lips  # backlash 0.5, resolution 0.2: a bolt may rest 0.5 + 0.4 um away
CYCLE_S = 0.1


def watch(target_um, positions_um, seconds):
    """`positions_um(t)` fed back for some time; who does not follow at the end."""
    state, lost = init(2), np.zeros(2, dtype=bool)
    for cycle in range(round(seconds / CYCLE_S)):
        state, lost = follow(LIPS, state, np.array(target_um), np.array(positions_um(cycle * CYCLE_S)), CYCLE_S)
    return lost.tolist()


@pytest.mark.parametrize(
    ("away_um", "seconds", "lost"),
    [
        (10.0, 5.5, True),
        (-10.0, 5.5, True),
        (10.0, 4.9, False),  # patience of five seconds
        (0.8, 60.0, False),  # within backlash and two resolution steps
        (1.0, 60.0, True),
    ],
)
def test_a_bolt_that_stands_away_from_its_target(away_um, seconds, lost):
    assert watch([600.0, 600.0], lambda t_s: [600.0, 600.0 + away_um], seconds) == [False, lost]


def test_a_bolt_on_its_way_follows():
    assert watch([650.0, 600.0], lambda t_s: [600.0 + 5.0 * t_s, 600.0], 8.0) == [False, False]


def test_a_bolt_that_creeps_follows_however_slowly():
    assert watch([650.0, 600.0], lambda t_s: [600.0 + 0.05 * t_s, 600.0], 60.0) == [False, False]


def test_a_bolt_that_moves_on_is_forgiven():
    def stuck_then_moving(t_s):
        return [600.0, 600.0 if t_s < 7.0 else 600.0 + 5.0 * (t_s - 7.0)]

    assert watch([600.0, 700.0], stuck_then_moving, 7.0) == [False, True]
    assert watch([600.0, 700.0], stuck_then_moving, 7.4) == [False, False]


def test_no_feedback_is_no_evidence_of_a_stuck_bolt():
    assert watch([600.0, 600.0], lambda t_s: [600.0, np.nan], 30.0) == [False, False]


def test_time_counts_and_not_cycles():
    state = init(1)
    for _ in range(4):
        state, lost = follow(LIPS, state, np.array([650.0]), np.array([600.0]), 2.0)
    assert lost.tolist() == [True]  # the first look has nothing to compare with, the other three make 6 s
