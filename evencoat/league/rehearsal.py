"""Commissioning on random lines, judged by what is true of them: errors of what was found, and what it cost.

Plant and controller take turns at the control cycle's own rate, without frames. The description may be told wrongly and
bolts may be dead, reversed or stuck. benchmarks/commissioning.py and the tests use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from controller.commission.procedure import Commissioner, Phase
from controller.core import step as core
from controller.core.response import local_gain_per_um
from controller.line.command import Mode, OperatorRequest
from controller.line.description import LineDescription
from evencoat.commission import Inline, default_budget_m
from evencoat.league import metrics
from evencoat.league.field import Machine, Match
from evencoat.recording import TruthRecorder, true_web
from plant_sim import families
from plant_sim.faults import Play
from plant_sim.noise import generator
from plant_sim.truth import Truth

CYCLE_S = 0.1
LONGEST_MIN = 90.0
GAIN_SHARE, SHIFT_PITCHES, DELAY_SHARE = 0.05, 0.1, 0.02  # how well each is to be found


@dataclass(frozen=True, slots=True)
class Wrong:
    """How far a description is off: factors on gain, kernel width and the near gauge's distance; shift in pitches."""

    gain: float = 1.0
    kernel: float = 1.0
    shift_pitches: float = 0.0
    distance: float = 1.0

    def told(self, line: LineDescription) -> LineDescription:
        """The line as it is told."""
        die, wet, dry = line.die, line.wet_gauge, line.dry_gauge
        unsure_mm = max(die.alignment_uncertainty_mm, abs(self.shift_pitches) * die.zone_pitch_mm)
        die = replace(
            die,
            gain_factor=self.gain,
            kernel_fwhm_pitches=self.kernel * die.kernel_fwhm_pitches,
            alignment_shift_mm=self.shift_pitches * die.zone_pitch_mm,
            alignment_uncertainty_mm=unsure_mm,
        )
        if wet is not None:
            return replace(line, die=die, wet_gauge=replace(wet, distance_m=self.distance * wet.distance_m))
        assert dry is not None
        return replace(line, die=die, dry_gauge=replace(dry, distance_m=self.distance * dry.distance_m))


@dataclass(frozen=True, slots=True)
class Bad:
    """Numbers of bolts, from 0, that are not well."""

    dead: tuple[int, ...] = ()
    reversed: tuple[int, ...] = ()
    stuck: tuple[int, ...] = ()

    def plays(self, zones: int) -> list[Play]:
        """The faults that make them so."""
        named = (("dead-bolt", self.dead), ("reversed-bolt", self.reversed), ("stuck-bolt", self.stuck))
        return [Play(name, at=(bolt + 0.5) / zones) for name, bolts in named for bolt in bolts]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """One commissioning beside the truth. Errors are found less true; shares, but for the shift, which is in pitches.

    bolts_right: every dead, reversed and stuck bolt was named, and no other. out_m: true metres out of tolerance.
    """

    family: str
    seed: int
    zones: int
    gain_error: float
    shift_error: float
    delay_error: float
    bolts_right: bool
    out_m: float
    spent_m: float
    budget_m: float
    blocks: int
    line_min: float
    enough: bool

    @property
    def right(self) -> bool:
        """Everything found as well as asked for, within the budget."""
        near = abs(self.gain_error) <= GAIN_SHARE and abs(self.shift_error) <= SHIFT_PITCHES
        return near and abs(self.delay_error) <= DELAY_SHARE and self.bolts_right and self.out_m <= self.budget_m


def rehearse(
    family: str,
    seed: int,
    wrong: Wrong | None = None,
    bad: Bad | None = None,
    budget_m: float | None = None,
    run_in_min: float = 0.0,
) -> Rehearsed:
    """Commission one line of a family from its description, or from a wrong one.

    run_in_min: the loop has been closed for so long before; metres count from the beginning of the commissioning.
    """
    wrong, bad = wrong or Wrong(), bad or Bad()
    line, truth = families.draw(family, seed)
    told = wrong.told(line)
    scenario = families.scenario(family, seed, LONGEST_MIN)
    scenario = replace(scenario, plays=(*scenario.plays, *bad.plays(line.zones)))
    machine = Machine(Match(line, truth, scenario, seed, LONGEST_MIN), CYCLE_S)
    commissioner = Commissioner(told, budget_m or default_budget_m(line), seed, Inline())
    recorder = run(machine, told, commissioner, TruthRecorder(truth.lanes), run_in_min)
    return _judged(family, seed, told, line, truth, bad, commissioner, recorder)


def run(
    machine: Machine, told: LineDescription, commissioner: Commissioner, recorder: TruthRecorder, run_in_min: float
) -> TruthRecorder:
    """Let it commission the machine, told what it is, to its end; returns the recording of the true web."""
    config = core.configure(told, CYCLE_S)
    state = core.init(config, Mode.AUTO if run_in_min else Mode.MANUAL)
    for _ in range(round(60.0 * run_in_min / CYCLE_S)):
        machine.step()
        state, command, _ = core.step(config, state, machine.inputs(), CYCLE_S)
        if command is not None:
            machine.obey(command)
    asked: OperatorRequest | None = None
    for _ in range(round(60.0 * LONGEST_MIN / CYCLE_S)):
        real = machine.step()
        recorder.add(real.t_s, real.web_m, real.coated_m, machine.travel_um, real.areal_density_gsm)
        inputs = machine.inputs()
        commissioner.hear(inputs)
        state, command, trace = core.step(config, state, inputs, CYCLE_S, asked)
        if command is not None:
            machine.obey(command)
        asked = commissioner.turn(trace)
        if commissioner.phase is Phase.DONE:
            break
    return recorder


def true_shift_pitches(family: str, seed: int, line: LineDescription) -> float:
    """Where the gauges' zero truly lies beside the bolts'."""
    unsure = line.die.alignment_uncertainty_mm / line.die.zone_pitch_mm
    drawn = float(generator(seed, "truth.alignment").uniform(-1.0, 1.0)) * unsure
    return drawn + families.hidden(family, seed)["alignment_shift_pitches"]


def _judged(
    family: str,
    seed: int,
    told: LineDescription,
    line: LineDescription,
    truth: Truth,
    bad: Bad,
    commissioner: Commissioner,
    recorder: TruthRecorder,
) -> Rehearsed:
    outcome, found = commissioner.outcome, commissioner.outcome.found
    out_m = metrics.score(true_web(line, recorder.arrays(), ())).out_of_tolerance_m
    gain = shift = delay = np.inf
    right = False
    if found is not None:
        true_gain = truth.lip_gain_per_um(truth.batches[0].flow_index) / local_gain_per_um(told)
        gain = found.gain / true_gain - 1.0
        shift = found.shift_pitches - true_shift_pitches(family, seed, line)
        delay = found.distance_m / line.primary_gauge.distance_m - 1.0
        moving = [bolt for bolt in range(line.zones) if bolt not in bad.stuck]  # of the others nobody can tell more
        named = {-1.0: bad.reversed, 0.0: bad.dead}
        right = _same(outcome.stuck, bad.stuck) and all(
            _same([bolt for bolt in moving if found.delivery[bolt] == delivery], bolts)
            for delivery, bolts in named.items()
        )
    return Rehearsed(
        family, seed, line.zones, gain, shift, delay, right, out_m, outcome.spent_m, outcome.budget_m, outcome.blocks,
        outcome.line_s / 60.0, outcome.enough
    )  # fmt: skip


def _same(some: Sequence[int], others: Sequence[int]) -> bool:
    return sorted(some) == sorted(others)
