"""How surprises are alike across the web, which one bolt's doing has to stand out from.

A disturbance is wider than a zone; were its zones taken for as many witnesses, some bolt of many would always seem to
have made it.
"""

from __future__ import annotations

import numpy as np

from controller.line.description import Array

LAGS = 12  # zones, so far surprises are looked at for being alike
KEPT = 0.985  # from row to row
OWN = 0.05  # of a surprise's square, that is each zone's own in any case
ROWS = 20  # after so many is the whitening worked out anew


class Alike:
    """Correlation across the web by distance alone, and what takes it off.

    whiten (zones, zones): times surprises of one size each, gives such that are no longer alike.
    """

    def __init__(self, zones: int) -> None:
        self._apart = np.abs(np.subtract.outer(np.arange(zones), np.arange(zones)))
        self._lags = np.eye(1, min(LAGS, zones - 1) + 1)[0]
        self.whiten: Array = np.eye(zones)

    def seen(self, surprise: Array, rows: int) -> None:
        """The surprises of a row, (zones,); rows: how many there were."""
        zones, lags = surprise.size, self._lags.size
        products = np.correlate(surprise, surprise, "full")[zones - 1 : zones - 1 + lags]
        level2 = max(float(products[0]), 1e-12)
        self._lags += (1.0 - KEPT) * (products / level2 - self._lags)
        if rows % ROWS == 0:
            tapered = np.append(self._lags * (1.0 - np.arange(lags) / lags), 0.0)
            alike = tapered[np.minimum(self._apart, lags)] + OWN * np.eye(zones)
            self.whiten = np.linalg.inv(np.linalg.cholesky(alike / (1.0 + OWN)))
