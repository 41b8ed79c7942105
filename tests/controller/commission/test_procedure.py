"""Commissioning of whole lines, real plant and real core: what is found beside the truth, and what it costs."""

from __future__ import annotations

import pytest

from evencoat.league.rehearsal import Bad, Wrong, rehearse


def test_a_line_is_found_from_its_description_in_a_few_minutes() -> None:
    done = rehearse("nominal", 6)
    assert done.right, done
    assert done.enough and done.line_min < 10.0


def test_a_line_is_found_from_a_wrong_description() -> None:
    done = rehearse("nominal", 7, Wrong(gain=0.6, kernel=1.3, shift_pitches=0.5, distance=0.8))
    assert done.right, done


def test_dead_reversed_and_stuck_bolts_are_named() -> None:
    done = rehearse("nominal", 3, bad=Bad(dead=(1,), reversed=(6,), stuck=(14,)))
    assert done.right, done


def test_worn_screws_are_not_taken_for_dead_ones() -> None:
    done = rehearse("backlash-heavy", 8)
    assert done.right, done


def test_a_head_behind_the_dryer_is_enough() -> None:
    done = rehearse("dry-scanner-only", 3)
    assert done.right, done


@pytest.mark.parametrize("budget_m", [30.0, 90.0])
def test_the_budget_holds_however_small(budget_m: float) -> None:
    done = rehearse("noisy", 7, budget_m=budget_m)
    assert done.out_m <= budget_m, done
    assert not done.enough, "with so little it cannot have found everything"


def test_a_web_inside_its_tolerance_is_tested_so_that_it_mostly_stays_there() -> None:
    as_found, running = rehearse("nominal", 5), rehearse("nominal", 5, run_in_min=6.0)
    assert running.right, running
    assert running.out_m < 0.5 * as_found.out_m
    assert running.line_min > as_found.line_min, "the price of small tests is time"
