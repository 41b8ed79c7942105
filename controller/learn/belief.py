"""The belief plant: what training takes a line's mean to do, with lips and pump at rest. Numbers and arrays, no physics
of lips.

A world is drawn whole: description and truth of one line, and what happens to it. `watched` then says what its gauges
and its pressure sensor would tell the controller, cycle by cycle. Mechanisms, in logs of areal density over target:

- pre-metering makes the mean of the film what the pump delivers: slip that drifts (first-order), now and then a step of
  it, the stator's pulse, an error of calibration; the dry web has the slurry's solids on top;
- a batch brings its own solids, consistency and flow index, mixed with the last one in one to three stirred tanks in
  series, or along a logistic front;
- ln P = n ln Q + ln K + n ln(shear rate): the pressure shows slip and pulse at once, and every change of rheology.

It shares nothing with any other plant, so that what is learnt here has to stand elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from controller.learn import families
from controller.learn.families import CYCLE_S, stream
from controller.line.description import Array, LawName, LineDescription

IntArray = npt.NDArray[np.int64]

PULSE_SECOND = 0.4  # of the stator's second harmonic, of the first's amplitude
RAMP_S = 4.0  # within which the pump steps
ZONES = 8  # enough for the mean


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """One line and all that happens to it, by control cycle, (cycles,). Logs, but where a unit is named.

    film, dry: log of the mean of the web that leaves the die in a cycle, as film and as dry areal density; pulse: the
    pump's part of both; brought: the batches' part of dry. batch: the name that the line says; levels (batches,) of
    each one's solids. shape (cycles, zones): the profile, factors of mean 1. numbers: what all was drawn as.
    """

    family: str
    seed: int
    line: LineDescription
    numbers: Mapping[str, float]
    film: Array
    dry: Array
    pulse: Array
    pressure_log: Array
    brought: Array
    batch: IntArray
    levels: Array
    shape: Array

    @property
    def cycles(self) -> int:
        return int(self.film.size)

    @property
    def web_m(self) -> Array:
        """Web that has left the die at the end of each cycle, m."""
        web_m: Array = self.line.web_speed_mps * CYCLE_S * np.arange(1.0, self.cycles + 1.0)
        return web_m


def draw(family: str, seed: int, minutes: float, law: LawName = LawName.ADAPTIVE) -> World:
    """A line of a family. The same family, seed and minutes give the same bytes. Raises KeyError for no family."""
    n, cycles = families.numbers(family, seed), round(60.0 * minutes / CYCLE_S)
    pulse = _pulse(n, seed, cycles)
    sign = 1.0 if stream(seed, "offset").random() < 0.5 else -1.0
    offset = 0.01 * sign * n["offset_pct"]
    slip = drift(seed, "slip", 0.01 * n["slip_pct"], n["slip_s"], cycles) + _stepped(n, seed, cycles)
    film = slip + pulse + offset * n["offset_of_pump_share"]
    solids = drift(seed, "solids", 0.01 * n["solids_pct"], n["solids_s"], cycles)
    batch, levels, level, consistency, index = _batches(n, seed, cycles)
    flow_index = n["flow_index"] + n["flow_index_off"] + index
    rheology = drift(seed, "rheology", 0.01 * n["rheology_pct"] * n["flow_index"], n["rheology_s"], cycles)
    return World(
        family=family,
        seed=seed,
        line=families.described(family, seed, n, ZONES, law),
        numbers=n,
        film=film,
        dry=film + solids + level + offset * (1.0 - n["offset_of_pump_share"]),
        pulse=pulse,
        pressure_log=flow_index * (film + n["shear_log"]) + consistency + rheology,
        brought=level,
        batch=batch,
        levels=levels,
        shape=_shape(n, seed, cycles),
    )


def drift(seed: int, name: str, size: float, tau_s: float, cycles: int) -> Array:
    """A first-order process in its stationary state."""
    keep = math.exp(-CYCLE_S / tau_s)
    drawn = size * stream(seed, "drift", name).standard_normal(cycles)
    drawn[1:] *= math.sqrt(1.0 - keep * keep)
    return np.array(list(accumulate(drawn.tolist(), lambda before, new: keep * before + new)), dtype=np.float64)


def _pulse(n: Mapping[str, float], seed: int, cycles: int) -> Array:
    """Mean of the stator's pulse and its double over each cycle; of n['pulse_pct'] standard deviation before that."""
    turn = 2.0 * math.pi * n["pulse_hz"] * CYCLE_S
    at = 2.0 * math.pi * float(stream(seed, "phase").random()) + turn * np.arange(cycles + 1)
    first, second = np.diff(np.sin(at)) / turn, np.diff(np.sin(2.0 * at)) / (2.0 * turn)
    size = 0.01 * n["pulse_pct"] * math.sqrt(2.0 / (1.0 + PULSE_SECOND**2))
    pulse: Array = size * (first + PULSE_SECOND * second)
    return pulse


