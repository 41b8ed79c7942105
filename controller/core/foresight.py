"""How far the belief of the mean will turn out to be wrong, as the network foresees it, and how much it may say.

The adaptive law's belief of the web at the die is judged when that metre reaches a gauge. Three signals come of it, in
logs of areal density: what the truest gauge found of a metre less what was believed of it (`missed`), the same for the
gauge next to the die and the film (`ahead`), and what the pressure says has changed since the metre which that gauge
sees now (`pressed`). Four exponential filters of each, from a tenth of the dead time to three of them, are the
network's taps; network.predictors makes a few guesses of them, and a Kalman filter weighs those by how right they
turned out: only their weights are learnt here, from a prior that came with the network (as in Neural-Fly, O'Connell
and others 2022).

The network has authority only while it proves itself: evidence is the sum, over web, of how much nearer the guess came
than the belief alone. It begins in shadow, with none; a network that does not help never says a word.
Nor has it any while the gauge that judges it does not read.
Nor has it any where the web surely comes later or sooner than the loop is certified for with the network in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from controller.core import certificate, course, network
from controller.core.certificate import Loop
from controller.core.delay_line import DelayLine
from controller.core.estimate import EstimateState, Estimator
from controller.core.network import MEAN_CONTEXT, MEAN_PREDICTORS, MEAN_TAPS, Network
from controller.line.description import Array, LineDescription
from controller.line.profile import LineInputs

FILTERS = np.array([0.1, 0.3, 1.0, 3.0])  # of the dead time to the truest gauge
SIGNALS = 3
CORRECTION_MOST = 0.01  # log: a network has never more to say than this
SIGNAL_MOST = 0.05  # log: what is further off is no surprise but a fault
INDEPENDENT = 0.5  # dead times from one look at the truth to the next that tells something new
KEPT = 30.0  # dead times over which evidence and weights are remembered
STALE = 3.0  # dead times without a reading of the truest gauge: nobody knows any more whether the network is right
HEARD, SURE = 2.0, 4.0  # evidence before the first word: luck seldom lasts so long; and from there to full authority
LEAST2, MOST2 = 1e-8, 1e-3  # log^2, of what the belief misses
USUAL = 0.002  # log: about what it does miss
WEIGHTS_MOST = 1.5  # sum of their absolute values
CONTEXT_MOST = 4.0


@dataclass(frozen=True, slots=True)
class Foreseer:
    """Constants for one line: seconds' worth of web at nominal speed to the gauge next to the die (0: none) and to the
    truest one; tau_m (filters,): lengths of the filters. late_s: error of the delay for which the pump's loop is
    certified with the network at full authority, either way."""

    guest: Network
    near_s: float
    far_s: float
    speed_mps: float
    tau_m: Array
    reach_m: float
    step_m: float
    late_s: float = math.inf


class Foresight(NamedTuple):
    """What is remembered, log. laid columns: what was believed of a metre when it left the die, its film, what the
    network would have added, and its guesses.

    signals (SIGNALS,), bank (SIGNALS, filters); weight (MEAN_PREDICTORS,) and its covariance; missed2: mean square of
    what the belief missed; evidence: of the network's worth; taps and context: what it was last shown; whole: what it
    would add, correction: what it may.
    """

    laid: DelayLine
    signals: Array
    bank: Array
    web_m: float
    wet_m: float
    dry_m: float
    weight: Array
    weight2: Array
    missed2: float
    judged: float  # dead times of web that were
    evidence: float
    believed: float
    taps: Array
    context: Array
    whole: float
    correction: float

    @property
    def authority(self) -> float:
        """Between none and full."""
        return min(max((self.evidence - HEARD) / SURE, 0.0), 1.0)


def build(
    line: LineDescription, estimator: Estimator, guest: Network | None, pump: Loop | None = None
) -> Foreseer | None:
    """Constants from the line's description; None without a network, or where the law does not learn the mean.

    pump: its loop with everything learnt held still (`law.frozen_mean`); None where nothing is controlled.
    """
    if guest is None or estimator.mean is None:
        return None
    wet, truest, speed = line.wet_gauge, line.dry_gauge or line.primary_gauge, line.web_speed_mps
    near = wet.distance_m if wet is not None and truest is not wet else 0.0
    far = truest.distance_m + 0.5 * truest.period_s * speed
    known = Foreseer(guest, near / speed, far / speed, speed, FILTERS * far, 1.1 * far + 2.0, estimator.web_step_m)
    return known if pump is None else replace(known, late_s=certified_delay_s(known, pump))


def certified_delay_s(foreseer: Foreseer, pump: Loop) -> float:
    """Largest error of the delay, s, up to ten dead times, for which the pump's loop is stable with the network."""
    bound, smooth_s = gain_bound(foreseer), shortest_s(foreseer)

    def certified(late_s: float) -> bool:
        return certificate.certify(certificate.of_pump(0.0, late_s), pump, bound, smooth_s).certified

    return certificate.largest(certified, 10.0 * pump.dead_s)


