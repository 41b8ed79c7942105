"""What a forecast has to be better than: persistence, and autoregression of each zone. Both learn their spread online.

They look at the gauge that judges, as a plant's own trend would, and are given the same help with its noise.
"""

from __future__ import annotations

import numpy as np

from controller.line.description import Array, LineDescription
from evencoat.forecast.core import CHANCE_FEATURES, HORIZONS_S, NORMAL, Forecaster, Look, Rules, shipped

ORDER = 4
RIDGE = 1.0


def _plain() -> Rules:
    """Normal intervals, and chances as they are."""
    count = len(HORIZONS_S)
    chance = np.zeros((count, len(CHANCE_FEATURES)))
    chance[:, CHANCE_FEATURES.index("normal log odds")] = 1.0
    half, one = np.tile(NORMAL, (count, 1)), np.ones((count, len(NORMAL)))
    return shipped()._replace(half=half, mean_half=half, web=one, mean_web=one, chance=chance, soon=chance[0])


class Persistence(Forecaster):
    """It stays as the newest scan was. The spread is what that missed in the last ten minutes, zone by zone."""

    def __init__(self, line: LineDescription) -> None:
        super().__init__(line, _plain())

    def _expected(self, shape_x: Array, mean_x: Array) -> tuple[Array, Array]:
        now = np.zeros(self.line.zones) if self._before is None else self._before
        mean = float(now.mean())
        count = len(HORIZONS_S)
        return np.tile(now - mean, (count, 1)), np.full(count, mean)

    def _spread(self, signs: tuple[Array, Array]) -> tuple[Array, Array]:
        least = 1e-6
        return np.maximum(self._missed_long, least), np.maximum(self._mean_long, least)

    def _follow(self, horizon: int, inside: Array, mean_inside: Array, step: float) -> None:
        """Its intervals are what they are."""

    def _learn(self, horizon: int, look: Look, shape: Array, mean: float, keep: float) -> None:
        """Nothing to learn but the spread."""

    def _renew(self) -> None:
        """Nor any weights."""


class Autoregression(Persistence):
    """AR(4) of each zone's scans, straight to each horizon, with a constant, fitted to scans that fade as ours do."""

    def __init__(self, line: LineDescription) -> None:
        super().__init__(line)
        count, terms = len(HORIZONS_S), ORDER + 1
        self._squares = np.zeros((count, line.zones, terms, terms))
        self._sums = np.zeros((count, line.zones, terms))
        self._fit = np.zeros((count, line.zones, terms))
        self._past: list[Array] = []

    def _regressors(self) -> Array:
        """(zones, terms): the newest scans, and one."""
        past = self._past[-ORDER:]
        nothing = np.zeros(self.line.zones)
        return np.column_stack([*reversed(past), *[nothing] * (ORDER - len(past)), np.ones(self.line.zones)])

    def _expected(self, shape_x: Array, mean_x: Array) -> tuple[Array, Array]:
        whole = np.einsum("hzt,zt->hz", self._fit, self._regressors())
        mean = whole.mean(axis=1)
        return whole - mean[:, None], mean

    def _features(self, cycle: object, fused: Array) -> tuple[Array, Array]:
        shape, mean = super()._features(cycle, fused)  # type: ignore[arg-type]
        return np.column_stack((shape, self._regressors())), mean

    def _learn(self, horizon: int, look: Look, shape: Array, mean: float, keep: float) -> None:
        own = look.shape_x[:, -ORDER - 1 :]
        self._squares[horizon] = keep * self._squares[horizon] + own[:, :, None] * own[:, None, :]
        self._sums[horizon] = keep * self._sums[horizon] + own * (shape + mean)[:, None]

    def _renew(self) -> None:
        if self._before is not None:
            self._past = [*self._past[-ORDER:], self._before]
        if self._scans % 5 == 0:
            ridge = RIDGE * np.eye(ORDER + 1)
            self._fit[:] = np.linalg.solve(self._squares + ridge, self._sums[..., None])[..., 0]
