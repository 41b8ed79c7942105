"""Uncertified -> certified: the only place that makes an ActuatorCommand.

The envelope always returns a command, whatever it is given. For the lips it works in whole counts of the command and in
two moves. `_target` finds the point every limit allows that lies near the wish; it depends on the wish alone, so a
standing wish has a standing target. `_walk` goes from the last command toward that target as fast as the rate allows.
Both ends meet the limits, so by convexity the way between them does, and what a bolt found outside its limits exceeds
them by only ever shrinks. Where rounding to counts would block the way, the walk looks for a rounding that does not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from controller.line.command import ActuatorCommand, Limit, UncertifiedCommand
from controller.line.description import Array, LineDescription, LipLimits

SWEEPS = 8  # of alternating projections; what they leave over, flattening removes
BEND_ROUNDING = 2  # counts that rounding three bolts can add to their second difference
FAR = 1e6  # um, or percent of trim: nothing is taken to stand further out than this, whatever is claimed
TRIM_STEP_PCT = 0.001
RATIO_TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class _Counts:
    """Lip limits in whole counts of the command, each rounded to the safe side."""

    low: int
    high: int
    neighbour: int
    bend: int

    @classmethod
    def of(cls, lips: LipLimits) -> _Counts:
        count = lips.command_step_um
        return cls(
            low=math.ceil(lips.gap_min_um / count - 1e-6),
            high=math.floor(lips.gap_max_um / count + 1e-6),
            neighbour=math.floor(lips.neighbour_max_um / count + 1e-6),
            bend=math.floor(lips.bend_max_um / count + 1e-6),
        )


@dataclass(frozen=True, slots=True)
class Envelope:
    """The limits of one line, on the grid of whole command steps."""

    lips: LipLimits
    trim_max_pct: float
    trim_rate_pct_per_s: float
    ratio_rpm_per_mps: float  # the recipe's feed-forward; only the trim moves
    counts: _Counts = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", _Counts.of(self.lips))

    @classmethod
    def of(cls, line: LineDescription) -> Envelope:
        """Envelope of a line, from its description."""
        return cls(
            lips=line.lips,
            trim_max_pct=line.pump.trim_max_pct,
            trim_rate_pct_per_s=line.pump.trim_rate_pct_per_s,
            ratio_rpm_per_mps=line.pump_ratio_nominal_rpm_per_mps,
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """Where the actuators were last sent, or at start found: lips (zones,), and the trim on the recipe's ratio."""

    gap_um: Array
    pump_ratio_rpm_per_mps: float
    pump_trim_pct: float


def certify(
    envelope: Envelope, wish: UncertifiedCommand, last: Applied, dt_s: float, valid_until_cycle: int
) -> tuple[ActuatorCommand, tuple[Limit, ...], int]:
    """Make the command nearest to `wish` that every limit allows after `dt_s`.

    Returns the command, the limits that bound, and how many zones they changed. Never raises.
    """
    gap_um, touched, zones = _certify_gap(envelope, wish.gap_um, last.gap_um, dt_s)
    ratio, trim, pump_touched = _certify_pump(envelope, wish, last, dt_s)
    command = ActuatorCommand(
        gap_um=gap_um, pump_ratio_rpm_per_mps=ratio, pump_trim_pct=trim, valid_until_cycle=valid_until_cycle
    )
    return command, touched + pump_touched, zones


def _certify_gap(envelope: Envelope, wish: Array, last: Array, dt_s: float) -> tuple[Array, tuple[Limit, ...], int]:
    lips, counts = envelope.lips, envelope.counts
    count = lips.command_step_um
    if not _near(last):
        middle = 0.5 * (lips.gap_min_um + lips.gap_max_um)
        last = _between(np.where(np.isfinite(last), last, middle), -FAR, FAR)
    stood = last / count
    here = _nearest(stood)
    touched: list[Limit] = []
    if wish is not last and not _near(wish):
        if np.count_nonzero(np.isfinite(wish)) < wish.size:
            touched.append(Limit.FINITE)  # whoever answers so for one bolt is not to be believed for the others
            wish = here * count
        wish = _between(wish, -FAR, FAR)
    goal = wished = stood if wish is last else wish / count
    if not counts.low <= goal.item(goal.argmin()) <= goal.item(goal.argmax()) <= counts.high:
        goal = _between(wished, counts.low, counts.high)
        if np.count_nonzero(np.abs(goal - wished) > 1e-6):
            touched.append(Limit.RANGE)
    target, bound = _target(counts, goal, here if goal is stood else _nearest(goal))
    touched += bound
    step = _whole(lips.rate_um_per_s * max(0.0, dt_s) / count)
    certified, bound = _walk(counts, here, target, step)
    touched += [limit for limit in bound if limit not in touched]
    off = np.abs(certified - wished)
    zones = int(np.count_nonzero(off > 0.51)) if off.item(off.argmax()) > 0.51 else 0
    return certified * count, tuple(touched), zones


