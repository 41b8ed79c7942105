"""Latency spikes: a million cycles on a machine that stops for seconds now and then. No burst, and a way back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from controller.core import ladder
from controller.core import step as core
from controller.line.command import Cause, Mode, Rung
from controller.line.description import Array, LawName
from controller.loop import Loop
from tests.controller.core.test_step import SYNC_S, uneven
from tests.factories import NS, ToyWeb, make_line

CYCLES = 1_000_000
CYCLE_NS = NS // 10
RATE_UM_PER_S = 1.0  # a count a cycle


def spikes(rng: np.random.Generator, count: int, share: float, longest: float) -> Array:
    """What `count` cycles take, in cycles: a third as a rule; a `share` of them up to `longest`, evenly in the log."""
    takes = rng.uniform(0.2, 0.5, count)
    late = rng.random(count) < share
    takes[late] = np.exp(rng.uniform(np.log(0.5), np.log(longest), int(late.sum())))
    return takes


# ---------------------------------------------------------------------------------------------------------- pacing


@dataclass
class Heard:
    """As much of a cycle's inputs as the loop itself looks at."""

    t_line_ns: int
    nodes_latched: bool = False
    safe_stop: bool = False


class Machine:
    """A clock, a port and a core in one, in which time passes only as the test says: thinking takes what it takes."""

    settled = True

    def __init__(self, takes: Array, wakes_late: Array) -> None:
        self.now = 0
        self._takes_ns = (takes * CYCLE_NS).astype(np.int64).tolist()
        self._wakes_late_ns = (wakes_late * CYCLE_NS).astype(np.int64).tolist()
        self.began_ns: list[int] = []
        self.told: list[int] = []

    def observe(self, t_line_ns: int) -> None:
        pass

    def now_ns(self) -> int:
        return self.now

    def wall_s_until(self, deadline_ns: int) -> float:
        return (deadline_ns - self.now) / NS

    def listen(self, timeout_s: float) -> int:
        self.now += round(timeout_s * NS) + self._wakes_late_ns[len(self.began_ns)]
        return self.now - self.now % CYCLE_NS  # the newest SYNC

    def read(self) -> Heard:
        return Heard(self.now - self.now % CYCLE_NS)

    def step(
        self, config: Any, state: Any, inputs: Any, dt_s: float, asked: Any, missed: int
    ) -> tuple[Any, None, None]:
        self.told.append(missed)
        self.began_ns.append(self.now)
        self.now += self._takes_ns[len(self.began_ns) - 1]
        return state, None, None

    def record(self, trace: Any, step_us: float, lateness_us: float) -> None:
        pass

    def stop(self) -> bool:
        return len(self.began_ns) >= CYCLES


