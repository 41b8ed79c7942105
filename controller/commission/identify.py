"""From what was heard to what the line is: gain, kernel, alignment, bolt gains, play, delay, pump; each with its doubt.

Within a test block nobody but the test moved anything, so what moved the web is known and independent of the drifts.
Slow waves, which drifts are made of, are taken out of positions and scans alike; what is left is a regression

    scan(zones) = response(parameters) @ lips + noise,        lips = motors dragged through their play

solved by Gauss-Newton with a prior, on sums of products that are gathered once for each delay. The delay is searched
outside: it minimises the misfit. Bolts that do nothing or the opposite are told first, each by its own share of what
its moves should have done. Intervals are Laplace's: the inverse of the curvature, with the noise that the fit leaves.

Source: prediction-error identification with nuisance trends (Ljung 1999); play as in Vajda's play operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from controller.commission.record import Block, Positions, Seen
from controller.core.response import lip_matrix, local_gain_per_um
from controller.line.description import Array, BoolArray, DieDescription, GaugeDescription, LineDescription

SLOWEST_HOLDS = 4.0  # waves longer than so many holds of a test position count as drift
DELAY_RANGE = 0.35  # the true distance is within so much of the described one
DELAY_TRIALS = 15
NEAR_SHARE = 0.05  # of the described distance: where it is looked for again
ITERATIONS = 8
SETTLED = 1e-2  # of a posterior deviation: no parameter moves more in the last step
DEAD_BELOW, REVERSED_BELOW, SURE_SIGMAS = 0.5, -0.4, 3.0  # of what the middle bolt does
PLAYS_TRIED = (0.3, 0.6)  # of how far a bolt has gone: plays that may have hidden what it does
PLAYS_APART = 4.0  # times the others' play: what does nothing within it turns free
PLAYS_GONE = 2.0  # a bolt may be called dead once it has gone so many times the play of those that are well
MIN_ROWS = 20
PUMP_DRIFTS_S = 2.0  # over which the mean's own changes hang together, once slow ones are taken out
PLAYS_UM = (0.0, 1.5, 4.0)  # beside the described play: where fits begin
ROUNDS = 2  # of distance, who moves the web, and response, in turn: each needs the others

SHARED = ("gain", "kernel", "lobe", "shift", "stretch")
PRIOR = {"gain": 0.4, "kernel": 0.3, "lobe": 0.1, "shift": 0.7, "stretch": 0.01}  # deviations: logs, shares, pitches
BOLT_PRIOR = 0.12  # log
PLAY_PRIOR_SHARE, PLAY_PRIOR_UM = 1.0, 1.0  # deviation of a bolt's play: of the described one, and beside it
BOX = {"gain": 1.2, "kernel": 0.9, "lobe": 0.5, "shift": 2.0, "stretch": 0.05}  # no parameter leaves this


@dataclass(frozen=True, slots=True)
class Found:
    """What a line turned out to be. Deviations are one sigma, `_sd`.

    gain: factor on the described response. shift_pitches: of the gauges' zero against the bolts'. bolt_gains (zones,):
    against their neighbours. delivery (zones,): 1 healthy, 0 dead, -1 reversed. doubted (zones,): did less than half of
    what the others did, whatever the reason; share_sd: how well that is known of the least known bolt. play_um
    (zones,). distance_m of the gauge that closes the loop and other_m of the other one, None where there is none.
    pump_gain: of the mean for the pump's own share of change; pump_lag_s: of its drive. misfit_log: what the fit
    leaves, a zone and scan.
    """

    die: DieDescription
    gain: float
    gain_sd: float
    kernel_fwhm_pitches: float
    kernel_sd: float
    lobe: float
    lobe_sd: float
    shift_pitches: float
    shift_sd: float
    stretch_pct: float
    stretch_sd: float
    bolt_gains: Array
    bolt_gain_sd: Array
    delivery: Array
    doubted: BoolArray
    share_sd: float
    play_um: Array
    play_sd_um: Array
    distance_m: float
    distance_sd_m: float
    other_m: float | None
    other_sd_m: float | None
    pump_gain: float
    pump_gain_sd: float
    pump_lag_s: float
    misfit_log: float
    rows: int
    shared: Array  # parameters named in SHARED, as they stand beside the description, and their covariance
    shared_covariance: Array


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over rows of products of the regressors [lips, last pulls], and of these with the scans."""

    regressors: Array  # (1, 2 zones, 2 zones); one for each zone where a head sees them one by one
    crossed: Array  # (zones, 2 zones)
    scans2: float
    freedom: int  # values of scans less what the drifts took
    play_um: Array  # (zones,): with which the lips were worked out


