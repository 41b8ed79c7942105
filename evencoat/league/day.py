"""A long run on a shipped line, looked into: who was in charge of it, what would have been refused, and on what kind of
web each part of the error lies. benchmarks/a_day.py plays it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.line.command import ActuatorCommand, Mode
from controller.line.description import Array, LineDescription
from controller.line.profile import LineInputs
from evencoat.league import field, metrics
from evencoat.league.field import Player
from evencoat.league.metrics import BATCH_WINDOW_S, JUDGED_FROM_S, TrueWeb
from evencoat.past import LATCHED
from evencoat.settings import Settings
from firmware_bridge.contract import LATCH_AFTER_S
from firmware_bridge.tx_gate import Gate, Refusal
from plant_sim.scenario import Scenario

AFTER_S = 180.0  # a disturbance that ends is seen behind the dryer, and answered, within so long
SPEED_CHANGES = frozenset({"splice", "web-speed"})
FAULTS = frozenset(
    {
        "stuck-bolt",
        "slow-bolt",
        "gauge-dropout",
        "gauge-outliers",
        "gauge-misregistration",
        "streak",
        "bubble",
        "pump-slip-step",
        "encoder-loss",
    }
)


class Kind(StrEnum):
    """What a row of web is, the first that fits."""

    START_UP = "start-up"  # the first ten minutes, and those after each stop
    SPEED = "speed change"  # splices and other changes of speed, and a while after each end of them
    BATCH = "new batch"
    FAULT = "fault"
    STEADY = "steady"


KINDS = tuple(Kind)


def kinds(scenario: Scenario, t_s: Array) -> npt.NDArray[np.intp]:
    """Of each row of web its kind, an index into KINDS."""
    found = np.full(t_s.size, KINDS.index(Kind.STEADY))
    spans: dict[Kind, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    spans[Kind.START_UP].append((0.0, JUDGED_FROM_S))
    for play in scenario.plays:
        end_s = play.onset_s + play.duration_s + play.ramp_s
        if play.name == "web-stop":
            spans[Kind.START_UP].append((play.onset_s, end_s + JUDGED_FROM_S))
        elif play.name in SPEED_CHANGES:
            spans[Kind.SPEED].append((play.onset_s, play.onset_s + play.ramp_s + AFTER_S))
            spans[Kind.SPEED].append((end_s - play.ramp_s, end_s + AFTER_S))
        elif play.name == "batch-change":
            spans[Kind.BATCH].append((play.onset_s, play.onset_s + max(BATCH_WINDOW_S, play.front_s)))
        elif play.name in FAULTS:
            last_s = play.onset_s if math.isinf(play.duration_s) else end_s  # a bubble is over at once
            spans[Kind.FAULT].append((play.onset_s, last_s + AFTER_S))
    for kind in reversed(KINDS):  # the first has the last word
        for begin_s, end_s in spans[kind]:
            found[(t_s >= begin_s) & (t_s < end_s)] = KINDS.index(kind)
    return found


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of web: how much, and how far from target. square_share: of the squared error of all metres."""

    kind: str
    coated_m: float
    sigma_pct: float
    sigma_cd_pct: float
    sigma_md_pct: float
    mean_pct: float
    cpk: float
    out_of_tolerance_ppm: float
    square_share: float


def parts(web: TrueWeb, scenario: Scenario) -> list[Part]:
    """Each kind of web; all of it from minute 10 on; and all but start-ups and changes of speed."""
    coated = web.ds_m > 0.0
    t_s, ds_m, deviation = web.t_s[coated], web.ds_m[coated], web.deviation_pct()[coated]
    found = kinds(scenario, t_s)
    chosen = {str(kind): found == i for i, kind in enumerate(KINDS)}
    chosen["from minute 10 on"] = t_s >= JUDGED_FROM_S
    chosen["all but start-ups and speed changes"] = found >= KINDS.index(Kind.BATCH)
    square = ds_m * (deviation**2).mean(axis=1)
    shares = {name: float(square[rows].sum() / square.sum()) for name, rows in chosen.items()}
    return [_part(name, deviation[rows], ds_m[rows], web.tolerance_pct, shares[name]) for name, rows in chosen.items()]


