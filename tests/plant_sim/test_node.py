"""Firmware habits, over a real bus with real frames."""

from dataclasses import replace

import numpy as np
import pytest

from controller.line.profile import LineState
from firmware_bridge.bus import BusError
from firmware_bridge.bus_memory import MemoryHub
from firmware_bridge.codec import Codec
from firmware_bridge.contract import HeartbeatState, Node, NodeState, Telegram, WireDescription, ZoneStatus
from firmware_bridge.link import Receiver, Transmitter
from plant_sim.faults import Play
from plant_sim.node import CommandWatch, PlantNodes, Rhythm
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth
from tests.plant_sim.lines_for_tests import make_line

LINE = make_line(16, 30.0, boxes=32)
RATIO = LINE.pump_ratio_nominal_rpm_per_mps
CODEC = Codec.compile(WireDescription(), 16, 32, 32)
HEARD = [t for t in Telegram if t not in (Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND, Telegram.REARM)]


class Bench:
    """The nodes on a bus, and a tester at its other end."""

    def __init__(self, *plays, truth=None, codec=CODEC):
        hub = MemoryHub()
        self.codec = codec
        self.nodes = PlantNodes(LINE, codec, hub.attach(), truth or Truth.nominal(LINE), Scenario("t", "", plays), 1)
        self.bus = hub.attach()
        self.transmitter = Transmitter(codec)
        self.receiver = Receiver(codec, HEARD, {})
        self.news = {}
        self.frames = []
        self.messages = []

    def step(self, count=1):
        for _ in range(count):
            self.nodes.step(0.1)
            self.frames = self.bus.receive()
            self.messages = [m for m in (self.receiver.feed(f, self.nodes.state.t_s) for f in self.frames) if m]
            self.news.update({(m.telegram, m.node): m for m in self.messages})
        return self

    def send(self, telegram, fields, valid_for=3, spoil=None):
        for frame in self.transmitter.frames(telegram, fields, self.nodes.cycle + valid_for):
            data = frame.data if spoil is None else spoil(frame.data)
            self.bus.send(frame._replace(data=data))

    def command(self, gap_um=610.0, trim_pct=1.0, **how):
        self.send(Telegram.DIE_COMMAND, {"gap_um": np.full(16, gap_um)}, **how)
        self.send(Telegram.PUMP_COMMAND, {"ratio_rpm_per_mps": RATIO, "trim_pct": trim_pct}, **how)

    def commanded(self, steps, **what):
        for _ in range(steps):
            self.command(**what)
            self.step()
        return self

    def field(self, telegram, name, node=0):
        return self.news[telegram, node].fields[name]

    @property
    def gap_um(self):
        return self.field(Telegram.DIE_FEEDBACK, "gap_um")

    @property
    def states(self):
        return self.nodes.die.watch.state, self.nodes.pump.watch.state


def test_starts_coating_open_loop_and_holding():
    bench = Bench().step(50)
    assert bench.states == (NodeState.HOLDING, NodeState.HOLDING)
    assert bench.nodes.truth_row.areal_density_gsm == pytest.approx(180.0)
    np.testing.assert_allclose(bench.gap_um, 600.0)
    assert bench.field(Telegram.PUMP_FEEDBACK, "ratio_rpm_per_mps") == pytest.approx(RATIO, abs=1e-3)
    assert bench.field(Telegram.PUMP_FEEDBACK, "trim_pct") == 0.0


def test_nobody_latches_that_was_never_commanded():
    assert Bench().step(100).states == (NodeState.HOLDING, NodeState.HOLDING)


def test_follows_commands():
    bench = Bench().commanded(40)
    assert bench.states == (NodeState.OPERATING, NodeState.OPERATING)
    np.testing.assert_allclose(bench.gap_um, 610.0)
    assert bench.field(Telegram.PUMP_FEEDBACK, "trim_pct") == pytest.approx(1.0)
    assert bench.field(Telegram.PUMP_FEEDBACK, "speed_rpm") == pytest.approx(RATIO * 1.01, rel=1e-4)


def test_what_is_sent_each_tenth_of_a_second():
    bench = Bench().step(11)
    sent = {m.telegram for m in bench.messages}
    assert sent >= {
        Telegram.SYNC,
        Telegram.LINE_STATE,
        Telegram.DIE_FEEDBACK,
        Telegram.PUMP_FEEDBACK,
        Telegram.WET_PROFILE,
        Telegram.WET_META,
        Telegram.HEARTBEAT,
    }
    assert {m.node for m in bench.messages if m.telegram is Telegram.HEARTBEAT} == {2, 3, 4, 5, 6}
    assert bench.news[Telegram.DIE_STATUS, 0].fields["zone_status"].tolist() == [ZoneStatus.READY] * 16
    assert bench.news[Telegram.DRY_PROFILE, 0].scan_id == 1


