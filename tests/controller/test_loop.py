"""The paced loop over a small port of its own: read, decide, write, pace. No sockets, no sleeping."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.clock import LockstepClock, SyncClock
from controller.core import step as core
from controller.core.trace import Trace
from controller.line.command import ActuatorCommand, Cause, Mode, OperatorRequest, Outcome, Rung
from controller.line.profile import LineInputs
from controller.loop import Loop, next_deadline
from tests.factories import NS, ToyWeb, make_line

CYCLE_NS = NS // 10


class ToyPort:
    """A line behind the port: the lips follow a command with a lag of one cycle, as first-order actuators do."""

    def __init__(self, web: ToyWeb) -> None:
        self.web = web
        self.heard = True
        self.refuses = False
        self.changes: dict[str, Any] = {}
        self.rearmed_at_s: list[float] = []
        self.written: list[ActuatorCommand] = []
        self.line_offset_ns = 0

    def read(self) -> LineInputs | None:
        if not self.heard:
            return None
        inputs = self.web.inputs(**self.changes)
        return inputs._replace(t_line_ns=inputs.t_line_ns + self.line_offset_ns)

    def write(self, command: ActuatorCommand) -> bool:
        if self.refuses:
            return False
        self.written.append(command)
        return True

    def rearm(self) -> None:
        self.rearmed_at_s.append(self.web.t_s)

    def close(self) -> None:
        pass

    def advance(self) -> None:
        command = self.written[-1] if self.written else None
        if command is not None:
            halfway = self.web.gap_um + 0.5 * (command.gap_um - self.web.gap_um)
            command = replace(command, gap_um=halfway)
        self.web.advance(command)


class Sink:
    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.step_us: list[float] = []
        self.lateness_us: list[float] = []

    def record(self, trace: Trace, step_us: float, lateness_us: float) -> None:
        self.traces.append(trace)
        self.step_us.append(step_us)
        self.lateness_us.append(lateness_us)


def make_loop(
    mode: Mode = Mode.AUTO, rearm_at_start: bool = False, rearm_always: bool = False, **web: Any
) -> tuple[Loop, ToyPort, Sink]:
    line = make_line(4)
    port, sink = ToyPort(ToyWeb(line, **web)), Sink()
    config = core.configure(line, 0.1)
    return Loop(config, port, LockstepClock(), sink, mode, rearm_at_start, rearm_always), port, sink


def turn(loop: Loop, port: ToyPort, cycles: int = 1) -> None:
    for _ in range(cycles):
        loop.cycle()
        port.advance()


# ----------------------------------------------------------------------------------------------- one cycle


def test_a_closed_loop_over_the_port_brings_the_web_to_target():
    loop, port, sink = make_loop(coating=lambda web_m: 0.02 + 0.004 * np.array([1.0, 0.5, -0.5, -1.0]))
    turn(loop, port, 900)
    assert np.abs(port.web.die_error).max() < 0.002
    assert len(sink.traces) == len(port.written) == 900
    assert sink.traces[-1] is loop.trace
    assert min(sink.step_us) > 0.0


def test_nothing_happens_until_the_line_was_heard_and_a_request_waits_for_it():
    loop, port, sink = make_loop(Mode.HOLD)
    port.heard = False
    loop.request(OperatorRequest(mode=Mode.AUTO))
    assert loop.cycle() is False
    assert (port.written, sink.traces, loop.trace) == ([], [], None)
    port.heard = True
    assert loop.cycle() is True
    assert sink.traces[0].mode_requested is Mode.AUTO


def test_a_request_is_taken_in_once():
    loop, port, sink = make_loop(Mode.MANUAL)
    loop.request(OperatorRequest(gap_um=np.full(4, 601.0)))
    turn(loop, port, 10)
    loop.request(OperatorRequest(mode=Mode.HOLD))
    turn(loop, port, 3)
    assert [trace.mode_actual for trace in sink.traces] == [Mode.MANUAL] * 10 + [Mode.HOLD] * 3
    np.testing.assert_allclose(port.written[-1].gap_um, 601.0)


def test_a_refused_command_holds_where_we_stood_until_somebody_asks():
    loop, port, sink = make_loop(Mode.MANUAL)
    loop.request(OperatorRequest(gap_um=np.full(4, 620.0)))
    turn(loop, port, 5)
    stood_um = port.written[-1].gap_um
    port.refuses = True
    turn(loop, port)
    port.refuses = False
    turn(loop, port, 20)
    assert (sink.traces[-1].mode_actual, sink.traces[-1].outcome) == (Mode.HOLD, Outcome.REFUSED)
    for command in port.written[5:]:
        np.testing.assert_array_equal(command.gap_um, stood_um)
    loop.request(OperatorRequest(mode=Mode.MANUAL))
    turn(loop, port)
    assert sink.traces[-1].mode_actual is Mode.MANUAL


def test_advisory_writes_nothing():
    loop, port, sink = make_loop(Mode.ADVISORY, coating=lambda web_m: 0.02)
    turn(loop, port, 100)
    assert port.written == []
    assert len(sink.traces) == 100


def test_the_tuning_counts_line_time_and_not_cycles():
    """Every second cycle missed: the law moves as far in the same line time."""
    trims = []
    for every in (1, 2):
        loop, port, _ = make_loop(coating=lambda web_m: 0.004)
        for cycle in range(100):
            if cycle % every == 0:
                loop.cycle()
            port.advance()
        trims.append(port.web.trim_pct)
    assert trims[1] == pytest.approx(trims[0], rel=0.1)
    assert trims[0] < -0.2


@pytest.mark.parametrize("offset_ns", [-10 * NS, 3_600 * NS])
def test_a_new_time_base_moves_nothing_by_itself(offset_ns):
    loop, port, sink = make_loop(coating=lambda web_m: 0.004)
    turn(loop, port, 100)
    trim_pct, law_pct = port.written[-1].pump_trim_pct, sink.traces[-1].pump_trim_law_pct
    port.line_offset_ns = offset_ns
    turn(loop, port)
    assert abs(port.written[-1].pump_trim_pct - trim_pct) <= 0.05 + 1e-9
    if offset_ns < 0:  # the time that passed is not known, so none has
        assert sink.traces[-1].pump_trim_law_pct == pytest.approx(law_pct, abs=1e-3)
    assert len(sink.traces) == 101


def test_after_a_new_time_base_an_old_scan_is_not_fresh_for_ever():
    loop, port, sink = make_loop()
    turn(loop, port, 200)
    port.line_offset_ns = -15 * NS
    port.changes = {"wet": None}
    turn(loop, port, 1)
    assert (sink.traces[-1].mode_actual, sink.traces[-1].outcome) == (Mode.HOLD, Outcome.GAUGE_STALE)


def test_two_requests_between_two_cycles_are_both_taken_in():
    loop, port, sink = make_loop(Mode.HOLD)
    loop.request(OperatorRequest(mode=Mode.MANUAL, pump_trim_pct=1.0))
    loop.request(OperatorRequest(pump_trim_pct=0.5))
    turn(loop, port, 100)
    assert sink.traces[-1].mode_actual is Mode.MANUAL
    assert port.written[-1].pump_trim_pct == pytest.approx(0.5)


# -------------------------------------------------------------------------------------- consent to re-arm


def latched(loop: Loop, port: ToyPort, from_cycle: int, to_cycle: int) -> list[float]:
    """Nodes are latched between two cycles; when the loop re-armed them, in seconds of line time."""
    for cycle in range(to_cycle):
        port.changes = {"nodes_latched": cycle >= from_cycle}
        turn(loop, port)
    return port.rearmed_at_s


def test_consent_given_at_the_start_holds_for_three_seconds_of_line_time():
    loop, port, sink = make_loop(rearm_at_start=True)
    rearmed_at_s = latched(loop, port, 0, 60)
    assert rearmed_at_s == pytest.approx(np.arange(30) / 10.0)
    assert sink.traces[-1].outcome is Outcome.NODES_LATCHED


def test_nodes_that_latch_later_wait_for_a_person():
    """The window counts from the start, not from the first latch."""
    loop, port, _ = make_loop(rearm_at_start=True)
    assert latched(loop, port, 50, 100) == []
    loop.request(OperatorRequest(rearm=True))
    turn(loop, port, 5)
    assert len(port.rearmed_at_s) == 1


def test_consent_for_always_holds_for_later_silences_but_not_after_a_safe_stop():
    loop, port, _ = make_loop(rearm_at_start=True, rearm_always=True)
    assert latched(loop, port, 50, 60) == pytest.approx(5.0 + np.arange(10) / 10.0)
    port.changes = {"nodes_latched": True, "safe_stop": True}
    turn(loop, port, 20)
    assert len(port.rearmed_at_s) == 10


def test_a_new_time_base_is_no_new_start():
    loop, port, _ = make_loop(rearm_at_start=True)
    turn(loop, port, 200)
    port.line_offset_ns = -20 * NS
    port.changes = {"nodes_latched": True}
    turn(loop, port, 100)
    assert port.rearmed_at_s == []


def test_without_consent_nobody_is_rearmed():
    loop, port, _ = make_loop(rearm_at_start=False)
    assert latched(loop, port, 0, 60) == []


def test_nobody_is_rearmed_who_is_not_latched():
    loop, port, _ = make_loop(rearm_at_start=True)
    loop.request(OperatorRequest(rearm=True))
    turn(loop, port, 20)
    assert port.rearmed_at_s == []


# ---------------------------------------------------------------------------------------------- the pacing

moments_ns = st.integers(-(10**15), 10**15)
cycles_ns = st.integers(10**6, 10**10)


@given(moments_ns, moments_ns, cycles_ns)
def test_the_next_deadline_lies_ahead(deadline_ns, now_ns, cycle_ns):
    assert next_deadline(deadline_ns, now_ns, cycle_ns) > now_ns


@given(moments_ns, st.integers(0, 100), st.integers(0, 10**10), cycles_ns)
def test_missed_deadlines_are_skipped_and_the_grid_is_kept(deadline_ns, missed, extra_ns, cycle_ns):
    now_ns = deadline_ns + missed * cycle_ns + extra_ns % cycle_ns
    following = next_deadline(deadline_ns, now_ns, cycle_ns)
    assert (following - deadline_ns) % cycle_ns == 0
    assert now_ns < following <= now_ns + cycle_ns


@given(moments_ns, st.integers(1, 100), cycles_ns)
def test_a_cycle_that_began_early_is_not_repeated(deadline_ns, early, cycle_ns):
    now_ns = deadline_ns - early * cycle_ns
    assert next_deadline(deadline_ns, now_ns, cycle_ns) == deadline_ns + cycle_ns


class PlayedLine(ToyPort):
    """A line that lives by itself at `rate` times the speed of a machine clock made by hand."""

    def __init__(self, web: ToyWeb, rate: float, slow_cycle: Callable[[int], float]) -> None:
        super().__init__(web)
        self.rate, self.slow_cycle = rate, slow_cycle
        self.wakes_late_s = 0.0
        self.mono_ns = 0
        self.reads_at_s: list[float] = []

    def listen(self, timeout_s: float) -> int | None:
        """SYNC comes in when it is time, and wakes whoever waits a little late."""
        next_sync_ns = round((self.web.cycle + 1) * CYCLE_NS / self.rate)
        awake_ns = min(self.mono_ns + round(timeout_s * NS), max(next_sync_ns, self.mono_ns))
        self.mono_ns = max(awake_ns, self.mono_ns) + max(round(self.wakes_late_s * NS), 1)
        return self._line_ns() if self._live() else None

    def _live(self) -> bool:
        """Let the line come up to date; whether it had news."""
        if not self.heard and self.mono_ns > NS // 10:
            self.heard = True
        before = self.web.cycle
        while (self.web.cycle + 1) * CYCLE_NS <= self.mono_ns * self.rate:
            self.advance()
        return self.web.cycle != before and self.heard

    def _line_ns(self) -> int:
        return self.web.cycle * CYCLE_NS + self.line_offset_ns

    def read(self) -> LineInputs | None:
        self._live()
        self.reads_at_s.append(self.mono_ns * self.rate / NS)
        return super().read()

    def write(self, command: ActuatorCommand) -> bool:
        self.mono_ns += round(self.slow_cycle(len(self.written)) * NS)
        return super().write(command)


def play(
    rate: float, cycles: int, slow_cycle: Callable[[int], float] = lambda cycle: 0.0, wakes_late_s: float = 0.0
) -> tuple[PlayedLine, Sink]:
    line = make_line(4)
    port, sink = PlayedLine(ToyWeb(line), rate, slow_cycle), Sink()
    port.wakes_late_s = wakes_late_s
    clock = SyncClock(lambda: port.mono_ns)
    Loop(core.configure(line, 0.1), port, clock, sink, Mode.HOLD).run(lambda: len(sink.traces) >= cycles)
    return port, sink


def test_one_cycle_a_period_of_line_time():
    port, sink = play(1.0, 200)
    np.testing.assert_allclose(np.diff(port.reads_at_s[-200:]), 0.1, atol=0.002)
    assert len(sink.traces) == len(port.written) == 200


@pytest.mark.parametrize("rate", [1.0, 20.0])
def test_each_cycle_meets_one_new_sync(rate):
    """The machine wakes a third of a millisecond late, as any does."""
    _, sink = play(rate, 600, wakes_late_s=0.0003)
    steps_s = np.diff([trace.t_line_ns for trace in sink.traces[50:]]) / NS
    assert np.count_nonzero(np.abs(steps_s - 0.1) > 0.01) <= 2


def test_a_cycle_that_takes_too_long_is_skipped_and_not_made_up():
    """Cycle 50 takes 0.35 s: three deadlines go, and then the old grid goes on."""
    port, sink = play(1.0, 100, lambda cycle: 0.35 if cycle == 50 else 0.0)
    gaps_s = np.diff(port.reads_at_s[-100:])
    assert gaps_s[50] == pytest.approx(0.4, abs=0.002)
    np.testing.assert_allclose(np.delete(gaps_s, 50), 0.1, atol=0.002)
    assert max(sink.lateness_us) < 1.0


@pytest.mark.parametrize(("takes_s", "late"), [(0.15, True), (0.09, False)])
def test_core_is_told_of_deadlines_that_were_missed(takes_s, late):
    """A bus that needs a cycle and a half for a cycle: every second deadline goes by, and a slower law acts."""
    port, sink = PlayedLine(ToyWeb(make_line(4)), 1.0, lambda cycle: takes_s), Sink()
    clock = SyncClock(lambda: port.mono_ns)
    Loop(core.configure(port.web.line, 0.1), port, clock, sink, Mode.AUTO).run(lambda: len(sink.traces) >= 400)
    told = [(trace.rung, trace.rung_cause) for trace in sink.traces if trace.rung is not Rung.OWN]
    assert told[:1] == ([(Rung.SLOWED, Cause.LATE)] if late else [])
    assert {cause for _, cause in told} <= {Cause.LATE}


@pytest.mark.parametrize("missed", [1, 3])
def test_every_missed_deadline_is_counted_once(monkeypatch, missed):
    told = []
    step = core.step

    def overheard(*arguments: Any) -> Any:
        told.append(arguments[5])
        return step(*arguments)

    monkeypatch.setattr(core, "step", overheard)
    play(1.0, 60, lambda cycle: missed * 0.1 + 0.05 if cycle in (30, 40) else 0.0)
    assert [told[31], told[41]] == [missed, missed]
    assert sum(told) == 2 * missed


def test_no_command_goes_out_before_the_line_is_heard_and_its_rate_is_known():
    line = make_line(4)
    port, sink = PlayedLine(ToyWeb(line), 20.0, lambda cycle: 0.0), Sink()
    port.heard = False  # for a tenth of a second
    clock = SyncClock(lambda: port.mono_ns)
    Loop(core.configure(line, 0.1), port, clock, sink, Mode.HOLD).run(lambda: bool(sink.traces))
    assert port.mono_ns >= NS // 10 + NS // 20
    assert clock.rate == pytest.approx(20.0, rel=0.1)
    assert len(port.written) == 1


def test_a_loop_told_to_stop_before_it_began_does_nothing():
    line = make_line(4)
    port, sink = PlayedLine(ToyWeb(line), 1.0, lambda cycle: 0.0), Sink()
    Loop(core.configure(line, 0.1), port, SyncClock(lambda: port.mono_ns), sink).run(lambda: True)
    assert (port.written, sink.traces) == ([], [])


def test_the_rest_between_two_cycles_is_told_how_long_it_is():
    """Cycle 30 takes 0.25 s: two deadlines go, and the next one is half a cycle away."""
    left_s: list[float] = []
    port, sink = PlayedLine(ToyWeb(make_line(4)), 1.0, lambda cycle: 0.25 if cycle == 30 else 0.02), Sink()
    loop = Loop(
        core.configure(port.web.line, 0.1),
        port,
        SyncClock(lambda: port.mono_ns),
        sink,
        Mode.HOLD,
        rest=lambda left: left_s.append(left if sink.traces else math.nan),
    )
    loop.run(lambda: len(sink.traces) >= 60)
    assert math.isnan(left_s[0])  # while the line was not heard yet
    after = left_s[-60:]
    assert after[30] == pytest.approx(0.05, abs=0.003)
    assert np.delete(after, 30) == pytest.approx(0.08, abs=0.003)
    assert loop.missed == 2
