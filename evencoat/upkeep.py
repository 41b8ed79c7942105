"""`evencoat commission --reverse`: does the map from lips to web still fit? Asked of a line that runs, loop closed.

The loop runs in AUTO under the adaptive law, with the model in use; once the web has settled, small bumps beside the
target are asked for (controller.commission.reverse), and what is learnt of the map becomes a proposal that somebody
signs, as after commissioning. On a real line over any bus, or as a rehearsal in lockstep with the software plant.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from controller.clock import SyncClock
from controller.commission.reverse import ReverseBump
from controller.core import adapt
from controller.core import step as core
from controller.core.trace import Trace
from controller.line.command import Mode
from controller.line.description import DieDescription, LineDescription
from controller.loop import Loop, Sink
from evencoat.commission import PROPOSAL, Rehearsal, Say
from evencoat.commissioned import ModelFile, learnt, write_model
from evencoat.errors import RunFailed
from evencoat.journal import CycleJournal, NoSink
from evencoat.keys import authenticator
from evencoat.league.rivals import Rival, prepare
from evencoat.processes import StopFlag
from evencoat.settings import Settings, compile_codec, parse_line
from firmware_bridge.bridge import CanLinePort
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.tx_gate import Gate

SETTLE_M, SETTLE_DELAYS = 120.0, 20.0  # of web in AUTO before the first bump
AFTER_DELAYS = 3.0  # dead times of web in which the last one is seen
LONGEST_MIN = 30.0  # of line time


@dataclass(frozen=True, slots=True)
class UpkeepPlan:
    """One reverse bump test."""

    settings: Settings
    bus: str
    rehearsal: Rehearsal | None
    journal: Path | None


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What came of it. before, after: the die as it was and is believed; model: None where nothing changed.

    told: whether the lips' moves said anything about the map at all; alignment_sigma: in zones, of what they said.
    """

    why: str
    finished: bool
    told: bool
    alignment_sigma: float
    bumps: int
    share_of_tolerance: float
    line_min: float
    news: tuple[str, ...]
    before: DieDescription
    after: DieDescription
    model: ModelFile | None

    @property
    def words(self) -> tuple[str, ...]:
        """For the person at the line."""
        if self.news:
            return self.news
        if not self.told:
            return ("nothing was learnt: too little reached the web; evencoat commission moves the lips further",)
        return (f"the map still fits: alignment to {self.alignment_sigma:.2f} zones (one sigma)",)

    def as_dict(self) -> dict[str, Any]:
        """What `--json` prints."""
        names = ("gain_factor", "kernel_fwhm_pitches", "alignment_shift_mm", "alignment_stretch_pct")
        return {
            "why": self.why,
            "finished": self.finished,
            "told": self.told,
            "alignment_sigma_zones": self.alignment_sigma,
            "bumps": self.bumps,
            "share_of_tolerance": self.share_of_tolerance,
            "line_min": self.line_min,
            "news": list(self.news),
            "before": {name: getattr(self.before, name) for name in names},
            "after": {name: getattr(self.after, name) for name in names},
            "model": self.model.model_dump() if self.model else None,
        }


class Keeper:
    """The loop's sink, which asks for bumps as a person would. `over` once the last of them was seen."""

    def __init__(self, line: LineDescription, journal: Sink, say: Say) -> None:
        self.loop: Loop | None = None
        self.test: ReverseBump | None = None
        self.over, self.why, self.line_s = False, "it was stopped", 0.0
        self.news: list[str] = []
        delay_m = line.primary_gauge.distance_m
        self._settle_m, self._after_m = max(SETTLE_M, SETTLE_DELAYS * delay_m), AFTER_DELAYS * delay_m
        self._journal, self._say = journal, say
        self._began_s: float | None = None
        self._since_m: float | None = None  # web at which the loop was closed, or the test was over

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """A finished cycle."""
        self._journal.record(trace, step_us, lateness_us)
        now_s = 1e-9 * trace.t_line_ns
        self._began_s = now_s if self._began_s is None else self._began_s
        self.line_s = now_s - self._began_s
        if trace.model_news:
            self.news.append(trace.model_news)
        if self.line_s > 60.0 * LONGEST_MIN:
            self.over, self.why = True, f"it took longer than {LONGEST_MIN:g} minutes: {trace.outcome}"
        elif self.test is None:
            self._settle(trace)
        else:
            self._bump(trace, self.test)

    def _settle(self, trace: Trace) -> None:
        if trace.mode_actual is not Mode.AUTO:
            self._since_m = None
            return
        self._since_m = trace.web_m if self._since_m is None else self._since_m
        passed_m = trace.web_m - self._since_m
        self._say("settling", min(passed_m / self._settle_m, 1.0), f"{passed_m:.0f} of {self._settle_m:.0f} m")
        if passed_m >= self._settle_m and self.loop is not None:
            self.test, self._since_m = ReverseBump(self.loop.config), None

    def _bump(self, trace: Trace, test: ReverseBump) -> None:
        asked = test.turn(trace)
        if asked is not None and self.loop is not None:
            self.loop.request(asked)
        self._say("bumps beside the target", test.done / max(test.swings, 1), f"{test.done} of {test.swings}")
        if test.over:
            self.why = test.why
            self._since_m = trace.web_m if self._since_m is None else self._since_m
            self.over = not test.done or trace.web_m - self._since_m >= self._after_m


