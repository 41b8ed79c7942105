"""Scans -> estimate: outlier gate, holes, zones, web-length delay line, wet and dry fused, MD and CD apart.

All errors are in the logarithm of areal density over target. The wet gauge is fast but blind to solids and biased; the
dry gauge is true but a whole oven late. Both saw the same metre of web, so their difference there is the wet gauge's
bias, free of whatever the actuators did; it is filtered slowly in CD (box errors) and faster in MD (solids), where all
boxes average out the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from controller.core.delay_line import DelayLine
from controller.core.response import ResponseModel, gauge_to_zone_weights
from controller.line.description import Array, BoolArray, GaugeDescription, LineDescription
from controller.line.profile import DryScan, GaugeScan, LineInputs, WetScan

OUTLIER_SIGMAS = 4.0
REFERENCE_SHARE = 0.1  # how fast the outlier gate's picture of the profile follows
IMPLAUSIBLE_LOG = 0.7  # a box at half or double its target measures something else than this film
MAD_TO_SIGMA = 1.4826
USABLE_SHARE = 0.5  # a scan with fewer good boxes than this tells nothing


@dataclass(frozen=True, slots=True)
class GaugeModel:
    """What the estimator needs of one gauge. `log_scale` turns the log of a reading into log areal density (g/m2)."""

    distance_m: float
    period_s: float
    noise_log: float
    weights: Array  # (zones, boxes), overlaps
    mean: Array  # (zones, boxes), the same with rows that sum to one: what all boxes good give
    log_target: Array  # (boxes,): log of the reading a perfect web would give


@dataclass(frozen=True, slots=True)
class Estimator:
    """Constants of estimation for one line."""

    response: ResponseModel
    target_gsm: Array
    wet: GaugeModel | None
    dry: GaugeModel | None
    ratio_nominal_rpm_per_mps: float
    web_speed_mps: float
    bias_filter_s: float
    web_step_m: float

    @property
    def primary(self) -> GaugeModel:
        gauge = self.wet or self.dry
        assert gauge is not None  # a line without a gauge is refused when it is read
        return gauge


@dataclass(frozen=True, slots=True)
class Bias:
    """What the dry gauge taught about the wet one: log error of each zone about the mean, and of the mean."""

    cd: Array
    md: float
    scans: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What the newest usable scan of the primary gauge says. Logs of areal density over target, or of a factor.

    error, valid: (zones,), fused; disturbance_cd: (modes,), what the actuators did taken out, as if at the die.
    t_ns is the line time of that scan, -1 before the first.
    """

    error: Array
    valid: BoolArray
    disturbance_cd: Array
    disturbance_md: float
    t_ns: int


@dataclass(frozen=True, slots=True)
class EstimateState:
    """What estimation remembers. References: (boxes,); good_share: of the primary gauge's newest scan."""

    model: DelayLine  # columns: modal effect of the lips at the die, then the log of the pump's ratio
    wet_seen: DelayLine  # columns: zones; what the wet gauge read of each metre
    wet_reference: Array
    dry_reference: Array
    good_share: float
    bias: Bias
    reading: Reading


def build(line: LineDescription, response: ResponseModel) -> Estimator:
    """Constants of estimation from the line's description."""
    scale = line.slurry.areal_density_gsm_per_um

    def model(gauge: GaugeDescription | None, per_unit: float) -> GaugeModel | None:
        if gauge is None:
            return None
        weights = gauge_to_zone_weights(line, gauge.boxes)
        box_target = (weights.T @ line.target_profile_gsm) / np.maximum(weights.sum(axis=0), 1e-12)
        return GaugeModel(
            distance_m=gauge.distance_m,
            period_s=gauge.period_s,
            noise_log=gauge.noise_pct / 100.0,
            weights=weights,
            mean=weights / weights.sum(axis=1, keepdims=True),
            log_target=np.log(np.maximum(box_target, 1e-6) / per_unit),
        )

    return Estimator(
        response=response,
        target_gsm=line.target_profile_gsm,
        wet=model(line.wet_gauge, scale),
        dry=model(line.dry_gauge, 1.0),
        ratio_nominal_rpm_per_mps=line.pump_ratio_nominal_rpm_per_mps,
        web_speed_mps=line.web_speed_mps,
        bias_filter_s=line.control.bias_filter_s,
        web_step_m=max(0.1, max(g.distance_m for g in (line.wet_gauge, line.dry_gauge) if g) / 300.0),
    )


