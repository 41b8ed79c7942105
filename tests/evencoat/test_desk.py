"""What is asked of a loop is on record before it acts: who, what, from what to what, and why."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from controller.line.command import Mode, OperatorRequest
from evencoat import desk
from evencoat.journal import JournalReader
from plant_sim.scenario import Scenario
from tests.runs import Line


def test_every_thing_asked_for_is_a_record_and_reaches_the_loop(tmp_path: Path) -> None:
    line = Line(Scenario.load("steady-night"))
    line.play_s(5.0)
    before = line.loop.trace
    assert before is not None
    path, lips = tmp_path / "j.sqlite", before.gap_target_um + 2.0
    with desk.opened(path, line.plan.settings, Mode.MANUAL, "for the test") as journal:
        wish = OperatorRequest(mode=Mode.MANUAL, gap_um=lips, pump_trim_pct=0.25, rearm=True)
        desk.ask(line.loop, journal, wish, "mara", "a streak on the left")
        desk.ask(line.loop, journal, OperatorRequest(offset_log=np.full(16, 0.01), offset_m=3.0), "mara", "to see")
    line.play_s(20.0)
    assert line.loop.trace is not None and line.loop.trace.mode_actual is Mode.MANUAL
    np.testing.assert_allclose(line.loop.trace.gap_target_um, lips, atol=0.06)
    with JournalReader(path) as reader:
        verdict, records = reader.verify(), reader.audit()
    assert verdict.ok
    told = [(record.what, record.who, record.why) for record in records[1:-1]]
    assert [what for what, _, _ in told] == ["mode", "setpoint", "setpoint", "acknowledgement", "setpoint"]
    assert {who for _, who, _ in told} == {"mara"}
    mode, gaps, trim = records[1:4]
    assert (mode.old, mode.new) == ("auto", "manual")
    np.testing.assert_allclose(json.loads(gaps.new.removeprefix("lips, um: ")), lips, atol=0.01)
    np.testing.assert_allclose(json.loads(gaps.old.removeprefix("lips, um: ")), before.gap_target_um, atol=0.01)
    assert trim.new == "pump trim, percent: 0.250"
    assert (records[0].what, records[-1].what) == ("start", "stop")
