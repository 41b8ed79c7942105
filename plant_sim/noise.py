"""Random numbers by name: every disturbance, gauge and drawn parameter has a stream of its own.

A stream is a pure function of (seed, name, row): rows are drawn in blocks, each block from its own spawned generator,
so nothing needs a generator's state, any row can be asked again, and adding a stream changes no other. Imported inside
plant_sim only.
"""

from __future__ import annotations

from enum import StrEnum
from zlib import crc32

import numpy as np

from controller.line.description import Array

BLOCK_ROWS = 256
SINGLE_THREAD_PRODUCT = 200_000  # larger matrix products wake BLAS's threads, which then spin for milliseconds


class Law(StrEnum):
    """Distribution of a stream's numbers."""

    NORMAL = "normal"  # mean 0, standard deviation 1
    UNIFORM = "uniform"  # 0..1


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that belongs to this seed and these names alone (PCG64 behind a spawned SeedSequence)."""
    key = tuple(name if isinstance(name, int) else crc32(name.encode()) for name in names)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


class NoiseStream:
    """Rows of random numbers, shape (width,), asked for by their index.

    `mix` (width, knots), when given, turns `knots` independent numbers into `width` correlated ones.
    The block last used is kept; that memory is invisible, since a row depends on seed, name and index only.
    """

    __slots__ = ("_block", "_law", "_mix", "_name", "_rows", "_seed", "_width")

    def __init__(self, seed: int, name: str, width: int = 1, *, mix: Array | None = None, law: Law = Law.NORMAL):
        self._seed = seed
        self._name = name
        self._width = width
        self._mix = mix
        self._law = law
        self._block = -1
        self._rows: Array = np.empty((0, width))

    def row(self, index: int) -> Array:
        """Row `index` (>= 0), shape (width,), read-only."""
        block, within = divmod(index, BLOCK_ROWS)
        if block != self._block:
            self._rows = self._drawn(block)
            self._block = block
        row: Array = self._rows[within]
        return row

    def value(self, index: int) -> float:
        """Row `index` of a stream of width 1, as a plain number."""
        return float(self.row(index)[0])

    def _drawn(self, block: int) -> Array:
        rng = generator(self._seed, self._name, block)
        knots = self._width if self._mix is None else self._mix.shape[1]
        rows = rng.random((BLOCK_ROWS, knots)) if self._law is Law.UNIFORM else rng.standard_normal((BLOCK_ROWS, knots))
        if self._mix is not None:
            rows = _mixed(rows, self._mix)
        rows.flags.writeable = False
        return rows


def _mixed(rows: Array, mix: Array) -> Array:
    """rows @ mix.T in pieces that one thread does; the same bytes whatever the number of threads."""
    piece = max(1, SINGLE_THREAD_PRODUCT // mix.size)
    return np.concatenate([rows[i : i + piece] @ mix.T for i in range(0, len(rows), piece)])


def smooth_mix(positions: Array, correlation_length: float) -> Array:
    """Matrix (positions, knots) that makes unit-variance noise with correlation exp(-(d/length)^2) along `positions`.

    White noise on a grid of knots seen through a Gaussian window of standard deviation length/2; the window's
    auto-correlation is the wanted one. Positions and length share a unit.
    """
    window = correlation_length / 2.0
    spacing = window  # wide enough: the sum over knots is even to 1e-8
    reach = 4.0 * window
    knots = np.arange(positions.min() - reach, positions.max() + reach + spacing, spacing)
    weights = np.exp(-0.5 * ((positions[:, None] - knots[None, :]) / window) ** 2)
    mix: Array = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    return mix
