"""What another target, speed or batch would bring, by what the controller believes of the line. Nothing is moved.

Each figure comes with what it assumes. The belief is a power law: target and speed change the pump and leave the shape
of the profile as it is, since each zone's flow goes with its lip by a factor; nothing is believed of lips that open
under pressure, so a larger change than a tenth wants trying.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from controller.core.response import local_gain_per_um
from controller.core.target import RAMP_S, TRIM_SHARE_MAX, bounds_gsm
from controller.line.description import Array, LineDescription
from evencoat.forecast.core import Forecast, beyond, metre_chance
from plant_sim.slurry import Recipe

SOLIDS_MOST_PCT = 3.0  # points of solids either way
SPEED_LEAST = 0.1  # of nominal
ADAPTIVE_DELAYS = 1.5  # transport times to the dry gauge in which most of a batch's step is answered


class WhatIfError(ValueError):
    """The question is out of bounds; the text names field, value and bounds."""


def answer(
    line: LineDescription,
    target_gsm: float | None = None,
    speed_m_per_min: float | None = None,
    solids_pct: float | None = None,
    now: Mapping[str, Any] | None = None,
    forecast: Forecast | None = None,
) -> dict[str, Any]:
    """All figures, and `assumes`: sentences. solids_pct: points of solids that the next batch has more than this one.

    now: a cycle by the names of Trace, for where lips and pump stand; without it they stand as the line file says.
    forecast: for how far the web strays. Raises WhatIfError.
    """
    target, speed, solids = _checked(line, target_gsm, speed_m_per_min, solids_pct)
    recipe_gsm = float(line.target_profile_gsm.mean())
    old_gsm = _told(now, "target_gsm", recipe_gsm)
    old_speed = max(_told(now, "web_speed_mps", line.web_speed_mps), SPEED_LEAST * line.web_speed_mps)
    trim_pct = _told(now, "pump_trim_pct", 0.0)
    new_gsm, new_speed = target or old_gsm, speed or old_speed
    step_log = _batch_log(line, solids)
    pump = _pump(line, old_gsm, new_gsm, new_speed, old_speed, trim_pct, step_log)
    return {
        "asked": {"target_gsm": target, "speed_m_per_min": speed and 60.0 * speed, "solids_pct": solids or None},
        "pump": pump,
        "lips": _lips(line, now),
        "oven": _oven(line, new_gsm, new_speed, old_speed),
        "change": _change(line, old_gsm, new_gsm, new_speed, step_log),
        "web": _web(line, forecast, new_speed / old_speed),
        "assumes": _assumes(line, now, forecast, solids),
    }


def _checked(
    line: LineDescription, target_gsm: float | None, speed_m_per_min: float | None, solids_pct: float | None
) -> tuple[float | None, float | None, float]:
    """Target, g/m2; speed, m/s; solids, points."""
    bounds = {
        "target": (target_gsm, *bounds_gsm(line), "g/m2"),
        "speed": (speed_m_per_min, 60.0 * SPEED_LEAST * line.web_speed_mps, 60.0 * line.web_speed_max_mps, "m/min"),
        "solids": (solids_pct, -SOLIDS_MOST_PCT, SOLIDS_MOST_PCT, "points"),
    }
    for name, (value, low, high, unit) in bounds.items():
        if value is not None and not low <= value <= high:
            raise WhatIfError(f"{name} = {value:g}: must lie between {low:.4g} and {high:.4g} {unit} on {line.name}")
    return target_gsm, speed_m_per_min and speed_m_per_min / 60.0, solids_pct or 0.0


def _told(now: Mapping[str, Any] | None, name: str, instead: float) -> float:
    value = None if now is None else now[name]
    return float(value) if value is not None and math.isfinite(float(value)) else instead


def _batch_log(line: LineDescription, solids_pct: float) -> float:
    """Log of the areal density that other solids bring at the same pump."""
    slurry = line.slurry
    recipe = Recipe.of(slurry.density_kgm3, slurry.solids_fraction)
    other = slurry.solids_fraction + 0.01 * solids_pct
    return math.log(recipe.density_kgm3(other) * other / (slurry.density_kgm3 * slurry.solids_fraction))


def _pump(
    line: LineDescription, old_gsm: float, new_gsm: float, new_speed: float, old_speed: float, trim_pct: float,
    step_log: float,
) -> dict[str, Any]:  # fmt: skip
    factor = (1.0 + 0.01 * trim_pct) * new_gsm / old_gsm * math.exp(-step_log)
    needs_pct = 100.0 * (factor - 1.0)
    ratio = line.pump_ratio_nominal_rpm_per_mps
    rpm = ratio * new_speed * factor
    before_rpm = ratio * old_speed * (1.0 + 0.01 * trim_pct)
    most = line.pump.trim_max_pct
    return {
        "trim_pct": needs_pct,
        "trim_left_pct": most - abs(needs_pct),
        "within_trim": abs(needs_pct) <= most,
        "rpm": rpm,
        "within_rpm": rpm <= line.pump.speed_max_rpm,
        "moving_s": abs(needs_pct - trim_pct) / line.pump.trim_rate_pct_per_s,
        "pressure_share": (rpm / before_rpm) ** line.slurry.flow_index,
    }


def _lips(line: LineDescription, now: Mapping[str, Any] | None) -> dict[str, Any]:
    """What bolts could still do. A power law asks no moves of them for target or speed."""
    gap = np.full(line.zones, line.die.gap_nominal_um) if now is None else np.asarray(now["gap_um"], dtype=np.float64)
    gap = np.where(np.isfinite(gap), gap, line.die.gap_nominal_um)
    room = np.minimum(line.lips.gap_max_um - gap, gap - line.lips.gap_min_um)
    worst = int(room.argmin())
    return {
        "moves_um": 0.0,
        "least_room_um": float(room[worst]),
        "least_room_bolt": worst + 1,
        "corrects_pct": 100.0 * local_gain_per_um(line) * max(float(room[worst]), 0.0),
        "neighbours_left_um": line.lips.neighbour_max_um - float(np.abs(np.diff(gap)).max(initial=0.0)),
    }


def _oven(line: LineDescription, new_gsm: float, new_speed: float, old_speed: float) -> dict[str, Any]:
    wet_um = new_gsm / line.slurry.areal_density_gsm_per_um
    liquid = new_gsm * (1.0 / line.slurry.solids_fraction - 1.0) * new_speed
    usual = float(line.target_profile_gsm.mean()) * (1.0 / line.slurry.solids_fraction - 1.0) * line.web_speed_mps
    told: dict[str, Any] = {"wet_film_um": wet_um, "liquid_share": liquid / usual}
    for name, gauge in (("wet", line.wet_gauge), ("dry", line.dry_gauge)):
        if gauge is not None:
            told[f"{name}_delay_s"] = gauge.distance_m / new_speed
            told[f"{name}_delay_before_s"] = gauge.distance_m / old_speed
    return told


def _change(line: LineDescription, old_gsm: float, new_gsm: float, speed: float, step_log: float) -> dict[str, Any]:
    """How much web is beyond tolerance of what it shall be, m."""
    tolerance = math.log1p(0.01 * line.target.tolerance_pct)
    moved = abs(math.log(new_gsm / old_gsm))
    ramp_m = moved / tolerance * RAMP_S * line.web_speed_mps
    lag_m = (line.primary_gauge.distance_m if moved else 0.0) + line.control.closed_loop_md_s * speed * bool(moved)
    beyond_m = max(0.0, ramp_m * (1.0 - tolerance / moved) + lag_m) if moved > tolerance else 0.0
    gauge = line.dry_gauge or line.primary_gauge
    stray = abs(step_log)
    answered_m = ADAPTIVE_DELAYS * gauge.distance_m
    batch_m = answered_m * (1.0 + math.log(stray / tolerance)) if stray > tolerance else 0.0
    return {
        "target_ramp_m": ramp_m,
        "target_scrap_m": beyond_m,
        "batch_step_pct": 100.0 * math.expm1(step_log),
        "batch_scrap_most_m": batch_m,
        "scrap_most_m": beyond_m + batch_m,
    }


def _web(line: LineDescription, forecast: Forecast | None, faster: float) -> dict[str, Any]:
    """How the web would lie in tolerance: the spread of now, that of the mean as if it drifted for the new delay."""
    if forecast is None:
        return {}
    tolerance = line.target.tolerance_pct
    mean_sd = forecast.mean_sd_pct[-1:] / tolerance * math.sqrt(1.0 / faster)
    mean = forecast.mean_pct[-1:] / tolerance
    shape = (forecast.expected_pct[-1:] - forecast.mean_pct[-1:, None]) / tolerance
    shape_var = forecast.sd_pct[-1:] ** 2 - forecast.mean_sd_pct[-1:, None] ** 2
    shape_sd = np.sqrt(np.maximum(shape_var, 1e-6)) / tolerance
    zone_out: Array = beyond(mean[:, None] + shape, np.hypot(shape_sd, mean_sd[:, None]))[0]
    return {
        "sd_pct": (tolerance * np.hypot(shape_sd, mean_sd[:, None])[0]).round(4).tolist(),
        "zone_out": zone_out.round(5).tolist(),
        "metre_out": float(metre_chance(mean, mean_sd, shape, shape_sd)[0]),
    }


def _assumes(
    line: LineDescription, now: Mapping[str, Any] | None, forecast: Forecast | None, solids_pct: float
) -> list[str]:
    said = [
        f"A power-law slurry with n = {line.slurry.flow_index:g}: pressure goes with pump speed to that power, and no "
        "lip has to move for another target or speed.",
        f"The target moves by its tolerance in {RAMP_S:g} s of web at nominal speed, and by the pump alone; more than "
        f"{100.0 * TRIM_SHARE_MAX:g} % of its trim is another recipe.",
        "The oven dries as well as before; what it has to take off is told, whether it can is not known.",
    ]
    if solids_pct:
        said.append(
            "The next batch differs in solids alone, and its whole step comes at once: a slow front costs less."
        )
        said.append(f"Most of a step is answered within {ADAPTIVE_DELAYS:g} transport times to the gauge that sees it.")
    if now is None:
        said.append("Lips stand at the nominal gap and the trim at nothing: no journal was given.")
    if forecast is not None:
        said.append("Spread and profile are those of now; that of the mean grows with the root of the dead time.")
    return said
