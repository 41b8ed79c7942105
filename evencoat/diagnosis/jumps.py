"""Lips that stick: steps of single lips, each of about one size, that their screws had led up to.

A lip that sticks stays until its screw is so far ahead, and then jumps. The web shows a step then, as wide as a lip's
own mark, out of rows that were even: nothing else does that in many places, at different times, and each time the way
that the screw had gone. How far a lip lags its screw is not followed, for one jump missed would spoil all that comes
after: it is enough that the screw has gone far enough that way within some minutes.

Each step found is worth the log of its likelihood under "now and then a jump" over "never"; they add up as a CUSUM.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from controller.line.description import Array
from evencoat.diagnosis.alike import Alike
from evencoat.diagnosis.steps import MEDIAN2

ROWS = 5  # that are compared with as many before them
SIZES_UM = np.array([2.0, 3.0, 4.5, 6.5, 10.0])
LED_ROWS = 200  # so far back has the screw to have gone as far as a jump
JUMPS_SHARE = 0.005  # of zones and rows in which a screw has led so far, that see a jump
ANEW = 1.5 / ROWS  # of what a row says, that the rows before did not: steps overlap
ROW_MOST, STEP_MOST = 1.5, 4.0 * ANEW  # nats: a step of the whole web at once is no sticking, nor is one large step
KEPT = 0.998  # from row to row
MOVING = 0.5  # of what a lip goes within the rows looked at, that the map may be wrong by
LEARNT = 0.02
RESTLESS = 4.0  # times the usual square of a step, that the web's middling zone may have: more is the whole web's doing
BOUND_SIGMAS = 4.0
FROM_ROW = 60


class Jumps:
    """One line's lips. effect (zones, zones): what a micrometre of each does to the log of the profile; play_um: that
    they have by the line's description, both ways together."""

    def __init__(self, effect: Array, play_um: float) -> None:
        zones = effect.shape[0]
        self._effect, self._alike, self._half_um = effect, Alike(zones), 0.5 * play_um
        self._lip_um: Array = np.zeros(0)
        self._rest: deque[Array] = deque(maxlen=2 * ROWS)
        self._gap: deque[Array] = deque(maxlen=LED_ROWS)
        self._level2, self._scale, self._rows = 0.0, 1.0, 0
        self._evidence = np.zeros((SIZES_UM.size, zones))
        self.nats, self.size_um = 0.0, float(SIZES_UM[0])

    def row(self, gap_um: Array, read: Array, sound: bool = True, steady: bool = True) -> None:
        """Screws of a row, um from nominal, and the log of its profile, NaN where not seen; (zones,). sound: whether
        the gauge is; what one that is not has said of late is no evidence. steady: whether the rows were laid at one
        speed; another bends the profile by the pressure."""
        good = np.isfinite(read)
        if not sound:
            self._evidence[:] = 0.0
            self.nats = 0.0
        sound = sound and steady
        if not sound:
            self._rest.clear()
        if not sound or np.count_nonzero(good) < 0.5 * read.size:
            return
        before_um = self._lip_um if self._lip_um.size else gap_um
        self._lip_um = np.clip(before_um, gap_um - self._half_um, gap_um + self._half_um)
        self._rest.append(np.where(good, read - read[good].mean(), np.nan) - self._effect @ self._lip_um)
        self._gap.append(gap_um)
        self._rows += 1
        if len(self._rest) < 2 * ROWS:
            return
        rest = np.array(self._rest)
        step = np.nan_to_num(rest[ROWS:].mean(axis=0) - rest[:ROWS].mean(axis=0))
        level2 = float(np.median(step**2)) / MEDIAN2
        restless = level2 > RESTLESS * self._level2
        lip_step_um, variance_um2 = self._matched(step, level2)
        if self._rows >= FROM_ROW and not restless:
            moved_um = gap_um - self._gap[-2 * ROWS]
            self._add_up(gap_um, lip_step_um, variance_um2 + (MOVING * moved_um) ** 2)

    def _matched(self, step: Array, level2: float) -> tuple[Array, Array]:
        """How far each lip would have gone for such a step, um, and the variance of that: a matched filter."""
        self._level2 += LEARNT * (min(level2, RESTLESS * self._level2) - self._level2) if self._level2 else level2
        sigma = max(self._level2, 1e-12) ** 0.5
        white = self._alike.whiten / sigma
        seen = white @ self._effect
        norm = (seen**2).sum(axis=0)
        lip_step_um = seen.T @ (white @ step) / norm
        self._alike.seen(np.clip(step, -BOUND_SIGMAS * sigma, BOUND_SIGMAS * sigma), self._rows)
        scale = float(np.median(lip_step_um**2 * norm)) / MEDIAN2
        self._scale += LEARNT * (min(scale, RESTLESS * self._scale) - self._scale)
        return lip_step_um, max(self._scale, 0.3) / norm

    def _add_up(self, gap_um: Array, lip_step_um: Array, variance_um2: Array) -> None:
        """Each size by itself; what the strongest zone and its neighbours have is one bolt's matter, not the die's."""
        gone = np.array(self._gap)
        news = np.zeros_like(self._evidence)
        for way, led_um in ((1.0, gap_um - gone.min(axis=0)), (-1.0, gone.max(axis=0) - gap_um)):
            size = SIZES_UM[:, None]
            odds = np.minimum((way * lip_step_um - 0.5 * size) * size / variance_um2, 50.0)
            worth = np.log1p(JUMPS_SHARE * np.expm1(odds))
            news += np.where(led_um >= size, np.minimum(ANEW * worth, STEP_MOST), 0.0)
        total = news.sum(axis=1, keepdims=True)
        news *= ROW_MOST / np.maximum(total, ROW_MOST)
        self._evidence = KEPT * self._evidence + news
        self._evidence[self._evidence.sum(axis=1) < 0.0] = 0.0
        beside = np.pad(self._evidence, ((0, 0), (1, 1)))
        strongest = (beside[:, :-2] + beside[:, 1:-1] + beside[:, 2:]).max(axis=1)
        nats = self._evidence.sum(axis=1) - strongest
        self.nats, self.size_um = float(nats.max()), float(SIZES_UM[int(nats.argmax())])