def gain_bound(foreseer: Foreseer) -> float:
    """How much the correction can at most make of what the readings show, as energies (a Lipschitz bound, log to log).

    Each signal is a reading less what was believed of it, which no filter makes larger than the readings: twice.
    """
    return 2.0 * WEIGHTS_MOST * foreseer.guest.mean.bound


def shortest_s(foreseer: Foreseer) -> float:
    """The shortest lag through which the correction sees anything, s."""
    return float(foreseer.tau_m[0]) / foreseer.speed_mps


def init(foreseer: Foreseer | None) -> Foresight | None:
    """Nothing seen yet."""
    if foreseer is None:
        return None
    nowhere, guest = math.nan, foreseer.guest
    return Foresight(
        laid=DelayLine.spanning(foreseer.reach_m, 3 + MEAN_PREDICTORS, foreseer.step_m),
        signals=np.zeros(SIGNALS),
        bank=np.zeros((SIGNALS, FILTERS.size)),
        web_m=nowhere,
        wet_m=nowhere,
        dry_m=nowhere,
        weight=guest.weight,
        weight2=np.diag(guest.weight2),
        missed2=USUAL * USUAL,
        judged=0.0,
        evidence=0.0,
        believed=0.0,
        taps=np.zeros(MEAN_TAPS),
        context=np.zeros(MEAN_CONTEXT),
        whole=0.0,
        correction=0.0,
    )


def watch(
    foreseer: Foreseer | None, state: Foresight | None, seen: EstimateState, inputs: LineInputs
) -> Foresight | None:
    """One cycle, after the estimate's: judge what was said of the metres that are seen now, and look ahead again."""
    if foreseer is None or state is None or seen.learnt is None or not inputs.encoder_valid:
        return state
    passed_m = inputs.web_m - state.web_m
    if not -foreseer.step_m <= passed_m <= foreseer.reach_m:  # the encoder was set back, or much went by unseen
        state = _begun_again(foreseer, state)
        passed_m = 0.0
    believed = seen.reading.disturbance_md
    film = believed - seen.learnt.level
    state = _signalled(foreseer, state, seen, film)
    decay = np.exp(-max(passed_m, 0.0) / foreseer.tau_m)
    bank = state.signals[:, None] + decay * (state.bank - state.signals[:, None])
    taps, context = 100.0 * bank.ravel(), _context(foreseer, state, seen, inputs)
    guesses = 0.01 * network.predictors(foreseer.guest.mean, context, taps)
    whole = float(guesses.dot(state.weight))
    whole = min(max(whole, -CORRECTION_MOST), CORRECTION_MOST) if math.isfinite(whole) else math.nan
    laid = state.laid
    if laid.wants(inputs.web_m) and math.isfinite(whole):
        laid = laid.push(inputs.web_m, np.concatenate(((believed, film, whole), guesses)))
    state = state._replace(laid=laid, bank=bank, web_m=inputs.web_m, believed=believed, taps=taps, context=context)
    return state._replace(whole=whole, correction=_allowed(foreseer, state, inputs) * whole)


def within(foreseer: Foreseer | None, state: Foresight | None, late_s: float) -> Foresight | None:
    """With nothing to add where the web surely comes `late_s` later or sooner than thought, and that is too much."""
    if foreseer is None or state is None or late_s <= foreseer.late_s:
        return state
    return state._replace(correction=0.0)


def sought(state: Foresight | None, seen: EstimateState) -> EstimateState:
    """The estimate as the law shall answer it: with what the network adds."""
    if state is None or state.correction == 0.0:
        return seen
    reading = seen.reading
    return seen._replace(reading=reading._replace(disturbance_md=reading.disturbance_md + state.correction))


def speaks(state: Foresight | None) -> bool:
    """Whether it adds anything now."""
    return state is not None and state.correction != 0.0


def anew(foreseer: Foreseer | None, state: Foresight | None) -> Foresight | None:
    """Another web: what is learnt of the network is kept, what was said of metres is not."""
    return init(foreseer) if foreseer is None or state is None else _begun_again(foreseer, state)


def _begun_again(foreseer: Foreseer, state: Foresight) -> Foresight:
    fresh = init(foreseer)
    assert fresh is not None
    return fresh._replace(weight=state.weight, weight2=state.weight2, missed2=state.missed2, evidence=state.evidence)


def _allowed(foreseer: Foreseer, state: Foresight, inputs: LineInputs) -> float:
    """The network's authority now; none where the truest gauge has been silent."""
    silent_m = inputs.web_m - state.dry_m - foreseer.far_s * foreseer.speed_mps
    fresh = silent_m < STALE * foreseer.far_s * foreseer.speed_mps  # NaN, before the first reading, is not
    return state.authority if fresh else 0.0


