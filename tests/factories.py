"""Builders that tests share: a line in code, scans, one cycle's inputs, and a toy web with nothing but transport.

Nothing here reads a settings file, and the toy web works out its physics with loops of its own: what a test compares
the controller with must not come from the controller.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from math import cos, exp, sin
from typing import Any

import numpy as np

from controller.line.command import ActuatorCommand
from controller.line.description import (
    Array,
    BoolArray,
    ControlDescription,
    DieDescription,
    GaugeDescription,
    GaugeKind,
    LawName,
    LineDescription,
    LipLimits,
    PumpDescription,
    SlurryDescription,
    TargetDescription,
)
from controller.line.profile import DryScan, LineInputs, LineState, WetScan

NS = 1_000_000_000


def make_line(
    zones: int = 8,
    law: LawName = LawName.IMC,
    *,
    wet: bool = True,
    dry: bool = True,
    boxes_per_zone: int = 2,
    **parts: Any,
) -> LineDescription:
    """A small line: 25 mm a bolt, 1 m/s, wet gauge at 3 m, dry gauge at 63 m, 180 g/m2.

    `parts` change single fields: `lips={"rate_um_per_s": 2.0}`, `control=...`, `die=...`, `pump=...`, `slurry=...`,
    `target=...`, `wet_gauge=...`, `dry_gauge=...`, and `line=...` for fields of the line itself.
    """

    def part(name: str, default: Any) -> Any:
        return replace(default, **parts.pop(name, {}))

    boxes = boxes_per_zone * zones
    wet_gauge = part(
        "wet_gauge", GaugeDescription(GaugeKind.WET_ARRAY, boxes, distance_m=3.0, period_s=0.1, noise_pct=0.4)
    )
    dry_gauge = part(
        "dry_gauge", GaugeDescription(GaugeKind.DRY_ARRAY, boxes, distance_m=63.0, period_s=1.0, noise_pct=0.3)
    )
    made = LineDescription(
        name=f"test-{zones}",
        web_width_mm=25.0 * zones,
        web_speed_mps=1.0,
        web_speed_max_mps=1.25,
        target=part("target", TargetDescription(areal_density_gsm=180.0, tolerance_pct=1.5)),
        slurry=part("slurry", SlurryDescription(density_kgm3=1730.0, solids_fraction=0.58, flow_index=0.6)),
        die=part(
            "die", DieDescription(zones, 25.0, 600.0, 0.4, 1.8, alignment_shift_mm=0.0, alignment_uncertainty_mm=8.0)
        ),
        lips=part("lips", LipLimits(480.0, 720.0, 5.0, 0.2, 0.5, 50.0, 70.0, 0.1)),
        pump=part("pump", PumpDescription(2.5 * zones, 0.96, 165.0, trim_max_pct=8.0, trim_rate_pct_per_s=0.5)),
        wet_gauge=wet_gauge if wet else None,
        dry_gauge=dry_gauge if dry else None,
        control=part("control", ControlDescription(0.1, law, 20.0, 8.0, 300.0, 0.1, 0.2, 5)),
    )
    made = replace(made, **parts.pop("line", {}))
    assert not parts, f"no such part of a line: {sorted(parts)}"
    return made


def wet_scan(
    line: LineDescription, error_log: float | Array = 0.0, *, t_s: float = 0.0, web_m: float = 0.0, scan_id: int = 1,
    valid: BoolArray | None = None,
) -> WetScan:  # fmt: skip
    """A wet scan whose film is `error_log` (boxes,) above what makes the target, in log."""
    assert line.wet_gauge is not None
    film_um = _box_target(line, line.wet_gauge) / line.slurry.areal_density_gsm_per_um * np.exp(error_log)
    valid = np.ones(film_um.size, dtype=bool) if valid is None else valid
    return WetScan(scan_id=scan_id, t_gauge_ns=round(t_s * NS), web_m=web_m, valid=valid, film_um=film_um)


def dry_scan(
    line: LineDescription, error_log: float | Array = 0.0, *, t_s: float = 0.0, web_m: float = 0.0, scan_id: int = 1,
    valid: BoolArray | None = None,
) -> DryScan:  # fmt: skip
    """A dry scan whose areal density is `error_log` (boxes,) above the target, in log."""
    assert line.dry_gauge is not None
    density = _box_target(line, line.dry_gauge) * np.exp(error_log)
    valid = np.ones(density.size, dtype=bool) if valid is None else valid
    return DryScan(scan_id=scan_id, t_gauge_ns=round(t_s * NS), web_m=web_m, valid=valid, areal_density_gsm=density)


def _box_target(line: LineDescription, gauge: GaugeDescription) -> Array:
    return np.repeat(line.target_profile_gsm, gauge.boxes // line.zones)


def make_inputs(line: LineDescription, t_s: float = 0.0, **changes: Any) -> LineInputs:
    """One cycle of a healthy line at nominal speed, lips at nominal, pump at the recipe's ratio, no scan."""
    inputs = LineInputs(
        t_line_ns=round(t_s * NS),
        sync_cycle=round(t_s / line.control.cycle_s),
        web_m=line.web_speed_mps * t_s,
        web_speed_mps=line.web_speed_mps,
        encoder_valid=True,
        line_state=LineState.RUNNING,
        roll=1,
        batch=1,
        gap_um=np.full(line.zones, line.die.gap_nominal_um),
        gap_valid=np.ones(line.zones, dtype=bool),
        pump_ratio_rpm_per_mps=line.pump_ratio_nominal_rpm_per_mps,
        pump_trim_pct=0.0,
        pump_speed_rpm=line.pump_ratio_nominal_rpm_per_mps * line.web_speed_mps,
        pump_pressure_kpa=250.0,
        slurry_temperature_c=25.0,
        pump_valid=True,
        wet=None,
        dry=None,
    )
    return inputs._replace(**changes)


