"""Simulated lines for closed-loop tests: the real plant, bus, bridge and controller, with a story of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from controller.core.trace import Trace
from controller.line.description import Array
from evencoat.league.rivals import Rival
from evencoat.settings import Settings, load_line
from evencoat.simulate import Plan, SimulatedLine
from firmware_bridge.medium import Medium
from plant_sim.scenario import Scenario, parse

DRIFTS = (
    "static-profile",
    "set-up-offset",
    "slow-cd-drift",
    "fast-cd-drift",
    "white-cd",
    "pump-slip-drift",
    "solids-drift",
    "pump-pulsation",
)


class Traces:
    """A sink that keeps every cycle."""

    def __init__(self) -> None:
        self.all: list[Trace] = []

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        self.all.append(trace)


def story(*plays: dict[str, object], drifts: Iterable[str] = ()) -> Scenario:
    """A scenario from plays, with the named drifts of the default difficulty beside them."""
    return parse({"play": [*({"name": name} for name in drifts), *plays]}, "story")


class Line(SimulatedLine):
    """A simulated line that remembers its traces."""

    def __init__(
        self,
        scenario: Scenario,
        line: str | Settings = "pilot-16",
        rival: Rival = Rival.IMC,
        seed: int = 1,
        medium: Medium | None = None,
    ):
        settings = load_line(line) if isinstance(line, str) else line
        self.sink = Traces()
        super().__init__(Plan(settings, scenario, rival, 1.0, seed), self.sink, medium=medium)

    def play_s(self, seconds: float) -> list[Trace]:
        """Let plant and controller run; returns the cycles of this stretch."""
        before = len(self.sink.all)
        self.play(seconds / 60.0)
        return self.sink.all[before:]

    def play_dead_s(self, seconds: float) -> None:
        """The controller is gone: the plant runs on alone."""
        self.play(seconds / 60.0, controller_lives=False)

    def rows(self, seconds: float) -> Array:
        """True deviation from target of the last `seconds` of coating, (rows, lanes), percent."""
        truth = self.truth.arrays()
        kept = (truth["t_s"] > truth["t_s"][-1] - seconds) & (truth["ds_m"] > 0.0)
        target = self.line.target.areal_density_gsm
        deviation: Array = 100.0 * (truth["areal_density_gsm"][kept].astype(np.float64) / target - 1.0)
        return deviation


def with_line(name: str, **changes: object) -> Settings:
    """A shipped line with fields of its description replaced."""
    settings = load_line(name)
    line = replace(settings.line, **changes)
    return replace(settings, line=line, drawn=line)
