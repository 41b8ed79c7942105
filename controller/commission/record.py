"""What was heard while a line was tested: positions along the web, and every scan of every gauge. Data of the bus only.

A collector that grows; `identify` reads it. Web positions are the encoder's, m; errors are logs of areal density over
target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.core import scans
from controller.core.estimate import USABLE_SHARE, log_ratio
from controller.core.scans import GaugeModel
from controller.line.description import Array, GaugeDescription, LineDescription
from controller.line.profile import GaugeScan, LineInputs


@dataclass(frozen=True, slots=True)
class Positions:
    """Where lips and pump stood as the web passed the die: web_m (cycles,), increasing.

    gap_um: (cycles, zones), fed back. trim_log: (cycles,), ln of the pump's fed-back ratio over nominal; speed_log:
    (cycles,), ln of its measured speed over what nominal ratio and web speed ask.
    """

    web_m: Array
    t_s: Array
    gap_um: Array
    trim_log: Array
    speed_log: Array


@dataclass(frozen=True, slots=True)
class Seen:
    """Scans of one gauge: web_m (scans,), where the encoder stood; error (scans, zones).

    direction (scans,): of a scanner's head; 0 for an array.
    """

    web_m: Array
    error: Array
    direction: Array


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch in which nobody but the test moved lips and pump, as web at the die, m."""

    begin_m: float
    end_m: float


class Recorder:
    """Collects cycles of one line. Cycles without a valid encoder are left out: nothing could be placed on the web."""

    def __init__(self, line: LineDescription) -> None:
        self._line = line
        self._nominal = line.pump_ratio_nominal_rpm_per_mps
        self._cycles: list[tuple[float, float, Array, float, float]] = []
        self._gauges = {"wet": _Gauge(line, line.wet_gauge), "dry": _Gauge(line, line.dry_gauge)}
        self.blocks: list[Block] = []

    def hear(self, inputs: LineInputs) -> None:
        """One cycle of the line."""
        if not (inputs.encoder_valid and np.isfinite(inputs.gap_um).all()):
            return
        if not self._cycles or inputs.web_m > self._cycles[-1][0]:
            trim_log = log_ratio(inputs.pump_ratio_rpm_per_mps, inputs.pump_trim_pct, self._nominal)
            asked_rpm = self._nominal * max(inputs.web_speed_mps, 1e-6)
            speed_log = float(np.log(max(inputs.pump_speed_rpm / asked_rpm, 1e-3)))
            self._cycles.append((inputs.web_m, 1e-9 * inputs.t_line_ns, inputs.gap_um.copy(), trim_log, speed_log))
        if inputs.wet is not None:
            self._gauges["wet"].take(inputs.wet.web_m, inputs.wet, inputs.wet.film_um, 0)
        if inputs.dry is not None:
            dry = inputs.dry
            self._gauges["dry"].take(dry.web_m, dry, dry.areal_density_gsm, dry.direction)

    def positions(self) -> Positions:
        """All cycles so far."""
        web_m, t_s, gap_um, trim_log, speed_log = zip(*self._cycles, strict=True)
        return Positions(np.array(web_m), np.array(t_s), np.array(gap_um), np.array(trim_log), np.array(speed_log))

    def seen(self, gauge: GaugeDescription) -> Seen:
        """All scans of a gauge so far."""
        return self._gauges["wet" if gauge.is_wet else "dry"].seen(self._line.zones)

    def newest_error(self, gauge: GaugeDescription, scans_back: int) -> Array | None:
        """Mean of the newest scans of a gauge, (zones,); None while there are not so many."""
        return self._gauges["wet" if gauge.is_wet else "dry"].newest(scans_back)


class _Gauge:
    """Scans of one gauge, boxes averaged to zones and outliers out, as the estimate does it."""

    def __init__(self, line: LineDescription, gauge: GaugeDescription | None) -> None:
        self._model: GaugeModel | None = scans.model_of(line, gauge) if gauge else None
        self._reference = np.full(self._model.log_target.size if self._model else 0, np.nan)
        self._rows: list[tuple[float, Array, int]] = []

    def take(self, web_m: float, scan: GaugeScan, reading: Array, direction: int) -> None:
        """One scan; those with too few good boxes tell nothing."""
        if self._model is None:
            return
        seen = scans.to_zones(self._model, self._reference, scan, reading)
        self._reference = seen.reference
        if seen.share >= USABLE_SHARE:
            self._rows.append((web_m, seen.error, direction))

    def seen(self, zones: int) -> Seen:
        if not self._rows:
            return Seen(np.zeros(0), np.zeros((0, zones)), np.zeros(0))
        web_m, error, direction = zip(*self._rows, strict=True)
        return Seen(np.array(web_m), np.array(error), np.array(direction, dtype=np.float64))

    def newest(self, scans_back: int) -> Array | None:
        if len(self._rows) < scans_back:
            return None
        newest: Array = np.mean([error for _, error, _ in self._rows[-scans_back:]], axis=0)
        return newest
