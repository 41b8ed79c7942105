"""Thickness gauges as they really report: late, biased, noisy, sometimes wrong. Imported inside plant_sim only.

The wet array sees film and is blind to solids; the dry array and the zig-zag scanner weigh foil and coating behind the
oven, take off the foil they were told of, and count quanta, so that their noise is Poisson's. All integrate over the
web that passed under them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, GaugeKind
from plant_sim.compiled import compiled, exp, inlined, largest, ln, put
from plant_sim.disturbances import follow, follow_smooth
from plant_sim.incidents import Rise, risen
from plant_sim.noise import normal, normals, uniforms
from plant_sim.web import COATED_ENOUGH, look, row_at

BIAS_PERIOD_S = 10.0  # bias takes hours to wander: it is advanced this often
BOX_CORRELATION = 4.0  # bias of neighbouring boxes hangs together: they share a housing and its air
STANDARDISING_S = 20.0  # shutter, air gap and sample: no box is valid meanwhile
EDGE_NOISE_MM = 0.3
HALF_SEEN = 0.5  # share of a box that must lie on the web, or have been passed by the head, for it to be valid
WET, DRY, SCANNER = 1, 2, 3
_KINDS = {GaugeKind.WET_ARRAY: WET, GaugeKind.DRY_ARRAY: DRY, GaugeKind.DRY_SCANNER: SCANNER}


@dataclass(frozen=True, slots=True)
class GaugeTruth:
    """One gauge. Sizes are relative (0.01 is 1 %); `full_scale` bounds what it can report, in its own unit.

    noise: of one box in one scan at target. depth: mu m at target, where counting noise is e^(x/2)/(x sqrt N0); 0 for a
    gauge that does not count (its noise is Gaussian and relative). A scanner's head crosses the web at head_speed_mps
    and then turns for what is left of period_s; its spot is spot_mm wide.
    """

    kind: GaugeKind
    boxes: int
    distance_m: float
    period_s: float
    noise: float
    bias_common: float
    bias_box: float
    bias_tau_s: float
    full_scale: float
    depth: float = 0.0
    head_speed_mps: float = 0.0
    spot_mm: float = 0.0

    @property
    def is_wet(self) -> bool:
        return self.kind is GaugeKind.WET_ARRAY

    @property
    def code(self) -> int:
        """The kind as the compiled step knows it."""
        return _KINDS[self.kind]


@dataclass(frozen=True, slots=True)
class GaugeFaults:
    """What is wrong with one gauge now. Shares are relative; boxes are a half-open range."""

    silent: bool = False
    frozen: bool = False
    dropout: tuple[int, int] = (0, 0)
    outlier_chance: float = 0.0
    outlier_size: float = 0.0
    bias: float = 0.0
    drifts: tuple[tuple[float, float, float], ...] = ()  # onset, share an hour, standardised every so many seconds
    shifts: tuple[Rise, ...] = ()  # mm that the gauge stands beside where it is thought to


HEALTHY = GaugeFaults()


@dataclass(frozen=True, slots=True, eq=False)
class GaugeReading:
    """One scan: film thickness (um) or areal density (g/m2) of each box, NaN where the gauge knows it is not valid.

    t_s and web_m are those of the middle of the scan; edges_mm is where the gauge found the coating's edges.
    """

    kind: GaugeKind
    scan_id: int
    t_s: float
    web_m: float
    values: Array
    edges_mm: tuple[float, float]
    direction: int = 0  # of a scanner's head: 1 to the right, -1 to the left; 0 for an array


@compiled
def box_means(lanes: Array, edges: Array, shift: float, sums: Array, out: Array) -> None:
    """Mean of each box over equal lanes; NaN where less than HALF_SEEN of it lies on the web.

    edges: of the boxes, in lanes, shape (boxes + 1,); shift: lanes that the gauge stands to the right; sums: scratch,
    shape (lanes + 1,). A box over the web's edge sees bare foil beside the coating and averages it in.
    """
    count = lanes.size
    if shift == 0.0 and count % out.size == 0:
        _whole_lanes(lanes, out)
        return
    sums[0] = 0.0
    for i in range(count):
        sums[i + 1] = sums[i] + lanes[i]
    low = min(max(edges[0] + shift, 0.0), count * 1.0)
    at = min(int(low), count - 1)
    below = sums[at] + (low - at) * lanes[at]
    for box in range(out.size):
        high = min(max(edges[box + 1] + shift, 0.0), count * 1.0)
        at = min(int(high), count - 1)
        above = sums[at] + (high - at) * lanes[at]
        width = edges[box + 1] - edges[box]
        out[box] = (above - below) / width if high - low >= HALF_SEEN * width else np.nan
        low, below = high, above


@compiled
def _whole_lanes(lanes: Array, out: Array) -> None:
    """The same where every box holds the same whole number of lanes: what most gauges do most of the time."""
    each = lanes.size // out.size
    if each == 2:
        for box in range(out.size):
            out[box] = 0.5 * (lanes[2 * box] + lanes[2 * box + 1])
        return
    for box in range(out.size):
        held = 0.0
        for i in range(box * each, (box + 1) * each):
            held += lanes[i]
        out[box] = held / each


@compiled
def count(values: Array, drawn: Array, target: float, noise: float, depth: float, scans: float) -> None:
    """What counting quanta makes of true values, in place, shape (boxes,): m = target (1 - ln(k/N)/x).

    N = 1/(x s)^2 quanta come through at target when the noise of one scan is s there; k is Poisson's: its mean falls as
    e^-m, and Cornish and Fisher's first term makes a normal number skew, good to a count for the thousands there are.
    """
    at_target = scans / (depth * noise) ** 2
    for i in range(values.size):
        mean = at_target * exp(depth * (1.0 - values[i] / target))
        z = drawn[i]
        quanta = max(math.floor(mean + math.sqrt(mean) * z + (z * z - 1.0) / 6.0 + 0.5), 1.0)
        nothing = (
            values[i] - values[i]
        )  # NaN where there is nothing to count, which a maximum would take for one quantum
        values[i] = target * (1.0 - ln(quanta / at_target) / depth) + nothing


@compiled
def drift_of(drifts: Array, t_s: float) -> tuple[float, bool]:
    """Relative error by drift since the last standardisation, and whether one is going on. Rows of three flattened."""
    error, busy = 0.0, False
    for i in range(0, drifts.size, 3):
        since_s = t_s - drifts[i]
        if since_s < 0.0:
            continue
        if drifts[i + 2] > 0.0:
            since_s = since_s % drifts[i + 2]
            busy = busy or (since_s < STANDARDISING_S and t_s - drifts[i] >= drifts[i + 2])
        error += drifts[i + 1] * since_s / 3600.0
    return error, busy


@compiled
def shift_of(shifts: Array, t_s: float) -> float:
    """How far the gauge stands to the right of where it is thought to, mm. Onset, ramp, size, one after another."""
    shift_mm = 0.0
    for i in range(0, shifts.size, 3):
        shift_mm += shifts[i + 2] * risen(shifts[i], shifts[i + 1], t_s)
    return shift_mm


@compiled
def wander(gauge, state, numbers, bias_box, scratch, drawn) -> None:  # type: ignore[no-untyped-def]
    """Advance a gauge's bias to where its scans are by now."""
    every = max(1, round(BIAS_PERIOD_S / gauge.period_s))
    first = numbers[gauge.at_first : gauge.at_first + gauge.boxes]
    weights = numbers[gauge.at_weights : gauge.at_weights + gauge.boxes * gauge.taps]
    while state.wandered * every <= state.scans:
        row = state.wandered
        state.bias_common = follow(gauge.common_key, row, gauge.bias_common, gauge.bias_keep, state.bias_common)
        if gauge.bias_box > 0.0:
            knots = scratch[: gauge.knots]
            follow_smooth(gauge.box_key, row, gauge.bias_box, gauge.bias_keep, bias_box, first, weights, knots, drawn)
        state.wandered += 1


