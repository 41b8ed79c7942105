"""Scans -> estimate: zones, modes and mean, what the actuators did taken out, filtered; wet and dry fused.

All errors are in the logarithm of areal density over target, in coordinates of their own: the shapes of
`ResponseModel.basis` and, last, the mean. Each coordinate has two scalar filters (controller.core.kalman):

- `film` is the disturbance as the gauge next to the die sees it: its reading less what the actuators did to that metre.
- `offset` is dry minus wet on the same metre of web, free of whatever moved the film: box errors of the wet gauge in
  the shapes; its common error and the solids, which it cannot see, in the mean. A solids step therefore never looks
  like a lip error, and a pure MD change touches no shape.

Film and offset together are the true disturbance. Both drift without end in the filters' belief (no offset is left),
by web length. A line with one gauge has a film filter only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from controller.core import front, kalman, learnt, scales, scanner, scans, wander
from controller.core.delay_line import DelayLine
from controller.core.front import Front
from controller.core.kalman import Bank
from controller.core.learnt import Learnt, Mean
from controller.core.network import Network
from controller.core.response import ResponseModel
from controller.core.scales import Scales
from controller.core.scanner import Scanner
from controller.core.scans import GaugeModel, Look, ZoneScan
from controller.core.statistics import TURN_OF_PULSE_S, Noise, Statistics, film_noise, offset_noise
from controller.core.wander import Wander
from controller.line.description import Array, BoolArray, LineDescription
from controller.line.profile import DryScan, GaugeScan, LineInputs, WetScan

USABLE_SHARE = 0.5  # a scan with fewer good boxes than this tells nothing
BEFORE_MEMORY_DOUBT = 100.0  # times the variance of a scan whose actuators were not yet heard
PROVED_AFTER = 30  # dry scans: before, the offset is still being found
PROOF_MEMORY_S = 1800.0
PULSE_SHARE = 0.7  # of the mean's innovations: what the pump's pulse does to a single metre
LONGEST_PASSED_S = 3600.0  # a web that was away for longer than this is a new one anyhow


@dataclass(frozen=True, slots=True)
class Estimator:
    """Constants of estimation for one line. `offset`: None where there is but one gauge; `mean`: but for `adaptive`."""

    response: ResponseModel
    target_gsm: Array
    wet: GaugeModel | None
    dry: GaugeModel | None
    film: Noise
    offset: Noise | None
    scanner: Scanner | None  # where one head behind the dryer is the only gauge
    mean: Mean | None  # how the adaptive law learns of the mean
    known: Statistics
    usual_pulse2: float  # variance that the pump's pulse leaves in the mean of one cycle's web, log^2
    ratio_nominal_rpm_per_mps: float
    web_speed_mps: float
    web_step_m: float

    @property
    def primary(self) -> GaugeModel:
        gauge = self.wet or self.dry
        assert gauge is not None  # a line without a gauge is refused when it is read
        return gauge


class Reading(NamedTuple):
    """What is believed after the newest usable scan of the primary gauge. Logs of areal density over target.

    error: (zones,), of the web at that gauge; valid: (zones,), seen in that scan. disturbance_cd: (modes,) and
    disturbance_md: what the actuators have to answer. t_ns is the line time of that scan, -1 before the first.
    """

    error: Array
    valid: BoolArray
    disturbance_cd: Array
    disturbance_md: float
    t_ns: int


class Told(NamedTuple):
    """Mean of the newest scan of the gauge next to the die, and of the truest one, less what the actuators did to that
    metre, log; and where that metre was laid, m. NaN before there is any."""

    wet: float = math.nan
    wet_m: float = math.nan
    dry: float = math.nan
    dry_m: float = math.nan


@dataclass(frozen=True, slots=True)
class Proof:
    """How right the belief turned out to be where the truest gauge saw the same metre later; variances, log^2.

    Each is a pair: mean over the shapes, and the mean of the profile. missed2 is the square of what belief and gauge
    differed by; noise is the part of it that changes from scan to scan and is therefore the gauge's; settled is what
    would be left if nothing drifted in between, drift what that is expected to add. missed: (zones,), the newest.
    """

    missed2: tuple[float, float]
    noise: tuple[float, float]
    settled: tuple[float, float]
    drift: tuple[float, float]
    metres: float
    missed: Array | None


NO_PROOF = Proof((0.0, 0.0), (0.0, 0.0), (0.0, 0.0), (0.0, 0.0), 0.0, None)


class EstimateState(NamedTuple):
    """What estimation remembers. References: (boxes,); good_share: of the primary gauge's newest scan."""

    model: DelayLine  # columns: what lips and pump did to each coordinate at the die, (zones,)
    wet_seen: DelayLine  # columns: the wet gauge's reading summed over the web, (zones,), then the web summed over, m
    wet_last: Array  # newest of those sums, (zones + 1,)
    wet_reference: Array
    dry_reference: Array
    good_share: float
    film: Bank
    film_m: float  # web that left the die when the film was last read; NaN before
    offset: Bank
    offset_m: float
    believed: DelayLine  # columns: what the film was believed to be when its metre passed, and the offset, (2 zones,)
    proof: Proof
    front: Front
    wander: Wander
    reading: Reading
    learnt: Learnt | None = None
    scales: Scales | None = None
    told: Told = Told()
    passed: Array | None = None  # the newest pass of an only head as it came, (zones,), coordinates


