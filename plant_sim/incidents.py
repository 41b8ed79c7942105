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
        since_s = t_s - self.onset_s
        if since_s >= self.ramp_s:
            return self.size
        return self.size * max(since_s / self.ramp_s, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class RunOut:
    """A roll out of true: the coating gap breathes once a turn, by web length whatever the speed.

    Assumed: the bead stores nothing, so the film that one lane lacks another gets and only the part of the run-out that
    differs across the web shows: a tilt and, a quarter of a turn later, a bow. Each lane's mean over a turn is 0 too.
    """

    turn_m: float
    tilt: Array  # ln of the local factor of flow, amplitude, shape (lanes,)
    bow: Array

    def log(self, from_m: float, to_m: float) -> Array:
        """Mean over a stretch of web, exact, so that long steps do not alias a turn. Shape (lanes,)."""
        per_m = 2.0 * math.pi / self.turn_m
        start, turned = per_m * from_m, per_m * (to_m - from_m)
        if turned < 1e-9:
            sine, cosine = math.sin(start), math.cos(start)
        else:
            sine = (math.cos(start) - math.cos(start + turned)) / turned
            cosine = (math.sin(start + turned) - math.sin(start)) / turned
        waved: Array = sine * self.tilt + cosine * self.bow
        return waved


@dataclass(frozen=True, slots=True, eq=False)
class Warmth:
    """Slurry warmer or colder toward the sides: `shape_k` is the final difference to the mean, shape (lanes,)."""

    rise: Rise  # of size 1
    shape_k: Array

    def log(self, t_s: float, flow_index: float) -> Array:
        """A power law's flow at a given pressure goes with K^(-1/n)."""
        warmer: Array = (self.rise.at(t_s) * THINNING_PER_K / flow_index) * self.shape_k
        return warmer


@dataclass(frozen=True, slots=True, eq=False)
class Incidents:
    """All that is played of this at a moment."""

    streak_log: Array | None = None  # shape (lanes,)
    run_outs: tuple[RunOut, ...] = ()
    warmths: tuple[Warmth, ...] = ()
    clogs: tuple[Rise, ...] = ()  # pressure in the filter against that in the die
    levels: tuple[Rise, ...] = ()  # m of slurry that the tank has fallen

    def local_log(self, local_log: Array, t_s: float, flow_index: float, from_m: float, to_m: float) -> Array:
        """ln of the local flow factors with these added to the given ones, shape (lanes,)."""
        if self.streak_log is not None:
            local_log = local_log + self.streak_log
        for run_out in self.run_outs:
            local_log = local_log + run_out.log(from_m, to_m)
        for warmth in self.warmths:
            local_log = local_log + warmth.log(t_s, flow_index)
        return local_log

    def pressure_factor(self, t_s: float) -> float:
        """What the pump pushes against, die and filter, over the die alone."""
        return 1.0 + sum(clog.at(t_s) for clog in self.clogs)

    def suction_pa(self, t_s: float, density_kgm3: float) -> float:
        """Pressure that the pump's inlet lacks."""
        return density_kgm3 * GRAVITY_MPS2 * sum(level.at(t_s) for level in self.levels)


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


def left_of_film(bubbles: Sequence[Bubble], from_s: float, to_s: float) -> Array | None:
    """Share of the film that bubbles leave in a step, shape (lanes,); None when there is none in it."""
    left = None
    for bubble in bubbles:
        share = (min(bubble.end_s, to_s) - max(bubble.onset_s, from_s)) / (to_s - from_s)
        if share > 0.0:
            kept = 1.0 - (1.0 - FILM_LEFT) * share * bubble.covers
            left = kept if left is None else left * kept
    return left


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


def cooling(lanes: int, at: float, size_k: float) -> Array:
    """Temperature against its mean: highest at `at` (0..1), lower by size_k at the side farther off, shape (lanes,)."""
    away = ((np.arange(lanes) + 0.5) / lanes - at) / max(at, 1.0 - at)
    shape: Array = -size_k * (away**2 - np.mean(away**2))
    return shape


def _lane_mm(lanes_mm: Array) -> float:
    return float(lanes_mm[-1] - lanes_mm[0]) / max(lanes_mm.size - 1, 1)
