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
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

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
    cost = _compiled()[0](*_seen(readings, walk), *_paces(walk, metres), state, cov)
    count = int(np.isfinite(readings.wet).sum() + np.isfinite(readings.dry).sum())
    return _Filtered(state, cov, 0.5 * cost / max(count, 1))


def _seen(readings: Readings, walk: Walk) -> tuple[Array, Array, Array, Array]:
    """What each gauge saw, NaN where nothing, and its variance."""
    return (
        np.ascontiguousarray(readings.wet),
        walk.wet / np.maximum(readings.wet_scans, 1e-6),
        np.ascontiguousarray(readings.dry),
        walk.dry / np.maximum(readings.dry_scans, 1e-6),
    )


def _paces(walk: Walk, metres: int) -> tuple[Array, Array]:
    x, o = walk.along(metres)
    return np.ascontiguousarray(x), np.ascontiguousarray(o)


def _both_ways(readings: Readings, walk: Walk) -> tuple[Array, Array, Array]:
    """x, its variance and o, (metres, channels, 3); and the mean square steps of x and o, (metres,) each."""
    known = _forward(readings, walk)
    metres, _, channels = known.state.shape
    out, steps = np.empty((metres, channels, 3)), np.zeros((2, metres))
    _compiled()[1](known.state, known.cov, *_paces(walk, metres), out, steps)
    return out, steps[0] / channels, steps[1] / channels


@cache
def _compiled() -> tuple[Callable[..., float], Callable[..., None]]:
    """The two loops below as machine code, kept on disk. Numba is imported by who smooths, not by who verifies."""
    import numba

    return numba.njit(cache=True)(_filter), numba.njit(cache=True)(_smooth)


def _filter(
    wet: Array, wet_var: Array, dry: Array, dry_var: Array, qx: Array, qo: Array, state: Array, cov: Array
) -> float:
    """Forward along the web; fills state and cov, returns twice minus the log likelihood."""
    cost = 0.0
    for c in range(wet.shape[1]):
        x = o = xo = 0.0
        xx, oo = PRIOR_X, PRIOR_O
        for k in range(wet.shape[0]):
            xx, oo = xx + qx[k], oo + qo[k]
            if not math.isnan(wet[k, c]):
                s = xx + 2.0 * xo + oo + wet_var[k, c]
                surprise, gx, go = wet[k, c] - x - o, (xx + xo) / s, (xo + oo) / s
                x, o = x + gx * surprise, o + go * surprise
                row_x, row_o = xx + xo, xo + oo
                xx, xo, oo = xx - gx * row_x, xo - gx * row_o, oo - go * row_o
                cost += math.log(s) + surprise * surprise / s
            if not math.isnan(dry[k, c]):
                s = xx + dry_var[k, c]
                surprise, gx, go = dry[k, c] - x, xx / s, xo / s
                x, o = x + gx * surprise, o + go * surprise
                xx, xo, oo = xx - gx * xx, xo - gx * xo, oo - go * xo
                cost += math.log(s) + surprise * surprise / s
            state[k, 0, c], state[k, 1, c] = x, o
            cov[k, 0, c], cov[k, 1, c], cov[k, 2, c] = xx, xo, oo
    return cost


def _smooth(state: Array, cov: Array, qx: Array, qo: Array, out: Array, steps: Array) -> None:
    """Backward along the web; fills out, and adds up in steps the mean squares of each channel's steps."""
    last = state.shape[0] - 1
    for c in range(state.shape[2]):
        x, o = state[last, 0, c], state[last, 1, c]
        xx, xo, oo = cov[last, 0, c], cov[last, 1, c], cov[last, 2, c]
        out[last, c, 0], out[last, c, 1], out[last, c, 2] = x, xx, o
        for k in range(last - 1, -1, -1):
            fx, fo = state[k, 0, c], state[k, 1, c]
            fxx, fxo, foo = cov[k, 0, c], cov[k, 1, c], cov[k, 2, c]
            pxx, poo = fxx + qx[k + 1], foo + qo[k + 1]
            det = pxx * poo - fxo * fxo
            # gain: covariance of metre k with k + 1, over that of k + 1 as foreseen
            a, b = (fxx * poo - fxo * fxo) / det, fxo * qx[k + 1] / det
            g, d = fxo * qo[k + 1] / det, (foo * pxx - fxo * fxo) / det
            dx, do = x - fx, o - fo
            nx, no = fx + a * dx + b * do, fo + g * dx + d * do
            exx, exo, eoo = xx - pxx, xo - fxo, oo - poo
            nxx = fxx + a * a * exx + 2.0 * a * b * exo + b * b * eoo
            nxo = fxo + a * g * exx + (a * d + b * g) * exo + b * d * eoo
            noo = foo + g * g * exx + 2.0 * g * d * exo + d * d * eoo
            lag_x, lag_o = a * xx + b * xo, g * xo + d * oo  # of metre k with k + 1
            steps[0, k + 1] += (x - nx) ** 2 + xx + nxx - 2.0 * lag_x
            steps[1, k + 1] += (o - no) ** 2 + oo + noo - 2.0 * lag_o
            x, o, xx, xo, oo = nx, no, nxx, nxo, noo
            out[k, c, 0], out[k, c, 1], out[k, c, 2] = x, xx, o


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
