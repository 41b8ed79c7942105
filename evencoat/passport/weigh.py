"""What every metre and zone of a roll weighs, and how surely: the roll map. Only evencoat.passport imports this."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from controller.core.response import lip_matrix, local_gain_per_um
from controller.line.description import Array, BoolArray
from evencoat.passport.samples import Samples, placed
from evencoat.passport.smooth import Readings, Smoothed, Walk, likeliest, smoothed, split
from evencoat.passport.standard import Known, known_by
from evencoat.passport.web import Float32, Means, PassportError, Seen, Web

SYSTEMATIC_PCT = 0.08  # standard uncertainty common to all scans of a dry gauge: nothing in a journal tells of it
WET_ALONE_PCT = 1.5  # the same of a line that has no dry gauge: the wet one is blind to solids
COVERAGE_SIGMAS = 1.96  # of an interval of 95 %
SWIFT_M = 11  # that a metre's mean is compared with
SWIFT_MOST_M = 2.0  # of web in a scan: what changes from pass to pass of a head is no pulsation
USUAL_SHARE, USUAL_SQUARE = 0.9, 0.623  # smallest squares looked at, and their mean of normal numbers of variance 1
SWIFT_UNKNOWN = 0.5  # of its variance, for readings that lie 0.15 m beside where a wave of 1.3 m is read
WAVE_SIGMAS = 3.0  # that a metre's mean can lie beside the walk for pulsation; more is a gauge that jumps
ZONES_AT_ONCE = 40
GROUPS = 4  # of waves across the web, each with its own pace
TORN_SHARE = 0.02  # of the metres may be seen in part
ZONES_ASKED = 16  # about how fast shapes walk, and how noisy the gauges are
PLACED_M = 0.15  # how well a reading's place along the web is known, one standard deviation; found in docs/passport.md
STEEPEST = 0.03  # of areal density in a metre, that this is taken for: what is steeper is an edge
BEGINS, BEGINS_M = 0.0025, 5.0  # beside that, where a roll begins, and over how many metres that fades
ALIKE = 0.4  # two gauges' excesses are one hole when they differ by less than this share


@dataclass(slots=True)
class RollMap:
    """Areal density over the target of when it was laid, log; (metres, zones) each.

    random: standard uncertainty of one cell; systematic: what cells have in common of it, one number of shape (1, 1),
    or that of every cell where lab samples pin it. seen: scans of any gauge behind a cell; coated: (metres,).
    mean_random: standard uncertainty of the mean over the width, (metres,); assumed: systematic part and what foil that
    varies adds, log, before any sample.
    """

    log: Float32
    random: Float32
    systematic: Float32
    seen: Float32
    coated: BoolArray
    mean_log: Array
    walk_mean: Walk
    walk_shape: Walk
    mean_random: Array
    assumed: tuple[float, float]
    known: Known | None = None

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


def weigh(web: Web, systematic_pct: float = SYSTEMATIC_PCT, foil_pct: float = 0.0) -> RollMap:
    """Join what both gauges saw of a roll.

    foil_pct: what foil that varies along the web adds to a dry reading, one standard deviation, percent of target.
    """
    zones = web.line.zones
    wet_mean, wet_shape, wet_counts = _parts(web.wet, web, zones)
    dry_mean, dry_shape, dry_counts = _parts(web.dry, web, zones)
    guess = _guess(web)
    totals = wet_counts.sum(axis=1, keepdims=True), dry_counts.sum(axis=1, keepdims=True)
    level = Readings(wet_mean, totals[0], dry_mean, totals[1])
    mean = smoothed(level, likeliest(level, guess))
    lips = _lips(web)
    shape, shape_variance, walk = _shapes(Readings(wet_shape - lips, wet_counts, dry_shape - lips, dry_counts), guess)
    waves, waves_variance = _waves_along(web.wet, level, mean)
    log = (mean.x + waves[:, None] + shape + lips).astype(np.float32)
    variance = (mean.variance + shape_variance).astype(np.float32)
    for metre, zone, excess, doubt in _holes(web):
        log[metre, zone] += excess
        variance[metre, zone] += doubt
    log -= np.log(web.laid.target_ratio)[:, None].astype(np.float32)
    coated = _coated(web)
    variance += _steep(log) + _begins(coated) + waves_variance[:, None].astype(np.float32)
    foil, systematic = 0.01 * foil_pct, _systematic(web, systematic_pct)
    return RollMap(
        log=log,
        random=np.sqrt(variance),
        systematic=np.full((1, 1), math.hypot(systematic, foil), dtype=np.float32),
        seen=(wet_counts + dry_counts).astype(np.float32),
        coated=coated,
        mean_log=mean.x[:, 0] + waves - np.log(web.laid.target_ratio),
        walk_mean=mean.walk,
        walk_shape=walk,
        mean_random=np.sqrt(mean.variance[:, 0] + waves_variance),
        assumed=(systematic, foil),
    )


def _waves_along(seen: Seen | None, level: Readings, mean: Smoothed) -> tuple[Array, Array]:
    """What the pump's pulsation makes of each metre's mean beside the walk, log, and its variance, (metres,) each.

    What the walk leaves of the wet readings is their boxes' noise, which is known, and waves of the web that no walk
    follows: they are told apart by their sizes (Wiener), metre by metre.
    """
    means = seen.means if seen is not None else []
    means = [one for one in means if one.log.size > SWIFT_M and float(np.median(one.length_m)) <= SWIFT_MOST_M]
    if not means or seen is None:
        return np.zeros(len(mean.x)), np.zeros(len(mean.x))
    noise2 = float(np.median(np.concatenate([one.noise2 for one in means]))) / np.maximum(seen.scans, 1e-6)
    white2 = mean.walk.wet / np.maximum(level.wet_scans[:, 0], 1e-6)
    wave2 = max(float(np.median(white2) - np.median(noise2)), 0.0)
    gain = wave2 / np.maximum(wave2 + noise2, 1e-12)
    left = np.nan_to_num(level.wet[:, 0] - mean.x[:, 0] - mean.offset[:, 0])
    most = WAVE_SIGMAS * math.sqrt(wave2)
    return gain * np.clip(left, -most, most), wave2 * (1.0 - gain) + SWIFT_UNKNOWN * _swift(means)


def _swift(means: list[Means]) -> float:
    """Variance of a metre's mean from one to the next: how far means of a metre of scans lie from those of ten metres
    around them, beyond what single boxes' noise makes of it."""
    found: list[float] = []
    for log, noise2, length_m in means:
        each = max(round(1.0 / float(np.median(length_m))), 1)
        metres = log.size // each
        if metres <= SWIFT_M:
            continue
        mean = log[: metres * each].reshape(metres, each).mean(axis=1)
        noise = float(np.median(noise2)) / each
        apart = np.convolve(mean, np.full(SWIFT_M, 1.0 / SWIFT_M), "valid") - mean[SWIFT_M // 2 : -(SWIFT_M // 2)]
        usual = np.sort(apart**2)[: max(int(USUAL_SHARE * apart.size), 1)]  # steps of the web are none of it
        found.append(float(usual.mean()) / USUAL_SQUARE - noise)
    return max(float(np.median(found)), 0.0) if found else 0.0


def _lips(web: Web) -> Array:
    """What the lips made of each metre's profile by the believed map, log, (metres, zones); nothing where the journal
    does not tell where the bolts stood. Taken off before anything is smoothed: lips that move do not blur the web.
    """
    line, lips_um = web.line, web.laid.gap_um.astype(np.float64) - web.line.die.gap_nominal_um
    if not np.isfinite(lips_um).all():
        return np.zeros_like(lips_um)
    half_um = 0.5 * line.lips.backlash_um
    for before, now in pairwise(lips_um):
        np.clip(before, now - half_um, now + half_um, out=now)  # play drags
    made = local_gain_per_um(line) * (lips_um @ lip_matrix(line.die).T)
    profile: Array = made - made.mean(axis=1, keepdims=True)
    return profile


def _steep(log: Float32) -> Float32:
    """Variance of a cell that its readings' place adds where the web changes from metre to metre, (metres, zones)."""
    if len(log) < 3:
        return np.zeros_like(log)
    slope, bend = np.gradient(log, axis=0), np.zeros_like(log)
    bend[1:-1] = log[2:] - 2.0 * log[1:-1] + log[:-2]
    steep, bent = (np.clip(one, -STEEPEST, STEEPEST) for one in (slope, bend))
    return np.asarray(PLACED_M**2 * (steep**2 + bent**2), dtype=np.float32)


def _begins(coated: BoolArray) -> Float32:
    """Variance that the first metres of a roll add: where coating begins, a metre is not like the next, (metres, 1)."""
    since_m = np.maximum(np.arange(coated.size) - int(coated.argmax()), 0)
    return np.asarray((BEGINS * np.exp(-since_m / BEGINS_M))[:, None] ** 2, dtype=np.float32)


def pinned(roll_map: RollMap, web: Web, samples: Samples) -> RollMap:
    """The map without what the samples say that it reads too much, in doubt of only what is left of that.

    Raises PassportError for a sample that lies nowhere on the roll.
    """
    discs = placed(samples, web)
    for disc in discs:
        if not roll_map.coated[disc.metre]:
            raise PassportError(
                f"{samples.name}, row {disc.row}: metre {disc.metre} of the roll is bare foil, as far as gauges saw"
            )
    known = known_by(
        discs, web, roll_map.log, (roll_map.random, roll_map.mean_random), (*roll_map.assumed, 0.01 * samples.punch_pct)
    )
    return replace(
        roll_map,
        log=roll_map.log - known.error,
        mean_log=roll_map.mean_log - known.error.mean(axis=1),
        systematic=known.sd,
        known=known,
    )


def _shapes(shapes: Readings, guess: Walk) -> tuple[Float32, Float32, Walk]:
    """Each zone's deviation from the mean and its variance, (metres, zones); pace and noise of the narrowest waves.

    Neighbouring zones move together: wide waves across the web walk far faster than narrow ones, which are little but
    noise. So the zones' cosines are smoothed, by groups of like width; where gauges miss zones, the zones themselves.
    """
    metres, zones = shapes.wet.shape
    if max(_torn(shapes.wet_scans), _torn(shapes.dry_scans)) > TORN_SHARE:
        basis, edges = np.eye(zones), [0, zones]
    else:
        basis, shapes = cosines(zones), _waves(shapes)
        edges = sorted({round(zones ** (k / GROUPS)) for k in range(GROUPS + 1)})
    x, variance = np.zeros((metres, zones), np.float32), np.zeros((metres, zones), np.float32)
    walk: Walk | None = None
    whole: Walk | None = None
    for group in reversed([slice(*edge) for edge in pairwise(edges)]):  # the narrow ones first: they show the noise
        asked = slice(group.start, group.stop, -(-(group.stop - group.start) // ZONES_ASKED))
        whole = likeliest(shapes.of(asked), guess, whole)
        for first in range(group.start, group.stop, ZONES_AT_ONCE):
            some = slice(first, min(first + ZONES_AT_ONCE, group.stop))
            found = smoothed(shapes.of(some), whole)
            x[:, some], variance[:, some] = found.x, found.variance
            walk = walk or found.walk
    back = basis.astype(np.float32)
    assert walk is not None
    return x @ back, variance @ back**2, walk


def _torn(scans: Array) -> float:
    """Share of the metres that a gauge saw in some zones, but not in all."""
    seen = scans > 0.0
    return float((seen.any(axis=1) & ~seen.all(axis=1)).sum() / max(int(seen.any(axis=1).sum()), 1))


def cosines(zones: int) -> Array:
    """Orthonormal waves across the web, (waves, zones): the first is the mean, each next one half a wave shorter."""
    wave = np.arange(zones)[:, None]
    rows: Array = math.sqrt(2.0 / zones) * np.cos(math.pi * (np.arange(zones) + 0.5) * wave / zones)
    rows[0] /= math.sqrt(2.0)
    return rows


def _waves(shapes: Readings) -> Readings:
    basis = cosines(shapes.wet.shape[1])
    parts = []
    for values, scans in ((shapes.wet, shapes.wet_scans), (shapes.dry, shapes.dry_scans)):
        waves = np.where(scans > 0.0, values, np.nan) @ basis.T
        parts += [waves, np.where(np.isfinite(waves), scans.mean(axis=1, keepdims=True), 0.0)]
    return Readings(*parts)


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
