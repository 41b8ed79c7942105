"""Two gauges that saw the same web, one after the other, made one: a Kalman filter forward, a smoother back.

State, by metre: x, the log of areal density over target, and o, what the wet gauge reads over it. Both walk at random.
The wet gauge sees x + o, the dry one x; each with white noise. How fast the two walk and how noisy the gauges are is
found in the roll itself: for all of it by maximum likelihood, then metre by metre by what the smoother found about it,
so that a start-up does not blur the quiet web after it. Metres that nobody saw keep what is known of them, with the
doubt that has grown. Only evencoat.passport imports this.

Source: Rauch, Tung, Striebel, "Maximum likelihood estimates of linear dynamic systems", AIAA J. 3 (1965); Shumway and
Stoffer, "An approach to time series smoothing and forecasting using the EM algorithm", J. Time Ser. Anal. 3 (1982).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from controller.line.description import Array, BoolArray

PRIOR_X, PRIOR_O = 0.3**2, 0.03**2  # log; of the first metre. Wet gauges stand a percent off, a first batch two
PARTS, PART_M = 6, 200  # that the likelihood is asked of
STEPS = (4.0, 2.0, 1.3)  # factors by which variances are tried
ROUNDS = 2  # of finding how fast it walks here
NEAR_M = 10  # "here" reaches so far to either side
BELIEF = 20.0  # how many samples the whole roll's variance is worth against those near by
FASTEST, SLOWEST = 1e4, 0.05  # local variance over the whole roll's
LEAST = 1e-12
NOISE_REACH, NOISE_MOST = (
    8.0,
    0.1**2,
)  # how far below its description, as a variance, a gauge's noise may lie; and above


@dataclass(frozen=True, slots=True)
class Walk:
    """Variances a metre of x and o, (metres,) or scalars; and of one scan of either gauge."""

    x: Array | float
    o: Array | float
    wet: float
    dry: float

    def along(self, metres: int) -> tuple[Array, Array]:
        return np.broadcast_to(self.x, metres), np.broadcast_to(self.o, metres)


@dataclass(frozen=True, slots=True)
class Readings:
    """Means by metre and channel of what each gauge saw, NaN where nothing; and the number of scans behind each."""

    wet: Array
    wet_scans: Array
    dry: Array
    dry_scans: Array

    def part(self, rows: slice) -> Readings:
        return Readings(self.wet[rows], self.wet_scans[rows], self.dry[rows], self.dry_scans[rows])

    def of(self, channels: slice) -> Readings:
        return Readings(
            self.wet[:, channels], self.wet_scans[:, channels], self.dry[:, channels], self.dry_scans[:, channels]
        )


@dataclass(frozen=True, slots=True)
class Smoothed:
    """x and its variance, (metres, channels); and how fast things were found to walk."""

    x: Array
    variance: Array
    walk: Walk
    offset: Array


def smoothed(readings: Readings, walk: Walk) -> Smoothed:
    """The web as both gauges saw it, from what is likeliest of the whole roll. Channels share their variances."""
    found = _both_ways(readings, walk)
    for _ in range(ROUNDS):
        walk = _here(readings, walk, found[1], found[2])
        found = _both_ways(readings, walk)
    return Smoothed(found[0][..., 0], found[0][..., 1], walk, found[0][..., 2])


def likeliest(readings: Readings, first_guess: Walk, begin: Walk | None = None) -> Walk:
    """The variances under which what was seen is likeliest; of some stretches spread over the roll.

    first_guess: what gauges are described as; begin: where to look first, where others were found already.
    """
    metres = readings.wet.shape[0]
    starts = sorted({max(0, round(k * (metres - PART_M) / max(PARTS - 1, 1))) for k in range(PARTS)})
    parts = _beside([readings.part(slice(start, start + PART_M)) for start in starts])
    told = {"x", "o", "wet", "dry"}
    if not np.isfinite(readings.wet).any():
        told -= {"o", "wet"}
    if not np.isfinite(readings.dry).any():
        told -= {"o", "dry"}

    best = begin or first_guess
    least = _forward(parts, best).unlikely
    for step in STEPS:
        moved = True
        while moved:
            moved = False
            for name in sorted(told):
                for factor in (step, 1.0 / step):
                    tried = replace(best, **{name: max(getattr(best, name) * factor, LEAST)})
                    if not _decent(tried, first_guess):
                        continue
                    value = _forward(parts, tried).unlikely
                    if value < least - 1e-9:
                        best, least, moved = tried, value, True
                        break
    return best


def _decent(walk: Walk, first_guess: Walk) -> bool:
    """Whether gauges are as noisy as their description says, within reason: less than that is another's noise."""
    return all(
        getattr(walk, name) * NOISE_REACH >= getattr(first_guess, name) and getattr(walk, name) <= NOISE_MOST
        for name in ("wet", "dry")
    )


def _beside(parts: list[Readings]) -> Readings:
    """Stretches of one length as channels of one."""
    return Readings(*(np.concatenate([getattr(part, name) for part in parts], axis=1) for name in Readings.__slots__))


@dataclass(slots=True)
class _Filtered:
    """What was known of each metre from it and those before: x, o, and their covariance (xx, xo, oo)."""

    state: Array  # (metres, 2, channels)
    cov: Array  # (metres, 3, channels)
    unlikely: float  # minus the log likelihood a reading


