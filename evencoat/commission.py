"""`evencoat commission`: find out on the bus what a line's lips, pump and gauges really do, and write it down.

Composes the control loop in MANUAL and AUTO with controller.commission.procedure as the person who asks. On a real
line over any bus, or as a rehearsal in lockstep with the software plant. What was found goes into a folder below runs/
(commission.html, commission.json) and, as a proposal, beside the line file.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.clock import LockstepClock, SyncClock
from controller.commission.procedure import Commissioner, Outcome, Phase
from controller.core import step as core
from controller.core.trace import Trace
from controller.line.command import ActuatorCommand, Mode
from controller.line.description import LineDescription
from controller.line.profile import LineInputs
from controller.loop import Loop, Sink
from controller.port import LinePort
from evencoat import desk
from evencoat.commissioned import Commissioned, ModelFile, model_path, proposed, write_model
from evencoat.errors import RunFailed
from evencoat.journal import CycleJournal, NoSink
from evencoat.keys import authenticator
from evencoat.league.rivals import Rival
from evencoat.processes import StopFlag
from evencoat.settings import Settings, compile_codec, parse_line
from firmware_bridge.bridge import CanLinePort
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.tx_gate import Gate

if TYPE_CHECKING:
    from plant_sim.scenario import Scenario  # a compiled plant, which a real line has no use for

BUDGET_M = 600.0  # out of tolerance
BUDGET_DELAYS, BUDGET_MIN = 30.0, 6.0  # or so many dead times where those are long, or minutes where the web is fast
PROPOSAL = "proposed.model.toml"
LONGEST_MIN = 90.0  # of line time; a line that says nothing is not waited for longer

Say = Callable[[str, float, str], None]  # phase, share of the budget spent, words


def default_budget_m(line: LineDescription) -> float:
    """Metres out of tolerance that commissioning may cost where nobody said."""
    return max(BUDGET_M, BUDGET_DELAYS * line.primary_gauge.distance_m, 60.0 * BUDGET_MIN * line.web_speed_mps)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Play it on the software plant instead of a bus."""

    scenario: Scenario
    seed: int


@dataclass(frozen=True, slots=True)
class CommissionPlan:
    """One commissioning. budget_m: metres out of tolerance; seed: of the test's own moves."""

    settings: Settings
    bus: str
    budget_m: float
    seed: int
    rehearsal: Rehearsal | None
    journal: Path | None


class Overheard:
    """A line port that lets the commissioner hear what the loop reads."""

    def __init__(self, port: LinePort, hear: Callable[[LineInputs], None]) -> None:
        self._port, self._hear = port, hear

    def read(self) -> LineInputs | None:
        inputs = self._port.read()
        if inputs is not None:
            self._hear(inputs)
        return inputs

    def listen(self, timeout_s: float) -> int | None:
        return self._port.listen(timeout_s)

    def write(self, command: ActuatorCommand) -> bool:
        return self._port.write(command)

    def rearm(self) -> None:
        self._port.rearm()

    def close(self) -> None:
        self._port.close()


class Person:
    """The loop's sink, which asks the loop for what the commissioner wants, as a person at the line would."""

    def __init__(self, commissioner: Commissioner, journal: CycleJournal | NoSink, say: Say) -> None:
        self.loop: Loop | None = None
        self._commissioner, self._journal, self._say = commissioner, journal, say

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """A finished cycle."""
        self._journal.record(trace, step_us, lateness_us)
        commissioner = self._commissioner
        asked = commissioner.turn(trace)
        if asked is not None and self.loop is not None:
            desk.ask(self.loop, self._journal, asked, getpass.getuser(), f"commissioning: {commissioner.phase}")
        if trace.cycle % 10 == 0:
            so_far = commissioner.outcome
            if so_far.line_s > 60.0 * LONGEST_MIN:
                commissioner.stop(f"it took longer than {LONGEST_MIN:g} minutes")
            words = f"{so_far.spent_m:.0f} of {so_far.budget_m:.0f} m, {so_far.line_s / 60.0:.1f} min"
            self._say(str(commissioner.phase), so_far.spent_m / so_far.budget_m, words)


