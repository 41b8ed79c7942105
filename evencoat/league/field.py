"""The playing field: plant and controller directly, a few times a second, without frames, the same for every rival.

What the bus does to a cycle is left out (it is judged elsewhere); the nodes' firmware, the envelope and everything that
the plant does to actuators and gauges are in. Gauges that scan faster than the field plays are averaged over a turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from controller.line.command import ActuatorCommand
from controller.line.description import Array, GaugeDescription, LineDescription
from controller.line.profile import DryScan, LineInputs, WetScan
from evencoat.league import metrics
from evencoat.recording import TruthRecorder, true_web
from firmware_bridge.contract import ZoneStatus
from plant_sim import families, plant
from plant_sim.faults import Play
from plant_sim.gauges import GaugeReading, GaugeTruth
from plant_sim.node import DieNode, PumpNode
from plant_sim.noise import generator
from plant_sim.plant import Command, Plant, Readings
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

TURN_S = 0.5  # plant and controller take turns at 2 Hz
NS = 1e9
BATCH_CHANGE_S = (1080.0, 1320.0)  # when the new batch begins where the family has none of its own


@dataclass(frozen=True, slots=True)
class Match:
    """One line, what is true of it, and what happens to it: every rival plays the same."""

    line: LineDescription
    truth: Truth
    scenario: Scenario
    seed: int
    minutes: float


class Player(Protocol):
    """Whoever runs the line. Told what a controller is told; answers with a certified command or with none."""

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None: ...


class Spectator(Protocol):
    """Sees what really happened in a turn, for whoever is allowed to know."""

    def see(self, readings: Readings) -> None: ...


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a match: the true web, and the mean way of a bolt."""

    web: metrics.TrueWeb
    bolt_travel_um: float

    @property
    def score(self) -> metrics.Score:
        return metrics.score(self.web)


def draw(family: str, seed: int, minutes: float) -> Match:
    """A line of a family with every drift, and with a batch change also where the family has none."""
    line, truth = families.draw(family, seed)
    scenario = families.scenario(family, seed, minutes)
    if not scenario.fronts():
        rng = generator(seed, "league.batch")
        onset_s = min(float(rng.uniform(*BATCH_CHANGE_S)), 45.0 * minutes)
        front_s = float(np.exp(rng.uniform(np.log(30.0), np.log(600.0))))
        change = Play("batch-change", onset_s=onset_s, front_s=front_s)
        scenario = replace(scenario, plays=(*scenario.plays, change))
    return at_field_rate(Match(line, truth, scenario, seed, minutes))


def at_field_rate(match: Match) -> Match:
    """The match with a control cycle of a turn, and gauges that scan oftener averaged over a turn."""
    line, truth = match.line, match.truth
    control = replace(line.control, cycle_s=TURN_S)
    line = replace(line, control=control, wet_gauge=_slower(line.wet_gauge), dry_gauge=_slower(line.dry_gauge))
    truth = replace(truth, wet=_slower_truth(truth.wet), dry=_slower_truth(truth.dry))
    return replace(match, line=line, truth=truth)


def _averaging(period_s: float) -> float:
    """By how much a turn's mean is less noisy than one scan."""
    return min(1.0, math.sqrt(period_s / TURN_S))


def _slower(gauge: GaugeDescription | None) -> GaugeDescription | None:
    if gauge is None:
        return None
    noise_pct = gauge.noise_pct * _averaging(gauge.period_s)
    return replace(gauge, period_s=max(gauge.period_s, TURN_S), noise_pct=noise_pct)


def _slower_truth(gauge: GaugeTruth | None) -> GaugeTruth | None:
    if gauge is None:
        return None
    noise = gauge.noise * _averaging(gauge.period_s)
    return replace(gauge, period_s=max(gauge.period_s, TURN_S), noise=noise)


def play(match: Match, player: Player, spectator: Spectator | None = None) -> Played:
    """Run a match to its end."""
    line, truth = match.line, match.truth
    machine = Machine(match)
    recorder = TruthRecorder(truth.lanes)
    for _ in range(round(60.0 * match.minutes / TURN_S)):
        readings = machine.step()
        recorder.add(readings.t_s, readings.web_m, readings.coated_m, machine.travel_um, readings.areal_density_gsm)
        if spectator is not None:
            spectator.see(readings)
        command = player.turn(machine.inputs())
        if command is not None:
            machine.obey(command)
    end_s = 60.0 * match.minutes
    changes = tuple(front.onset_s for front in match.scenario.fronts() if front.onset_s < end_s)
    return Played(true_web(line, recorder.arrays(), changes), machine.travel_um)


