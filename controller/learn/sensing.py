"""What the gauges and the pressure sensor of a belief plant tell: a stream of LineInputs, lips and pump at rest."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from controller.learn.belief import IntArray, World, drift
from controller.learn.families import CYCLE_S, stream
from controller.line.description import Array, GaugeDescription
from controller.line.profile import DryScan, LineInputs, LineState, WetScan

NS = 1_000_000_000
COMMON, OWN = 0.6, 0.8  # of a gauge's bias: what its boxes share, and what each has of its own
MIDDLE_KPA = 250.0  # of a pressure sensor; quantised to
COUNT_KPA = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class _Scans:
    """All scans of one gauge. cycle (scans,): in which each comes in; web_m (scans,): encoder at its middle; error
    (scans, boxes): log of areal density over target."""

    cycle: IntArray
    web_m: Array
    error: Array
    direction: IntArray


def watched(world: World) -> Iterator[LineInputs]:
    """What the controller is told, once a cycle."""
    line = world.line
    wet = _scans(world, line.wet_gauge) if line.wet_gauge else None
    dry = _scans(world, line.dry_gauge) if line.dry_gauge else None
    film_um = line.target_profile_gsm / line.slurry.areal_density_gsm_per_um
    wets = {} if wet is None else _by_cycle(wet, film_um)
    dries = {} if dry is None else _by_cycle(dry, line.target_profile_gsm)
    pressure_kpa, web_m, whole = _pressure_kpa(world).tolist(), world.web_m.tolist(), np.ones(line.zones, dtype=bool)
    ratio, gap_um = line.pump_ratio_nominal_rpm_per_mps, np.full(line.zones, line.die.gap_nominal_um)
    for cycle, name in enumerate(world.batch.tolist()):
        t_ns = round((cycle + 1) * CYCLE_S * NS)
        scan, weighed = wets.get(cycle), dries.get(cycle)
        yield LineInputs(
            t_line_ns=t_ns,
            sync_cycle=cycle + 1,
            web_m=web_m[cycle],
            web_speed_mps=line.web_speed_mps,
            encoder_valid=True,
            line_state=LineState.RUNNING,
            roll=1,
            batch=name,
            gap_um=gap_um,
            gap_valid=whole,
            pump_ratio_rpm_per_mps=ratio,
            pump_trim_pct=0.0,
            pump_speed_rpm=ratio * line.web_speed_mps,
            pump_pressure_kpa=pressure_kpa[cycle],
            slurry_temperature_c=25.0,
            pump_valid=True,
            wet=None if scan is None else WetScan(cycle, t_ns, scan[0], whole, scan[1]),
            dry=None if weighed is None else DryScan(cycle, t_ns, weighed[0], whole, weighed[1], weighed[2]),
        )


def _by_cycle(scans: _Scans, target: Array) -> dict[int, tuple[float, Array, int]]:
    readings = target * np.exp(scans.error)
    rows = zip(scans.web_m.tolist(), readings, scans.direction.tolist(), strict=True)
    return dict(zip(scans.cycle.tolist(), rows, strict=True))


def _pressure_kpa(world: World) -> Array:
    """ln P with the sensor's noise, on its grid; 0 where there is no sensor."""
    rng, n = stream(world.seed, "pressure"), world.numbers
    absent, quiet = rng.random() < n["pressure_none_share"], rng.random() < n["pressure_true_share"]
    if absent:
        return np.zeros(world.cycles)
    noise = 0.0 if quiet else 0.01 * n["pressure_noise_pct"]
    log = world.pressure_log - world.pressure_log[0] + noise * rng.standard_normal(world.cycles)
    pressure: Array = MIDDLE_KPA * np.exp(log)
    return pressure if quiet else np.round(pressure / COUNT_KPA) * COUNT_KPA


