"""What the adaptive law's estimate of the mean learns while the line runs: flow, noise, and each batch's course.

The shapes are as everywhere (`estimate`). The mean is film plus what lies between film and dry web, as there, but

- the film is known up to the die by the pump's pressure (`flow`), whose pulses, and the gauge's disagreement with it,
  are learnt from the readings themselves;
- a new batch has a course (`course`): the pressure shows at once when it comes and how fast, for rheology and solids
  mix alike; how much, only the dry gauge can tell, and then all that is still to come is answered before it is seen.

- what comes between pressure and wet gauge is rheology, or the gauge's own bias (`blame`): the dry gauge tells which.

On a line whose only gauge stands behind the dryer the pressure follows the slip since the metre that it sees.
Where there is no pressure sensor, the dry gauge alone tells a batch's course. Everything learnt is bounded, and begins
anew where it belongs: a batch's size and course with each batch, noise with each gap in the readings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from controller.core import batches, blame, course, flow
from controller.core.batches import Past
from controller.core.blame import Blame
from controller.core.course import Course
from controller.core.flow import Flow, Meter
from controller.core.network import Network
from controller.core.statistics import TURN_OF_PULSE_S, Noise, Statistics, own_noise
from controller.line.description import Array, LineDescription
from controller.line.profile import LineInputs

USUAL_SOLIDS2 = 0.015**2  # of a batch's step in areal density
USUAL_RHEOLOGY2 = 0.5**2  # of what it does to the pressure, as flow
RHEOLOGY_PCT2_PER_S = 1e-4  # between batches: a third of a percent in a quarter of an hour
PRESSED_RATE, PRESSED_NOISE2 = 1e-7, 1e-7  # by which pressure and film part beside the batch's course
HOLDS_TOGETHER_S = 5.0  # over which a batch moves the pressure one way
UNCERTAIN_S, AT_ONSET = 20.0, 1e-4  # so long after the onset it may run as fast as this, log^2/s
LONGEST_S = 3600.0
TRUST_AT_FIRST2 = 1e-5  # log^2 of moves as the pressure says that weigh as much as the trust it has at first
TRUST_KEPT = 0.99


@dataclass(frozen=True, slots=True)
class Mean:
    """Constants. level_rate, level2: drift and reading of what the dry gauge tells, log^2/s and log^2."""

    meter: Meter
    near: bool  # a wet gauge stands next to the die
    reach_m: float  # from the die to the gauge behind the dryer
    level_start2: float
    level_rate: float
    level2: float
    guest: Network | None  # that has learnt what batches are like


class Trust(NamedTuple):
    """How much of what the pressure follows a gauge behind the dryer confirms later: both where a stretch began, the
    sums of their moves' product and of the pressure's square, log^2, and the share that follows from them."""

    reading: float = 0.0
    film: float = 0.0
    at_m: float = math.nan
    product: float = TRUST_AT_FIRST2
    square: float = TRUST_AT_FIRST2
    share: float = 1.0


class Learnt(NamedTuple):
    """What is remembered. onset_m: web at the die when the newest batch began, NaN before any did.

    dry, pressed: its course as dry gauge and pressure see it; weight (lengths,) of its lengths. level, film: what they
    make of the web at the die, worked out anew every few cycles at fresh_m; film is NaN where no pressure is heard.
    """

    batch: int | None
    onset_m: float
    flow: Flow
    dry: Course
    dry_m: float
    left_out: float
    pressed: Course
    pressed_m: float
    weight: Array
    level: float = 0.0
    film: float = math.nan
    fresh_m: float = math.nan
    trust: Trust = Trust()
    blame: Blame | None = None  # where there are a wet gauge and a dry one
    past: Past = Past()
    foretold: float = math.nan  # what the newest batch was expected to bring when it was announced, and its variance
    foretold2: float = math.nan


class Newest(NamedTuple):
    """What is known of the newest batch, log and log^2; NaN before one was announced.

    foretold: what it was expected to bring; step: what it is believed by now to bring in whole; here: what of that is
    at the die.
    """

    foretold: float = math.nan
    foretold2: float = math.nan
    step: float = math.nan
    step2: float = math.nan
    here: float = math.nan


def build(
    line: LineDescription, film: Noise, offset: Noise | None, known: Statistics, guest: Network | None = None
) -> Mean:
    """Constants from the line's description and the variances of its filters."""
    near = line.wet_gauge is not None
    gauge, speed = line.primary_gauge, line.web_speed_mps
    slip_rate = 2e-4 * known.slip_pct**2 / known.slip_s
    pace_s = max(flow.PACE_S, 0.0 if near else 1.1 * (gauge.distance_m / speed + gauge.period_s) / flow.BLOCKS)
    level = offset or film
    rate = float(level.rate[-1]) - (0.0 if near else slip_rate)
    return Mean(
        meter=Meter(
            flow_index=line.slurry.flow_index,
            film_rate=float(film.rate[-1]) if near else slip_rate,
            rheology_rate=1e-4 * RHEOLOGY_PCT2_PER_S,
            pulse2=1e-4 * known.pulsation_pct**2 * min(1.0, TURN_OF_PULSE_S / pace_s),
            own2=own_noise(line, gauge, known),
            speed_mps=speed,
            pace_m=pace_s * speed,
            slowest_rpm=0.1 * line.pump_ratio_nominal_rpm_per_mps * speed,
        ),
        near=near,
        reach_m=line.dry_gauge.distance_m if near and line.dry_gauge is not None else 0.0,
        level_start2=float(level.start[-1]),
        level_rate=max(rate, 1e-12),
        level2=float(level.reading[-1]),
        guest=guest,
    )