def _near(gap: Array) -> bool:
    """Whether every bolt stands inside FAR. A NaN is found as the smallest, and is not."""
    return bool(gap.item(gap.argmin()) >= -FAR and gap.item(gap.argmax()) <= FAR)


def _whole(steps: float) -> float:
    """Whole counts in a step, a hair's breadth given."""
    return float(math.floor(steps + 1e-6)) if math.isfinite(steps) else steps


def _nearest(counts: Array) -> Array:
    """Nearest whole counts, kept as floats. Halves always go up: that keeps every whole bound on a first difference."""
    rounded: Array = np.floor(counts + 0.5)
    return rounded


def _between(value: Array, low: float, high: float) -> Array:
    """numpy's own clip costs five times as much at this size."""
    inside: Array = np.minimum(np.maximum(value, low), high)
    return inside


def _slope(gap: Array) -> Array:
    """First differences; np.diff costs four times as much."""
    slope: Array = gap[1:] - gap[:-1]
    return slope


def _bend(gap: Array) -> Array:
    """Second differences."""
    slope = gap[1:] - gap[:-1]
    bend: Array = slope[1:] - slope[:-1]
    return bend


def _largest(values: Array) -> float:
    """The largest absolute value, 0 of none; finding its place costs a quarter of numpy's own maximum."""
    if not values.size:
        return 0.0
    size = np.abs(values)
    largest: float = size.item(size.argmax())
    return largest


def _excess(value: Array, limit: float) -> Array:
    excess: Array = np.maximum(value - limit, 0.0) + np.minimum(value + limit, 0.0)
    return excess


def _target(counts: _Counts, goal: Array, target: Array) -> tuple[Array, list[Limit]]:
    """The point near `goal` (counts, in range) that neighbour and bend limits allow.

    `target`, which is `goal` in whole counts, when they do.
    """
    slope = _slope(target)
    bound = [Limit.NEIGHBOUR] if _largest(slope) > counts.neighbour else []
    bound += [Limit.BEND] if _largest(_slope(slope)) > counts.bend else []
    if not bound:
        return target, bound
    bend = max(counts.bend - BEND_ROUNDING, 0)
    near = _project(counts, goal, counts.neighbour, bend)
    middle = math.floor(float(near.mean()) + 0.5)
    steepest, sharpest = _largest(_slope(near)), _largest(_bend(near))
    share = min(1.0, counts.neighbour / max(steepest, 1e-9), bend / max(sharpest, 1e-9))
    return _nearest(middle + share * (near - middle)), bound


def _project(counts: _Counts, gap: Array, neighbour: int, bend: int) -> Array:
    """Alternating projections of `gap` onto the neighbour, bend and range limits, all in counts."""
    gap = gap.copy()
    for _ in range(SWEEPS):
        for start in (0, 1):  # pairs that share no bolt can be mended at once
            left, right = gap[start:-1:2], gap[start + 1 :: 2]
            half = _excess(right - left, neighbour) / 2.0
            gap[start:-1:2], gap[start + 1 :: 2] = left + half, right - half
        for start in (0, 1, 2):  # and so can triples
            a, b, c = gap[start:-2:3], gap[start + 1 : -1 : 3], gap[start + 2 :: 3]
            sixth = _excess(a - 2.0 * b + c, bend) / 6.0
            gap[start:-2:3], gap[start + 1 : -1 : 3], gap[start + 2 :: 3] = a - sixth, b + 2 * sixth, c - sixth
        gap = _between(gap, counts.low, counts.high)
    return gap