@compiled
def scan_array(  # type: ignore[no-untyped-def]
    gauge, state, now, numbers, now_numbers, bias_box, last, rows, profiles, end, web_m, t_s, scratch, out
) -> bool:
    """Report when scans of an array are due: those of one step as their mean, in `out`. False when nothing is said.

    A silent gauge keeps its rhythm. `last`: what was reported before, shape (boxes,).
    """
    if t_s < state.due_s - 1e-9:
        return False
    scans = int((t_s - state.due_s) / gauge.period_s + 1e-6) + 1
    state.scans += scans
    state.due_s += scans * gauge.period_s
    wander(gauge, state, numbers, bias_box, scratch[0], scratch[1][: gauge.boxes])
    from_m, to_m = state.web_m - gauge.distance_m, web_m - gauge.distance_m
    state.cursor = row_at(rows, end, state.cursor, from_m)
    if now.frozen == 0:
        seen, sums = scratch[2][: gauge.lanes], scratch[3]
        share = look(rows, profiles, end, state.cursor, from_m, to_m, gauge.kind == WET, seen, scratch[4][:3])
        if share < COATED_ENOUGH or from_m < -1e-9:
            last[:] = np.nan
        else:
            shift = shift_of(part(now_numbers, now.at_shifts, now.shifts), t_s) * gauge.lanes_per_mm
            edges = numbers[gauge.at_edges : gauge.at_edges + gauge.boxes + 1]
            box_means(seen, edges, shift, sums, last)
            report(gauge, state, now, numbers, now_numbers, bias_box, last, scratch, scans, t_s)
    state.t_s = t_s - 0.5 * max(scans * gauge.period_s, 0.0)
    state.middle_m = 0.5 * (state.web_m + web_m)
    state.web_m = web_m
    state.direction = 0
    put(last, out)
    return now.silent == 0