def build(
    line: LineDescription, response: ResponseModel, known: Statistics | None = None, guest: Network | None = None
) -> Estimator:
    """Constants of estimation from the line's description and the statistics believed of it."""
    known = known or Statistics()
    wet, dry, primary = line.wet_gauge, line.dry_gauge, line.primary_gauge
    both = offset_noise(line, wet, dry, response.basis, known) if wet and dry else None
    film = film_noise(line, primary, response.basis, known)
    scanning = scanner.build(line, primary, response.basis, film) if primary.is_scanner else None
    return Estimator(
        response=response,
        target_gsm=line.target_profile_gsm,
        wet=scans.model_of(line, wet) if wet else None,
        dry=scans.model_of(line, dry) if dry else None,
        film=film,
        offset=both,
        scanner=scanning,
        mean=learnt.build(line, film, both, known, guest) if line.control.law.learns else None,
        known=known,
        usual_pulse2=1e-4 * known.pulsation_pct**2 * min(1.0, TURN_OF_PULSE_S / line.control.cycle_s),
        ratio_nominal_rpm_per_mps=line.pump_ratio_nominal_rpm_per_mps,
        web_speed_mps=line.web_speed_mps,
        web_step_m=max(0.1, max(g.distance_m for g in (wet, dry) if g) / 300.0),
    )


def init(estimator: Estimator) -> EstimateState:
    """Nothing seen yet."""
    zones, modes = estimator.target_gsm.size, estimator.response.modes
    scan_m = estimator.web_speed_mps * max(g.period_s for g in (estimator.wet, estimator.dry) if g)
    reach_m = max(g.distance_m for g in (estimator.wet, estimator.dry) if g) * 1.1 + 2.0 + 1.5 * scan_m
    wet_boxes = estimator.wet.log_target.size if estimator.wet else 0
    dry_boxes = estimator.dry.log_target.size if estimator.dry else 0
    none = Noise(np.zeros(zones), np.zeros(zones), np.ones(zones))
    return EstimateState(
        model=DelayLine.spanning(reach_m, zones, estimator.web_step_m),
        wet_seen=DelayLine.spanning(reach_m if estimator.offset else 0.0, zones + 1, estimator.web_step_m),
        wet_last=np.zeros(zones + 1),
        wet_reference=np.full(wet_boxes, np.nan),
        dry_reference=np.full(dry_boxes, np.nan),
        good_share=0.0,
        film=kalman.start(estimator.film),
        film_m=np.nan,
        offset=kalman.start(estimator.offset or none),
        offset_m=np.nan,
        believed=DelayLine.spanning(reach_m, 2 * zones, estimator.web_step_m),
        proof=NO_PROOF,
        front=front.none(),
        wander=wander.none(zones),
        reading=Reading(np.zeros(zones), np.zeros(zones, dtype=bool), np.zeros(modes), 0.0, -1),
        learnt=learnt.none(estimator.mean) if estimator.mean else None,
        scales=scales.none(estimator.film) if estimator.mean and estimator.wet else None,
    )