def none(mean: Mean) -> Learnt:
    """Nothing heard yet."""
    dry, pressed = course.begun(0.0, mean.level_start2, 0.0), course.begun(0.0, 1.0, 0.0)
    weight = course.likely(dry.told)
    told = blame.none(mean.reach_m, max(mean.meter.pace_m, mean.reach_m / 300.0)) if mean.reach_m else None
    meter = flow.none(mean.meter)
    return Learnt(None, math.nan, meter, dry, math.nan, math.nan, pressed, math.nan, weight, blame=told)


def cycle(mean: Mean, learnt: Learnt, inputs: LineInputs) -> Learnt:
    """One cycle: a new batch's name, and the pressure."""
    if inputs.batch != learnt.batch:
        learnt = _announced(mean, learnt, inputs.batch, inputs.web_m)
    value, meter = flow.pressed(mean.meter, inputs), mean.meter
    runs2 = _runs2(mean, learnt, inputs.web_m) if flow.closes(meter, learnt.flow, inputs.web_m) else 0.0
    known, closed = flow.heard(meter, learnt.flow, value, inputs.web_m, runs2)
    learnt = learnt._replace(flow=known)
    if closed and not mean.near and known.filled > 1:
        at_m, pressed = float(known.memory[0, -1]), float(known.memory[1, -1])
        learnt = _followed(mean, learnt, pressed, at_m, meter.film_rate, known.pulses.variance)
    if closed or not 0.0 <= inputs.web_m - learnt.fresh_m < meter.pace_m:
        learnt = _refreshed(mean, learnt, inputs.web_m)
    return learnt


def wet(mean: Mean, learnt: Learnt, reading: float, at_m: float) -> Learnt:
    """The wet gauge's reading of the metre at_m, log, less what the actuators did."""
    before, (known, between) = learnt.flow.film, flow.met(mean.meter, learnt.flow, reading, at_m)
    learnt = learnt._replace(flow=known)
    if math.isnan(between):
        return learnt
    learnt = _parted(mean, learnt, before)
    return _followed(mean, learnt, between, known.film.at_m, PRESSED_RATE, known.film.apart.variance)


