"""CanLinePort: a line behind any CAN bus, as the loop knows it (controller.port.LinePort). The front door builds it.

What comes in goes through link.Receiver into LineView; what goes out is encoded, read back as the wire will carry it,
put before the gate, and only then sent.
"""

from __future__ import annotations

import logging
from collections import deque

import numpy as np

from controller.line.command import ActuatorCommand
from controller.line.description import LineDescription
from controller.line.profile import LineInputs
from firmware_bridge.authentication import Authenticator
from firmware_bridge.bus import Bus, BusError
from firmware_bridge.codec import Codec, Value
from firmware_bridge.contract import (
    COMMAND_TIMEOUT_PERIODS,
    HEARTBEAT_PERIOD_S,
    HeartbeatState,
    Node,
    Telegram,
    WireDescription,
    WireError,
)
from firmware_bridge.error_frames import describe
from firmware_bridge.flood import FloodWatch
from firmware_bridge.frames import Frame
from firmware_bridge.health import LinkHealth
from firmware_bridge.line_view import LineView
from firmware_bridge.link import Outlet, Transmitter
from firmware_bridge.tx_gate import Gate, Refusal

_LOG = logging.getLogger(__name__)

_ECHOES_KEPT = 64  # frames of ours remembered, for interfaces that play them back to us
_INTRUDER_SHOWN_S = 3.0  # line time for which another controller's frame is reported


