"""Limits ahead: trends are found with the hours they leave, noise is none, and a change of recipe begins anew."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from controller.line.description import Array
from evencoat.forecast.limits import Ahead, Limits
from tests.evencoat.forecast.webs import ToyWeb
from tests.factories import make_line

LINE = make_line(8)
ROWS = 2400


def ahead(changes: Any) -> list[Ahead]:
    """Limits after 40 minutes of cycles, each changed by `changes(second)`."""
    limits = Limits(LINE)
    for row, cycle in enumerate(ToyWeb(LINE, np.zeros((ROWS, 8)), 0.0).cycles()):
        limits.see(cycle | changes(row))
    return limits.ahead()


def gaps(row: int, bolt: int, um_per_hour: float, noise: Array) -> dict[str, Any]:
    gap_um = np.full(8, LINE.die.gap_nominal_um)
    gap_um[bolt] += um_per_hour * row / 3600.0 + noise[row]
    return {"gap_um": gap_um}


def test_a_bolt_on_its_way_to_an_end_has_so_many_hours_left() -> None:
    noise = 0.3 * np.random.default_rng(1).standard_normal(ROWS)
    found = [one for one in ahead(lambda row: gaps(row, 3, 12.0, noise)) if one.what == "bolt travel"]
    assert [one.where for one in found] == ["bolt 4"]
    now_um = LINE.die.gap_nominal_um + 12.0 * ROWS / 3600.0
    hours = (LINE.lips.gap_max_um - now_um) / 12.0
    assert found[0].hours == pytest.approx(hours, rel=0.05)
    assert found[0].hours_from < hours < found[0].hours_to


def test_noise_alone_runs_to_no_limit() -> None:
    noise = np.random.default_rng(2).standard_normal(ROWS)
    slow = np.cumsum(noise) * 0.0
    assert [one for one in ahead(lambda row: gaps(row, 2, 0.0, slow)) if one.what != "filter"] == []


def test_a_pump_that_slips_more_and_more_runs_to_the_end_of_its_trim() -> None:
    (one,) = ahead(lambda row: {"pump_trim_pct": 2.0 + 3.0 * row / 3600.0})
    assert (one.what, one.limit) == ("pump trim", LINE.pump.trim_max_pct)
    assert one.hours == pytest.approx((LINE.pump.trim_max_pct - 4.0) / 3.0, rel=0.02)


def test_pressure_that_rises_is_the_filter_and_one_that_falls_is_not() -> None:
    rising = ahead(lambda row: {"pump_pressure_kpa": 300.0 * math.exp(0.2 * row / 3600.0)})
    assert [one.what for one in rising] == ["filter"]
    assert rising[0].per_hour == pytest.approx(20.0, rel=0.02)
    assert ahead(lambda row: {"pump_pressure_kpa": 300.0 * math.exp(-0.2 * row / 3600.0)}) == []


def test_a_wet_gauge_that_drifts_is_told() -> None:
    (one,) = ahead(lambda row: {"wet_bias_pct": np.full(8, 2.0 * row / 3600.0)})
    assert (one.what, one.where) == ("wet gauge", "drift")


def test_another_speed_begins_the_pump_anew() -> None:
    found = ahead(lambda row: {"pump_trim_pct": 0.001 * row, "web_speed_mps": 1.0 if row < ROWS - 300 else 0.8})
    assert [one.what for one in found] == []


def test_nothing_is_told_of_a_line_by_hand() -> None:
    assert ahead(lambda row: {"pump_trim_pct": 0.001 * row, "mode_actual": "manual"}) == []