def dry(mean: Mean, learnt: Learnt, reading: float, at_m: float, doubt: float, faster: float = 1.0) -> Learnt:
    """The dry gauge's reading of the metre at_m, log: less the film's where there is a wet gauge, else less what the
    actuators did. doubt multiplies its variance, `faster` the drift that is believed of it."""
    passed_s = _passed_s(mean, learnt.dry_m, at_m)
    drifted2, left_out = mean.level_rate * passed_s, math.nan
    if not mean.near:
        film, left_out = flow.followed(learnt.flow, at_m)
        learnt = _trusted(mean, learnt, reading, film, at_m)
        known = left_out - learnt.left_out
        unseen2 = known if known >= 0.0 else mean.meter.film_rate * passed_s
        lost = 1.0 - learnt.trust.share
        drifted2 = faster * (drifted2 + unseen2 + lost * lost * mean.meter.film_rate * passed_s)
        if math.isnan(left_out) != math.isnan(learnt.left_out) or known < 0.0:
            drifted2 += mean.level_start2  # followed from another place: the level is another
        reading -= learnt.trust.share * film
    elif learnt.blame is not None:
        learnt = _blamed(mean, learnt, learnt.blame, reading, at_m)
        assert learnt.blame is not None
        reading -= _bias(learnt.blame, at_m)
    here = course.arrived(_since_s(mean, learnt, at_m))
    told = course.seen(learnt.dry, reading, here, drifted2, mean.level2 * doubt)
    learnt = learnt._replace(dry=told, dry_m=at_m, left_out=left_out, fresh_m=math.nan)
    return learnt._replace(weight=course.likely(told.told + learnt.pressed.told))


def now(learnt: Learnt, film: float) -> float:
    """What the actuators have to answer in the mean of the web now at the die, log.

    `film` is what a filter of the wet gauge alone makes of it, for a line without pressure; 0 without a wet gauge.
    """
    return learnt.level + (film if math.isnan(learnt.film) else learnt.film)


def newest(mean: Mean, learnt: Learnt, web_m: float) -> Newest:
    """The newest batch, with the web at the die now."""
    if math.isnan(learnt.foretold):
        return Newest()
    step, step2 = course.brought(learnt.dry, learnt.weight, np.ones(course.LENGTHS_S.size))
    here, _ = course.brought(learnt.dry, learnt.weight, course.arrived(_since_s(mean, learnt, web_m)))
    return Newest(learnt.foretold, learnt.foretold2, step, max(step2, 0.0), here)


def _refreshed(mean: Mean, learnt: Learnt, web_m: float) -> Learnt:
    """What course and pressure make of the web at the die."""
    here = course.arrived(_since_s(mean, learnt, web_m))
    level = course.at(learnt.dry, learnt.weight, here)
    film = math.nan
    if mean.near:
        level += learnt.blame.bias if learnt.blame is not None else 0.0
        film = flow.film_now(mean.meter, learnt.flow, math.nan)
    elif not math.isnan(learnt.left_out):
        film = learnt.trust.share * float(learnt.flow.memory[3, -1])
    return learnt._replace(level=level, film=film, fresh_m=web_m)


def _announced(mean: Mean, learnt: Learnt, batch: int, web_m: float) -> Learnt:
    """The line names its batch; the first name heard is nothing new. What the last one had still to bring is let go."""
    if learnt.batch is None:
        return learnt._replace(batch=batch)
    here = course.arrived(_since_s(mean, learnt, learnt.dry_m))
    level = course.at(learnt.dry, learnt.weight, here)
    variance = course.doubt2(learnt.dry, learnt.weight, here)
    known, known_batch = learnt.flow, math.isfinite(learnt.onset_m)
    pressed, pressed2 = known.smooth, known.smooth2
    if mean.near:
        pressed, pressed2 = known.film.rheology, known.film.rheology2
    past = batches.ended(learnt.past, *course.brought(learnt.dry, learnt.weight, here)) if known_batch else learnt.past
    past, step, step2 = batches.announced(mean.guest, past, USUAL_SOLIDS2)
    fresh = course.begun(level, variance, step2, step)
    return learnt._replace(
        batch=batch,
        onset_m=web_m,
        past=past,
        foretold=step,
        foretold2=step2,
        dry=fresh,
        pressed=course.begun(pressed, pressed2, USUAL_RHEOLOGY2),
        pressed_m=math.nan,
        weight=course.likely(fresh.told),
    )


def _followed(mean: Mean, learnt: Learnt, reading: float, at_m: float, rate: float, noise2: float) -> Learnt:
    """What the pressure tells of the batch's course, from its onset on."""
    since_s = _since_s(mean, learnt, at_m)
    if not 0.0 < since_s < course.OVER_LENGTHS * course.LENGTHS_S[-1]:
        return learnt
    drifted2 = rate * _passed_s(mean, learnt.pressed_m, at_m)
    told = course.seen(learnt.pressed, reading, course.arrived(since_s), drifted2, noise2 + PRESSED_NOISE2)
    weight = course.likely(told.told + learnt.dry.told)
    return learnt._replace(pressed=told, pressed_m=at_m, weight=weight)


