"""What-if: figures that can be worked out by hand, bounds that are told, and what a simulated line really does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from controller.line.command import OperatorRequest
from evencoat.forecast.what_if import WhatIfError, answer
from tests.factories import make_line
from tests.runs import Line, story

LINE = make_line(8)


def test_nothing_asked_changes_nothing() -> None:
    told = answer(LINE)
    assert told["pump"]["trim_pct"] == pytest.approx(0.0)
    assert told["pump"]["pressure_share"] == pytest.approx(1.0)
    assert told["change"]["scrap_most_m"] == 0.0
    assert told["oven"]["liquid_share"] == pytest.approx(1.0)
    assert told["oven"]["dry_delay_s"] == pytest.approx(63.0)


def test_another_target_is_the_pumps_business() -> None:
    told = answer(LINE, target_gsm=183.6)
    assert told["pump"]["trim_pct"] == pytest.approx(2.0)
    assert told["lips"]["moves_um"] == 0.0
    assert told["change"]["target_ramp_m"] > 30.0
    assert 0.0 < told["change"]["target_scrap_m"] < told["change"]["target_ramp_m"]


def test_another_speed_moves_delays_pressure_and_what_the_oven_takes_off() -> None:
    told = answer(LINE, speed_m_per_min=48.0)
    assert told["oven"]["wet_delay_s"] == pytest.approx(3.0 / 0.8)
    assert told["oven"]["liquid_share"] == pytest.approx(0.8)
    assert told["pump"]["pressure_share"] == pytest.approx(0.8**LINE.slurry.flow_index)
    assert told["pump"]["trim_pct"] == pytest.approx(0.0)
    assert told["change"]["scrap_most_m"] == 0.0


def test_more_solids_want_less_pump_and_cost_web_only_beyond_tolerance() -> None:
    much, little = answer(LINE, solids_pct=1.5), answer(LINE, solids_pct=0.2)
    assert much["change"]["batch_step_pct"] > 1.5 / LINE.slurry.solids_fraction  # density rises with solids
    assert much["pump"]["trim_pct"] == pytest.approx(
        100.0 * (1.0 / (1.0 + 0.01 * much["change"]["batch_step_pct"]) - 1.0)
    )
    assert much["change"]["batch_scrap_most_m"] > 63.0
    assert little["change"]["batch_scrap_most_m"] == 0.0


def test_room_is_that_of_the_bolt_nearest_to_an_end() -> None:
    gap_um = np.full(8, LINE.die.gap_nominal_um)
    gap_um[2] = LINE.lips.gap_max_um - 7.0
    now: dict[str, Any] = {"gap_um": gap_um, "target_gsm": None, "web_speed_mps": 1.0, "pump_trim_pct": 1.0}
    told = answer(LINE, now=now)
    assert told["lips"]["least_room_bolt"] == 3
    assert told["lips"]["least_room_um"] == pytest.approx(7.0)
    assert told["pump"]["trim_pct"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"target_gsm": 10.0}, "target = 10"),
        ({"speed_m_per_min": 1000.0}, "speed = 1000"),
        ({"solids_pct": -9.0}, "solids = -9"),
        ({"target_gsm": math.nan}, "target = nan"),
    ],
)
def test_questions_out_of_bounds_are_refused_with_the_bounds(asked: dict[str, Any], named: str) -> None:
    with pytest.raises(WhatIfError, match=named) as refused:
        answer(LINE, **asked)
    assert "must lie between" in str(refused.value)


def test_a_simulated_line_does_what_was_said_of_another_target() -> None:
    line = Line(story(), "pilot-16")
    line.play_s(240.0)
    before = line.sink.all[-1]
    told = answer(line.line, target_gsm=91.8, now=before._asdict())
    line.request(OperatorRequest(target_gsm=91.8))
    after = line.play_s(120.0)[-1]
    assert after.pump_trim_pct == pytest.approx(told["pump"]["trim_pct"], abs=0.3)
    assert np.abs(after.gap_um - before.gap_um).max() < 2.0
    assert after.pump_speed_rpm == pytest.approx(told["pump"]["rpm"], rel=0.01)
