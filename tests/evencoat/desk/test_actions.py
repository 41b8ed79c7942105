"""What may be asked for: whatever is given, nothing outside the line's bounds is ever let through."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.core.target import bounds_gsm
from controller.line.command import Mode, OperatorRequest
from evencoat.desk.actions import ACTIONS, MODES, Names, Refused, Standing
from tests.controller.core.test_step import Drive
from tests.factories import ToyWeb, make_line

LINE = make_line(8)
LIPS = LINE.lips
TRACE = Drive(ToyWeb(LINE)).cycle()
STANDS = Standing(LINE, TRACE._replace(mode_actual=Mode.MANUAL), np.full(8, 600.0), True)
NUMBERS = st.floats() | st.integers() | st.floats(LIPS.gap_min_um - 1.0, LIPS.gap_max_um + 1.0)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=6,
)
ZONES = st.text(max_size=3) | st.integers(-2, 12).map(str)
VALUES = st.dictionaries(st.sampled_from(["mode", "targets", "value", "force", "what", "text", "x"]), ANYTHING)
RIGHT_KEYS = st.one_of(
    st.fixed_dictionaries({"mode": st.sampled_from(Mode) | ANYTHING}),
    st.fixed_dictionaries({"targets": st.dictionaries(ZONES, NUMBERS | ANYTHING, max_size=9) | ANYTHING}),
    st.fixed_dictionaries({"value": st.floats(-9.0, 9.0) | st.floats(*bounds_gsm(LINE)) | ANYTHING}),
    st.fixed_dictionaries({"zones": st.lists(st.integers(-1, 10)) | ANYTHING, "manual": st.booleans() | ANYTHING}),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # on a busy machine the first draws are
@given(st.sampled_from(sorted(ACTIONS)), VALUES | RIGHT_KEYS)
def test_nothing_outside_the_bounds_is_ever_let_through(name: str, values: dict[str, Any]) -> None:
    try:
        wish = ACTIONS[name].wish(values, STANDS)
    except Refused:
        return
    if not isinstance(wish, OperatorRequest):
        return
    assert wish.mode is None or wish.mode in MODES
    assert wish.offset_log is None and wish.offset_m == 0.0
    if wish.gap_um is not None:
        assert wish.gap_um.shape == (8,)
        assert np.all((wish.gap_um >= LIPS.gap_min_um) & (wish.gap_um <= LIPS.gap_max_um))
    if wish.pump_trim_pct is not None:
        assert abs(wish.pump_trim_pct) <= LINE.pump.trim_max_pct
    if wish.zone_manual is not None:
        assert wish.zone_manual.shape == (8,) and wish.zone_manual.dtype == bool
    if wish.target_gsm is not None:
        low, high = bounds_gsm(LINE)
        assert low <= wish.target_gsm <= high
    assert wish.rearm is (name == "rearm")


@given(st.dictionaries(st.integers(1, 8), st.floats(LIPS.gap_min_um, LIPS.gap_max_um), min_size=1))
def test_targets_within_the_bounds_are_taken_and_the_other_zones_stay(targets: dict[int, float]) -> None:
    wish = ACTIONS["gap_um"].wish({"targets": {str(zone): um for zone, um in targets.items()}}, STANDS)
    assert isinstance(wish, OperatorRequest) and wish.gap_um is not None
    assert wish.gap_um.tolist() == [targets.get(zone, 600.0) for zone in range(1, 9)]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("gap_um", {"targets": {"3": 9000.0}}, "gap_um.targets.3 = 9000.0: must lie between 480 and 720 um"),
        ("gap_um", {"targets": {"3": math.nan}}, "must lie between 480 and 720 um"),
        ("gap_um", {"targets": {"3": True}}, "gap_um.targets.3 = true: must lie"),
        ("gap_um", {"targets": {"9": 600.0}}, "zone 9 is none of 1 to 8"),
        ("gap_um", {"targets": {"0": 600.0}}, "zone 0 is none of 1 to 8"),
        ("gap_um", {"targets": {"3": 600.0, "03": 601.0}}, "zone 3 is named twice"),
        ("gap_um", {"targets": {}}, "must name a target"),
        ("pump_trim_pct", {"value": 8.01}, "pump_trim_pct.value = 8.01: must lie between -8 and 8 percent"),
        ("pump_trim_pct", {"value": 10**400}, "must lie between"),
        ("zone_manual", {"zones": [0], "manual": True}, "zone_manual.zones: zone 0 is none of 1 to 8"),
        ("zone_manual", {"zones": [True], "manual": True}, "zone true is none of 1 to 8"),
        ("zone_manual", {"zones": [], "manual": True}, "zone_manual.zones = []: must be a list"),
        ("zone_manual", {"zones": 3, "manual": True}, "zone_manual.zones = 3: must be a list"),
        ("zone_manual", {"zones": [3]}, "zone_manual.manual = null: must be true or false"),
        ("target_gsm", {"value": 1.0}, "target_gsm.value = 1.0: must lie between"),
        ("target_gsm", {"value": math.inf}, "g/m2"),
        ("target_gsm", {}, "target_gsm.value = null"),
        ("mode", {"mode": "advisory"}, 'mode = "advisory": must be one of manual, hold, auto'),
        ("mode", {"mode": "auto", "speed": 3}, 'mode: takes mode, not "speed"'),
        ("rearm", {"all": True}, 'rearm: takes no values, not "all"'),
        ("take_command", {"force": 1}, "take_command.force = 1: must be true or false"),
        ("note", {"what": "login", "text": "x"}, 'note.what = "login": must be one of'),
        ("note", {"what": "remark", "text": "x" * 501}, "1 to 500 characters"),
        ("note", {"what": "remark", "text": "a\nb"}, "one line"),
        ("lot", {}, "production_order, material_lot, roll_name"),
        ("lot", {"order": "4711"}, 'takes production_order, material_lot, roll_name, not "order"'),
        ("lot", {"roll_name": "x" * 81}, "at most 80 characters"),
        ("lot", {"roll_name": "a\u0000b"}, "on one line"),
        ("lot", {"material_lot": 1.5}, "lot.material_lot = 1.5: must be a text"),
        ("lot", {"material_lot": True}, "lot.material_lot = true: must be a text"),
    ],
)
def test_a_refusal_names_field_value_and_bound(name: str, values: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as refusal:
        ACTIONS[name].wish(values, STANDS)
    assert words in str(refusal.value)


def test_a_plant_s_names_are_taken_as_they_are_given_and_numbers_are_their_digits() -> None:
    given = {"production_order": 4711, "material_lot": " SL-09 ", "roll_name": ""}
    wish = ACTIONS["lot"].wish(given, None)
    assert isinstance(wish, Names)
    assert wish.names == {"production_order": "4711", "material_lot": "SL-09", "roll_name": ""}


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.HOLD])
@pytest.mark.parametrize(("name", "values"), [("gap_um", {"targets": {"1": 600.0}}), ("pump_trim_pct", {"value": 0.0})])
def test_lips_and_pump_are_moved_by_hand_in_manual_only(mode: Mode, name: str, values: dict[str, Any]) -> None:
    stands = Standing(LINE, TRACE._replace(mode_actual=mode, mode_requested=Mode.MANUAL), STANDS.manual_um, True)
    with pytest.raises(Refused, match=f"only in manual; the line is in {mode}"):
        ACTIONS[name].wish(values, stands)


def test_before_the_first_cycle_and_beside_lips_that_are_nowhere_nothing_moves() -> None:
    with pytest.raises(Refused, match="has not been heard yet"):
        ACTIONS["gap_um"].wish({"targets": {"1": 600.0}}, None)
    nowhere = Standing(LINE, STANDS.trace, np.full(8, np.nan), True)
    with pytest.raises(Refused, match="all together"):
        ACTIONS["gap_um"].wish({"targets": {"1": 600.0}}, nowhere)
    everywhere = {"targets": {str(zone): 600.0 for zone in range(1, 9)}}
    assert isinstance(ACTIONS["gap_um"].wish(everywhere, nowhere), OperatorRequest)


def test_zones_are_taken_over_and_given_back_and_the_others_stay_with_whom_they_are() -> None:
    held = np.arange(8) == 6
    stands = Standing(LINE, TRACE._replace(zone_manual=held), STANDS.manual_um, True)
    for values, expected in (
        ({"zones": [1, 3], "manual": True}, [0, 2, 6]),
        ({"zones": [7, 2], "manual": False}, []),
    ):
        wish = ACTIONS["zone_manual"].wish(values, stands)
        assert isinstance(wish, OperatorRequest) and wish.zone_manual is not None
        assert np.flatnonzero(wish.zone_manual).tolist() == expected
    assert np.flatnonzero(held).tolist() == [6], "what the line told is not written on"


def test_in_auto_the_lips_of_zones_that_are_held_by_hand_are_moved_and_no_others() -> None:
    stands = Standing(
        LINE, TRACE._replace(mode_actual=Mode.AUTO, zone_manual=np.arange(8) == 2), STANDS.manual_um, True
    )
    wish = ACTIONS["gap_um"].wish({"targets": {"3": 610.0}}, stands)
    assert isinstance(wish, OperatorRequest) and wish.gap_um is not None and wish.gap_um[2] == 610.0
    with pytest.raises(Refused, match="the line is in auto, and zone 4 is not held by hand"):
        ACTIONS["gap_um"].wish({"targets": {"3": 610.0, "4": 610.0}}, stands)
    holding = Standing(LINE, stands.trace._replace(mode_actual=Mode.HOLD), STANDS.manual_um, True)
    with pytest.raises(Refused, match="the line is in hold"):
        ACTIONS["gap_um"].wish({"targets": {"3": 610.0}}, holding)
