"""How long until something is at its end: bolts, pump trim, filter, the wet gauge's drift. Trends with their doubt.

Each figure is followed by a straight line through its last quarter of an hour, old values fading. A trend is told where
its slope stands out of its own doubt; hours left are what is left over the slope, and from and to which of it the doubt
leaves. Nothing here knows why something moves: a line through a wave is a line through a wave.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from controller.line.command import Mode
from controller.line.description import Array, LineDescription
from controller.line.profile import LineState

FADE_S = 900.0
EVERY_S = 10.0
LEAST_S = 600.0  # of trend, before it is told
ALIKE_S = 60.0  # values closer together than this tell the same
SURE = 2.0  # standard deviations that a slope must stand out by
DOUBT = 1.28155  # of the interval of hours left: four fifths
HOURS_MOST = 48.0
PRESSURE_MOST_PCT = 30.0  # over what it was when the trend began: the filter wants changing
SPEED_SHARE, TARGET_SHARE = 0.03, 0.002  # other than these, trim and pressure begin anew


class Ahead(NamedTuple):
    """One limit ahead. now and limit in `unit`; hours: left at this rate, from and to with four fifths' chance;
    infinite where the doubt leaves standing still or turning round."""

    what: str
    where: str
    now: float
    limit: float
    unit: str
    per_hour: float
    hours: float
    hours_from: float
    hours_to: float


class Lines:
    """Fading straight lines through several figures at once."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.clear()

    def clear(self) -> None:
        """Nothing seen."""
        self.seen_s = 0.0
        self._n = self._t = self._tt = 0.0
        self._y, self._ty, self._yy = (np.zeros(self._count) for _ in range(3))
        self._first: Array | None = None

    def see(self, values: Array, dt_s: float) -> None:
        """One more value each, dt_s after the last. Kept relative to the first: sums of squares stay small."""
        if self._first is None:
            self._first, dt_s = values.copy(), 0.0
        y, keep = values - self._first, math.exp(-dt_s / FADE_S)
        # the present is time zero: what was seen moves back
        self._tt = keep * (self._tt - 2.0 * dt_s * self._t + dt_s**2 * self._n)
        self._ty = keep * (self._ty - dt_s * self._y)
        self._t = keep * (self._t - dt_s * self._n)
        self._n = keep * self._n + 1.0
        self._y = keep * self._y + y
        self._yy = keep * self._yy + y**2
        self.seen_s += dt_s

    def slopes(self) -> tuple[Array, Array, Array]:
        """Values on the lines now, slopes an hour, and the slopes' standard deviations."""
        if self._first is None or self._n < 3.0:
            nothing = np.zeros(self._count)
            return nothing, nothing, np.full(self._count, np.inf)
        spread = self._tt - self._t**2 / self._n
        slope = (self._ty - self._t * self._y / self._n) / max(spread, 1e-9)
        level = (self._y - slope * self._t) / self._n
        left = np.maximum(self._yy - self._y**2 / self._n - slope**2 * spread, 0.0) / max(self._n - 2.0, 1.0)
        alike = max(ALIKE_S / EVERY_S, 1.0)
        doubt = np.sqrt(alike * left / max(spread, 1e-9))
        return self._first + level, 3600.0 * slope, 3600.0 * doubt


