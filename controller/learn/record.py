"""What the estimate and the foresight make of a belief plant: the material that the network learns from.

One line is one file: once a second what the network would be shown, what was believed, and what was true. A file is a
pure function of its task, so files that are there are used again, and it makes no difference who wrote them.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from controller.core import batches, estimate, foresight, kalman, law, network, response
from controller.core.estimate import EstimateState, Estimator
from controller.core.network import Network
from controller.learn import belief, families, sensing
from controller.learn.belief import World
from controller.learn.families import CYCLE_S
from controller.line.description import Array, BoolArray, LawName, LineDescription

SEEDS = 20_000  # lines of one training, one half held out
VERSION = 1  # of a file; change it when the same task gives other numbers
KEPT_S = 1.0  # from sample to sample
SETTLING = 1.5  # dead times, and
SETTLING_S = 60.0  # that pass until a line is judged: before, nobody can know its level


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """One line, every KEPT_S: percent of areal density, (samples,), but where another shape stands.

    taps (samples, MEAN_TAPS), context (samples, MEAN_CONTEXT): of the head `mean`; believed: of the web now at the die;
    whole, correction: what the network would add, and what it may; true: what it is, without the pump's pulse; pulse;
    live: whether it counts. batch_taps (announcements, BATCH_TAPS), batch_context (announcements, BATCH_CONTEXT) and
    batch_step (announcements,): the head `batch`. seconds: near, far, filter of the film, of the level, and of the law.
    """

    taps: Array
    context: Array
    believed: Array
    whole: Array
    correction: Array
    true: Array
    pulse: Array
    live: BoolArray
    batch_taps: Array
    batch_context: Array
    batch_step: Array
    seconds: Array

    @property
    def missed(self) -> Array:
        """How far the belief turned out to be wrong, percent: what the head `mean` foresees."""
        return self.true - self.believed


COLUMNS = fields(Record)
KINDS = {"live": np.bool_}


@dataclass(frozen=True, slots=True)
class Task:
    """One line to be recorded, and where. `guest` is the digest of the network that sits beside."""

    family: str
    seed: int
    minutes: float
    guest: str
    folder: Path

    @property
    def path(self) -> Path:
        name = f"{self.family}-{self.seed}-{self.minutes:g}min-{self.guest[:12]}-v{VERSION}.npz"
        return self.folder / name


def training_line(seed: int, index: int, minutes: float, guest: Network | None, folder: Path) -> Task:
    """The line with this number of a training; families in turn."""
    names = families.trained()
    return Task(names[index % len(names)], SEEDS * seed + index, minutes, digest(guest), folder)


def held_out_line(seed: int, index: int, minutes: float, guest: Network | None, folder: Path) -> Task:
    """The line with this number that training never sees, of any family."""
    names = tuple(families.FAMILIES)
    return Task(names[index % len(names)], SEEDS * seed + SEEDS // 2 + index, minutes, digest(guest), folder)


def digest(guest: Network | None) -> str:
    """Tells networks apart; of none, too."""
    if guest is None:
        return "0" * 64
    parts = hashlib.sha256()
    for head in (guest.mean, guest.batch):
        for tensor in head[:-1]:
            parts.update(np.ascontiguousarray(tensor).tobytes())
    for tensor in (guest.weight, guest.weight2, guest.batch_sd):
        parts.update(np.ascontiguousarray(tensor).tobytes())
    return parts.hexdigest()


def record(world: World, guest: Network | None) -> Record:
    """Run a world past estimate and foresight. Without a network the belief is the law `adaptive`'s alone, and there
    are no taps."""
    line = world.line
    estimator = estimate.build(line, response.believe(line), None, guest)
    beside = foresight.build(line, estimator, guest)
    seen, ahead = estimate.init(estimator), foresight.init(beside)
    kept = _Kept(world)
    for cycle, inputs in enumerate(sensing.watched(world)):
        announced = cycle > 0 and world.batch[cycle] != world.batch[cycle - 1]
        seen = estimate.update(estimator, seen, inputs)
        ahead = foresight.watch(beside, ahead, seen, inputs)
        if announced:
            kept.announce(seen, cycle)
        if (cycle + 1) % round(KEPT_S / CYCLE_S) == 0:
            kept.add(cycle, seen, ahead)
    return kept.closed(estimator)


def loop_seconds(line: LineDescription, estimator: Estimator) -> Array:
    """(5,): dead times to the gauge next to the die (0: none) and to the truest one, and what filters of the film, of
    the level under it, and of the pump settle at. s, at nominal speed."""
    wet, truest, speed = line.wet_gauge, line.dry_gauge or line.primary_gauge, line.web_speed_mps
    near_s = wet.distance_m / speed if wet is not None and truest is not wet else 0.0
    far_s = truest.distance_m / speed + 0.5 * truest.period_s
    film_s = float(kalman.smoothing_s(estimator.film, estimator.primary.period_s)[-1])
    level_s = film_s
    if estimator.offset is not None:
        level_s = float(kalman.smoothing_s(estimator.offset, truest.period_s)[-1])
    pump_s = max(law.SWIFT_S, 0.0 if near_s else law.DELAY_DOUBT * truest.distance_m / speed)
    return np.array([near_s, far_s, film_s, level_s, pump_s])


def read(path: Path) -> Record:
    """A recorded line."""
    with np.load(path, allow_pickle=False) as file:
        return Record(
            **{column.name: file[column.name].astype(KINDS.get(column.name, np.float64)) for column in COLUMNS}
        )


def write(path: Path, line: Record) -> None:
    """Keep a recorded line, in one move; what fills the disk is kept in single precision."""
    small = {name: getattr(line, name).astype(np.float32) for name in ("taps", "context")}
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".record-", delete=False) as file:
        np.savez(file, **({column.name: getattr(line, column.name) for column in COLUMNS} | small))
    os.replace(file.name, path)


def recorded(task: Task, guest: Network | None) -> Record:
    """The line of a task: read where it is there, else run and kept."""
    if not task.path.exists():
        write(task.path, record(belief.draw(task.family, task.seed, task.minutes, LawName.NEURAL), guest))
    return read(task.path)


class _Kept:
    """Grows while a line runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rows: list[tuple[Array, Array, float, float, float]] = []
        self.cycles: list[int] = []
        self.batches: list[tuple[list[float], list[float], float]] = []

    def add(self, cycle: int, seen: EstimateState, ahead: foresight.Foresight | None) -> None:
        believed = seen.reading.disturbance_md
        if ahead is None:
            self.rows.append((np.zeros(network.MEAN_TAPS), np.zeros(network.MEAN_CONTEXT), believed, 0.0, 0.0))
        else:
            self.rows.append((ahead.taps, ahead.context, believed, ahead.whole, ahead.correction))
        self.cycles.append(cycle)

    def announce(self, seen: EstimateState, cycle: int) -> None:
        """A new batch: what is known of the former ones, and what it will bring from now on."""
        assert seen.learnt is not None
        world = self.world
        now = world.levels[0] + world.brought[cycle - 1]
        step = world.levels[int(world.batch[cycle]) - 1] - now
        self.batches.append((*batches.told(seen.learnt.past), 100.0 * float(step)))

    def closed(self, estimator: Estimator) -> Record:
        world, cycles = self.world, np.array(self.cycles)
        taps, context, believed, whole, correction = (np.array(column) for column in zip(*self.rows, strict=True))
        seconds = loop_seconds(world.line, estimator)
        t_s = (cycles + 1) * CYCLE_S
        told = self.batches
        return Record(
            taps=taps,
            context=context,
            believed=100.0 * believed,
            whole=100.0 * whole,
            correction=100.0 * correction,
            true=100.0 * (world.dry - world.pulse)[cycles],
            pulse=100.0 * world.pulse[cycles],
            live=t_s > SETTLING * seconds[1] + SETTLING_S,
            batch_taps=np.array([taken[0] for taken in told]).reshape(-1, network.BATCH_TAPS),
            batch_context=np.array([taken[1] for taken in told]).reshape(-1, network.BATCH_CONTEXT),
            batch_step=np.array([taken[2] for taken in told]),
            seconds=seconds,
        )