@dataclass(frozen=True, slots=True, eq=False)
class _Theta:
    """Parameters of the regression; shared as in SHARED, bolts (zones,) logs, play_um (zones,), delivery (zones,)."""

    shared: Array
    bolts: Array
    play_um: Array
    delivery: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """deviations: posterior, shared then bolts then play; noise2: of a zone in a scan, log^2.

    unlikely: less the log of the posterior's density, but for a constant. distance: and its deviation, m.
    """

    theta: _Theta
    deviations: Array
    noise2: float
    covariance: Array  # of the shared ones
    rows: int
    unlikely: float
    distance: tuple[float, float] = (np.nan, np.inf)
    share: Array = field(default_factory=lambda: np.ones(0))
    share_sd: float = np.inf


class Heard(NamedTuple):
    """What was heard of a test: positions, blocks, and how long a position was held, m of web."""

    positions: Positions
    blocks: tuple[Block, ...]
    hold_m: float


def identify(
    line: LineDescription, heard: Heard, seen: Seen, other: Seen | None = None, before: Found | None = None
) -> Found | None:
    """What the scans of the gauge that closes the loop, and of the dry one beside it, say. None while too few,
    or when no bolt moved.

    With much play a bolt's small moves do nothing, as if its gain were small: the fit is begun from several plays, and
    the likeliest end counts; or from what was found `before`.
    """
    gauge = line.primary_gauge
    if sum(rows.web_m.size for rows in _rows(line, gauge, heard, seen)) < MIN_ROWS or not _gone_um(heard).any():
        return None
    plays = [line.lips.backlash_um + more_um + np.zeros(line.zones) for more_um in PLAYS_UM]
    fits = [_begun(line, gauge, heard, seen, play_um) for play_um in (plays if before is None else [before.play_um])]
    fit = min(fits, key=_unlikely)
    for _ in range(ROUNDS):
        fit = _once(line, gauge, heard, seen, fit.theta, fit.distance[0])
    far = None
    if other is not None and line.dry_gauge is not None:
        far = _distance(line, line.dry_gauge, heard, other, fit.theta)
    return _told(line, fit, far, _pump(line, gauge, heard, seen, fit.distance[0]))


def _unlikely(fit: _Fit) -> float:
    return fit.unlikely


def _begun(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, play_um: Array) -> _Fit:
    """A fit from the description, with so much play in the bolts, (zones,)."""
    zones = line.zones
    start = _Theta(np.zeros(len(SHARED)), np.zeros(zones), play_um, np.ones(zones))
    fit = _once(line, gauge, heard, seen, start)
    return _once(line, gauge, heard, seen, fit.theta, fit.distance[0])


def _once(
    line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta, near_m: float = np.nan
) -> _Fit:
    """Distance, who moves the web, and response, in turn, from what is known."""
    distance = _distance(line, gauge, heard, seen, theta, near_m)
    gone_um = _gone_um(heard)
    sums = _gathered(line, gauge, heard, seen, theta.play_um, distance[0])
    share, missing, unsure = _shares(line, sums, theta, gone_um)
    most_um = PLAYS_APART * max(float(np.quantile(theta.play_um, 0.8)), line.lips.backlash_um)
    for part in PLAYS_TRIED:  # a bolt that did nothing may have had much play, though not a multiple of the others'
        if not missing.any():
            break
        other = replace(theta, play_um=np.where(missing, np.minimum(part * gone_um, most_um), theta.play_um))
        tried = _gathered(line, gauge, heard, seen, other.play_um, distance[0])
        again, _, _ = _shares(line, tried, other, gone_um)
        alive = missing & (again > DEAD_BELOW)
        share, missing = np.where(alive, again, share), missing & ~alive
        theta = replace(theta, play_um=np.where(alive, other.play_um, theta.play_um))
    sums = _gathered(line, gauge, heard, seen, theta.play_um, distance[0])
    theta = replace(theta, delivery=_delivery(share, missing, gone_um, theta.play_um))
    return replace(_fitted(line, sums, theta), distance=distance, share=share, share_sd=unsure)


