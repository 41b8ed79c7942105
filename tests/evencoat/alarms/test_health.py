"""Health of devices from the alarms that stand, the line in PackML's words, and EEMUA's figures."""

from __future__ import annotations

import pytest

from controller.line.command import Mode, Outcome
from controller.line.profile import LineState
from evencoat.alarms.catalogue import CATALOGUE, Ne107
from evencoat.alarms.engine import Condition, Conditions, Engine, EngineState, Key
from evencoat.alarms.figures import figures
from evencoat.alarms.health import devices, health
from evencoat.packml import PackMl, UnitMode, packml
from tests.factories import make_line

LINE = make_line(zones=8)


def test_a_device_is_worth_the_worst_that_stands_of_it():
    values = {Key("link-silent", "die"): Condition(1.0), Key("limits-many"): Condition(1.0)}
    engine, state = Engine(CATALOGUE), EngineState()
    for now_s in (0.0, 40.0):
        state, _ = engine.step(state, now_s, Conditions(values, frozenset()))
    found = health(LINE, state)
    assert set(found) == set(devices(LINE)) and "bolt 8" in found
    assert found["die"].status is Ne107.FAILURE and found["die"].because == ("link-silent/die", "limits-many")
    assert {one.status for name, one in found.items() if name != "die"} == {Ne107.GOOD}


def test_a_line_without_a_dry_gauge_has_no_health_of_one():
    assert "dry gauge" not in health(make_line(dry=False), EngineState())


@pytest.mark.parametrize(
    ("mode", "outcome", "line_state", "alive", "word"),
    [
        (Mode.AUTO, Outcome.OK, LineState.RUNNING, True, PackMl.EXECUTE),
        (Mode.MANUAL, Outcome.OK, LineState.RUNNING, True, PackMl.EXECUTE),
        (Mode.HOLD, Outcome.OK, LineState.RUNNING, True, PackMl.HELD),
        (Mode.ADVISORY, Outcome.OK, LineState.RUNNING, True, PackMl.IDLE),
        (Mode.AUTO, Outcome.START_UP, LineState.STOPPED, True, PackMl.STARTING),
        (Mode.AUTO, Outcome.LINE_STOPPED, LineState.SPLICE, True, PackMl.SUSPENDED),
        (Mode.AUTO, Outcome.OK, LineState.STOPPED, True, PackMl.SUSPENDED),
        (Mode.HOLD, Outcome.LINE_STOPPED, LineState.STOPPED, True, PackMl.STOPPED),
        (Mode.AUTO, Outcome.GAUGE_STALE, LineState.STOPPED, True, PackMl.HELD),
        (Mode.AUTO, Outcome.SAFE_STOP, LineState.RUNNING, True, PackMl.ABORTED),
        (Mode.AUTO, Outcome.OK, LineState.RUNNING, False, PackMl.STOPPED),
    ],
)
def test_the_line_in_one_word(mode, outcome, line_state, alive, word):
    assert packml(mode, outcome, line_state, alive)[0] is word


def test_every_outcome_and_mode_has_a_word():
    for outcome in Outcome:
        for mode in Mode:
            state, unit = packml(str(mode), str(outcome), LineState.RUNNING)
            assert isinstance(state, PackMl) and isinstance(unit, UnitMode)


def test_figures_count_rates_floods_and_what_comes_most():
    came = [(float(10 * k), "a" if k % 3 else "b") for k in range(12)]
    found = figures(came, EngineState(now_s=3600.0), 0.0)
    assert (found.announced, found.peak_ten_minutes, found.last_ten_minutes) == (12, 12, 0)
    assert found.mean_per_ten_minutes == 2.0 and not found.usable and found.per_day == 288.0
    assert found.flood_share == pytest.approx((670.0 - 100.0) / 3600.0, abs=1e-4)  # the 11th, until 4 are within ten
    assert found.most_frequent == (("a", 8), ("b", 4))
    assert figures([], EngineState(now_s=3600.0), 0.0).usable
