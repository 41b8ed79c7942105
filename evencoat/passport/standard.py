"""What the gauges read too much all the time, by lab samples: the map's systematic part, pinned where discs were cut.

What a map is wrong by in common, s, is the dry gauge's (calibration, drift: another after hours) and the foil's
(another after a splice or a stop), each part of it alike over the width and the rest by zone. Before a sample is seen
it has the size that was assumed; a disc tells map - weighing = s + noise of both, and the punch's area is one more
unknown, which all discs share. All of it is Gaussian, so what is known of s anywhere on the roll follows at once.
Where discs say more than what was assumed allows, the assumption gives way: sizes are those under which discs are
likeliest.

Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), chapters 2.2 and 5.4. Only
evencoat.passport imports this.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from controller.line.description import Array
from controller.line.profile import LineState
from evencoat.passport.samples import LINE_M, PLACE_PCT, Placed
from evencoat.passport.web import Laid, Web

Map = npt.NDArray[np.float32] | Array

COMMON, FOIL_COMMON = 0.4, 0.8  # shares of gauge's and foil's variance that are alike over the width
NEAR_MM = 60.0  # zones so far apart have little more in common than that
DRIFT_S = 7200.0  # after which a gauge's error is another
STOOD_S = 60.0  # between two metres: a stop in which foil or slurry may have been changed
NEAR_M = 5.0  # the map's own random error is one and the same so far along the web
FACTORS = (1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0)  # by which the gauge's part may turn out larger than assumed
PLACES = (0.5, 1.0, 2.0, 4.0)  # by which what a disc differs by from its metre may turn out another than usual
FOIL_STEPS_PCT = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
FOIL_M = 60.0  # along which foil that varies is alike
# How much likelier (log) another size must be: the double of the gauge's part, half or double of a disc's, any foil
GAUGE_DOUBT, PLACE_DOUBT, FOIL_DOUBT = 2.0, 0.5, 3.0
LEAST_SD = 1e-5  # log: nothing is known better
KNOTS = 300
PLACES_AT_ONCE = 4000


@dataclass(slots=True)
class Known:
    """The map's common error and its standard uncertainty, log, (metres, zones) each; and what the discs made of it.

    gauge, foil: sizes that were taken in the end, log. over: by how much the map read more than each disc; apart: how
    many standard deviations that lies from what all other discs let expect.
    """

    discs: list[Placed]
    error: npt.NDArray[np.float32]
    sd: npt.NDArray[np.float32]
    gauge: float
    foil: float
    over: Array
    apart: Array


class _Places(NamedTuple):
    t_s: Array
    mm: Array
    foil: Array  # number of the piece of foil


def breaks(laid: Laid) -> list[int]:
    """Metres from which on there may be other foil: a splice begins, or the web stood."""
    spliced = laid.line_state == int(LineState.SPLICE)
    begins = spliced & ~np.concatenate(([False], spliced[:-1]))
    stood = np.concatenate(([False], np.diff(laid.t_line_s) > STOOD_S))
    return [int(metre) for metre in np.flatnonzero(begins | stood) if metre > 0]


def known_by(
    discs: list[Placed], web: Web, log: Map, random: tuple[Map, Array], sizes: tuple[float, float, float]
) -> Known:
    """What discs tell of a map. log: the map, log over target; random: standard uncertainty of each cell, and of the
    mean over the width, (metres, zones) and (metres,), log. sizes: assumed systematic part, what foil that varies adds,
    and the punch's part, log."""
    systematic, varies, punch = sizes
    pieces = np.zeros(web.metres)
    pieces[breaks(web.laid)] = 1.0
    pieces = np.cumsum(pieces)
    metre = np.array([disc.metre for disc in discs])
    at = _Places(web.laid.t_line_s[metre], np.array([disc.shares @ _mm(web) for disc in discs]), pieces[metre])
    over = np.array([float(log[disc.metre] @ disc.shares) - disc.log for disc in discs])
    noise, wave = _noise(discs, random, varies) + punch**2, _wave(discs)
    gauge, foil, place = _likeliest(at, over, (noise, wave), max(systematic, LEAST_SD))
    inverse = np.linalg.inv(_common(at, at, gauge, foil) + noise + place**2 * wave).astype(np.float64)
    weights = inverse @ over
    error, sd = np.empty(log.shape, dtype=np.float32), np.empty(log.shape, dtype=np.float32)
    for rows, knots in _spans(pieces):
        found = _at_knots(knots, web, pieces, at, (gauge, foil), weights, inverse)
        for out, values in ((error, found[0]), (sd, np.sqrt(found[1] + varies**2))):
            out[rows] = _between(np.arange(rows.start, rows.stop), knots, values)
    spread = np.diag(inverse)
    return Known(discs, error, sd, gauge, foil, over, weights / np.sqrt(spread))


def _mm(web: Web) -> Array:
    mm: Array = (np.arange(web.line.zones) + 0.5) * web.line.web_width_mm / web.line.zones
    return mm


