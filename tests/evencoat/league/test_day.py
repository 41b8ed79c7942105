"""A long run looked into: kinds of web, what the gate would have refused, and who was in charge."""

import math

import numpy as np
import pytest

from controller.line.command import Mode, Rung
from evencoat.league import day, field
from evencoat.league.metrics import TrueWeb
from evencoat.league.players import Bystander, player
from evencoat.settings import load_line
from plant_sim.faults import Play
from plant_sim.scenario import Scenario

SETTINGS = load_line("pilot-16")


def test_each_row_is_of_the_first_kind_that_fits():
    plays = (
        Play("web-stop", onset_s=5000.0, duration_s=100.0, ramp_s=20.0),
        Play("batch-change", onset_s=2000.0, front_s=600.0),
        Play("splice", onset_s=2100.0, duration_s=30.0, size=0.7, ramp_s=10.0),
        Play("bubble", onset_s=3000.0),
        Play("solids-drift"),
    )
    at_s = np.array([599.0, 601.0, 1999.0, 2001.0, 2101.0, 2599.0, 2601.0, 3001.0, 3181.0, 5001.0, 5719.0, 5721.0])
    names = [day.KINDS[i] for i in day.kinds(Scenario("one", "", plays), at_s)]
    start, speed, batch, fault, steady = day.KINDS
    assert names == [start, steady, steady, batch, speed, batch, steady, fault, steady, start, start, steady]


def test_parts_of_the_error_add_up_by_area():
    t_s = np.arange(0.0, 1200.0, 1.0)
    level = np.where(t_s < 600.0, 1.03, 1.01)
    web = TrueWeb(t_s, np.where(t_s < 600.0, 1.0, 2.0), np.outer(level, np.full(8, 100.0)), np.full(8, 100.0), 1.5)
    told = {part.kind: part for part in day.parts(web, Scenario.quiet())}
    assert told["start-up"].coated_m == 600.0 and told["steady"].coated_m == 1200.0
    assert told["start-up"].square_share == pytest.approx(9.0 / 11.0)
    assert told["start-up"].square_share + told["steady"].square_share == pytest.approx(1.0)
    assert told["steady"].mean_pct == pytest.approx(1.0, abs=1e-4)
    assert told["start-up"].out_of_tolerance_ppm == pytest.approx(1e6)
    assert math.isnan(told["fault"].cpk)
    assert day.course(web, 600.0) == pytest.approx([3.0, 1.0], abs=1e-4)


def test_a_controller_keeps_the_gates_limits_and_nobody_is_waited_for():
    match = field.of_line(SETTINGS.line, Scenario.load("first-shift"), 1, 3.0)
    watched = day.Watched(player("imc", match, {}), SETTINGS, match.line)
    field.play(match, watched)
    told = watched.as_dict()
    assert told["commands"] > 300 and told["limit_violations"] == 0
    assert (told["waits_for_a_person"], told["silences"]) == (0, 0)
    assert sum(told["mode_s"].values()) == 180.0 and told["mode_s"][str(Mode.AUTO)] > 60.0
    assert set(told["rung_s"]) == {str(Rung.OWN)}


class Leaping:
    """Leaves a bolt where the envelope would not, now and then; otherwise silent."""

    def __init__(self, own):
        self._own, self._turns = own, 0

    def turn(self, inputs):
        self._turns += 1
        command = self._own.turn(inputs)
        if command is not None and self._turns == 100:
            command.gap_um[3] += 40.0
        return command if self._turns < 120 else None


def test_a_leap_is_counted_as_a_violation_and_a_long_silence_once():
    match = field.of_line(SETTINGS.line, Scenario.load("steady-night"), 1, 2.0)
    watched = day.Watched(Leaping(player("imc", match, {})), SETTINGS, match.line)
    field.play(match, watched)
    told = watched.as_dict()
    assert told["limit_violations"] >= 1 and "gap step" in told["first_violation"]
    assert told["silences"] == 1
    silent = day.Watched(Bystander(), SETTINGS, match.line)
    field.play(match, silent)
    assert silent.as_dict()["commands"] == 0
