"""The plant as nodes on a bus: encoder, die, pump and gauges with the habits of their firmware.

Each node keeps holding by itself when commands stop; nothing here asks whether a controller lives. Time is simulated
line time, which SYNC carries. Reads frames, advances plant_sim.plant, sends frames. Imported by the front door and
tests.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from controller.line.description import Array, GaugeKind, LineDescription
from controller.line.profile import LineState
from firmware_bridge.authentication import Authenticator
from firmware_bridge.bus import Bus, BusError
from firmware_bridge.codec import Codec, Value
from firmware_bridge.contract import (
    COMMAND_TIMEOUT_PERIODS,
    DIE_STATUS_PERIOD_S,
    HEARTBEAT_PERIOD_S,
    LATCH_AFTER_S,
    LINE_STATE_PERIOD_S,
    HeartbeatState,
    Node,
    NodeState,
    ScanDirection,
    Telegram,
    WireError,
    ZoneStatus,
)
from firmware_bridge.link import Message, Outlet, Receiver, Transmitter
from plant_sim import actuators, plant
from plant_sim.gauges import GaugeReading
from plant_sim.plant import Command, Plant, PlantState, Readings
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

STALLED_AFTER_S = 1.0  # a motor that does not follow for so long reports a fault
FAULT_KEPT_S = 30.0  # and keeps it so long after it was last asked to move, so that it is tried again some day
BOOT_EPOCH = 1
_DIRECTIONS = {0: int(ScanDirection.ARRAY), 1: int(ScanDirection.FORWARD), -1: int(ScanDirection.BACKWARD)}
TIME_ROUNDING_S = 1e-6  # steps are summed in floating point
# Asked for in every step, and a look-up takes its time:
_OPERATING, _LATCHED = NodeState.OPERATING, NodeState.LATCHED
_DIE_COMMAND, _PUMP_COMMAND = Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND
_REARM, _SAFE_STOP = Telegram.REARM, Telegram.SAFE_STOP
_STOPPED = LineState.STOPPED


class TruthRow(NamedTuple):
    """One step of true web, for whoever judges: what was coated on the `ds_m` of web that left the die in it."""

    t_s: float
    web_m: float  # position of the end of the stretch
    ds_m: float
    areal_density_gsm: Array  # dry, shape (lanes,)
    bolt_travel_um: float  # mean way of a bolt since the start


class CommandWatch:
    """Firmware's opinion of its commands: after three periods of silence it holds, after two seconds it latches.

    A latched node waits for REARM. One that was never commanded holds and does not latch: nobody has left it.
    """

    def __init__(self, period_s: float) -> None:
        self.state = NodeState.HOLDING
        self._hold_after_s = COMMAND_TIMEOUT_PERIODS * period_s + TIME_ROUNDING_S
        self._latch_after_s = max(LATCH_AFTER_S, COMMAND_TIMEOUT_PERIODS * period_s) + TIME_ROUNDING_S
        self._last_s: float | None = None

    def admit(self, now_s: float) -> bool:
        """A valid command came in. False: latched, do not follow it."""
        if self.state is _LATCHED:
            return False
        self.state, self._last_s = _OPERATING, now_s
        return True

    def tick(self, now_s: float) -> None:
        """Look at the clock."""
        if self._last_s is None:
            return
        silent_s = now_s - self._last_s
        if silent_s > self._latch_after_s:
            self.latch()
        elif silent_s > self._hold_after_s and self.state is _OPERATING:
            self.state = NodeState.HOLDING

    def latch(self) -> None:
        self.state, self._last_s = NodeState.LATCHED, None

    def rearm(self) -> None:
        """Follow commands again, holding until the first."""
        if self.state is NodeState.LATCHED:
            self.state, self._last_s = NodeState.HOLDING, None


class DieNode:
    """Drives of the lip bolts. Holding means staying where the motors are."""

    def __init__(self, drives: actuators.Actuators, gap_um: Array, period_s: float) -> None:
        self.watch = CommandWatch(period_s)
        self.rest_um = gap_um.copy()
        self._asked = b""  # the command that is followed
        self._drives = drives
        self._motor_um = gap_um.copy()
        self._stalled_s = np.zeros(gap_um.size)
        self._any_stalled = False

    def command(self, gap_um: Array, now_s: float) -> None:
        asked = gap_um.tobytes()
        if asked == self._asked:  # most commands repeat the last one
            self.watch.admit(now_s)
        elif np.isfinite(gap_um).all() and self.watch.admit(now_s):
            self.rest_um, self._asked = actuators.reachable(self._drives, gap_um), asked

    def tick(self, now_s: float) -> None:
        was = self.watch.state
        self.watch.tick(now_s)
        if was is _OPERATING and self.watch.state is not _OPERATING:
            self.hold()

    def hold(self) -> None:
        """Stop where the motors are."""
        self._asked = b""
        self.rest_um = actuators.reachable(self._drives, self._motor_um)

    def moved(self, motor_um: Array, dt_s: float) -> None:
        """Take in where the motors are now; notice those that do not follow."""
        away, arrived_um = np.abs(self.rest_um - motor_um), max(self._drives.resolution_um, 1e-3)
        if self._any_stalled or away.item(away.argmax()) > arrived_um:
            waiting = away > arrived_um
            standing = np.abs(motor_um - self._motor_um) < 1e-9
            calming = STALLED_AFTER_S / FAULT_KEPT_S * dt_s
            stalled_s = np.where(standing, self._stalled_s + np.where(waiting, dt_s, -calming), 0.0)
            self._stalled_s = np.minimum(np.maximum(stalled_s, 0.0), 2.0 * STALLED_AFTER_S)
            self._any_stalled = bool(self._stalled_s.any())
        self._motor_um = motor_um

    def zone_status(self) -> Array:
        """ZoneStatus of each zone, shape (zones,)."""
        ready = 0 if self.watch.state is _LATCHED else int(ZoneStatus.READY)
        at_limit = actuators.at_limit(self._drives, self._motor_um)
        if not (self._any_stalled or np.count_nonzero(at_limit)):
            return np.full(at_limit.size, float(ready))
        limits = at_limit * int(ZoneStatus.AT_LIMIT)
        stalled = (self._stalled_s > STALLED_AFTER_S) * int(ZoneStatus.FAULT)
        status: Array = (ready + limits + stalled).astype(np.float64)
        return status


class PumpNode:
    """The pump's drive: turns in proportion to web speed, whatever happens to its commands.

    It stops when the line stops or web speed is lost: a pump that ran on under a standing web would flood the line.
    """

    def __init__(self, ratio_rpm_per_mps: float, period_s: float) -> None:
        self.watch = CommandWatch(period_s)
        self.ratio_rpm_per_mps = ratio_rpm_per_mps
        self.trim_pct = 0.0

    def command(self, ratio_rpm_per_mps: float, trim_pct: float, now_s: float) -> None:
        sane = math.isfinite(ratio_rpm_per_mps) and math.isfinite(trim_pct) and ratio_rpm_per_mps >= 0.0
        if sane and self.watch.admit(now_s):
            self.ratio_rpm_per_mps, self.trim_pct = ratio_rpm_per_mps, trim_pct

    def speed_rpm(self, web_speed_mps: float, encoder_valid: bool, line_state: LineState) -> float:
        """What the drive shall turn at."""
        if not encoder_valid or line_state is _STOPPED:
            return 0.0
        return self.ratio_rpm_per_mps * web_speed_mps * (1.0 + self.trim_pct / 100.0)


class Rhythm:
    """When something periodic is due, in simulated time. The first time at once."""

    __slots__ = ("_due_s", "_period_s")

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._due_s = 0.0

    def due(self, now_s: float) -> bool:
        """True once a period. After a pause it starts afresh and does not catch up."""
        if now_s < self._due_s - TIME_ROUNDING_S:
            return False
        following_s = self._due_s + self._period_s
        self._due_s = following_s if following_s > now_s else now_s + self._period_s
        return True


class PlantNodes:
    """All nodes of one line on one bus attachment. Starts coating at once, open loop, at the description's settings."""

    def __init__(
        self,
        line: LineDescription,
        codec: Codec,
        bus: Bus,
        truth: Truth,
        scenario: Scenario,
        seed: int,
        auth: Authenticator | None = None,
    ) -> None:
        """`auth` holds the keys and the boot epoch of all nodes. Raises WireError on a wire that needs it without."""
        if codec.wire.auth is not None and auth is None:
            raise WireError("auth: a wire with [bus.auth] needs keys")
        period_s = line.control.cycle_s
        ratio = line.pump_ratio_nominal_rpm_per_mps
        self.plant = Plant.of(truth, scenario, seed)
        self.die = DieNode(truth.actuators, self.plant.gap_rest_um, period_s)
        self.pump = PumpNode(ratio, period_s)
        self.state: PlantState = plant.start(self.plant, ratio * truth.web_speed_mps)
        self.readings: Readings | None = None
        self.cycle = 0  # of SYNC
        self.commands_expired = 0
        self.frames_unsent = 0
        self.bolt_travel_um = 0.0
        self._truth = truth
        self._rolls_s = scenario.rolls_s()
        self._bus = bus
        listened = [Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND, Telegram.REARM, Telegram.SAFE_STOP]
        expected = {Telegram.DIE_COMMAND: period_s, Telegram.PUMP_COMMAND: period_s}
        self._auth, self._epoch = auth, BOOT_EPOCH if auth is None else auth.epoch
        if auth is not None:
            listened.append(Telegram.HEARTBEAT)  # whose freshness makes the controller's commands believed
        self._receiver = Receiver(codec, [t for t in listened if codec.carries(t)], expected, auth)
        self._outlets = _Outlets(codec, [int(node) for node, there in _gauges(truth) if there], auth)
        self._deadline_modulus = {t: codec.scan_modulus(t) for t in expected if codec.has_scan_id(t)}
        watches = {int(Node.DIE): self.die.watch, int(Node.PUMP): self.pump.watch}
        self._beating = [(outlet, watches.get(node)) for node, outlet in self._outlets.beats]
        self._sync = Rhythm(codec.wire.sync_period_s)
        self._line_state = Rhythm(LINE_STATE_PERIOD_S)
        self._feedback = Rhythm(period_s)
        self._status = Rhythm(DIE_STATUS_PERIOD_S)
        self._heartbeat = Rhythm(HEARTBEAT_PERIOD_S)

    @property
    def truth_row(self) -> TruthRow:
        """The web coated in the last step. Raises RuntimeError before the first."""
        readings = self.readings
        if readings is None:
            raise RuntimeError("truth_row: the plant has not been stepped yet")
        return TruthRow(
            readings.t_s, readings.web_m, readings.coated_m, readings.areal_density_gsm, self.bolt_travel_um
        )

    def step(self, dt_s: float) -> None:
        """One step of simulated time: hear, decide as firmware does, let the machine run, report."""
        self._hear()
        self.die.tick(self.state.t_s)
        self.pump.watch.tick(self.state.t_s)
        self.state, self.readings = plant.step(self.plant, self.state, self._drive(), dt_s)
        travel = np.abs(self.readings.lip_motor_um - self.die._motor_um)
        self.bolt_travel_um += float(np.add.reduce(travel)) / travel.size
        self.die.moved(self.readings.lip_motor_um, dt_s)
        self._report(self.readings)

    def _drive(self) -> Command:
        """What the nodes ask of the machine now, by the speed the encoder last gave."""
        heard = self.readings
        if heard is None:
            speed = self.pump.speed_rpm(self._truth.web_speed_mps, True, LineState.RUNNING)
        else:
            speed = self.pump.speed_rpm(heard.web_speed_mps, heard.encoder_valid, heard.line_state)
        return Command(self.die.rest_um, speed)

    def _hear(self) -> None:
        now_s = self.state.t_s
        for frame in self._bus.receive():
            message = self._receiver.feed(frame, now_s)
            if message is not None:
                self._obey(message, now_s)
        if self._auth is not None:
            self._auth.end_of_read()

    def _obey(self, message: Message, now_s: float) -> None:
        telegram, fields = message.telegram, message.fields
        if telegram is _SAFE_STOP:
            self.die.hold()
            self.die.watch.latch()
            self.pump.watch.latch()
        elif telegram is _REARM:
            self.die.watch.rearm()
            self.pump.watch.rearm()
        elif self._expired(message):
            self.commands_expired += 1
        elif telegram is _DIE_COMMAND:
            self.die.command(np.asarray(fields["gap_um"], dtype=np.float64), now_s)
        elif telegram is _PUMP_COMMAND:
            self.pump.command(float(fields["ratio_rpm_per_mps"]), float(fields["trim_pct"]), now_s)

    def _expired(self, message: Message) -> bool:
        """Whether the command's last valid SYNC cycle has passed. Without a scan id on the wire, arrival decides."""
        modulus = self._deadline_modulus.get(message.telegram, 0)
        if not modulus:
            return False
        ahead = (message.scan_id - self.cycle + modulus // 2) % modulus - modulus // 2
        return ahead < 0

    def _report(self, readings: Readings) -> None:
        now_s = readings.t_s
        if self._sync.due(now_s):
            self.cycle += 1
            self._send_sync(readings)
        if self._line_state.due(now_s):
            roll = 1 + bisect_right(self._rolls_s, now_s)
            state = {"state": int(readings.line_state), "roll": roll, "batch": readings.batch}
            self._send(self._outlets.line_state, state, self.cycle)
        if self._feedback.due(now_s):
            self._send(self._outlets.lips, {"gap_um": readings.lip_fed_back_um}, self.cycle)
            self._send_pump_feedback(readings)
        if self._status.due(now_s):
            self._send(self._outlets.status, {"zone_status": self.die.zone_status()}, self.cycle)
        for scan in readings.scans:
            self._send_scan(scan)
        if self._heartbeat.due(now_s):
            self._send_heartbeats(now_s)

    def _send_sync(self, readings: Readings) -> None:
        fields: dict[str, Value] = {
            "t_us": round(readings.t_s * 1e6),
            "web_speed_mps": readings.web_speed_mps,
            "web_m": readings.web_m,
            "encoder_valid": int(readings.encoder_valid),
        }
        self._send(self._outlets.sync, fields, self.cycle)

    def _send_pump_feedback(self, readings: Readings) -> None:
        fields: dict[str, Value] = {
            "ratio_rpm_per_mps": self.pump.ratio_rpm_per_mps,
            "trim_pct": self.pump.trim_pct,
            "speed_rpm": readings.pump_speed_rpm,
            "temperature_c": readings.slurry_temperature_c,
            "node_state": int(self.pump.watch.state),
        }
        low, high = self._outlets.pressure_kpa
        fields["pressure_kpa"] = min(max(readings.pump_pressure_kpa, low), high)
        self._send(self._outlets.pump, fields, self.cycle)

    def _send_scan(self, scan: GaugeReading) -> None:
        """A profile, and its meta telegram where the wire has one. What the wire cannot carry is reported invalid."""
        profile, meta, name, low, high = self._outlets.gauges[scan.kind]
        values, boxes = scan.values, scan.values.size
        good = boxes
        if not low <= values.item(values.argmin()) <= values.item(values.argmax()) <= high:
            valid = (values >= low) & (values <= high)
            values, good = np.where(valid, values, np.nan), int(np.count_nonzero(valid))
        self._send(profile, {name: values}, scan.scan_id)
        if meta is None:
            return
        fields: dict[str, Value] = {
            "boxes": boxes,
            "edge_left_mm": scan.edges_mm[0],
            "edge_right_mm": scan.edges_mm[1],
            "direction": _DIRECTIONS[scan.direction],
            "quality": 100.0 * good / boxes,
            "t_us": round(scan.t_s * 1e6),
            "web_m": scan.web_m,
        }
        self._send(meta, fields, scan.scan_id)

    def _send_heartbeats(self, now_s: float) -> None:
        alive: dict[str, Value] = {"state": int(HeartbeatState.OPERATIONAL), "epoch": self._epoch, "uptime_s": now_s}
        stopped: dict[str, Value] = {**alive, "state": int(HeartbeatState.STOPPED)}
        for outlet, watch in self._beating:
            latched = watch is not None and watch.state is _LATCHED
            self._send(outlet, stopped if latched else alive, self.cycle)

    def _send(self, outlet: Outlet | None, fields: Mapping[str, Value], scan_id: int) -> None:
        """Hand a telegram to the bus. A bus that is down loses it and the machine runs on."""
        if outlet is None:  # not on this wire
            return
        for frame in outlet.frames(fields, scan_id):
            try:
                self._bus.send(frame)
            except BusError:
                self.frames_unsent += 1


def _gauges(truth: Truth) -> tuple[tuple[Node, bool], ...]:
    return (Node.WET_GAUGE, truth.wet is not None), (Node.DRY_GAUGE, truth.dry is not None)


class _Outlets:
    """Where the nodes' telegrams go out, None for those that are not on this wire, and what the wire can carry of them.

    gauges: outlets of profile and meta, the profile's field and its bounds, by kind. beats: by node, in their order.
    """

    def __init__(self, codec: Codec, gauges: Sequence[int], auth: Authenticator | None = None) -> None:
        transmitter = Transmitter(codec, auth)

        def outlet(telegram: Telegram, node: int = 0) -> Outlet | None:
            return transmitter.outlet(telegram, node) if codec.carries(telegram, node) else None

        def bounds(telegram: Telegram, name: str) -> tuple[float, float]:
            return codec.bounds(telegram, name) if codec.has_field(telegram, name) else (0.0, 0.0)

        self.sync, self.line_state = outlet(Telegram.SYNC), outlet(Telegram.LINE_STATE)
        self.lips, self.status = outlet(Telegram.DIE_FEEDBACK), outlet(Telegram.DIE_STATUS)
        self.pump, self.pressure_kpa = outlet(Telegram.PUMP_FEEDBACK), bounds(Telegram.PUMP_FEEDBACK, "pressure_kpa")
        wet = outlet(Telegram.WET_PROFILE), outlet(Telegram.WET_META), "film_um"
        dry = outlet(Telegram.DRY_PROFILE), outlet(Telegram.DRY_META), "areal_density_gsm"
        self.gauges = dict.fromkeys(GaugeKind, (*dry, *bounds(Telegram.DRY_PROFILE, dry[2])))
        self.gauges[GaugeKind.WET_ARRAY] = (*wet, *bounds(Telegram.WET_PROFILE, wet[2]))
        nodes = (int(Node.DIE), int(Node.PUMP), *gauges, int(Node.ENCODER))
        self.beats = [(node, outlet(Telegram.HEARTBEAT, node)) for node in nodes]
