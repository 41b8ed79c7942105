"""How far one player stands below another is told line by line, not from one median to the other."""

import math
from dataclasses import replace

import pytest

from evencoat.league import table
from evencoat.league.metrics import Score
from evencoat.league.table import Result


def played(family: str, seed: int, controller: str, sigma_pct: float) -> Result:
    score = Score(sigma_pct, 0.1, 0.28, 12.5, 40.0, 1.6, 38.0, 5.0, 2000.0, 600.0)
    return Result(family, seed, controller, 0.25, score, 91.5)


def test_gains_are_of_the_same_lines():
    """A is 10 % below on two lines and 20 % above on one; B's own spread of sizes says nothing."""
    results = [
        *(played("nominal", seed, "a", sigma) for seed, sigma in ((1, 0.9), (2, 9.0), (3, 0.12))),
        *(played("nominal", seed, "b", sigma) for seed, sigma in ((1, 1.0), (2, 10.0), (3, 0.1))),
        played("wide", 1, "a", 0.5),  # b did not play here
    ]
    nominal, everywhere = table.gains(results, "a")
    assert nominal["family"] == "nominal"
    assert everywhere["family"] == "all"
    for row in (nominal, everywhere):
        assert (row["controller"], row["other"], row["lines"], row["lines_above"]) == ("a", "b", 3, 1)
        assert row["below_pct_median"] == pytest.approx(10.0)
        assert row["below_pct_low"] == pytest.approx(-20.0)
        assert row["below_pct_high"] == pytest.approx(10.0)


def test_savings_are_of_totals_and_of_the_tail():
    """A coats half of the metres out of tolerance on each line; its worst line is as bad as B's."""
    results = [
        *(replaced(played("nominal", seed, "a", sigma), 20.0, 2.0) for seed, sigma in ((1, 0.2), (2, 0.3), (3, 0.9))),
        *(replaced(played("nominal", seed, "b", sigma), 40.0, 0.0) for seed, sigma in ((1, 0.4), (2, 0.6), (3, 0.9))),
    ]
    nominal, everywhere = table.savings(results, "a", "b")
    assert (nominal["family"], everywhere["family"], nominal["lines"]) == ("nominal", "all", 3)
    assert nominal["out_of_tolerance_m"] == pytest.approx(50.0)
    assert nominal["out_of_tolerance_m_low"] == pytest.approx(50.0)
    assert nominal["sigma_p95"] == pytest.approx(100.0 * (1.0 - 0.84 / 0.87))
    assert nominal["sigma_p95_low"] <= nominal["sigma_p95"] <= nominal["sigma_p95_high"]
    assert math.isnan(float(nominal["batch_scrap_m"])), "there is nothing of theirs to save"
    assert nominal["bolt_travel_um"] == 0.0


def replaced(result: Result, out_m: float, batch_m: float) -> Result:
    return replace(result, score=replace(result.score, out_of_tolerance_m=out_m, batch_scrap_m=batch_m))
