"""What the web says of each bolt: likelihood ratios of a dead, a reversed, a loose and a sticking one.

The wet profile of a row, less what the lips of that very row do by the believed map, is the disturbance. It drifts, so
it is followed by a slow filter, and what the filter did not expect is compared with what each hypothesis would have
made of it: the lip's way under the hypothesis less the believed way, through the same filter and the bolt's column of
the map. Since the loop only knows older web, such innovations are free of what the loop does (a plain regression of the
web on the bolts is not: in closed loop bolts follow the disturbance, and every one of them seems dead). Ratios add up
from row to row and never fall below nothing: a CUSUM each, the best test for a change at an unknown time.

What all bolts share is no bolt's fault: errors of gain, kernel and alignment are regressed out, common play is whatever
width explains all bolts best, and where lips move far the map is believed the less.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from controller.core.response import lip_matrix, local_gain_per_um, moved
from controller.line.description import Array, LineDescription
from evencoat.diagnosis.alike import Alike
from evencoat.diagnosis.steps import MEDIAN2

FOLLOW = (0.15, 0.05)  # of an innovation, that the followed disturbance takes: for a lively web, and for noisy gauges
MISMATCH = 0.9  # of what moving lips do by the believed map, that may be otherwise
KEPT = 0.998  # of a ratio from row to row
MOST = 80.0
WELL = 0.3  # of what a hypothesis would do, that a well bolt may do, too: none is quite as it is believed
BOUND_SIGMAS = 4.0  # beyond which a surprise counts no more: a step of the web is no bolt's doing
WIDTHS_UM = np.array([0.0, 1.0, 2.0, 3.0, 4.5, 6.0, 9.0, 13.0, 19.0, 28.0, 40.0])  # of play, both ways together
COMMON_MOST_UM = 6.0
GROWN_UM = 3.0  # beyond what all have
STICKS_UM = np.array([2.0, 3.5, 6.0, 10.0])
SHARED_SIGMA = np.array([0.1, 0.2, 0.25])  # of gain and kernel (logs), of the shift (pitches)
SHARED_KEPT = 0.999
SHARED_WORTH = 0.1  # of a row: what a wrong map does is the same in many rows


class Lips:
    """One line's bolts as its web sees them. Ratios in nats; shapes (zones,)."""

    def __init__(self, line: LineDescription, follow: float = FOLLOW[0]) -> None:
        zones = line.zones
        self._follow, self._alike, self._before = follow, 0.0, np.zeros(zones)
        self.zones, self._resolution_um = zones, line.lips.resolution_um
        self.map = self._effect(line, np.zeros(4))  # of a micrometre of each lip on the log of the profile
        slopes = [(self._effect(line, step) - self.map) / step.sum() for step in 0.05 * np.eye(4)[:3]]
        self._slopes = np.stack(slopes)
        gauge = line.primary_gauge
        boxes = max(gauge.boxes / zones, 1.0) * max(1.0 / gauge.period_s, 1.0)
        self._floor = (gauge.noise_pct / 100.0) ** 2 / boxes + (0.0005) ** 2
        self._noise2 = 1.5 * self._floor
        widths, sticks = WIDTHS_UM.size, STICKS_UM.size
        self._lip_um = np.zeros((widths + sticks, zones))  # where each width or sticking leaves each lip
        self._hypotheses = 2 + widths + sticks  # dead, reversed, loose by so much, sticking by so much
        self._neighbours = Alike(zones)
        self._level = np.zeros(zones)
        self._ways = np.zeros((self._hypotheses, zones))  # of the deviations, followed
        self._shared = np.zeros((3, zones))
        self._moved = np.zeros(zones)
        self._information, self._told = np.diag(SHARED_SIGMA**-2.0), np.zeros(3)
        self._totals = np.zeros(widths + sticks)
        self.common = int(np.searchsorted(WIDTHS_UM, min(line.lips.backlash_um, COMMON_MOST_UM)))
        self._own_um = float(WIDTHS_UM[self.common])
        self.ratios = np.zeros((self._hypotheses, zones))
        self.answered, self.asked = np.zeros(zones), np.zeros(zones)
        self.all_stick = 0.0
        self.stick_um = 0.0
        self.rows = 0
        self.way_um = np.zeros(zones)  # that each bolt has gone since it was last known to be well

    @staticmethod
    def _effect(line: LineDescription, numbers: Array) -> Array:
        """What a micrometre of each bolt does to the log of the profile, by a map so far from the believed one."""
        other = replace(line, die=moved(line.die, numbers))
        centre = np.eye(line.zones) - 1.0 / line.zones
        effect: Array = local_gain_per_um(other) * (centre @ lip_matrix(other.die))
        return effect

    def effect_of(self, gap_um: Array) -> Array:
        """What lips so far from nominal do to the profile, (zones,), log, by the map as corrected."""
        known = np.linalg.solve(self._information, self._told)
        result: Array = self.map @ gap_um + known @ (self._slopes @ gap_um)
        return result

    def row(self, gap_um: Array, read: Array) -> None:
        """One row: lips when it was laid, um from nominal, and the log of its wet profile; NaN where not seen."""
        good = np.isfinite(read)
        if np.count_nonzero(good) < 0.5 * self.zones:
            return
        fresh = self.rows == 0
        self.rows += 1
        if fresh:
            self._lip_um[:] = gap_um
            self._last_um, self._mirror_um = gap_um.copy(), -gap_um
        self._follow_lips(gap_um)
        base_um = self._lip_um[self.common]
        ways = np.concatenate((-base_um[None, :], -gap_um[None, :] - base_um[None, :], self._lip_um - base_um[None, :]))
        shared = self._slopes @ base_um
        read = np.where(good, read - read[good].mean(), 0.0)
        found = read - self.map @ base_um
        if fresh:
            self._level, self._ways, self._shared, self._moved = found, ways, shared, base_um
            return
        surprise, news = found - self._level, ways - self._ways
        shared_news, moved_um = shared - self._shared, base_um - self._moved
        self._level = self._level + self._follow * np.where(good, surprise, 0.0)
        self._ways += self._follow * news
        self._shared = self._shared + self._follow * shared_news
        self._moved = self._moved + self._follow * moved_um
        self._judge(np.where(good, surprise, 0.0), good, news, shared_news, moved_um)
        self.way_um += np.abs(gap_um - self._last_um)
        self._last_um = gap_um.copy()

    def _follow_lips(self, gap_um: Array) -> None:
        """Play drags, sticking jumps."""
        widths = WIDTHS_UM.size
        half = 0.5 * WIDTHS_UM[:, None]
        loose = self._lip_um[:widths]
        np.clip(loose, gap_um - half, gap_um + half, out=loose)
        stuck = self._lip_um[widths:]
        wish = np.clip(stuck, gap_um - 0.5 * self._own_um, gap_um + 0.5 * self._own_um)
        jumps = np.abs(wish - stuck) >= STICKS_UM[:, None]
        stuck[jumps] = wish[jumps]

    def _judge(self, surprise: Array, good: Array, news: Array, shared_news: Array, moved_um: Array) -> None:
        doubt = self._noise2 + MISMATCH**2 * ((self.map**2) @ moved_um**2)
        weight = good / doubt
        known = np.linalg.solve(self._information, self._told)
        explained = surprise - known @ shared_news
        shared_weight = SHARED_WORTH * weight
        self._information = SHARED_KEPT * self._information + (shared_news * shared_weight) @ shared_news.T
        self._information += (1.0 - SHARED_KEPT) * np.diag(SHARED_SIGMA**-2.0)
        self._told = SHARED_KEPT * self._told + shared_news @ (shared_weight * surprise)
        level2 = float(np.median(explained**2)) / MEDIAN2
        self._noise2 += 0.02 * (max(level2, self._floor) - self._noise2)
        bound = BOUND_SIGMAS * np.sqrt(doubt)
        explained = np.minimum(np.maximum(explained, -bound), bound)
        white = self._neighbours.whiten * (good / np.sqrt(doubt))
        seen = white @ self.map
        against, norm = seen.T @ (white @ explained), (seen**2).sum(axis=0)
        self._neighbours.seen(explained * np.sqrt(weight), self.rows)
        gains = (1.0 - WELL) * news * against - 0.5 * (1.0 - WELL**2) * news**2 * norm
        before = self.ratios
        self.ratios = np.clip(KEPT * before + self._worth(explained) * gains, 0.0, MOST)
        suspect = self.ratios[:2].max(axis=0) > 0.0
        self.answered = np.where(suspect, KEPT * self.answered + news[0] * against, 0.0)
        self.asked = np.where(suspect, KEPT * self.asked + news[0] ** 2 * norm, 0.0)
        together = news[2:] @ self.map.T
        total = together @ (weight * explained) - 0.5 * (together**2) @ weight
        self._totals = KEPT * self._totals + total
        self._choose_common()

    def _worth(self, surprise: Array) -> float:
        """How much a row tells that the row before did not: surprises that are alike count for less."""
        scale = float(np.median(np.abs(surprise)) * np.median(np.abs(self._before))) / MEDIAN2
        if scale > 0.0:
            alike = float(np.mean(np.clip(surprise * self._before / scale, -4.0, 4.0)))
            self._alike += 0.02 * (min(max(alike, -0.9), 0.9) - self._alike)
        self._before = surprise
        alike = max(self._alike, 0.0)
        return (1.0 - alike) / (1.0 + alike)

    def _choose_common(self) -> None:
        """The width of play that explains all bolts best; sticking of all of them against that."""
        allowed = np.count_nonzero(WIDTHS_UM <= COMMON_MOST_UM)
        best = int(self._totals[:allowed].argmax())
        if best != self.common and self._totals[best] > self._totals[self.common] + 8.0:
            self._totals -= self._totals[best]
            apart = self._ways[2 + best].copy()
            self._ways -= apart
            self._level = self._level - self.map @ apart
            self.common = best
        sticking = self._totals[WIDTHS_UM.size :]
        self.all_stick = float(sticking.max() - max(self._totals[: WIDTHS_UM.size].max(), 0.0))
        self.stick_um = float(STICKS_UM[sticking.argmax()])

    def dead(self) -> Array:
        """Ratio of a lip that stays, whatever the screw does."""
        return np.asarray(self.ratios[0])

    def reversed(self) -> Array:
        """Ratio of a lip that goes the other way."""
        return np.asarray(self.ratios[1])

    def missing(self) -> Array:
        """How much of a suspect bolt's way the web did not go: 1 for a dead one, 2 for a reversed one."""
        return self.answered / np.maximum(self.asked, 1e-12)

    def loose(self) -> tuple[Array, Array]:
        """The best ratio of play beyond what all have, and its width, um."""
        first = int(np.searchsorted(WIDTHS_UM, WIDTHS_UM[self.common] + GROWN_UM))
        among = self.ratios[2 + first : 2 + WIDTHS_UM.size]
        best = among.argmax(axis=0)
        return np.asarray(among.max(axis=0)), WIDTHS_UM[first + best]
