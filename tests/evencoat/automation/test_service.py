"""The automation beside a control process: through picture and desk, under the roles that its user has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from controller.line.command import Mode
from evencoat.automation.plan import Change, Plan
from evencoat.automation.service import PLC_LOOK_S, PLC_SAID, Plc, Service
from evencoat.desk.client import Answer, Desk, DeskError
from evencoat.desk.users import Role
from evencoat.journal import CycleJournal, JournalReader, What
from evencoat.journal.interventions import interventions
from evencoat.picture import Easel, path_of
from evencoat.settings import Automation, load_line
from tests.evencoat.automation.test_played import GAP_UM
from tests.evencoat.desk.lines import PEOPLE, DeskLine, write_users
from tests.evencoat.recipes.test_recipe import LIPS, version

POLICY = Automation(start=True, rearm_most_per_hour=3, clear_s=5.0)
FIRST = version(name="first", lips={**LIPS, "gap_um": GAP_UM})
SECOND = version(name="second", target_gsm=91.5)


class Beside(DeskLine):
    """A line with desk and picture, and the automation at its desk; each question lets cycles pass."""

    def __init__(self, folder: Path, plan: Plan, role: Role | None = Role.ENGINEER) -> None:
        super().__init__(folder)
        people = {**PEOPLE} if role is None else {**PEOPLE, "automation": role}
        write_users(folder / "users.json", people)
        self.easel = Easel(path_of(self.path), self.line.line.zones)
        settings = replace(self.line.plan.settings, automation=POLICY)
        self.gone = False
        self.service = Service(settings, plan, self.path, cast(Desk, AtTheDesk(self)))

    def cycle(self) -> None:
        """One cycle, and everything else that the control process does after it."""
        super().cycle()
        assert self.line.loop.trace is not None
        self.journal.record(self.line.loop.trace, 0.0, 0.0)
        self.easel.show(self.line.loop.trace, 0.0)

    def pass_s(self, seconds: float) -> None:
        """Let so much line time pass, with two looks a second."""
        for k in range(round(seconds / self.line.cycle_s)):
            self.cycle()
            if k % 5 == 0:
                self.service.tick()


class AtTheDesk:
    """evencoat.desk.client.Desk without its socket."""

    def __init__(self, line: Beside) -> None:
        self.line = line

    def ask(self, who: str, via: str, action: str, values: Mapping[str, Any] | None = None, why: str = "") -> Answer:
        """What the clerk says."""
        return Answer(*self.line.ask(who, action, via, why, **(values or {})))

    def state(self) -> dict[str, Any]:
        """What everybody may know."""
        if self.line.gone:
            raise DeskError("no control process listens")
        return self.line.clerk.state()


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Beside]:
    made = Beside(tmp_path, Plan(FIRST, (Change(SECOND, web_m=15.0),)))
    yield made
    made.easel.close()
    made.journal.close()


def newest(line: Beside) -> Mode:
    assert line.line.loop.trace is not None
    return line.line.loop.trace.mode_actual


def test_a_line_is_started_from_its_recipe_and_gets_the_next_and_a_persons_hold_stands(beside: Beside) -> None:
    beside.pass_s(1.0)
    assert newest(beside) is Mode.MANUAL and beside.tray.mode_by == "automation via automation"
    beside.pass_s(20.0)
    assert newest(beside) is Mode.AUTO
    assert beside.ask("omar", "mode", mode="hold", why="a visitor")[0]
    beside.pass_s(20.0)
    assert newest(beside) is Mode.HOLD and beside.line.loop.trace is not None
    assert beside.line.loop.trace.web_m > 15.0, "the next recipe was due, and waits"
    assert beside.line.loop.trace.target_gsm == pytest.approx(90.0)
    beside.ask("omar", "take_command")
    assert beside.ask("omar", "mode", mode="auto")[0]
    beside.pass_s(2.0)
    assert beside.line.loop.trace.target_gsm == pytest.approx(90.0), "he is in command"
    beside.ask("omar", "release_command")
    beside.pass_s(20.0)
    assert beside.line.loop.trace.target_gsm == pytest.approx(91.5, abs=0.5)
    asked = beside.records()
    with JournalReader(beside.path) as reader:
        found = interventions(reader, 1, reader.last_row())
    assert [(one.who, one.new) for one in found.manual] == [("omar via page", "hold"), ("omar via page", "auto")]
    assert [one.what for one in found.automatic] == ["mode", "setpoint", "mode", "setpoint"]
    assert not [one for one in asked if one.what == "refused"]


@pytest.mark.parametrize(("role", "refused"), [(None, "no user of this line"), (Role.OPERATOR, "takes engineer")])
def test_what_its_user_may_not_do_it_does_not(tmp_path: Path, role: Role | None, refused: str) -> None:
    line = Beside(tmp_path, Plan(None, (Change(SECOND, web_m=5.0),)), role)
    line.pass_s(20.0)
    assert line.line.loop.trace is not None and line.line.loop.trace.target_gsm == pytest.approx(90.0)
    records = [record for record in line.records() if record.what == "refused"]
    assert len(records) == 1 and refused in records[0].new, "and it does not ask again at once"
    line.easel.close()


def test_without_a_control_process_nothing_is_asked_for(beside: Beside) -> None:
    beside.gone = True
    beside.pass_s(2.0)
    assert beside.tray.mode_by == ""
    beside.gone = False
    beside.pass_s(1.0)
    assert newest(beside) is Mode.MANUAL and beside.tray.mode_by == "automation via automation"
    beside.service.tick()
    state = beside.service._attendant.state
    beside.service.tick()
    assert beside.service._attendant.state is state, "no new cycle, nothing new"


def test_the_plcs_word_is_what_its_follower_put_on_record_last(tmp_path: Path) -> None:
    line, now_s = load_line("pilot-16"), [0.0]
    with CycleJournal(tmp_path / "line.sqlite", line.line, line.text) as journal:
        for who, words in (
            ("plc via opcua", f"{PLC_SAID}not known -> 4711"),
            ("plc via opcua", f"{PLC_SAID}4711 -> anode 92"),
            ("vera via page", f"{PLC_SAID}anode 92 -> 9"),
            ("plc via opcua", "PLC: roll 3 -> 4"),
        ):
            journal.audit(who, What.REMARK, "", words, "")
    plc = Plc(tmp_path / "line.sqlite", "plc via opcua", lambda: now_s[0])
    assert plc.recipe() == "anode 92"
    with CycleJournal(tmp_path / "line.sqlite", line.line, line.text) as journal:
        journal.audit("plc via opcua", What.REMARK, "", f"{PLC_SAID}anode 92 -> bad", "")
    assert plc.recipe() == "anode 92", "not looked at again yet"
    now_s[0] += PLC_LOOK_S
    assert plc.recipe() == "bad"
    assert Plc(tmp_path / "none.sqlite", "plc via opcua").recipe() == ""