def _stepped(n: Mapping[str, float], seed: int, cycles: int) -> Array:
    """The pump slips once by a step, on some lines."""
    rng = stream(seed, "step")
    happens, at, sign = rng.random() < n["step_share"], rng.uniform(0.2, 0.9) * cycles, rng.choice((-1.0, 1.0))
    if not happens:
        return np.zeros(cycles)
    ramp = np.clip((np.arange(cycles) - at) * (CYCLE_S / RAMP_S), 0.0, 1.0)
    stepped: Array = 0.01 * float(sign) * n["step_pct"] * ramp
    return stepped


def _batches(n: Mapping[str, float], seed: int, cycles: int) -> tuple[IntArray, Array, Array, Array, Array]:
    """(name, level of each batch; solids, ln K and flow index by cycle) of all batches, each mixing with the last."""
    rng, t_s = stream(seed, "batches"), CYCLE_S * np.arange(cycles, dtype=np.float64)
    walks = rng.random() < n["batch_walks_share"]
    size = 0.01 * n["batch_pct"]
    now = np.array([0.0 if walks else n["batch_first_share"] * size * rng.standard_normal(), 0.0, 0.0])
    name, course, levels = np.ones(cycles, dtype=np.int64), np.tile(now[:, None], cycles), [float(now[0])]
    low, high = sorted((n["batch_first_s"], 0.5 * n["batch_every_s"]))
    onset_s = float(rng.uniform(low, high))
    while onset_s < t_s[-1]:
        drawn = rng.standard_normal(3) * (size, n["batch_rheology_log"], n["batch_flow_index"])
        new = drawn + np.array([now[0] - 0.3 * drawn[0], 0.0, 0.0]) if walks else drawn
        course += (new - now)[:, None] * _front(rng, n, t_s - onset_s)
        name += t_s >= onset_s
        now = new
        levels.append(float(now[0]))
        onset_s += n["batch_every_s"] * rng.uniform(0.7, 1.3)
    return name, np.array(levels), course[0] - levels[0], course[1], course[2]


def _front(rng: np.random.Generator, n: Mapping[str, float], since_s: Array) -> Array:
    """How much of a new batch is there so long after it was named: tanks in series, or a logistic front."""
    low, high = families.RANGES["front_s"]
    length_s = math.exp(rng.uniform(math.log(low), math.log(high)))
    kind = int(rng.integers(4))
    since = np.maximum(since_s, 0.0) / length_s
    if kind == 3:
        logistic: Array = 1.0 / (1.0 + np.exp(-np.clip(8.0 * (since - 0.55), -50.0, 50.0)))
        begin = 1.0 / (1.0 + math.exp(8.0 * 0.55))
        there: Array = np.where(since_s > 0.0, (logistic - begin) / (1.0 - begin), 0.0)
        return there
    turns = (3.22, 5.0, 6.55)[kind] * since  # 96 % after the length, in one, two or three tanks
    left = np.exp(-turns) * (1.0, 1.0 + turns, 1.0 + turns + 0.5 * turns * turns)[kind]
    mixed: Array = 1.0 - left
    return mixed


def _shape(n: Mapping[str, float], seed: int, cycles: int) -> Array:
    """Profile at each cycle, (cycles, zones): bow, tilt and two waves, at rest and drifting; factors of mean 1."""
    rng = stream(seed, "shape")
    across = (np.arange(ZONES) + 0.5) / ZONES
    waves = np.cos(math.pi * np.outer(np.arange(1, 5), across)) * np.array([1.0, 0.8, 0.6, 0.4])[:, None]
    waves *= 1.0 / np.sqrt((waves * waves).sum(axis=0).mean())
    still = 0.01 * n["static_pct"] * rng.standard_normal(4)
    coarse = max(cycles // 20, 2)  # drifts of minutes need no look at every cycle
    drifts = np.array([drift(seed, f"shape-{i}", 0.01 * n["cd_pct"], n["cd_s"] / 20.0, coarse + 1) for i in range(4)])
    along = np.linspace(0.0, coarse, cycles)
    moved = np.array([np.interp(along, np.arange(coarse + 1), drift) for drift in drifts])
    factors = np.exp((still[:, None] + moved).T @ waves)
    profile: Array = factors / factors.mean(axis=1, keepdims=True)
    return profile
