"""From what was heard to what the line is: gain, kernel, alignment, bolt gains, play, delay, pump; each with its doubt.

Within a test block nobody but the test moved anything, so what moved the web is known and independent of the drifts.
Those wander, as random walks do: the longer a wave, the more of it is drift, and the less it counts (generalised least
squares). Which waves are as much drift as noise is seen from what a fit leaves. It is a regression

    scan(zones) = response(parameters) @ lips + noise,        lips = motors dragged through their play

solved by Gauss-Newton with a prior, on sums of products that are gathered once for each distance and play. The distance
is searched for in all its range first, then fitted with the rest: play delays a lip that turns as distance does, and
only together are their doubts honest. The pump's moves, which have no play, show the same distance in the web's mean.
Bolts that do nothing or the opposite are told first, each by its own share of what its moves should have done.
Intervals are Laplace's: the inverse of the curvature, with the noise that the fit leaves.

Source: prediction-error identification (Ljung 1999), random walk and white noise told apart by their cosine spectrum
(Ahmed, Natarajan, Rao 1974 for the transform); play as in Vajda's play operator.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from controller.commission.record import Block, Positions, Seen
from controller.core.response import lip_matrix, local_gain_per_um
from controller.line.description import Array, BoolArray, DieDescription, GaugeDescription, LineDescription

DRIFT_HOLDS = 8.0  # waves so many holds of a test position long are taken to be as much drift as noise, at first
BEATS_HZ, BEAT_SURE = (0.3, 3.0), 7.0  # a pump's pulsation is looked for; one chance in e^7 that it is none
BEAT_BIN_S, BEAT_PADDED = 0.05, 4  # of the time that it is looked for in
MEANS_MOST = 150  # means of a block that drift is looked for in
DRIFTS_TRIED = 40  # lengths of such a wave
DRIFT_LONGEST = 4.0  # times the longest block: hardly anything but noise
UNTOUCHED = 0.97  # of a wave's weight: shorter ones than those that keep so much are left as they are
DELAY_RANGE = 0.35  # the true distance is within so much of the described one
DELAY_TRIALS = 15
PUMP_NEAR_SHARE = 0.02  # of the described distance: about so far the pump's likelihood is a parabola
NEAR_SHARE = 0.05  # of the described distance: so far it moves in one fit, for whose slope holds so far
ITERATIONS = 8
QUIETEST2 = 1e-10  # log^2: no fit is taken to be better
SETTLED = 1e-2  # of a posterior deviation: no parameter moves more in the last step
DEAD_BELOW, REVERSED_BELOW, SURE_SIGMAS = 0.5, -0.4, 3.0  # of what the middle bolt does
PLAYS_TRIED = (0.3, 0.6)  # of how far a bolt has gone: plays that may have hidden what it does
PLAYS_APART = 4.0  # times the others' play: what does nothing within it turns free
PLAYS_GONE = 2.0  # a bolt may be called dead once it has gone so many times the play of those that are well
MIN_ROWS, ROWS_MIN = 20, 8  # of all blocks, of one
PLAYS_UM = (0.0, 1.5, 4.0)  # beside the described play: where fits begin
ROUNDS = 3  # of who moves the web, and how, in turn: each needs the other

SHARED = ("gain", "kernel", "lobe", "shift", "stretch")
PRIOR = {"gain": 0.4, "kernel": 0.3, "lobe": 0.2, "shift": 0.7, "stretch": 0.01}  # deviations: logs, shares, pitches
BOLT_PRIOR = 0.12  # log
PLAY_PRIOR_SHARE, PLAY_PRIOR_UM = 1.0, 1.0  # deviation of the bolts' common play: of the described one, and beside it
PLAY_ALIKE_SHARE, PLAY_ALIKE_UM = 0.4, 0.2  # of a bolt's from that
DISTANCE_PRIOR = 0.2  # of the described one
BOX = {"gain": 1.2, "kernel": 0.9, "lobe": 0.9, "shift": 2.0, "stretch": 0.05}  # no parameter leaves this


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
    freedom: int  # values of scans less their means
    play_um: Array  # (zones,): with which the lips were worked out
    distance_m: float  # and the web's way to the gauge
    nearer: Array  # (zones, 2 zones): of the regressors with what a metre less of it would show
    nearer2: Array  # (zones,): of that with itself
    nearer_crossed: Array  # (zones,): and with the scans


@dataclass(frozen=True, slots=True, eq=False)
class _Theta:
    """Parameters of the regression; shared as in SHARED, bolts (zones,) logs, play_um (zones,), distance_m to the
    gauge, delivery (zones,)."""

    shared: Array
    bolts: Array
    play_um: Array
    distance_m: float
    delivery: Array


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """deviations: posterior, shared then bolts, play and distance; noise2: of a zone in a scan, log^2.

    unlikely: less the log of the posterior's density, but for a constant.
    """

    theta: _Theta
    deviations: Array
    noise2: float
    covariance: Array  # of the shared ones
    rows: int
    unlikely: float
    share: Array = field(default_factory=lambda: np.ones(0))
    share_sd: float = np.inf


class Beat(NamedTuple):
    """The pump's pulsation as a head behind distance_m sees it: of so many beats in a second at the pump's nominal
    speed; weights (4,) of cosine and sine of it and of its double, log.
    """

    hz: float
    weights: Array
    distance_m: float

    def shown(self, positions: Positions, seen_m: Array) -> Array:
        """In the web that was seen when the encoder stood at seen_m, of any shape."""
        waves = _beats(self.hz, pump_s(positions, seen_m - self.distance_m))
        pulses: Array = waves @ self.weights
        return pulses


def _beats(hz: float, pumped_s: Array) -> Array:
    turn = 2.0 * np.pi * hz * pumped_s
    return np.stack((np.cos(turn), np.sin(turn), np.cos(2.0 * turn), np.sin(2.0 * turn)), axis=-1)


def pump_s(positions: Positions, laid_m: Array) -> Array:
    """How far the pump had turned when a metre was laid, in seconds of its nominal speed."""
    turned_s = np.cumsum(np.exp(positions.speed_log) * np.diff(positions.t_s, prepend=positions.t_s[0]))
    return np.interp(laid_m, positions.web_m, turned_s)


class Heard(NamedTuple):
    """What was heard of a test: positions, blocks, and how long a position was held, m of web."""

    positions: Positions
    blocks: tuple[Block, ...]
    hold_m: float
    drift_m: float | None = None  # length of waves that are as much drift as noise, where that is known
    beat: Beat | None = None  # of the pump, where a head has shown it


def identify(
    line: LineDescription, heard: Heard, seen: Seen, other: Seen | None = None, before: Found | None = None
) -> Found | None:
    """What the scans of the gauge that closes the loop, and of the dry one beside it, say. None while too few,
    or when no bolt moved.

    With much play a bolt's small moves do nothing, as if its gain were small: the fit is begun from several plays, and
    the likeliest end counts; or from what was found `before`.
    """
    gauge = line.primary_gauge
    laid_m = seen.web_m - gauge.distance_m
    rows = sum(int(np.count_nonzero((laid_m > one.begin_m) & (laid_m < one.end_m))) for one in heard.blocks)
    if rows < MIN_ROWS or not _gone_um(heard).any():
        return None
    hidden_um = 0.5 * float(np.median(_gone_um(heard)))  # with more play than this, moves would hardly show
    plays = [np.full(line.zones, line.lips.backlash_um + more_um) for more_um in PLAYS_UM]
    plays = [play_um for play_um in plays if play_um[0] < hidden_um] or plays[:1]
    mean = _mean(line, gauge, heard, seen)
    begin = plays if before is None else [before.play_um]
    fits = [_begun(line, gauge, heard, seen, mean, play_um) for play_um in begin]
    fit = min(fits, key=_unlikely)
    for _ in range(ROUNDS):
        if gauge.is_scanner:
            heard = heard._replace(beat=_beat(line, gauge, heard._replace(beat=None), seen, fit.theta))
        heard = heard._replace(drift_m=_drift_m(line, gauge, heard, seen, fit.theta))
        fit = _once(line, gauge, heard, seen, mean, fit.theta)
    far = None
    if other is not None and line.dry_gauge is not None:
        dry = line.dry_gauge
        pump = _mean(line, dry, heard, other).known(dry.distance_m)
        far = _distance(line, dry, heard, other, fit.theta, pump)
    return _told(line, fit, far, _pump(mean, fit.theta.distance_m, heard.positions))


def _unlikely(fit: _Fit) -> float:
    return fit.unlikely


def _begun(
    line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, mean: _Mean, play_um: Array
) -> _Fit:
    """A fit from the description, with so much play in the bolts, (zones,)."""
    zones = line.zones
    theta = _Theta(np.zeros(len(SHARED)), np.zeros(zones), play_um, gauge.distance_m, np.ones(zones))
    for _ in range(2):
        pump = mean.known(theta.distance_m)
        theta = replace(theta, distance_m=_distance(line, gauge, heard, seen, theta, pump)[0])
        fit = _once(line, gauge, heard, seen, mean, theta)
        theta = fit.theta
    return fit


def _once(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, mean: _Mean, theta: _Theta) -> _Fit:
    """Who moves the web, and how and how late, in turn, from what is known."""
    gone_um = _gone_um(heard)
    sums = _gathered(line, gauge, heard, seen, theta)
    share, missing, unsure = _shares(line, sums, theta, gone_um)
    known = theta
    most_um = PLAYS_APART * max(float(np.quantile(theta.play_um, 0.8)), line.lips.backlash_um)
    for part in PLAYS_TRIED:  # a bolt that did nothing may have had much play, though not a multiple of the others'
        if not missing.any():
            break
        other = replace(theta, play_um=np.where(missing, np.minimum(part * gone_um, most_um), theta.play_um))
        again, _, _ = _shares(line, _gathered(line, gauge, heard, seen, other), other, gone_um)
        alive = missing & (again > DEAD_BELOW)
        share, missing = np.where(alive, again, share), missing & ~alive
        theta = replace(theta, play_um=np.where(alive, other.play_um, theta.play_um))
    theta = replace(theta, delivery=_delivery(share, missing, gone_um, theta.play_um))
    if not (np.array_equal(theta.play_um, known.play_um) and np.array_equal(theta.delivery, known.delivery)):
        sums = _gathered(line, gauge, heard, seen, theta)
    pump = _pump_prior(gauge, mean.known(theta.distance_m), theta.distance_m)
    return replace(_fitted(line, gauge, sums, theta, pump), share=share, share_sd=unsure)


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
        play_sd_um=sd[n + zones : -1],
        distance_m=theta.distance_m,
        distance_sd_m=float(sd[-1]),
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
    low_um, high_um = gap_um - 0.5 * np.maximum(play_um, 0.0), gap_um + 0.5 * np.maximum(play_um, 0.0)
    lips = np.empty_like(gap_um)
    lip = lips[0] = gap_um[0]
    turning = (np.diff(gap_um, axis=0, prepend=gap_um[:1]) != 0.0).any(axis=1)
    for i in range(1, len(gap_um)):
        if turning[i]:
            np.maximum(lip, low_um[i], out=lips[i])
            lip = np.minimum(lips[i], high_um[i], out=lips[i])
        else:
            lips[i] = lip
    pulled = np.sign(np.diff(lips, axis=0, prepend=lips[:1]))
    since = np.maximum.accumulate(np.where(pulled != 0.0, np.arange(len(lips))[:, None], 0), axis=0)
    ways: Array = np.take_along_axis(pulled, since, axis=0)
    return lips, ways


def _lips(line: LineDescription, positions: Positions, theta: _Theta) -> tuple[Array, Array]:
    """Lips and pulls as `lips_of`, each move by as much as it is worth at the nominal gap, (cycles, bolts).

    A lip that stands open does less: it takes less of the slot's pressure drop.
    """
    lips, pulls = lips_of(positions.gap_um, theta.play_um)
    reached = lip_matrix(described(line.die, theta.shared, theta.bolts, np.ones(line.zones)))
    away_um = lips[0] + theta.delivery * (lips - lips[0]) - line.die.gap_nominal_um
    worth = worth_of_a_move(line, line.die.gap_nominal_um + away_um @ reached.T)
    lips = lips[0] + np.cumsum(worth * np.diff(lips, axis=0, prepend=lips[:1]), axis=0)
    return lips, worth * pulls


def worth_of_a_move(line: LineDescription, gap_um: Array) -> Array:
    """Of a micrometre of lips that stand at gap_um, of any shape, against one at the nominal gap.

    From d ln q = (2 + 1/n) f dH/H, where the lip's share f of the pressure drop goes with H^-(2n+1).
    """
    wider = np.maximum(gap_um / line.die.gap_nominal_um, 0.1)
    narrow = wider ** -(2.0 * line.slurry.flow_index + 1.0)
    share = line.die.lip_share
    worth: Array = narrow / (share * narrow + 1.0 - share) / wider
    return worth


class Drifts(NamedTuple):
    """Cosines over a block, orthonormal, (rows, waves), longest first; and how much of each is taken out, (waves,)."""

    waves: Array
    taken: Array


def drifts(at_m: Array, equal_m: float) -> Drifts:
    """For a random walk that in waves of length equal_m is as strong as the noise: what whitens their sum."""
    step_m = float(at_m[-1] - at_m[0]) / max(at_m.size - 1, 1)
    span_m = float(at_m[-1] - at_m[0]) + step_m + 1e-9
    order = np.arange(at_m.size, dtype=np.float64)
    with np.errstate(divide="ignore"):
        kept = (1.0 + (2.0 * span_m / (order * equal_m)) ** 2) ** -0.5  # of a wave; nothing of the mean
    order = order[: max(int(np.count_nonzero(kept < UNTOUCHED)), 1)]
    phase = np.pi * (at_m - at_m[0] + 0.5 * step_m)[:, None] / span_m
    waves: Array = np.linalg.qr(np.cos(phase * order))[0]
    return Drifts(waves, 1.0 - kept[: order.size])


def without(drift: Drifts, values: Array) -> Array:
    """Rows of values less the drift in them."""
    cleaned: Array = values - drift.waves @ (drift.taken[:, None] * (drift.waves.T @ values))
    return cleaned


def equal_m(left: list[tuple[Array, Array]], longest_m: float) -> float:
    """Length of the waves in which drift is as strong as noise, from what fits leave of blocks: the likeliest, m.

    left: web_m (rows,) and values (rows, columns) of each block, evenly spaced in web.
    """
    power, length_m = [], []
    for at_m, values in left:
        rows, order = at_m.size, np.arange(1, at_m.size)
        waves = np.sqrt(2.0 / rows) * np.cos(np.pi * (np.arange(rows)[:, None] + 0.5) / rows * order)
        power.append(((waves.T @ values) ** 2).mean(axis=1))
        length_m.append(2.0 * float(at_m[-1] - at_m[0]) * rows / (rows - 1) / order)
    powers, lengths_m = np.concatenate(power), np.concatenate(length_m)
    tried_m = np.geomspace(2.0 * float(lengths_m.min()), longest_m, DRIFTS_TRIED)
    above = 1.0 + (lengths_m / tried_m[:, None]) ** 2
    unlikely = np.log((powers / above).mean(axis=1)) + np.log(above).mean(axis=1)
    return float(tried_m[int(np.argmin(unlikely))])


class _Rows(NamedTuple):
    """Scans of one block: error (rows, zones) about its mean, without drifts, and these; where
    the encoder stood (rows,), and beside it where each zone's metre was then, m, (rows, zones) or (rows, 1)."""

    error: Array
    drifts: Drifts
    web_m: Array
    beside_m: Array