def _scans(world: World, gauge: GaugeDescription) -> _Scans:
    """Every scan whose web had left the die when the line began to run."""
    speed, end_s = world.line.web_speed_mps, world.cycles * CYCLE_S
    first = math.floor(gauge.distance_m / speed / gauge.period_s) + 1  # scan k sees what passes in [k, k + 1) periods
    number = np.arange(first, math.floor(end_s / gauge.period_s + 1e-9))
    begin_s: Array = (number * gauge.period_s).astype(np.float64)
    cycle = np.minimum(np.ceil((begin_s + gauge.period_s) / CYCLE_S - 1e-9).astype(np.int64) - 1, world.cycles - 1)
    if gauge.is_scanner:
        error, direction = _passes(world, gauge, begin_s, number)
    else:
        error, direction = _looks(world, gauge, begin_s), np.zeros(number.size, dtype=np.int64)
    error += _bias(world, gauge, cycle) + _noise(world, gauge, error.shape)
    return _Scans(cycle, speed * (begin_s + 0.5 * gauge.period_s), error, direction)


def _looks(world: World, gauge: GaugeDescription, begin_s: Array) -> Array:
    """An array sees all of the web that passes in its period: (scans, boxes)."""
    level = world.film if gauge.is_wet else world.dry
    summed = np.concatenate(([0.0], np.cumsum(level))) * CYCLE_S
    edges_s = CYCLE_S * np.arange(summed.size)
    from_s = begin_s - gauge.distance_m / world.line.web_speed_mps
    mean = (np.interp(from_s + gauge.period_s, edges_s, summed) - np.interp(from_s, edges_s, summed)) / gauge.period_s
    at = np.clip(((from_s + 0.5 * gauge.period_s) / CYCLE_S).astype(np.int64), 0, world.cycles - 1)
    seen: Array = mean[:, None] + np.log(world.shape[at])
    return seen


def _passes(world: World, gauge: GaugeDescription, begin_s: Array, number: IntArray) -> tuple[Array, IntArray]:
    """A head sees each box at its own moment: (scans, boxes), and which way it went."""
    boxes = gauge.boxes
    travel_s = world.line.web_width_mm * 1e-3 / gauge.head_speed_mps
    along = (np.arange(boxes) + 0.5) / boxes
    right = number % 2 == 0
    at_s = begin_s[:, None] + travel_s * np.where(right[:, None], along, 1.0 - along)
    at = (at_s - gauge.distance_m / world.line.web_speed_mps) / CYCLE_S
    row = np.clip(at.astype(np.int64), 0, world.cycles - 1)
    over_s = travel_s / boxes  # of a box: the pulse is averaged over it
    level = np.interp(at, np.arange(world.cycles) + 0.5, world.dry - world.pulse)
    level += _averaged(world.pulse, max(round(over_s / CYCLE_S), 1))[row]
    return level + np.log(world.shape[row, np.arange(boxes)]), np.where(right, 1, -1)


def _averaged(values: Array, over: int) -> Array:
    return np.convolve(values, np.ones(over) / over, mode="same")


def _bias(world: World, gauge: GaugeDescription, cycle: IntArray) -> Array:
    """What the gauge reads wrongly, (scans, boxes): a common drift, a ramp of some wet ones, each box's own error."""
    which, n = "wet" if gauge.is_wet else "dry", world.numbers
    size = 0.01 * n[f"{which}_bias_pct"]
    slow = 20  # cycles: it takes hours to wander
    drifts = drift(world.seed, f"{which}-bias", COMMON * size, n["bias_s"] / slow, world.cycles // slow + 2)
    common = np.interp(cycle / slow, np.arange(drifts.size), drifts)
    if gauge.is_wet and stream(world.seed, "ramping").random() < n["ramping_share"]:
        common += 0.01 * n["wet_ramp_pct_per_h"] * cycle * CYCLE_S / 3600.0
    own = OWN * size * stream(world.seed, which, "boxes").standard_normal(gauge.boxes)
    bias: Array = common[:, None] + own
    return bias


def _noise(world: World, gauge: GaugeDescription, shape: tuple[int, ...]) -> Array:
    which = "wet" if gauge.is_wet else "dry"
    size = 0.01 * gauge.noise_pct * world.numbers["noisier"]
    noise: Array = size * stream(world.seed, which, "noise").standard_normal(shape)
    return noise
