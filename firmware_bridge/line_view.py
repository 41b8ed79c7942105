"""What the bus has told of the line so far, as the controller's LineInputs. Only bridge.py and watch.py import it.

All times are line time: the newest SYNC says how late it is. When SYNC itself falls silent, line time runs on by one
control cycle a read, because the loop that reads is paced in line time too. No clock of the machine is asked, so a
line in lockstep and a real one look alike, and the same frames give the same inputs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from controller.line.description import Array, BoolArray, LineDescription
from controller.line.profile import DryScan, LineInputs, LineState, WetScan
from firmware_bridge.authentication import Authenticator
from firmware_bridge.codec import Codec
from firmware_bridge.contract import (
    DIE_STATUS_PERIOD_S,
    HEARTBEAT_PERIOD_S,
    LINE_STATE_PERIOD_S,
    SILENT_AFTER_PERIODS,
    HeartbeatState,
    Node,
    NodeState,
    ScanDirection,
    Telegram,
    WireDescription,
    ZoneStatus,
)
from firmware_bridge.frames import Frame
from firmware_bridge.health import LinkHealth, LinkState
from firmware_bridge.link import Message, Receiver

Fields = Mapping[str, Any]  # numbers, and of array fields arrays: the codec decides by field, so that nobody need ask

_LISTENS = frozenset(Telegram) - {Telegram.DIE_COMMAND, Telegram.PUMP_COMMAND, Telegram.REARM}
_NEEDED = (Telegram.SYNC, Telegram.LINE_STATE, Telegram.DIE_FEEDBACK, Telegram.PUMP_FEEDBACK)
_NEW_TIME_BASE_S = 1.0  # line time that falls back by more means that the encoder node has restarted
_WEB_HISTORY = 256  # SYNCs remembered to place scans that come without a meta telegram
_DIE, _PUMP = int(Node.DIE), int(Node.PUMP)
_TURNS = {int(ScanDirection.FORWARD): 1, int(ScanDirection.BACKWARD): -1}
_STOPPED, _LATCHED = int(HeartbeatState.STOPPED), int(NodeState.LATCHED)
_PROFILES = {Telegram.WET_PROFILE: "film_um", Telegram.DRY_PROFILE: "areal_density_gsm"}
_METAS = {Telegram.WET_PROFILE: Telegram.WET_META, Telegram.DRY_PROFILE: Telegram.DRY_META}
_SYNC, _LINE_STATE, _PUMP_FEEDBACK, _WET_PROFILE = (  # asked for in every cycle; to look a member up takes its time
    Telegram.SYNC,
    Telegram.LINE_STATE,
    Telegram.PUMP_FEEDBACK,
    Telegram.WET_PROFILE,
)
_NAN = math.nan
_LINE_STATES: Mapping[float, LineState] = {int(state): state for state in LineState}


class _PumpTold(NamedTuple):
    """What the pump's node last said; NaN for what it did not say."""

    ratio_rpm_per_mps: float
    trim_pct: float
    speed_rpm: float
    pressure_kpa: float
    temperature_c: float
    finite: bool
    latched: bool

    @classmethod
    def of(cls, fields: Fields) -> _PumpTold:
        told = fields.get
        ratio, trim = told("ratio_rpm_per_mps", _NAN), told("trim_pct", _NAN)
        return cls(
            ratio,
            trim,
            told("speed_rpm", _NAN),
            told("pressure_kpa", _NAN),
            told("temperature_c", _NAN),
            math.isfinite(ratio + trim),
            told("node_state", 0) == _LATCHED,
        )


def expected_periods_s(codec: Codec, line: LineDescription, wire: WireDescription) -> dict[Telegram, float]:
    """How often each telegram of the line's nodes shall come, s; of those that the wire carries."""
    wet, dry = line.wet_gauge, line.dry_gauge
    periods_s = {
        Telegram.SYNC: wire.sync_period_s,
        Telegram.LINE_STATE: LINE_STATE_PERIOD_S,
        Telegram.PUMP_FEEDBACK: line.control.cycle_s,
        Telegram.DIE_FEEDBACK: line.control.cycle_s,
        Telegram.DIE_STATUS: DIE_STATUS_PERIOD_S,
        Telegram.HEARTBEAT: HEARTBEAT_PERIOD_S,
    }
    if wet is not None:
        periods_s |= {Telegram.WET_PROFILE: wet.period_s, Telegram.WET_META: wet.period_s}
    if dry is not None:
        periods_s |= {Telegram.DRY_PROFILE: dry.period_s, Telegram.DRY_META: dry.period_s}
    return {telegram: period_s for telegram, period_s in periods_s.items() if codec.carries(telegram)}


