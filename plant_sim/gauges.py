"""Thickness gauges as they really report: late, biased, noisy, sometimes wrong. Imported inside plant_sim only.

The wet array sees film and is blind to solids; the dry array sees areal density behind the oven. Both integrate over
the web that passed since their last scan.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, GaugeKind
from plant_sim.disturbances import Drift, ScalarDrift
from plant_sim.noise import Law, NoiseStream, smooth_mix
from plant_sim.web import Web, read

BIAS_PERIOD_S = 10.0  # bias takes hours to wander: it is advanced this often
BOX_CORRELATION = 4.0  # bias of neighbouring boxes hangs together: they share a housing and its air


@dataclass(frozen=True, slots=True)
class GaugeTruth:
    """One array gauge. Sizes are relative (0.01 is 1 %); `full_scale` bounds what it can report, in its own unit."""

    kind: GaugeKind
    boxes: int
    distance_m: float
    period_s: float
    noise: float
    bias_common: float
    bias_box: float
    bias_tau_s: float
    full_scale: float

    @property
    def is_wet(self) -> bool:
        return self.kind is GaugeKind.WET_ARRAY


@dataclass(frozen=True, slots=True, eq=False)
class Gauge:
    """A gauge with its random streams and its view of the lanes: `view` has shape (boxes, lanes), rows sum to one."""

    truth: GaugeTruth
    view: Array
    noise: NoiseStream
    bias_common: ScalarDrift
    bias_box: Drift
    outlier_chance: NoiseStream

    @staticmethod
    def of(truth: GaugeTruth, seed: int, lanes: int) -> Gauge:
        name = truth.kind.value
        boxes = np.arange(truth.boxes, dtype=np.float64)
        return Gauge(
            truth,
            box_view(truth.boxes, lanes),
            NoiseStream(seed, f"{name}.noise", truth.boxes),
            ScalarDrift(truth.bias_common, truth.bias_tau_s, NoiseStream(seed, f"{name}.bias-common")),
            Drift(
                truth.bias_box,
                truth.bias_tau_s,
                NoiseStream(seed, f"{name}.bias-box", truth.boxes, mix=smooth_mix(boxes, BOX_CORRELATION)),
            ),
            NoiseStream(seed, f"{name}.outliers", truth.boxes, law=Law.UNIFORM),
        )


@dataclass(frozen=True, slots=True)
class GaugeFaults:
    """What is wrong with one gauge now. Shares are relative; boxes are a half-open range."""

    silent: bool = False
    frozen: bool = False
    dropout: tuple[int, int] = (0, 0)
    outlier_chance: float = 0.0
    outlier_size: float = 0.0
    bias: float = 0.0


HEALTHY = GaugeFaults()


@dataclass(frozen=True, slots=True, eq=False)
class GaugeReading:
    """One scan: film thickness (um) or areal density (g/m2) of each box, NaN where the gauge knows it is not valid.

    t_s and web_m are those of the middle of the scan.
    """

    kind: GaugeKind
    scan_id: int
    t_s: float
    web_m: float
    values: Array


@dataclass(frozen=True, slots=True, eq=False)
class GaugeState:
    """When the gauge scans next, how far the web was at the last scan, and where its bias stands."""

    scans: int
    due_s: float
    web_m: float
    bias_common: float
    bias_box: Array
    last_values: Array


def start(gauge: Gauge, t_s: float, web_m: float) -> GaugeState:
    """A gauge that has just been switched on; its first scan comes after one period."""
    return GaugeState(
        scans=0,
        due_s=t_s + gauge.truth.period_s,
        web_m=web_m,
        bias_common=gauge.bias_common.start(),
        bias_box=gauge.bias_box.start(),
        last_values=np.full(gauge.truth.boxes, np.nan),
    )


def scan(
    gauge: Gauge, state: GaugeState, web: Web, t_s: float, faults: GaugeFaults
) -> tuple[GaugeState, GaugeReading | None]:
    """Report when a scan is due, at most one a call. A silent gauge keeps its rhythm and says nothing."""
    if t_s < state.due_s - 1e-9:
        return state, None
    number, truth = state.scans + 1, gauge.truth
    common, box = state.bias_common, state.bias_box
    wandered, rest = divmod(number, max(1, round(BIAS_PERIOD_S / truth.period_s)))
    if rest == 0:
        common = gauge.bias_common.after(common, wandered, max(BIAS_PERIOD_S, truth.period_s))
        box = gauge.bias_box.after(box, wandered, max(BIAS_PERIOD_S, truth.period_s))
    values = state.last_values
    if not faults.frozen:
        values = _measured(gauge, web, state.web_m, number, common + box, faults)
    following = GaugeState(number, state.due_s + truth.period_s, web.web_m, common, box, values)
    if faults.silent:
        return following, None
    middle_m = 0.5 * (state.web_m + web.web_m)
    return following, GaugeReading(truth.kind, number, t_s - 0.5 * truth.period_s, middle_m, values)


def _measured(gauge: Gauge, web: Web, since_m: float, number: int, bias: Array, faults: GaugeFaults) -> Array:
    truth = gauge.truth
    stretch = read(web, since_m - truth.distance_m, web.web_m - truth.distance_m)
    if not stretch.coated:
        return np.full(truth.boxes, np.nan)
    true = gauge.view @ (stretch.film_um if truth.is_wet else stretch.areal_gsm)
    values: Array = true * (1.0 + faults.bias + bias + truth.noise * gauge.noise.row(number))
    if faults is not HEALTHY:
        values = _spoilt(gauge, values, number, faults)
    if float(values.max()) > truth.full_scale:
        values = np.where(values > truth.full_scale, np.nan, values)
    return values


def _spoilt(gauge: Gauge, values: Array, number: int, faults: GaugeFaults) -> Array:
    """Outliers and boxes that have dropped out."""
    spoilt = values.copy()
    if faults.outlier_chance > 0.0:
        chance = gauge.outlier_chance.row(number)
        hit = chance < faults.outlier_chance
        sign = np.where(chance < 0.5 * faults.outlier_chance, -1.0, 1.0)
        spoilt[hit] *= 1.0 + faults.outlier_size * sign[hit]
    first, last = faults.dropout
    spoilt[first:last] = np.nan
    return spoilt


def box_view(boxes: int, lanes: int) -> Array:
    """Averaging matrix (boxes, lanes) of equal boxes over equal lanes across the same width; rows sum to one."""
    box_edges = np.linspace(0.0, 1.0, boxes + 1)
    lane_edges = np.linspace(0.0, 1.0, lanes + 1)
    low = np.maximum(box_edges[:-1, None], lane_edges[None, :-1])
    high = np.minimum(box_edges[1:, None], lane_edges[None, 1:])
    overlap = np.maximum(high - low, 0.0)
    view: Array = overlap / overlap.sum(axis=1, keepdims=True)
    return view