@compiled
def scan_head(  # type: ignore[no-untyped-def]
    gauge, state, now, numbers, now_numbers, memory, last, rows, profiles, end, web_m, t_s, dt_s, scratch, out
) -> bool:
    """Move a scanner's head for a step and report the whole profile at the end of each pass, in `out`.

    memory: bias of the boxes, then what the head has summed up in this pass and over how many lanes, boxes each.
    """
    boxes = gauge.boxes
    state.cursor = row_at(rows, end, state.cursor, state.web_m - gauge.distance_m)
    summed, passed = memory[boxes : 2 * boxes], memory[2 * boxes : 3 * boxes]
    if now.frozen == 0:
        _pass_over(
            gauge, state, now, numbers, now_numbers, summed, passed, rows, profiles, end, web_m, t_s, dt_s, scratch
        )
    state.web_m = web_m
    state.head_s += dt_s
    if state.head_s < gauge.period_s - 1e-9:
        return False
    state.scans += 1
    wander(gauge, state, numbers, memory[:boxes], scratch[0], scratch[1][:boxes])
    if now.frozen == 0:
        edges = numbers[gauge.at_edges : gauge.at_edges + boxes + 1]
        for i in range(boxes):
            enough = passed[i] >= HALF_SEEN * (edges[i + 1] - edges[i])
            last[i] = summed[i] / passed[i] if enough else np.nan
        report(gauge, state, now, numbers, now_numbers, memory[:boxes], last, scratch, 1, t_s)
    state.t_s = t_s - 0.5 * gauge.period_s
    state.middle_m = 0.5 * (state.start_m + web_m)
    state.start_m = web_m
    state.head_s = max(state.head_s - gauge.period_s, 0.0) % gauge.period_s
    state.direction, state.next_direction = state.next_direction, -state.next_direction
    summed[:] = 0.0
    passed[:] = 0.0
    put(last, out)
    return now.silent == 0


@compiled
def _pass_over(  # type: ignore[no-untyped-def]
    gauge, state, now, numbers, now_numbers, summed, passed, rows, profiles, end, web_m, t_s, dt_s, scratch
) -> None:
    """Add to each box what the head saw of it in this step: a zig-zag over the web, smeared by the spot."""
    left_s, right_s = min(state.head_s, gauge.travel_s), min(state.head_s + dt_s, gauge.travel_s)
    if right_s <= left_s:
        return
    seen, sums, twice = scratch[2][: gauge.lanes], scratch[3], scratch[0]
    from_m, to_m = state.web_m - gauge.distance_m, web_m - gauge.distance_m
    share = look(rows, profiles, end, state.cursor, from_m, to_m, False, seen, scratch[4][:3])
    if share < COATED_ENOUGH or from_m < -1e-9:
        return
    low, high = left_s * gauge.head_lanes_per_s, right_s * gauge.head_lanes_per_s
    if state.next_direction < 0:
        low, high = gauge.lanes - high, gauge.lanes - low
    shift = shift_of(part(now_numbers, now.at_shifts, now.shifts), t_s) * gauge.lanes_per_mm
    edges = numbers[gauge.at_edges : gauge.at_edges + gauge.boxes + 1]
    integrate(seen, sums, twice)
    for i in range(gauge.boxes):
        a, b = max(edges[i], low), min(edges[i + 1], high)
        if b > a:
            mass, width = smeared(seen, sums, twice, a + shift, b + shift, gauge.spot_lanes)
            summed[i] += mass
            passed[i] += width


@compiled
def integrate(lanes: Array, sums: Array, twice: Array) -> None:
    """Integral over equal lanes from the first lane's edge to each edge, and the integral of that."""
    sums[0] = twice[0] = 0.0
    for i in range(lanes.size):
        sums[i + 1] = sums[i] + lanes[i]
        twice[i + 1] = twice[i] + sums[i] + 0.5 * lanes[i]


@compiled
def _twice_at(lanes: Array, sums: Array, twice: Array, x: float) -> tuple[float, float]:
    """The second integral at x, of the lanes and of the web's width; beyond the web there is nothing more to add."""
    count = lanes.size
    if x <= 0.0:
        return 0.0, 0.0
    if x >= count:
        return twice[count] + (x - count) * sums[count], count * (x - 0.5 * count)
    at = int(x)
    f = x - at
    return twice[at] + f * (sums[at] + 0.5 * f * lanes[at]), 0.5 * x * x