class LineView:
    """Feeds on frames, answers with LineInputs."""

    def __init__(
        self, codec: Codec, line: LineDescription, wire: WireDescription, auth: Authenticator | None = None
    ) -> None:
        self._codec, self._auth = codec, auth
        self._line = line
        self._wire = wire
        self._cycle_s = line.control.cycle_s
        self._carried = frozenset(telegram for telegram in Telegram if codec.carries(telegram))
        self.now_s = 0.0
        self.safe_stop = False
        self._takers: Mapping[Telegram, Callable[[Message], None]] = {
            Telegram.SYNC: self._take_sync,
            Telegram.LINE_STATE: self._take_line_state,
            Telegram.PUMP_FEEDBACK: self._take_pump,
            Telegram.DIE_FEEDBACK: self._take_positions,
            Telegram.DIE_STATUS: self._take_status,
            Telegram.WET_PROFILE: self._take_profile,
            Telegram.DRY_PROFILE: self._take_profile,
            Telegram.WET_META: self._take_meta,
            Telegram.DRY_META: self._take_meta,
            Telegram.HEARTBEAT: self._take_heartbeat,
            Telegram.SAFE_STOP: self._take_safe_stop,
        }
        self._start()

    def _start(self) -> None:
        """Forget everything of an earlier time base."""
        self.periods_s = expected_periods_s(self._codec, self._line, self._wire)
        self._receiver = Receiver(self._codec, _LISTENS, self.periods_s, self._auth)
        self._unheard = set(_NEEDED)
        self._sync: Message | None = None
        self._first_s = 0.0
        self._reads_without_sync = 0
        self._fresh_sync = False
        self._web: deque[tuple[float, float]] = deque(maxlen=_WEB_HISTORY)
        self._gap_um: Array = np.full(self._line.zones, np.nan)
        self._fed_back: BoolArray = np.zeros(self._line.zones, dtype=np.bool_)
        self._zone_good: BoolArray = np.ones(self._line.zones, dtype=np.bool_)
        self._seen = self._fed_back  # and good
        self._told_um: Array | None = None  # the newest positions and status, as they came in
        self._status: Array | None = None
        self._node_states: dict[int, int] = {}
        self._waiting: dict[Telegram, tuple[Message, float]] = {}
        self._metas: dict[Telegram, Message] = {}
        self._wet: WetScan | None = None
        self._dry: DryScan | None = None
        self._misfit: dict[Telegram, str] = {}
        self._told: dict[Telegram, Array] = {}  # newest values of each profile
        self._encoder = (math.nan, math.nan, False)  # speed, m/s; web, m; valid
        self._line_told = (LineState.STOPPED, 0, 0)  # state, roll, batch
        self._pump = _PumpTold.of({})
        self._any_stopped = False

    def feed(self, frame: Frame) -> None:
        """Take one frame in."""
        message = self._receiver.feed(frame, self.now_s)
        if message is None:
            return
        take = self._takers.get(message.telegram)
        if take is not None:
            take(message)
        if self._unheard:
            self._unheard.discard(message.telegram)

    def end_of_read(self) -> None:
        """All that was pending is in: let line time run on if SYNC has stayed away for too long."""
        if self._sync is None:
            return
        self._reads_without_sync = 0 if self._fresh_sync else self._reads_without_sync + 1
        self._fresh_sync = False
        age_s = self._reads_without_sync * self._cycle_s
        if self._reads_without_sync >= SILENT_AFTER_PERIODS and age_s > SILENT_AFTER_PERIODS * self._wire.sync_period_s:
            self.now_s = float(self._sync.fields["t_us"]) * 1e-6 + age_s

    def inputs(self, more_faults: tuple[str, ...] = ()) -> LineInputs | None:
        """One cycle's inputs, or None until the line has been heard completely once. Scans are handed out once."""
        sync = self._sync
        if sync is None or self._unheard:
            return None
        troubled = self._receiver.troubled(self.now_s)
        pump, (line_state, roll, batch) = self._pump, self._line_told
        speed_mps, web_m, encoder = self._encoder
        wet, self._wet = self._wet, None
        dry, self._dry = self._dry, None
        return LineInputs(
            t_line_ns=round(self.now_s * 1e6) * 1000,
            sync_cycle=sync.scan_id,
            web_m=web_m,
            web_speed_mps=speed_mps,
            encoder_valid=encoder and _SYNC not in troubled,
            line_state=LineState.STOPPED if _LINE_STATE in troubled else line_state,
            roll=roll,
            batch=batch,
            gap_um=self._gap_um,
            gap_valid=self._gap_valid(troubled) if troubled else self._seen,
            pump_ratio_rpm_per_mps=pump.ratio_rpm_per_mps,
            pump_trim_pct=pump.trim_pct,
            pump_speed_rpm=pump.speed_rpm,
            pump_pressure_kpa=pump.pressure_kpa,
            slurry_temperature_c=pump.temperature_c,
            pump_valid=pump.finite and _PUMP_FEEDBACK not in troubled,
            wet=wet,
            dry=dry,
            nodes_latched=pump.latched or self._any_stopped,
            safe_stop=self.safe_stop,
            link_faults=self._link_faults(troubled) + more_faults,
        )

    @property
    def sync_ns(self) -> int | None:
        """Line time that the newest SYNC said, ns."""
        return None if self._sync is None else int(self._sync.fields["t_us"]) * 1000

    @property
    def uptime_s(self) -> float:
        """Line time since the first SYNC was heard."""
        return self.now_s - self._first_s

    def health(self) -> dict[Telegram, LinkHealth]:
        """Health of every link that this line has, for reports."""
        return {
            telegram: h for telegram, h in self._receiver.health(self.now_s).items() if self._codec.carries(telegram)
        }

    def _take_sync(self, message: Message) -> None:
        t_s = float(message.fields["t_us"]) * 1e-6
        if self._sync is not None and t_s < self.now_s - _NEW_TIME_BASE_S:
            self._start()
        if self._sync is None:
            self._first_s = t_s
        self._sync = message
        fields: Fields = message.fields
        speed_mps, web_m = fields["web_speed_mps"], fields["web_m"]
        good = fields.get("encoder_valid", 1) > 0 and math.isfinite(speed_mps + web_m)
        self._encoder = speed_mps, web_m, good
        self._fresh_sync = True
        self.now_s = t_s
        self._receiver.restamp(_SYNC, t_s)
        self._web.append((t_s, web_m))

    def _take_line_state(self, message: Message) -> None:
        fields: Fields = message.fields
        state = _LINE_STATES.get(fields["state"], LineState.STOPPED)  # one that we do not know is stopped
        self._line_told = state, int(fields.get("roll", 0)), int(fields.get("batch", 0))

    def _take_pump(self, message: Message) -> None:
        self._pump = _PumpTold.of(message.fields)

    def _take_positions(self, message: Message) -> None:
        gap_um = np.asarray(message.fields["gap_um"])
        if gap_um is not self._told_um:  # the receiver hands out the same array for the same positions
            self._told_um, self._fed_back = gap_um, np.isfinite(gap_um)
            self._gap_um = gap_um if self._fed_back.all() else np.where(self._fed_back, gap_um, self._gap_um)
            self._seen = self._fed_back & self._zone_good

    def _take_status(self, message: Message) -> None:
        status = np.asarray(message.fields["zone_status"])
        if status is not self._status:
            self._status = status
            flags = np.where(np.isnan(status), 0.0, status).astype(np.int64)
            self._zone_good = (flags & int(ZoneStatus.FAULT | ZoneStatus.STALE)) == 0
            self._seen = self._fed_back & self._zone_good

    def _take_heartbeat(self, message: Message) -> None:
        state, states = message.fields["state"], self._node_states
        if states.get(message.node) != state:
            states[message.node] = int(state)
            self._any_stopped = _STOPPED in (states.get(_DIE), states.get(_PUMP))

    def _take_safe_stop(self, message: Message) -> None:
        self.safe_stop = True

    def _take_profile(self, message: Message) -> None:
        """A complete profile waits for its meta telegram; on a wire without one it is placed by SYNC."""
        meta_telegram = _METAS[message.telegram]
        if meta_telegram not in self._carried:
            self._misfit.pop(message.telegram, None)
            self._take_scan(message, message.t_s * 1e6, self._web_at(message.t_s))
            return
        meta = self._metas.pop(meta_telegram, None)
        if meta is not None and meta.scan_id == message.scan_id:
            self._place(message, meta)
        else:
            self._waiting[meta_telegram] = (message, self.now_s)

    def _take_meta(self, meta: Message) -> None:
        waiting = self._waiting.pop(meta.telegram, None)
        if waiting is not None and waiting[0].scan_id == meta.scan_id:
            self._place(waiting[0], meta)
        else:
            self._metas[meta.telegram] = meta

    def _place(self, message: Message, meta: Message) -> None:
        """Join a profile with its meta telegram. A gauge that counts other boxes than the line file is not believed."""
        values = np.asarray(message.fields[_PROFILES[message.telegram]])
        fields: Fields = meta.fields
        boxes = int(fields["boxes"])
        if boxes != values.size:
            self._misfit[message.telegram] = f"{_plain(message.telegram)}: {boxes} boxes, expected {values.size}"
            return
        self._misfit.pop(message.telegram, None)
        self._take_scan(message, fields["t_us"], fields["web_m"], _TURNS.get(int(fields.get("direction", 0)), 0))

    def _take_scan(self, message: Message, t_us: float, web_m: float, direction: int = 0) -> None:
        telegram, t_ns = message.telegram, round(t_us) * 1000
        values = np.asarray(message.fields[_PROFILES[telegram]])
        if self._is_frozen(telegram, values):
            return
        if telegram is _WET_PROFILE:
            self._wet = WetScan(message.scan_id, t_ns, web_m, np.isfinite(values), values)
        else:
            self._dry = DryScan(message.scan_id, t_ns, web_m, np.isfinite(values), values, direction)

    def _is_frozen(self, telegram: Telegram, values: Array) -> bool:
        """Whether a gauge repeats a profile to the last bit. None that still looks at a web does: it counts as silent.

        Bare foil may read nothing in all boxes again and again.
        """
        last, self._told[telegram] = self._told.get(telegram), values
        if values is not last:  # the same bytes come as the same array
            return False
        seen = values[np.isfinite(values)]
        frozen = seen.size > 0 and seen.min() < seen.max()
        if frozen:
            self._misfit[telegram] = f"{_plain(telegram)}: repeats itself to the last bit, taken as silent"
        return bool(frozen)

    def _web_at(self, t_s: float) -> float:
        """Web position of the newest SYNC at or before `t_s`."""
        for sync_s, web_m in reversed(self._web):
            if sync_s <= t_s:
                return web_m
        return self._web[0][1] if self._web else float("nan")

    def _gap_valid(self, troubled: Collection[Telegram]) -> BoolArray:
        if Telegram.DIE_FEEDBACK in troubled:
            return np.zeros_like(self._fed_back)
        return self._fed_back if Telegram.DIE_STATUS in troubled else self._seen

    def _link_faults(self, troubled: Mapping[Telegram, LinkState]) -> tuple[str, ...]:
        beats = self._receiver.troubled_heartbeats(self.now_s)
        if not (troubled or beats or self._misfit):
            return ()
        faults = []
        for telegram, link in troubled.items():
            patience_s = SILENT_AFTER_PERIODS * self.periods_s[telegram]
            starting = link is LinkState.NEVER_SEEN and self.now_s - self._first_s <= patience_s
            if telegram is not Telegram.HEARTBEAT and not starting:
                faults.append(f"{_plain(telegram)}: {_worth(link, self._receiver.health(self.now_s)[telegram])}")
        for node, link in beats.items():
            name = Node(node).name.lower().replace("_", " ") if node in set(Node) else f"node {node}"
            faults.append(f"heartbeat of {name}: {_worth(link, self._receiver.heartbeats(self.now_s)[node])}")
        return (*faults, *self._misfit.values())


def _worth(link: LinkState, health: LinkHealth) -> str:
    """A link's state in words; of a faulty one also which errors made it so."""
    return f"{link} ({health.verdict})" if link is LinkState.FAULTY else str(link)


def _plain(telegram: Telegram) -> str:
    return telegram.replace("_", " ")
