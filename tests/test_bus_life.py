"""What happens to a bus in its life, played to the real daemon parts and the real nodes, in lockstep: nothing waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from controller.core.trace import Trace
from controller.line.command import Mode
from firmware_bridge.contract import Node, NodeState, Telegram
from firmware_bridge.frames import Frame
from firmware_bridge.link import Transmitter
from firmware_bridge.medium import Medium, Played
from tests.runs import Line, story

PLANT, CONTROLLER = 0, 1  # members of the hub


class Life:
    """A line that runs in AUTO on a wire that a test may spoil."""

    def __init__(self, played: Played | None = None) -> None:
        self.medium = Medium(Played(), seed=3)
        self.line = Line(story(), medium=self.medium)
        assert self.line.play_s(20.0)[-1].mode_actual is Mode.AUTO
        self.medium.played = played or Played()

    def run_s(self, seconds: float, each_cycle: Callable[[], None] = lambda: None) -> list[Trace]:
        traces: list[Trace] = []
        for _ in range(round(seconds / self.line.cycle_s)):
            each_cycle()
            traces += self.line.play_s(self.line.cycle_s)
        return traces

    @property
    def faults(self) -> tuple[str, ...]:
        trace = self.line.loop.trace
        assert trace is not None
        return trace.link_faults

    @property
    def mode(self) -> Mode:
        trace = self.line.loop.trace
        assert trace is not None
        return trace.mode_actual

    def no_limit_was_broken(self) -> bool:
        return self.line.checker.violations == 0


@pytest.mark.parametrize(
    "played",
    [
        Played(loss=0.02),
        Played(corruption=0.02),
        Played(repetition=0.1),
        Played(delay_s=0.02, jitter_s=0.03),
        Played(bitrate=500_000, data_bitrate=2_000_000),
        Played(bitrate=125_000),
    ],
    ids=["loss", "corruption", "repetition", "delay", "as fast as it is", "sixteen times slower"],
)
def test_a_wire_that_is_a_little_bad_costs_nothing(played: Played) -> None:
    life = Life(played)
    assert {trace.mode_actual for trace in life.run_s(20.0)} == {Mode.AUTO}
    assert life.no_limit_was_broken()


def test_a_wire_that_is_very_bad_holds_and_breaks_no_limit() -> None:
    life = Life(Played(loss=0.3, corruption=0.3, repetition=0.2, delay_s=0.05, jitter_s=0.2))
    traces = life.run_s(30.0)
    assert Mode.HOLD in {trace.mode_actual for trace in traces}
    assert any("faulty (error)" in fault for trace in traces for fault in trace.link_faults)
    assert life.no_limit_was_broken()
    gap_um = life.line.nodes.die.rest_um
    assert np.isfinite(gap_um).all() and np.abs(np.diff(gap_um)).max() < life.line.line.lips.neighbour_max_um


@pytest.mark.parametrize(("seconds", "modes"), [(0.2, {Mode.AUTO}), (1.5, {Mode.AUTO, Mode.HOLD})])
def test_nodes_that_are_away_for_a_moment_come_back_by_themselves(seconds: float, modes: set[Mode]) -> None:
    life = Life(Played(bus_off=frozenset({PLANT})))
    traces = life.run_s(seconds)
    life.medium.played = Played()
    assert {trace.mode_actual for trace in traces + life.run_s(5.0)} == modes
    assert life.mode is Mode.AUTO and life.faults == () and life.no_limit_was_broken()


def test_nodes_that_were_away_for_long_wait_for_a_person() -> None:
    life = Life(Played(bus_off=frozenset({PLANT})))
    life.run_s(5.0)
    assert life.mode is Mode.HOLD and "die feedback: silent" in life.faults and "sync: silent" in life.faults
    assert life.line.nodes.die.watch.state is NodeState.LATCHED
    life.medium.played = Played()
    life.run_s(5.0)
    assert life.mode is Mode.HOLD and life.faults == ()
    life.line.loop._port.rearm()
    life.run_s(5.0)
    assert life.mode is Mode.AUTO and life.no_limit_was_broken()


def test_a_controller_in_bus_off_says_so_and_its_nodes_hold() -> None:
    life = Life(Played(bus_off=frozenset({CONTROLLER})))
    life.run_s(1.0)
    assert life.line.nodes.die.watch.state is NodeState.HOLDING
    assert "bus: memory bus: bus-off" in life.faults and life.mode is Mode.HOLD
    life.medium.played = Played()
    life.run_s(5.0)
    assert life.mode is Mode.AUTO and life.faults == () and life.no_limit_was_broken()


def test_a_duplicate_node_is_not_believed_and_not_forgotten() -> None:
    """A second die that says the same identifiers with numbers and positions of its own."""
    life = Life()
    double, bus = Transmitter(life.line.codec), life.line.hub.attach()
    gap_um = np.full(life.line.line.zones, 700.0)

    def speak() -> None:
        for frame in double.frames(Telegram.DIE_FEEDBACK, {"gap_um": gap_um}, 5):
            bus.send(frame)

    traces = life.run_s(10.0, speak)
    assert "die feedback: faulty (wrong sequence)" in traces[-1].link_faults
    assert life.mode is Mode.HOLD and life.no_limit_was_broken()
    life.run_s(5.0)
    assert life.faults == () and life.mode is Mode.AUTO


def test_a_second_controller_is_noticed() -> None:
    life = Life()
    double, bus = Transmitter(life.line.codec), life.line.hub.attach()

    def command() -> None:
        for frame in double.frames(Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": 100.0, "trim_pct": 0.0}, 2**31 - 1):
            bus.send(frame)

    assert "another controller commands this line" in life.run_s(1.0, command)[-1].link_faults


def test_a_babbling_node_is_named_and_the_line_coats_on() -> None:
    life = Life()
    babbler, bus = Transmitter(life.line.codec), life.line.hub.attach()

    def babble() -> None:
        for _ in range(200):
            for frame in babbler.frames(
                Telegram.HEARTBEAT, {"state": 5, "epoch": 1, "uptime_s": 1}, node=Node.DRY_GAUGE
            ):
                bus.send(frame)
            bus.send(Frame(0x000, bytes(8), is_fd=False))

    faults = life.run_s(5.0, babble)[-1].link_faults
    assert [fault for fault in faults if "a stranger (0x0) babbles: 200 frames" in fault], faults
    assert [fault for fault in faults if "HEARTBEAT_5 (0x705) babbles" in fault], faults
    assert life.mode is Mode.AUTO and life.no_limit_was_broken()
    life.run_s(2.0)
    assert life.faults == ()


def test_a_babbling_node_on_a_slow_wire_takes_the_bus_and_the_line_holds() -> None:
    """Identifier 0 always wins: nobody else gets through, and every node falls back to holding by itself."""
    life = Life(Played(bitrate=500_000, data_bitrate=2_000_000))
    bus = life.line.hub.attach()
    life.run_s(3.0, lambda: [bus.send(Frame(0x000, bytes(64))) for _ in range(300)] and None)
    assert life.line.nodes.die.watch.state in (NodeState.HOLDING, NodeState.LATCHED)
    assert life.mode is Mode.HOLD and "die feedback: silent" in life.faults and life.no_limit_was_broken()


def jump(life: Life, jump_s: float, gauges_too: bool) -> None:
    """The encoder's clock is set, with or without the gauges that follow it."""
    nodes = life.line.nodes
    sync, scan = nodes._send_sync, nodes._send_scan
    nodes._send_sync = lambda readings: sync(readings._replace(t_s=readings.t_s + jump_s))  # type: ignore[method-assign]
    if gauges_too:
        nodes._send_scan = lambda told: scan(replace(told, t_s=told.t_s + jump_s))  # type: ignore[method-assign]


@pytest.mark.parametrize("jump_s", [7.0, -7.0, 3600.0])
def test_line_time_that_jumps_costs_one_cycle(jump_s: float) -> None:
    """Forward every link seems silent at once, back it is a new time base: either way the line is there again."""
    life = Life()
    jump(life, jump_s, gauges_too=True)
    traces = life.run_s(10.0)
    assert sum(trace.mode_actual is not Mode.AUTO for trace in traces) <= 1
    assert life.faults == () and life.no_limit_was_broken()


@pytest.mark.parametrize("jump_s", [7.0, -7.0])
def test_a_gauge_with_a_clock_of_its_own_closes_no_loop(jump_s: float) -> None:
    life = Life()
    jump(life, jump_s, gauges_too=False)
    life.run_s(10.0)
    assert life.mode is Mode.HOLD and life.no_limit_was_broken()
