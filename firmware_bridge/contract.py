"""The contract's words: telegrams, their fields and units, nodes, time-outs, and how a line's DBC is described.

No message or signal of any DBC is known here by name except through DEFAULT_MAP, which fits the shipped line.dbc and
which a line file overrides ([bus.map]). Everyone on the bus may import it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, IntFlag, StrEnum
from pathlib import Path
from types import MappingProxyType

from controller.line.profile import LineState

SHIPPED_DBC = Path(__file__).with_name("line.dbc")
AUTHENTICATED_DBC = Path(__file__).with_name("line_auth.dbc")  # the same with room for freshness and MAC

COMMAND_TIMEOUT_PERIODS = 3  # a node holds after so many command periods of silence
LATCH_AFTER_S = 2.0  # a node that held so long waits for REARM
SILENT_AFTER_PERIODS = 3  # a link without news for so many periods is silent
MAX_COUNTER_JUMP = 2  # largest step of an 8-bit counter that still counts as in sequence: one frame may be lost
WRONG_CRC_BUDGET = 5  # so many wrong CRCs make a link faulty
DISORDER_BUDGET = 5  # so many telegrams out of sequence or repeated do too
BABBLE_FACTOR = 10  # a node that sends so many times what it should is told
HEARTBEAT_PERIOD_S = 0.1
LINE_STATE_PERIOD_S = 0.1
DIE_STATUS_PERIOD_S = 0.2


class WireError(ValueError):
    """Map, DBC and line do not fit together. The text names the role, the signal and what was expected."""


class WireRangeError(WireError):
    """A value does not fit its signal. The text names field, value and bound; nothing was encoded."""


class Telegram(StrEnum):
    """What nodes tell each other, whatever messages of a DBC carry it."""

    SYNC = "sync"
    LINE_STATE = "line_state"
    PUMP_COMMAND = "pump_command"
    PUMP_FEEDBACK = "pump_feedback"
    DIE_COMMAND = "die_command"
    DIE_FEEDBACK = "die_feedback"
    DIE_STATUS = "die_status"
    WET_PROFILE = "wet_profile"
    WET_META = "wet_meta"
    DRY_PROFILE = "dry_profile"
    DRY_META = "dry_meta"
    SAFE_STOP = "safe_stop"
    REARM = "rearm"
    HEARTBEAT = "heartbeat"


class Node(IntEnum):
    """Who sits on the bus; heartbeats have one message a node."""

    CONTROLLER = 1
    DIE = 2
    PUMP = 3
    WET_GAUGE = 4
    DRY_GAUGE = 5
    ENCODER = 6


class NodeState(IntEnum):
    """What an actuator node does with commands."""

    OPERATING = 0
    HOLDING = 1  # no fresh command: it holds by itself, and follows again when commands return
    LATCHED = 2  # held too long: it waits for REARM


class HeartbeatState(IntEnum):
    """CANopen's NMT states (CiA 301). A latched node says STOPPED."""

    BOOT = 0
    STOPPED = 4
    OPERATIONAL = 5
    PRE_OPERATIONAL = 127


class ZoneStatus(IntFlag):
    """Four bits a zone in DIE_STATUS."""

    NONE = 0
    READY = 1
    AT_LIMIT = 2
    FAULT = 4
    STALE = 8


class ScanDirection(IntEnum):
    """How a gauge's head moved while it took the profile."""

    ARRAY = 0  # a fixed array: all boxes at once
    FORWARD = 1
    BACKWARD = 2


class Integrity(StrEnum):
    """How a frame proves itself. A CRC is not security: it stops noise, not people."""

    CRC16 = "crc16"  # AUTOSAR E2E profile 5 form: CRC-16/CCITT-FALSE over the frame and its data id
    CRC8 = "crc8"  # SAE J1850 over data id and frame, for classic CAN: finds up to two flipped bits for sure, not three
    NONE = "none"


