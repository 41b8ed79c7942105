"""Uncertified -> certified: the only place that makes an ActuatorCommand.

The envelope always returns a command, whatever it is given: it clips, projects, and at last walks along the ray from
the last command toward the wish as far as every limit allows. The last command meets the (relaxed) limits, so by
convexity the ray always has a feasible point. A bolt found outside its limits walks back in and never further out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from controller.line.command import ActuatorCommand, Limit, UncertifiedCommand
from controller.line.description import Array, LineDescription, LipLimits

SWEEPS = 12  # of alternating projections; what they leave over, the ray removes
INSIDE_UM = 0.02  # projections aim this far inside, so that the ray is not stopped at its first step
TRIM_STEP_PCT = 0.001
RATIO_TOLERANCE = 1e-9
RAY_SLACK_UM = 1e-9


@dataclass(frozen=True, slots=True)
class Envelope:
    """The limits of one line, on the grid of whole command steps."""

    lips: LipLimits
    trim_max_pct: float
    trim_rate_pct_per_s: float
    ratio_rpm_per_mps: float  # the recipe's feed-forward; only the trim moves

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
    gap_um, touched, zones = _certify_gap(envelope.lips, wish.gap_um, last.gap_um, dt_s)
    ratio, trim, pump_touched = _certify_pump(envelope, wish, last, dt_s)
    command = ActuatorCommand(
        gap_um=gap_um, pump_ratio_rpm_per_mps=ratio, pump_trim_pct=trim, valid_until_cycle=valid_until_cycle
    )
    return command, touched + pump_touched, zones


def _certify_gap(lips: LipLimits, wish: Array, last: Array, dt_s: float) -> tuple[Array, tuple[Limit, ...], int]:
    count = lips.command_step_um
    last = np.round(last / count) * count
    touched: list[Limit] = []
    finite = np.isfinite(wish)
    if not finite.all():
        touched.append(Limit.FINITE)
        wish = np.where(finite, wish, last)
    low, high = np.ceil(lips.gap_min_um / count - 1e-6) * count, np.floor(lips.gap_max_um / count + 1e-6) * count
    goal = np.clip(wish, low, high)
    if (goal != wish).any():
        touched.append(Limit.RANGE)
    step = np.floor(lips.rate_um_per_s * dt_s / count + 1e-6) * count
    near = np.clip(goal, last - step, last + step)
    if (near != goal).any():
        touched.append(Limit.RATE)
    if _beyond(lips, near, 1):
        touched.append(Limit.NEIGHBOUR)
    if _beyond(lips, near, 2):
        touched.append(Limit.BEND)
    if Limit.NEIGHBOUR in touched or Limit.BEND in touched:
        near = _ray(lips, last, _project(lips, near, last - step, last + step))
    certified = np.round(near / count) * count
    return certified, tuple(touched), int(np.count_nonzero(np.abs(certified - wish) > 0.51 * count))


def _slack(lips: LipLimits, order: int) -> float:
    """The limit on differences of this order, less what rounding to whole counts can add to one."""
    limit = lips.neighbour_max_um if order == 1 else lips.bend_max_um
    return limit - order * lips.command_step_um


def _beyond(lips: LipLimits, gap_um: Array, order: int) -> bool:
    return bool((np.abs(np.diff(gap_um, order)) > _slack(lips, order)).any())


def _project(lips: LipLimits, gap_um: Array, low: Array, high: Array) -> Array:
    """A point near `gap_um` that meets neighbour and bend limits and stays in the box, by alternating projections."""
    gap_um = gap_um.copy()
    neighbour, bend = _slack(lips, 1) - INSIDE_UM, _slack(lips, 2) - INSIDE_UM
    for _ in range(SWEEPS):
        for start in (0, 1):  # pairs that share no bolt can be mended at once
            left, right = gap_um[start:-1:2], gap_um[start + 1 :: 2]
            excess = right - left
            half = (excess - np.clip(excess, -neighbour, neighbour)) / 2.0
            gap_um[start:-1:2], gap_um[start + 1 :: 2] = left + half, right - half
        for start in (0, 1, 2):  # and so can triples
            a, b, c = gap_um[start:-2:3], gap_um[start + 1 : -1 : 3], gap_um[start + 2 :: 3]
            excess = a - 2.0 * b + c
            sixth = (excess - np.clip(excess, -bend, bend)) / 6.0
            gap_um[start:-2:3], gap_um[start + 1 : -1 : 3], gap_um[start + 2 :: 3] = a - sixth, b + 2 * sixth, c - sixth
        gap_um = np.clip(gap_um, low, high)
    return gap_um


def _ray(lips: LipLimits, last: Array, goal: Array) -> Array:
    """The furthest point from `last` toward `goal` where no difference passes its limit, or what it is now if more."""
    share = 1.0
    for order in (1, 2):
        here, move = np.diff(last, order), np.diff(goal - last, order)
        bound = np.maximum(_slack(lips, order), np.abs(here)) + RAY_SLACK_UM
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(move > 0, (bound - here) / move, np.where(move < 0, (-bound - here) / move, np.inf))
        share = min(share, float(room.min(initial=1.0)))
    point: Array = last + max(share, 0.0) * (goal - last)
    return point


def _certify_pump(
    envelope: Envelope, wish: UncertifiedCommand, last: Applied, dt_s: float
) -> tuple[float, float, tuple[Limit, ...]]:
    ratio, trim = wish.pump_ratio_rpm_per_mps, wish.pump_trim_pct
    touched: list[Limit] = []
    if not (np.isfinite(ratio) and np.isfinite(trim)):
        touched.append(Limit.FINITE)
        ratio, trim = envelope.ratio_rpm_per_mps, last.pump_trim_pct
    trim_in = min(max(trim, -envelope.trim_max_pct), envelope.trim_max_pct)
    if abs(ratio / envelope.ratio_rpm_per_mps - 1.0) > RATIO_TOLERANCE or trim_in != trim:
        touched.append(Limit.PUMP_RANGE)
    step = np.floor(envelope.trim_rate_pct_per_s * dt_s / TRIM_STEP_PCT + 1e-6) * TRIM_STEP_PCT
    trim_near = min(max(trim_in, last.pump_trim_pct - step), last.pump_trim_pct + step)
    if trim_near != trim_in:
        touched.append(Limit.PUMP_RATE)
    return envelope.ratio_rpm_per_mps, round(trim_near / TRIM_STEP_PCT) * TRIM_STEP_PCT, tuple(touched)