class Limits:
    """Follows what runs out on one line."""

    def __init__(self, line: LineDescription) -> None:
        self.line = line
        self._lips, self._pump, self._bias = Lines(line.zones), Lines(2), Lines(1)
        self._t_ns = -1
        self._before: tuple[float, float, int] | None = None
        self._index_pct = math.nan

    def see(self, cycle: Mapping[str, Any]) -> None:
        """One cycle by the names of Trace; one in EVERY_S is looked at."""
        t_ns = int(cycle["t_line_ns"])
        dt_s = (t_ns - self._t_ns) / 1e9
        if self._t_ns >= 0 and 0.0 <= dt_s < EVERY_S:
            return
        fresh, self._t_ns = self._t_ns < 0 or not 0.0 <= dt_s < 600.0, t_ns
        auto = str(cycle["mode_actual"]) == Mode.AUTO and int(cycle["line_state"]) == LineState.RUNNING
        if fresh or not auto:
            for lines in (self._lips, self._pump, self._bias):
                lines.clear()
            self._before = None
            if not auto:
                return
        self._anew(cycle)
        gap_um = np.asarray(cycle["gap_um"], dtype=np.float64)
        if np.isfinite(gap_um).all():
            self._lips.see(gap_um, dt_s)
        rpm, kpa = float(cycle["pump_speed_rpm"] or 0.0), float(cycle["pump_pressure_kpa"] or 0.0)
        trim_pct = cycle["pump_trim_pct"]
        known = trim_pct is not None and math.isfinite(float(trim_pct))
        if known and rpm > 1.0 and kpa > 1.0:  # a power law's pressure goes with flow to the power n
            self._index_pct = 100.0 * (math.log(kpa) - self.line.slurry.flow_index * math.log(rpm))
            self._pump.see(np.array([float(trim_pct), self._index_pct]), dt_s)
        bias_pct = float(np.mean(cycle["wet_bias_pct"]))
        if math.isfinite(bias_pct) and self.line.wet_gauge is not None and self.line.dry_gauge is not None:
            self._bias.see(np.array([bias_pct]), dt_s)

    def _anew(self, cycle: Mapping[str, Any]) -> None:
        """Another speed, target or batch: pump and gauges begin anew."""
        now = (float(cycle["web_speed_mps"] or 0.0), float(cycle["target_gsm"] or math.nan), int(cycle["batch"]))
        before, self._before = self._before, now
        if before is None:
            return
        speed = abs(now[0] - before[0]) > SPEED_SHARE * self.line.web_speed_mps
        target = abs(now[1] / before[1] - 1.0) > TARGET_SHARE if before[1] > 0.0 else False
        if speed or target or now[2] != before[2]:
            self._pump.clear()
            self._bias.clear()

    def ahead(self) -> list[Ahead]:
        """Limits that something moves towards, the nearest first."""
        found = [*self._bolts(), *self._steps(), *self._others()]
        return sorted((one for one in found if one.hours <= HOURS_MOST), key=lambda one: one.hours)

    def _bolts(self) -> list[Ahead]:
        if self._lips.seen_s < LEAST_S:
            return []
        lips = self.line.lips
        now, slope, doubt = self._lips.slopes()
        return [
            _left(
                "bolt travel", f"bolt {k + 1}", now[k], lips.gap_max_um if slope[k] > 0.0 else lips.gap_min_um,
                "um", slope[k], doubt[k],
            )
            for k in range(now.size) if abs(slope[k]) > SURE * doubt[k]
        ]  # fmt: skip

    def _steps(self) -> list[Ahead]:
        """Differences of neighbours and bends, as far as they grow."""
        if self._lips.seen_s < LEAST_S:
            return []
        found = []
        lips = self.line.lips
        now, slope, doubt = self._lips.slopes()
        for what, most, order in (("neighbours", lips.neighbour_max_um, 1), ("bend", lips.bend_max_um, 2)):
            value, rate = np.diff(now, order), np.diff(slope, order)
            weights = (1.0, 1.0) if order == 1 else (1.0, 2.0, 1.0)
            spread = np.sqrt(np.convolve(doubt**2, np.square(weights), mode="valid"))
            growing = (rate * np.sign(value) > SURE * spread) & (np.abs(value) > 0.25 * most)
            found += [
                _left(
                    what, f"bolts {k + 1} to {k + 1 + order}", abs(value[k]), most, "um",
                    rate[k] * np.sign(value[k]), spread[k],
                )
                for k in np.flatnonzero(growing)
            ]  # fmt: skip
        return found

    def _others(self) -> list[Ahead]:
        found = []
        if self._pump.seen_s >= LEAST_S:
            now, slope, doubt = self._pump.slopes()
            most = self.line.pump.trim_max_pct
            if abs(slope[0]) > SURE * doubt[0]:
                found.append(_left("pump trim", "pump", now[0], math.copysign(most, slope[0]), "%", slope[0], doubt[0]))
            if slope[1] > SURE * doubt[1]:
                begun = now[1] - slope[1] * self._pump.seen_s / 3600.0
                risen = now[1] - begun
                found.append(_left("filter", "pressure", risen, PRESSURE_MOST_PCT, "%", slope[1], doubt[1]))
        if self._bias.seen_s >= LEAST_S:
            now, slope, doubt = self._bias.slopes()
            most = self.line.target.tolerance_pct
            if abs(slope[0]) > SURE * doubt[0]:
                limit = now[0] + math.copysign(most, slope[0])
                found.append(_left("wet gauge", "drift", now[0], limit, "%", slope[0], doubt[0]))
        return found


def _left(what: str, where: str, now: float, limit: float, unit: str, slope: float, doubt: float) -> Ahead:
    """Hours until `limit` at this slope and with its doubt; none where it is passed already."""
    way = max((limit - now) * math.copysign(1.0, slope), 0.0)
    fast, slow = abs(slope) + DOUBT * doubt, abs(slope) - DOUBT * doubt
    to = way / slow if slow > 0.0 else math.inf
    return Ahead(
        what, where, float(now), float(limit), unit, float(slope), way / max(abs(slope), 1e-12), way / fast, to
    )
