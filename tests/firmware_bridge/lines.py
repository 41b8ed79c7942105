"""A line on a memory bus that a test drives by hand: it sends what it is told, and keeps what it hears."""

from __future__ import annotations

from typing import Any

import numpy as np

from controller.line.command import ActuatorCommand
from controller.line.description import LineDescription
from firmware_bridge.bridge import CanLinePort
from firmware_bridge.bus_memory import MemoryHub
from firmware_bridge.codec import Codec
from firmware_bridge.contract import Telegram, WireDescription
from firmware_bridge.link import Message, Receiver, Transmitter
from firmware_bridge.tx_gate import Gate, GateTable
from tests.factories import make_line
from tests.firmware_bridge.wires import FOREIGN, foreign_codec, shipped_codec

ZONES, BOXES = 8, 16
RATIO = 112.0
GATE = GateTable(479.9, 720.1, 0.6, 50.1, 70.1, 95.0, 124.0, 8.001, 0.051)
CYCLE_S = 0.1


class HandLine:
    """Nodes of a line in a test's hand, and a port that listens to them.

    `tick()` sends one cycle of everything a healthy line says; keyword arguments change or leave out (None) telegrams.
    """

    def __init__(
        self, wire: WireDescription | None = None, transmit: bool = True, line: LineDescription | None = None
    ) -> None:
        self.line = line or make_line(ZONES)
        self.wire = wire or WireDescription()
        zones, boxes = self.line.zones, 2 * self.line.zones
        self.codec = self._codec(wire, zones, boxes)
        self.hub = MemoryHub()
        self.bus = self.hub.attach()
        self.port_bus = self.hub.attach()
        self.port = CanLinePort(self.codec, self.port_bus, Gate(GATE), self.line, self.wire, transmit, epoch=9)
        self.transmitter = Transmitter(self.codec)
        self.receiver = Receiver(self.codec, list(Telegram), {})
        self.cycle = 0
        self.gap_um = np.full(zones, 600.0)

    def _codec(self, wire: WireDescription | None, zones: int, boxes: int) -> Codec:
        """Parsing a DBC takes a while: the two usual ones are compiled once for all tests."""
        if wire is None:
            return shipped_codec(zones, boxes, boxes)
        return foreign_codec() if wire is FOREIGN else Codec.compile(wire, zones, boxes, boxes)

    def healthy(self) -> dict[Telegram, dict[str, Any]]:
        boxes, now_s = 2 * self.line.zones, self.cycle * CYCLE_S
        meta = {
            "boxes": boxes,
            "edge_left_mm": -100.0,
            "edge_right_mm": 100.0,
            "t_us": round(now_s * 1e6) - 20_000,  # the gauge looked 20 ms before the SYNC, at 1 m/s
            "web_m": now_s - 0.02,
        }
        said: dict[Telegram, dict[str, Any]] = {
            Telegram.SYNC: {"t_us": round(now_s * 1e6), "web_speed_mps": 1.0, "web_m": now_s, "encoder_valid": 1},
            Telegram.LINE_STATE: {"state": 1, "roll": 3, "batch": 4},
            Telegram.PUMP_FEEDBACK: {
                "ratio_rpm_per_mps": RATIO,
                "trim_pct": 0.0,
                "speed_rpm": 112.0,
                "pressure_kpa": 85.0,
                "temperature_c": 23.5,
                "node_state": 0,
            },
            Telegram.DIE_FEEDBACK: {"gap_um": self.gap_um},
            Telegram.DIE_STATUS: {"zone_status": np.ones(self.line.zones)},
            Telegram.WET_PROFILE: {"film_um": np.full(boxes, 180.0)},
            Telegram.WET_META: meta,
            Telegram.DRY_PROFILE: {"areal_density_gsm": np.full(boxes, 181.0)},
            Telegram.DRY_META: meta,
        }
        return {telegram: fields for telegram, fields in said.items() if self.codec.carries(telegram)}

    def tick(self, **changes: dict[str, Any] | None) -> None:
        """One cycle passes on the line: everything is said, except what `changes` changes or silences."""
        self.cycle += 1
        for telegram, fields in self.healthy().items():
            change = changes.get(str(telegram), {})
            if change is not None:
                self.say(telegram, fields | change)

    def say(self, telegram: Telegram, fields: dict[str, Any], node: int = 0) -> None:
        for frame in self.transmitter.frames(telegram, fields, self.cycle, node):
            self.bus.send(frame)

    def heard(self) -> list[Message]:
        """Complete telegrams that the port has sent since the last call."""
        messages = (self.receiver.feed(frame, 0.0) for frame in self.bus.receive())
        return [message for message in messages if message is not None]

    def command(self, gap_um: Any = 600.0, ratio: float = RATIO, trim: float = 0.0) -> ActuatorCommand:
        gap = np.full(self.line.zones, gap_um) if np.isscalar(gap_um) else np.asarray(gap_um)
        return ActuatorCommand(gap, ratio, trim, self.cycle + 3)
