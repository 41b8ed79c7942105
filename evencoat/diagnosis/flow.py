"""The mean of the web against the pump: who of pump, wet gauge, dry gauge and slurry has changed.

Pre-metering is the witness: what the pump displaces a metre of web is what lies on it. Per row, in logs and each less
what the pump was asked for: what the wet gauge reads, what the dry one reads of the very same web, and the pressure as
a flow (over the flow index, which is learnt where the pump moves). A pump that loses delivery moves all three; a wet
gauge that jumps moves its own reading alone; a dry one the same; slurry, filter and temperature move the pressure.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from controller.line.description import LineDescription
from evencoat.diagnosis.rows import Rows
from evencoat.diagnosis.steps import Usual, mean_of

NEW, GAP, OLD = 8, 3, 30  # rows: the newest, left out, and before
LONG_GAP, LONG_OLD = 90, 30
DRIFT_NEW, DRIFT_OLD, DRIFT_MOST = 60, 300, 1200  # rows: between two means that a drift moves apart
INDEX_SIGMA = 0.12  # of the believed flow index
FLOOR = 0.0004
FOIL_ROWS = 4  # over which foil changes and coating hardly does


class Change(NamedTuple):
    """How far each witness has moved, as shares of flow: wet gauge, pressure (slow: over minutes), dry less wet."""

    wet: float = 0.0
    wet_sigma: float = 1.0
    pressure: float = 0.0
    slow_pressure: float = 0.0
    warmer_k: float = 0.0
    apart: float = 0.0  # wet less pressure, over minutes
    apart_rows: int = 0
    own: float = 0.0  # wet less pressure, of late
    own_sigma: float = 1.0


class Flow:
    """The witnesses of one line."""

    def __init__(self, line: LineDescription, rows: Rows) -> None:
        self._rows, self.index = rows, line.slurry.flow_index
        self._prior = INDEX_SIGMA**-2
        self._told, self._information = 0.0, 0.0
        size = rows.size
        self.wet, self.pressure = np.full(size, math.nan), np.full(size, math.nan)
        self.dry_apart, self.dry_jump = np.full(size, math.nan), np.full(size, math.nan)
        self._wet_usual, self._dry_usual, self._own_usual = Usual(FLOOR), Usual(FLOOR), Usual(FLOOR)
        self.rough_usual, self.rough2 = Usual(1e-5, 200.0), 0.0
        self.change = Change()
        self.dry_step, self.dry_sigma, self.dry_wet = 0.0, 1.0, 0.0
        self._drift_rows = 0  # since pressure and film began to mean what they mean now
        self._believed = line.slurry.flow_index
        self.wet_rows = self.dry_rows = 0

    def wet_row(self, row: int) -> None:
        """The wet gauge has seen a row whole."""
        rows, at, before = self._rows, row % self._rows.size, (row - 1) % self._rows.size
        flow, pressure = rows.flow_log[at], rows.pressure_log[at]
        step, pressed = flow - rows.flow_log[before], pressure - rows.pressure_log[before]
        if math.isfinite(step + pressed) and abs(pressed) < 0.02:
            self._information = 0.999 * self._information + step**2 / 0.0005**2
            self._told = 0.999 * self._told + step * (pressed - self._believed * step) / 0.0005**2
            self.index = self._believed + self._told / (self._information + self._prior)
        profile = rows.wet[at]
        seen = profile[np.isfinite(profile)]
        self.wet[at] = seen.mean() - flow if seen.size else math.nan
        self.pressure[at] = pressure
        self.wet_rows += 1
        self._drift_rows += 1
        self._compare(row)

    def _compare(self, row: int) -> None:
        rows = self._rows
        new = rows.at(row - NEW + 1, row)
        old = rows.at(row - NEW - GAP - OLD + 1, row - NEW - GAP)
        far = rows.at(row - NEW - LONG_GAP - LONG_OLD + 1, row - NEW - LONG_GAP)
        as_flow = (self.pressure - self.index * rows.flow_log) / self.index
        wet = float(mean_of(self.wet, new) - mean_of(self.wet, old))
        pressure = float(mean_of(as_flow, new) - mean_of(as_flow, old))
        slow = float(mean_of(as_flow, new) - mean_of(as_flow, far))
        warmer = float(mean_of(rows.warm_c, new) - mean_of(rows.warm_c, far))
        recent = rows.at(row - DRIFT_NEW + 1, row)
        span = min(self._drift_rows - 2 * DRIFT_NEW, self.wet_rows - 2 * DRIFT_NEW - 60, DRIFT_MOST)
        apart, far_rows = 0.0, 0
        own = self.wet - as_flow
        if span >= DRIFT_OLD:
            long_ago = rows.at(row - span - DRIFT_NEW + 1, row - span)
            apart, far_rows = float(mean_of(own, recent) - mean_of(own, long_ago)), span
        alone = wet - pressure
        self.change = Change(
            _known(wet), float(self._wet_usual.sigma), _known(pressure), _known(slow), _known(warmer),
            _known(apart), far_rows, _known(alone), float(self._own_usual.sigma),
        )  # fmt: skip
        if math.isfinite(wet + pressure) and self.wet_rows > 90:
            self._wet_usual.seen(wet)
            self._own_usual.seen(alone)

    def begin_drift(self) -> None:
        """Slurry or filter have changed: what a drift is measured from begins anew."""
        self._drift_rows = 0

    def dry_row(self, row: int) -> None:
        """The dry gauge has seen a row whole."""
        rows, at = self._rows, row % self._rows.size
        profile = rows.dry[at]
        seen = profile[np.isfinite(profile)]
        told = (seen.mean() if seen.size else math.nan) - rows.flow_log[at]
        wet = self.wet[at]
        self.dry_apart[at] = told - wet if math.isfinite(wet) else math.nan
        self.dry_jump[at] = told
        self.dry_rows += 1
        new = rows.at(row - NEW + 1, row)
        old = rows.at(row - NEW - GAP - OLD + 1, row - NEW - GAP)
        step = float(mean_of(self.dry_jump, new) - mean_of(self.dry_jump, old))
        self.dry_wet = _known(float(mean_of(self.wet, new) - mean_of(self.wet, old)))
        self.dry_step, self.dry_sigma = _known(step), float(self._dry_usual.sigma)
        if math.isfinite(step) and self.dry_rows > 60:
            self._dry_usual.seen(step)
        last = (row - FOIL_ROWS) % rows.size
        jump = self.dry_apart[at] - self.dry_apart[last]
        if math.isfinite(jump) and self.dry_rows > 5:
            self.rough2 += (min(jump**2, 50.0 * float(self.rough_usual.square)) - self.rough2) / 20.0
            if self.dry_rows > 10:
                self.rough_usual.seen(jump)

    @property
    def foil_times(self) -> float:
        """How much more the dry mean changes from row to row than it usually does, the wet one taken off."""
        return math.sqrt(self.rough2) / float(self.rough_usual.sigma) if self.dry_rows > 60 else 0.0


def _known(value: float) -> float:
    return value if math.isfinite(value) else 0.0