def _forward(readings: Readings, walk: Walk) -> _Filtered:
    metres, channels = readings.wet.shape
    state, cov = np.empty((metres, 2, channels)), np.empty((metres, 3, channels))
    qx, qo = walk.along(metres)
    x, o = np.zeros(channels), np.zeros(channels)
    xx, xo, oo = np.full(channels, PRIOR_X), np.zeros(channels), np.full(channels, PRIOR_O)
    wet_var, dry_var = _noise(walk.wet, readings.wet_scans), _noise(walk.dry, readings.dry_scans)
    wet, dry = np.nan_to_num(readings.wet), np.nan_to_num(readings.dry)
    wet_seen: BoolArray = np.isfinite(readings.wet)
    dry_seen: BoolArray = np.isfinite(readings.dry)
    any_wet, any_dry = (np.asarray(seen.any(axis=1)) for seen in (wet_seen, dry_seen))
    cost, count = 0.0, int(wet_seen.sum() + dry_seen.sum())
    for k in range(metres):
        xx, oo = xx + qx[k], oo + qo[k]
        if any_wet[k]:
            s = xx + 2.0 * xo + oo + wet_var[k]
            surprise = wet[k] - x - o
            gx, go = (xx + xo) / s * wet_seen[k], (xo + oo) / s * wet_seen[k]
            x, o = x + gx * surprise, o + go * surprise
            row_x, row_o = xx + xo, xo + oo
            xx, xo, oo = xx - gx * row_x, xo - gx * row_o, oo - go * row_o
            cost += float(((np.log(s) + surprise * surprise / s) * wet_seen[k]).sum())
        if any_dry[k]:
            s = xx + dry_var[k]
            surprise = dry[k] - x
            gx, go = xx / s * dry_seen[k], xo / s * dry_seen[k]
            x, o = x + gx * surprise, o + go * surprise
            xx, xo, oo = xx - gx * xx, xo - gx * xo, oo - go * xo
            cost += float(((np.log(s) + surprise * surprise / s) * dry_seen[k]).sum())
        state[k, 0], state[k, 1] = x, o
        cov[k, 0], cov[k, 1], cov[k, 2] = xx, xo, oo
    return _Filtered(state, cov, 0.5 * cost / max(count, 1))


def _noise(variance: float, scans: Array) -> Array:
    return variance / np.maximum(scans, 1e-6)


def _both_ways(readings: Readings, walk: Walk) -> tuple[Array, Array, Array]:
    """x, its variance and o, (metres, channels, 3); and the mean square steps of x and o, (metres,) each."""
    known = _forward(readings, walk)
    metres, _, channels = known.state.shape
    qx, qo = walk.along(metres)
    out = np.empty((metres, channels, 3))
    steps = np.zeros((2, metres))
    x, o = known.state[-1]
    xx, xo, oo = known.cov[-1]
    out[-1, :, 0], out[-1, :, 1], out[-1, :, 2] = x, xx, o
    for k in range(metres - 2, -1, -1):
        (fx, fo), (fxx, fxo, foo) = known.state[k], known.cov[k]
        pxx, poo = fxx + qx[k + 1], foo + qo[k + 1]
        det = pxx * poo - fxo * fxo
        # gain: covariance of metre k with k + 1, over that of k + 1 as foreseen
        a, b = (fxx * poo - fxo * fxo) / det, fxo * qx[k + 1] / det
        c, d = fxo * qo[k + 1] / det, (foo * pxx - fxo * fxo) / det
        dx, do = x - fx, o - fo
        nx, no = fx + a * dx + b * do, fo + c * dx + d * do
        exx, exo, eoo = xx - pxx, xo - fxo, oo - poo
        nxx = fxx + a * a * exx + 2.0 * a * b * exo + b * b * eoo
        nxo = fxo + a * c * exx + (a * d + b * c) * exo + b * d * eoo
        noo = foo + c * c * exx + 2.0 * c * d * exo + d * d * eoo
        lag_x, lag_o = a * xx + b * xo, c * xo + d * oo  # of metre k with k + 1
        steps[0, k + 1] = np.mean((x - nx) ** 2 + xx + nxx - 2.0 * lag_x)
        steps[1, k + 1] = np.mean((o - no) ** 2 + oo + noo - 2.0 * lag_o)
        x, o, xx, xo, oo = nx, no, nxx, nxo, noo
        out[k, :, 0], out[k, :, 1], out[k, :, 2] = x, xx, o
    return out, steps[0], steps[1]


def _here(readings: Readings, walk: Walk, steps_x: Array, steps_o: Array) -> Walk:
    """How fast x and o walk about each metre: the steps found near by, held to the whole roll's."""
    channels = readings.wet.shape[1]
    return replace(walk, x=_local(steps_x, walk.x, channels), o=_local(steps_o, walk.o, channels))


def _local(steps: Array, before: Array | float, channels: int) -> Array:
    whole = float(np.median(np.broadcast_to(before, steps.size)))
    window = np.ones(2 * NEAR_M + 1)
    near = np.convolve(np.maximum(steps, 0.0), window, mode="same")
    count = np.convolve(np.ones(steps.size), window, mode="same") * channels
    local: Array = (BELIEF * whole + near * channels) / (BELIEF + count)
    held: Array = np.clip(local, SLOWEST * whole, FASTEST * whole)
    return held


def split(values: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Mean over the width, (metres, 1); each zone's deviation from it, (metres, zones); zones' usual deviation.

    Where zones are missing, the mean is that of the others after their usual deviation was taken off.
    """
    seen = counts > 0.0
    values = np.where(seen, values, np.nan)
    some: BoolArray = np.asarray(seen.any(axis=1))
    usual = np.zeros(values.shape[1])
    whole = seen.all(axis=1)
    if whole.any():
        usual = np.median(values[whole] - values[whole].mean(axis=1, keepdims=True), axis=0)
        usual -= usual.mean()
    mean = np.full(values.shape[0], math.nan)
    number = seen.sum(axis=1)
    mean[some] = np.where(seen, values - usual, 0.0)[some].sum(axis=1) / number[some]
    return mean[:, None], values - mean[:, None], usual
