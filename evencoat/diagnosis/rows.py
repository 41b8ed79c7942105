"""Cycles gathered into rows of web: what left the die together, and what both gauges later said of that very stretch.

Delays are constant in metres, so a row is a length of web, about a second of it at nominal speed. A ring holds as many
rows as lie between the die and the last gauge, and a history beyond. All detectors but those of single scans look at
rows, once a row: that is what makes them cheap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from controller.line.description import Array, GaugeDescription, LineDescription

ROW_S = 1.0  # of web at nominal speed
HISTORY_ROWS = 1500
ONE_SPEED_LOG = 0.02  # of web speed over a few rows, within which it is one


class Rows:
    """The ring. Row k is the web from k to k + 1 row lengths; its place in every array is k modulo `size`.

    gap_um (size, zones); flow_log: what the pump displaced a metre of web against nominal; pressure_log; warm_c; t_s;
    speed_log: of web speed over nominal.
    wet, dry (size, zones): mean log of the scan over target, NaN where nothing was seen.
    """

    def __init__(self, line: LineDescription) -> None:
        self.line = line
        zones = line.zones
        self.row_m = ROW_S * line.web_speed_mps
        gauges = [gauge for gauge in (line.wet_gauge, line.dry_gauge) if gauge is not None]
        self.size = int(max(gauge.distance_m for gauge in gauges) / self.row_m) + HISTORY_ROWS
        self.ratio = line.pump_ratio_nominal_rpm_per_mps
        self._rings: list[Array] = []
        self.gap_um, self.wet, self.dry = self.ring(zones), self.ring(zones), self.ring(zones)
        self._each = tuple(self.ring() for _ in range(5))
        self.flow_log, self.pressure_log, self.warm_c, self.t_s, self.speed_log = self._each
        self._profile_gsm = line.target_profile_gsm
        self._nominal_gsm = float(self._profile_gsm.mean())
        self.first = self.row = -1  # the first whole row, and the one under way
        self._sums: Array = np.zeros(zones)
        self._few = np.zeros(6)
        self._wet, self._dry = _Gathered(zones), _Gathered(zones)

    def ring(self, *shape: int) -> Array:
        """Another array of rows, (size, *shape): NaN from when a row leaves the die until somebody tells of it."""
        values = np.full((self.size, *shape), np.nan)
        self._rings.append(values)
        return values

    def least_share(self, gauge: GaugeDescription | None) -> float:
        """Of rows that have to be seen by a gauge for their mean: a slow one sees no more than every other."""
        return 0.6 * min(ROW_S / gauge.period_s, 1.0) if gauge is not None else 0.6

    def at(self, first: int, last: int) -> Any:
        """Places of the rows first..last, both included."""
        return np.arange(first, last + 1) % self.size

    def steady(self, row: int, rows: int) -> bool:
        """Whether so many rows up to this one were laid at one speed."""
        speed = self.speed_log[self.at(row - rows + 1, row)]
        known = speed[np.isfinite(speed)]
        return bool(known.size and known.max() - known.min() < ONE_SPEED_LOG)

    def see(self, cycle: Mapping[str, Any], t_s: float, web_m: float, speed_mps: float) -> Iterator[tuple[str, int]]:
        """One cycle on a running web; yields which row was finished by whom: die, wet, dry."""
        row = math.floor(web_m / self.row_m)
        if self.row < 0 or row < self.row or row > self.row + 5:  # begun, set back or torn
            self._begin(row)
        if row != self.row:
            yield from self._closed(row)
        few = self._few
        rpm, kpa = float(cycle["pump_speed_rpm"]), float(cycle["pump_pressure_kpa"])
        few[0] += 1.0
        few[1] += math.log(rpm / (speed_mps * self.ratio)) if rpm > 0.0 else math.nan
        few[2] += math.log(kpa) if kpa > 0.0 else math.nan
        few[3] += float(cycle["slurry_temperature_c"])
        few[4] += t_s
        few[5] += math.log(speed_mps / self.line.web_speed_mps)
        self._sums += cycle["gap_um"]
        share = float(cycle["target_gsm"]) / self._nominal_gsm
        target = self._profile_gsm * (share if share > 0.0 else 1.0)
        for name, gauge, gathered in (
            ("wet", self.line.wet_gauge, self._wet), ("dry", self.line.dry_gauge, self._dry)
        ):  # fmt: skip
            scan = cycle[f"{name}_scan_gsm"]
            if gauge is None or not math.isfinite(float(cycle[f"{name}_scan_m"])):
                continue
            seen = math.floor((float(cycle[f"{name}_scan_m"]) - gauge.distance_m) / self.row_m)
            if seen != gathered.row:
                yield from self._told(name, gathered, seen)
            gathered.add(np.asarray(scan, dtype=np.float64) / target)

    def _begin(self, row: int) -> None:
        self.first, self.row = row + 1, row
        self._sums[:] = 0.0
        self._few[:] = 0.0
        for values in self._rings:
            values[:] = np.nan
        self._wet.begin(-1)
        self._dry.begin(-1)

    def _closed(self, row: int) -> Iterator[tuple[str, int]]:
        at, count = self.row % self.size, max(self._few[0], 1.0)
        if self._few[0]:
            self.gap_um[at] = self._sums / count
            for known, value in zip(self._each, self._few[1:] / count, strict=True):
                known[at] = value
        for k in range(self.row + 1, row + 1):
            for values in self._rings:  # what is there is of a lap ago, and a slow gauge may not tell of this row
                values[k % self.size] = np.nan
        self._sums[:] = 0.0
        self._few[:] = 0.0
        done, self.row = self.row, row
        if done >= self.first:
            yield "die", done

    def _told(self, name: str, gathered: _Gathered, seen: int) -> Iterator[tuple[str, int]]:
        done = gathered.row
        if done >= self.first and done > self.row - self.size and gathered.scans:
            (self.wet if name == "wet" else self.dry)[done % self.size] = gathered.mean()
            gathered.begin(seen)
            yield name, done
        else:
            gathered.begin(seen)


class _Gathered:
    """The scans of one row."""

    def __init__(self, zones: int) -> None:
        self.row, self.scans = -1, 0
        self._sum, self._count = np.zeros(zones), np.zeros(zones)

    def begin(self, row: int) -> None:
        self.row, self.scans = row, 0
        self._sum[:] = 0.0
        self._count[:] = 0.0

    def add(self, share: Array) -> None:
        good = share > 0.0
        self._sum += np.where(good, np.log(np.where(good, share, 1.0)), 0.0)
        self._count += good
        self.scans += 1

    def mean(self) -> Array:
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: Array = self._sum / self._count
        return mean
