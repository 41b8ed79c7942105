"""What one cycle saw, thought and asked: the only thing the control process tells the rest of the world."""

from __future__ import annotations

import math
from typing import NamedTuple, TypedDict

import numpy as np

from controller.line.command import Cause, Limit, Mode, Outcome, Rung
from controller.line.description import Array, BoolArray
from controller.line.profile import LineState


class Verdict(TypedDict):
    """The part of a Trace that says how well the loop does."""

    surprise_cd: float
    surprise_md: float
    harris_md: float
    sigma_md_pct: float
    rung: Rung
    rung_cause: Cause
    against_pi_cd: float
    against_pi_md: float
    guest_pct: float
    guest_whole_pct: float
    guest_authority: float


class Expectation(TypedDict):
    """The part of a Trace that says what the newest batch is expected to bring, and what the network was shown."""

    batch_foretold_pct: float
    batch_foretold_sd_pct: float
    batch_step_pct: float
    batch_step_sd_pct: float
    batch_answered_pct: float
    batch_shown: Array
    guest_missed_pct: float
    guest_missed_m: float
    guest_shown: Array


class Came(TypedDict):
    """The part of a Trace that says where the line is, and what its actuators say of themselves."""

    t_line_ns: int
    sync_cycle: int
    web_m: float
    web_speed_mps: float
    line_state: LineState
    roll: int
    batch: int
    wet_scan_id: int
    dry_scan_id: int
    gap_um: Array
    pump_trim_applied_pct: float
    pump_speed_rpm: float
    pump_pressure_kpa: float
    link_faults: tuple[str, ...]


class Looked(TypedDict):
    """The part of a Trace that says what the gauges saw, as it came."""

    slurry_temperature_c: float
    wet_scan_gsm: Array
    wet_scan_share: float
    wet_scan_rough_pct: float
    wet_scan_past_boxes: float
    wet_scan_m: float
    dry_scan_gsm: Array
    dry_scan_share: float
    dry_scan_rough_pct: float
    dry_scan_past_boxes: float
    dry_scan_m: float


NOTHING: Array = np.zeros(0)
NOTHING.setflags(write=False)
NO_ZONES: BoolArray = np.zeros(0, dtype=bool)
NO_ZONES.setflags(write=False)


class Trace(NamedTuple):
    """One cycle. Arrays have shape (zones,). `sent` is False in ADVISORY: the targets then show what would be done."""

    cycle: int
    t_line_ns: int
    sync_cycle: int
    web_m: float
    web_speed_mps: float
    line_state: LineState
    roll: int
    batch: int
    mode_requested: Mode
    mode_actual: Mode
    outcome: Outcome
    wet_scan_id: int  # -1 where no scan came in this cycle
    dry_scan_id: int
    profile_gsm: Array  # areal density at the gauge that closes the loop, corrected by the slower one, g/m2
    profile_valid: BoolArray
    wet_bias_pct: Array  # what the dry gauge taught about the wet one, percent of target
    gap_um: Array  # fed-back lip positions
    gap_law_um: Array  # what the law asked for
    gap_target_um: Array  # what the envelope let through
    pump_ratio_rpm_per_mps: float  # commanded
    pump_trim_law_pct: float
    pump_trim_pct: float  # commanded
    pump_trim_applied_pct: float  # fed back
    pump_speed_rpm: float
    pump_pressure_kpa: float
    limits: tuple[Limit, ...]  # which limits bound, in the order the envelope met them
    limited_zones: int
    zone_not_following: BoolArray  # bolts that do not go where they are sent
    link_faults: tuple[str, ...]
    sent: bool
    valid_until_cycle: int
    surprise_cd: float = 1.0  # mean square of the innovations over what was expected: 1 where the statistics are right
    surprise_md: float = 1.0
    harris_md: float = math.nan  # minimum variance over mean square of the mean; controller.core.harris has the words
    sigma_md_pct: float = math.nan  # about target, of late, as the estimate sees it
    rung: Rung = Rung.OWN  # of the fallback ladder: which law acts
    rung_cause: Cause = Cause.NONE  # why it is not the one above
    against_pi_cd: float = math.nan  # mean square of the shapes over what the PI in shadow leaves of them
    against_pi_md: float = math.nan
    guest_pct: float = 0.0  # what the network added to the disturbance of the mean that the pump answers, percent
    guest_whole_pct: float = 0.0  # what it would have added with full authority
    guest_authority: float = math.nan  # from none, 0, to full, 1; NaN where there is no network
    batch_foretold_pct: float = math.nan  # what the newest batch was expected to bring to the areal density, percent
    batch_foretold_sd_pct: float = math.nan  # give or take; NaN before a batch was announced
    batch_step_pct: float = math.nan  # what it is believed by now to bring in whole
    batch_step_sd_pct: float = math.nan
    batch_answered_pct: float = math.nan  # what of it is believed to be at the die, and so taken away by the pump
    batch_shown: Array = NOTHING  # taps and context of the head `batch` at the announcement; empty before any
    guest_missed_pct: float = math.nan  # what the truest gauge found of a metre, less what was believed of it
    guest_missed_m: float = math.nan  # where that metre left the die; NaN where it is not remembered
    guest_shown: Array = NOTHING  # taps and context of the head `mean`; empty where there is no network
    target_gsm: float = math.nan  # mean of the target profile, as it is now
    zone_manual: BoolArray = NO_ZONES  # zones that a person holds
    slurry_temperature_c: float = math.nan  # as the pump's node tells it; NaN where it does not
    wet_scan_gsm: Array = NOTHING  # the scan as it came, mean of a zone's valid boxes, g/m2; empty where none came
    wet_scan_share: float = math.nan  # of its boxes that were valid
    wet_scan_rough_pct: float = math.nan  # rms difference of neighbouring boxes over the root of two
    wet_scan_past_boxes: float = math.nan  # without a reading from the right edge inwards, less those from the left
    wet_scan_m: float = math.nan  # where on the web the gauge stood
    dry_scan_gsm: Array = NOTHING
    dry_scan_share: float = math.nan
    dry_scan_rough_pct: float = math.nan
    dry_scan_past_boxes: float = math.nan
    dry_scan_m: float = math.nan
    model_news: str = ""  # a model of the map that was learnt and taken into use before this cycle
