"""What every metre and zone of a roll weighs, and how surely: the roll map. Only evencoat.passport imports this."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, BoolArray
from evencoat.passport.smooth import Readings, Walk, likeliest, smoothed, split
from evencoat.passport.web import Float32, Seen, Web

SYSTEMATIC_PCT = 0.08  # standard uncertainty common to all scans of a dry gauge: nothing in a journal tells of it
WET_ALONE_PCT = 1.5  # the same of a line that has no dry gauge: the wet one is blind to solids
COVERAGE_SIGMAS = 1.96  # of an interval of 95 %
ZONES_AT_ONCE = 40
ZONES_ASKED = 16  # about how fast shapes walk, and how noisy the gauges are
ALIKE = 0.4  # two gauges' excesses are one hole when they differ by less than this share


@dataclass(slots=True)
class RollMap:
    """Areal density over the target of when it was laid, log; (metres, zones) each.

    random: standard uncertainty of one cell; systematic: that of all cells together. seen: scans of any gauge behind a
    cell; coated: (metres,).
    """

    log: Float32
    random: Float32
    systematic: float
    seen: Float32
    coated: BoolArray
    mean_log: Array
    walk_mean: Walk
    walk_shape: Walk

    @property
    def deviation_pct(self) -> Float32:
        """Of target, percent."""
        return (100.0 * np.expm1(self.log)).astype(np.float32)

    @property
    def sigma_pct(self) -> Float32:
        """Standard uncertainty, both kinds together, percent of target."""
        return (100.0 * np.sqrt(self.random.astype(np.float64) ** 2 + self.systematic**2)).astype(np.float32)

    @property
    def half_width_pct(self) -> Float32:
        """Half of an interval that holds 95 % of the cells, percent of target."""
        return (COVERAGE_SIGMAS * self.sigma_pct).astype(np.float32)


def weigh(web: Web, systematic_pct: float = SYSTEMATIC_PCT) -> RollMap:
    """Join what both gauges saw of a roll."""
    zones = web.line.zones
    wet_mean, wet_shape, wet_counts = _parts(web.wet, web, zones)
    dry_mean, dry_shape, dry_counts = _parts(web.dry, web, zones)
    guess = _guess(web)
    totals = wet_counts.sum(axis=1, keepdims=True), dry_counts.sum(axis=1, keepdims=True)
    level = Readings(wet_mean, totals[0], dry_mean, totals[1])
    mean = smoothed(level, likeliest(level, guess))
    shapes = Readings(wet_shape, wet_counts, dry_shape, dry_counts)
    whole = likeliest(shapes.of(slice(None, None, -(-zones // ZONES_ASKED))), guess)
    log, variance = np.empty_like(wet_shape, dtype=np.float32), np.empty_like(wet_shape, dtype=np.float32)
    walk = guess
    for first in range(0, zones, ZONES_AT_ONCE):
        some = slice(first, first + ZONES_AT_ONCE)
        shape = smoothed(shapes.of(some), whole)
        log[:, some], variance[:, some] = mean.x + shape.x, mean.variance + shape.variance
        walk = shape.walk
    for metre, zone, excess, doubt in _holes(web):
        log[metre, zone] += excess
        variance[metre, zone] += doubt
    log -= np.log(web.laid.target_ratio)[:, None].astype(np.float32)
    return RollMap(
        log=log,
        random=np.sqrt(variance),
        systematic=_systematic(web, systematic_pct),
        seen=(wet_counts + dry_counts).astype(np.float32),
        coated=_coated(web),
        mean_log=mean.x[:, 0] - np.log(web.laid.target_ratio),
        walk_mean=mean.walk,
        walk_shape=walk,
    )


def _parts(seen: Seen | None, web: Web, zones: int) -> tuple[Array, Array, Array]:
    if seen is None:
        return np.full((web.metres, 1), np.nan), np.full((web.metres, zones), np.nan), np.zeros((web.metres, zones))
    with np.errstate(divide="ignore", invalid="ignore"):
        values = seen.total.astype(np.float64) / seen.count
    mean, shape, _ = split(values, seen.count.astype(np.float64))
    return mean, shape, seen.count.astype(np.float64)


def _guess(web: Web) -> Walk:
    """Variances to begin with: gauges as the line file has them, a web and an offset that walk a little."""
    wet, dry = (
        (0.01 * gauge.noise_pct) ** 2 / max(gauge.boxes / web.line.zones, 1.0) if gauge is not None else 1e-5
        for gauge in (web.line.wet_gauge, web.line.dry_gauge)
    )
    return Walk(x=1e-7, o=1e-9, wet=wet, dry=dry)


def _systematic(web: Web, systematic_pct: float) -> float:
    return 0.01 * (systematic_pct if web.dry is not None and web.dry.count.any() else WET_ALONE_PCT)


def _coated(web: Web) -> BoolArray:
    """Bare is what a gauge looked at and no gauge saw anything on."""
    looked = np.zeros(web.metres, dtype=bool)
    anything = np.zeros(web.metres, dtype=bool)
    for seen in (web.wet, web.dry):
        if seen is not None:
            looked |= seen.scans > 0.0
            anything |= seen.count.any(axis=1)
    return anything | ~looked


def _holes(web: Web) -> Iterable[tuple[int, int, float, float]]:
    """Metre, zone, excess (log) and its variance of what jumped out of a gauge and was no error of it.

    Both gauges saw it: believed, by their mean. The other gauge did not look: half believed. It looked and saw nothing:
    an error of the first.
    """
    sums = [_excess(seen) if seen is not None else {} for seen in (web.wet, web.dry)]
    for (metre, zone), wet in sums[0].items():
        near = [sums[1][at, zone] for at in (metre, metre - 1, metre + 1) if (at, zone) in sums[1]]
        other = next((dry for dry in near if abs(dry - wet) < ALIKE * max(abs(dry), abs(wet))), None)
        if other is not None:
            yield metre, zone, 0.5 * (wet + other), (0.5 * (wet - other)) ** 2
        elif web.dry is None or web.dry.count[metre, zone] == 0.0:
            yield metre, zone, 0.5 * wet, wet * wet / 4.0
    for (metre, zone), dry in sums[1].items():
        if web.wet is None or web.wet.count[metre, zone] == 0.0:
            yield metre, zone, 0.5 * dry, dry * dry / 4.0


def _excess(seen: Seen) -> dict[tuple[int, int], float]:
    sums: dict[tuple[int, int], float] = defaultdict(float)
    for metre, zone, excess, share in seen.spikes:
        sums[metre, zone] += excess * share / max(float(seen.count[metre, zone]), share)
    return {at: value for at, value in sums.items() if math.isfinite(value)}


def probability_out(roll_map: RollMap, tolerance_pct: float) -> Float32:
    """Chance that a cell is out of tolerance, (metres, zones)."""
    sigma = np.maximum(roll_map.sigma_pct.astype(np.float64), 1e-6)
    deviation = roll_map.deviation_pct.astype(np.float64)
    above = _tail((tolerance_pct - deviation) / sigma)
    below = _tail((tolerance_pct + deviation) / sigma)
    return np.minimum(above + below, 1.0).astype(np.float32)


def _tail(z: Array) -> Array:
    """Upper tail of the normal distribution; Abramowitz and Stegun 26.2.17, good to 1e-7."""
    t = 1.0 / (1.0 + 0.2316419 * np.abs(z))
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    upper = np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi) * series
    return np.where(z >= 0.0, upper, 1.0 - upper)
