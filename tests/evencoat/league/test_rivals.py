"""The operator does what today's operators do, and the prepared lines differ in nothing but the law."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from controller.line.command import Mode
from controller.line.description import LawName
from evencoat.league.rivals import (
    FIRST_LOOK_S,
    LARGEST_TURN_UM,
    LOOK_EVERY_S,
    WORST_BOLTS,
    Operator,
    Rival,
    prepare,
)
from evencoat.settings import load_line
from tests.runs import Line, story

LINE = load_line("pilot-16").line


def test_laws_and_modes() -> None:
    assert prepare(LINE, Rival.OPEN) == (LINE, Mode.MANUAL)
    assert prepare(LINE, Rival.HAND) == (LINE, Mode.MANUAL)
    for rival, law in ((Rival.PID, LawName.PI), (Rival.IMC, LawName.IMC)):
        line, mode = prepare(LINE, rival)
        assert mode is Mode.AUTO and line.control.law is law
        assert replace(line, control=LINE.control) == LINE


def test_the_operator_looks_every_ten_minutes_and_turns_a_few_bolts_by_whole_micrometres() -> None:
    line = Line(story({"name": "static-profile"}), rival=Rival.HAND)
    gaps = np.array([trace.gap_law_um for trace in line.play_s(FIRST_LOOK_S + LOOK_EVERY_S + 60.0)])
    changes = np.flatnonzero(np.abs(np.diff(gaps, axis=0)).max(axis=1))
    assert len(changes) == 2
    assert (changes[1] - changes[0]) * line.cycle_s == pytest.approx(LOOK_EVERY_S, abs=1.0)
    for change in changes:
        turn = gaps[change + 1] - gaps[change]
        assert 0 < np.count_nonzero(turn) <= WORST_BOLTS
        assert np.allclose(turn, np.round(turn)) and np.abs(turn).max() <= LARGEST_TURN_UM


def test_the_operator_does_not_act_on_what_cannot_be_seen() -> None:
    line = Line(story({"name": "gauge-silent", "gauge": "wet"}, {"name": "static-profile"}), rival=Rival.HAND)
    operator = Operator(line.line)
    assert all(operator.watch(trace) is None for trace in line.play_s(FIRST_LOOK_S + 30.0))