def _common(one: _Places, other: _Places, gauge: float, foil: float) -> Array:
    """Covariance of the common error at some places with that at others."""
    near = np.exp(-np.abs(one.mm[:, None] - other.mm) / NEAR_MM)
    drift = np.exp(-np.abs(one.t_s[:, None] - other.t_s) / DRIFT_S)
    same: Array = one.foil[:, None] == other.foil
    of_gauge = gauge**2 * (COMMON + (1.0 - COMMON) * near) * drift
    shared: Array = of_gauge + foil**2 * (FOIL_COMMON + (1.0 - FOIL_COMMON) * near) * same
    return shared


def _noise(discs: list[Placed], random: tuple[Map, Array], varies: float) -> Array:
    """Covariance of what is no common error: weighing, the map's own, foil that varies."""
    metre, zone = (np.array([getattr(disc, name) for disc in discs]) for name in ("metre", "zone"))
    cell, mean = random[0][metre, zone].astype(np.float64), random[1][metre].astype(np.float64)
    apart_m = np.abs(metre[:, None] - metre)
    alike = np.exp(-apart_m / NEAR_M)
    shape = np.sqrt(np.maximum(cell**2 - mean**2, 0.0))
    own = alike * (np.outer(mean, mean) + np.outer(shape, shape) * (zone[:, None] == zone))
    noise: Array = own + np.diag([disc.sd**2 for disc in discs]) + varies**2 * np.exp(-apart_m / FOIL_M)
    return noise


def _wave(discs: list[Placed]) -> Array:
    """How alike discs are in what they differ by from their metres, 1 where they lie side by side."""
    at_m = np.array([disc.at_m for disc in discs])
    alike: Array = np.exp(-np.abs(at_m[:, None] - at_m) / LINE_M)
    return alike


def _likeliest(at: _Places, over: Array, noises: tuple[Array, Array], assumed: float) -> tuple[float, float, float]:
    """Sizes of gauge's part, of foil's, and of what a disc differs by from its metre, log; what was assumed is believed
    unless the discs speak clearly against it."""
    best, most = (assumed, 0.0, 0.01 * PLACE_PCT), -math.inf
    for factor, foil_pct, place in product(FACTORS, FOIL_STEPS_PCT, PLACES):
        sizes = factor * assumed, 0.01 * foil_pct, 0.01 * place * PLACE_PCT
        root = np.linalg.cholesky(_common(at, at, *sizes[:2]) + noises[0] + sizes[2] ** 2 * noises[1])
        white = np.linalg.solve(root, over)
        likely = -0.5 * float(white @ white) - float(np.log(np.diag(root)).sum())
        likely -= GAUGE_DOUBT * math.log2(factor) ** 2 + PLACE_DOUBT * math.log2(place) ** 2
        likely -= FOIL_DOUBT if foil_pct else 0.0
        if likely > most:
            best, most = sizes, likely
    return best


def _spans(pieces: Array) -> Iterator[tuple[slice, npt.NDArray[np.int64]]]:
    """Pieces of foil and the metres of each at which the common error is worked out; it is straight between them."""
    edges = [0, *(np.flatnonzero(np.diff(pieces)) + 1).tolist(), pieces.size]
    step = max(pieces.size / KNOTS, 1.0)
    for begin, end in pairwise(edges):
        count = max(2, round((end - begin) / step))
        yield slice(begin, end), np.unique(np.linspace(begin, end - 1, count).round().astype(np.int64))


def _at_knots(
    knots: npt.NDArray[np.int64], web: Web, pieces: Array, at: _Places, sizes: tuple[float, float], weights: Array,
    inverse: Array,
) -> tuple[Array, Array]:  # fmt: skip
    """Mean and variance of the common error, (knots, zones) each."""
    mm = _mm(web)
    mean, variance = np.empty((knots.size, mm.size)), np.empty((knots.size, mm.size))
    most = max(PLACES_AT_ONCE // mm.size, 1)
    for first in range(0, knots.size, most):
        some = knots[first : first + most]
        t_s, foil = (np.repeat(values[some], mm.size) for values in (web.laid.t_line_s, pieces))
        places = _Places(t_s, np.tile(mm, some.size), foil)
        shared = _common(places, at, *sizes)
        left = sizes[0] ** 2 + sizes[1] ** 2 - np.einsum("ij,jk,ik->i", shared, inverse, shared, optimize=True)
        mean[first : first + most] = (shared @ weights).reshape(-1, mm.size)
        variance[first : first + most] = np.maximum(left, LEAST_SD**2).reshape(-1, mm.size)
    return mean, variance


def _between(metres: npt.NDArray[np.int64], knots: npt.NDArray[np.int64], values: Array) -> Array:
    if knots.size == 1:
        return np.broadcast_to(values, (metres.size, values.shape[1]))
    left = np.clip(np.searchsorted(knots, metres, side="right") - 1, 0, knots.size - 2)
    part = ((metres - knots[left]) / (knots[left + 1] - knots[left]))[:, None]
    out: Array = (1.0 - part) * values[left] + part * values[left + 1]
    return out
