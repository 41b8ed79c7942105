"""The last word before the bus: it refuses, it never edits. The bridge asks it about every command.

Its table is written by hand in the line file ([gate]), one count wider than the envelope's limits. It shares neither
code nor constants with the envelope, so that one author's mistake does not pass twice. Settings build the table;
nobody else needs this module.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_HAIR = 1e-6  # um, rpm/(m/s) or %: decimal counts are not exact in binary


@dataclass(frozen=True, slots=True)
class GateTable:
    """What may cross the wire, per command. All numbers are bounds on absolute values or differences."""

    gap_min_um: float
    gap_max_um: float
    step_max_um: float  # a lip's move from one command to the next
    neighbour_max_um: float  # difference between neighbouring lips
    bend_max_um: float  # second difference over three lips
    pump_ratio_min_rpm_per_mps: float
    pump_ratio_max_rpm_per_mps: float
    pump_trim_max_pct: float
    pump_trim_step_pct: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not np.isfinite(value) or value < 0:
                raise ValueError(f"gate.{field.name}: {value}, expected a finite number of at least 0")
        if self.gap_min_um >= self.gap_max_um:
            raise ValueError(f"gate.gap_min_um: {self.gap_min_um}, expected less than gap_max_um = {self.gap_max_um}")
        if self.pump_ratio_min_rpm_per_mps > self.pump_ratio_max_rpm_per_mps:
            raise ValueError(
                f"gate.pump_ratio_min_rpm_per_mps: {self.pump_ratio_min_rpm_per_mps}, expected at most "
                f"pump_ratio_max_rpm_per_mps = {self.pump_ratio_max_rpm_per_mps}"
            )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command does not go out: the bound it broke, where, the value and what the table allows."""

    bound: str
    zone: int  # -1 for the pump and for the command as a whole
    value: float
    allowed: float

    def __str__(self) -> str:
        where = f" at zone {self.zone}" if self.zone >= 0 else ""
        return f"{self.bound}{where}: {self.value:g}, allowed {self.allowed:g}"


class _Passed(NamedTuple):
    gap_um: Array
    ratio: float
    trim: float


class Gate:
    """Holds the last command that passed, and judges the next one against it and the table.

    A value outside the table passes only on its way back in: no further out than the last one passed. So a die that is
    found outside its limits can be walked back, and nothing can walk out.
    """

    def __init__(self, table: GateTable) -> None:
        self.table = table
        self._last: _Passed | None = None

    @property
    def is_primed(self) -> bool:
        return self._last is not None

    def prime(self, gap_um: npt.ArrayLike, ratio_rpm_per_mps: float, trim_pct: float) -> None:
        """Take what the nodes say they apply as the last command. Raises ValueError for anything not finite."""
        gap = np.array(gap_um, dtype=np.float64)
        if not (np.isfinite(gap).all() and np.isfinite(ratio_rpm_per_mps) and np.isfinite(trim_pct)):
            raise ValueError("gate: cannot be primed with values that are not finite")
        self._last = _Passed(gap, float(ratio_rpm_per_mps), float(trim_pct))

    def admits(self, gap_um: npt.ArrayLike, ratio_rpm_per_mps: float, trim_pct: float) -> Refusal | None:
        """None when the command may go out as it is, and it is then remembered; otherwise why not.

        `gap_um` has shape (zones,) and holds, as do the pump's values, what the wire will carry.
        """
        gap = np.array(gap_um, dtype=np.float64)
        last = self._last
        if last is None:
            return Refusal("no feedback yet", -1, math.nan, math.nan)
        if gap.shape != last.gap_um.shape:
            return Refusal("zones", -1, gap.size, last.gap_um.size)
        if not (math.isfinite(ratio_rpm_per_mps) and math.isfinite(trim_pct)):
            return Refusal("pump not finite", -1, math.nan, math.nan)
        # lips that stay are where they passed before: no step, and no further out of anything
        refusal = None if gap.tobytes() == last.gap_um.tobytes() else self._lips(gap, last.gap_um)
        refusal = refusal or self._pump(ratio_rpm_per_mps, trim_pct, last)
        if refusal is None:
            self._last = _Passed(gap, float(ratio_rpm_per_mps), float(trim_pct))
        return refusal

    def _lips(self, gap: Array, last: Array) -> Refusal | None:
        lowest, highest = gap.item(gap.argmin()), gap.item(gap.argmax())  # a NaN is found as either
        if not (math.isfinite(lowest) and math.isfinite(highest)):
            return Refusal("gap not finite", int(np.flatnonzero(~np.isfinite(gap))[0]), math.nan, math.nan)
        table = self.table
        slope = gap[1:] - gap[:-1]
        bend = slope[1:] - slope[:-1]
        return (
            _beyond("gap step", gap - last, np.zeros_like(last), 0, table.step_max_um)
            or _outside("gap", gap, last, table.gap_min_um, table.gap_max_um)
            or _beyond("neighbour difference", slope, last, 1, table.neighbour_max_um)
            or _beyond("bend", bend, last, 2, table.bend_max_um)
        )

    def _pump(self, ratio: float, trim: float, last: _Passed) -> Refusal | None:
        """Ratio and trim multiply, so a step is judged on their product, in percent of the ratio now commanded.

        A pump that is found at another ratio may then be taken over at the trim that gives the same speed, and a jump
        of the ratio inside its range is as much a step as one of the trim.
        """
        table = self.table
        low, high = table.pump_ratio_min_rpm_per_mps, table.pump_ratio_max_rpm_per_mps
        if ratio < min(low, last.ratio) - _HAIR:
            return Refusal("pump ratio", -1, ratio, low)
        if ratio > max(high, last.ratio) + _HAIR:
            return Refusal("pump ratio", -1, ratio, high)
        before = 100.0 * (last.ratio * (1.0 + last.trim / 100.0) / ratio - 1.0) if ratio > 0.0 else last.trim
        bound = max(table.pump_trim_max_pct, abs(before) if before * trim > 0.0 else 0.0)
        if abs(trim) > bound + _HAIR:
            return Refusal("pump trim", -1, trim, table.pump_trim_max_pct)
        if abs(trim - before) > table.pump_trim_step_pct + _HAIR:
            return Refusal("pump trim step", -1, trim - before, table.pump_trim_step_pct)
        return None


def _beyond(bound: str, value: Array, last: Array, order: int, allowed: float) -> Refusal | None:
    """Refuse the first |value| beyond `allowed`, unless it goes back in: same side, no further out than it was.

    What it was is the difference of that order over `last`.
    """
    size = np.abs(value)
    if not size.size or size.item(size.argmax()) <= allowed + _HAIR:
        return None
    was = np.diff(last, n=order)
    bad = (size > allowed + _HAIR) & ~((value * was > 0.0) & (size <= np.abs(was) + _HAIR))
    return _first(bound, bad, value, allowed)


def _outside(bound: str, value: Array, last: Array, low: float, high: float) -> Refusal | None:
    """Refuse the first value outside [low, high], unless it goes back in: same side, no further out than `last`."""
    if low - _HAIR <= value.item(value.argmin()) and value.item(value.argmax()) <= high + _HAIR:
        return None
    under, over = value < low - _HAIR, value > high + _HAIR
    under &= value < last - _HAIR
    over &= value > last + _HAIR
    return _first(bound, under, value, low) or _first(bound, over, value, high)


def _first(bound: str, bad: npt.NDArray[np.bool_], value: Array, allowed: float) -> Refusal | None:
    if not np.count_nonzero(bad):
        return None
    zone = int(np.flatnonzero(bad)[0])
    return Refusal(bound, zone, float(value[zone]), allowed)