def upkeep(plan: UpkeepPlan, stop: StopFlag, say: Say) -> Upkeep:
    """Run it to its end, or until `stop`. Raises BusError, JournalError, and RunFailed when the line was never heard.

    When it ends, nodes hold by themselves: lips as they are, the pump at its ratio to web speed.
    """
    settings = replace(plan.settings, line=prepare(plan.settings.line, Rival.ADAPTIVE)[0])
    journal = CycleJournal(plan.journal, settings.line, settings.text) if plan.journal else None
    keeper = Keeper(settings.line, journal or NoSink(), say)
    try:
        if plan.rehearsal is not None:
            _rehearse(settings, plan.rehearsal, keeper, stop)
        else:
            _on_the_bus(settings, plan.bus, keeper, stop)
    finally:
        if journal is not None:
            journal.close()
    loop = keeper.loop
    if loop is None or loop.trace is None:
        raise RunFailed("the line was not heard completely: no SYNC, positions or pump on the bus")
    return _told(plan.settings, keeper, loop)


def _told(settings: Settings, keeper: Keeper, loop: Loop) -> Upkeep:
    test, config, state = keeper.test, loop.config, loop.state.adapt
    model, sigma = None, adapt.PRIOR[: adapt.LATE]
    if config.adaptation is not None:
        sigma = adapt.sureness(config.adaptation, state)
    if keeper.news:
        file = parse_line(settings.text, str(settings.path))
        line = replace(settings.line, die=config.line.die)
        model = learnt(line, file, sigma, settings.model, {"line_min": keeper.line_s / 60.0})
    return Upkeep(
        why=keeper.why,
        finished=test is not None and test.done == test.swings and keeper.over,
        told=bool(keeper.news or state.information.any() or state.far.looks),
        alignment_sigma=float(sigma[adapt.SHIFT]),
        bumps=test.done if test else 0,
        share_of_tolerance=test.share if test else 0.0,
        line_min=keeper.line_s / 60.0,
        news=tuple(keeper.news),
        before=settings.line.die,
        after=config.line.die,
        model=model,
    )


def _on_the_bus(settings: Settings, bus: str, keeper: Keeper, stop: StopFlag) -> None:
    wire = settings.wire
    auth, codec = authenticator(settings, "controller"), compile_codec(settings)
    port = CanLinePort(codec, open_bus(bus, wire), Gate(settings.gate), settings.line, wire, True, auth=auth)
    config = core.configure(settings.line, wire.sync_period_s)
    keeper.loop = Loop(config, port, SyncClock(), keeper, Mode.AUTO, rearm_at_start=True)
    try:
        keeper.loop.run(lambda: stop() or keeper.over)
    finally:
        port.close()


def _rehearse(settings: Settings, rehearsal: Rehearsal, keeper: Keeper, stop: StopFlag) -> None:
    from evencoat.simulate import Plan, SimulatedLine

    line = SimulatedLine(Plan(settings, rehearsal.scenario, Rival.ADAPTIVE, LONGEST_MIN, rehearsal.seed), keeper)
    keeper.loop = line.loop
    while not (stop() or keeper.over):
        line.play(1.0 / 60.0)


def keep(done: Upkeep, out_dir: Path) -> Path:
    """Write what came of it, and the proposed model, into a folder; returns the path of the former."""
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / "reverse.json"
    path.write_text(json.dumps(done.as_dict(), indent=2) + "\n", encoding="utf-8")
    if done.model is not None:
        write_model(out_dir / PROPOSAL, done.model)
    return path