@compiled
def smeared(lanes: Array, sums: Array, twice: Array, a: float, b: float, half_spot: float) -> tuple[float, float]:
    """What a spot gathers while its centre goes from a to b, and over how much web; sums of parts make the whole.

    All in lanes; the mean of the lanes under the spot, weighted by how long each was under it, is mass over width.
    """
    mass = width = 0.0
    for x, sign in ((b + half_spot, 1.0), (a + half_spot, -1.0), (b - half_spot, -1.0), (a - half_spot, 1.0)):
        m, w = _twice_at(lanes, sums, twice, x)
        mass += sign * m
        width += sign * w
    return mass / (2.0 * half_spot), width / (2.0 * half_spot)


@compiled
def mean_scan(key: np.uint64, last_row: int, rows: int, drawn: Array, spare: Array) -> None:
    """Fill `drawn` with the sum of a stream's last `rows` rows over their number's root: normal numbers again."""
    normals(key, last_row, drawn)
    if rows == 1:
        return
    for row in range(last_row - rows + 1, last_row):
        normals(key, row, spare)
        for i in range(drawn.size):
            drawn[i] += spare[i]
    for i in range(drawn.size):
        drawn[i] /= math.sqrt(rows * 1.0)


@inlined
def part(numbers: Array, at: int, size: int) -> Array:
    """A vector that lies among others."""
    return numbers[at : at + size]


@compiled
def report(gauge, state, now, numbers, now_numbers, bias_box, values, scratch, scans, t_s) -> None:  # type: ignore[no-untyped-def]
    """True means of boxes become what the gauge says: foil, counting, bias, drift, outliers, dropout, full scale."""
    boxes = gauge.boxes
    drawn, under = scratch[1][:boxes], scratch[4]
    if gauge.kind != WET:
        foil = part(numbers, gauge.at_foil, boxes)
        back = part(numbers, gauge.at_back, boxes)
        if under[0] != 0.0 or under[1] != 0.0 or under[2] != 0.0:
            for i in range(boxes):
                values[i] += under[0] + under[1] * foil[i] + under[2] * back[i]
    error, busy = drift_of(part(now_numbers, now.at_drifts, now.drifts), t_s)
    error += now.bias + state.bias_common
    if gauge.noise > 0.0:
        mean_scan(gauge.noise_key, state.scans, scans, drawn, scratch[0][:boxes])
        if gauge.depth > 0.0:
            count(values, drawn, gauge.target, gauge.noise, gauge.depth, scans * 1.0)
            drawn[:] = 0.0
        state.edge_noise_mm = EDGE_NOISE_MM * normal(gauge.edge_key, state.scans)
    else:
        drawn[:] = 0.0
    noise, level = gauge.noise / math.sqrt(scans * 1.0), 1.0 + error
    _scale(level, noise, drawn, bias_box, values)
    _spoil(gauge, state, now, values, drawn, busy)


@compiled
def _scale(level: float, noise: float, drawn: Array, bias: Array, values: Array) -> None:
    """values *= level + noise drawn + bias."""
    for i in range(values.size):
        values[i] *= level + noise * drawn[i] + bias[i]


@compiled
def _spoil(gauge, state, now, values, drawn, busy) -> None:  # type: ignore[no-untyped-def]
    """Outliers, boxes that have dropped out, and what is beyond full scale."""
    boxes = gauge.boxes
    if now.outlier_chance > 0.0:
        uniforms(gauge.outlier_key, state.scans, drawn)
        for i in range(boxes):
            if drawn[i] < now.outlier_chance:
                sign = -1.0 if drawn[i] < 0.5 * now.outlier_chance else 1.0
                values[i] *= 1.0 + sign * now.outlier_size
    if busy or largest(values) > gauge.full_scale or now.dropout_to > now.dropout_from:
        for i in range(boxes):
            if busy or values[i] > gauge.full_scale or now.dropout_from <= i < now.dropout_to:
                values[i] = np.nan


def box_view(boxes: int, lanes: int) -> Array:
    """Averaging matrix (boxes, lanes) of equal boxes over equal lanes across the same width; rows sum to one."""
    box_edges = np.linspace(0.0, 1.0, boxes + 1)
    lane_edges = np.linspace(0.0, 1.0, lanes + 1)
    low = np.maximum(box_edges[:-1, None], lane_edges[None, :-1])
    high = np.minimum(box_edges[1:, None], lane_edges[None, 1:])
    overlap = np.maximum(high - low, 0.0)
    view: Array = overlap / overlap.sum(axis=1, keepdims=True)
    return view
