"""Changes of the profile that the lips did not make: a streak, a clogged lane, a bent lip, a gauge beside its place.

What is left of a row's profile when the lips' part is taken off is compared with itself some rows before, for each
gauge on its own: what both gauges see of the same web is in the web, what one of them sees is in that gauge.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from controller.line.description import Array, LineDescription
from evencoat.diagnosis.lips import Lips
from evencoat.diagnosis.rows import Rows
from evencoat.diagnosis.steps import MEDIAN2, Usual, mean_of

NEW, GAP, OLD = 10, 2, 30
SLOW_NEW, SLOW_GAP, SLOW_OLD = 20, 130, 40
FLOOR = 0.0006
USUAL_BEND = 0.006  # of a part of the basis in minutes, until it is learnt
WARM_ROWS = 100  # from the first row until lips and web have come to rest


BESIDE = 2  # zones on either side of a streak or lane that are still its own
RAMP_SHARE = 0.6  # of what a bend goes in minutes, that it goes in the time of a ramp
RAMP_ROWS, RAMP_LOG, STEADY_LOG = 20, 0.05, 0.01  # rows at one speed beside a ramp; speeds that differ, that are one


class Local(NamedTuple):
    """The zone that stands out most: which, by how much (log) and how surely, and how many zones wide it is; share of
    all that stands out across the web."""

    zone: int = -1
    size: float = 0.0
    sigmas: float = 0.0
    zones_wide: float = 1.0
    share: float = 1.0


class Edge(NamedTuple):
    """Change of the outermost zones, left and right (log), its sigma, and that of the second zone there, and of the
    third and fourth."""

    left: float = 0.0
    right: float = 0.0
    sigma: float = 1.0
    second_left: float = 0.0
    second_right: float = 0.0
    beside_left: float = 0.0
    beside_right: float = 0.0


class Seen:
    """One gauge's view of what the lips did not make."""

    def __init__(self, line: LineDescription, rows: Rows, lips: Lips, read: Array, least_share: float) -> None:
        self._rows, self._lips, self._read, self._least = rows, lips, read, least_share
        self._nominal_um = line.die.gap_nominal_um
        self.rest = rows.ring(line.zones)
        self._usual = Usual(FLOOR, 90.0)
        across = np.linspace(-1.0, 1.0, line.zones)
        legendre = np.polynomial.legendre.legvander(across, min(6, line.zones - 2))
        basis, _ = np.linalg.qr(legendre)
        self._basis = basis[:, 1:]  # tilt, bow, and what is bent more often
        self._bow_usual = Usual(np.full(self._basis.shape[1], 3.0 * FLOOR), 200.0, USUAL_BEND)
        self._zones = line.zones
        self.count = 0
        self.local, self.edge = Local(), Edge()
        self.bow, self.bow_sigmas, self.bow_share = 0.0, 0.0, 0.0
        self.restless = 0.0  # change of all zones but the one place that most stands out, in the usual's squares
        self.bent, self.bent_sigmas = 0.0, 0.0  # the largest other bend: at its most, log, and against usual ones
        self.step: Array = np.zeros(line.zones)

    def row(self, row: int) -> None:
        """The gauge has seen a row whole."""
        rows, at = self._rows, row % self._rows.size
        read, gap = self._read[at], rows.gap_um[at]
        good = np.isfinite(read)
        self.count += 1
        if not good.any() or not np.isfinite(gap).all():
            self.rest[at] = math.nan
            return
        self.rest[at] = read - read[good].mean() - self._lips.effect_of(gap - self._nominal_um)
        if self.count % 2 or self.count < WARM_ROWS:
            return
        newest = rows.at(row - NEW + 1, row)
        new = mean_of(self.rest, newest, self._least)
        old = mean_of(self.rest, rows.at(row - NEW - GAP - OLD + 1, row - NEW - GAP), self._least)
        step = new - old
        if not np.isfinite(step).any():
            self.local, self.edge, self.restless = Local(), Edge(), 0.0
            return
        self.step = step = np.where(np.isfinite(step), step, 0.0)
        apart = np.nan_to_num(self.rest[newest][:, [0, -1]] - old[[0, -1]])
        farthest = np.take_along_axis(apart, np.abs(apart).argmax(axis=0)[None], axis=0)[0]
        self._stands_out(step, (apart.sum(axis=0) - farthest) / (NEW - 1))
        self._bent(row)

    def _stands_out(self, step: Array, ends: Array) -> None:
        """Against what lies around: the median of the second and third neighbours on either side. `ends`: change of the
        outermost zones but for the farthest of the new rows: one reading far off is no gauge beside its place."""
        zones, index = self._zones, np.arange(self._zones)
        around = np.stack([step[np.clip(index + k, 0, zones - 1)] for k in (-3, -2, 2, 3)])
        middle = np.sort(around, axis=0)[1:3].mean(axis=0)
        apart = step - middle
        sigma = float(self._usual.sigma)
        zone = int(np.abs(apart).argmax())
        sides = [float(apart[k]) if 0 <= k < zones else 0.0 for k in (zone - 1, zone + 1)]
        peak = float(apart[zone])
        beside = sum(max(side / peak, 0.0) for side in sides) if peak else 0.0
        square = np.square(apart)
        own = float(square[max(zone - BESIDE, 0) : zone + BESIDE + 1].sum())
        others = float(square.sum()) - own
        self.local = Local(zone, peak, abs(peak) / sigma, 1.0 + beside, own / max(own + others, 1e-12))
        inner = np.median(step)
        inwards = step[1], step[-2], step[2:4].mean(), step[-4:-2].mean()
        left, right, *further = (float(one - inner) for one in (*ends, *inwards))
        self.edge = Edge(left, right, sigma, *further)
        self.restless = others / zones / sigma**2
        rms = math.sqrt(float(np.median(np.square(apart))) / MEDIAN2)
        self._usual.seen(rms)

    def _bent(self, row: int) -> None:
        rows = self._rows
        new = mean_of(self.rest, rows.at(row - SLOW_NEW + 1, row), self._least)
        last = row - SLOW_NEW - SLOW_GAP
        old = mean_of(self.rest, rows.at(last - SLOW_OLD + 1, last), self._least)
        change = new - old
        if not np.isfinite(change).all() or self.count < WARM_ROWS + SLOW_NEW + SLOW_GAP + SLOW_OLD:
            self.bow = self.bow_sigmas = self.bow_share = self.bent = self.bent_sigmas = 0.0
            return
        parts = self._basis.T @ change
        usual = self._bow_usual.sigma
        others = float(np.sqrt(np.mean(np.square(parts[2:])))) if parts.size > 2 else 0.0
        natural = max(float(usual[1]), float(np.sqrt(np.mean(np.square(usual[2:])))) if parts.size > 2 else 0.0)
        self.bow = float(parts[1] * self._basis[:, 1].max())  # at the edges, log
        self.bow_sigmas = abs(float(parts[1])) / math.hypot(natural, others)
        self.bow_share = float(parts[1] ** 2 / max(float(change @ change), 1e-12))
        even = float(np.sqrt(np.mean(np.square(usual))))
        most = int(np.abs(np.where(np.arange(parts.size) == 1, 0.0, parts)).argmax())
        self.bent = float(np.abs(parts[most] * self._basis[:, most]).max())
        self.bent_sigmas = abs(float(parts[most])) / even
        self._bow_usual.seen(parts)

    @property
    def usual_bend(self) -> float:
        """How far a bend of the profile goes in minutes, as usual: one standard deviation of a part of the basis."""
        return float(np.sqrt(np.mean(np.square(self._bow_usual.sigma))))