def init(estimator: Estimator) -> EstimateState:
    """Nothing seen yet."""
    zones, modes = estimator.target_gsm.size, estimator.response.modes
    reach_m = max(g.distance_m for g in (estimator.wet, estimator.dry) if g) * 1.1 + 2.0
    wet_boxes = estimator.wet.log_target.size if estimator.wet else 0
    dry_boxes = estimator.dry.log_target.size if estimator.dry else 0
    return EstimateState(
        model=DelayLine.spanning(reach_m, modes + 1, estimator.web_step_m),
        wet_seen=DelayLine.spanning(reach_m, zones, estimator.web_step_m),
        wet_reference=np.full(wet_boxes, np.nan),
        dry_reference=np.full(dry_boxes, np.nan),
        good_share=0.0,
        bias=Bias(np.zeros(zones), 0.0, 0),
        reading=Reading(np.zeros(zones), np.zeros(zones, dtype=bool), np.zeros(modes), 0.0, -1),
    )


def update(estimator: Estimator, state: EstimateState, inputs: LineInputs) -> EstimateState:
    """One cycle: remember what the actuators do now, take in the scans, update bias and disturbance."""
    if inputs.encoder_valid and state.model.wants(inputs.web_m):
        effect = modelled_effect(estimator, inputs)
        if np.isfinite(effect).all():  # an actuator that was never heard has no known effect
            state = replace(state, model=state.model.push(inputs.web_m, effect))
    if estimator.wet is not None and inputs.wet is not None:
        state = _take_wet(estimator, estimator.wet, state, inputs.wet)
    if estimator.dry is not None and inputs.dry is not None:
        state = _take_dry(estimator, estimator.dry, state, inputs.dry)
    return state


def modelled_effect(estimator: Estimator, inputs: LineInputs) -> Array:
    """What lips and pump, as fed back, should do to the web now leaving the die: (modes + 1,), log areal density."""
    response = estimator.response
    lips = response.gains * (inputs.gap_um @ response.shapes)
    effect = np.empty(lips.size + 1)
    effect[:-1] = lips
    effect[-1] = log_ratio(inputs.pump_ratio_rpm_per_mps, inputs.pump_trim_pct, estimator.ratio_nominal_rpm_per_mps)
    return effect


def log_ratio(ratio_rpm_per_mps: float, trim_pct: float, nominal_rpm_per_mps: float) -> float:
    """Log of the pump's ratio over nominal: the pump's whole effect on the mean, by pre-metering."""
    factor = ratio_rpm_per_mps / nominal_rpm_per_mps * (1.0 + trim_pct / 100.0)
    return float(np.log(max(factor, 1e-3)))


def fused_profile_gsm(estimator: Estimator, state: EstimateState) -> Array:
    """The profile at the primary gauge as best known, (zones,), g/m2."""
    profile: Array = estimator.target_gsm * np.exp(state.reading.error)
    return profile


def bias_pct(state: EstimateState) -> Array:
    """What the dry gauge taught about the wet one, (zones,), percent."""
    bias: Array = 100.0 * (state.bias.cd + state.bias.md)
    return bias


def mean_log(error: Array) -> float:
    """Log of the mean areal density over target: the pump's business, exact for large errors too."""
    return float(np.log(np.exp(error).sum() / error.size))


def _take_wet(estimator: Estimator, gauge: GaugeModel, state: EstimateState, scan: WetScan) -> EstimateState:
    error, valid, reference, share = _zones(gauge, state.wet_reference, scan, scan.film_um)
    if share < USABLE_SHARE:
        return replace(state, wet_reference=reference, good_share=share)
    at_die_m = scan.web_m - gauge.distance_m
    return replace(
        state,
        wet_reference=reference,
        good_share=share,
        wet_seen=state.wet_seen.push(at_die_m, error),
        reading=_read(estimator, state, scan, error + state.bias.cd + state.bias.md, valid, at_die_m),
    )


