"""What the machine allows: bytes and floating point operations of one line-step against measured bandwidth and peak.

Counted, not sampled: from zones N, lanes L, boxes and how many bolts move, one term a line of plant_sim.step. A bound
to be read with its simplifications: index arithmetic, integer mixing of random numbers and calls are free, every number
is fetched from memory once a step and none stays in a cache. Imported by the benchmark.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numba
import numpy as np

from controller.line.description import Array
from plant_sim.noise import TAPS
from plant_sim.truth import Truth

LN, EXP, NORMAL = 34, 36, 34  # operations of plant_sim.compiled.ln and exp, and of one number of plant_sim.noise
DRIFT_EVERY_S = 1.0
BAND_BYTES, PEAK_NUMBERS, PEAK_TERMS = 64 * 2**20, 1024, 16


@dataclass(frozen=True, slots=True)
class Work:
    """Of one line-step."""

    operations: float
    bytes: float


def work_of(truth: Truth, moving_bolts: float, dt_s: float) -> Work:
    """Count a line-step in which this many lips move.

    Operations: L (2 ln + 2 exp + 30 for opening, split, pressure, drifts and coating) + 2 L a moving bolt + 10 N, one
    normal number a lane every 0.1 s, 10 and a normal number a box and wet scan, 10 + ln + exp and a normal number a box
    and dry scan, 2 (2 TAPS + 3) L and 2 knots every second. Bytes, 8 a number: 13 reads and 5 writes a lane (opening,
    unevenness, compliance, droop, base, answer, four ends of drifts, web read twice, row in the making; opening, base,
    answer, coating, web), a row of the response a moving bolt, 8 a zone, 5 a box and scan.
    """
    lanes, zones = truth.lanes, truth.zones
    assert truth.wet is not None and truth.dry is not None
    wet, dry = truth.wet.boxes * dt_s / truth.wet.period_s, truth.dry.boxes * dt_s / truth.dry.period_s
    knots = 2.0 * zones / truth.drifts.slow_cd_zones + TAPS
    operations = lanes * (2 * LN + 2 * EXP + 30) + 2 * lanes * moving_bolts + 10 * zones
    operations += lanes * NORMAL * dt_s / 0.1 + wet * (10 + NORMAL) + dry * (10 + LN + EXP + NORMAL)
    operations += 2.0 * ((2 * TAPS + 3) * lanes + NORMAL * knots) * dt_s / DRIFT_EVERY_S
    numbers = 18 * lanes + lanes * moving_bolts + 8 * zones + 5 * (wet + dry)
    return Work(float(operations), 8.0 * float(numbers))


def bandwidth_bytes_per_s(repeats: int = 7) -> float:
    """Best of several copies of a big array, reads and writes counted."""
    source, target = np.ones(BAND_BYTES // 8), np.zeros(BAND_BYTES // 8)
    return 2.0 * BAND_BYTES / min(_timed(lambda: np.copyto(target, source)) for _ in range(repeats))


def peak_operations_per_s(repeats: int = 7) -> float:
    """Best of several polynomials by Horner over an array that lies in the first cache, strict as the step is."""
    x, out = np.linspace(0.1, 0.9, PEAK_NUMBERS), np.zeros(PEAK_NUMBERS)
    _horner(x, out, 1)
    rounds = 1000
    best_s = min(_timed(lambda: _horner(x, out, rounds)) for _ in range(repeats))
    return 2.0 * PEAK_TERMS * PEAK_NUMBERS * rounds / best_s


@numba.njit(error_model="numpy")  # type: ignore[untyped-decorator]
def _horner(x: Array, out: Array, rounds: int) -> None:
    for _ in range(rounds):
        for i in range(x.size):
            y, p = x[i], out[i]
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            p = p * y + 0.25
            out[i] = p


def _timed(call: object) -> float:
    began = time.perf_counter()
    call()  # type: ignore[operator]
    return time.perf_counter() - began
