"""Everything that a line's bus says, telegram by telegram, for whoever looks at it before a loop does. Never sends.

`evencoat listen` uses it. What a value is worth is judged by evencoat.listening; here only links are accounted for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from controller.line.description import LineDescription
from firmware_bridge.authentication import Authenticator
from firmware_bridge.codec import Codec
from firmware_bridge.contract import Node, Telegram, WireDescription
from firmware_bridge.frames import Frame
from firmware_bridge.health import LinkHealth, LinkState
from firmware_bridge.line_view import expected_periods_s
from firmware_bridge.link import Receiver

ASKED = frozenset({Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND, Telegram.REARM, Telegram.SAFE_STOP})  # nobody need


@dataclass
class Heard:
    """One telegram (heartbeats: of one node), with its newest fields, in field units.

    `times`: whole telegrams; `same`: how many arrays in a row were the last one again, to the bit. `first_s` and
    `last_s` in line time. expected_hz is None of what nobody need say.
    """

    telegram: Telegram
    node: int
    expected_hz: float | None
    times: int = 0
    same: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    fields: dict[str, Any] = field(default_factory=dict)
    link: LinkHealth | None = None

    @property
    def rate_hz(self) -> float:
        """How often it came in line time; 0 before it came twice."""
        return (self.times - 1) / (self.last_s - self.first_s) if self.times > 1 and self.last_s > self.first_s else 0.0

    @property
    def alive(self) -> bool:
        """Whether it comes as it should; what nobody need say is alive once it was heard."""
        return self.times > 0 and (self.link is None or self.link.state is LinkState.OK)


class BusWatch:
    """Feed it what a bus brings; it never answers. Line time is that of SYNC, and wall time where there is none."""

    def __init__(
        self, codec: Codec, line: LineDescription, wire: WireDescription, auth: Authenticator | None = None
    ) -> None:
        periods_s = expected_periods_s(codec, line, wire)
        self._receiver = Receiver(codec, frozenset(Telegram), periods_s, auth)
        self._now_s, self._offset_s = 0.0, 0.0
        self._on_sync = False
        self.frames = self.strange = self.errors = 0
        self._known = {
            (can_id, extended) for t in Telegram if codec.carries(t) for can_id, extended in codec.can_ids(t)
        }
        self.heard: dict[tuple[Telegram, int], Heard] = {}
        for telegram in Telegram:
            nodes = self._nodes(codec, line) if telegram is Telegram.HEARTBEAT else (0,)
            for node in nodes:
                if codec.carries(telegram, node):
                    period_s = periods_s.get(telegram)
                    expected_hz = None if period_s is None or telegram in ASKED else 1.0 / period_s
                    self.heard[telegram, node] = Heard(telegram, node, expected_hz)
        self.first: dict[str, tuple[float, float]] = {}  # of SYNC: wall time and web at its first telegram
        self.sync_wall_s = 0.0

    @property
    def now_s(self) -> float:
        """Line time, s."""
        return self._now_s

    def feed(self, frames: Sequence[Frame], wall_s: float) -> None:
        """Take in what came by `wall_s`, seconds of any clock that runs on."""
        if not self._on_sync:
            self._now_s = wall_s
        for frame in frames:
            self.frames += 1
            self.errors += frame.is_error
            self.strange += not frame.is_error and (frame.can_id, frame.is_extended) not in self._known
            message = self._receiver.feed(frame, self._now_s)
            if message is None:
                continue
            if message.telegram is Telegram.SYNC:
                self._take_sync(message.fields, wall_s)
            node = message.node if message.telegram is Telegram.HEARTBEAT else 0
            heard = self.heard.setdefault((message.telegram, node), Heard(message.telegram, node, None))
            self._keep(heard, message.fields)

    def look(self) -> list[Heard]:
        """Every telegram with the health of its link as it is now."""
        links, beats = self._receiver.health(self._now_s), self._receiver.heartbeats(self._now_s)
        for (telegram, node), heard in self.heard.items():
            heard.link = beats.get(node) if telegram is Telegram.HEARTBEAT else links.get(telegram)
            if heard.expected_hz is None and heard.link is not None and heard.link.state is LinkState.NEVER_SEEN:
                heard.link = None
        return list(self.heard.values())

    def _take_sync(self, fields: dict[str, Any], wall_s: float) -> None:
        t_s = float(fields["t_us"]) * 1e-6
        if not self._on_sync:  # what came before has wall times: they begin anew
            self._on_sync = True
            for heard in self.heard.values():
                heard.times = 0
            self.first["sync"] = (wall_s, t_s)
            self.first["web"] = (t_s, float(fields["web_m"]))
        self._now_s, self.sync_wall_s = t_s, wall_s
        self._receiver.restamp(Telegram.SYNC, t_s)

    def _keep(self, heard: Heard, fields: dict[str, Any]) -> None:
        heard.times += 1
        heard.first_s = self._now_s if heard.times == 1 else heard.first_s
        heard.last_s = self._now_s
        arrays = [name for name, value in fields.items() if isinstance(value, np.ndarray)]
        repeats = bool(arrays) and all(fields[name] is heard.fields.get(name) for name in arrays)
        heard.same = heard.same + 1 if repeats else 0
        heard.fields = fields

    @staticmethod
    def _nodes(codec: Codec, line: LineDescription) -> tuple[int, ...]:
        gone = {Node.CONTROLLER}
        gone |= set() if line.wet_gauge else {Node.WET_GAUGE}
        gone |= set() if line.dry_gauge else {Node.DRY_GAUGE}
        return tuple(int(node) for node in Node if node not in gone)