def _parted(mean: Mean, learnt: Learnt, before: flow.Film) -> Learnt:
    """Pressure and wet gauge after one more block of web; what a batch does to the rheology is left out."""
    film, told = learnt.flow.film, learnt.blame
    if told is None:
        return learnt
    passed_s = _passed_s(mean, before.at_m, film.at_m)
    since_s = _since_s(mean, learnt, film.at_m)
    coming = 0.0 < since_s < float(learnt.weight @ course.LENGTHS_S)
    running = coming or _runs2(mean, learnt, film.at_m) > 2.0 * film.drift.rate
    steady = 0.0 < passed_s < flow.LONGEST_GAP_S and not running
    return learnt._replace(blame=blame.parted(told, film.rheology - before.rheology if steady else 0.0, film.at_m))


def _blamed(mean: Mean, learnt: Learnt, told: Blame, reading: float, at_m: float) -> Learnt:
    """What the dry gauge makes of it; the bias that is blamed on nobody any more is level from now on.

    Where what they had parted by is remembered no more, as when the encoder was set back, all of it is.
    """
    then = blame.then(told, at_m)
    if math.isnan(then):
        level = learnt.dry.level + told.bias
        return learnt._replace(blame=told._replace(share=0.0, product=0.0), dry=learnt.dry._replace(level=level))
    found = blame.confirmed(told, reading, at_m, mean.meter.speed_mps, mean.level_rate, mean.level2)
    level = learnt.dry.level + (told.share - found.share) * then
    return learnt._replace(blame=found, dry=learnt.dry._replace(level=level))


def _bias(told: Blame, at_m: float) -> float:
    """The wet gauge's bias that the readings of the metre at_m are already without, log."""
    return told.share * blame.then(told, at_m) if told.share else 0.0


def _trusted(mean: Mean, learnt: Learnt, reading: float, film: float, at_m: float) -> Learnt:
    """Compare, stretch by stretch, how the gauge's reading moved with how far the pressure had followed it."""
    known, passed_s = learnt.trust, (at_m - learnt.trust.at_m) / mean.meter.speed_mps
    if 0.0 <= passed_s < flow.STRETCH_S:
        return learnt
    product, square, share = known.product, known.square, known.share
    if flow.STRETCH_S <= passed_s < 4.0 * flow.STRETCH_S:
        moved = film - known.film
        product = TRUST_KEPT * product + moved * (reading - known.reading)
        square = TRUST_KEPT * square + moved * moved
        keep = 1.0 - TRUST_KEPT
        product, square = product + keep * TRUST_AT_FIRST2, square + keep * TRUST_AT_FIRST2
        share = min(max(product / square, 0.0), 1.0)
    level = learnt.dry.level + (known.share - share) * film  # what is trusted no more is level from now on
    trust = Trust(reading, film, at_m, product, square, share)
    return learnt._replace(dry=learnt.dry._replace(level=level), trust=trust)


def _runs2(mean: Mean, learnt: Learnt, web_m: float) -> float:
    """How fast a new batch makes the rheology run now, log^2/s."""
    since_s = _since_s(mean, learnt, web_m)
    if not 0.0 <= since_s < course.OVER_LENGTHS * course.LENGTHS_S[-1] or math.isnan(learnt.onset_m):
        return 0.0
    runs2 = HOLDS_TOGETHER_S * course.speed2(learnt.pressed, learnt.weight, course.arriving(since_s))
    return max(runs2, AT_ONSET) if since_s < UNCERTAIN_S else runs2


def _since_s(mean: Mean, learnt: Learnt, web_m: float) -> float:
    """Seconds' worth of web since the newest batch's onset; 0 before it and without one."""
    since_m = web_m - learnt.onset_m
    return since_m / mean.meter.speed_mps if since_m > 0.0 else 0.0


def _passed_s(mean: Mean, from_m: float, to_m: float) -> float:
    passed_m = to_m - from_m
    return min(passed_m / mean.meter.speed_mps, LONGEST_S) if passed_m > 0.0 else 0.0