def update(estimator: Estimator, state: EstimateState, inputs: LineInputs) -> EstimateState:
    """One cycle: remember what the actuators do now, take in the scans."""
    model = state.model
    if inputs.encoder_valid and model.wants(inputs.web_m):
        effect = modelled_effect(estimator, inputs)
        if np.count_nonzero(np.isfinite(effect)) == effect.size:  # a bolt that was never heard has no known effect
            model = model.push(inputs.web_m, effect)
    if inputs.batch != state.front.batch:
        state = state._replace(front=front.announced(state.front, inputs.batch, inputs.web_m))
    if estimator.wet is not None and inputs.wet is not None:
        state = _take_wet(estimator, estimator.wet, state, model, inputs.wet)
    elif model is not state.model:
        state = state._replace(model=model)
    if estimator.dry is not None and inputs.dry is not None:
        state = _take_dry(estimator, estimator.dry, state, inputs.dry)
    return state if estimator.mean is None else _adapted(estimator.mean, state, inputs)


def _adapted(mean: Mean, state: EstimateState, inputs: LineInputs) -> EstimateState:
    """The mean as the adaptive law has learnt to tell it of the web now at the die."""
    assert state.learnt is not None
    known = learnt.cycle(mean, state.learnt, inputs)
    reading = state.reading
    if reading.t_ns >= 0 and inputs.encoder_valid:
        film = float(state.film.mean[-1]) if mean.near else 0.0
        reading = reading._replace(disturbance_md=learnt.now(known, film))
    return state._replace(learnt=known, reading=reading)


def modelled_effect(estimator: Estimator, inputs: LineInputs) -> Array:
    """What lips and pump, as fed back, should do to the web now leaving the die: (zones,), each coordinate."""
    effect = np.empty(inputs.gap_um.size)
    effect[:-1] = inputs.gap_um.dot(estimator.response.effects)
    effect[-1] = log_ratio(inputs.pump_ratio_rpm_per_mps, inputs.pump_trim_pct, estimator.ratio_nominal_rpm_per_mps)
    return effect


def log_ratio(ratio_rpm_per_mps: float, trim_pct: float, nominal_rpm_per_mps: float) -> float:
    """Log of the pump's ratio over nominal: the pump's whole effect on the mean, by pre-metering."""
    factor = ratio_rpm_per_mps / nominal_rpm_per_mps * (1.0 + trim_pct / 100.0)
    return math.log(max(factor, 1e-3))


def looks(estimator: Estimator, inputs: LineInputs) -> tuple[Look, Look]:
    """The scans of this cycle as they came, wet and dry, for those who judge gauges later."""
    wet = dry = scans.NO_LOOK
    if estimator.wet is not None and inputs.wet is not None:
        wet = scans.look(estimator.wet, estimator.target_gsm, inputs.wet, inputs.wet.film_um)
    if estimator.dry is not None and inputs.dry is not None:
        dry = scans.look(estimator.dry, estimator.target_gsm, inputs.dry, inputs.dry.areal_density_gsm)
    return wet, dry


def fused_profile_gsm(estimator: Estimator, state: EstimateState) -> Array:
    """The profile at the primary gauge as best known, (zones,), g/m2."""
    profile: Array = estimator.target_gsm * np.exp(state.reading.error)
    return profile


def bias_pct(estimator: Estimator, state: EstimateState) -> Array:
    """What the dry gauge taught about the wet one, (zones,), percent."""
    offset = state.offset.mean
    bias: Array = 100.0 * (estimator.response.basis.dot(offset[:-1]) + offset[-1])
    return bias


def surprise(state: EstimateState) -> tuple[float, float]:
    """Mean square of the film's innovations over what was expected, of the shapes and of the mean."""
    return _pair(state.film.surprise2)


