"""Commissioning of whole lines, real plant and real core: what is found beside the truth, and what it costs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from controller.commission.procedure import Commissioner, Phase
from controller.core import step as core
from controller.line.command import Mode
from controller.line.description import LineDescription
from evencoat.commission import Inline
from evencoat.league import field, rehearsal
from evencoat.league.players import Core
from evencoat.league.rehearsal import CYCLE_S, Bad, Wrong, rehearse
from evencoat.recording import TruthRecorder
from plant_sim import families
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth


def test_a_line_is_found_from_its_description_in_a_few_minutes() -> None:
    done = rehearse("nominal", 6)
    assert done.right, done
    assert done.enough and done.line_min < 10.0


def test_a_line_is_found_from_a_wrong_description() -> None:
    done = rehearse("nominal", 7, Wrong(gain=0.6, kernel=1.3, shift_pitches=0.5, distance=0.8))
    assert done.right, done


def test_dead_reversed_and_stuck_bolts_are_named() -> None:
    done = rehearse("nominal", 3, bad=Bad(dead=(1,), reversed=(6,), stuck=(14,)))
    assert done.right, done


def test_worn_screws_are_not_taken_for_dead_ones() -> None:
    done = rehearse("backlash-heavy", 8)
    assert done.right, done


def test_a_head_behind_the_dryer_is_enough() -> None:
    done = rehearse("dry-scanner-only", 3)
    assert done.right, done


@pytest.mark.parametrize("budget_m", [30.0, 90.0])
def test_the_budget_holds_however_small(budget_m: float) -> None:
    done = rehearse("noisy", 7, budget_m=budget_m)
    assert done.out_m <= budget_m, done
    assert not done.enough, "with so little it cannot have found everything"


def test_a_web_inside_its_tolerance_is_tested_so_that_it_mostly_stays_there() -> None:
    as_found, running = rehearse("nominal", 5), rehearse("nominal", 5, run_in_min=6.0)
    assert running.right, running
    assert running.out_m < 0.5 * as_found.out_m
    assert running.line_min > as_found.line_min, "the price of small tests is time"


def test_what_is_found_of_bad_bolts_is_worth_having() -> None:
    """The same law on the same line, a dead, a reversed and a stuck bolt in it: told of them, and not."""
    bad = Bad(dead=(1,), reversed=(6,), stuck=(14,))
    commissioner, line, truth, scenario = commissioned("nominal", 3, bad)
    found = commissioner.outcome.found
    assert found is not None
    match = field.at_field_rate(field.Match(line, truth, scenario, 3, 14.0))

    def sigma_pct(told: LineDescription) -> float:
        player = Core(core.configure(told, field.TURN_S), Mode.AUTO)
        return field.play(replace(match, line=told), player).score.sigma_total_pct

    assert sigma_pct(replace(match.line, die=found.die)) < 0.9 * sigma_pct(match.line)


class Broken(Inline):
    """Thinks, and fails at it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(np.linalg.LinAlgError("Singular matrix"))
        return future


def test_a_fit_that_fails_ends_it_in_words_and_leaves_the_loop_alive() -> None:
    commissioner, _, _, _ = commissioned("nominal", 6, Bad(), Broken())
    outcome = commissioner.outcome
    assert commissioner.phase is Phase.DONE and outcome.found is None
    assert "could not be worked out (Singular matrix)" in outcome.why


def test_bolts_that_never_move_are_stuck_and_nothing_is_found() -> None:
    commissioner, line, _, _ = commissioned("nominal", 6, Bad(stuck=tuple(range(25))), budget_m=120.0)
    assert line.zones == 25 and commissioner.outcome.found is None
    assert commissioner.outcome.stuck == tuple(range(25))


def commissioned(
    family: str, seed: int, bad: Bad, thinker: Inline | None = None, budget_m: float = 600.0
) -> tuple[Commissioner, LineDescription, Truth, Scenario]:
    """A commissioning and what it was of."""
    line, truth = families.draw(family, seed)
    scenario = families.scenario(family, seed, 60.0)
    scenario = replace(scenario, plays=(*scenario.plays, *bad.plays(line.zones)))
    machine = field.Machine(field.Match(line, truth, scenario, seed, 60.0), CYCLE_S)
    commissioner = Commissioner(line, budget_m, seed, thinker or Inline())
    rehearsal.run(machine, line, commissioner, TruthRecorder(truth.lanes), 0.0)
    return commissioner, line, truth, scenario
