"""Runs of the plant that the tour's pictures show: plant and firmware habits without a bus, recorded whole.

Only the tour imports this.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, GaugeKind, LineDescription
from controller.line.profile import LineState
from plant_sim import plant
from plant_sim.faults import Play
from plant_sim.node import PumpNode
from plant_sim.plant import Command, Plant
from plant_sim.scenario import Scenario
from plant_sim.truth import Truth

LipProgramme = Callable[[float], Array]  # line time in s -> gap asked of each bolt, um


@dataclass(frozen=True, slots=True, eq=False)
class Scans:
    """What one gauge reported, in percent of target, NaN where a box was not valid. Shapes (scans,), (scans, boxes).

    web_m is the web position at the gauge; take off its distance for where that web left the die.
    """

    t_s: Array
    web_m: Array
    pct: Array

    def latest(self, t_s: float, not_older_s: float = 5.0) -> Array:
        """The newest scan at a time, shape (boxes,); NaN where there is none that is fresh."""
        k = int(np.searchsorted(self.t_s, t_s, side="right")) - 1
        fresh = k >= 0 and self.t_s[k] >= t_s - not_older_s
        row: Array = self.pct[k] if fresh else np.full(self.pct.shape[1], np.nan)
        return row

    def mean_pct(self) -> Array:
        """Mean over the boxes that are valid, shape (scans,)."""
        valid = np.isfinite(self.pct)
        means: Array = np.where(valid, self.pct, 0.0).sum(axis=1) / np.where(
            valid.any(axis=1), valid.sum(axis=1), np.nan
        )
        return means


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """One run: true deviation from target in percent, shape (steps, lanes), NaN on bare foil, and both gauges."""

    t_s: Array
    web_m: Array
    true_pct: Array
    motor_um: Array  # shape (steps, zones)
    wet: Scans
    dry: Scans

    def true_at(self, t_s: float) -> Array:
        """True profile of the web that left the die at a time, shape (lanes,)."""
        row: Array = self.true_pct[min(int(np.searchsorted(self.t_s, t_s)), self.t_s.size - 1)]
        return row


def record(
    line: LineDescription,
    truth: Truth,
    plays: tuple[Play, ...],
    minutes: float,
    dt_s: float,
    lips: LipProgramme | None = None,
    seed: int = 1,
) -> Recording:
    """Run the plant; the pump turns in proportion to web speed, and stops as its drive would."""
    one = Plant.of(truth, Scenario("tour", "", plays), seed)
    drive = PumpNode(line.pump_ratio_nominal_rpm_per_mps, line.control.cycle_s)
    state = plant.start(one, drive.speed_rpm(line.web_speed_mps, True, LineState.RUNNING))
    readings, rows = None, []
    for _ in range(round(60.0 * minutes / dt_s)):
        if readings is None:
            rpm = drive.speed_rpm(line.web_speed_mps, True, LineState.RUNNING)
        else:
            rpm = drive.speed_rpm(readings.web_speed_mps, readings.encoder_valid, readings.line_state)
        gap_um = one.gap_rest_um if lips is None else lips(state.t_s)
        state, readings = plant.step(one, state, Command(gap_um, rpm), dt_s)
        rows.append(readings)
    areal = np.array([row.areal_density_gsm for row in rows])
    target = line.target.areal_density_gsm
    return Recording(
        t_s=np.array([row.t_s for row in rows]),
        web_m=np.array([row.web_m for row in rows]),
        true_pct=100.0 * (np.where(areal > 0.0, areal, np.nan) / target - 1.0),
        motor_um=np.array([row.lip_motor_um for row in rows]),
        wet=_scans(rows, GaugeKind.WET_ARRAY, target / line.slurry.areal_density_gsm_per_um),
        dry=_scans(rows, GaugeKind.DRY_ARRAY if line.dry_gauge is None else line.dry_gauge.kind, target),
    )


def _scans(rows: list[plant.Readings], kind: GaugeKind, target: float) -> Scans:
    found = [scan for row in rows for scan in row.scans if scan.kind is kind]
    values = np.array([scan.values for scan in found]) if found else np.full((0, 1), np.nan)
    return Scans(
        np.array([scan.t_s for scan in found]),
        np.array([scan.web_m for scan in found]),
        100.0 * (values / target - 1.0),
    )