def mean_log(error: Array) -> float:
    """Log of the mean areal density over target: the pump's business, exact for large errors too."""
    return math.log(np.add.reduce(np.exp(error)) / error.size)  # sum() without its wrapper


def to_coordinates(response: ResponseModel, error: Array) -> Array:
    """Log errors of zones -> shapes and mean, (zones,). At this size `dot` costs half of what `@` does."""
    mean = mean_log(error)
    coordinates = np.empty(error.size)
    coordinates[:-1] = (error - mean).dot(response.basis)
    coordinates[-1] = mean
    return coordinates


def to_error(response: ResponseModel, coordinates: Array) -> Array:
    """Shapes and mean -> log errors of zones, (zones,). To second order in the shape, which is a few percent."""
    shape = response.basis.dot(coordinates[:-1])
    error: Array = shape + (coordinates.item(-1) - 0.5 * float(shape.dot(shape)) / shape.size)
    return error


def _take_wet(
    estimator: Estimator, gauge: GaugeModel, state: EstimateState, model: DelayLine, scan: WetScan
) -> EstimateState:
    seen = scans.to_zones(gauge, state.wet_reference, scan, scan.film_um)
    at_die_m = scan.web_m - gauge.distance_m
    effect = model.at(at_die_m)
    if seen.share < USABLE_SHARE or effect is None:  # no encoder yet: nothing can be placed along the web
        return state._replace(model=model, wet_reference=seen.reference, good_share=seen.share)
    error = seen.error if seen.whole else _filled(estimator, seen, state.film.mean + effect, state.film.readings)
    coordinates = to_coordinates(estimator.response, error)
    disturbance = coordinates - effect
    film = _film(estimator, state, model, disturbance, seen.share, at_die_m)
    wet_seen, wet_last = state.wet_seen, state.wet_last
    to_come = front.to_come(state.front, state.offset_m, scan.web_m, estimator.web_speed_mps)
    if estimator.offset is not None:
        wet_seen, wet_last = _summed(estimator, state, gauge, coordinates, at_die_m)
    known, spread = state.learnt, state.scales
    if estimator.mean is not None and model.holds(at_die_m):
        known, spread = _taught(estimator, state, disturbance, film, seen.whole, at_die_m)
    return EstimateState(
        model=model,
        wet_seen=wet_seen,
        wet_last=wet_last,
        wet_reference=seen.reference,
        dry_reference=state.dry_reference,
        good_share=seen.share,
        film=film,
        film_m=at_die_m,
        offset=state.offset,
        offset_m=state.offset_m,
        believed=_remembered(state, film, effect, at_die_m),
        proof=state.proof,
        front=state.front,
        wander=state.wander,
        reading=_read(estimator, film.mean + state.offset.mean, effect, seen.valid, scan, to_come),
        learnt=known,
        scales=spread,
        told=state.told._replace(wet=float(disturbance[-1]), wet_m=at_die_m),
    )


def _taught(
    estimator: Estimator, state: EstimateState, disturbance: Array, film: Bank, whole: bool, at_die_m: float
) -> tuple[Learnt | None, Scales | None]:
    """What the adaptive law learns of a wet scan: of the mean always, of noise and drift when it has no holes."""
    known, spread = state.learnt, state.scales
    if estimator.mean is not None and known is not None:
        known = learnt.wet(estimator.mean, known, float(disturbance[-1]), at_die_m)
    if spread is not None and whole:
        spread = scales.read(spread, estimator.film, disturbance, film, at_die_m, estimator.web_speed_mps)
    return known, spread


