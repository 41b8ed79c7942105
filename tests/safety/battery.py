"""What must hold on every line, from the envelope over the gate and the wire to the nodes. Inherit, restate, done.

The numbers of a line are written down by hand in its own test, a third time beside [lips], [pump] and [gate] of its
file. Judged is with them alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from controller.line.command import Mode
from controller.line.profile import LineState
from evencoat.settings import load_line
from firmware_bridge.contract import NodeState, Telegram
from firmware_bridge.frames import Frame
from firmware_bridge.tx_gate import Gate
from plant_sim.node import PumpNode
from tests.controller.core.test_envelope import EnvelopeBattery
from tests.firmware_bridge.wires import database
from tests.runs import Line, story

COUNT_UM, COUNT_PCT = 0.1, 0.001  # of the wire
LAST_CYCLES = 3  # SYNC cycles for which a command may be obeyed


@dataclass(frozen=True)
class GateNumbers:
    """A line's last bounds before the bus, written down by hand a second time."""

    gap_min_um: float
    gap_max_um: float
    step_um: float
    neighbour_um: float
    bend_um: float
    ratio_min: float
    ratio: float  # the recipe's
    ratio_max: float
    trim_max_pct: float
    trim_step_pct: float


class SafetyBattery(EnvelopeBattery):
    """The envelope's battery, and behind it gate, wire and nodes of the same line."""

    last_bounds: GateNumbers

    # --- the gate ------------------------------------------------------------------------------------------------

    def primed(self, gap_um: np.ndarray | float, trim_pct: float = 0.0, ratio: float | None = None) -> Gate:
        gate = Gate(load_line(self.numbers.file, commissioned=False).gate)
        gap_um = np.broadcast_to(gap_um, (self.numbers.zones,))
        gate.prime(gap_um, self.last_bounds.ratio if ratio is None else ratio, trim_pct)
        return gate

    def lips(self, **bolts_um: float) -> np.ndarray:
        """A lip at nominal but for `bolt_3=12.5`: so much above it."""
        gap_um = np.full(self.numbers.zones, self.numbers.nominal_um)
        for name, above_um in bolts_um.items():
            gap_um[int(name.removeprefix("bolt_"))] += above_um
        return gap_um

    @pytest.mark.parametrize("end", ["low", "high"])
    def test_the_gate_ends_the_range_one_count_outside_the_envelope(self, end: str) -> None:
        bounds, sign = self.last_bounds, 1.0 if end == "high" else -1.0
        last_um = bounds.gap_max_um if end == "high" else bounds.gap_min_um
        inside_um = self.numbers.gap_max_um if end == "high" else self.numbers.gap_min_um
        assert sign * (last_um - inside_um) == pytest.approx(COUNT_UM)
        gate = self.primed(inside_um)
        assert gate.admits(np.full(self.numbers.zones, last_um), bounds.ratio, 0.0) is None
        refusal = self.primed(last_um).admits(np.full(self.numbers.zones, last_um + sign * COUNT_UM), bounds.ratio, 0.0)
        assert refusal is not None and refusal.bound == "gap"

    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_the_gate_lets_one_step_pass_and_not_one_count_more(self, sign: float) -> None:
        step_um, ratio = self.last_bounds.step_um, self.last_bounds.ratio
        assert step_um == pytest.approx(self.numbers.step_um + COUNT_UM)
        assert self.primed(self.lips()).admits(self.lips(bolt_3=sign * step_um), ratio, 0.0) is None
        refusal = self.primed(self.lips()).admits(self.lips(bolt_3=sign * (step_um + COUNT_UM)), ratio, 0.0)
        assert refusal is not None and (refusal.bound, refusal.zone) == ("gap step", 3)

    def test_the_gate_ends_the_difference_of_neighbours(self) -> None:
        """A step between the two halves of the lip, eased where it begins so that the bend is kept."""
        limit_um, ratio = self.last_bounds.neighbour_um, self.last_bounds.ratio
        assert limit_um == pytest.approx(self.numbers.neighbour_um + COUNT_UM)
        stairs = np.clip(np.arange(self.numbers.zones) - 2, 0, 2) * limit_um - limit_um
        at, beyond = self.numbers.nominal_um + stairs, stairs.copy()
        beyond[:3] -= COUNT_UM
        assert self.primed(at).admits(at, ratio, 0.0) is None
        refusal = self.primed(at).admits(self.numbers.nominal_um + beyond, ratio, 0.0)
        assert refusal is not None and (refusal.bound, refusal.zone) == ("neighbour difference", 2)

    def test_the_gate_ends_the_bend(self) -> None:
        limit_um, ratio = self.last_bounds.bend_um, self.last_bounds.ratio
        assert limit_um == pytest.approx(self.numbers.bend_um + COUNT_UM)
        half_um = np.floor(5.0 * limit_um) / 10.0
        at = self.lips(bolt_5=-half_um)
        assert 2.0 * half_um <= limit_um + 1e-9 < 2.0 * half_um + 2.0 * COUNT_UM
        assert self.primed(at).admits(at, ratio, 0.0) is None
        refusal = self.primed(at).admits(self.lips(bolt_5=-half_um - COUNT_UM), ratio, 0.0)
        assert refusal is not None and (refusal.bound, refusal.zone) == ("bend", 4)

    @pytest.mark.parametrize("sign", [-1.0, 1.0])
    def test_the_gate_ends_trim_and_its_step(self, sign: float) -> None:
        bounds, lips = self.last_bounds, self.lips()
        assert bounds.trim_max_pct == pytest.approx(self.numbers.trim_max_pct + COUNT_PCT)
        assert bounds.trim_step_pct == pytest.approx(self.numbers.trim_step_pct + COUNT_PCT)
        most, step = sign * bounds.trim_max_pct, sign * bounds.trim_step_pct
        assert self.primed(lips, most - step).admits(lips, bounds.ratio, most) is None
        refusal = self.primed(lips, most).admits(lips, bounds.ratio, most + sign * COUNT_PCT)
        assert refusal is not None and refusal.bound == "pump trim"
        refusal = self.primed(lips).admits(lips, bounds.ratio, step + sign * COUNT_PCT)
        assert refusal is not None and refusal.bound == "pump trim step"

    def test_the_gate_ends_the_pumps_ratio(self) -> None:
        bounds, lips = self.last_bounds, self.lips()
        for ratio, beyond in ((bounds.ratio_min, -COUNT_PCT), (bounds.ratio_max, COUNT_PCT)):
            assert self.primed(lips, ratio=ratio).admits(lips, ratio, 0.0) is None
            refusal = self.primed(lips, ratio=ratio).admits(lips, ratio + beyond, 0.0)
            assert refusal is not None and refusal.bound == "pump ratio"
        assert bounds.ratio == pytest.approx(load_line(self.numbers.file).line.pump_ratio_nominal_rpm_per_mps, abs=0.05)

    # --- the wire and the nodes ----------------------------------------------------------------------------------

    def test_every_command_on_the_wire_expires_and_is_inside_the_limits(self) -> None:
        """Read off the bus by cantools while the line starts up, whatever our own codec says."""
        line = Line(story(drifts=("static-profile", "set-up-offset")), self.numbers.file)
        frames: list[Frame] = []
        line.hub.tap(frames.append)
        line.play_s(15.0)
        now, last, commands = 0, dict.fromkeys(range(self.numbers.zones), np.nan), 0
        for frame in frames:
            message = database().get_message_by_frame_id(frame.can_id)
            if message.name == "SYNC":
                now = message.decode(frame.data)["ScanId"]
            if not message.name.startswith(("DIE_CMD", "PUMP_CMD")):
                continue
            values = message.decode(frame.data, decode_choices=False)
            assert 0 < values["ScanId"] - now <= LAST_CYCLES
            commands += 1
            for zone in range(self.numbers.zones):
                told = values.get(f"GapTarget_{zone:03d}")
                if told is not None:
                    assert self.numbers.gap_min_um <= told <= self.numbers.gap_max_um
                    assert not abs(told - last[zone]) > self.numbers.step_um + 1e-9
                    last[zone] = told
        assert commands > 200

    def test_nodes_hold_after_three_periods_and_latch_after_two_seconds_by_themselves(self) -> None:
        line = Line(story(), self.numbers.file)
        assert line.play_s(15.0)[-1].mode_actual is Mode.AUTO
        die, pump = line.nodes.die, line.nodes.pump
        line.play_dead_s(0.3)
        assert (die.watch.state, pump.watch.state) == (NodeState.OPERATING, NodeState.OPERATING)
        line.play_dead_s(0.2)
        assert (die.watch.state, pump.watch.state) == (NodeState.HOLDING, NodeState.HOLDING)
        rest_um, ratio, trim = die.rest_um.copy(), pump.ratio_rpm_per_mps, pump.trim_pct
        line.play_dead_s(2.0)
        assert (die.watch.state, pump.watch.state) == (NodeState.LATCHED, NodeState.LATCHED)
        np.testing.assert_array_equal(die.rest_um, rest_um)
        assert (pump.ratio_rpm_per_mps, pump.trim_pct) == (ratio, trim)
        traces = line.play_s(3.0)  # the controller is back and nobody re-arms: nothing moves
        assert traces[-1].mode_actual is Mode.HOLD
        np.testing.assert_array_equal(die.rest_um, rest_um)

    def test_an_old_command_moves_nothing(self) -> None:
        line = Line(story(), self.numbers.file)
        line.play_s(15.0)
        rest_um = line.nodes.die.rest_um.copy()
        bus = line.hub.attach()
        gap_um = np.full(self.numbers.zones, self.numbers.nominal_um + 30.0)
        fields = {"gap_um": gap_um}
        for counter in range(256):  # one of them is in sequence
            for frame in line.codec.encode(Telegram.DIE_COMMAND, fields, scan_id=line.nodes.cycle - 1, counter=counter):
                bus.send(frame)
        line.play_dead_s(line.cycle_s)
        assert line.nodes.commands_expired > 0
        assert np.abs(line.nodes.die.rest_um - rest_um).max() <= self.numbers.step_um + 1e-9

    @pytest.mark.parametrize(
        ("encoder", "state"), [(True, LineState.STOPPED), (False, LineState.RUNNING), (False, LineState.STOPPED)]
    )
    def test_the_pump_stops_with_the_line_and_without_an_encoder(self, encoder: bool, state: LineState) -> None:
        pump = PumpNode(self.last_bounds.ratio, 0.1)
        assert pump.speed_rpm(1.0, True, LineState.RUNNING) == pytest.approx(self.last_bounds.ratio)
        assert pump.speed_rpm(1.0, encoder, state) == 0.0