def _told(
    line: LineDescription,
    fit: _Fit,
    far: tuple[float, float] | None,
    pump: tuple[float, float, float],
) -> Found:
    """The fit in the words of a line's description."""
    theta, sd, zones, n = fit.theta, fit.deviations, line.zones, len(SHARED)
    gain, kernel, lobe, shift, stretch = (float(value) for value in theta.shared)
    die = line.die
    width = die.kernel_fwhm_pitches * float(np.exp(kernel))
    return Found(
        die=described(die, theta.shared, theta.bolts, theta.delivery),
        gain=float(np.exp(gain)),
        gain_sd=float(np.exp(gain) * sd[0]),
        kernel_fwhm_pitches=width,
        kernel_sd=width * float(sd[1]),
        lobe=die.kernel_lobe + lobe,
        lobe_sd=float(sd[2]),
        shift_pitches=shift + die.alignment_shift_mm / die.zone_pitch_mm,
        shift_sd=float(sd[3]),
        stretch_pct=100.0 * stretch + die.alignment_stretch_pct,
        stretch_sd=100.0 * float(sd[4]),
        bolt_gains=np.exp(theta.bolts),
        bolt_gain_sd=np.exp(theta.bolts) * sd[n : n + zones],
        delivery=theta.delivery,
        doubted=(theta.delivery < 1.0) | (fit.share < DEAD_BELOW),
        share_sd=fit.share_sd,
        play_um=theta.play_um,
        play_sd_um=sd[n + zones :],
        distance_m=fit.distance[0],
        distance_sd_m=fit.distance[1],
        other_m=far[0] if far else None,
        other_sd_m=far[1] if far else None,
        pump_gain=pump[0],
        pump_gain_sd=pump[1],
        pump_lag_s=pump[2],
        misfit_log=float(np.sqrt(fit.noise2)),
        rows=fit.rows,
        shared=theta.shared,
        shared_covariance=fit.covariance,
    )


def described(die: DieDescription, shared: Array, bolts: Array, delivery: Array) -> DieDescription:
    """The die's description with these parameters on it."""
    gain, kernel, lobe, shift, stretch = (float(value) for value in shared)
    return replace(
        die,
        gain_factor=die.gain_factor * float(np.exp(gain)),
        kernel_fwhm_pitches=die.kernel_fwhm_pitches * float(np.exp(kernel)),
        kernel_lobe=die.kernel_lobe + lobe,
        alignment_shift_mm=die.alignment_shift_mm + shift * die.zone_pitch_mm,
        alignment_stretch_pct=die.alignment_stretch_pct + 100.0 * stretch,
        bolt_gains=tuple(np.exp(bolts) * (die.bolt_gains or np.ones(bolts.size))),
        bolt_delivery=tuple(delivery),
    )


# --- what is regressed on what -----------------------------------------------------------------------------------


def lips_of(gap_um: Array, play_um: Array) -> tuple[Array, Array]:
    """Where lips stand when motors go through gap_um (cycles, bolts), and which way each was pulled last, 1 or -1.

    A lip stays while its motor crosses the play. Half of a little more play would move each lip against the last pull.
    """
    half = 0.5 * np.maximum(play_um, 0.0)
    lip, way = gap_um[0].copy(), np.zeros(gap_um.shape[1])
    lips, ways = np.empty_like(gap_um), np.empty_like(gap_um)
    for i, motor in enumerate(gap_um):
        pulled = np.minimum(np.maximum(lip, motor - half), motor + half)
        way = np.where(pulled > lip, 1.0, np.where(pulled < lip, -1.0, way))
        lip = pulled
        lips[i], ways[i] = lip, way
    return lips, ways