def _take_dry(estimator: Estimator, gauge: GaugeModel, state: EstimateState, scan: DryScan) -> EstimateState:
    seen = scans.to_zones(gauge, state.dry_reference, scan, scan.areal_density_gsm)
    at_die_m = scan.web_m - gauge.distance_m
    if estimator.offset is None:
        return _take_only(estimator, state, seen, scan, at_die_m)
    half_m = 0.5 * max(gauge.period_s * estimator.web_speed_mps, 2.0 * estimator.web_step_m)
    wet = _wet_mean(state.wet_seen, at_die_m - half_m, at_die_m + half_m)
    if seen.share < USABLE_SHARE or wet is None:
        return state._replace(dry_reference=seen.reference)
    error = _filled(estimator, seen, wet + state.offset.mean, state.offset.readings)
    dry = to_coordinates(estimator.response, error)
    difference = dry - wet
    passed_s = _passed_s(estimator, state.offset_m, at_die_m)
    proof = _proved(estimator, state, dry, at_die_m, passed_s)
    offset = kalman.corrected(state.offset, estimator.offset, difference, passed_s, 1.0 / seen.share)
    moved = offset.mean - state.offset.mean
    modes, reading = estimator.response.modes, state.reading
    reading = reading._replace(  # the film stays as it was seen; what is believed of it moves at once
        disturbance_cd=reading.disturbance_cd + moved[:modes],
        disturbance_md=reading.disturbance_md + float(moved[-1]),
    )
    level, variance, rate = float(offset.mean[-1]), float(offset.variance[-1]), float(estimator.offset.rate[-1])
    known = state.learnt
    if estimator.mean is not None and known is not None:
        known = learnt.dry(estimator.mean, known, float(difference[-1]), at_die_m, 1.0 / seen.share)
    effect = state.model.at(at_die_m)
    return state._replace(
        told=state.told if effect is None else state.told._replace(dry=float(dry[-1] - effect[-1]), dry_m=at_die_m),
        learnt=known,
        dry_reference=seen.reference,
        offset=offset,
        offset_m=at_die_m,
        proof=proof,
        front=front.seen(state.front, at_die_m, level, variance, rate, estimator.web_speed_mps),
        reading=reading,
    )


def _remembered(state: EstimateState, film: Bank, effect: Array, at_die_m: float) -> DelayLine:
    if not state.believed.wants(at_die_m):
        return state.believed
    return state.believed.push(at_die_m, np.concatenate((film.mean + effect, state.offset.mean)))


def _proved(estimator: Estimator, state: EstimateState, dry: Array, at_die_m: float, passed_s: float) -> Proof:
    """Compare what was believed of a metre when it passed the wet gauge with what the dry one makes of it."""
    if estimator.offset is None or not state.believed.holds(at_die_m) or state.offset.readings < PROVED_AFTER:
        return state.proof
    then = state.believed.at(at_die_m)
    assert then is not None and estimator.wet is not None and estimator.dry is not None
    missed = dry - then[: dry.size] - then[dry.size :]
    between_s = (estimator.dry.distance_m - estimator.wet.distance_m) / estimator.web_speed_mps
    proof, passed_m = state.proof, passed_s * estimator.web_speed_mps
    if proof.missed is None:
        return replace(proof, missed=missed)
    metres = proof.metres + passed_m
    share = max(passed_s / PROOF_MEMORY_S, passed_m / max(metres, 1e-9))
    changed = missed - proof.missed

    def blended(old: tuple[float, float], new: tuple[float, float]) -> tuple[float, float]:
        return old[0] + share * (new[0] - old[0]), old[1] + share * (new[1] - old[1])

    return Proof(
        missed2=blended(proof.missed2, _pair(missed * missed)),
        noise=blended(proof.noise, _pair(0.5 * changed * changed)),
        settled=blended(proof.settled, settled(state)),
        drift=blended(proof.drift, _pair(estimator.offset.rate * between_s)),
        metres=metres,
        missed=missed,
    )


def settled(state: EstimateState, drifts: tuple[float, float] = (1.0, 1.0)) -> tuple[float, float]:
    """Variance of the belief of a metre when it is seen, shapes and mean; as noisy as the innovations say it is.

    Half of a settled filter's variance comes from the readings' noise, the other half from the drift that it lags;
    `drifts` is how much faster than believed it does, of shapes and mean.
    """
    film_cd, film_md = _pair(state.film.variance)
    offset_cd, offset_md = _pair(state.offset.variance)
    noisier, uneasier = _pair(0.5 * state.film.surprise2)
    noisier, uneasier = noisier + 0.5 * drifts[0], uneasier + 0.5 * drifts[1]
    return noisier * film_cd + offset_cd, uneasier * film_md + offset_md


