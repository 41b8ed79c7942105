"""Warnings: when they come and go, what counts as an event, and how they are judged."""

from __future__ import annotations

import numpy as np
import pytest

from evencoat.forecast.warnings import CALM_M, PERSIST_LOOKS, QUIET_S, Tally, Warned, events, tally, warned

T_S = np.arange(600.0)


def chance(*stretches: tuple[int, int]) -> np.ndarray:
    made = np.full(600, 0.01)
    for first, last in stretches:
        made[first:last] = 0.9
    return made


def test_a_warning_comes_after_some_looks_and_goes_after_some_quiet() -> None:
    (one,) = warned(T_S, chance((100, 150)), 0.5)
    assert one.from_s == 100.0 + PERSIST_LOOKS - 1
    assert one.to_s == pytest.approx(150.0 + QUIET_S, abs=1.0)


def test_one_look_is_no_warning_and_a_gap_does_not_end_one() -> None:
    assert warned(T_S, chance((100, 102)), 0.5) == []
    assert len(warned(T_S, chance((100, 150), (160, 200)), 0.5)) == 1


def test_a_warning_that_stands_at_the_end_is_told() -> None:
    assert warned(T_S, chance((580, 600)), 0.5) == [Warned(582.0, 599.0)]


def test_events_begin_after_calm_web_and_end_with_it() -> None:
    out = np.zeros(600, dtype=bool)
    out[10:20] = True  # the web was never calm before
    out[100:110] = True
    out[115:130] = True  # of the same event
    out[400] = True  # one metre is none
    assert list(events(T_S, T_S, out)) == [(100.0, 129.0)]
    assert CALM_M < 80.0


def test_tally_counts_leads_before_coating_and_before_the_gauge() -> None:
    out_s = np.arange(300.0, 320.0)
    early, late, wrong = Warned(280.0, 330.0), Warned(310.0, 340.0), Warned(50.0, 90.0)
    happened = [(300.0, 319.0)]
    assert tally([early], happened, out_s, 60.0) == Tally(1, 1, 1, 1, 1, (20.0,), (80.0,))
    assert tally([late], happened, out_s, 60.0) == Tally(1, 1, 1, 0, 1, (), (50.0,))
    assert tally([wrong], happened, out_s, 60.0) == Tally(1, 0, 1, 0, 0)
    figures = tally([early], happened, out_s, 60.0).plus(tally([wrong], happened, out_s, 60.0)).figures()
    assert figures["precision"] == 0.5
    assert figures["recall_before_coated"] == 0.5
    assert figures["lead_before_seen_s"] == 80.0


def test_nothing_divides_by_nothing() -> None:
    assert Tally().figures()["precision"] is None