class CanLinePort:
    """Implements controller.port.LinePort. With `transmit` False it listens only: nothing at all is sent."""

    def __init__(
        self,
        codec: Codec,
        bus: Bus,
        gate: Gate,
        line: LineDescription,
        wire: WireDescription,
        transmit: bool,
        epoch: int = 0,
        auth: Authenticator | None = None,
    ) -> None:
        """`epoch` is this controller's boot number; it travels in heartbeats and in REARM. `auth`, which a wire with
        authentication needs, has its own. Raises WireError when wire and `auth` do not fit.
        """
        if (auth is None) is not (wire.auth is None):
            raise WireError("auth: a wire with [bus.auth] needs keys, and one without takes none")
        self._codec, self._bus, self._gate = codec, bus, gate
        self._transmit = transmit
        self._epoch, self._auth = epoch if auth is None else auth.epoch, auth
        self._view = LineView(codec, line, wire, auth)
        self._flood = FloodWatch(codec, self._view.periods_s, line.control.cycle_s)
        transmitter = Transmitter(codec, auth)

        def outlet(telegram: Telegram, node: int = 0) -> Outlet | None:
            return transmitter.outlet(telegram, node) if transmit and codec.carries(telegram, node) else None

        self._lips, self._pump = transmitter.outlet(Telegram.DIE_COMMAND), transmitter.outlet(Telegram.PUMP_COMMAND)
        self._rearming, self._beating = outlet(Telegram.REARM), outlet(Telegram.HEARTBEAT, Node.CONTROLLER)
        self._own_ids = self._ids_sent()
        self._own_numbers = frozenset(can_id for can_id, _ in self._own_ids)
        self._echoes: deque[tuple[int, bytes]] = deque(maxlen=_ECHOES_KEPT)
        self._intruder_s = -np.inf
        self._reads_since_write = COMMAND_TIMEOUT_PERIODS + 1
        self._heartbeat_s = -np.inf
        self._send_fault: str | None = None
        self._heard_faults: list[str] = []
        self._told_sync_ns: int | None = None
        self._closed = False
        self.last_refusal: Refusal | None = None

    def read(self) -> LineInputs | None:
        """Drain the bus. None until the line has been heard completely once. Never raises for what is on the bus."""
        faults = self._drain()
        if self._heard_faults:
            faults, self._heard_faults = self._heard_faults + faults, []
        self._view.end_of_read()
        faults += self._flood.end_of_read()
        if self._auth is not None:
            faults += self._auth.end_of_read()
        for fault in (self._bus.fault(), self._send_fault):
            if fault is not None:
                faults.append(f"bus: {fault}")
        if self._view.now_s - self._intruder_s < _INTRUDER_SHOWN_S:
            faults.append("another controller commands this line")
        inputs = self._view.inputs(tuple(dict.fromkeys(faults)) if faults else ())
        self._reads_since_write += 1
        if inputs is not None:
            self._prime_gate(inputs)
            self._beat()
        return inputs

    def write(self, command: ActuatorCommand) -> bool:
        """Send a command. False when the gate refused it (see `last_refusal`); nothing was sent then.

        A bus that does not take the frames is no refusal: it shows in the next inputs' `link_faults`, and the nodes
        hold by themselves. In listen-only nothing is judged or sent, and nothing refused.
        """
        if not self._transmit:
            return True
        lips: dict[str, Value] = {"gap_um": command.gap_um}
        pump: dict[str, Value] = {
            "ratio_rpm_per_mps": command.pump_ratio_rpm_per_mps,
            "trim_pct": command.pump_trim_pct,
        }
        encoded: list[Outlet] = []
        frames: list[Frame] = []
        try:
            for outlet, fields in ((self._lips, lips), (self._pump, pump)):
                frames += outlet.frames(fields, command.valid_until_cycle)
                encoded.append(outlet)
            refusal = self._judge(frames)
        except WireError as error:
            refusal = Refusal(f"wire: {error}", -1, np.nan, np.nan)
        self.last_refusal = refusal
        if refusal is not None:
            for outlet in encoded:
                outlet.take_back()
            _LOG.warning("gate refused a command: %s", refusal)
            return False
        self._reads_since_write = 0
        self._send(frames)
        return True

    def rearm(self) -> None:
        """Ask latched nodes to accept commands again, and let go of a safe stop that we remember."""
        if self._rearming is not None:
            self._send(self._rearming.frames({"epoch": self._epoch}))
        self._view.safe_stop = False

    def listen(self, timeout_s: float) -> int | None:
        """Wait for a frame, at most `timeout_s` of wall time, and take in what is pending; line time of a new SYNC."""
        if self._bus.wait(timeout_s):
            self._heard_faults += self._drain()
        t_line_ns = self._view.sync_ns
        if t_line_ns is None or t_line_ns == self._told_sync_ns:
            return None
        self._told_sync_ns = t_line_ns
        return t_line_ns

    def health(self) -> dict[Telegram, LinkHealth]:
        """Health of every link, with counts of what was lost, repeated, corrupt or incomplete."""
        return self._view.health()

    def close(self) -> None:
        """Tell the others that this controller stops, and release the bus."""
        if self._closed:
            return
        self._closed = True
        self._heartbeat(HeartbeatState.STOPPED)
        self._bus.close()

    def _drain(self) -> list[str]:
        """Feed all pending frames to the view; returns what error frames said."""
        faults = []
        own, feed = self._own_numbers, self._view.feed
        frames = self._bus.receive()
        self._flood.see(frames)
        for frame in frames:
            if frame.is_error:
                faults.append(f"bus: {describe(frame)}")
            elif frame.can_id in own and (frame.can_id, frame.is_extended) in self._own_ids:
                self._meet_own_id(frame)
            else:
                feed(frame)
        return faults

    def _meet_own_id(self, frame: Frame) -> None:
        """Our own frame played back is nothing; one that we did not send is another controller."""
        if self._transmit and (frame.can_id, frame.data) not in self._echoes:
            self._intruder_s = self._view.now_s

    def _ids_sent(self) -> frozenset[tuple[int, bool]]:
        ids: set[tuple[int, bool]] = set()
        for telegram in (Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND, Telegram.REARM):
            if self._codec.carries(telegram):
                ids |= self._codec.can_ids(telegram)
        if self._codec.carries(Telegram.HEARTBEAT, Node.CONTROLLER):
            ids |= self._codec.can_ids(Telegram.HEARTBEAT, Node.CONTROLLER)
        return frozenset(ids)

    def _prime_gate(self, inputs: LineInputs) -> None:
        """While nobody commands, the gate's reference is what the nodes feed back: a take-over starts from there."""
        idle = self._reads_since_write > COMMAND_TIMEOUT_PERIODS
        if idle and inputs.pump_valid and np.isfinite(inputs.gap_um).all():
            self._gate.prime(inputs.gap_um, inputs.pump_ratio_rpm_per_mps, inputs.pump_trim_pct)

    def _judge(self, frames: list[Frame]) -> Refusal | None:
        """Read the encoded frames back and put what they say before the gate."""
        fields = self._codec.read_back(frames)
        if fields is None:
            return Refusal("own frame not readable", -1, np.nan, np.nan)
        return self._gate.admits(fields["gap_um"], float(fields["ratio_rpm_per_mps"]), float(fields["trim_pct"]))

    def _beat(self) -> None:
        """Our heartbeat, at its rate in line time."""
        now_s = self._view.now_s
        if self._transmit and (now_s - self._heartbeat_s >= HEARTBEAT_PERIOD_S - 1e-6 or now_s < self._heartbeat_s):
            self._heartbeat_s = now_s
            commanding = self._reads_since_write <= COMMAND_TIMEOUT_PERIODS
            self._heartbeat(HeartbeatState.OPERATIONAL if commanding else HeartbeatState.PRE_OPERATIONAL)

    def _heartbeat(self, state: HeartbeatState) -> None:
        if self._beating is None:
            return
        fields: dict[str, Value] = {"state": int(state), "epoch": self._epoch, "uptime_s": int(self._view.uptime_s)}
        self._send(self._beating.frames(fields))

    def _send(self, frames: list[Frame]) -> None:
        try:
            for frame in frames:
                self._echoes.append((frame.can_id, frame.data))
                self._bus.send(frame)
            self._send_fault = None
        except BusError as error:
            self._send_fault = str(error)
