"""Lockstep runs: plant and controller take turns over an in-memory bus, every frame encoded, checked and decoded.

The same controller, bridge and gate as the daemon's, without the waiting. `evencoat sim`, the demo's comparisons and
the tests use it.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controller.clock import LockstepClock
from controller.core import step as core
from controller.line.command import Mode, OperatorRequest
from controller.loop import Loop, Sink
from evencoat.guest import Guest, invited
from evencoat.journal import CycleJournal, NoSink
from evencoat.keys import in_lockstep
from evencoat.league import metrics
from evencoat.league.rivals import Operator, Rival, prepare
from evencoat.recording import TruthRecorder, true_web
from evencoat.settings import Settings, compile_codec
from evencoat.wire_checker import WireChecker
from firmware_bridge.bridge import CanLinePort
from firmware_bridge.bus_memory import MemoryHub, PlayedHub
from firmware_bridge.medium import Medium
from firmware_bridge.tx_gate import Gate
from plant_sim import lockstep, plant
from plant_sim.node import PlantNodes
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

PROGRESS_EVERY_ROWS = 100


@dataclass(frozen=True, slots=True)
class Plan:
    """One run to simulate."""

    settings: Settings
    scenario: Scenario
    rival: Rival
    minutes: float
    seed: int
    model: str = ""  # for `neural`: see evencoat.guest


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a plan. `figures` is what `evencoat sim --json` prints."""

    plan: Plan
    figures: dict[str, Any]
    truth: TruthRecorder


class SimulatedLine:
    """A line in one process: plant nodes, bus, port and loop, taking turns one control cycle at a time."""

    def __init__(
        self,
        plan: Plan,
        sink: Sink,
        progress: Callable[[float], None] | None = None,
        medium: Medium | None = None,
    ) -> None:
        """With `medium` the wire is as bad as that plays it; member 0 is all of the plant's nodes, 1 the controller."""
        self._progress = progress
        settings = plan.settings
        line, mode = prepare(settings.line, plan.rival)
        self.plan, self.line = plan, line
        self.cycle_s = line.control.cycle_s
        self.codec = compile_codec(settings)
        self.hub = MemoryHub() if medium is None else PlayedHub(medium, lambda: self.nodes.state.t_s)
        self.checker = WireChecker(settings)
        self.hub.tap(self.checker.see)
        truth = Truth.draw(settings.drawn, plan.seed)
        self._boots = 1
        self.nodes = PlantNodes(
            settings.drawn,
            self.codec,
            self.hub.attach(),
            truth,
            plan.scenario,
            plan.seed,
            in_lockstep(settings, self._boots),
        )
        self.loop = self.controller(sink, mode)
        self.operator = Operator(line) if plan.rival is Rival.HAND else None
        self.truth = TruthRecorder(truth.lanes)

    @functools.cached_property
    def guest(self) -> Guest:
        """The network of the law, read once."""
        return invited(self.line, self.plan.model)

    def controller(self, sink: Sink, mode: Mode) -> Loop:
        """A controller that has just started, on an attachment to the bus of its own. ADVISORY sends nothing."""
        settings, transmit = self.plan.settings, mode is not Mode.ADVISORY
        port = self.port(transmit)
        config = core.configure(self.line, settings.wire.sync_period_s, guest=self.guest.network)
        return Loop(config, port, LockstepClock(), sink, mode, rearm_at_start=transmit)

    def port(self, transmit: bool) -> CanLinePort:
        """A door to the line for a controller that has just started."""
        settings, self._boots = self.plan.settings, self._boots + 1
        auth = in_lockstep(settings, self._boots)
        gate, bus = Gate(settings.gate), self.hub.attach()
        return CanLinePort(self.codec, bus, gate, self.line, settings.wire, transmit, auth=auth)

    def play(self, minutes: float, controller_lives: bool = True) -> None:
        """Let line time pass. With `controller_lives` False the plant runs on alone, as after a crash."""
        turn = self._controllers_turn if controller_lives else _nobodys_turn
        lockstep.run(self.nodes, turn, minutes, self.cycle_s, self._remember)

    def request(self, asked: OperatorRequest) -> None:
        """What a person at the line asks for; taken in by the next cycle."""
        self.loop.request(asked)

    def _remember(self, nodes: PlantNodes) -> None:
        row = nodes.truth_row
        self.truth.add(row.t_s, row.web_m, row.ds_m, row.bolt_travel_um, row.areal_density_gsm)
        if self._progress is not None and self.truth.rows % PROGRESS_EVERY_ROWS == 0:
            self._progress(row.t_s / 60.0)

    def _controllers_turn(self) -> None:
        self.loop.cycle()
        if self.operator is not None and self.loop.trace is not None:
            asked = self.operator.watch(self.loop.trace)
            if asked is not None:
                self.request(asked)


def _nobodys_turn() -> None:
    """The controller is dead."""


def simulate(plan: Plan, out_dir: Path | None = None, progress: Callable[[float], None] | None = None) -> Run:
    """Run a plan to its end. With `out_dir`, journal and truth are kept there (journal.sqlite, truth.npz).

    `progress` hears the simulated minutes now and then.
    """
    journal = None
    if out_dir is not None:
        out_dir.mkdir(parents=True, exist_ok=True)
        journal = CycleJournal(out_dir / "journal.sqlite", plan.settings.line, plan.settings.text, patient=True)
    try:
        line = SimulatedLine(plan, journal or NoSink(), progress)
        plant.compile_ahead(line.nodes.plant)
        with undisturbed():
            began_s = time.perf_counter()
            line.play(plan.minutes)
            wall_s = time.perf_counter() - began_s
    finally:
        if journal is not None:
            journal.close()
    if out_dir is not None:
        line.truth.save(out_dir / "truth.npz")
    return Run(plan, _figures(plan, line, wall_s), line.truth)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Without Python's search for reference cycles. A run makes none, and the search takes a twentieth of its time."""
    searching = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searching:
            gc.enable()


def _figures(plan: Plan, line: SimulatedLine, wall_s: float) -> dict[str, Any]:
    scored = score_truth(plan.settings, plan.scenario, line.truth.arrays())
    return {
        "line": plan.settings.line.name,
        "scenario": plan.scenario.name,
        "controller": str(plan.rival),
        "model": line.guest.sha256,
        "seed": plan.seed,
        "minutes": plan.minutes,
        **scored.as_dict(),
        "bolt_travel_um": line.truth.bolt_travel_um,
        "limit_violations": line.checker.violations,
        "first_violation": line.checker.first,
        "commands": line.checker.commands,
        "cycles": line.truth.rows,
        "wall_s": wall_s,
        "realtime_factor": line.truth.rows * line.cycle_s / wall_s,
    }


def score_truth(settings: Settings, scenario: Scenario, truth: dict[str, Any]) -> metrics.Score:
    """Judge recorded truth; batch changes are those the scenario played in it."""
    changes = tuple(front.onset_s for front in scenario.fronts() if front.onset_s < float(truth["t_s"][-1]))
    return metrics.score(true_web(settings.line, truth, changes))