def _signalled(foreseer: Foreseer, state: Foresight, seen: EstimateState, film: float) -> Foresight:
    """The three signals, as far as the gauges have read anew."""
    told, laid = seen.told, state.laid
    missed, ahead, pressed = state.signals.tolist()
    if told.dry_m != state.dry_m and laid.holds(told.dry_m):
        then = laid.at(told.dry_m)
        assert then is not None
        missed = _bounded(told.dry - float(then[0]))
        state = _judged(foreseer, state, missed, then, told.dry_m)
    nearest_m = told.wet_m if foreseer.near_s else told.dry_m
    if laid.holds(nearest_m):
        then = laid.at(nearest_m)
        assert then is not None
        pressed = _bounded(film - float(then[1]))
        if foreseer.near_s and told.wet_m != state.wet_m:
            ahead = _bounded(told.wet - float(then[1]))
    return state._replace(signals=np.array([missed, ahead, pressed]), wet_m=told.wet_m, dry_m=told.dry_m)


def _judged(foreseer: Foreseer, state: Foresight, missed: float, then: Array, at_m: float) -> Foresight:
    """Learn from one metre of which the truth is known now: the guesses' weights, and what the network is worth."""
    passed = (at_m - state.dry_m) / (foreseer.far_s * foreseer.speed_mps)  # dead times
    if not 0.0 < passed < STALE:
        return state
    share, keep = min(passed / INDEPENDENT, 1.0), math.exp(-passed / KEPT)
    missed2 = state.missed2 + min(passed / (state.judged + 1.0), 1.0) * (missed * missed - state.missed2)
    missed2 = min(max(missed2, LEAST2), MOST2)
    guesses, prior = then[3:], foreseer.guest
    weight = prior.weight + keep * (state.weight - prior.weight)
    covariance = np.diag(prior.weight2) + keep * keep * (state.weight2 - np.diag(prior.weight2))
    along = covariance.dot(guesses)
    gain = along / (float(guesses.dot(along)) + missed2 / share)
    weight = weight + gain * (missed - float(guesses.dot(weight)))
    weight = weight * min(1.0, WEIGHTS_MOST / max(float(np.abs(weight).sum()), 1e-12))
    covariance = covariance - np.outer(gain, along)
    without, within = missed * missed, (missed - float(then[2])) ** 2
    evidence = keep * state.evidence + share * (without - within) / (2.0 * missed2)
    return state._replace(
        weight=weight,
        weight2=0.5 * (covariance + covariance.T),
        missed2=missed2,
        judged=min(state.judged + passed, KEPT),
        evidence=min(max(evidence, -2.0 * SURE), HEARD + SURE),  # what was right for long is doubted as soon as others
    )


def _context(foreseer: Foreseer, state: Foresight, seen: EstimateState, inputs: LineInputs) -> Array:
    """(MEAN_CONTEXT,): where the gauges stand, how old the batch is, what is known of it, and how noisy all is."""
    known = seen.learnt
    assert known is not None
    far_s, since_s = foreseer.far_s, (inputs.web_m - known.onset_m) / foreseer.speed_mps
    runs = math.isfinite(since_s) and since_s >= 0.0
    since_s = since_s if runs else 1e6
    here = course.arrived(since_s)
    doubt = math.sqrt(max(course.doubt2(known.dry, known.weight, here), 0.0)) if runs else 0.0
    at_gauge = float(known.weight.dot(course.arrived(since_s - far_s))) if runs else 1.0
    context = np.array(
        [
            math.log(far_s / 60.0),
            math.log(foreseer.near_s / 4.0) if foreseer.near_s else -3.0,
            math.exp(-since_s / far_s),
            math.exp(-since_s / (3.0 * far_s)),
            math.exp(-since_s / 300.0),
            1.0 / (1.0 + math.exp(min(max(10.0 * (since_s / far_s - 1.0), -30.0), 30.0))),
            float(known.weight.dot(here)) if runs else 1.0,
            at_gauge,
            100.0 * doubt,
            float(known.past.steps > 0),
            known.blame.share if known.blame is not None else 0.0,
            known.trust.share,
            0.5 * math.log(known.flow.pulses.variance / USUAL**2),
            0.5 * math.log(known.flow.film.apart.variance / USUAL**2),
            0.5 * math.log(state.missed2 / USUAL**2),
            min(state.judged / 10.0, 1.0),
        ]
    )
    bounded: Array = np.clip(context, -CONTEXT_MOST, CONTEXT_MOST)
    return bounded


def _bounded(signal: float) -> float:
    return min(max(signal, -SIGNAL_MOST), SIGNAL_MOST) if math.isfinite(signal) else 0.0
