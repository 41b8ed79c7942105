"""One scan -> log error of each zone: edge mask, outlier gate, holes, boxes averaged to zones."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from controller.core.response import gauge_to_zone_weights
from controller.line.description import Array, BoolArray, GaugeDescription, LineDescription
from controller.line.profile import GaugeScan

OUTLIER_SIGMAS = 4.0
REFERENCE_SHARE = 0.1  # how fast the outlier gate's picture of the profile follows
IMPLAUSIBLE_LOG = 0.7  # a box at half or double its target measures something else than this film
ABSURD_LOG = 10.0  # beyond this a box is told as this
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True, slots=True)
class GaugeModel:
    """What the estimator needs of one gauge; `counted` are the boxes inside of the edge mask, as are all arrays."""

    distance_m: float
    period_s: float
    noise_log: float
    counted: slice
    weights: Array  # (zones, boxes), overlaps
    mean: Array  # (zones, boxes), the same with rows that sum to one: what all boxes good give
    log_target: Array  # (boxes,): log of the reading a perfect web would give
    every_zone: BoolArray  # (zones,), all true


def model_of(line: LineDescription, gauge: GaugeDescription) -> GaugeModel:
    """Constants of one gauge. A wet one reports film; the recipe's slurry makes areal density of it."""
    per_unit = line.slurry.areal_density_gsm_per_um if gauge.is_wet else 1.0
    box_mm = line.web_width_mm / gauge.boxes
    masked = min(int(np.ceil(gauge.edge_mask_mm / box_mm - 1e-9)), (gauge.boxes - 1) // 2)
    counted = slice(masked, gauge.boxes - masked)
    weights = gauge_to_zone_weights(line, gauge.boxes)
    box_target = (weights.T @ line.target_profile_gsm) / np.maximum(weights.sum(axis=0), 1e-12)
    weights = np.ascontiguousarray(weights[:, counted])
    _lend_edges(weights)
    return GaugeModel(
        distance_m=gauge.distance_m,
        period_s=gauge.period_s,
        noise_log=gauge.noise_pct / 100.0,
        counted=counted,
        weights=weights,
        mean=weights / weights.sum(axis=1, keepdims=True),
        log_target=np.log(np.maximum(box_target[counted], 1e-6) / per_unit),
        every_zone=np.ones(line.zones, dtype=bool),
    )


def _lend_edges(weights: Array) -> None:
    """A zone whose boxes are all masked is read from the outermost one that counts."""
    empty = weights.sum(axis=1) < 1e-9
    left = np.arange(weights.shape[0]) < weights.shape[0] / 2
    weights[empty & left, 0] = 1.0
    weights[empty & ~left, -1] = 1.0


class ZoneScan(NamedTuple):
    """A scan as zones see it. error: (zones,), holes bridged; reference: of the outlier gate; share: of good boxes."""

    error: Array
    valid: BoolArray
    whole: bool
    reference: Array
    share: float


class Look(NamedTuple):
    """A scan as it came, for those who judge it later: nothing sorted out, nothing corrected.

    gsm: (zones,), mean of the valid boxes as areal density, g/m2, NaN where a zone has none, empty where no scan came;
    share: of valid boxes; rough_pct: rms difference of neighbouring boxes over the root of two, percent;
    past_boxes: how many from the right edge inwards have none, less those from the left: a gauge that stands to the
    right of its place looks past the web there; web_m: where the gauge stood on the web.
    """

    gsm: Array
    share: float = math.nan
    rough_pct: float = math.nan
    past_boxes: float = math.nan
    web_m: float = math.nan


NO_LOOK = Look(np.zeros(0))
NO_LOOK.gsm.setflags(write=False)


def look(gauge: GaugeModel, target_gsm: Array, scan: GaugeScan, reading: Array) -> Look:
    """One scan as zones see it before any gate. `reading`: (boxes,), in the gauge's own unit."""
    reading, valid = reading[gauge.counted], scan.valid[gauge.counted]
    good = valid & (reading > 0.0) & (reading < np.inf)
    error = np.clip(np.log(np.where(good, reading, 1.0)) - gauge.log_target, -ABSURD_LOG, ABSURD_LOG)
    weight = gauge.weights.dot(good)
    with np.errstate(divide="ignore", invalid="ignore"):
        zones = target_gsm * np.exp(gauge.weights.dot(np.where(good, error, 0.0)) / weight)
    pairs = good[1:] & good[:-1]
    jumps, count = np.diff(error)[pairs], np.count_nonzero(pairs)
    rough_pct = 100.0 * math.sqrt(0.5 * float(jumps.dot(jumps)) / count) if count else math.nan
    past_boxes = float(good[::-1].argmax() - good.argmax()) if not (good[0] and good[-1]) else 0.0
    return Look(zones, np.count_nonzero(good) / good.size, rough_pct, past_boxes, scan.web_m)


def to_zones(gauge: GaugeModel, reference: Array, scan: GaugeScan, reading: Array) -> ZoneScan:
    """Box readings -> log error per zone over target."""
    reading, valid = reading[gauge.counted], scan.valid[gauge.counted]
    lowest, highest = reading.item(reading.argmin()), reading.item(reading.argmax())  # a NaN is found as either
    if np.count_nonzero(valid) == valid.size and lowest > 0.0 and highest < np.inf:
        error = np.log(reading) - gauge.log_target
        followed = _followed(gauge, reference, error)
        if followed is not None:
            return ZoneScan(gauge.mean.dot(error), gauge.every_zone, True, followed, 1.0)
    positive = valid & (reading > 0.0) & (reading < np.inf)
    error = np.log(np.where(positive, reading, 1.0)) - gauge.log_target
    good = positive & (np.abs(error) < IMPLAUSIBLE_LOG)
    zones = gauge.weights.shape[0]
    if not np.count_nonzero(good):
        return ZoneScan(np.zeros(zones), np.zeros(zones, dtype=bool), False, reference, 0.0)
    good, reference = _gate_outliers(gauge, reference, error, good)
    weight = gauge.weights @ good
    seen: BoolArray = weight > 0.0
    zones_error = (gauge.weights @ np.where(good, error, 0.0)) / np.where(seen, weight, 1.0)
    whole = bool(seen.all())
    if not whole and seen.any():
        index = np.arange(seen.size)
        zones_error = np.interp(index, index[seen], zones_error[seen])
    return ZoneScan(zones_error, seen, whole, reference, np.count_nonzero(good) / good.size)


def _followed(gauge: GaugeModel, reference: Array, error: Array) -> Array | None:
    """The gate's new reference where all boxes are good and none jumps out, as in nearly every scan; None elsewhere."""
    if not _largest(error) < IMPLAUSIBLE_LOG:
        return None
    jump = error - reference
    middle = _median(jump)
    jump -= middle
    furthest = _largest(jump)  # NaN where there is no reference yet
    if not furthest <= OUTLIER_SIGMAS * gauge.noise_log:  # the gate is never narrower, so the spread need not be known
        spread = MAD_TO_SIGMA * _median(np.abs(jump))
        if not furthest <= OUTLIER_SIGMAS * spread:
            return None
    followed: Array = reference + (middle + REFERENCE_SHARE * jump)
    return followed


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


def _largest(values: Array) -> float:
    """The largest absolute value; NaN where any is."""
    size = np.abs(values)
    largest: float = size.item(size.argmax())
    return largest


def _median(values: Array) -> float:
    """Upper median, (n,) -> scalar; numpy's own costs eight times as much at this size."""
    middle, sorted_at_middle = values.size // 2, values.copy()
    sorted_at_middle.partition(middle)
    median: float = sorted_at_middle.item(middle)
    return median