def _rows(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta) -> list[_Rows]:
    """The scans of each block's web, wherever in its range the gauge may stand; it is taken to stand as theta says."""
    return [
        rows._replace(error=without(rows.drifts, rows.error)) for rows in _raw_rows(line, gauge, heard, seen, theta)
    ]


def _raw_rows(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta) -> list[_Rows]:
    """The same with the drifts still in the errors."""
    found = []
    effect = _effect(line, heard.positions, theta) if gauge.is_scanner else None
    for block in heard.blocks:
        laid_m = seen.web_m - gauge.distance_m
        rows = np.flatnonzero((laid_m > block.begin_m) & (laid_m < block.end_m))
        if rows.size < ROWS_MIN:
            continue
        error, web_m = seen.error[rows], seen.web_m[rows]
        beside_m = _beside_m(line, gauge, seen.direction[rows])
        if effect is None:
            error = error - error.mean(axis=1, keepdims=True)
        else:
            seen_m, stretch_m = web_m[:, None] + beside_m, _stretch_m(line, gauge)
            error = error - _pumped(line, heard, seen_m, theta.distance_m, stretch_m)
            shown = effect.mean(seen_m - theta.distance_m, stretch_m)
            error = level_pass(error, (error - shown).mean(axis=1), web_m, beside_m)
        slow = drifts(web_m, heard.drift_m or DRIFT_HOLDS * heard.hold_m)
        found.append(_Rows(error, slow, web_m, beside_m))
    return found


