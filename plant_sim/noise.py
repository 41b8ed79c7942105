"""Random numbers by name: every disturbance, gauge and drawn parameter has a stream of its own.

What is drawn once, for a truth, comes from numpy generators by name. What is drawn in every step comes from streams
that are pure functions of (seed, name, row): a 64-bit counter through SplitMix64's mixer, whose halves make a pair of
normal numbers by Box and Muller (out to 6.7 standard deviations). So nothing needs a generator's state, any row can be
asked again, and adding a stream changes no other. Imported inside plant_sim only.

Source of the mixer: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
"""

from __future__ import annotations

import math
from typing import Any
from zlib import crc32

import numpy as np

from controller.line.description import Array
from plant_sim.compiled import as_float, compiled, ln, polynomial

_U = np.uint64
_GOLDEN = _U(0x9E3779B97F4A7C15)
_FIRST, _SECOND = _U(0xBF58476D1CE4E5B9), _U(0x94D049BB133111EB)
_BY_30, _BY_27, _BY_31, _BY_12 = _U(30), _U(27), _U(31), _U(12)
_ONE = _U(0x3FF0000000000000)
_BY_32, _LOW = _U(32), _U(0xFFFFFFFF)
_TWO_52, _TWO_52_VALUE = _U(0x4330000000000000), 2.0**52
_HALF_BELOW_2_52 = 2.0**52 - 0.5  # so that no radius is that of nothing
_TO_UNIT = 2.0**-32
# Least largest error over a quarter's square: cos(2 pi sqrt(z)) to 1.2e-10, sin(2 pi sqrt(z))/sqrt(z) to 4.4e-11.
_cosine = polynomial(
    0.9999999998846177, -19.73920874308773, 64.93938905248876, -85.45665775366736, 60.242124930672276,
    -26.404630620590822, 7.8000222125709575, -1.4529875452477699
)  # fmt: skip
_sine_over = polynomial(
    6.2831853071363515, -41.341702218258554, 81.60524741403077, -76.70580003163633, 42.05775187640783,
    -15.086552699921647, 3.7812823478863007, -0.6207369744067331
)  # fmt: skip
TAPS = 9  # knots that one place of a smooth stream hears


def _spawned(seed: int, names: tuple[str | int, ...]) -> np.random.SeedSequence:
    key = tuple(name if isinstance(name, int) else crc32(name.encode()) for name in names)
    return np.random.SeedSequence(seed, spawn_key=key)


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """A generator that belongs to this seed and these names alone (PCG64 behind a spawned SeedSequence)."""
    return np.random.Generator(np.random.PCG64(_spawned(seed, names)))


def stream(seed: int, *names: str | int) -> np.uint64:
    """The key of a stream of rows that belongs to this seed and these names alone."""
    return _spawned(seed, names).generate_state(1, np.uint64)[0]


@compiled
def _mixed(x: Any) -> Any:
    x = (x ^ (x >> _BY_30)) * _FIRST
    x = (x ^ (x >> _BY_27)) * _SECOND
    return x ^ (x >> _BY_31)


@compiled
def _unit(x: Any) -> float:
    """52 bits as a number within [0, 1)."""
    return as_float((x >> _BY_12) | _ONE) - 1.0


@compiled
def uniforms(key: Any, row: int, out: Array) -> None:
    """Fill `out` with row `row` (>= 0) of a stream: numbers within [0, 1)."""
    base = key + _U(row) * _U(out.size) * _GOLDEN
    for i in range(out.size):
        out[i] = _unit(_mixed(base + _U(i) * _GOLDEN))


@compiled
def _cosine_of_turn(w: float) -> float:
    """cos(2 pi w) for |w| <= 1/2, to 2e-10."""
    return _cosine(w * w)


@compiled
def _sine_of_turn(w: float) -> float:
    """sin(2 pi w) for |w| <= 1/2, to 1e-10."""
    return _sine_over(w * w) * w


