"""What is asked: uncertified and certified commands, modes, outcomes, and an operator's request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.line.description import Array, BoolArray


class Mode(StrEnum):
    """Who moves the actuators."""

    MANUAL = "manual"  # the operator's targets, through the envelope; the law tracks
    HOLD = "hold"  # last applied positions, and the pump's last ratio to web speed
    ADVISORY = "advisory"  # computes and shows what it would do, sends nothing
    AUTO = "auto"  # the law's targets, through the envelope


class Outcome(StrEnum):
    """Why the actual mode is what it is. Each value is a sentence for the person at the line."""

    OK = "running as requested"
    START_UP = "started: holding the fed-back positions until told otherwise"
    LINE_STOPPED = "the line is not running: lips hold, the pump keeps its ratio to web speed"
    ENCODER_LOST = "web speed is not valid: holding"
    GAUGE_STALE = "no fresh scan from the gauge that closes the loop: holding"
    GAUGE_INVALID = "too few valid boxes in the scan: holding"
    FEEDBACK_LOST = "no lip positions fed back: holding"
    PUMP_LOST = "no pump feedback: holding"
    NODES_LATCHED = "a node holds by itself and waits for re-arm"
    SAFE_STOP = "safe stop on the bus: holding"
    NOT_FINITE = "the law's answer was not finite: holding"
    REFUSED = "the transmit gate refused a command: holding"
    NO_LAW_LEFT = "no law on the ladder keeps this web even: holding"


class Rung(StrEnum):
    """Which law acts in AUTO, from the top of the fallback ladder down."""

    OWN = "own law"
    LINEAR = "network off"  # the own law without what the network adds
    SLOWED = "frozen and slowed"  # parameters as the line file has them, closed-loop times doubled
    PI = "modal PI"
    PUMP = "pump only"  # the lips stay
    HOLD = "hold"  # and a person is called


class Cause(StrEnum):
    """Why a rung was left for a lower one. Each value is a sentence for the person at the line."""

    NONE = "nothing spoke against it"
    LATE = "deadlines were missed again and again"
    NOT_FINITE = "the law's answer was not finite"
    SURPRISE_CD = "the profile kept changing by more than was believed"
    SURPRISE_MD = "the mean kept changing by more than was believed"
    BOUND_CD = "limits held back most of the lips for long, and would not a plain PI's"
    BOUND_MD = "limits held back the pump for long, and would not a plain PI's"
    WORSE_CD = "the profile stayed more uneven than a plain PI would leave it"
    WORSE_MD = "the mean stayed further off than a plain PI would leave it"


class Limit(StrEnum):
    """Which limit of the envelope bound in a cycle."""

    NONE = "none"
    FINITE = "finite"
    RANGE = "range"
    RATE = "rate"
    NEIGHBOUR = "neighbour"
    BEND = "bend"
    PUMP_RANGE = "pump range"
    PUMP_RATE = "pump rate"


@dataclass(frozen=True, slots=True)
class UncertifiedCommand:
    """What a law would like. It cannot reach the bus: LinePort.write takes an ActuatorCommand only."""

    gap_um: Array  # lip targets, shape (zones,)
    pump_ratio_rpm_per_mps: float
    pump_trim_pct: float


@dataclass(frozen=True, slots=True)
class ActuatorCommand:
    """A command that passed the envelope. Only controller.core.envelope makes one, and a test holds that.

    It expires: nodes refuse it once the encoder's SYNC cycle has passed `valid_until_cycle`.
    """

    gap_um: Array
    pump_ratio_rpm_per_mps: float
    pump_trim_pct: float
    valid_until_cycle: int


@dataclass(frozen=True, slots=True)
class OperatorRequest:
    """What a person asks for between two cycles. None leaves things as they are."""

    mode: Mode | None = None
    gap_um: Array | None = None  # manual lip targets; in AUTO they count for the zones that are held by hand
    pump_trim_pct: float | None = None
    rearm: bool = False
    offset_log: Array | None = None  # (zones,), log of areal density beside the target, for a reverse bump in AUTO
    offset_m: float = 0.0  # metres of web that it is to last
    zone_manual: BoolArray | None = None  # (zones,), which zones are held by hand from now on, all others are not
    target_gsm: float | None = None  # mean of the target profile, whose shape stays

    def then(self, later: OperatorRequest) -> OperatorRequest:
        """Both requests in one; where both say something, the later one counts."""
        return OperatorRequest(
            mode=later.mode if later.mode is not None else self.mode,
            gap_um=later.gap_um if later.gap_um is not None else self.gap_um,
            pump_trim_pct=later.pump_trim_pct if later.pump_trim_pct is not None else self.pump_trim_pct,
            rearm=self.rearm or later.rearm,
            offset_log=later.offset_log if later.offset_log is not None else self.offset_log,
            offset_m=later.offset_m if later.offset_log is not None else self.offset_m,
            zone_manual=later.zone_manual if later.zone_manual is not None else self.zone_manual,
            target_gsm=later.target_gsm if later.target_gsm is not None else self.target_gsm,
        )