def _effect(line: LineDescription, positions: Positions, theta: _Theta) -> Laid:
    """What the lips make of the web as it is laid, (cycles, zones), log."""
    lips, _ = _lips(line, positions, theta)
    return Laid.of(positions, (lips - lips.mean(axis=0)) @ _matrix(line, theta).T)


def _pumped(line: LineDescription, heard: Heard, seen_m: Array, distance_m: float, stretch_m: float) -> Array:
    """What the pump's speed, and its beat where one is known, make of what a head sees at seen_m, (passes, zones)."""
    pump = Laid.of(heard.positions, heard.positions.speed_log[:, None].repeat(line.zones, axis=1))
    shown = pump.mean(seen_m - distance_m, stretch_m)
    return shown if heard.beat is None else shown + heard.beat.shown(heard.positions, seen_m)


def level_pass(error: Array, mean: Array, web_m: Array, beside_m: Array) -> Array:
    """Passes of a head, (passes, zones), less their mean (passes,), and less what that went up or down while the head
    crossed, as the passes before and after have it. The mean is of what lips have not done: a head that sees one half
    of the web before they move and the other after sees a mean that is not there.
    """
    slope = np.gradient(mean, web_m)
    levelled: Array = error - mean[:, None] - slope[:, None] * (beside_m - beside_m.mean(axis=1, keepdims=True))
    return levelled


