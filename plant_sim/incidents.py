"""What befalls the slurry on its way and the film at the lip: run-out, streaks, warm sides, bubbles, clogging, levels.

Each is worked out from its play once and asked for its value at a moment. All that acts across the web, but for holes,
is a local factor of flow before the pump's flow is shared out, so that a pre-metered mean does not know of it.
Imported inside plant_sim only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array
from plant_sim.compiled import compiled

THINNING_PER_K = 0.02  # of the consistency: between water (0.02) and NMP with binder (0.01 to 0.03)
GRAVITY_MPS2 = 9.81
FILM_LEFT = 0.02  # of the film: a burst bubble leaves wetted foil, and a gauge sees no bare web
STANDING_MPS = 0.01  # below this web speed a bubble drips off with the rest


@dataclass(frozen=True, slots=True)
class Rise:
    """Something that grows in a straight line from its onset to `size` within ramp_s, and stays."""

    onset_s: float
    ramp_s: float
    size: float

    def at(self, t_s: float) -> float:
        return self.size * float(risen(self.onset_s, self.ramp_s, t_s))


@dataclass(frozen=True, slots=True, eq=False)
class Incidents:
    """All that is played of this at a moment."""

    streak_log: Array | None = None  # ln of the local factor of flow, shape (lanes,)
    run_outs: tuple[tuple[float, float], ...] = ()  # circumference of the roll in m; size, a share of local film
    warmths: tuple[tuple[Rise, Array], ...] = ()  # a rise of size 1; slurry against its mean in K, shape (lanes,)
    bows: tuple[tuple[Rise, Array], ...] = ()  # a rise of size 1; opening of the lip in um, shape (lanes,)
    clogs: tuple[Rise, ...] = ()  # pressure in the filter against that in the die
    levels: tuple[Rise, ...] = ()  # m of slurry that the tank has fallen
    temperatures: tuple[Rise, ...] = ()  # K of all slurry against the recipe's


@compiled
def risen(onset_s: float, ramp_s: float, t_s: float) -> float:
    """How far something has grown that grows in a straight line from its onset within ramp_s: 0..1."""
    since_s = t_s - onset_s
    if since_s >= ramp_s:
        return 1.0
    return max(since_s / ramp_s, 0.0)


@compiled
def add_run_out(
    tilt: Array, bow: Array, turn_m: float, size: float, from_m: float, to_m: float, local_log: Array
) -> None:
    """Add a roll out of true: the coating gap breathes once a turn, by web length whatever the speed.

    Assumed: the bead stores nothing, so the film that one lane lacks another gets and only the part of the run-out that
    differs across the web shows: a tilt and, a quarter of a turn later, a bow. Each lane's mean over a turn is 0 too.
    The mean over the step's web is exact, so that long steps do not alias a turn. Shapes (lanes,).
    """
    per_m = 2.0 * math.pi / turn_m
    start, turned = per_m * from_m, per_m * (to_m - from_m)
    if turned < 1e-9:
        sine, cosine = math.sin(start), math.cos(start)
    else:
        sine = (math.cos(start) - math.cos(start + turned)) / turned
        cosine = (math.sin(start + turned) - math.sin(start)) / turned
    for i in range(local_log.size):
        local_log[i] += size * (sine * tilt[i] + cosine * bow[i])


@dataclass(frozen=True, slots=True, eq=False)
class Bubble:
    """Air that takes the film's place for a moment. `covers` is the share of each lane's width, shape (lanes,)."""

    onset_s: float
    end_s: float
    covers: Array

    @staticmethod
    def of(onset_s: float, duration_s: float, length_m: float, speed_mps: float, covers: Array) -> Bubble:
        """A hole of this length at the web's speed of its onset; none on a standing web."""
        lasts_s = length_m / speed_mps if speed_mps > STANDING_MPS else 0.0
        return Bubble(onset_s, onset_s + min(lasts_s, duration_s), covers)


@compiled
def pierce(bubbles: Array, lanes: int, from_s: float, to_s: float, share: Array) -> float:
    """Take a step's holes out of `share` (mean 1, shape (lanes,)), keep its mean 1; returns the volume that is left.

    bubbles: onset, end and the covered share of each lane, one after another. Air was pumped in place of slurry: what
    a hole lacks is lost, and its neighbours are no thicker.
    """
    hit = False
    for b in range(bubbles.size // (lanes + 2)):
        one = bubbles[b * (lanes + 2) : (b + 1) * (lanes + 2)]
        part = (min(one[1], to_s) - max(one[0], from_s)) / (to_s - from_s)
        if part > 0.0:
            hit = True
            for i in range(lanes):
                share[i] *= 1.0 - (1.0 - FILM_LEFT) * part * one[2 + i]
    if not hit:
        return 1.0
    left = 0.0
    for i in range(lanes):
        left += share[i]
    left /= lanes
    for i in range(lanes):
        share[i] /= left
    return left


def rows_of(bubbles: Sequence[Bubble]) -> Array:
    """Bubbles as `pierce` reads them."""
    return np.concatenate([np.concatenate(([one.onset_s, one.end_s], one.covers)) for one in bubbles] or [np.empty(0)])


def covered(lanes_mm: Array, at: float, width_mm: float) -> Array:
    """Share of each lane that a strip of web covers, shape (lanes,). `at`: the strip's place, 0..1; it stays on the web
    whole, and its width is kept however it lies on the lanes."""
    lane_mm = _lane_mm(lanes_mm)
    left_mm, right_mm = lanes_mm[0] - 0.5 * lane_mm, lanes_mm[-1] + 0.5 * lane_mm
    width_mm = min(width_mm, right_mm - left_mm)
    start_mm = min(max(left_mm + at * (right_mm - left_mm) - 0.5 * width_mm, left_mm), right_mm - width_mm)
    low = np.maximum(lanes_mm - 0.5 * lane_mm, start_mm)
    high = np.minimum(lanes_mm + 0.5 * lane_mm, start_mm + width_mm)
    share: Array = np.maximum(high - low, 0.0) / lane_mm
    return share


def tilt_and_bow(lanes: int) -> tuple[Array, Array]:
    """A straight and a bent shape across the web, each of mean 0 and standard deviation 1, shape (lanes,)."""
    across = (np.arange(lanes) + 0.5) / lanes - 0.5
    bow = across**2 - np.mean(across**2)
    return across / across.std(), bow / bow.std()


def edge_log(lanes_mm: Array, size: float, width_mm: float) -> Array:
    """ln of the local factor of flow of heavy edges: `size` at the very edge, falling by e every width_mm inward."""
    half_mm = -lanes_mm[0] + 0.5 * _lane_mm(lanes_mm)
    from_edge_mm = half_mm - np.abs(lanes_mm)
    lane = _lane_mm(lanes_mm) / (2.0 * width_mm)
    within = np.sinh(lane) / lane  # the mean of an exponential over a lane against its value in the middle
    log: Array = np.log1p(size * np.exp(-from_edge_mm / width_mm) * within)
    return log


def cooling(lanes: int, at: float, size_k: float) -> Array:
    """Temperature against its mean: highest at `at` (0..1), lower by size_k at the side farther off, shape (lanes,)."""
    away = ((np.arange(lanes) + 0.5) / lanes - at) / max(at, 1.0 - at)
    shape: Array = -size_k * (away**2 - np.mean(away**2))
    return shape


def _lane_mm(lanes_mm: Array) -> float:
    return float(lanes_mm[-1] - lanes_mm[0]) / max(lanes_mm.size - 1, 1)
