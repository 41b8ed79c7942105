"""The port between loop and bus: what is sent, what is refused, what is never sent."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.bus import BusError
from firmware_bridge.bus_memory import MemoryBus, MemoryHub
from firmware_bridge.contract import COMMAND_TIMEOUT_PERIODS, HeartbeatState, Node, Telegram
from firmware_bridge.error_frames import overrun_frame
from firmware_bridge.frames import Frame
from firmware_bridge.link import Transmitter
from tests.factories import make_line
from tests.firmware_bridge.lines import RATIO, ZONES, HandLine
from tests.firmware_bridge.wires import FOREIGN

COMMANDS = {Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND}


def ready(**kwargs: object) -> HandLine:
    """A line that was heard completely once."""
    line = HandLine(**kwargs)  # type: ignore[arg-type]
    line.tick()
    assert line.port.read() is not None
    line.heard()
    return line


def cycle(line: HandLine) -> None:
    line.tick()
    line.port.read()


def test_a_command_reaches_the_nodes_as_it_was_given() -> None:
    line = ready()
    gap_um = 600.0 + np.arange(ZONES) / 10 - 0.4
    assert line.port.write(line.command(gap_um, trim=0.05))
    die, pump = line.heard()
    assert (die.telegram, pump.telegram) == (Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND)
    assert die.scan_id == pump.scan_id == line.cycle + 3
    np.testing.assert_allclose(die.fields["gap_um"], gap_um, atol=1e-9)
    assert pump.fields == pytest.approx({"ratio_rpm_per_mps": RATIO, "trim_pct": 0.05})


def test_a_refused_command_sends_nothing_and_leaves_no_gap_in_the_counters() -> None:
    line = ready()
    assert line.port.write(line.command())
    assert {message.telegram for message in line.heard()} == COMMANDS
    for _ in range(5):
        assert not line.port.write(line.command(700.0))
    assert line.heard() == []
    assert str(line.port.last_refusal) == "gap step at zone 0: 100, allowed 0.6"
    assert line.port.write(line.command(600.5))
    assert {message.telegram for message in line.heard()} == COMMANDS
    assert line.receiver.health(0.0)[Telegram.DIE_COMMAND].lost == 0
    assert line.port.last_refusal is None


def test_who_was_only_refused_for_as_long_as_a_command_lives_begins_from_what_is_fed_back() -> None:
    line = ready()
    assert line.port.write(line.command())
    elsewhere = {"gap_um": np.full(ZONES, 603.0)}
    for _ in range(COMMAND_TIMEOUT_PERIODS):
        line.tick(die_feedback=elsewhere)
        line.port.read()
        assert not line.port.write(line.command(603.0))
    line.tick(die_feedback=elsewhere)
    line.port.read()
    assert line.port.write(line.command(603.0)), "nobody has commanded the lips meanwhile"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -5.0, 4000.0])
def test_what_the_wire_cannot_carry_is_refused_too(bad: float) -> None:
    line = ready()
    assert not line.port.write(line.command(bad))
    assert line.heard() == []
    assert "gap_um[0]" in str(line.port.last_refusal)
    assert not line.port.write(line.command(600.0, trim=bad if not 0 < bad < np.inf else 99.0))
    assert line.heard() == []
    assert line.port.write(line.command())
    assert {message.telegram for message in line.heard()} == COMMANDS


def test_the_gate_judges_what_the_wire_will_carry() -> None:
    """600.64 um travels as 600.6 and passes a gate of 0.6 um a step; 600.66 travels as 600.7 and does not."""
    line = ready()
    assert line.port.write(line.command(600.64))
    np.testing.assert_allclose(line.heard()[0].fields["gap_um"], np.full(ZONES, 600.6))
    assert not ready().port.write(line.command(600.66))


def test_before_the_line_was_heard_nothing_passes() -> None:
    line = HandLine()
    assert not line.port.write(line.command())
    assert line.heard() == []


def test_a_restarted_controller_takes_over_from_feedback() -> None:
    line = HandLine()
    line.gap_um = 600.0 + np.arange(ZONES)
    cycle(line)
    assert not line.port.write(line.command(600.0))
    assert line.port.write(line.command(line.gap_um))


def test_while_commands_flow_the_last_one_is_the_reference() -> None:
    line = ready()
    gap = 600.0
    for _ in range(10):  # lips lag behind: feedback stays at 600
        gap += 0.5
        assert line.port.write(line.command(round(gap, 1)))
        cycle(line)
    assert line.port.write(line.command(605.5))


def test_after_a_pause_in_commands_feedback_is_the_reference_again() -> None:
    line = ready()
    assert line.port.write(line.command(600.5))
    line.gap_um = np.full(ZONES, 610.0)
    for _ in range(4):
        cycle(line)
    assert not line.port.write(line.command(600.5))
    for _ in range(4):
        cycle(line)
    assert line.port.write(line.command(610.5))


def test_listen_only_sends_nothing_at_all() -> None:
    line = HandLine(transmit=False)
    for _ in range(20):
        cycle(line)
        assert line.port.write(line.command(600.5))
        line.port.rearm()
    line.port.close()
    assert line.bus.receive() == []


def test_heartbeats_follow_line_time_and_say_whether_we_command() -> None:
    line = HandLine()
    for _ in range(10):
        cycle(line)
    idle = [m for m in line.heard() if m.telegram is Telegram.HEARTBEAT]
    assert [m.node for m in idle] == [Node.CONTROLLER] * 10
    assert {m.fields["state"] for m in idle} == {HeartbeatState.PRE_OPERATIONAL}
    assert {m.fields["epoch"] for m in idle} == {9}
    line.port.write(line.command())
    for _ in range(5):
        cycle(line)
    states = [m.fields["state"] for m in line.heard() if m.telegram is Telegram.HEARTBEAT]
    assert states == [HeartbeatState.OPERATIONAL] * 3 + [HeartbeatState.PRE_OPERATIONAL] * 2
    line.port.close()
    (last,) = line.heard()
    assert last.fields["state"] == HeartbeatState.STOPPED
    line.port.close()
    assert line.heard() == []


def test_reads_within_one_cycle_beat_once() -> None:
    line = ready()
    line.port.read()
    line.port.read()
    assert line.heard() == []


def test_rearm_goes_out_with_our_epoch() -> None:
    line = ready()
    line.port.rearm()
    (message,) = line.heard()
    assert (message.telegram, message.fields) == (Telegram.REARM, {"epoch": 9})


def test_a_wire_without_rearm_and_heartbeat_is_commanded_all_the_same() -> None:
    line = ready(wire=FOREIGN, line=make_line(24))
    line.port.rearm()
    assert line.heard() == []
    assert line.port.write(line.command(600.5))
    die, pump = line.heard()
    np.testing.assert_allclose(die.fields["gap_um"], np.full(24, 600.5))
    assert pump.fields["ratio_rpm_per_mps"] == pytest.approx(RATIO, abs=60 * 0.0001)
    line.port.close()


def test_another_controllers_frames_are_noticed_and_our_echo_is_not() -> None:
    line = ready()
    line.port.write(line.command())
    ours = line.bus.receive()
    for frame in ours:
        line.bus.send(frame)  # an interface that plays our frames back
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ()
    theirs = {"ratio_rpm_per_mps": 100.0, "trim_pct": 1.0}
    for frame in Transmitter(line.codec).frames(Telegram.PUMP_COMMAND, theirs, 99):
        line.bus.send(frame)
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ("another controller commands this line",)
    for _ in range(31):
        line.tick()
        inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ()


def test_error_frames_show_in_plain_words_for_one_cycle() -> None:
    line = ready()
    line.bus.send(overrun_frame(12))
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ("bus: receive overrun: 12 frames lost",)
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ()


class Breakable(MemoryBus):
    """A memory bus that can refuse to send."""

    broken = False

    def send(self, frame: Frame) -> None:
        if self.broken:
            raise BusError("cable pulled")
        super().send(frame)


def test_a_bus_that_fails_is_told_and_refuses_nothing() -> None:
    line = ready()
    bus = Breakable(MemoryHub(), 16)
    bus.broken = True
    line.port._bus, good = bus, line.port._bus
    assert line.port.write(line.command())
    line.port._bus = good
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ("bus: cable pulled",)
    assert line.port.write(line.command())
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ()


def test_garbage_on_the_bus_is_counted_and_does_not_stop_the_loop() -> None:
    line = ready()
    rng = np.random.default_rng(3)
    for can_id in (0x020, 0x041, 0x180, 0x300, 0x500, 0x702, 0x123):
        line.bus.send(Frame(can_id, rng.bytes(int(rng.integers(0, 65)))))
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.gap_valid.all()
    assert line.port.health()[Telegram.SYNC].wrong_crc == 1


def test_a_babbling_node_is_named_and_a_backlog_is_not() -> None:
    """A gauge that sends 300 scans a cycle with all that a frame needs, and a stranger that fills the bus."""
    line = ready()
    for _ in range(40):  # four seconds in which nobody read
        line.tick()
    assert line.port.read() is not None
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ()
    for _ in range(2):
        line.tick()
        for k in range(300):
            line.say(Telegram.WET_PROFILE, {"film_um": np.full(2 * line.line.zones, 180.0 + k % 9)})
            line.bus.send(Frame(0x001, b"", is_fd=False))
        inputs = line.port.read()
    assert inputs is not None and inputs.wet is not None
    assert inputs.link_faults == (
        "bus: WET_PROFILE_0 (0x300) babbles: 301 frames in a cycle, expected 1",
        "bus: a stranger (0x1) babbles: 300 frames in a cycle, expected 0",
    )
    for _ in range(2):
        line.tick()
        inputs = line.port.read()
    assert inputs is not None and inputs.link_faults == ()


def test_a_faulty_link_says_which_errors_made_it_so() -> None:
    line = ready()
    for k in range(6):  # a second pump that counts on its own
        for frame in line.codec.encode(
            Telegram.PUMP_FEEDBACK, line.healthy()[Telegram.PUMP_FEEDBACK], scan_id=1, counter=100 + 50 * (k % 2)
        ):
            line.bus.send(frame)
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and not inputs.pump_valid
    assert inputs.link_faults == ("pump feedback: faulty (wrong sequence)",)