def _beside_m(line: LineDescription, gauge: GaugeDescription, direction: Array) -> Array:
    """How far from the scan's own web position each zone was seen: a head meets each at another metre."""
    if not gauge.is_scanner:
        return np.zeros((direction.size, 1))
    along = (np.arange(line.zones) + 0.5) / line.zones
    way = np.where(direction[:, None] < 0, 1.0 - along, along)
    beside: Array = (way * _crossing_share(line, gauge) - 0.5) * gauge.period_s * line.web_speed_mps
    return beside


def _crossing_share(line: LineDescription, gauge: GaugeDescription) -> float:
    """Of a pass, in which the head is over the web; for what is left of it, it turns."""
    return min(line.web_width_mm * 1e-3 / max(gauge.head_speed_mps, 1e-6) / gauge.period_s, 1.0)


class Laid(NamedTuple):
    """Values summed over the web, so that any stretch of it can be averaged: web_m (cycles,), sums (cycles, columns);
    step_m of web passes in a cycle.

    A cycle's web is laid with the lips where they stand at its end, as the estimate takes it.
    """

    web_m: Array
    sums: Array
    step_m: float

    @classmethod
    def of(cls, positions: Positions, values: Array) -> Laid:
        """From values (cycles, columns), less what they were in the first cycle and are taken to have been before."""
        web_m = positions.web_m
        passed_m = np.diff(web_m, prepend=web_m[0])
        return cls(web_m, np.cumsum((values - values[0]) * passed_m[:, None], axis=0), float(np.median(passed_m[1:])))

    def mean(self, laid_m: Array, stretch_m: float) -> Array:
        """Over stretches about laid_m: (rows, 1) gives (rows, columns), (rows, columns) a place for each column."""
        stretch_m = max(stretch_m, self.step_m)
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