def _take_dry(estimator: Estimator, gauge: GaugeModel, state: EstimateState, scan: DryScan) -> EstimateState:
    error, valid, reference, share = _zones(gauge, state.dry_reference, scan, scan.areal_density_gsm)
    at_die_m = scan.web_m - gauge.distance_m
    if estimator.wet is None:
        usable = share >= USABLE_SHARE
        reading = _read(estimator, state, scan, error, valid, at_die_m) if usable else state.reading
        return replace(state, dry_reference=reference, good_share=share, reading=reading)
    wet_error = state.wet_seen.at(at_die_m) if state.wet_seen.holds(at_die_m) else None
    if share < USABLE_SHARE or wet_error is None:
        return replace(state, dry_reference=reference)
    return replace(state, dry_reference=reference, bias=_learn_bias(estimator, gauge, state.bias, error - wet_error))


def _learn_bias(estimator: Estimator, gauge: GaugeModel, bias: Bias, difference: Array) -> Bias:
    """Filter dry minus wet at one metre of web. The first scans count as a plain mean, so a static bias goes at once.

    The mean over all zones has that much less noise variance, hence its filter is faster by their number: what is left
    in the mean is solids, which nothing else sees.
    """
    scans = bias.scans + 1
    share_cd = max(1.0 - np.exp(-gauge.period_s / estimator.bias_filter_s), 1.0 / scans)
    filter_md_s = estimator.bias_filter_s / difference.size
    share_md = max(1.0 - np.exp(-gauge.period_s / filter_md_s), 1.0 / scans)
    mean = float(difference.mean())
    return Bias(
        cd=bias.cd + share_cd * (difference - mean - bias.cd),
        md=float(bias.md + share_md * (mean - bias.md)),
        scans=scans,
    )


def _read(
    estimator: Estimator, state: EstimateState, scan: GaugeScan, error: Array, valid: BoolArray, at_die_m: float
) -> Reading:
    """Measured error, and the disturbance: that less what the actuators did when this metre left the die."""
    effect = state.model.at(at_die_m)
    if effect is None:  # no encoder yet: nothing can be placed along the web
        return state.reading
    mean = mean_log(error)
    return Reading(
        error=error,
        valid=valid,
        disturbance_cd=(error - mean) @ estimator.response.profiles - effect[:-1],
        disturbance_md=mean - float(effect[-1]),
        t_ns=scan.t_gauge_ns,
    )


def _zones(
    gauge: GaugeModel, reference: Array, scan: GaugeScan, reading: Array
) -> tuple[Array, BoolArray, Array, float]:
    """Box readings -> log error per zone, zone validity, the outlier gate's new reference, share of good boxes."""
    positive = scan.valid & np.isfinite(reading) & (reading > 0.0)
    error = np.log(np.where(positive, reading, 1.0)) - gauge.log_target
    good = positive & (np.abs(error) < IMPLAUSIBLE_LOG)
    boxes = good.size
    if not np.count_nonzero(good):
        zones = gauge.weights.shape[0]
        return np.zeros(zones), np.zeros(zones, dtype=bool), reference, 0.0
    good, reference = _gate_outliers(gauge, reference, error, good)
    share = np.count_nonzero(good) / boxes
    if share == 1.0:
        return gauge.mean @ error, np.ones(gauge.mean.shape[0], dtype=bool), reference, share
    weight = gauge.weights @ good
    valid: BoolArray = weight > 0.0
    zones_error = (gauge.weights @ np.where(good, error, 0.0)) / np.where(valid, weight, 1.0)
    if not valid.all() and valid.any():
        index = np.arange(valid.size)
        zones_error = np.interp(index, index[valid], zones_error[valid])
    return zones_error, valid, reference, share


def _gate_outliers(gauge: GaugeModel, reference: Array, error: Array, good: BoolArray) -> tuple[BoolArray, Array]:
    """Drop boxes that jump out of the profile. The reference follows them by bounded steps: a real change gets in.

    What all boxes share is no outlier, so the median jump is taken out first.
    """
    known = np.where(np.isfinite(reference), reference, error)
    jump = error - known
    every = np.count_nonzero(good) == good.size
    middle = _median(jump if every else jump[good])
    jump -= middle
    far = np.abs(jump)
    bound = OUTLIER_SIGMAS * max(MAD_TO_SIGMA * _median(far if every else far[good]), gauge.noise_log)
    inside: BoolArray = good & (far <= bound)
    followed = known + (middle + REFERENCE_SHARE * np.minimum(np.maximum(jump, -bound), bound))
    return inside, followed if every else np.where(good, followed, reference)


def _median(values: Array) -> float:
    """Upper median, (n,) -> scalar; numpy's own costs eight times as much at this size."""
    return float(np.partition(values, values.size // 2)[values.size // 2])
