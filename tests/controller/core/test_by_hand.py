"""Zones that a person holds stay where he wants them; the others go on, and the law has them back without a bump."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.core import by_hand
from controller.line.command import Mode, OperatorRequest, UncertifiedCommand
from controller.line.description import LawName
from tests.controller.core.test_step import LAWS, Drive, auto

ZONES, HELD = 16, 5


def one(zone: int = HELD) -> np.ndarray:
    return np.arange(ZONES) == zone


def settled(law: LawName) -> Drive:
    drive = auto(law, 8.0, zones=ZONES, lips={"rate_um_per_s": 20.0, "neighbour_max_um": 120.0, "bend_max_um": 120.0})
    drive.run(120.0)
    return drive


def test_all_zones_are_the_law_s_at_first_and_the_trace_says_who_holds_which():
    drive = settled(LawName.IMC)
    assert not drive.trace.zone_manual.any()
    trace = drive.cycle(OperatorRequest(zone_manual=one()))
    np.testing.assert_array_equal(trace.zone_manual, one())
    assert trace.mode_actual is Mode.AUTO


@pytest.mark.parametrize("law", LAWS)
def test_a_zone_taken_over_stays_the_others_go_on_and_it_comes_back_without_a_bump(law):
    drive = settled(law)
    stood_um, even = drive.web.gap_um.copy(), float(np.std(drive.web.die_error))
    drive.cycle(OperatorRequest(zone_manual=one()))
    np.testing.assert_allclose(drive.web.gap_um[HELD], stood_um[HELD])
    typed = stood_um.copy()
    typed[HELD], typed[0] = stood_um[HELD] + 6.0, stood_um[0] + 50.0
    drive.cycle(OperatorRequest(gap_um=typed))
    drive.run(60.0)
    assert drive.web.gap_um[HELD] == pytest.approx(typed[HELD], abs=0.05 + 1e-9)
    assert abs(drive.web.gap_um[0] - stood_um[0]) < 10.0, "typed lips of other zones are the law's business"
    others = np.delete(drive.web.gap_um - stood_um, HELD)
    assert others.min() < -0.5, "neighbours do their part against it"
    uneven = float(np.std(drive.web.die_error))
    before_um = drive.web.gap_um.copy()
    drive.cycle(OperatorRequest(zone_manual=np.zeros(ZONES, dtype=bool)))
    step_um = drive.web.line.lips.rate_um_per_s * drive.web.line.control.cycle_s
    assert np.abs(drive.web.gap_um - before_um).max() <= step_um + 0.05
    peak = max(float(np.std((drive.cycle(), drive.web.die_error)[1])) for _ in range(300))
    assert peak <= 1.3 * uneven, "lips that have less far to go are there first, and that is all"
    drive.run(120.0)
    assert drive.web.gap_um[HELD] == pytest.approx(stood_um[HELD], abs=2.0)
    assert float(np.std(drive.web.die_error)) < even + 0.2 * (uneven - even)


def test_after_manual_the_zone_is_still_held_where_it_was_put():
    drive = settled(LawName.IMC)
    drive.cycle(OperatorRequest(zone_manual=one()))
    drive.cycle(OperatorRequest(mode=Mode.MANUAL))
    typed = drive.web.gap_um + 4.0
    drive.cycle(OperatorRequest(gap_um=typed))
    drive.run(5.0)
    drive.cycle(OperatorRequest(mode=Mode.AUTO))
    drive.run(60.0)
    assert drive.web.gap_um[HELD] == pytest.approx(typed[HELD], abs=0.05 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(
    mask=st.lists(st.booleans(), min_size=0, max_size=8),
    typed=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=8),
)
def test_nonsense_changes_nothing_and_nobody_moves_a_zone_that_is_not_held(mask, typed):
    before = by_hand.taken(by_hand.nobody(6), OperatorRequest(zone_manual=np.arange(6) == 2), np.full(6, 600.0))
    asked = OperatorRequest(zone_manual=np.array(mask, dtype=bool), gap_um=np.array(typed))
    after = by_hand.taken(before, asked, np.full(6, 601.0))
    if len(mask) != 6:
        np.testing.assert_array_equal(after.zones, before.zones)
    assert np.isfinite(after.gap_um[after.zones]).all()
    assert np.isnan(after.gap_um[~after.zones]).all()
    wish = UncertifiedCommand(np.full(6, 590.0), 200.0, 0.0)
    seen = np.arange(6) != 4
    held = by_hand.held(after, wish, seen).gap_um
    free = ~(after.zones & seen)
    np.testing.assert_array_equal(held[free], wish.gap_um[free])
    np.testing.assert_array_equal(held[~free], after.gap_um[~free])


def test_a_controller_that_starts_again_holds_the_same_zones_where_it_finds_them():
    found_um = np.linspace(590.0, 610.0, ZONES)
    again = by_hand.taken(by_hand.standing(one()), None, found_um)
    assert again.gap_um[HELD] == found_um[HELD]
    np.testing.assert_array_equal(again.zones, one())