@compiled
def _radius(x: Any) -> float:
    """Box and Muller's distance from the middle, from the high half of the bits."""
    return math.sqrt(-2.0 * ln((as_float((x >> _BY_32) | _TWO_52) - _HALF_BELOW_2_52) * _TO_UNIT))


@compiled
def _turn(x: Any) -> float:
    """Box and Muller's direction within [-1/2, 1/2), from the low half of the bits."""
    return (as_float((x & _LOW) | _TWO_52) - _TWO_52_VALUE) * _TO_UNIT - 0.5


@compiled
def normals(key: Any, row: int, out: Array) -> None:
    """Fill `out` with row `row` (>= 0) of a stream: mean 0, standard deviation 1. A stream keeps one width."""
    pairs = out.size // 2
    firsts = out.size - pairs
    base = key + _U(row) * _U(firsts) * _GOLDEN
    cosines, sines = out[:pairs], out[firsts:]
    for p in range(pairs):
        x = _mixed(base + _U(p) * _GOLDEN)
        radius, turn = _radius(x), _turn(x)
        cosines[p] = radius * _cosine_of_turn(turn)
        sines[p] = radius * _sine_of_turn(turn)
    if firsts > pairs:
        x = _mixed(base + _U(pairs) * _GOLDEN)
        out[pairs] = _radius(x) * _cosine_of_turn(_turn(x))


@compiled
def normal(key: Any, row: int) -> float:
    """The number of row `row` of a stream of width 1."""
    x = _mixed(key + _U(row) * _GOLDEN)
    return _radius(x) * _cosine_of_turn(_turn(x))


@compiled
def smooth_normals(key: Any, row: int, first: Array, weights: Array, knots: Array, out: Array) -> None:
    """Row `row` of a stream correlated along its places: `out[i]` hears TAPS of the independent `knots` (scratch).

    first, weights: from smooth_taps, shapes (places,) and (places * TAPS,).
    """
    normals(key, row, knots)
    for i in range(out.size):
        at = int(first[i])
        heard = 0.0
        for tap in range(TAPS):
            heard += weights[i * TAPS + tap] * knots[at + tap]
        out[i] = heard


def smooth_taps(positions: Array, correlation_length: float) -> tuple[int, Array, Array]:
    """(knots, first, weights) that make unit-variance noise with correlation exp(-(d/length)^2) along `positions`.

    White noise on a grid of knots seen through a Gaussian window of standard deviation length/2; the window's
    auto-correlation is the wanted one. Knots stand one window apart, wide enough for an even sum to 1e-8; each place
    hears the nearest TAPS of them, out to four windows. Positions and length share a unit. Shapes (places,) and
    (places, TAPS).
    """
    window = correlation_length / 2.0
    least = float(positions.min())
    first = np.rint((positions - least) / window)
    places = least + (first[:, None] + np.arange(TAPS)[None, :] - TAPS // 2) * window
    weights = np.exp(-0.5 * ((positions[:, None] - places) / window) ** 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return int(first.max()) + TAPS, first, weights


def smooth_mix(positions: Array, correlation_length: float) -> Array:
    """The same as a matrix, (places, knots): smooth rows are it times independent ones, so their covariance is it
    times its transpose."""
    knots, first, weights = smooth_taps(positions, correlation_length)
    mix = np.zeros((positions.size, knots))
    np.put_along_axis(mix, first.astype(np.int64)[:, None] + np.arange(TAPS)[None, :], weights, axis=1)
    return mix


def smooth_row(rng: np.random.Generator, positions: Array, correlation_length: float) -> Array:
    """One draw of such noise from a generator, shape as positions."""
    knots, first, weights = smooth_taps(positions, correlation_length)
    drawn = rng.standard_normal(knots)
    row: Array = (weights * drawn[first.astype(np.int64)[:, None] + np.arange(TAPS)[None, :]]).sum(axis=1)
    return row
