"""The campaigns of a week and a month: some minutes of them for real, and limits that can be broken."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from evencoat.campaigns.endurance import DAY_S, MONTH, WEEK, at_rate, every_day
from evencoat.campaigns.frame import CampaignError, CampaignPlan, run
from evencoat.settings import load_line
from plant_sim.scenario import Scenario


def test_some_minutes_of_a_month(tmp_path: Path) -> None:
    told = run(MONTH, CampaignPlan(True, 1, tmp_path, trials=8), lambda *_: None)
    figures = told["figures"]
    assert figures["days"] == pytest.approx(8 * 30.0 / DAY_S, abs=1e-4) and figures["limits_broken"] == 0
    assert figures["journal_max_mb"] > 0.1 and figures["not_finite"] == 0 and figures["memory_last_day_mb"] > 50.0
    with pytest.raises(CampaignError, match="runs in one process"):
        run(MONTH, CampaignPlan(True, 1, tmp_path, trials=9), lambda *_: None)


def test_days_follow_each_other_and_what_lasts_is_there_once() -> None:
    day = Scenario.load("a-day")
    week = every_day(day, 7)
    lasting = [play for play in day.plays if play.onset_s == 0.0 and math.isinf(play.duration_s)]
    assert len(week.plays) == len(lasting) + 7 * (len(day.plays) - len(lasting))
    assert len(week.fronts()) == 7 * len(day.fronts()) and week.fronts()[-1].onset_s > 6 * DAY_S


def test_at_another_rate_the_gate_passes_what_the_rate_allows_in_a_cycle() -> None:
    usual, slow = load_line("pilot-16"), at_rate(load_line("pilot-16"), 0.5)
    assert slow.gate.step_max_um == pytest.approx(5.0 * usual.gate.step_max_um)
    assert slow.line.control.cycle_s == slow.wire.sync_period_s == 0.5
    assert slow.line.wet_gauge is not None and slow.line.wet_gauge.period_s == 0.5


def rows(**last: Any) -> list[dict[str, Any]]:
    """Three days of a row each; the last one does worse."""
    fine = {"memory_mb": 200.0, "journal_mb": 20.0, "journal_lost": 0, "violations": 0, "variance": 1e-6}
    fine |= {"information_least": 0.1, "finite": True, "line_s": 3 * DAY_S}
    return [{**fine, "day": 0}, {**fine, "day": 1}, {**fine, "day": 2, **last}]


def test_every_limit_can_be_broken() -> None:
    assert not WEEK.judge(rows(memory_mb=203.0), Path()).broken
    assert WEEK.judge(rows(memory_mb=205.0), Path()).broken == ("memory_last_over_second = 1.025, at most 1.02",)
    assert not WEEK.judge(rows(memory_mb=205.0, line_s=0.5 * DAY_S), Path()).broken, "too early to say"
    assert WEEK.judge(rows(journal_mb=300.0), Path()).broken == ("journal_max_mb = 300, at most 200",)
    assert WEEK.judge(rows(variance=2e-6), Path()).broken == ("variance_last_over_second = 2, at most 1.5",)
    assert WEEK.judge(rows(finite=False), Path()).broken == ("not_finite = 1, at most 0",)
    assert WEEK.judge(rows(violations=3), Path()).broken == ("limits_broken = 3, at most 0",)
    assert WEEK.judge(rows(information_least=-0.1), Path()).broken == ("information_least = -0.1, at least -1e-09",)
