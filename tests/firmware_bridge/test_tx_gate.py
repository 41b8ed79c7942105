"""The gate passes everything inside its table and nothing beyond it, judged by loops that share nothing with it."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.tx_gate import Gate, GateTable, Refusal

TABLE = GateTable(
    gap_min_um=479.9,
    gap_max_um=720.1,
    step_max_um=0.6,
    neighbour_max_um=50.1,
    bend_max_um=70.1,
    pump_ratio_min_rpm_per_mps=95.0,
    pump_ratio_max_rpm_per_mps=124.0,
    pump_trim_max_pct=8.001,
    pump_trim_step_pct=0.051,
)
FLAT = [600.0] * 5
RATIO = 112.0


def primed(gap_um: list[float], ratio: float = RATIO, trim: float = 0.0) -> Gate:
    gate = Gate(TABLE)
    gate.prime(gap_um, ratio, trim)
    return gate


def allowed(
    new: list[float], last: list[float], ratio: float, trim: float, last_ratio: float, last_trim: float
) -> bool:
    """The table in words: every bound kept, or a bound already broken on the same side and not broken further."""
    hair = 1e-6

    def back_in(value: float, before: float) -> bool:
        return value * before > 0 and abs(value) <= abs(before) + hair

    broken = False
    for x, before in zip(new, last, strict=True):
        broken |= abs(x - before) > TABLE.step_max_um + hair
        broken |= x < TABLE.gap_min_um - hair and x < before - hair
        broken |= x > TABLE.gap_max_um + hair and x > before + hair
    for i in range(len(new) - 1):
        d, before = new[i + 1] - new[i], last[i + 1] - last[i]
        broken |= abs(d) > TABLE.neighbour_max_um + hair and not back_in(d, before)
    for i in range(len(new) - 2):
        b, before = new[i] - 2 * new[i + 1] + new[i + 2], last[i] - 2 * last[i + 1] + last[i + 2]
        broken |= abs(b) > TABLE.bend_max_um + hair and not back_in(b, before)
    speed, before = ratio * (1 + trim / 100), last_ratio * (1 + last_trim / 100)
    broken |= ratio < min(last_ratio, TABLE.pump_ratio_min_rpm_per_mps) - hair
    broken |= ratio > max(last_ratio, TABLE.pump_ratio_max_rpm_per_mps) + hair
    broken |= abs(trim) > TABLE.pump_trim_max_pct + hair and not back_in(trim, 100 * (before / ratio - 1))
    broken |= abs(speed - before) / ratio * 100 > TABLE.pump_trim_step_pct + hair
    return not broken


@st.composite
def gaps(draw: st.DrawFn) -> tuple[list[float], list[float]]:
    """A last command, often on or outside a bound, and a next one nearby."""
    base = draw(st.sampled_from([480.0, 600.0, 719.8, 760.0, 440.0]))
    wild = draw(st.sampled_from([0.0, 1.0, 30.0, 60.0]))
    last = [round(base + wild * draw(st.floats(-1, 1)), 1) for _ in range(5)]
    step = st.integers(-8, 8).map(lambda counts: counts / 10)
    return last, [round(x + draw(step), 1) for x in last]


@given(gaps(), st.sampled_from([RATIO, 94.0, 95.0, 124.0, 130.0]), st.integers(-8100, 8100), st.integers(-60, 60))
def test_the_gate_agrees_with_the_table_read_aloud(
    lips: tuple[list[float], list[float]], ratio: float, last_trim_counts: int, trim_step_counts: int
) -> None:
    last, new = lips
    last_trim = last_trim_counts / 1000
    trim = last_trim + trim_step_counts / 1000
    gate = primed(last, ratio, last_trim)
    refusal = gate.admits(new, ratio, trim)
    assert (refusal is None) is allowed(new, last, ratio, trim, ratio, last_trim), refusal


@given(gaps(), st.floats(90.0, 130.0), st.floats(90.0, 130.0), st.floats(-9.0, 9.0))
def test_ratio_and_trim_are_judged_together(
    lips: tuple[list[float], list[float]], last_ratio: float, ratio: float, trim: float
) -> None:
    last, _ = lips
    refusal = primed(last, last_ratio, 0.0).admits(last, ratio, trim)
    assert (refusal is None) is allowed(last, last, ratio, trim, last_ratio, 0.0), refusal


def test_a_pump_at_another_ratio_is_taken_over_at_the_same_speed_only() -> None:
    same_speed = 100.0 * (115.0 / RATIO - 1.0)
    assert primed(FLAT, 115.0).admits(FLAT, RATIO, same_speed) is None
    assert "pump trim step" in str(primed(FLAT, 115.0).admits(FLAT, RATIO, 0.0))


def test_it_walks_a_stray_bolt_back_in_and_never_out() -> None:
    gate = primed([600.0, 730.0, 600.0])
    gap = 730.0
    refusal = gate.admits([600.0, gap + 0.1, 600.0], RATIO, 0.0)
    assert refusal is not None and refusal.bound == "gap" and refusal.zone == 1
    while gap > 600.0:
        gap = round(gap - 0.5, 1)
        assert gate.admits([600.0, gap, 600.0], RATIO, 0.0) is None
    assert gate.admits([600.0, 600.5, 600.0], RATIO, 0.0) is None


def test_once_back_in_the_table_holds() -> None:
    gate = primed([720.3])
    assert gate.admits([720.0], RATIO, 0.0) is None
    assert gate.admits([720.3], RATIO, 0.0) is not None


def test_a_refused_command_leaves_no_trace() -> None:
    gate = primed(FLAT)
    assert gate.admits([601.0, *FLAT[1:]], RATIO, 0.0) is not None
    assert gate.admits([600.7, *FLAT[1:]], RATIO, 0.0) is not None  # still judged from 600.0
    assert gate.admits([600.6, *FLAT[1:]], RATIO, 0.0) is None
    assert gate.admits([601.2, *FLAT[1:]], RATIO, 0.0) is None  # and now from 600.6


def test_the_gate_edits_nothing() -> None:
    gap = np.array(FLAT)
    primed(FLAT).admits(gap, RATIO, 0.0)
    np.testing.assert_array_equal(gap, FLAT)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["gap", "ratio", "trim"])
def test_nothing_that_is_not_finite_passes(bad: float, place: str) -> None:
    gap, ratio, trim = list(FLAT), RATIO, 0.0
    if place == "gap":
        gap[2] = bad
    refusal = primed(FLAT).admits(gap, bad if place == "ratio" else ratio, bad if place == "trim" else trim)
    assert refusal is not None and "not finite" in refusal.bound


def test_without_feedback_nothing_passes() -> None:
    gate = Gate(TABLE)
    assert not gate.is_primed
    refusal = gate.admits(FLAT, RATIO, 0.0)
    assert refusal is not None and refusal.bound == "no feedback yet"


def test_another_number_of_zones_does_not_pass() -> None:
    refusal = primed(FLAT).admits(FLAT[:-1], RATIO, 0.0)
    assert refusal is not None and refusal.bound == "zones"


def test_it_cannot_be_primed_with_values_that_are_not_finite() -> None:
    gate = Gate(TABLE)
    for gap, ratio, trim in (([math.nan], RATIO, 0.0), ([600.0], math.inf, 0.0), ([600.0], RATIO, math.nan)):
        with pytest.raises(ValueError, match="finite"):
            gate.prime(gap, ratio, trim)
    assert not gate.is_primed


@pytest.mark.parametrize("name", [field.name for field in fields(GateTable)])
@pytest.mark.parametrize("value", [math.nan, -1.0])
def test_a_table_needs_sane_numbers(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        replace(TABLE, **{name: value})


def test_a_table_needs_ordered_ends() -> None:
    with pytest.raises(ValueError, match="gap_min_um"):
        replace(TABLE, gap_min_um=721.0)
    with pytest.raises(ValueError, match="pump_ratio_min"):
        replace(TABLE, pump_ratio_min_rpm_per_mps=125.0)


def test_a_refusal_says_what_where_and_how_much() -> None:
    refusal = primed(FLAT).admits([600.0, 600.0, 601.0, 600.0, 600.0], RATIO, 0.0)
    assert str(refusal) == "gap step at zone 2: 1, allowed 0.6"
    assert str(primed(FLAT).admits(FLAT, RATIO, 0.1)).startswith("pump trim step: 0.1")


# ------------------------------------------------------------------------------------- to the last bit, and in words

HAIR = 1e-6  # what the gate gives each bound, for decimal counts
EXACT = GateTable(
    gap_min_um=0.0,
    gap_max_um=100.0,
    step_max_um=8.0,
    neighbour_max_um=4.0,
    bend_max_um=2.0,
    pump_ratio_min_rpm_per_mps=50.0,
    pump_ratio_max_rpm_per_mps=60.0,
    pump_trim_max_pct=5.0,
    pump_trim_step_pct=1.0,
)
Asked = tuple[list[float], float, float]  # lips, ratio, trim


def answer(last: Asked, asked: Asked, **changes: float) -> Refusal | None:
    gate = Gate(replace(EXACT, **changes))
    gate.prime(*last)
    return gate.admits(*asked)


def above(value: float) -> float:
    return math.nextafter(value, math.inf)


def below(value: float) -> float:
    return math.nextafter(value, -math.inf)


def lips(*gap_um: float) -> Asked:
    return list(gap_um), 55.0, 0.0


def pump(ratio: float, trim: float) -> Asked:
    return [50.0], ratio, trim


APART = {"neighbour_max_um": 1e3, "bend_max_um": 1e3}
BENT = {"bend_max_um": 1e3}


@pytest.mark.parametrize(
    ("last", "asked", "refused", "wide"),
    [
        (lips(0.0), lips(8.0 + HAIR), lips(above(8.0 + HAIR)), {}),  # step
        (lips(8.0 + HAIR), lips(0.0), None, {}),
        (lips(100.0), lips(100.0 + HAIR), lips(above(100.0 + HAIR)), {}),  # range
        (lips(0.0), lips(0.0 - HAIR), lips(below(0.0 - HAIR)), {}),
        (lips(103.0), lips(103.0 + HAIR), lips(above(103.0 + HAIR)), {}),  # out already, and no further
        (lips(-1.0), lips(-1.0 - HAIR), lips(below(-1.0 - HAIR)), {}),
        (lips(-1.0, 0.0), lips(-1.0, 0.5), None, APART),
        (lips(103.0, 99.0), lips(102.0, 100.0), None, APART),  # one comes in, the other goes to the very bound
        (lips(103.0, 99.5), lips(102.0, 100.0 + HAIR), lips(102.0, above(100.0 + HAIR)), APART),
        (lips(-3.0, 0.5), lips(-2.0, 0.0 - HAIR), lips(-2.0, below(0.0 - HAIR)), APART),
        (lips(0.0, 4.0), lips(0.0, 4.0 + HAIR), lips(0.0, above(4.0 + HAIR)), {}),  # neighbours
        (lips(0.0, 10.0), lips(0.0, 10.0 + HAIR), lips(0.0, above(10.0 + HAIR)), {}),  # too far apart already
        (lips(0.0, 10.0, 10.0), lips(1.0, 10.0, 10.0), None, BENT),
        (lips(0.0, 0.0, 2.0), lips(0.0, 0.0, 2.0 + HAIR), lips(0.0, 0.0, above(2.0 + HAIR)), {}),  # bend
        (lips(0.0, 3.0, 6.0), lips(0.0, 3.0, 6.5), None, {}),  # a slope is no bend
        (pump(50.0, 0.0), pump(50.0 - HAIR, 0.0), pump(below(50.0 - HAIR), 0.0), {}),  # ratio
        (pump(60.0, 0.0), pump(60.0 + HAIR, 0.0), pump(above(60.0 + HAIR), 0.0), {}),
        (pump(60.0, 0.5), pump(60.0, 0.0), None, {}),
        (pump(55.0, 4.5), pump(55.0, 5.0 + HAIR), pump(55.0, above(5.0 + HAIR)), {}),  # trim
        (pump(55.0, 4.5), pump(55.0, 5.0), None, {}),
        (pump(55.0, 0.0), pump(55.0, 1.0 + HAIR), pump(55.0, above(1.0 + HAIR)), {}),  # its step
        (pump(60.0, 0.0), pump(50.0, 20.0), pump(50.0, 18.9), {}),  # the same speed at another ratio, beyond any trim
    ],
)
def test_every_bound_holds_to_the_last_bit(
    last: Asked, asked: Asked, refused: Asked | None, wide: dict[str, float]
) -> None:
    assert answer(last, asked, **wide) is None
    if refused is not None:
        assert answer(last, refused, **wide) is not None


def test_one_bolt_coming_in_does_not_open_the_bound_for_the_next() -> None:
    """Three bolts: the first two stand too far apart and close up, the last two go to the very bound, and beyond it."""
    last = lips(0.0, 10.0, 13.0)
    assert answer(last, lips(1.0, 10.0, 14.0), **BENT) is None
    past = answer(
        lips(10.0, 0.0, -3.0), lips(9.0, 0.0, -(4.0 + HAIR)), bend_max_um=1e3, gap_min_um=0.0, step_max_um=9.0
    )
    assert past is not None and (past.bound, past.zone) == ("gap", 2)
    assert answer(lips(10.0, 0.0, 3.0), lips(9.0, 0.0, 4.0 + HAIR), **BENT) is None
    past = answer(lips(10.0, 0.0, 3.0), lips(9.0, 0.0, above(4.0 + HAIR)), **BENT)
    assert past is not None and (past.bound, past.zone) == ("neighbour difference", 1)


def test_small_numbers_come_back_in_too() -> None:
    """Beyond a bound of a quarter, half is further in than six tenths."""
    assert answer(lips(0.0, 0.6), lips(0.0, 0.5), neighbour_max_um=0.25) is None
    small = {"pump_trim_max_pct": 0.25}
    assert answer(pump(55.0, 0.6), pump(55.0, 0.5), **small) is None
    other_side = answer(pump(55.0, -0.1), pump(55.0, 0.5), **small)
    assert other_side is not None and other_side.bound == "pump trim"


def test_a_pump_whose_ratio_is_nothing_has_only_its_trim() -> None:
    still = {"pump_ratio_min_rpm_per_mps": 0.0}
    assert answer(pump(0.0, 2.0), pump(0.0, 3.0), **still) is None
    assert answer(pump(0.0, 2.0), pump(0.0, 3.5), **still) is not None
    jump = answer(pump(0.5, 0.0), pump(0.55, 0.0), **still)
    assert jump is not None and jump.value == pytest.approx(100.0 / 11.0)


def test_whole_numbers_of_any_kind_are_judged_as_numbers() -> None:
    """In eight bits -100 - 101 is 55, and a step out of bounds looks like one inside them."""
    gate = Gate(replace(EXACT, gap_max_um=300.0, neighbour_max_um=150.0))
    gate.prime([100.0, -100.0], 55.0, 0.0)
    refusal = gate.admits(np.array([101, -100], np.int8), 55.0, 0.0)
    assert refusal is not None and (refusal.bound, refusal.value) == ("neighbour difference", -201.0)
    gate.prime(np.array([100, -100], np.int8), 55.0, 0.0)
    assert gate.admits([99.0, -100.0], 55.0, 0.0) is None


NAN = math.nan


@pytest.mark.parametrize(
    ("last", "asked", "words", "fields_"),
    [
        (lips(1.0, 1.0), lips(1.0), "zones: 1, allowed 2", (-1, 1, 2)),
        (lips(1.0), ([1.0], NAN, 0.0), "pump not finite: nan, allowed nan", (-1, NAN, NAN)),
        (lips(1.0), ([1.0], 55.0, NAN), "pump not finite: nan, allowed nan", (-1, NAN, NAN)),
        (lips(1.0, 1.0), lips(1.0, NAN), "gap not finite at zone 1: nan, allowed nan", (1, NAN, NAN)),
        (lips(1.0), lips(11.0), "gap step at zone 0: 10, allowed 8", (0, 10.0, 8.0)),
        (lips(1.0), lips(-2.0), "gap at zone 0: -2, allowed 0", (0, -2.0, 0.0)),
        (lips(99.0), lips(103.0), "gap at zone 0: 103, allowed 100", (0, 103.0, 100.0)),
        (lips(1.0, 1.0), lips(1.0, 6.0), "neighbour difference at zone 0: 5, allowed 4", (0, 5.0, 4.0)),
        (lips(1.0, 1.0, 1.0), lips(1.0, 2.5, 1.0), "bend at zone 0: -3, allowed 2", (0, -3.0, 2.0)),
        (pump(55.0, 0.0), pump(49.0, 0.0), "pump ratio: 49, allowed 50", (-1, 49.0, 50.0)),
        (pump(55.0, 0.0), pump(61.0, 0.0), "pump ratio: 61, allowed 60", (-1, 61.0, 60.0)),
        (pump(55.0, 4.5), pump(55.0, 5.5), "pump trim: 5.5, allowed 5", (-1, 5.5, 5.0)),
        (pump(55.0, 0.5), pump(55.0, -1.0), "pump trim step: -1.5, allowed 1", (-1, -1.5, 1.0)),
        (pump(50.0, 1.0), pump(50.0, 2.5), "pump trim step: 1.5, allowed 1", (-1, 1.5, 1.0)),
        (pump(60.0, 1.0), pump(50.0, 20.0), "pump trim step: -1.2, allowed 1", (-1, -1.2, 1.0)),
        (pump(60.0, 0.0), pump(50.0, -6.0), "pump trim: -6, allowed 5", (-1, -6.0, 5.0)),
    ],
)
def test_every_refusal_names_bound_place_value_and_what_is_allowed(
    last: Asked, asked: Asked, words: str, fields_: tuple[int, float, float]
) -> None:
    refusal = answer(last, asked)
    assert refusal is not None and str(refusal) == words
    assert (refusal.zone, refusal.value, refusal.allowed) == pytest.approx(fields_, nan_ok=True, abs=1e-9)
    assert isinstance(refusal.zone, int)


def test_without_feedback_it_says_that_alone() -> None:
    assert str(Gate(EXACT).admits([1.0], 55.0, 0.0)) == "no feedback yet: nan, allowed nan"
    assert Gate(EXACT).admits([1.0], 55.0, 0.0).zone == -1
    with pytest.raises(ValueError, match=r"^gate: cannot be primed with values that are not finite$"):
        Gate(EXACT).prime([NAN], 55.0, 0.0)


def test_a_table_may_stand_at_its_ends_but_has_some_range() -> None:
    replace(EXACT, step_max_um=0.0, pump_ratio_min_rpm_per_mps=60.0)
    with pytest.raises(ValueError, match=r"gap_min_um: 100\.0, expected less than gap_max_um = 100\.0"):
        replace(EXACT, gap_min_um=100.0)
