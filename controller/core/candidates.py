"""Which of many maps from lips to web fits what was seen? For descriptions so wrong that a straight line misleads.

`adapt` finds small errors of the map, where a little more shift or width shows in proportion. Half a zone and a kernel
a third too wide turn fine shapes round: what is true there is no little more of anything. So maps on a grid of widths
and shifts are laid beside every look, each with the gain and the lateness that suit it best, and the likely ones are
mixed. Nothing here is linear in what is looked for, no map leaves the grid, and looks are kept in the description's own
terms, whatever model is in use. Source: multiple-model estimation (Magill 1965).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from controller.core.response import lip_matrix, local_gain_per_um, moved
from controller.line.description import Array, LineDescription

WIDTHS = np.linspace(-0.6, 0.6, 7)  # log of a factor on the described kernel
SHIFTS = np.linspace(-1.5, 1.5, 13)  # zones beside the described alignment
BETWEEN = np.array([WIDTHS[1] - WIDTHS[0], SHIFTS[1] - SHIFTS[0]]) / np.sqrt(12.0)  # deviations within a mesh
MOST = math.e  # times more or less gain than described
UNSURE = np.array([0.4, 0.15])  # deviations of the gain's factor and of the lateness, in dead times
MISMATCH = 0.2  # of a move's effect, that even the best of them may show
GATE = 4.0  # times the expected mean square: a look that surprises more is left out
DOUBTED = 0.5  # share of the evidence that outlasts such a look
KEPT = 0.99  # of it from look to look
UNEASE, UNEASE_BOX = 0.2, (0.5, 20.0)  # how fast the noise's scale follows what looks leave over, and its bounds


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Constants for one description. maps (nodes, zones - 1, zones): what a micrometre does, over one sigma of a look;
    weigh (zones - 1, zones): the same of a profile. numbers (nodes, 2): width and shift; prior (nodes,), log.
    """

    maps: Array
    weigh: Array
    numbers: Array
    prior: Array


class Evidence(NamedTuple):
    """Sums over looks: inner products of what each map says of moves and of a later web, (nodes, 2, 2), of those with
    what was read, (nodes, 2), and the square of the latter. unease: scale of the noise."""

    inner: Array
    shown: Array
    square: float
    unease: float
    looks: int


def build(line: LineDescription, basis: Array, variance: Array, prior: Array) -> Candidates:
    """Maps about a description. variance (zones - 1,): of a look in each column of basis; prior: deviations (2,)."""
    weigh = basis.T / np.sqrt(variance)[:, None]
    numbers = np.array([(width, shift) for width in WIDTHS for shift in SHIFTS])
    gain = local_gain_per_um(line)
    dies = [moved(line.die, np.array([0.0, width, shift, 0.0])) for width, shift in numbers]
    maps = np.array([weigh @ (gain * lip_matrix(die)) for die in dies])
    return Candidates(maps, weigh, numbers, -0.5 * ((numbers / prior) ** 2).sum(axis=1))


def nothing() -> Evidence:
    """No look yet."""
    nodes = WIDTHS.size * SHIFTS.size
    return Evidence(np.zeros((nodes, 2, 2)), np.zeros((nodes, 2)), 0.0, 1.0, 0)


def weighed(
    known: Candidates, seen: Evidence, changed: Array, moved_um: Array, jolt_um: Array, drifted: float = 1.0
) -> Evidence:
    """After a look. changed (zones,), log: how another the web became, the lips' doing included; jolt_um: what their
    move would have been more, had the web come a whole dead time later; drifted: times a look's usual variance.
    """
    said, read = known.maps @ np.column_stack((moved_um, jolt_um)), known.weigh @ changed
    likely = float(np.mean(said[int(_fits(known, seen)[0].argmax()), :, 0] ** 2))
    scale = drifted * seen.unease + MISMATCH**2 * likely
    turned = np.swapaxes(said, 1, 2)
    after = Evidence(
        KEPT * seen.inner + turned @ said / scale,
        KEPT * seen.shown + turned @ read / scale,
        KEPT * seen.square + float(read @ read) / scale,
        seen.unease,
        seen.looks + 1,
    )
    surprise = (_least(known, after) - _least(known, seen)) / read.size
    unease = float(np.clip(seen.unease * (1.0 + UNEASE * (min(surprise, GATE) - 1.0)), *UNEASE_BOX))
    if surprise > GATE:
        return Evidence(DOUBTED * seen.inner, DOUBTED * seen.shown, DOUBTED * seen.square, unease, seen.looks)
    return after._replace(unease=unease)


def _fits(known: Candidates, seen: Evidence) -> tuple[Array, Array, Array]:
    """Of each map: log likelihood beside the prior, (nodes,), its best gain and lateness times it, (nodes, 2), and the
    gain's variance, (nodes,)."""
    sure = np.diag(UNSURE**-2.0)
    inner, shown = seen.inner + sure, seen.shown + sure @ np.array([1.0, 0.0])
    spread = np.asarray(np.linalg.inv(inner), dtype=np.float64)
    best = (spread @ shown[..., None])[..., 0]
    log = 0.5 * (shown * best).sum(axis=1) + 0.5 * np.log(np.linalg.det(spread)) + known.prior
    return log, best, spread[:, 0, 0]


def _least(known: Candidates, seen: Evidence) -> float:
    """Twice the least misfit of all maps."""
    return seen.square - 2.0 * float(_fits(known, seen)[0].max())


def believed(known: Candidates, seen: Evidence) -> tuple[Array, Array]:
    """Gain (log), width, shift and stretch from the description, as the likely maps have them, (4,), and their
    deviations, (4,)."""
    log, best, variance = _fits(known, seen)
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    gain = min(max(float(weight @ best[:, 0]), 1.0 / MOST), MOST)
    middle = weight @ known.numbers
    spread = np.sqrt(weight @ (known.numbers - middle) ** 2)
    wide = float(np.sqrt(weight @ (variance + (best[:, 0] - gain) ** 2))) / gain
    return np.array([math.log(gain), *middle, 0.0]), np.array([wide, *np.hypot(spread, BETWEEN), np.inf])