def _part(kind: str, deviation: Array, ds_m: Array, tolerance_pct: float, square_share: float) -> Part:
    """The figures of some rows of web, by area. NaN where there is none."""
    coated_m = float(ds_m.sum())
    if not coated_m:
        return Part(kind, 0.0, math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, 0.0)
    weight = ds_m / coated_m
    cd, md, mean, spread = metrics.moments(deviation, weight)
    outside = float(weight @ (np.abs(deviation) > tolerance_pct).mean(axis=1))
    cpk = (tolerance_pct - abs(mean)) / (3.0 * max(spread, 1e-9))
    return Part(kind, coated_m, math.hypot(cd, md), cd, md, mean, cpk, 1e6 * outside, square_share)


def course(web: TrueWeb, every_s: float) -> list[float]:
    """RMS deviation from target of each stretch of so long, percent; NaN where nothing was coated."""
    square = web.ds_m * (web.deviation_pct() ** 2).mean(axis=1)
    last = math.ceil(float(web.t_s[-1]) / every_s) - 1  # the row that ends the run is of the stretch that ends with it
    stretch = np.minimum((web.t_s / every_s).astype(np.intp), last)
    metres, squares = np.bincount(stretch, web.ds_m), np.bincount(stretch, square)
    rms = np.sqrt(squares / np.where(metres > 0.0, metres, np.nan))
    return [float(value) for value in rms]


class Watched:
    """A player whose every command goes before the line's transmit gate, and of whom it is counted who was in charge.

    Nobody is there to ask for anything: a request is never made. What would have needed a person is counted: faults
    that wait for one, and silences after which the nodes' firmware latches and waits for REARM.
    """

    def __init__(self, own: Player, settings: Settings, line: LineDescription) -> None:
        """`line` is the one that is played, with its turn as control cycle."""
        self._own, self._gate = own, gate_of(settings, line)
        self._silent_s, self._waiting = 0.0, False
        self.seconds: dict[str, defaultdict[str, float]] = {
            name: defaultdict(float) for name in ("mode", "rung", "outcome")
        }
        self.commands = self.waits_for_a_person = self.silences = 0
        self.refused: Counter[str] = Counter()
        self.first_refusal: Refusal | None = None

    def turn(self, inputs: LineInputs) -> ActuatorCommand | None:
        """A turn of the field."""
        command = self._own.turn(inputs)
        self._judge(command, inputs)
        trace = getattr(self._own, "trace", None)
        if trace is not None:
            for name, value in (("mode", trace.mode_actual), ("rung", trace.rung), ("outcome", trace.outcome)):
                self.seconds[name][str(value)] += field.TURN_S
            waiting = trace.outcome in LATCHED and trace.mode_actual is Mode.HOLD
            self.waits_for_a_person += waiting and not self._waiting
            self._waiting = waiting
        return command

    def _judge(self, command: ActuatorCommand | None, inputs: LineInputs) -> None:
        if not self._gate.is_primed:
            self._gate.prime(inputs.gap_um, inputs.pump_ratio_rpm_per_mps, inputs.pump_trim_pct)
        if command is None:
            self.silences += self._silent_s <= LATCH_AFTER_S < self._silent_s + field.TURN_S
            self._silent_s += field.TURN_S
            return
        self._silent_s, self.commands = 0.0, self.commands + 1
        refusal = self._gate.admits(command.gap_um, command.pump_ratio_rpm_per_mps, command.pump_trim_pct)
        if refusal is not None:
            self.refused[refusal.bound] += 1
            self.first_refusal = self.first_refusal or refusal

    def as_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        return {
            "commands": self.commands,
            "limit_violations": sum(self.refused.values()),
            "first_violation": str(self.first_refusal) if self.first_refusal else None,
            "requests_by_a_person": 0,
            "waits_for_a_person": self.waits_for_a_person,
            "silences": self.silences,
            **{f"{name}_s": dict(counted) for name, counted in self.seconds.items()},
        }


def gate_of(settings: Settings, line: LineDescription) -> Gate:
    """The line's transmit gate, its steps as much wider as the turn is longer than the line's own cycle."""
    longer_s = line.control.cycle_s - settings.line.control.cycle_s
    table = settings.gate
    return Gate(
        replace(
            table,
            step_max_um=table.step_max_um + longer_s * line.lips.rate_um_per_s,
            pump_trim_step_pct=table.pump_trim_step_pct + longer_s * line.pump.trim_rate_pct_per_s,
        )
    )