def lip_response_per_um(line: LineDescription) -> Array:
    """Log areal density of each zone for one micrometre of each bolt, (zones, zones), worked out in loops."""
    zones, pitch = line.zones, line.die.zone_pitch_mm
    beta = 2.02696 / (line.die.kernel_fwhm_pitches * pitch)
    kernel = np.empty((zones, zones))
    for zone in range(zones):
        for bolt in range(zones):
            s = beta * abs(zone * pitch + line.die.alignment_shift_mm - bolt * pitch)
            kernel[zone, bolt] = exp(-s) * (cos(s) + sin(s))
        kernel[zone] /= kernel[zone].sum()
    gain = (2.0 + 1.0 / line.slurry.flow_index) * line.die.lip_share / line.die.gap_nominal_um
    response: Array = gain * kernel
    return response


def identical(one: Any, other: Any) -> bool:
    """Whether two values of the vocabulary are the same to the last bit; NaN is the same as NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if is_dataclass(one):
        return all(identical(getattr(one, field.name), getattr(other, field.name)) for field in fields(one))
    if isinstance(one, tuple | list):
        return len(one) == len(other) and all(map(identical, one, other))
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124


Disturbance = Callable[[float], Array | float]


class ToyWeb:
    """Die, pure transport and perfect gauges, and nothing else. Lips and pump take a command up at once.

    `coating` is a log disturbance of each zone at the die as a function of web position, seen by both gauges; `solids`
    is one that only the dry gauge sees. `gain` multiplies the true lip and pump effect: what the controller believes is
    then wrong by that much. Use: `inputs = web.inputs()`, decide, `web.advance(command)`.
    """

    def __init__(
        self,
        line: LineDescription,
        coating: Disturbance = lambda web_m: 0.0,
        solids: Disturbance = lambda web_m: 0.0,
        gain: float = 1.0,
        wet_box_bias: Array | float = 0.0,
        gap_um: Array | None = None,
    ) -> None:
        self.line, self.coating, self.solids, self.gain = line, coating, solids, gain
        self.wet_box_bias = wet_box_bias
        self.response = gain * lip_response_per_um(line)
        self.speed_mps = line.web_speed_mps
        self.cycle, self.web_m = 0, 0.0
        self.gap_um = np.full(line.zones, line.die.gap_nominal_um) if gap_um is None else gap_um.copy()
        self.trim_pct = 0.0
        self._web: list[float] = []  # positions, and what the die laid there: wet and dry log error by zone
        self._laid: list[tuple[Array, Array]] = []
        self._lay()

    @property
    def t_s(self) -> float:
        return self.cycle * self.line.control.cycle_s

    @property
    def die_error(self) -> Array:
        """Log error of dry areal density now leaving the die, (zones,)."""
        return self._laid[-1][1]

    def _lay(self) -> None:
        shape = self.response @ (self.gap_um - self.line.die.gap_nominal_um)
        local = np.exp(shape)
        pump = self.gain * np.log1p(self.trim_pct / 100.0)
        wet = np.log(local / local.mean()) + pump + self.coating(self.web_m) + np.zeros(self.line.zones)
        self._web.append(self.web_m)
        self._laid.append((wet, wet + self.solids(self.web_m)))

    def _seen(self, distance_m: float, which: int, boxes: int) -> Array:
        at = self.web_m - distance_m
        index = max(int(np.searchsorted(self._web, at + 1e-9)) - 1, 0)
        return np.repeat(self._laid[index][which], boxes // self.line.zones)

    def inputs(self, **changes: Any) -> LineInputs:
        """What the line says now, with a scan of each gauge whose period is due."""
        line, scans = self.line, {}
        if line.wet_gauge and self._due(line.wet_gauge):
            seen = self._seen(line.wet_gauge.distance_m, 0, line.wet_gauge.boxes) + self.wet_box_bias
            scans["wet"] = wet_scan(line, seen, t_s=self.t_s, web_m=self.web_m, scan_id=self.cycle)
        if line.dry_gauge and self._due(line.dry_gauge):
            seen = self._seen(line.dry_gauge.distance_m, 1, line.dry_gauge.boxes)
            scans["dry"] = dry_scan(line, seen, t_s=self.t_s, web_m=self.web_m, scan_id=self.cycle)
        healthy = {
            "web_m": self.web_m,
            "web_speed_mps": self.speed_mps,
            "gap_um": self.gap_um.copy(),
            "pump_trim_pct": self.trim_pct,
        }
        return make_inputs(line, self.t_s, **(healthy | scans | changes))

    def _due(self, gauge: GaugeDescription) -> bool:
        return self.cycle % max(1, round(gauge.period_s / self.line.control.cycle_s)) == 0

    def advance(self, command: ActuatorCommand | None) -> None:
        """One cycle: actuators take the command, the web moves, the die lays down what they now make."""
        if command is not None:
            self.gap_um, self.trim_pct = command.gap_um.copy(), command.pump_trim_pct
        self.cycle += 1
        self.web_m += self.speed_mps * self.line.control.cycle_s
        self._lay()
