"""Twenty minutes without a person, every frame included: three rolls, another grade, a cut wire, and a report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from controller.line.command import Mode, Outcome
from controller.line.profile import LineState
from evencoat.automation import report
from evencoat.automation.decide import Deed, Kind, Stage
from evencoat.automation.plan import Change, Plan
from evencoat.automation.played import CutWire, Unattended
from evencoat.campaigns.endurance import at_rate
from evencoat.cli import app
from evencoat.journal import CycleJournal, JournalReader
from evencoat.journal.interventions import interventions
from evencoat.league.rivals import Rival
from evencoat.settings import Automation, load_line
from evencoat.simulate import Plan as Played
from evencoat.simulate import SimulatedLine
from tests.evencoat.recipes.test_recipe import LIPS, version
from tests.runs import DRIFTS, story

MINUTES = 20.0
POLICY = Automation(start=True, rearm_most_per_hour=3, clear_s=5.0)
GAP_UM = [500.0 + 0.3 * abs(zone - 7.5) for zone in range(16)]
FIRST = version(name="first", lips={**LIPS, "gap_um": GAP_UM})
SECOND = version(name="second", target_gsm=91.5, lips={**LIPS, "gap_um": GAP_UM})
SHIFT = story(
    {"name": "threading", "onset_s": 0.0, "duration_s": 30.0, "size": 0.3},
    {"name": "splice", "onset_s": 250.0, "duration_s": 20.0, "size": 0.7},
    {"name": "gauge-silent", "onset_s": 320.0, "duration_s": 15.0},
    {"name": "roll-change", "onset_s": 400.0},
    {"name": "threading", "onset_s": 400.0, "duration_s": 30.0, "size": 0.3},
    {"name": "batch-change", "onset_s": 560.0, "front_s": 60.0},
    {"name": "patch-coating", "onset_s": 620.0, "duration_s": 60.0, "size": 2.0, "gap_m": 0.5},
    {"name": "web-speed", "onset_s": 700.0, "duration_s": 50.0, "size": 0.8},
    {"name": "web-stop", "onset_s": 790.0, "duration_s": 50.0},
    {"name": "roll-change", "onset_s": 805.0},
    {"name": "threading", "onset_s": 838.0, "duration_s": 30.0, "size": 0.3},
    {"name": "encoder-loss", "onset_s": 1100.0, "duration_s": 3.0},
    drifts=DRIFTS,
)
CUTS_S = ((500.0, 6.0),)


@pytest.fixture(scope="module")
def shift(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SimulatedLine, Unattended]:
    """The journal of a shift, the line at its end, and who sat at its desk."""
    path, settings = tmp_path_factory.mktemp("shift") / "journal.sqlite", at_rate(load_line("pilot-16"), 0.2)
    with CycleJournal(path, settings.line, settings.text, patient=True) as journal:
        sink = Unattended(journal, POLICY, Plan(FIRST, (Change(SECOND, roll=3),)), settings.line.lips.rate_um_per_s)
        line = SimulatedLine(Played(settings, SHIFT, Rival.IMC, MINUTES, 1), sink, medium=CutWire(CUTS_S))
        sink.sit(line)
        line.play(MINUTES)
        sink.close()
    return path, line, sink


def kinds(deeds: list[tuple[float, Deed, str]]) -> list[Kind]:
    return [deed.kind for _, deed, _ in deeds]


def test_it_starts_rearms_and_changes_the_grade_and_nothing_is_refused(
    shift: tuple[Path, SimulatedLine, Unattended],
) -> None:
    _, line, sink = shift
    assert kinds(sink.deeds) == [
        Kind.GRADE, Kind.LIPS, Kind.CLOSE, Kind.REARM, Kind.GRADE, Kind.LIPS, Kind.CLOSE,
    ]  # fmt: skip
    assert {refused for _, _, refused in sink.deeds} == {""}
    times_s = [at_s for at_s, _, _ in sink.deeds]
    assert 30.0 <= times_s[1] < 35.0 and times_s[2] < 50.0, "lips go as soon as the web runs"
    cut_s = sum(CUTS_S[0])
    assert cut_s + POLICY.clear_s <= times_s[3] < cut_s + POLICY.clear_s + 10.0
    assert 805.0 <= times_s[4] < 815.0 and 868.0 <= times_s[5] < 875.0
    assert sink.attendant.state.stage is Stage.CLOSED and line.checker.violations == 0
    trace = line.loop.trace
    assert trace is not None and trace.mode_actual is Mode.AUTO
    assert trace.target_gsm == pytest.approx(SECOND.target_gsm)


def test_the_journal_knows_that_nobody_stepped_in_and_why_each_thing_was_done(
    shift: tuple[Path, SimulatedLine, Unattended],
) -> None:
    path, line, _ = shift
    with JournalReader(path) as reader:
        told, records = report.told(reader), reader.audit()
        assert reader.verify().ok
        rows = reader.cycles(("mode_actual", "outcome", "line_state", "t_line_ns"))
    assert told["manual"] == 0 and [roll["roll"] for roll in told["rolls"]] == [1, 2, 3]
    assert {record.who for record in records} == {"automation via automation"}
    assert all(record.why for record in records)
    assert [[one["what"] for one in roll["automatic"]] for roll in told["rolls"]] == [
        ["mode", "setpoint", "mode"], ["acknowledgement"], ["setpoint", "mode", "setpoint", "mode"],
    ]  # fmt: skip
    recipes = [record.new for record in records if record.what == "recipe"]
    assert [new.split()[0] for new in recipes] == ["first@1", "first@1", "second@1", "second@1"]
    running = rows["line_state"] == LineState.RUNNING
    auto = running & (rows["mode_actual"] == str(Mode.AUTO))
    assert told["auto_of_running_pct"] == pytest.approx(100.0 * auto.sum() / running.sum(), abs=0.2)
    assert told["auto_of_running_pct"] > 90.0
    held = {Outcome.GAUGE_STALE, Outcome.NODES_LATCHED, Outcome.ENCODER_LOST, Outcome.LINE_STOPPED}
    assert {str(outcome) for outcome in held} <= set(told["hold_s"])
    latched = (rows["outcome"] == str(Outcome.NODES_LATCHED)).sum() * line.cycle_s
    assert told["hold_s"][str(Outcome.NODES_LATCHED)] == pytest.approx(latched, abs=0.5)
    assert told["web_m"] == pytest.approx(line.nodes.truth_row.web_m, abs=0.5)


def test_the_command_line_reports_a_journal(shift: tuple[Path, SimulatedLine, Unattended]) -> None:
    path, _, _ = shift
    shown = CliRunner().invoke(app, ["automation", "report", str(path)])
    assert shown.exit_code == 0 and "manual interventions: 0" in shown.output and "3 of" not in shown.output
    told: dict[str, Any] = json.loads(CliRunner().invoke(app, ["automation", "report", str(path), "--json"]).output)
    assert told["manual"] == 0 and len(told["rolls"]) == 3 and told["rolls"][1]["automatic"][0]["why"]


def test_a_stretch_of_rows_has_what_was_asked_for_within_it(shift: tuple[Path, SimulatedLine, Unattended]) -> None:
    path, _, _ = shift
    with JournalReader(path) as reader:
        last = reader.last_row()
        whole = interventions(reader, 1, last)
        halves = [interventions(reader, 1, last // 2), interventions(reader, last // 2 + 1, last)]
        assert whole.manual == () and len(whole.automatic) == 8
        assert whole.automatic == halves[0].automatic + halves[1].automatic
        assert interventions(reader, last + 1, last + 9) == ((), ())