def _gathered(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta) -> _Sums:
    """Sums of products over all blocks, drifts taken out."""
    zones, positions, distance_m = line.zones, heard.positions, theta.distance_m
    stretch_m = _stretch_m(line, gauge)
    lips, pulls = _lips(line, positions, theta)
    both = Laid.of(positions, np.concatenate((lips, pulls), axis=1))
    effect = Laid.of(positions, (lips - lips.mean(axis=0)) @ _matrix(line, theta).T)
    step_m = max(0.5 * stretch_m, float(np.median(np.diff(positions.web_m))))
    apart = zones if gauge.is_scanner else 1
    regressors, crossed = np.zeros((apart, 2 * zones, 2 * zones)), np.zeros((zones, 2 * zones))
    nearer, nearer2, nearer_crossed = np.zeros((zones, 2 * zones)), np.zeros(zones), np.zeros(zones)
    scans2, freedom = 0.0, 0
    for rows in _rows(line, gauge, heard, seen, theta):
        laid_m = rows.web_m[:, None] - distance_m + rows.beside_m
        ahead, behind = effect.mean(laid_m + step_m, stretch_m), effect.mean(laid_m - step_m, stretch_m)
        later = without(rows.drifts, (ahead - behind) / (2.0 * step_m))
        for z in range(apart):
            some = slice(z, z + 1) if gauge.is_scanner else slice(None)
            x = without(rows.drifts, both.mean(laid_m[:, z : z + 1], stretch_m))
            regressors[z] += x.T @ x
            crossed[some] += rows.error[:, some].T @ x
            nearer[some] += later[:, some].T @ x
        nearer2 += (later**2).sum(axis=0)
        nearer_crossed += (later * rows.error).sum(axis=0)
        scans2 += float((rows.error**2).sum())
        freedom += (rows.web_m.size - 1) * (zones - 1)
    return _Sums(
        regressors, crossed, scans2, freedom, theta.play_um, distance_m, nearer, nearer2, nearer_crossed
    )  # fmt: skip


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
    plain = np.linalg.solve(product + (1e-6 * np.trace(product) / zones + 1e-12) * np.eye(zones), told)
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


