"""What the controller is told of a line, from real frames: complete, fresh, or honestly marked as not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from controller.line.profile import LineInputs, LineState
from firmware_bridge.contract import HeartbeatState, Node, NodeState, Telegram, WireDescription, ZoneStatus
from tests.factories import make_line
from tests.firmware_bridge.lines import BOXES, RATIO, ZONES, HandLine
from tests.firmware_bridge.wires import FOREIGN


def after(line: HandLine, ticks: int = 1, **changes: dict[str, Any] | None) -> LineInputs:
    """The inputs after so many cycles, each read by the port."""
    inputs = None
    for _ in range(ticks):
        line.tick(**changes)
        inputs = line.port.read()
    assert inputs is not None
    return inputs


def test_everything_that_was_said_arrives() -> None:
    inputs = after(HandLine())
    assert (inputs.t_line_ns, inputs.sync_cycle) == (100_000_000, 1)
    assert (inputs.web_m, inputs.web_speed_mps, inputs.encoder_valid) == (pytest.approx(0.1), pytest.approx(1.0), True)
    assert (inputs.line_state, inputs.roll, inputs.batch) == (LineState.RUNNING, 3, 4)
    np.testing.assert_allclose(inputs.gap_um, np.full(ZONES, 600.0))
    assert inputs.gap_valid.all() and inputs.pump_valid
    assert (inputs.pump_ratio_rpm_per_mps, inputs.pump_trim_pct) == (pytest.approx(RATIO), 0.0)
    assert (inputs.pump_speed_rpm, inputs.pump_pressure_kpa) == (pytest.approx(112.0), pytest.approx(85.0))
    assert inputs.slurry_temperature_c == pytest.approx(23.5)
    assert (inputs.nodes_latched, inputs.safe_stop, inputs.link_faults) == (False, False, ())
    assert inputs.wet is not None and inputs.dry is not None
    assert (inputs.wet.scan_id, inputs.wet.t_gauge_ns) == (1, 80_000_000)
    assert inputs.wet.web_m == pytest.approx(0.08)
    np.testing.assert_allclose(inputs.wet.film_um, np.full(BOXES, 180.0))
    np.testing.assert_allclose(inputs.dry.areal_density_gsm, np.full(BOXES, 181.0))
    assert inputs.wet.valid.all() and inputs.dry.valid.all()


@pytest.mark.parametrize("missing", ["sync", "line_state", "die_feedback", "pump_feedback"])
def test_nothing_is_said_until_the_line_was_heard_completely(missing: str) -> None:
    line = HandLine()
    line.tick(**{missing: None})
    assert line.port.read() is None
    line.tick()
    assert line.port.read() is not None


def test_a_gauge_that_repeats_itself_to_the_last_bit_counts_as_silent() -> None:
    line, film_um = HandLine(), np.linspace(179.0, 181.0, BOXES)
    assert after(line, wet_profile={"film_um": film_um}).wet is not None
    frozen = after(line, wet_profile={"film_um": film_um})
    assert frozen.wet is None and frozen.dry is not None
    assert frozen.link_faults == ("wet profile: repeats itself to the last bit, taken as silent",)
    thawed = after(line, wet_profile={"film_um": film_um[::-1]})
    assert thawed.wet is not None and thawed.link_faults == ()


def test_a_scan_is_handed_out_once() -> None:
    line = HandLine()
    assert after(line).wet is not None
    assert after(line, wet_profile=None, dry_profile=None).wet is None


def test_of_several_scans_the_newest_counts() -> None:
    line = HandLine()
    line.tick()
    line.tick()
    inputs = line.port.read()
    assert inputs is not None and inputs.wet is not None and inputs.wet.scan_id == 2


def test_boxes_without_a_value_are_invalid() -> None:
    film_um = np.full(BOXES, 180.0)
    film_um[5] = np.nan
    scan = after(HandLine(), wet_profile={"film_um": film_um}).wet
    assert scan is not None
    np.testing.assert_array_equal(scan.valid, np.arange(BOXES) != 5)


def test_meta_may_come_before_its_profile() -> None:
    line = HandLine()
    after(line)
    line.tick(wet_meta=None, wet_profile=None)
    said = line.healthy()
    line.say(Telegram.WET_META, said[Telegram.WET_META])
    line.say(Telegram.WET_PROFILE, said[Telegram.WET_PROFILE])
    inputs = line.port.read()
    assert inputs is not None and inputs.wet is not None and inputs.wet.scan_id == 2


def test_a_profile_is_never_joined_with_another_scans_meta() -> None:
    line = HandLine()
    after(line)
    assert after(line, wet_meta=None).wet is None
    assert after(line, wet_profile=None).wet is None
    assert after(line).wet is not None


def test_a_gauge_with_other_boxes_than_the_line_file_is_not_believed() -> None:
    inputs = after(HandLine(), wet_meta={"boxes": 17})
    assert inputs.wet is None
    assert inputs.link_faults == ("wet profile: 17 boxes, expected 16",)


def test_without_meta_a_scan_is_placed_by_the_newest_sync() -> None:
    line = HandLine(FOREIGN, line=make_line(24))
    inputs = after(line, ticks=3)
    assert inputs.wet is not None
    assert (inputs.wet.t_gauge_ns, inputs.wet.web_m) == (300_000_000, pytest.approx(0.3))


def test_a_wire_without_meta_status_and_heartbeat_is_complete() -> None:
    inputs = after(HandLine(FOREIGN, line=make_line(24)), ticks=20)
    assert inputs.link_faults == ()
    assert inputs.gap_valid.all() and inputs.pump_valid and inputs.encoder_valid
    assert inputs.sync_cycle == 19  # this wire has no cycle: its counter, carried on


@pytest.mark.parametrize(
    ("silent", "fault"),
    [
        ("sync", "sync: silent"),
        ("line_state", "line state: silent"),
        ("die_feedback", "die feedback: silent"),
        ("pump_feedback", "pump feedback: silent"),
        ("wet_profile", "wet profile: silent"),
    ],
)
def test_silence_of_more_than_three_periods_is_told(silent: str, fault: str) -> None:
    line = HandLine()
    after(line)
    assert after(line, 3, **{silent: None}).link_faults == ()
    inputs = after(line, 2, **{silent: None})
    assert fault in inputs.link_faults
    assert inputs.encoder_valid is (silent != "sync")
    assert inputs.line_state is (LineState.STOPPED if silent == "line_state" else LineState.RUNNING)
    assert inputs.gap_valid.any() == (silent != "die_feedback")
    assert inputs.pump_valid is (silent != "pump_feedback")
    again = after(line)
    assert again.link_faults == () and again.encoder_valid and again.gap_valid.all() and again.pump_valid


def test_line_time_runs_on_by_cycles_when_sync_is_silent() -> None:
    line = HandLine()
    after(line, 5)
    times = [after(line, sync=None).t_line_ns / 1e9 for _ in range(8)]
    assert times == pytest.approx([0.5, 0.5, 0.5, 0.9, 1.0, 1.1, 1.2, 1.3])


def test_a_link_that_never_spoke_is_told_after_its_patience() -> None:
    line = HandLine()
    assert after(line, dry_profile=None, dry_meta=None).link_faults == ()
    faults = after(line, 40, dry_profile=None, dry_meta=None).link_faults
    assert faults == ("dry profile: never seen", "dry meta: never seen")


def test_a_time_base_that_jumps_back_is_a_new_line() -> None:
    line = HandLine()
    after(line, 50)
    line.cycle = 0
    line.tick(line_state=None)
    assert line.port.read() is None
    assert after(line, 3).t_line_ns == 400_000_000


@pytest.mark.parametrize(
    ("flags", "valid"),
    [
        (ZoneStatus.READY, True),
        (ZoneStatus.READY | ZoneStatus.AT_LIMIT, True),
        (ZoneStatus.NONE, True),
        (ZoneStatus.FAULT, False),
        (ZoneStatus.READY | ZoneStatus.STALE, False),
    ],
)
def test_a_faulted_or_stale_zone_is_not_valid(flags: ZoneStatus, valid: bool) -> None:
    status = np.ones(ZONES)
    status[2] = int(flags)
    inputs = after(HandLine(), die_status={"zone_status": status})
    np.testing.assert_array_equal(inputs.gap_valid, (np.arange(ZONES) != 2) | valid)


@pytest.mark.parametrize("state", list(NodeState))
def test_a_pump_that_is_latched_is_told(state: NodeState) -> None:
    assert after(HandLine(), pump_feedback={"node_state": int(state)}).nodes_latched is (state is NodeState.LATCHED)


@pytest.mark.parametrize("node", [Node.DIE, Node.PUMP])
def test_a_node_whose_heartbeat_says_stopped_is_latched(node: Node) -> None:
    line = HandLine()
    line.say(Telegram.HEARTBEAT, {"state": int(HeartbeatState.STOPPED)}, node)
    assert after(line).nodes_latched
    line.say(Telegram.HEARTBEAT, {"state": int(HeartbeatState.OPERATIONAL)}, node)
    assert not after(line).nodes_latched


def test_a_heartbeat_that_stops_is_told_by_name() -> None:
    line = HandLine()
    after(line)
    line.say(Telegram.HEARTBEAT, {"state": 5}, Node.WET_GAUGE)
    assert after(line).link_faults == ()
    assert after(line, 6).link_faults == ("heartbeat of wet gauge: silent",)


def test_safe_stop_stays_until_rearm() -> None:
    line = HandLine()
    line.say(Telegram.SAFE_STOP, {"reason": 1}, Node.PUMP)
    assert after(line).safe_stop and after(line, 5).safe_stop
    line.port.rearm()
    assert not after(line).safe_stop


@pytest.mark.parametrize(("flag", "valid"), [(0, False), (1, True)])
def test_the_encoders_own_flag(flag: int, valid: bool) -> None:
    assert after(HandLine(), sync={"encoder_valid": flag}).encoder_valid is valid


def test_optional_fields_that_a_dbc_leaves_out() -> None:
    left_out = {"pump_feedback.pressure_kpa": "", "sync.encoder_valid": "", "line_state.roll": ""}
    line = HandLine(WireDescription(signal_map=left_out))
    inputs = after(line)
    assert np.isnan(inputs.pump_pressure_kpa) and inputs.encoder_valid and inputs.roll == 0


def test_the_same_frames_give_the_same_inputs() -> None:
    def run() -> list[str]:
        line = HandLine()
        silences: list[dict[str, Any]] = [{}, {"sync": None}, {"die_feedback": None}, {"wet_meta": None}]
        return [repr(after(line, **silences[k % 4])) for k in range(40)]

    assert run() == run()