def commission(plan: CommissionPlan, stop: StopFlag, say: Say) -> Commissioned:
    """Run it to its end, or until `stop`. Raises BusError, JournalError, and RunFailed when the line was never heard.

    When it ends, nodes hold by themselves: lips as they are, the pump at its ratio to web speed.
    """
    settings = replace(plan.settings, line=plan.settings.drawn)
    thinker: Executor = Inline() if plan.rehearsal else ThreadPoolExecutor(1)
    commissioner = Commissioner(settings.line, plan.budget_m, plan.seed, thinker)
    try:
        with desk.opened(plan.journal, settings, Mode.MANUAL, "commissioning") as journal:
            person = Person(commissioner, journal, say)
            if plan.rehearsal is not None:
                _rehearse(settings, plan.rehearsal, commissioner, person, stop)
            else:
                _on_the_bus(settings, plan.bus, commissioner, person, stop)
    finally:
        thinker.shutdown(wait=False, cancel_futures=True)
    commissioner.stop("it was stopped")  # where it had not ended by itself
    outcome = commissioner.outcome
    if commissioner.budget is None:
        raise RunFailed("the line was not heard completely: no SYNC, positions or pump on the bus")
    return Commissioned(outcome, _model(settings, outcome))


def _model(settings: Settings, outcome: Outcome) -> ModelFile | None:
    if outcome.found is None:
        return None
    evidence = {
        "out_of_tolerance_m": outcome.spent_m,
        "line_min": outcome.line_s / 60.0,
        "blocks": float(outcome.blocks),
        "misfit_pct": 100.0 * outcome.found.misfit_log,
    }
    file = parse_line(settings.text, str(settings.path))
    return proposed(settings.line, file, outcome.found, evidence)


def _on_the_bus(settings: Settings, bus: str, commissioner: Commissioner, person: Person, stop: StopFlag) -> None:
    port = Overheard(
        CanLinePort(
            compile_codec(settings),
            open_bus(bus, settings.wire),
            Gate(settings.gate),
            settings.line,
            settings.wire,
            transmit=True,
            auth=authenticator(settings, "controller"),
        ),
        commissioner.hear,
    )
    config = core.configure(settings.line, settings.wire.sync_period_s)
    loop = Loop(config, port, SyncClock(), person, Mode.MANUAL, rearm_at_start=True)
    person.loop = loop
    try:
        loop.run(lambda: stop() or commissioner.phase is Phase.DONE)
    finally:
        port.close()


def _rehearse(
    settings: Settings, rehearsal: Rehearsal, commissioner: Commissioner, person: Person, stop: StopFlag
) -> None:
    from evencoat.simulate import Plan, SimulatedLine

    class Line(SimulatedLine):
        def controller(self, sink: Sink, mode: Mode) -> Loop:
            port = self.port(transmit=True)
            config = core.configure(self.line, settings.wire.sync_period_s)
            heard = Overheard(port, commissioner.hear)
            return Loop(config, heard, LockstepClock(), sink, Mode.MANUAL, rearm_at_start=True)

    line = Line(Plan(settings, rehearsal.scenario, Rival.IMC, LONGEST_MIN, rehearsal.seed), person)
    person.loop = line.loop
    while not (stop() or commissioner.phase is Phase.DONE):
        line.play(1.0 / 60.0)


class Inline(Executor):
    """Thinks at once: a rehearsal's line waits meanwhile."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Done when it returns."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def keep(settings: Settings, done: Commissioned, out_dir: Path) -> Path:
    """Write page, figures and the proposed model into a folder; returns the page's path."""
    from evencoat.report.commission import build_page

    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "commission.json").write_text(json.dumps(done.as_dict(), indent=2) + "\n", encoding="utf-8")
    page = build_page(settings, done, out_dir / "commission.html")
    if done.model is not None:
        write_model(out_dir / PROPOSAL, done.model)
    return page


def sign_off(settings: Settings, model: ModelFile, name: str) -> Path:
    """Put the model beside the line file, with the name of whoever takes it into use."""
    path = model_path(settings.path)
    write_model(path, model.model_copy(update={"signed_off_by": name}))
    return path