def _fitted(
    line: LineDescription, gauge: GaugeDescription, sums: _Sums, start: _Theta, pump: tuple[float, float]
) -> _Fit:
    """Gauss-Newton from `start`, with the prior about the description, and what the pump says of the distance."""
    zones, n = line.zones, len(SHARED)
    centre, precision = _prior(line, gauge, start)
    told_m, weight = pump
    centre[-1] = (precision[-1, -1] * centre[-1] + weight * told_m) / (precision[-1, -1] + weight)
    precision[-1, -1] += weight
    reach_m = NEAR_SHARE * gauge.distance_m
    bound = np.concatenate((
        [BOX[name] for name in SHARED],
        np.full(zones, 4.0 * BOLT_PRIOR),
        np.full(zones, np.inf),
        [min(sums.distance_m + reach_m, (1.0 + DELAY_RANGE) * gauge.distance_m)],
    ))  # fmt: skip
    least_m = max(sums.distance_m - reach_m, (1.0 - DELAY_RANGE) * gauge.distance_m)
    floor = np.concatenate((-bound[: n + zones], np.zeros(zones), [least_m]))
    at, theta = _vector(start), start
    noise2, covariance = sums.scans2 / max(sums.freedom, 1), np.linalg.inv(precision)
    for _ in range(ITERATIONS):
        slope, curvature, left2 = _derivatives(line, sums, theta)
        noise2 = max(left2 / max(sums.freedom, 1), QUIETEST2)
        covariance = np.linalg.inv(curvature / noise2 + precision)
        move = covariance @ (slope / noise2 - precision @ (at - centre))
        new = np.minimum(np.maximum(at + move, floor), bound)
        change, at = np.abs(new - at) / np.sqrt(np.diag(covariance)), new
        theta = _Theta(at[:n], at[n : n + zones], at[n + zones : -1], float(at[-1]), start.delivery)
        if change.max() < SETTLED:
            break
    away = at - centre
    unlikely = 0.5 * sums.freedom * float(np.log(max(noise2, 1e-16))) + 0.5 * float(away @ precision @ away)
    rows = sums.freedom // max(zones - 1, 1)
    deviations: Array = np.sqrt(np.diag(covariance))
    return _Fit(theta, deviations, noise2, covariance[:n, :n].astype(np.float64), rows, unlikely)


def _prior(line: LineDescription, gauge: GaugeDescription, theta: _Theta) -> tuple[Array, Array]:
    """What is taken to be so before anything is seen, and the inverse of its covariance.

    Bolts of one die have about one play, whatever that is: their plays are drawn about a common one.
    """
    zones, n, described_um = line.zones, len(SHARED), line.lips.backlash_um
    centre = np.concatenate((np.zeros(n + zones), np.full(zones, described_um), [gauge.distance_m]))
    spread = np.concatenate((
        [PRIOR[name] for name in SHARED],
        np.full(zones, BOLT_PRIOR),
        np.full(zones, PLAY_ALIKE_UM + PLAY_ALIKE_SHARE * float(np.median(theta.play_um))),
        [DISTANCE_PRIOR * gauge.distance_m],
    ))  # fmt: skip
    covariance = np.diag(spread**2)
    plays = slice(n + zones, n + 2 * zones)
    covariance[plays, plays] += (PLAY_PRIOR_UM + PLAY_PRIOR_SHARE * described_um) ** 2
    return centre, np.linalg.inv(covariance)


def _pump_prior(gauge: GaugeDescription, mean: _Mean, about_m: float) -> tuple[float, float]:
    """The distance that the pump's moves show, m, and the inverse of its variance, by their likelihood's bend there."""
    step_m = PUMP_NEAR_SHARE * gauge.distance_m
    here, near, far = (mean.likely(about_m + step) for step in (0.0, -step_m, step_m))
    bend = (2.0 * here - near - far) / step_m**2
    if bend <= 0.0:
        return about_m, 0.0
    away_m = 0.5 * (far - near) / step_m / bend
    return about_m + float(np.clip(away_m, -2.0 * step_m, 2.0 * step_m)), bend


def _vector(theta: _Theta) -> Array:
    return np.concatenate((theta.shared, theta.bolts, theta.play_um, [theta.distance_m]))


