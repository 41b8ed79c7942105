"""Metres out of tolerance: what is seen counts as it is seen, what is unseen as the newest that was."""

from __future__ import annotations

import numpy as np
import pytest

from controller.commission.budget import DOUBTED, Budget
from tests.factories import make_line

LINE = make_line(10)  # tolerance 1.5 %, wet gauge at 3 m, dry gauge at 63 m
EVEN, ONE_OUT, DOUBTFUL = np.zeros(10), np.zeros(10), np.zeros(10)
ONE_OUT[4], DOUBTFUL[4] = 0.03, 0.014


def test_before_anything_is_seen_all_web_counts() -> None:
    budget = Budget(LINE, 100.0, 600.0)
    budget.now(107.0)
    assert budget.spent_m == pytest.approx(7.0)
    assert budget.left_m == pytest.approx(593.0)


def test_web_that_is_seen_inside_costs_nothing_and_one_zone_of_ten_is_too_much() -> None:
    budget = Budget(LINE, 0.0, 600.0)
    budget.near(EVEN, 10.0)
    budget.now(13.0)
    assert budget.spent_m == 0.0 and not budget.out_now and budget.inside_m == pytest.approx(10.0)
    budget.near(ONE_OUT, 12.0)
    budget.now(15.0)
    assert budget.out_now and budget.inside_m == 0.0
    assert budget.spent_m == pytest.approx(2.0 + 3.0), "two metres seen out, three on their way"


def test_a_zone_near_its_limit_counts_though_the_web_is_not_called_out() -> None:
    assert abs(np.expm1(DOUBTFUL[4])) > DOUBTED * 0.015
    budget = Budget(LINE, 0.0, 600.0)
    budget.near(DOUBTFUL, 5.0)
    assert budget.spent_m == pytest.approx(5.0) and not budget.out_now


def test_the_truest_gauge_has_the_last_word() -> None:
    budget = Budget(LINE, 0.0, 600.0)
    for laid_m in range(1, 101):
        budget.near(EVEN, float(laid_m))
        budget.now(laid_m + 3.0)
    assert budget.spent_m == 0.0
    budget.far(ONE_OUT, 40.0)
    assert budget.spent_m == pytest.approx(40.0), "the wet gauge was wrong about them"

    other = Budget(LINE, 0.0, 600.0)
    for laid_m in range(1, 101):
        other.near(ONE_OUT, float(laid_m))
    other.far(EVEN, 40.0)
    assert other.spent_m == pytest.approx(60.0)


def test_web_that_is_told_twice_counts_once() -> None:
    budget = Budget(LINE, 0.0, 600.0)
    for _ in range(3):
        budget.near(ONE_OUT, 8.0)
    budget.now(8.0)
    assert budget.spent_m == pytest.approx(8.0)
