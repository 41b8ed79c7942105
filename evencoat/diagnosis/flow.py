"""The mean of the web against the pump: who of pump, wet gauge, dry gauge and slurry has changed.

Pre-metering is the witness: what the pump displaces a metre of web is what lies on it. Per row, in logs and each less
what the pump was asked for: what the wet gauge reads, what the dry one reads of the very same web, and the pressure as
a flow (over the flow index, which is learnt where the pump moves; pressure knows nothing of metres, so what the pump
displaces in a second counts there, web speed and all). A pump that loses delivery moves all three; a wet
gauge that jumps moves its own reading alone; a dry one the same; slurry, filter and temperature move the pressure.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from controller.line.description import Array, LineDescription
from evencoat.diagnosis.drift import Drift
from evencoat.diagnosis.rows import Rows
from evencoat.diagnosis.steps import Usual, mean_of

NEW, GAP, OLD = 8, 3, 30  # rows: the newest, left out, and before
LONG_GAP, LONG_OLD = 90, 30
SLOW_ROWS = NEW + LONG_GAP + LONG_OLD  # that the slow comparison looks back
SETTLED_ROWS = 120  # of web, until a line has come to rest
INDEX_SIGMA = 0.12  # of the believed flow index
FLOOR = 0.0004
DRY_USUAL = 0.0015  # how far dry and wet means of the same web go apart in half a minute, until it is learnt
ONE_STEP = 1.3  # times what is usually left beside the best single step, that a jump leaves; foil goes on changing
STEP_LEAST = 4  # rows on either side of a step
FOIL_ROWS = 4  # over which foil changes and coating hardly does
RAMP_ROWS = 4 * FOIL_ROWS  # at one speed: along a ramp two gauges never see quite the same web
FOIL_LATELY, FOIL_LEFT_OUT = 30, 0.3  # rows looked at, and the share of the largest changes among them that is left out


class Change(NamedTuple):
    """How far each witness has moved, as shares of flow: wet gauge, pressure (slow: over minutes), dry less wet."""

    wet: float = 0.0
    wet_sigma: float = 1.0
    pressure: float = 0.0
    slow_pressure: float = 0.0
    warmer_k: float = 0.0
    own: float = 0.0  # wet less pressure, of late
    own_sigma: float = 1.0


class Flow:
    """The witnesses of one line."""

    def __init__(self, line: LineDescription, rows: Rows) -> None:
        self._rows, self.index = rows, line.slurry.flow_index
        self._prior = INDEX_SIGMA**-2
        self._told, self._information = 0.0, 0.0
        self.wet, self.pressure = rows.ring(), rows.ring()
        self.dry_apart, self.dry_jump = rows.ring(), rows.ring()
        self._wet_usual, self._own_usual = Usual(FLOOR), Usual(FLOOR)
        self._dry_usual = Usual(FLOOR, start=DRY_USUAL)
        self._wet_least, self._dry_least = rows.least_share(line.wet_gauge), rows.least_share(line.dry_gauge)
        self.rough_usual, self.rough2 = Usual(1e-5, 200.0), 0.0
        self._rough: deque[float] = deque(maxlen=FOIL_LATELY)
        self._nominal_um = line.die.gap_nominal_um
        self._lip_log_per_um = line.die.lip_share / line.die.gap_nominal_um
        self.change = Change()
        self.dry_step, self.dry_sigma, self.dry_wet = 0.0, 1.0, 0.0
        self.dry_sharp = False
        self._beside_usual = Usual(FLOOR, 200.0)
        self.drift, self._drift_from, self._dry_seen = Drift(), -1, line.dry_gauge is not None
        self._believed = line.slurry.flow_index
        self.wet_rows = self.dry_rows = 0
        self.newest = -1  # row that the wet gauge has seen

    def wet_row(self, row: int) -> None:
        """The wet gauge has seen a row whole."""
        rows, at, before = self._rows, row % self._rows.size, (row - 1) % self._rows.size
        flow, pressure = rows.flow_log[at], rows.pressure_log[at]
        pumped = rows.flow_log + rows.speed_log
        step, pressed = pumped[at] - pumped[before], pressure - rows.pressure_log[before]
        if math.isfinite(step + pressed) and abs(pressed) < 0.02:
            self._information = 0.999 * self._information + step**2 / 0.0005**2
            self._told = 0.999 * self._told + step * (pressed - self._believed * step) / 0.0005**2
            self.index = self._believed + self._told / (self._information + self._prior)
        profile = rows.wet[at]
        seen = profile[np.isfinite(profile)]
        self.wet[at] = seen.mean() - flow if seen.size else math.nan
        opened_um = float(np.mean(rows.gap_um[at])) - self._nominal_um
        self.pressure[at] = pressure + (2.0 * self.index + 1.0) * self._lip_log_per_um * _known(opened_um)
        self.wet_rows, self.newest = self.wet_rows + 1, row
        self._compare(row)

    def _compare(self, row: int) -> None:
        rows = self._rows
        new = rows.at(row - NEW + 1, row)
        old = rows.at(row - NEW - GAP - OLD + 1, row - NEW - GAP)
        far = rows.at(row - NEW - LONG_GAP - LONG_OLD + 1, row - NEW - LONG_GAP)
        pumped = rows.flow_log + rows.speed_log
        as_flow = (self.pressure - self.index * pumped) / self.index
        least = self._wet_least
        wet = float(mean_of(self.wet, new, least) - mean_of(self.wet, old, least))
        pressure = float(mean_of(as_flow, new) - mean_of(as_flow, old))
        slow = float(mean_of(as_flow, new) - mean_of(as_flow, far))
        warmer = float(mean_of(rows.warm_c, new) - mean_of(rows.warm_c, far))
        if not self._dry_seen:
            self._drifted(row)
        alone = wet - pressure
        self.change = Change(
            _known(wet), float(self._wet_usual.sigma), _known(pressure), _known(slow), _known(warmer),
            _known(alone), float(self._own_usual.sigma),
        )  # fmt: skip
        if math.isfinite(wet + pressure) and self.wet_rows > 90:
            self._wet_usual.seen(wet)
            self._own_usual.seen(alone)

    def begin_drift(self) -> None:
        """Slurry or filter have changed: what a drift is measured from begins anew, with the web under the die."""
        self.drift, self._drift_from = Drift(), self._rows.row

    def _drifted(self, row: int, *beyond_dry: float) -> None:
        """A row that all witnesses have seen."""
        at = row % self._rows.size
        if row > self._drift_from and self.wet_rows > SETTLED_ROWS:
            flowed = self.wet[at] + self._rows.flow_log[at] + self._rows.speed_log[at]
            self.drift.row((self.wet[at], flowed, *beyond_dry), self.pressure[at], self.index)

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
        step = float(mean_of(self.dry_jump, new, self._dry_least) - mean_of(self.dry_jump, old, self._dry_least))
        self.dry_wet = _known(float(mean_of(self.wet, new) - mean_of(self.wet, old)))
        self.dry_step, self.dry_sigma = _known(step), float(self._dry_usual.sigma)
        if math.isfinite(step):
            self._dry_usual.seen(step - self.dry_wet)
        beside = _beside_a_step(self.dry_apart[rows.at(row - NEW - GAP - OLD + 1, row)])
        self.dry_sharp = beside < ONE_STEP * float(self._beside_usual.sigma)
        if math.isfinite(beside):
            self._beside_usual.seen(beside)
        before = self.dry_apart[rows.at(row - 2 * FOIL_ROWS + 1, row - FOIL_ROWS)]
        seen_before = before[np.isfinite(before)]
        jump = self.dry_apart[at] - seen_before[-1] if seen_before.size else math.nan
        if math.isfinite(jump) and self.dry_rows > 5 and rows.steady(row, RAMP_ROWS):
            self._rough.append(jump**2)
            self._foil()
        self._drifted(row, -self.dry_apart[at])

    def _foil(self) -> None:
        """Foil goes on changing, a gauge jumps once: the few largest of the last changes say nothing of foil."""
        if len(self._rough) < FOIL_LATELY:
            return
        kept = round((1.0 - FOIL_LEFT_OUT) * FOIL_LATELY)
        self.rough2 = float(np.mean(np.sort(self._rough)[:kept]))
        self.rough_usual.seen(math.sqrt(self.rough2))

    @property
    def foil_times(self) -> float:
        """How much more the dry mean changes from row to row than it usually does, the wet one taken off."""
        return math.sqrt(self.rough2) / float(self.rough_usual.sigma) if self.dry_rows > 60 else 0.0


def _beside_a_step(values: Array) -> float:
    """Root mean square of what is left of these when the best single step is taken off, with the row that it falls
    into; NaN of too few."""
    known = values[np.isfinite(values)]
    rows = known.size
    if rows < 4 * STEP_LEAST:
        return math.nan
    at = np.arange(STEP_LEAST, rows - STEP_LEAST)
    total = np.cumsum(known)
    before, after = total[at - 1], total[-1] - total[at]
    left = float(known @ known) - known[at] ** 2 - before**2 / at - after**2 / (rows - 1 - at)
    return math.sqrt(max(float(left.min()), 0.0) / (rows - 3))


def _known(value: float) -> float:
    return value if math.isfinite(value) else 0.0
