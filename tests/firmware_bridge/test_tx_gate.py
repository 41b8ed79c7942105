"""The gate passes everything inside its table and nothing beyond it, judged by loops that share nothing with it."""

from __future__ import annotations

import math
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.tx_gate import Gate, GateTable

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
