"""Each gauge by its own scans: silent, frozen, blind in a part, noisier than it was."""

from __future__ import annotations

import math

import numpy as np

from controller.line.description import Array, BoolArray, GaugeDescription

LEARN_SCANS = 60
FROZEN_SCANS = 3
BLIND_S, NOISY_S = 4.0, 15.0
PAST_SCANS = 4  # one after another: a box that is spoilt now and then is none that looks past the web
PAST_SHARE = 0.05  # of the web that a gauge looks past at most; one that sees less of it is blind there
ALL_SHARE = 1.5  # of what it looks past, that it misses in whole at most


class Health:
    """One gauge."""

    def __init__(self, gauge: GaugeDescription, zones: int, stale_periods: int) -> None:
        self._period_s, self._patience_s = gauge.period_s, max(stale_periods, 3) * gauge.period_s
        across = np.linspace(-1.0, 1.0, zones)
        basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(across, 2))
        self._smooth = basis
        self.silent_s = 0.0
        self.seen = False
        self.same = 0
        self.blind = np.zeros(zones)
        self.missing = 0.0
        self.noise2, self.usual2 = 0.0, math.nan
        self._scans = 0
        self._last: Array | None = None
        self._boxes = gauge.boxes
        self._past, self._past_scans = 0.0, 0
        self._floor2 = (gauge.noise_pct / 100.0) ** 2 / max(gauge.boxes / zones, 1.0)

    def pass_by(self, dt_s: float) -> None:
        """A cycle without a scan."""
        self.silent_s += dt_s

    def scan(self, share: Array, valid_share: float, past_boxes: float = 0.0) -> None:
        """One scan over target, the share of its boxes that were valid, and how many of those that were not hang
        together from the right edge, or less than none from the left."""
        self.silent_s, self.seen = 0.0, True
        good = share > 0.0
        keep = math.exp(-self._period_s / BLIND_S)
        self.blind = keep * self.blind + (1.0 - keep) * ~good
        self.missing = keep * self.missing + (1.0 - keep) * (1.0 - valid_share)
        self._past = keep * self._past + (1.0 - keep) * past_boxes
        self._past_scans = self._past_scans + 1 if past_boxes * self._past > 0.0 else 0
        if self._last is not None and self._last.shape == share.shape:
            both = good & (self._last > 0.0)
            count = int(np.count_nonzero(both))
            if count > 6:
                self._changed(np.log(np.where(both, share, 1.0) / np.where(both, self._last, 1.0)), both, count)
        self._last = share

    def _changed(self, change: Array, both: BoolArray, count: int) -> None:
        if not change.any():
            self.same += 1
            return
        self.same = 0
        change = np.where(both, change - change[both].mean(), 0.0)
        change = change - self._smooth @ (self._smooth.T @ change)
        square = 0.5 * float(change @ change) / max(count - 3, 1)
        self._scans += 1
        usual = self.usual2
        if math.isnan(usual):
            self.usual2 = self.noise2 = square
            return
        share = 1.0 - math.exp(-self._period_s / NOISY_S)
        self.noise2 += share * (min(square, 20.0 * usual) - self.noise2)
        learn = max(1.0 / self._scans, 0.004)
        self.usual2 = usual + learn * (min(square, (20.0 if self._scans < LEARN_SCANS else 2.0) * usual) - usual)

    @property
    def patience(self) -> float:
        """How long it has been silent, in what may be."""
        return self.silent_s / self._patience_s if self.seen else 0.0

    @property
    def past_share(self) -> float:
        """How much of the web's width it looks past, on the right or (less than 0) the left; 0 where it is blind in
        other places as well, or in so wide a part that it is no place beside its own."""
        boxes = round(self._past) if self._past_scans >= PAST_SCANS else 0
        few = abs(boxes) <= max(PAST_SHARE * self._boxes, 1.0)
        return boxes / self._boxes if few and self.missing < ALL_SHARE * abs(boxes) / self._boxes else 0.0

    @property
    def noisy(self) -> float:
        """Noise of late over the usual, as a ratio of squares."""
        return self.noise2 / max(self.usual2, 1e-12) if self._scans > LEARN_SCANS else 1.0