def test_sync_carries_simulated_time_cycle_speed_and_position():
    bench = Bench().step(25)
    sync = bench.news[Telegram.SYNC, 0]
    assert sync.scan_id == bench.nodes.cycle == 25
    assert sync.fields["t_us"] == 2_500_000
    assert sync.fields["web_speed_mps"] == pytest.approx(1.0)
    assert sync.fields["web_m"] == pytest.approx(2.5, abs=1e-4)
    assert sync.fields["encoder_valid"] == 1


def test_gauges_are_invalid_until_the_coating_reaches_them():
    bench = Bench().step(30)
    assert np.isnan(bench.field(Telegram.WET_PROFILE, "film_um")).all()
    assert bench.field(Telegram.WET_META, "quality") == 0
    bench.step(5)
    np.testing.assert_allclose(bench.field(Telegram.WET_PROFILE, "film_um"), 180.0 / (1.73 * 0.58), atol=0.006)
    assert bench.field(Telegram.WET_META, "quality") == 100
    assert bench.field(Telegram.WET_META, "web_m") == pytest.approx(3.45, abs=1e-3)
    assert bench.field(Telegram.WET_META, "t_us") == 3_450_000
    assert bench.field(Telegram.WET_META, "edge_right_mm") == pytest.approx(240.0)
    assert np.isnan(bench.field(Telegram.DRY_PROFILE, "areal_density_gsm")).all()
    bench.step(620)
    np.testing.assert_allclose(bench.field(Telegram.DRY_PROFILE, "areal_density_gsm"), 180.0, atol=0.006)


def test_three_periods_of_silence_and_the_nodes_hold():
    """Killed while the lips are on their way: they stop within the time-out, the pump keeps ratio and trim."""
    bench = Bench().commanded(10, gap_um=700.0)
    bench.step(3)
    assert bench.states == (NodeState.OPERATING, NodeState.OPERATING)
    bench.step(1)
    assert bench.states == (NodeState.HOLDING, NodeState.HOLDING)
    held = bench.gap_um.copy()
    assert 606.0 < held[0] < 608.0
    bench.step(10)
    np.testing.assert_allclose(bench.gap_um, held, atol=0.11)
    assert bench.field(Telegram.PUMP_FEEDBACK, "trim_pct") == pytest.approx(1.0)
    assert bench.field(Telegram.PUMP_FEEDBACK, "node_state") == NodeState.HOLDING


def test_a_hold_of_less_than_two_seconds_ends_with_the_next_command():
    bench = Bench().commanded(5).step(15)
    assert bench.states == (NodeState.HOLDING, NodeState.HOLDING)
    assert bench.commanded(1).states == (NodeState.OPERATING, NodeState.OPERATING)


def test_after_a_hold_the_same_command_is_followed_again():
    bench = Bench().commanded(10, gap_um=700.0).step(10)
    held_um = bench.gap_um[0]
    bench.commanded(6, gap_um=700.0)
    assert bench.gap_um[0] > held_um + 1.0


def test_after_two_seconds_it_latches_until_rearm():
    bench = Bench().commanded(5).step(25)
    assert bench.states == (NodeState.LATCHED, NodeState.LATCHED)
    held = bench.gap_um.copy()
    bench.commanded(20, gap_um=650.0, trim_pct=-2.0)
    assert bench.states == (NodeState.LATCHED, NodeState.LATCHED)
    np.testing.assert_allclose(bench.gap_um, held)
    assert bench.field(Telegram.PUMP_FEEDBACK, "trim_pct") == pytest.approx(1.0)
    assert bench.field(Telegram.PUMP_FEEDBACK, "node_state") == NodeState.LATCHED
    assert bench.field(Telegram.HEARTBEAT, "state", Node.DIE) == HeartbeatState.STOPPED
    assert not any(int(s) & ZoneStatus.READY for s in bench.field(Telegram.DIE_STATUS, "zone_status"))
    bench.send(Telegram.REARM, {"epoch": 1})
    bench.step()
    assert bench.states == (NodeState.HOLDING, NodeState.HOLDING)
    assert bench.field(Telegram.HEARTBEAT, "state", Node.DIE) == HeartbeatState.OPERATIONAL
    bench.commanded(40, gap_um=615.0, trim_pct=-2.0)
    np.testing.assert_allclose(bench.gap_um, 615.0)


def test_safe_stop_latches_at_once():
    bench = Bench().commanded(5, gap_um=700.0)
    bench.send(Telegram.SAFE_STOP, {"reason": 1, "epoch": 1})
    bench.commanded(10, gap_um=700.0)
    assert bench.states == (NodeState.LATCHED, NodeState.LATCHED)
    assert bench.gap_um[0] < 604.0


