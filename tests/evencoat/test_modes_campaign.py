"""The state machine of modes: a short run of it, a way through it by hand, and that what is wrong would be seen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.line.command import Mode
from evencoat.campaigns import modes
from evencoat.campaigns.frame import CampaignPlan, run
from evencoat.campaigns.mode_machine import Machine
from evencoat.campaigns.modes import Modes
from firmware_bridge.contract import Telegram


@pytest.fixture
def machine() -> Iterator[Machine]:
    one = Machine()
    one.begin(seed=1, cycles=30)
    yield one
    one.teardown()


def hold(one: Machine) -> None:
    one.no_limit_is_broken()
    one.no_command_jumps()
    one.the_mode_is_the_one_asked_for_or_a_safer_one()
    one.silent_links_are_told_and_sound_ones_are_not()


def test_a_way_through_everything(machine: Machine) -> None:
    for mode in Mode:
        machine.ask(mode, 8)
        hold(machine)
    machine.type_targets(float("nan"), 3, float("inf"))
    machine.cut(Telegram.SYNC, 45)
    hold(machine)
    machine.mend()
    machine.safe_stop()
    machine.run(5)
    machine.die()
    machine.run(25)
    machine.begin_again(Mode.AUTO)
    machine.put_right(Mode.AUTO, 100)
    hold(machine)
    assert machine.sink.last is not None and machine.sink.last.mode_actual is Mode.AUTO


def test_what_does_not_hold_is_seen(machine: Machine) -> None:
    assert machine.sink.last is not None
    machine.cut_s[Telegram.WET_PROFILE] = 30.0  # said to be cut, and heard all the while
    with pytest.raises(AssertionError, match="nobody was told"):
        machine.silent_links_are_told_and_sound_ones_are_not()
    machine.sink.bump = 1.01
    with pytest.raises(AssertionError, match=r"a bump of 1\.01 rate steps"):
        machine.no_command_jumps()
    machine.sink.last = machine.sink.last._replace(mode_requested=Mode.HOLD, mode_actual=Mode.AUTO)
    with pytest.raises(AssertionError):
        machine.the_mode_is_the_one_asked_for_or_a_safer_one()


def test_who_has_just_started_need_not_miss_a_link_that_was_cut_before(machine: Machine) -> None:
    machine.cut(Telegram.DRY_PROFILE, 70)
    hold(machine)
    machine.die()
    machine.begin_again(Mode.ADVISORY)
    machine.run(16)
    hold(machine)
    machine.run(60)
    hold(machine)
    assert machine.sink.last is not None and machine.sink.last.link_faults == ("dry profile: never seen",)


@pytest.mark.parametrize("advised", [1, 2, 3, 4, 9])
def test_who_only_advised_for_a_moment_begins_anew_when_his_last_command_has_expired(advised: int) -> None:
    """Here a safe stop has kept the lips from where that command sent them."""
    one = Machine()
    one.begin(seed=423, cycles=89)
    one.safe_stop()
    one.ask(Mode.HOLD, 14)
    one.ask(Mode.ADVISORY, advised)
    one.ask(Mode.HOLD, 10)
    hold(one)
    assert one.sink.last is not None and one.sink.last.sent
    one.teardown()


def test_a_journal_that_lost_a_cycle_is_seen() -> None:
    one = Machine()
    one.begin(seed=1, cycles=3)
    one.sink.cycles += 1
    with pytest.raises(AssertionError, match="a cycle is missing"):
        one.teardown()


def test_a_short_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "RUNS_A_TRIAL", 2)
    monkeypatch.setattr(modes, "STEPS_A_RUN", 12)
    told = run(Modes(), CampaignPlan(True, 1, tmp_path, trials=2), lambda *_: None)
    assert told["passed"], told["broken"]
    assert told["figures"]["runs"] >= 4 and told["figures"]["steps"] >= 40


def test_a_failure_is_told_with_the_way_there() -> None:
    row: dict[str, Any] = {"runs": 1, "steps": 9, "bump_rate_steps": 1.0, "modes": ["auto asked, auto"], "wrong": ""}
    assert not Modes().judge([row], Path()).broken
    assert Modes().judge([row, {**row, "wrong": "AssertionError: x"}], Path()).broken == ("AssertionError: x",)
    assert Modes().judge([{**row, "bump_rate_steps": 1.5}], Path()).broken
