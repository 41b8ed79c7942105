"""What is measured: one gauge's scan, and everything one control cycle is told of the line."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from controller.line.description import Array, BoolArray


class LineState(IntEnum):
    """What the line says it is doing (LINE_STATE on the wire)."""

    STOPPED = 0
    RUNNING = 1
    THREADING = 2
    SPLICE = 3
    PATCH_GAP = 4


@dataclass(frozen=True, slots=True)
class GaugeScan:
    """One scan of one gauge: when and where it was taken, and which boxes are good.

    `web_m` is the encoder position when the scan was taken; what it saw left the die `distance_m` of web earlier.
    """

    scan_id: int
    t_gauge_ns: int
    web_m: float
    valid: BoolArray  # shape (boxes,)


@dataclass(frozen=True, slots=True)
class WetScan(GaugeScan):
    """Wet film thickness, shape (boxes,), um. Blind to solids: it sees film, not mass."""

    film_um: Array


@dataclass(frozen=True, slots=True)
class DryScan(GaugeScan):
    """Dry areal density, shape (boxes,), g/m2."""

    areal_density_gsm: Array
    direction: int = 0  # of a scanner's head in this pass: 1 to the right, -1 to the left; 0 for an array


class LineInputs(NamedTuple):
    """All that one cycle is told. Times are line time: the time base that SYNC carries.

    `wet` and `dry` are the newest complete scans since the last cycle, or None. A zone whose `gap_valid` is False has
    stale or faulted feedback and counts as frozen.
    """

    t_line_ns: int
    sync_cycle: int
    web_m: float
    web_speed_mps: float
    encoder_valid: bool
    line_state: LineState
    roll: int
    batch: int
    gap_um: Array  # fed-back lip positions, shape (zones,)
    gap_valid: BoolArray
    pump_ratio_rpm_per_mps: float  # what the pump node says it applies
    pump_trim_pct: float
    pump_speed_rpm: float
    pump_pressure_kpa: float
    slurry_temperature_c: float
    pump_valid: bool
    wet: WetScan | None
    dry: DryScan | None
    nodes_latched: bool = False  # a node sits in a latched hold and waits for REARM
    safe_stop: bool = False
    link_faults: tuple[str, ...] = ()  # names of links that are silent or faulty, in plain words