def faster(estimator: Estimator, state: EstimateState) -> tuple[float, float]:
    """How much faster than the statistics say the disturbance drifts, shapes and mean.

    Between a gauge next to the die and the die there is hardly any drift; behind the dryer `Proof` tells of it.
    """
    if estimator.wet is not None:
        return 1.0, 1.0
    found = wander.scale(state.wander)
    return float(found[0]), float(found[1])


def pulse2(estimator: Estimator, state: EstimateState) -> float:
    """Variance of what the pump's pulse does to a single metre: it passes every filter.

    Behind the dryer a scan is of more web than a cycle's, a head's pass of far more, and the drift between two of them
    is larger: an only gauge there can tell nothing of the pulse, and it is believed to be as usual.
    """
    if estimator.wet is None:
        return estimator.usual_pulse2
    return PULSE_SHARE * float(state.film.surprise2[-1]) * float(estimator.film.reading[-1])


def _pair(values: Array) -> tuple[float, float]:
    """Mean over the shapes, and the value of the mean."""
    mean = float(values[-1])
    return (float(np.add.reduce(values)) - mean) / (values.size - 1), mean


def _take_only(
    estimator: Estimator, state: EstimateState, seen: ZoneScan, scan: DryScan, at_die_m: float
) -> EstimateState:
    """A dry scan on a line that has no other gauge closes the loop."""
    effect = state.model.at(at_die_m)
    if seen.share < USABLE_SHARE or effect is None:
        return state._replace(dry_reference=seen.reference, good_share=seen.share)
    error = _filled(estimator, seen, state.film.mean + effect, state.film.readings)
    passed: Array | None = None
    if estimator.scanner is None:
        disturbance = to_coordinates(estimator.response, error) - effect
        film = _film(estimator, state, state.model, disturbance, seen.share, at_die_m)
    else:
        film, passed = _passed_over(estimator, estimator.scanner, state, error, scan.direction, seen.share, at_die_m)
    drifting, batch = _learnt(estimator, state, film, at_die_m)
    known, level = state.learnt, mean_log(error) - float(effect[-1])
    if estimator.mean is not None and known is not None and state.model.holds(at_die_m):
        known = learnt.dry(estimator.mean, known, level, at_die_m, 1.0 / seen.share, faster(estimator, state)[1])
    return state._replace(
        told=state.told._replace(dry=level, dry_m=at_die_m),
        learnt=known,
        dry_reference=seen.reference,
        good_share=seen.share,
        film=film,
        film_m=at_die_m,
        wander=drifting,
        front=batch,
        reading=_read(estimator, film.mean, effect, seen.valid, scan),
        passed=passed,
    )


def _learnt(estimator: Estimator, state: EstimateState, film: Bank, at_die_m: float) -> tuple[Wander, Front]:
    """What the newest reading of an only gauge tells of drift, and of a new batch's front.

    A stretch in which a front may have moved the mean by more than drift does is no measure of drift.
    """
    known, rate, speed_mps = state.wander, estimator.film.rate, estimator.web_speed_mps
    level, variance, drift = float(film.mean[-1]), float(film.variance[-1]), float(rate[-1])
    batch = front.seen(state.front, at_die_m, level, variance, faster(estimator, state)[1] * drift, speed_mps)
    passed_s = _passed_s(estimator, known.at_m, at_die_m)
    if not passed_s > 0.0:
        return (wander.begun(known, film, at_die_m) if film.readings >= wander.SETTLED_PASSES else known), batch
    if passed_s * speed_mps < estimator.primary.distance_m / wander.STRETCHES:
        return known, batch
    added, unsure2 = front.ahead(batch, known.at_m, at_die_m, speed_mps)
    if unsure2 > drift * passed_s:
        return wander.begun(known, film, at_die_m), batch
    return wander.passed(known, film, rate, at_die_m, passed_s, added), batch