def drifts(at_m: Array, longest_m: float) -> Array:
    """Orthonormal cosines over a block whose waves are longer than longest_m, (rows, waves): what counts as drift."""
    span_m = float(at_m[-1] - at_m[0]) + 1e-9
    waves = int(min(np.ceil(2.0 * span_m / longest_m), at_m.size // 4))
    phase = np.pi * (at_m - at_m[0])[:, None] / span_m
    basis: Array = np.linalg.qr(np.cos(phase * np.arange(waves + 1)))[0]
    return basis


def without(basis: Array, values: Array) -> Array:
    """Rows of values less what lies in the basis."""
    cleaned: Array = values - basis @ (basis.T @ values)
    return cleaned


class _Rows(NamedTuple):
    """Scans of one block: error (rows, zones) about its mean, without drifts, and their cosines (rows, waves); where
    the encoder stood (rows,), and beside it where each zone's metre was then, m, (rows, zones) or (rows, 1)."""

    error: Array
    drifts: Array
    web_m: Array
    beside_m: Array


def _rows(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen) -> list[_Rows]:
    """The scans of each block's web, wherever in its range the gauge may stand."""
    found = []
    for block in heard.blocks:
        laid_m = seen.web_m - gauge.distance_m
        rows = np.flatnonzero((laid_m > block.begin_m) & (laid_m < block.end_m))
        if rows.size < 8:
            continue
        error, web_m = seen.error[rows], seen.web_m[rows]
        slow = drifts(web_m, SLOWEST_HOLDS * heard.hold_m)
        shape = without(slow, error - error.mean(axis=1, keepdims=True))
        found.append(_Rows(shape, slow, web_m, _beside_m(line, gauge, seen.direction[rows])))
    return found


def _beside_m(line: LineDescription, gauge: GaugeDescription, direction: Array) -> Array:
    """How far from the scan's own web position each zone was seen: a head meets each at another metre."""
    if not gauge.is_scanner:
        return np.zeros((direction.size, 1))
    along = (np.arange(line.zones) + 0.5) / line.zones
    way = np.where(direction[:, None] < 0, 1.0 - along, along)
    travel = min(line.web_width_mm * 1e-3 / max(gauge.head_speed_mps, 1e-6) / gauge.period_s, 1.0)
    beside: Array = (way * travel - 0.5) * gauge.period_s * line.web_speed_mps
    return beside


class Laid(NamedTuple):
    """Values summed over the web, so that any stretch of it can be averaged: web_m (cycles,), sums (cycles, columns).

    A cycle's web is laid with the lips where they stand at its end, as the estimate takes it.
    """

    web_m: Array
    sums: Array

    @classmethod
    def of(cls, positions: Positions, values: Array) -> Laid:
        """From values (cycles, columns), less what they were in the first cycle and are taken to have been before."""
        web_m = positions.web_m
        return cls(web_m, np.cumsum((values - values[0]) * np.diff(web_m, prepend=web_m[0])[:, None], axis=0))

    def mean(self, laid_m: Array, stretch_m: float) -> Array:
        """Over stretches about laid_m: (rows, 1) gives (rows, columns), (rows, columns) a place for each column."""
        stretch_m = max(stretch_m, float(np.median(np.diff(self.web_m))))
        mean: Array = (self._until(laid_m + 0.5 * stretch_m) - self._until(laid_m - 0.5 * stretch_m)) / stretch_m
        return mean

    def _until(self, end_m: Array) -> Array:
        place = np.interp(end_m, self.web_m, np.arange(self.web_m.size, dtype=np.float64))
        low = np.minimum(place.astype(np.int64), self.web_m.size - 2)
        share, sums = place - low, self.sums
        if end_m.shape[1] == 1:
            whole: Array = (1.0 - share) * sums[low[:, 0]] + share * sums[low[:, 0] + 1]
            return whole
        column = np.arange(end_m.shape[1])
        each: Array = (1.0 - share) * sums[low, column] + share * sums[low + 1, column]
        return each


def _stretch_m(line: LineDescription, gauge: GaugeDescription) -> float:
    """Web that one zone's reading is a mean of: all since the last scan, or what passes under a head meanwhile."""
    seconds = gauge.period_s / line.zones if gauge.is_scanner else gauge.period_s
    return seconds * line.web_speed_mps


def _gathered(
    line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, play_um: Array, distance_m: float
) -> _Sums:
    """Sums of products over all blocks, drifts taken out."""
    zones, positions = line.zones, heard.positions
    stretch_m = _stretch_m(line, gauge)
    both = Laid.of(positions, np.concatenate(lips_of(positions.gap_um, play_um), axis=1))
    apart = zones if gauge.is_scanner else 1
    regressors, crossed = np.zeros((apart, 2 * zones, 2 * zones)), np.zeros((zones, 2 * zones))
    scans2, freedom = 0.0, 0
    for rows in _rows(line, gauge, heard, seen):
        for z in range(apart):
            laid_m = (rows.web_m - distance_m + rows.beside_m[:, z])[:, None]
            x = without(rows.drifts, both.mean(laid_m, stretch_m))
            regressors[z] += x.T @ x
            if gauge.is_scanner:
                crossed[z] += rows.error[:, z] @ x
            else:
                crossed += rows.error.T @ x
        scans2 += float((rows.error**2).sum())
        freedom += (rows.web_m.size - rows.drifts.shape[1]) * (zones - 1)
    return _Sums(regressors, crossed, scans2, freedom, play_um)


# --- who moves the web, how, and how far from the gauge ----------------------------------------------------------


def _matrix(line: LineDescription, theta: _Theta) -> Array:
    """ln of areal density about its mean for a micrometre of each lip, (zones, bolts), 1/um."""
    die = described(line.die, theta.shared, theta.bolts, theta.delivery)
    lips = lip_matrix(die)
    told = replace(line, die=die)
    matrix: Array = local_gain_per_um(told) * (lips - lips.mean(axis=0, keepdims=True))
    return matrix


def _shares(line: LineDescription, sums: _Sums, theta: _Theta, gone_um: Array) -> tuple[Array, BoolArray, float]:
    """What each bolt did to the web against what the middle bolt did, whether that is surely too little,
    and the deviation of the least known of those that were moved.
    """
    matrix = _matrix(line, replace(theta, delivery=np.ones(line.zones)))
    zones = line.zones
    product = (matrix[:, :, None] * matrix[:, None, :] * sums.regressors[:, :zones, :zones]).sum(axis=0)
    told = (matrix * sums.crossed[:, :zones]).sum(axis=0)
    plain = np.linalg.solve(product + 1e-6 * np.trace(product) / zones * np.eye(zones), told)
    noise2 = max(sums.scans2 - float(plain @ told), 1e-3 * sums.scans2) / max(sums.freedom, 1)
    information = product / noise2 + np.eye(line.zones)  # a share within 1 of the middle one, before anything is seen
    share = np.linalg.solve(information, told / noise2 + 1.0)
    middle = max(float(np.median(share)), 0.2)
    share, deviation = share / middle, np.sqrt(np.diag(np.linalg.inv(information))) / middle
    missing: BoolArray = (share < DEAD_BELOW) & (share + SURE_SIGMAS * deviation < 1.0)
    moving = gone_um > 0.3 * np.median(gone_um)  # of others it can only be said that they are stuck
    return share, missing, float(deviation[moving].max()) if moving.any() else np.inf


def _delivery(share: Array, missing: BoolArray, gone_um: Array, play_um: Array) -> Array:
    """1 for bolts that move the web, 0 for dead ones, -1 for reversed ones, (zones,).

    A bolt that did nothing may have more play than it has gone: it is dead when that would be much more than others'.
    """
    reversed_ = missing & (share < REVERSED_BELOW)
    dead = missing & ~reversed_ & (gone_um > PLAYS_GONE * float(np.quantile(play_um, 0.8)))
    delivery: Array = np.where(reversed_, -1.0, np.where(dead, 0.0, 1.0))
    return delivery


def _gone_um(heard: Heard) -> Array:
    """From where to where each bolt went in the blocks, (zones,)."""
    web_m, gap_um = heard.positions.web_m, heard.positions.gap_um
    inside = np.zeros(web_m.size, dtype=bool)
    for block in heard.blocks:
        inside |= (web_m > block.begin_m) & (web_m < block.end_m)
    return np.ptp(gap_um[inside], axis=0) if inside.any() else np.zeros(gap_um.shape[1])


def _fitted(line: LineDescription, sums: _Sums, start: _Theta) -> _Fit:
    """Gauss-Newton from `start`, with the prior about the description."""
    zones, theta, n = line.zones, start, len(SHARED)
    spread = np.concatenate((
        [PRIOR[name] for name in SHARED],
        np.full(zones, BOLT_PRIOR),
        PLAY_PRIOR_UM + PLAY_PRIOR_SHARE * np.full(zones, line.lips.backlash_um),
    ))  # fmt: skip
    centre = np.concatenate((np.zeros(n + zones), np.full(zones, line.lips.backlash_um)))
    bound = np.concatenate(([BOX[name] for name in SHARED], np.full(zones, 4.0 * BOLT_PRIOR), np.full(zones, np.inf)))
    floor = np.concatenate((-bound[: n + zones], np.zeros(zones)))
    noise2, deviations, covariance = sums.scans2 / max(sums.freedom, 1), spread, np.diag(spread**2)
    at = _vector(theta)
    for _ in range(ITERATIONS):
        slope, curvature, left2 = _derivatives(line, sums, theta)
        noise2 = left2 / max(sums.freedom, 1)
        covariance = np.linalg.inv(curvature / noise2 + np.diag(spread**-2.0))
        move = covariance @ (slope / noise2 - (at - centre) * spread**-2.0)
        deviations = np.sqrt(np.diag(covariance))
        new = np.minimum(np.maximum(at + move, floor), bound)
        change, at = np.abs(new - at) / deviations, new
        theta = _Theta(at[:n], at[n : n + zones], at[n + zones :], start.delivery)
        if change.max() < SETTLED:
            break
    away = (at - centre) / spread
    unlikely = 0.5 * sums.freedom * float(np.log(max(noise2, 1e-16))) + 0.5 * float(away @ away)
    rows = sums.freedom // max(zones - 1, 1)
    return _Fit(theta, deviations, noise2, covariance[:n, :n], rows, unlikely)


def _vector(theta: _Theta) -> Array:
    return np.concatenate((theta.shared, theta.bolts, theta.play_um))


def _derivatives(line: LineDescription, sums: _Sums, theta: _Theta) -> tuple[Array, Array, float]:
    """Half the slope and curvature of the sum of squares in all parameters, and what it is, log^2."""
    turned = _turned(line, sums, theta)  # (zones, 2 zones): what a zone makes of each regressor
    by = _turned_by(line, sums, theta)  # (zones, 2 zones, parameters)
    weighed = np.matmul(sums.regressors, by)
    left = sums.crossed - np.matmul(sums.regressors, turned[:, :, None])[:, :, 0]
    slope = np.einsum("zr,zrp->p", left, by)
    size = by.shape[2]
    curvature = by.reshape(-1, size).T @ weighed.reshape(-1, size)
    left2 = sums.scans2 - float((turned * (sums.crossed + left)).sum())
    return slope, curvature, max(left2, 1e-16)


def _turned(line: LineDescription, sums: _Sums, theta: _Theta) -> Array:
    matrix = _matrix(line, theta)
    return np.concatenate((matrix, -0.5 * matrix * (theta.play_um - sums.play_um)), axis=1)


def _turned_by(line: LineDescription, sums: _Sums, theta: _Theta) -> Array:
    """Derivatives of `_turned`: shared parameters by differences, bolts and play as they follow from the formula."""
    zones, matrix = line.zones, _matrix(line, theta)
    half = 0.5 * (theta.play_um - sums.play_um)
    changes = []
    for i in range(len(SHARED)):
        step = np.zeros(len(SHARED))
        step[i] = 1e-4
        ahead = _matrix(line, replace(theta, shared=theta.shared + step))
        behind = _matrix(line, replace(theta, shared=theta.shared - step))
        changes.append((ahead - behind) / 2e-4)
    rows = lip_matrix(described(line.die, theta.shared, theta.bolts, np.ones(zones)))
    scale = local_gain_per_um(line) * float(np.exp(theta.shared[0]))
    for bolt in range(zones):  # a bolt that pulls harder takes from its neighbours: rows sum to one
        raw = -rows * rows[:, bolt : bolt + 1]
        raw[:, bolt] += rows[:, bolt]
        changes.append(scale * (raw - raw.mean(axis=0, keepdims=True)) * theta.delivery)
    moved = np.stack(changes, axis=2)
    by = np.zeros((zones, 2 * zones, moved.shape[2] + zones))
    by[:, :zones, : moved.shape[2]] = moved
    by[:, zones:, : moved.shape[2]] = -moved * half[None, :, None]
    every = np.arange(zones)
    by[:, zones + every, moved.shape[2] + every] = -0.5 * matrix
    return by


def _distance(
    line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta, near_m: float = np.nan
) -> tuple[float, float]:
    """Web between die and gauge that explains the scans best, whatever gain and common play, and its deviation, m.

    Play delays a turning lip as distance does, so each distance is judged with the play that suits it best. It is
    searched for in all its range, or about near_m.
    """
    gap_um, matrix = heard.positions.gap_um, _matrix(line, theta)
    lips, pulls = lips_of(gap_um, theta.play_um)
    effects = [Laid.of(heard.positions, (part - part.mean(axis=0)) @ matrix.T) for part in (lips, pulls)]
    blocks, stretch_m = _rows(line, gauge, heard, seen), _stretch_m(line, gauge)

    def told(distance_m: float) -> float:
        """By how much the sum of squares falls, log^2."""
        crossed, own = np.zeros(2), np.zeros((2, 2))
        for rows in blocks:
            laid_m = rows.web_m[:, None] - distance_m + rows.beside_m
            shown = [without(rows.drifts, part.mean(laid_m, stretch_m)) for part in effects]
            crossed += [float((rows.error * part).sum()) for part in shown]
            own += [[float((one * other).sum()) for one in shown] for other in shown]
        if not np.trace(own) > 0.0:
            return 0.0  # nothing moved
        gain = np.linalg.solve(own + 1e-9 * np.trace(own) * np.eye(2), crossed)
        return float(gain @ crossed) if gain[0] > 0.0 else 0.0

    best, reach = gauge.distance_m, DELAY_RANGE * gauge.distance_m
    if not blocks:
        return best, reach
    if np.isfinite(near_m):
        best, reach = near_m, NEAR_SHARE * gauge.distance_m
    while reach > 1e-3 * gauge.distance_m:
        trials = best + reach * np.linspace(-1.0, 1.0, DELAY_TRIALS)
        best = float(trials[int(np.argmax([told(float(trial)) for trial in trials]))])
        reach *= 4.0 / DELAY_TRIALS
    step = max(0.02 * gauge.distance_m, 2.0 * float(np.median(np.diff(heard.positions.web_m))))
    fell2 = 2.0 * told(best) - told(best - step) - told(best + step)
    total = sum(float((rows.error**2).sum()) for rows in blocks)
    noise2 = (total - told(best)) / max(sum(rows.error.size for rows in blocks), 1)
    deviation = step * float(np.sqrt(noise2 / fell2)) if fell2 > 0.0 else np.inf
    return best, min(deviation, DELAY_RANGE * gauge.distance_m)


def _pump(
    line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, distance_m: float
) -> tuple[float, float, float]:
    """Gain of the mean for a share of pump speed, its deviation, and the lag of the drive, s."""
    positions = heard.positions
    speeds = Laid.of(positions, positions.speed_log[:, None])
    crossed = own = total = 0.0
    count = 0
    for block in heard.blocks:
        laid_m = seen.web_m - distance_m
        rows = np.flatnonzero((laid_m > block.begin_m) & (laid_m < block.end_m))
        if rows.size < 8:
            continue
        longest_m = 2.0 * SLOWEST_HOLDS * heard.hold_m  # the pump is held longer than the lips
        slow = drifts(seen.web_m[rows], longest_m)
        mean = without(slow, seen.error[rows].mean(axis=1, keepdims=True))
        speed = speeds.mean(laid_m[rows][:, None], _stretch_m(line, gauge))
        speed = without(slow, speed)
        crossed, own = crossed + float((mean * speed).sum()), own + float((speed * speed).sum())
        total, count = total + float((mean * mean).sum()), count + rows.size - slow.shape[1]
    if own < 1e-12 or count < 8:
        return 1.0, np.inf, np.nan
    gain = crossed / own
    noise2 = max(total - crossed * gain, 0.0) / count
    together = max(1.0, PUMP_DRIFTS_S / max(gauge.period_s, 1e-6))  # scans whose errors drift together count as one
    return gain, float(np.sqrt(together * noise2 / own)), _drive_lag_s(positions)


def _drive_lag_s(positions: Positions) -> float:
    """Time constant with which the measured speed follows the trim that was fed back."""
    dt_s = np.diff(positions.t_s, prepend=positions.t_s[0])
    lags_s = np.geomspace(0.05, 3.0, 25)
    followed = positions.trim_log[:1].repeat(lags_s.size)
    misses = np.zeros(lags_s.size)
    for trim, speed, passed_s in zip(positions.trim_log, positions.speed_log, dt_s, strict=True):
        followed = followed + (trim - followed) * -np.expm1(-passed_s / lags_s)
        misses += (speed - followed) ** 2
    return float(lags_s[int(np.argmin(misses))])