class Axis(Enum):
    """What a field's index counts."""

    SCALAR = "scalar"
    ZONES = "zones"
    WET_BOXES = "wet boxes"
    DRY_BOXES = "dry boxes"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a telegram. `unit` is the unit of the values in the dicts that the codec takes and gives.

    `labels` names the values of an enumeration, so that a DBC with a value table of its own numbers is translated.
    A field that is not `required` may be missing from a DBC; receivers then do without it. A sender may leave it out
    too, if its `default` is a number.
    """

    name: str
    unit: str = ""
    axis: Axis = Axis.SCALAR
    is_integer: bool = False
    required: bool = True
    default: float = 0
    labels: Mapping[str, int] | None = None


def _labels(states: type[IntEnum]) -> Mapping[str, int]:
    return MappingProxyType({state.name: int(state) for state in states})


_NAN = float("nan")
_META = (
    Field("boxes", is_integer=True),
    Field("edge_left_mm", "mm", required=False, default=_NAN),
    Field("edge_right_mm", "mm", required=False, default=_NAN),
    Field("direction", is_integer=True, required=False, labels=_labels(ScanDirection)),
    Field("quality", "%", required=False, default=100),
    Field("t_us", "us", is_integer=True),
    Field("web_m", "m"),
)

FIELDS: Mapping[Telegram, tuple[Field, ...]] = MappingProxyType(
    {
        Telegram.SYNC: (
            Field("t_us", "us", is_integer=True),
            Field("web_speed_mps", "m/s"),
            Field("web_m", "m"),
            Field("encoder_valid", is_integer=True, required=False, default=1),
        ),
        Telegram.LINE_STATE: (
            Field("state", is_integer=True, labels=_labels(LineState)),
            Field("roll", is_integer=True, required=False),
            Field("batch", is_integer=True, required=False),
        ),
        Telegram.PUMP_COMMAND: (Field("ratio_rpm_per_mps", "rpm/(m/s)"), Field("trim_pct", "%")),
        Telegram.PUMP_FEEDBACK: (
            Field("ratio_rpm_per_mps", "rpm/(m/s)"),
            Field("trim_pct", "%"),
            Field("speed_rpm", "rpm", required=False, default=_NAN),
            Field("pressure_kpa", "kPa", required=False, default=_NAN),
            Field("temperature_c", "degC", required=False, default=_NAN),
            Field("node_state", is_integer=True, required=False, labels=_labels(NodeState)),
        ),
        Telegram.DIE_COMMAND: (Field("gap_um", "um", Axis.ZONES),),
        Telegram.DIE_FEEDBACK: (Field("gap_um", "um", Axis.ZONES),),
        Telegram.DIE_STATUS: (Field("zone_status", axis=Axis.ZONES, is_integer=True),),
        Telegram.WET_PROFILE: (Field("film_um", "um", Axis.WET_BOXES),),
        Telegram.WET_META: _META,
        Telegram.DRY_PROFILE: (Field("areal_density_gsm", "g/m2", Axis.DRY_BOXES),),
        Telegram.DRY_META: _META,
        Telegram.SAFE_STOP: (
            Field("reason", is_integer=True, required=False),
            Field("epoch", is_integer=True, required=False),
        ),
        Telegram.REARM: (Field("epoch", is_integer=True, required=False),),
        Telegram.HEARTBEAT: (
            Field("state", is_integer=True, labels=_labels(HeartbeatState)),
            Field("epoch", is_integer=True, required=False),
            Field("uptime_s", "s", required=False),
        ),
    }
)

OPTIONAL_TELEGRAMS = frozenset(
    {
        Telegram.DIE_STATUS,
        Telegram.WET_META,
        Telegram.DRY_META,
        Telegram.SAFE_STOP,
        Telegram.REARM,
        Telegram.HEARTBEAT,
    }
)

HEADER_ROLES = (
    "crc",
    "counter",
    "segment",
    "scan_id",
    "node",
    "freshness",
    "mac",
)  # looked up inside a telegram's own messages

DEFAULT_MAP: Mapping[str, str] = MappingProxyType(
    {
        "*.crc": "Crc",
        "*.counter": "Counter",
        "*.segment": "Segment",
        "*.scan_id": "ScanId",
        "*.node": "Sender",
        "*.freshness": "Freshness",
        "*.mac": "Mac",
        "sync.t_us": "SyncTime",
        "sync.web_speed_mps": "WebSpeed",
        "sync.web_m": "WebPosition",
        "sync.encoder_valid": "EncoderValid",
        "line_state.state": "LineState",
        "line_state.roll": "RollNumber",
        "line_state.batch": "BatchNumber",
        "pump_command.ratio_rpm_per_mps": "PumpRatioTarget",
        "pump_command.trim_pct": "PumpTrimTarget",
        "pump_feedback.ratio_rpm_per_mps": "PumpRatio",
        "pump_feedback.trim_pct": "PumpTrim",
        "pump_feedback.speed_rpm": "PumpSpeed",
        "pump_feedback.pressure_kpa": "PumpPressure",
        "pump_feedback.temperature_c": "SlurryTemperature",
        "pump_feedback.node_state": "PumpNodeState",
        "die_command.gap_um": "GapTarget_{i:03d}",
        "die_feedback.gap_um": "GapPosition_{i:03d}",
        "die_status.zone_status": "ZoneStatus_{i:03d}",
        "wet_profile.film_um": "WetFilm_{i:03d}",
        "wet_meta.boxes": "WetBoxes",
        "wet_meta.edge_left_mm": "WetEdgeLeft",
        "wet_meta.edge_right_mm": "WetEdgeRight",
        "wet_meta.direction": "WetDirection",
        "wet_meta.quality": "WetQuality",
        "wet_meta.t_us": "WetTime",
        "wet_meta.web_m": "WetWebPosition",
        "dry_profile.areal_density_gsm": "DryArealDensity_{i:03d}",
        "dry_meta.boxes": "DryBoxes",
        "dry_meta.edge_left_mm": "DryEdgeLeft",
        "dry_meta.edge_right_mm": "DryEdgeRight",
        "dry_meta.direction": "DryDirection",
        "dry_meta.quality": "DryQuality",
        "dry_meta.t_us": "DryTime",
        "dry_meta.web_m": "DryWebPosition",
        "safe_stop.reason": "SafeStopReason",
        "safe_stop.epoch": "SafeStopEpoch",
        "rearm.epoch": "RearmEpoch",
        "heartbeat.state": "HeartbeatState_{node}",
        "heartbeat.epoch": "HeartbeatEpoch_{node}",
        "heartbeat.uptime_s": "HeartbeatUptime_{node}",
    }
)


@dataclass(frozen=True, slots=True)
class AuthDescription:
    """[bus.auth]: where a line's keys are, and which of them signs (None: the newest whose time has come)."""

    key_file: Path
    key_id: int | None = None