def test_expired_commands_are_refused():
    bench = Bench().commanded(10, valid_for=-1)
    assert bench.states == (NodeState.HOLDING, NodeState.HOLDING)
    assert bench.nodes.commands_expired == 20
    np.testing.assert_allclose(bench.gap_um, 600.0)


def test_a_command_is_valid_to_the_last_cycle_it_names():
    assert Bench().commanded(3, valid_for=0).states == (NodeState.OPERATING, NodeState.OPERATING)


@pytest.mark.parametrize("byte", [0, 9, 30])
def test_frames_with_a_wrong_crc_are_ignored(byte):
    def spoil(data):
        byte_at = byte % len(data)
        return data[:byte_at] + bytes([data[byte_at] ^ 0x10]) + data[byte_at + 1 :]

    bench = Bench().commanded(10, spoil=spoil)
    assert bench.states == (NodeState.HOLDING, NodeState.HOLDING)
    np.testing.assert_allclose(bench.gap_um, 600.0)


def test_half_a_telegram_moves_nothing():
    """Only one of two segments comes in: a scan counts when it is complete."""
    line = make_line(40)
    codec = Codec.compile(WireDescription(), 40, 80, 80)
    hub = MemoryHub()
    nodes, tester = PlantNodes(line, codec, hub.attach(), Truth.nominal(line), Scenario.quiet(), 1), hub.attach()
    transmitter = Transmitter(codec)
    for _ in range(20):
        nodes.step(0.1)
        frames = transmitter.frames(Telegram.DIE_COMMAND, {"gap_um": np.full(40, 650.0)}, nodes.cycle + 3)
        assert len(frames) == 2
        tester.send(frames[0])
    assert nodes.die.watch.state is NodeState.HOLDING
    assert not nodes.bolt_travel_um


def test_pump_stops_when_the_line_stops_and_comes_back_with_it():
    bench = Bench(Play("web-stop", onset_s=2.0, duration_s=10.0, ramp_s=1.0)).commanded(25)
    assert 0.5 * RATIO < bench.field(Telegram.PUMP_FEEDBACK, "speed_rpm") < 0.9 * RATIO
    bench.commanded(60)
    assert bench.field(Telegram.LINE_STATE, "state") == LineState.STOPPED
    assert bench.field(Telegram.PUMP_FEEDBACK, "speed_rpm") < 0.01
    assert bench.field(Telegram.SYNC, "web_speed_mps") == 0.0
    bench.commanded(100)
    assert bench.field(Telegram.LINE_STATE, "state") == LineState.RUNNING
    assert bench.field(Telegram.PUMP_FEEDBACK, "speed_rpm") == pytest.approx(RATIO * 1.01, rel=1e-3)


def test_rolls_are_counted_from_one():
    bench = Bench(Play("roll-change", onset_s=6.0), Play("roll-change", onset_s=3.0)).commanded(20)
    assert bench.field(Telegram.LINE_STATE, "roll") == 1
    assert bench.commanded(20).field(Telegram.LINE_STATE, "roll") == 2
    assert bench.commanded(40).field(Telegram.LINE_STATE, "roll") == 3


def test_web_stops_while_nobody_commands():
    """Daemon dead, web stops: the pump stops by itself; web slow: the pump follows by itself."""
    bench = Bench(Play("web-stop", onset_s=6.0, duration_s=10.0, ramp_s=1.0)).commanded(10).step(80)
    assert bench.states == (NodeState.LATCHED, NodeState.LATCHED)
    assert bench.field(Telegram.PUMP_FEEDBACK, "speed_rpm") < 0.1
    slow = Bench(Play("web-speed", onset_s=2.0, size=0.5, ramp_s=1.0)).commanded(10).step(100)
    assert slow.field(Telegram.PUMP_FEEDBACK, "speed_rpm") == pytest.approx(0.5 * RATIO * 1.01, rel=1e-3)


def test_pump_stops_on_a_lost_encoder():
    bench = Bench(Play("encoder-loss", onset_s=2.0, duration_s=5.0)).commanded(45)
    assert bench.field(Telegram.SYNC, "encoder_valid") == 0
    assert bench.field(Telegram.PUMP_FEEDBACK, "speed_rpm") < 0.1
    bench.commanded(50)
    assert bench.field(Telegram.SYNC, "encoder_valid") == 1
    assert bench.field(Telegram.PUMP_FEEDBACK, "speed_rpm") == pytest.approx(RATIO * 1.01, rel=1e-3)


def test_targets_beyond_the_range_stop_at_its_end_and_say_so():
    bench = Bench().commanded(300, gap_um=800.0)
    np.testing.assert_allclose(bench.gap_um, 720.0)
    assert all(int(s) & ZoneStatus.AT_LIMIT for s in bench.field(Telegram.DIE_STATUS, "zone_status"))