def _derivatives(line: LineDescription, sums: _Sums, theta: _Theta) -> tuple[Array, Array, float]:
    """Half the slope and curvature of the sum of squares in all parameters, and what it is, log^2."""
    turned = _turned(line, sums, theta)  # (zones, 2 zones): what a zone makes of each regressor
    by = _turned_by(line, sums, theta)  # (zones, 2 zones, parameters but the distance)
    nearer_m = sums.distance_m - theta.distance_m
    weighed = np.matmul(sums.regressors, by)
    left = sums.crossed - np.matmul(sums.regressors, turned[:, :, None])[:, :, 0] - nearer_m * sums.nearer
    left_nearer = sums.nearer_crossed - (sums.nearer * turned).sum(axis=1) - nearer_m * sums.nearer2
    slope = np.append(np.einsum("zr,zrp->p", left, by), -left_nearer.sum())
    size = by.shape[2]
    curvature = np.empty((size + 1, size + 1))
    curvature[:size, :size] = by.reshape(-1, size).T @ weighed.reshape(-1, size)
    curvature[:size, size] = curvature[size, :size] = -np.einsum("zr,zrp->p", sums.nearer, by)
    curvature[size, size] = sums.nearer2.sum()
    told2 = float((turned * (sums.crossed + left)).sum() + nearer_m * (sums.nearer_crossed + left_nearer).sum())
    return slope, curvature, max(sums.scans2 - told2, 1e-16)


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
    line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta, pump: _Mean
) -> tuple[float, float]:
    """Web between die and gauge that explains the scans best, whatever gain and common play, and its deviation, m.

    Each distance is judged with the play that suits it best, and by what it makes of the pump's moves.
    """
    matrix = _matrix(line, theta)
    lips, pulls = _lips(line, heard.positions, theta)
    effects = [Laid.of(heard.positions, (part - part.mean(axis=0)) @ matrix.T) for part in (lips, pulls)]
    theta = theta if gauge is line.primary_gauge else replace(theta, distance_m=gauge.distance_m)
    blocks, stretch_m = _rows(line, gauge, heard, seen, theta), _stretch_m(line, gauge)

    def told(distance_m: float) -> float:
        """By how much the log of the likelihood rises for such a distance."""
        crossed, own = np.zeros(2), np.zeros((2, 2))
        for rows in blocks:
            laid_m = rows.web_m[:, None] - distance_m + rows.beside_m
            shown = [without(rows.drifts, part.mean(laid_m, stretch_m)) for part in effects]
            crossed += [float((rows.error * part).sum()) for part in shown]
            own += [[float((one * other).sum()) for one in shown] for other in shown]
        fell2 = 0.0  # of the sum of squares; nothing when nothing moved
        if np.trace(own) > 0.0:
            gain = np.linalg.solve(own + 1e-9 * np.trace(own) * np.eye(2), crossed)
            fell2 = max(float(gain @ crossed), 0.0) if gain[0] > 0.0 else 0.0
        return pump.likely(distance_m) - 0.5 * count * float(np.log(max(1.0 - fell2 / total, 1e-6)))

    best, reach = gauge.distance_m, DELAY_RANGE * gauge.distance_m
    if not blocks:
        return best, reach
    total = sum(float((rows.error**2).sum()) for rows in blocks)
    count = sum(rows.error.size for rows in blocks)
    while reach > 1e-3 * gauge.distance_m:
        trials = best + reach * np.linspace(-1.0, 1.0, DELAY_TRIALS)
        best = float(trials[int(np.argmax([told(float(trial)) for trial in trials]))])
        reach *= 4.0 / DELAY_TRIALS
    step = max(0.02 * gauge.distance_m, 2.0 * float(np.median(np.diff(heard.positions.web_m))))
    bend = (2.0 * told(best) - told(best - step) - told(best + step)) / step**2
    return best, min(bend**-0.5 if bend > 0.0 else np.inf, DELAY_RANGE * gauge.distance_m)


def _left(
    line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta
) -> list[tuple[_Rows, Array]]:
    """Scans of each block, and what is left of them, (rows, zones), drifts and all, less what the lips do."""
    effect = _effect(line, heard.positions, theta)
    left = []
    for rows in _raw_rows(line, gauge, heard, seen, theta):
        laid_m = rows.web_m[:, None] - theta.distance_m + rows.beside_m
        left.append((rows, rows.error - effect.mean(laid_m, _stretch_m(line, gauge))))
    return left


def _drift_m(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta) -> float:
    """Length of waves in which drift and noise are equal in what the fit leaves, m."""
    left = [(rows.web_m, values) for rows, values in _left(line, gauge, heard, seen, theta)]
    return equal_m(left, DRIFT_LONGEST * max(float(np.ptp(web_m)) for web_m, _ in left))


def _beat(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen, theta: _Theta) -> Beat | None:
    """The pump's pulsation in what a head sees one zone after the other; None where none stands out of the noise."""
    left = _left(line, gauge, heard, seen, theta)
    seen_m = np.concatenate([(rows.web_m[:, None] + rows.beside_m).ravel() for rows, _ in left])
    values = np.concatenate([without(rows.drifts, value).ravel() for rows, value in left])
    pumped_s = pump_s(heard.positions, seen_m - theta.distance_m)
    hz = beat_hz(pumped_s, values)
    if hz is None:
        return None
    return Beat(hz, np.linalg.lstsq(_beats(hz, pumped_s), values, rcond=None)[0], theta.distance_m)


def beat_hz(at_s: Array, values: Array) -> float | None:
    """Frequency at which values (samples,) at times at_s swing most, between those of BEATS_HZ; None where noise alone
    would swing as much. Source: Schuster's periodogram, in bins of time."""
    bins = np.rint((at_s - at_s.min()) / BEAT_BIN_S).astype(np.int64)
    power = np.abs(np.fft.rfft(np.bincount(bins, weights=values), n=BEAT_PADDED * (int(bins.max()) + 1))) ** 2
    hz = np.fft.rfftfreq(BEAT_PADDED * (int(bins.max()) + 1), BEAT_BIN_S)
    inside = (hz >= BEATS_HZ[0]) & (hz <= BEATS_HZ[1])
    best = int(np.argmax(np.where(inside, power, 0.0)))
    chance = power[best] / max(float(values @ values), 1e-16)  # one in e^chance, at a given frequency
    return float(hz[best]) if chance > np.log(max(int(inside.sum()), 1)) + BEAT_SURE else None