@dataclass(frozen=True, slots=True)
class WireDescription:
    """One line's bus as its settings file describes it ([bus], [bus.options], [bus.map]).

    `signal_map` maps roles to signal names of the DBC and overrides DEFAULT_MAP role by role. In a name, `{i}` is the
    zone or box counted from 0, `{n}` the same from 1, `{node}` the node number; format specs work (`{i:03d}`), and
    `Message.Signal` names one of several signals of the same name. An empty name leaves a role out. `data_ids` gives
    a message's data id in the CRC where it is not the CAN id itself.
    """

    interface: str = "evencoat"
    channel: str = "/tmp/evencoat.sock"
    fd: bool = True
    bitrate: int = 500_000
    data_bitrate: int = 2_000_000
    options: Mapping[str, object] = field(default_factory=dict)
    dbc_path: Path | None = None  # None: the shipped one
    signal_map: Mapping[str, str] = field(default_factory=dict)
    integrity: Integrity = Integrity.CRC16
    data_ids: Mapping[str, int] = field(default_factory=dict)
    max_load_pct: float = 50.0
    sync_period_s: float = 0.1
    auth: AuthDescription | None = None  # None: nothing is authenticated

    @property
    def dbc(self) -> Path:
        """The DBC in force: the line's own, or the shipped one for a bus with or without authentication."""
        return self.dbc_path or (SHIPPED_DBC if self.auth is None else AUTHENTICATED_DBC)


def cycles_ahead(cycle: int, now: int) -> int:
    """How many SYNC cycles `cycle` lies ahead of `now` (negative: it has passed), across the wrap of 32 bits."""
    return (cycle - now + 0x8000_0000) % 0x1_0000_0000 - 0x8000_0000