class Ramps:
    """How the profile's bow goes with web speed: what it was before a ramp beside what it is after, ramp after ramp.

    Pressure goes with speed, and a lip that gives opens by it most in the middle. Lips' own ways are taken off.
    """

    def __init__(self, line: LineDescription, rows: Rows, seen: Seen) -> None:
        self._rows, self._seen = rows, seen
        across = np.linspace(-1.0, 1.0, line.zones)
        basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(across, 2))
        self._bow = basis[:, 2] * np.sign(basis[-1, 2])
        self._steady = 0
        self._before: tuple[float, Array] | None = None
        self._told, self._information = 0.0, 0.0

    def row(self, row: int, mixing: bool) -> None:
        """The gauge has seen a row whole. mixing: a new batch has come, which bends the profile by itself."""
        rows = self._rows
        if mixing:
            self._before = None
            return
        speed, last = rows.speed_log[row % rows.size], rows.speed_log[(row - 1) % rows.size]
        self._steady = self._steady + 1 if abs(speed - last) < STEADY_LOG / 4.0 else 0
        if self._steady < RAMP_ROWS:
            return
        now = mean_of(self._seen.rest, rows.at(row - RAMP_ROWS + 1, row))
        if not np.isfinite(now).all():
            return
        if self._before is not None and abs(float(speed) - self._before[0]) > RAMP_LOG:
            self._ramp(float(speed) - self._before[0], float(self._bow @ (now - self._before[1])))
        self._before = float(speed), now

    def _ramp(self, faster: float, bowed: float) -> None:
        sigma = max(RAMP_SHARE * self._seen.usual_bend, FLOOR)
        self._information += (faster / sigma) ** 2
        self._told += faster * bowed / sigma**2

    @property
    def bow(self) -> float:
        """At the edges against the mean, log, for a unit of the speed's log; 0 where no ramp was seen."""
        return self._told / self._information * float(self._bow[-1]) if self._information else 0.0

    @property
    def sigmas(self) -> float:
        """How surely that is not nothing."""
        return abs(self._told) / math.sqrt(self._information) if self._information else 0.0