def test_a_million_cycles_of_a_machine_that_stops_now_and_then_hold_no_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a cycle takes and however late the machine wakes: one cycle a period of the grid, and none made up."""
    rng = np.random.default_rng(20)
    wakes_late = np.where(rng.random(CYCLES) < 0.002, rng.uniform(0.0, 30.0, CYCLES), 1e-4)
    machine = Machine(spikes(rng, CYCLES, 0.01, 60.0), wakes_late)
    monkeypatch.setattr(core, "step", machine.step)
    monkeypatch.setattr(core, "renewed", lambda config, state: (config, state))
    Loop(core.configure(make_line(4), SYNC_S), machine, machine, machine).run(machine.stop)
    began_ns, told = np.array(machine.began_ns), np.array(machine.told)
    period = (began_ns - CYCLE_NS // 2) // CYCLE_NS  # of the grid, half a cycle after SYNC
    assert began_ns.size == CYCLES
    assert (np.diff(period) >= 1).all(), "two cycles in one period: a burst"
    in_time = (began_ns - CYCLE_NS // 2) % CYCLE_NS < CYCLE_NS // 100
    assert in_time.mean() > 0.99, "all but those that were woken late begin at their deadline"
    skipped = np.diff(period, prepend=period[0] - 1) - 1
    assert skipped.max() > 50 and (skipped > 0).mean() > 0.003, "there was something to be survived"
    until_now, by_then = np.cumsum(told), np.cumsum(skipped)
    assert (until_now <= by_then).all() and (by_then[:-1] <= until_now[1:]).all(), "each told once, by the next cycle"


# ---------------------------------------------------------------------------------------------------------- ladder

LADDER = core.configure(make_line(), SYNC_S).ladder
STORMS = 8


def weather(rng: np.random.Generator) -> tuple[Array, Array]:
    """A million cycles: deadlines missed before each, and whether a storm is on, in which most are late."""
    storm = np.zeros(CYCLES, dtype=bool)
    for begun in np.linspace(10_000, 0.7 * CYCLES, STORMS).astype(int):
        storm[begun : begun + int(rng.integers(30, 200))] = True
    late = rng.random(CYCLES) < np.where(storm, 0.9, 0.01)
    return np.where(late, rng.integers(1, 40, CYCLES), 0), storm


def test_a_million_cycles_of_spikes_leave_the_ladder_where_it_was_and_storms_let_it_come_back() -> None:
    missed, storm = weather(np.random.default_rng(21))
    state, cycle_m, looked_m, web_m = ladder.init(), 0.1, 0.0, 0.0
    levels = np.zeros(len(ladder.CAUSES))
    rungs, failures, at_m = np.zeros(CYCLES, dtype=np.int8), [0] * CYCLES, 0.1 * np.cumsum(1 + missed)
    for cycle, late in enumerate(missed.tolist()):
        web_m += cycle_m * (1 + late)
        state = ladder.noted(state, 8, (), 0, late)
        if web_m - looked_m >= LADDER.look_m:
            levels[0] = state.late / state.cycles
            state = ladder.judged(LADDER, state, levels, web_m - looked_m, web_m, cycle)
            looked_m = web_m
        rungs[cycle], failures[cycle] = state.rung, state.failures
    begun, over = np.flatnonzero(np.diff(storm.astype(int)) > 0), np.flatnonzero(np.diff(storm.astype(int)) < 0)
    assert not rungs[: begun[0]].any(), "spikes now and then are no reason to go down"
    went_down = np.flatnonzero(np.diff(rungs) > 0)
    soon = np.searchsorted(over, went_down - 30)  # a look may end a little after the storm that it is of
    assert (went_down >= begun[soon]).all(), "only storms send it down"
    assert all(rungs[first:last].max() > 0 for first, last in zip(begun, over + 30, strict=True)), "and each one does"
    assert LADDER.rungs[int(rungs.max())] is Rung.PI, "who answers late is not the worse for it than a PI"
    for last in over:
        dwell_m = LADDER.dwell_m * ladder.LONGER ** failures[last]
        back_m = (rungs[last] + 1) * dwell_m + 10.0 * LADDER.span_m
        then = int(np.searchsorted(at_m, at_m[last] + back_m))
        assert then < CYCLES and not rungs[last:then].all(), "back at the top within its dwells"
    assert state.rung == 0 and state.cause is Cause.NONE


# ------------------------------------------------------------------------------------------------------- whole core


def lived(law: LawName, late: Array) -> tuple[Array, list[Rung], Array]:
    """A controller on an uneven web; after each cycle `late` more pass without one. Lips sent, rungs, what is left."""
    line = make_line(law=law, lips={"rate_um_per_s": RATE_UM_PER_S}, control={"closed_loop_cd_s": 5.0})
    shape = uneven(line, 0.04)
    web = ToyWeb(line, coating=lambda web_m: shape + 0.01)
    config = core.configure(line, SYNC_S)
    state, sent, rungs, missed = core.init(config, Mode.AUTO), [web.gap_um], [], 0
    for then in late.astype(int).tolist():
        state, command, trace = core.step(config, state, web.inputs(), 0.1 * (1 + missed), None, missed)
        assert command is not None
        sent.append(command.gap_um)
        rungs.append(trace.rung)
        missed = then
        web.advance(command)
        for _ in range(missed):
            web.advance(None)
    return np.array(sent), rungs, web.die_error


@pytest.mark.parametrize("law", [LawName.PI, LawName.IMC])
def test_a_controller_that_is_stopped_again_and_again_winds_nothing_up(law: LawName) -> None:
    """Slow lips, whose rate binds for long. No command goes further than a cycle allows, however long there was none;
    the lips come where they come without a spike, and never beyond."""
    rng = np.random.default_rng(22)
    late = np.where(rng.random(1700) < 0.04, np.ceil(spikes(rng, 1700, 1.0, 60.0)), 0.0)
    late[500:850] = 1.0  # a storm: every second deadline
    late[850:] = 0.0
    sent, rungs, left = lived(law, late)
    usual, _, left_usually = lived(law, np.zeros(late.size + int(late.sum())))
    steps_um = np.abs(np.diff(sent, axis=0))
    assert steps_um.max() <= RATE_UM_PER_S * 0.1 + 1e-9
    at_the_limit = (steps_um.max(axis=1) > RATE_UM_PER_S * 0.1 - 1e-9)[:-1] & (late[:-1] > 0)
    assert np.count_nonzero(at_the_limit) > 5, "spikes fell into the way"
    assert np.abs(sent - 600.0).max() <= np.abs(usual - 600.0).max() + 0.5
    np.testing.assert_allclose(sent[-1], usual[-1], atol=0.6)  # dead band, and counts, on either way
    assert np.abs(left).max() < np.abs(left_usually).max() + 0.002
    assert rungs[-1] is rungs[0]
    if law is LawName.IMC:
        assert Rung.SLOWED in rungs[500:900], "a storm is noticed"
    assert set(rungs[:500]) == {rungs[0]}, "spikes are not"
