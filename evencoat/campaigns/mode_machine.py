"""A line that people and wires do anything to, as a state machine of hypothesis; what must hold after every step.

Modes are asked for, targets typed, nodes re-armed, links cut and mended, frames lost, control killed and started, in
any order. The real loop, port, gate, nodes and journal run, in lockstep. Only `modes` imports it, and the tests:
hypothesis comes with the extra `dev`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest, Outcome
from controller.line.description import Array
from evencoat.campaigns.fault_catalogue import Stage, Wire
from evencoat.journal import CycleJournal, JournalReader
from evencoat.league.rivals import Rival
from evencoat.settings import load_line
from evencoat.simulate import Plan, SimulatedLine
from firmware_bridge.contract import SILENT_AFTER_PERIODS, Node, Telegram
from firmware_bridge.medium import Played
from plant_sim.scenario import parse

LINE = "pilot-16"
DRIFTING = parse({"play": [{"name": "static-profile"}, {"name": "fast-cd-drift", "size": 5.0}]}, "drifting")
LINKS = {  # what may be cut, and what of it is said once it is silent
    Telegram.SYNC: "sync",
    Telegram.LINE_STATE: "line state",
    Telegram.DIE_FEEDBACK: "die feedback",
    Telegram.PUMP_FEEDBACK: "pump feedback",
    Telegram.WET_PROFILE: "wet profile",
    Telegram.DRY_PROFILE: "dry profile",
}
SLOWEST_S = 1.0  # period of the slowest of these
ROUNDING = 1e-6  # of a rate step
RESTART_CYCLES = 3  # with a guard the first command comes a third of a second after a kill (campaign kill)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


class Overheard:
    """The cycles of a control process, as the journal gets them, and the largest bump between their commands."""

    def __init__(self, journal: CycleJournal, step_um: float, trim_step_pct: float) -> None:
        self.journal, self._step_um, self._trim_step_pct = journal, step_um, trim_step_pct
        self.last: Trace | None = None
        self.cycles = 0
        self.bump = 0.0  # in moves that the rate limits allow in a cycle
        self._told: Trace | None = None  # the last command of this control process, or of the one before

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        """One finished cycle: a command is measured from the last one, after a pause from what was fed back."""
        self.journal.record(trace, step_us, lateness_us)
        self.cycles += 1
        before, self.last = self._told, trace
        if not trace.sent or not np.isfinite(trace.gap_target_um).all():
            self._told = None
            return
        stood_um = before.gap_target_um if before is not None else trace.gap_um
        trim_pct = before.pump_trim_pct if before is not None else trace.pump_trim_applied_pct
        self.bump = max(self.bump, self._steps(trace, stood_um, trim_pct))
        self._told = trace

    def begun_again(self) -> None:
        """Another control process: it knows of no command."""
        self.last = self._told = None

    def _steps(self, trace: Trace, stood_um: Array, trim_pct: float) -> float:
        lips = float(np.abs(trace.gap_target_um - stood_um).max()) / self._step_um
        return max(lips, abs(trace.pump_trim_pct - trim_pct) / self._trim_step_pct)


class Machine(RuleBasedStateMachine):
    """The rules and what must hold. Counts what was tried in `steps` and `bump`, over all runs of a process."""

    steps, runs, bump = 0, 0, 0.0
    modes_seen: ClassVar[set[tuple[Mode, Mode]]] = set()

    @initialize(seed=st.integers(0, 1000), cycles=st.integers(1, 60))
    def begin(self, seed: int, cycles: int) -> None:
        """A line with control that was asked for AUTO."""
        type(self).runs += 1
        settings = load_line(LINE)
        self.folder = tempfile.TemporaryDirectory(prefix="evencoat-modes-")
        self.path = Path(self.folder.name) / "journal.sqlite"
        journal = CycleJournal(self.path, settings.line, settings.text)
        lips, pump, self.cycle_s = settings.line.lips, settings.line.pump, settings.line.control.cycle_s
        self.sink = Overheard(journal, lips.rate_um_per_s * self.cycle_s, pump.trim_rate_pct_per_s * self.cycle_s)
        wire = Wire(seed)
        self.line = SimulatedLine(Plan(settings, DRIFTING, Rival.IMC, 1.0, seed), self.sink, medium=wire)
        self.stage = Stage(self.line, wire, self.sink)
        self.whole_s, self.alive = 0.0, True
        self.cut_s: dict[Telegram, float] = {}
        self.run(cycles)

    def teardown(self) -> None:
        """Every cycle is in the journal, and its chain holds."""
        if not hasattr(self, "sink"):
            return
        self.sink.journal.close()
        with JournalReader(self.path) as reader:
            verdict = reader.verify()
            assert verdict.ok, verdict.broken
            assert reader.cycle_count() == self.sink.cycles, "a cycle is missing in the journal"
        self.folder.cleanup()
        type(self).bump = max(self.bump, self.sink.bump)

    # --- what may happen -----------------------------------------------------------------------------------------

    @rule(cycles=st.integers(1, 30))
    def run(self, cycles: int) -> None:
        """Line time passes."""
        before = self.line.nodes.state.t_s
        self.line.play(cycles * self.cycle_s / 60.0, controller_lives=self.alive)
        passed_s = self.line.nodes.state.t_s - before
        self.whole_s = 0.0 if self.cut_s or not self.is_sound else self.whole_s + passed_s
        self.cut_s = {telegram: silent_s + passed_s for telegram, silent_s in self.cut_s.items()}

    @rule(mode=st.sampled_from(Mode), cycles=st.integers(1, 10))
    def ask(self, mode: Mode, cycles: int) -> None:
        """A person asks for a mode."""
        self.request(OperatorRequest(mode=mode))
        self.run(cycles)

    @rule(mode=st.sampled_from((Mode.AUTO, Mode.MANUAL)), cycles=st.integers(10, 40))
    def put_right(self, mode: Mode, cycles: int) -> None:
        """The wire is whole, control lives, and a person asks for a mode and re-arms."""
        self.cut_s.clear()
        self._wire()
        self.stage.wire.played = Played()
        if not self.alive:
            self.begin_again(Mode.HOLD)
        self.run(10)
        self.request(OperatorRequest(mode=mode, rearm=True))
        self.run(cycles)

    @rule(gap_um=st.floats(300.0, 700.0) | NUMBERS, at=st.integers(0, 15), trim_pct=NUMBERS)
    def type_targets(self, gap_um: float, at: int, trim_pct: float) -> None:
        """A person types targets, perhaps nonsense, perhaps in a mode that has no use for them."""
        targets = np.full(self.line.line.zones, self.line.line.die.gap_nominal_um)
        targets[at] = gap_um
        self.request(OperatorRequest(gap_um=targets, pump_trim_pct=trim_pct))
        self.run(2)

    @rule()
    def rearm(self) -> None:
        """A person re-arms the nodes."""
        self.request(OperatorRequest(rearm=True))

    @rule(telegram=st.sampled_from(list(LINKS)), cycles=st.integers(1, 30))
    def cut(self, telegram: Telegram, cycles: int) -> None:
        """A link falls silent."""
        self.cut_s.setdefault(telegram, 0.0)
        self._wire()
        self.run(cycles)

    @precondition(lambda self: self.cut_s)
    @rule()
    def mend(self) -> None:
        """All links are there again."""
        self.cut_s.clear()
        self._wire()

    @rule(loss=st.sampled_from((0.0, 0.0, 0.05, 0.4)), late_s=st.sampled_from((0.0, 0.0, 0.15)))
    def worsen(self, loss: float, late_s: float) -> None:
        """The wire gets worse, or well again."""
        self.stage.wire.played = Played(loss=loss, jitter_s=late_s)

    @rule()
    def safe_stop(self) -> None:
        """A node stops the line."""
        self.stage.say(Telegram.SAFE_STOP, {"reason": 1, "epoch": 1}, int(Node.PUMP))

    @precondition(lambda self: self.alive)
    @rule()
    def die(self) -> None:
        """Control is killed."""
        self.alive = False

    @precondition(lambda self: not self.alive)
    @rule(mode=st.sampled_from((Mode.AUTO, Mode.ADVISORY, Mode.HOLD)))
    def begin_again(self, mode: Mode) -> None:
        """Control is started anew, its bus with it, which takes its time."""
        self.run(RESTART_CYCLES)
        self.sink.begun_again()
        self.cut_s = dict.fromkeys(self.cut_s, 0.0)  # it has not missed anybody for long yet
        self.line.loop, self.alive = self.line.controller(self.sink, mode), True

    # --- what must hold ------------------------------------------------------------------------------------------

    @invariant()
    def no_limit_is_broken(self) -> None:
        """Judged on the wire, by a checker of its own."""
        if hasattr(self, "line"):
            type(self).steps += 1
            assert self.line.checker.violations == 0, self.line.checker.first

    @invariant()
    def no_command_jumps(self) -> None:
        """Whatever the transition."""
        if hasattr(self, "sink"):
            assert self.sink.bump <= 1.0 + ROUNDING, f"a bump of {self.sink.bump} rate steps"

    @invariant()
    def the_mode_is_the_one_asked_for_or_a_safer_one(self) -> None:
        """HOLD where something speaks against what was asked for; ADVISORY stays ADVISORY, and sends nothing."""
        trace = self.sink.last if hasattr(self, "sink") else None
        if trace is None:
            return
        Machine.modes_seen.add((trace.mode_requested, trace.mode_actual))
        if trace.mode_requested is Mode.ADVISORY:
            assert trace.mode_actual is Mode.ADVISORY and not trace.sent
        elif trace.outcome is Outcome.OK:
            assert trace.mode_actual is trace.mode_requested
        else:
            assert trace.mode_actual is Mode.HOLD
        assert trace.outcome is not Outcome.REFUSED, "the gate refused what the envelope let through"

    @invariant()
    def silent_links_are_told_and_sound_ones_are_not(self) -> None:
        """A link that was cut for longer than its patience is named; after some seconds of a sound wire none is."""
        trace = self.sink.last if hasattr(self, "sink") else None
        if trace is None or not self.alive or trace.sync_cycle < 0:
            return
        patience_s = SILENT_AFTER_PERIODS * SLOWEST_S + 1.0
        for telegram, silent_s in self.cut_s.items():
            if silent_s > patience_s:
                told = [fault for fault in trace.link_faults if fault.startswith(LINKS[telegram])]
                assert told, f"{telegram} was cut for {silent_s:.1f} s and nobody was told: {trace.link_faults}"
        if self.whole_s > 2.0 * patience_s:
            assert not trace.link_faults, trace.link_faults

    # --- how -----------------------------------------------------------------------------------------------------

    @property
    def is_sound(self) -> bool:
        return self.stage.wire.played == Played()

    def request(self, asked: OperatorRequest) -> None:
        if self.alive:
            self.line.request(asked)

    def _wire(self) -> None:
        codec = self.line.codec
        self.stage.wire.cut = frozenset().union(*(codec.can_ids(telegram) for telegram in self.cut_s))