def test_a_bolt_that_does_not_follow_reports_a_fault_and_forgets_it_when_it_moves_again():
    bench = Bench(Play("stuck-bolt", at=0.2, onset_s=1.0, duration_s=6.0)).commanded(60, gap_um=650.0)
    faults = [bool(int(s) & ZoneStatus.FAULT) for s in bench.field(Telegram.DIE_STATUS, "zone_status")]
    assert [i for i, fault in enumerate(faults) if fault] == [3]
    bench.commanded(40, gap_um=650.0)
    assert not any(int(s) & ZoneStatus.FAULT for s in bench.field(Telegram.DIE_STATUS, "zone_status"))


def test_a_fault_is_tried_again_after_a_while_without_being_asked():
    bench = Bench(Play("stuck-bolt", at=0.2)).commanded(40, gap_um=610.0).commanded(400, gap_um=600.0)
    assert not any(int(s) & ZoneStatus.FAULT for s in bench.field(Telegram.DIE_STATUS, "zone_status"))


def test_feedback_is_the_motors_position_not_the_lips():
    """Backlash hides between the two, as on a real line."""
    bench = Bench().commanded(30, gap_um=605.0)
    np.testing.assert_allclose(bench.gap_um, 605.0)
    assert bench.nodes.state.vector(bench.nodes.plant, "s_lip")[0] == pytest.approx(604.75)


def test_noise_of_the_sensors_is_on_the_bus_and_no_bolt_travels_by_it():
    bench = Bench(Play("feedback-noise", size=2.0)).step(5)
    assert np.std(bench.gap_um - 600.0) > 0.5
    assert bench.nodes.bolt_travel_um == 0.0


def test_bolt_travel_counts_both_ways():
    bench = Bench().commanded(40, gap_um=610.0).commanded(40, gap_um=605.0)
    assert bench.nodes.truth_row.bolt_travel_um == pytest.approx(15.0)


def test_truth_row_tells_what_left_the_die_in_the_step():
    bench = Bench()
    with pytest.raises(RuntimeError):
        _ = bench.nodes.truth_row
    row = bench.step(7).nodes.truth_row
    assert (row.t_s, row.web_m, row.ds_m) == pytest.approx((0.7, 0.7, 0.1))
    assert row.areal_density_gsm.shape == (64,)


def test_silent_gauge_sends_nothing():
    bench = Bench(Play("gauge-silent", gauge="wet")).step(50)
    assert (Telegram.WET_PROFILE, 0) not in bench.news and (Telegram.WET_META, 0) not in bench.news
    assert (Telegram.DRY_PROFILE, 0) in bench.news


def test_a_line_with_one_gauge_has_one_gauge_on_the_bus():
    line = replace(LINE, wet_gauge=None)
    codec = Codec.compile(WireDescription(), 16, 0, 32)
    hub = MemoryHub()
    nodes, tester = PlantNodes(line, codec, hub.attach(), Truth.draw(line, 1), Scenario.quiet(), 1), hub.attach()
    for _ in range(15):
        nodes.step(0.1)
    ids = {frame.can_id for frame in tester.receive()}
    assert 0x400 in ids and 0x705 in ids
    assert not ids & {0x300, 0x500, 0x704}


def test_same_seed_same_frames():
    def frames():
        bench = Bench(Play("slow-cd-drift"), Play("pump-slip-drift"), truth=Truth.draw(LINE, 3))
        return [frame.data for _ in range(60) for frame in bench.step().frames]

    assert frames() == frames()


def test_a_bus_that_is_down_does_not_stop_the_machine():
    class Dead:
        def send(self, frame):
            raise BusError("down")

        def receive(self):
            return []

        def wait(self, timeout_s):
            return False

        def fault(self):
            return "down"

        def close(self):
            pass

    nodes = PlantNodes(LINE, CODEC, Dead(), Truth.nominal(LINE), Scenario.quiet(), 1)
    for _ in range(20):
        nodes.step(0.1)
    assert nodes.frames_unsent > 100
    assert nodes.truth_row.web_m == pytest.approx(2.0)


def test_watch_holds_after_three_periods_and_latches_after_two_seconds_to_the_millisecond():
    watch = CommandWatch(0.1)
    watch.admit(10.0)
    expected = [(10.3, NodeState.OPERATING), (10.301, NodeState.HOLDING), (12.0, NodeState.HOLDING)]
    for now_s, state in [*expected, (12.001, NodeState.LATCHED)]:
        watch.tick(now_s)
        assert watch.state is state, now_s


def test_rhythm_keeps_its_period_and_does_not_catch_up():
    rhythm = Rhythm(1.0)
    due = [t for t in (0.1 * k for k in range(50)) if rhythm.due(t)]
    assert due == pytest.approx([0.0, 1.0, 2.0, 3.0, 4.0])
    assert [rhythm.due(t) for t in (20.0, 20.1, 20.9, 21.0)] == [True, False, False, True]