class _MeanRows(NamedTuple):
    """The mean in one block, (rows, 1), as it was seen and without its drifts."""

    web_m: Array
    seen: Array
    drifts: Drifts
    error: Array


class _Mean(NamedTuple):
    """What the web's mean shows of the pump, whose speed is known, in stretches of web; noise2, log^2, once known."""

    blocks: list[_MeanRows]
    speeds: Laid
    stretch_m: float
    noise2: float = np.inf

    def sums(self, distance_m: float) -> tuple[float, float, float, int]:
        """Mean with speed, speed and mean with themselves, and values, with the gauge so far from the die."""
        crossed = own = total = 0.0
        count = 0
        for rows, speed in zip(self.blocks, self._shown(distance_m), strict=True):
            moved = without(rows.drifts, speed)
            crossed, own = crossed + float((rows.error * moved).sum()), own + float((moved * moved).sum())
            total, count = total + float((rows.error**2).sum()), count + rows.web_m.size - 1
        return crossed, own, total, count

    def likely(self, distance_m: float) -> float:
        """By how much the log of the likelihood rises for such a distance over a pump that does nothing."""
        crossed, own, _, _ = self.sums(distance_m)
        return 0.5 * max(crossed, 0.0) ** 2 / max(own, 1e-12) / self.noise2

    def known(self, distance_m: float) -> _Mean:
        """With its drift and noise, from what is left at such a distance."""
        crossed, own, _, count = self.sums(distance_m)
        if own < 1e-12 or count < ROWS_MIN:
            return self
        left = []
        for rows, speed in zip(self.blocks, self._shown(distance_m), strict=True):
            each = -(-rows.web_m.size // MEANS_MOST)  # the pump's own beat is no drift
            size = rows.web_m.size // each * each
            values = rows.seen[:size] - crossed / own * speed[:size]
            left.append((rows.web_m[:size:each], values.reshape(-1, each).mean(axis=1, keepdims=True)))
        drift_m = equal_m(left, DRIFT_LONGEST * max(float(np.ptp(web_m)) for web_m, _ in left))
        known = self._replace(blocks=[_mean_rows(rows.web_m, rows.seen, drift_m) for rows in self.blocks])
        crossed, own, total, count = known.sums(distance_m)
        return known._replace(noise2=max(total - crossed**2 / own, 1e-3 * total, 1e-16) / count)

    def _shown(self, distance_m: float) -> list[Array]:
        return [self.speeds.mean((rows.web_m - distance_m)[:, None], self.stretch_m) for rows in self.blocks]


def _mean_rows(web_m: Array, seen: Array, drift_m: float) -> _MeanRows:
    slow = drifts(web_m, drift_m)
    return _MeanRows(web_m, seen, slow, without(slow, seen))


def _mean(line: LineDescription, gauge: GaugeDescription, heard: Heard, seen: Seen) -> _Mean:
    """The mean of the web in all blocks: of what is laid, not of its logs, for that is all that lips leave alone."""
    blocks = []
    for block in heard.blocks:
        laid_m = seen.web_m - gauge.distance_m
        rows = np.flatnonzero((laid_m > block.begin_m) & (laid_m < block.end_m))
        if rows.size >= ROWS_MIN:
            means = np.log(np.exp(seen.error[rows]).mean(axis=1, keepdims=True))
            middle_m = seen.web_m[rows] + _beside_m(line, gauge, seen.direction[rows]).mean(axis=1)
            blocks.append(_mean_rows(middle_m, means, DRIFT_HOLDS * heard.hold_m))
    speed = heard.positions.speed_log
    between = 0.5 * (speed + np.concatenate((speed[:1], speed[:-1])))  # a cycle's web is what was pumped in it
    speeds = Laid.of(heard.positions, between[:, None])
    seconds = _crossing_share(line, gauge) * gauge.period_s if gauge.is_scanner else gauge.period_s
    return _Mean(blocks, speeds, seconds * line.web_speed_mps)


def _pump(mean: _Mean, distance_m: float, positions: Positions) -> tuple[float, float, float]:
    """Gain of the mean for a share of pump speed, its deviation, and the lag of the drive, s."""
    mean = mean.known(distance_m)
    crossed, own, _, count = mean.sums(distance_m)
    if own < 1e-12 or count < ROWS_MIN:
        return 1.0, np.inf, np.nan
    return crossed / own, float(np.sqrt(mean.noise2 / own)), _drive_lag_s(positions)


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