class Machine:
    """The plant with its nodes' firmware, spoken to directly."""

    def __init__(self, match: Match, turn_s: float | None = None) -> None:
        """`turn_s` is how long a turn is, s; the field's own where nothing is said."""
        line, truth = match.line, match.truth
        turn_s = TURN_S if turn_s is None else turn_s
        self._line, self._turn_s = line, turn_s
        self._plant = Plant.of(truth, match.scenario, match.seed)
        self._ratio = line.pump_ratio_nominal_rpm_per_mps
        self._state = plant.start(self._plant, self._ratio * truth.web_speed_mps)
        self._die = DieNode(truth.actuators, self._plant.gap_rest_um, turn_s)
        self._pump = PumpNode(self._ratio, turn_s)
        self._motor_um = self._plant.gap_rest_um
        self._readings: Readings | None = None
        self._cycle = 0
        self.travel_um = 0.0

    def step(self) -> Readings:
        """A turn of the plant."""
        heard = self._readings
        if heard is None:
            rpm = self._ratio * self._plant.truth.web_speed_mps
        else:
            rpm = self._pump.speed_rpm(heard.web_speed_mps, heard.encoder_valid, heard.line_state)
        self._die.tick(self._state.t_s)
        self._state, readings = plant.step(self._plant, self._state, Command(self._die.rest_um, rpm), self._turn_s)
        self._die.moved(readings.lip_motor_um, self._turn_s)
        self.travel_um += float(np.abs(readings.lip_motor_um - self._motor_um).mean())
        self._motor_um = readings.lip_motor_um
        self._readings = readings
        self._cycle += 1
        return readings

    def obey(self, command: ActuatorCommand) -> None:
        """What the nodes do with a command."""
        now_s = self._state.t_s
        self._die.watch.rearm()  # an operator is at hand
        self._pump.watch.rearm()
        self._die.command(command.gap_um, now_s)
        self._pump.command(command.pump_ratio_rpm_per_mps, command.pump_trim_pct, now_s)

    def inputs(self) -> LineInputs:
        """What a controller is told after the last turn."""
        readings = self._readings
        assert readings is not None
        wet, dry = _scans(readings.scans)
        fault = self._die.zone_status().astype(np.int64) & int(ZoneStatus.FAULT)
        return LineInputs(
            t_line_ns=round(readings.t_s * NS),
            sync_cycle=self._cycle,
            web_m=readings.web_m,
            web_speed_mps=readings.web_speed_mps,
            encoder_valid=readings.encoder_valid,
            line_state=readings.line_state,
            roll=1,
            batch=readings.batch,
            gap_um=readings.lip_fed_back_um,
            gap_valid=fault == 0,
            pump_ratio_rpm_per_mps=self._pump.ratio_rpm_per_mps,
            pump_trim_pct=self._pump.trim_pct,
            pump_speed_rpm=readings.pump_speed_rpm,
            pump_pressure_kpa=readings.pump_pressure_kpa,
            slurry_temperature_c=readings.slurry_temperature_c,
            pump_valid=True,
            wet=wet,
            dry=dry,
        )


def _scans(scans: tuple[GaugeReading, ...]) -> tuple[WetScan | None, DryScan | None]:
    wet: WetScan | None = None
    dry: DryScan | None = None
    for scan in scans:
        valid = np.isfinite(scan.values)
        t_ns = round(scan.t_s * NS)
        if scan.kind.value.startswith("wet"):
            wet = WetScan(scan.scan_id, t_ns, scan.web_m, valid, scan.values)
        else:
            dry = DryScan(scan.scan_id, t_ns, scan.web_m, valid, scan.values, scan.direction)
    return wet, dry


def of_line(line: LineDescription, scenario: Scenario, seed: int, minutes: float) -> Match:
    """A match on a shipped line, drawn as `evencoat sim` draws it."""
    return at_field_rate(Match(line, Truth.draw(line, seed), scenario, seed, minutes))


def zone_view(line: LineDescription, lanes: int) -> Array:
    """Mean of the lanes of each zone, (zones, lanes)."""
    zone_of_lane = np.minimum((np.arange(lanes) + 0.5) * line.zones / lanes, line.zones - 1).astype(int)
    view = (zone_of_lane[None, :] == np.arange(line.zones)[:, None]).astype(np.float64)
    averaged: Array = view / view.sum(axis=1, keepdims=True)
    return averaged