def _walk(counts: _Counts, last: Array, target: Array, step: float) -> tuple[Array, list[Limit]]:
    """At most `step` counts from `last` toward `target`, with no difference beyond its limit or, if more, what it was.

    First each bolt at its own full rate: that keeps range and neighbour limits by itself, but may bend the lip. Then
    all along the straight line; then the best roundings of points on it, the shortest of which can always move on.
    """
    if target is last:  # a wish to stay, as most are
        return last, []
    move = target - last
    furthest = _largest(move)
    if furthest == 0.0:
        return last, []
    bound = [Limit.RATE] if furthest > step else []
    bend = _bend(last)
    low, high = np.minimum(bend, -counts.bend), np.maximum(bend, counts.bend)

    def bends(gap: Array) -> bool:
        now = _bend(gap)
        return bool(np.count_nonzero((now < low) | (now > high)))

    point = last + _between(move, -step, step)
    if not bends(point):
        return point, bound
    bound.append(Limit.BEND)
    point = last + _nearest(move * (step / furthest))
    if not bends(point):
        return point, bound
    slope = _slope(last)
    slopes = np.minimum(slope, -counts.neighbour).tolist(), np.maximum(slope, counts.neighbour).tolist()
    bends_allowed = low.tolist(), high.tolist()

    def rounded(reach: float) -> list[float] | None:
        return _round_within(last + move * (reach / furthest), target, slopes, bends_allowed)

    return np.array(rounded(step) or rounded(1.0) or last), bound


Bounds = tuple[list[float], list[float]]


def _round_within(point: Array, target: Array, slopes: Bounds, bends: Bounds) -> list[float] | None:
    """Round each bolt of `point` up or down, as near `target` as the bounds on first and second differences allow.

    Dynamic programming from bolt to bolt over the last two choices; None where no rounding meets all bounds.
    """
    low, high = np.floor(point + 1e-9).tolist(), np.ceil(point - 1e-9).tolist()
    goal = target.tolist()
    best = {(a, b): (abs(goal[0] - a) + abs(goal[1] - b), [a, b]) for a in {low[0], high[0]} for b in {low[1], high[1]}}
    best = {(a, b): kept for (a, b), kept in best.items() if slopes[0][0] <= b - a <= slopes[1][0]}
    for i in range(2, len(low)):
        longer: dict[tuple[float, float], tuple[float, list[float]]] = {}
        for (a, b), (cost, path) in best.items():
            for c in {low[i], high[i]}:
                slope, bend = c - b, a - 2 * b + c
                if not slopes[0][i - 1] <= slope <= slopes[1][i - 1] or not bends[0][i - 2] <= bend <= bends[1][i - 2]:
                    continue
                total = cost + abs(goal[i] - c)
                if (b, c) not in longer or total < longer[b, c][0]:
                    longer[b, c] = (total, [*path, c])
        best = longer
    return min(best.values())[1] if best else None


def _certify_pump(
    envelope: Envelope, wish: UncertifiedCommand, last: Applied, dt_s: float
) -> tuple[float, float, tuple[Limit, ...]]:
    ratio, trim = wish.pump_ratio_rpm_per_mps, wish.pump_trim_pct
    last_trim = min(max(last.pump_trim_pct, -FAR), FAR) if math.isfinite(last.pump_trim_pct) else 0.0
    touched: list[Limit] = []
    if not (math.isfinite(ratio) and math.isfinite(trim)):
        touched.append(Limit.FINITE)
        ratio, trim = envelope.ratio_rpm_per_mps, last_trim
    trim_in = min(max(trim, -envelope.trim_max_pct), envelope.trim_max_pct)
    if abs(ratio / envelope.ratio_rpm_per_mps - 1.0) > RATIO_TOLERANCE or trim_in != trim:
        touched.append(Limit.PUMP_RANGE)
    step = _whole(envelope.trim_rate_pct_per_s * max(0.0, dt_s) / TRIM_STEP_PCT) * TRIM_STEP_PCT
    trim_near = min(max(trim_in, last_trim - step), last_trim + step)
    if trim_near != trim_in:
        touched.append(Limit.PUMP_RATE)
    return envelope.ratio_rpm_per_mps, round(trim_near / TRIM_STEP_PCT) * TRIM_STEP_PCT, tuple(touched)