def _film(
    estimator: Estimator, state: EstimateState, model: DelayLine, disturbance: Array, share: float, at_die_m: float
) -> Bank:
    """A metre that left the die before the actuators were first heard says little: they may have moved since."""
    passed_s = _passed_s(estimator, state.film_m, at_die_m)
    doubt = 1.0 if model.holds(at_die_m) else BEFORE_MEMORY_DOUBT
    noise = state.scales.noise if state.scales is not None else estimator.film
    return kalman.corrected(state.film, noise, disturbance, passed_s, doubt / share)


def _passed_over(
    estimator: Estimator, head: Scanner, state: EstimateState, error: Array, way: int, share: float, middle_m: float
) -> tuple[Bank, Array]:
    """The film filters after a head's pass, and the pass: what the actuators did is taken out at each zone's moment."""
    rows = [state.model.at(float(place)) for place in scanner.places_m(head, middle_m)]
    effects = np.array([to_error(estimator.response, row) for row in rows if row is not None])
    disturbance = error - scanner.at_their_moment(head, effects, way)
    passed_s = _passed_s(estimator, state.film_m, middle_m)
    doubt = 1.0 if state.model.holds(middle_m) else BEFORE_MEMORY_DOUBT
    film = scanner.corrected(state.film, estimator.film, head, disturbance, way, passed_s, doubt / share)
    return film, to_coordinates(estimator.response, disturbance)


def _read(
    estimator: Estimator, disturbance: Array, effect: Array, valid: BoolArray, scan: GaugeScan, to_come: float = 0.0
) -> Reading:
    """What the law and the people are told. `to_come` is what a new batch adds before the dry gauge can see it."""
    modes = estimator.response.modes
    return Reading(
        error=to_error(estimator.response, disturbance + effect),
        valid=valid,
        disturbance_cd=disturbance[:modes],
        disturbance_md=float(disturbance[-1]) + to_come,
        t_ns=scan.t_gauge_ns,
    )


def _filled(estimator: Estimator, seen: ZoneScan, expected: Array, readings: int) -> Array:
    """Zones that nobody saw are taken to be as expected; in the first scan, as their neighbours."""
    if seen.whole or not readings:
        return seen.error
    believed = to_error(estimator.response, expected)
    level = float((seen.error - believed)[seen.valid].mean())  # a change of the mean concerns them all
    return np.where(seen.valid, seen.error, believed + level)


def _passed_s(estimator: Estimator, from_m: float, to_m: float) -> float:
    """Seconds' worth of web at nominal speed; none before the first reading and where the encoder was set back."""
    passed_m = to_m - from_m
    return min(passed_m / estimator.web_speed_mps, LONGEST_PASSED_S) if passed_m > 0.0 else 0.0


def _summed(
    estimator: Estimator, state: EstimateState, gauge: GaugeModel, coordinates: Array, at_die_m: float
) -> tuple[DelayLine, Array]:
    """Sum the wet reading over the web, so that any stretch of it can be averaged. A gap begins a new sum."""
    speed_mps, passed_m = estimator.web_speed_mps, at_die_m - state.film_m
    row = state.wet_last.copy()
    row[-1] = at_die_m
    line = state.wet_seen
    if not 0.0 <= passed_m < 5.0 * max(gauge.period_s, state.film.rhythm_s) * speed_mps + line.step_m:
        line = line.emptied()
    else:
        row[:-1] += passed_m * coordinates
    if estimator.mean is not None and passed_m > 0.0:  # a scan is of the web around its middle
        return line.push(at_die_m + 0.5 * min(passed_m, gauge.period_s * speed_mps), row), row
    return line.push(at_die_m, row), row


def _wet_mean(line: DelayLine, from_m: float, to_m: float) -> Array | None:
    """Mean wet reading over a stretch of web, (zones,); None where it was not seen throughout."""
    if not (line.holds(from_m) and line.holds(to_m)):
        return None
    begin, end = line.at(from_m), line.at(to_m)
    if begin is None or end is None or end[-1] - begin[-1] < 1e-6:
        return None
    mean: Array = (end[:-1] - begin[:-1]) / (end[-1] - begin[-1])
    return mean
