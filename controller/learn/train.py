"""Training, from drawn lines to weights: batches, recorded lines, what the belief misses, and then the closed loop.

Stages: `batch` learns what batches bring; lines are recorded with it beside; `missed` learns, line by line, how wrong
the belief turned out to be, first with one guess, then with all and with the weights that a line would have found by
itself; `loop` goes on in the closed loop, pump and a wrong model included. Both look at lines they are not trained on
and keep the best; what is no better there than saying nothing is thrown away. Same settings, same weights, to the last
bit, whoever recorded the lines and however often training was stopped. Who judges the outcome on a plant is passed in.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from controller.core.foresight import FILTERS
from controller.core.network import MEAN_TAPS, Network
from controller.learn import checkpoint, heads, loop, material, recipes, record
from controller.learn.checkpoint import Standing
from controller.learn.families import FAMILIES
from controller.learn.heads import Heads, Weights
from controller.learn.material import Lines
from controller.learn.record import Record, Task

Say = Callable[[str, float, str], None]  # stage, share of it that is done, words
Recorder = Callable[[Sequence[Task], Network | None], Iterator[Record]]
Judge = Callable[[Weights], dict[str, Any]]

STAGES = ("missed", "loop")
CHECKPOINT = "checkpoint.npz"
RECORDS = "lines"
WINDOWS = 2  # of the closed loop, by which a look judges


@dataclass(frozen=True, slots=True)
class Settings:
    """What a training is made of. Numbers of lines, of minutes each, of optimiser steps, and of neurons."""

    seed: int = 1
    lines: int = 240
    held_out: int = 56
    minutes: float = 30.0
    hidden: int = 32
    batch_hidden: int = 8
    batch_lines: int = 4000
    batch_steps: int = 800
    missed_steps: int = 240
    loop_steps: int = 20
    loop_s: int = 360
    at_once: int = 24  # lines in one step
    rate: float = 4e-3
    loop_rate: float = 2e-4
    decay: float = 3e-3  # of what each tap counts for whatever the context
    gating_decay: float = 1.0  # of what the context changes in that
    blur: float = 0.5  # of the context, of its spread
    thin: int = 4  # samples of a record to one that the stage `missed` uses
    tail_share: float = 0.2
    tail_weight: float = 0.3
    look_every: int = 20  # steps

    @classmethod
    def quick(cls, seed: int = 1) -> Settings:
        """A training that shows that everything works, and teaches little."""
        return cls(
            seed=seed, lines=18, held_out=14, minutes=14.0, hidden=16, batch_lines=1000, batch_steps=200,
            missed_steps=80, loop_steps=6, loop_s=180, at_once=9, look_every=10,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trained:
    """The weights, how they came about (a row a look), and how they do on lines that no stage has looked at."""

    tensors: Weights
    history: list[dict[str, Any]]
    figures: dict[str, Any]


def train(
    settings: Settings,
    folder: Path,
    say: Say,
    recorder: Recorder | None = None,
    resume: bool = False,
    judge: Judge | None = None,
) -> Trained:
    """Train in a folder, where recorded lines and the checkpoint are kept. Raises CheckpointError where `resume` finds
    another training; OSError."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    recorder = recorder or one_by_one
    learner = Heads(settings.hidden, settings.batch_hidden, settings.seed)
    say("batches", 0.0, f"{settings.batch_lines} lines")
    batch_loss = recipes.fit(learner, settings.batch_lines, settings.batch_steps, settings.seed)
    say("batches", 1.0, f"loss {batch_loss[0]:.3f} -> {batch_loss[-1]:.3f}")
    seen, watched, unseen = recorded_lines(settings, folder, say, recorder, heads.beside(learner))
    learner.mean.usual(seen.context.flatten(0, 1)[:: 1 + seen.context.shape[0] // 8])
    course = Course(settings, learner, seen, watched, folder / CHECKPOINT, say)
    course.begin(resume)
    for stage in range(len(STAGES)):
        course.run(stage)
    course.keep_best()
    tensors = learner.exported()
    figures = _figures(settings, folder, say, recorder, learner, unseen)
    figures["batch"] = recipes.judged(learner, recipes.draw(settings.batch_lines, settings.seed + 1))
    figures["batch_loss"] = [batch_loss[0], batch_loss[-1]]
    if judge is not None:
        figures["league"] = judge(tensors)
    return Trained(tensors, course.standing.history, figures)


def one_by_one(tasks: Sequence[Task], guest: Network | None) -> Iterator[Record]:
    """Record lines here, one after the other."""
    for task in tasks:
        yield record.recorded(task, guest)


# --- recorded lines ----------------------------------------------------------------------------------------------


def recorded_lines(
    settings: Settings, folder: Path, say: Say, recorder: Recorder, guest: Network
) -> tuple[Lines, Lines, list[int]]:
    """Lines to train on, lines to look at, and the numbers of those kept for the end."""
    place = folder / RECORDS
    to_learn = [record.training_line(settings.seed, i, settings.minutes, guest, place) for i in range(settings.lines)]
    watched, unseen = _halves(settings.held_out)
    to_watch = [record.held_out_line(settings.seed, i, settings.minutes, guest, place) for i in watched]
    got = _said("lines", [*to_learn, *to_watch], guest, say, recorder)
    return material.stacked(got[: settings.lines]), material.stacked(got[settings.lines :]), unseen


def _halves(count: int) -> tuple[list[int], list[int]]:
    """Held-out lines, each family in both halves: looked at by the stages, and kept for the end."""
    families = len(FAMILIES)
    halves: tuple[list[int], list[int]] = ([], [])
    for index in range(count):
        halves[(index // families) % 2].append(index)
    return halves


def _said(stage: str, tasks: Sequence[Task], guest: Network | None, say: Say, recorder: Recorder) -> list[Record]:
    got = []
    for number, line in enumerate(recorder(tasks, guest), start=1):
        got.append(line)
        say(stage, number / len(tasks), f"{number} of {len(tasks)}")
    return got


# --- stages ------------------------------------------------------------------------------------------------------


class Course:
    """The stages, with where they stand."""

    def __init__(self, settings: Settings, learner: Heads, seen: Lines, watched: Lines, path: Path, say: Say) -> None:
        self.settings, self.learner, self.path, self.say = settings, learner, path, say
        self.seen, self.watched = seen, watched
        self.standing = Standing(best=checkpoint.state_of(learner))
        self.steps = (settings.missed_steps, settings.loop_steps)
        self.parameters = [*learner.mean.parameters(), learner.weight, learner.weight2_log]
        self.optimisers = {stage: torch.optim.Adam(self.parameters, lr=1.0) for stage in range(len(STAGES))}

    def begin(self, resume: bool) -> None:
        """At the beginning, or where it was stopped."""
        if resume and self.path.exists():
            self.standing = checkpoint.load(self.path, asdict(self.settings), self.learner, self.optimisers)

    def _begun(self, stage: int) -> None:
        """Each stage has a score of its own; what is worse by it than saying nothing is not gone on from."""
        self.standing.score = 0.0
        before, self.standing.best = self.standing.best, checkpoint.state_of(Heads.silent(self.learner))
        checkpoint.restore(self.learner, before)
        self._look(stage, 0, math.nan)
        self.keep_best()

    def run(self, stage: int) -> None:
        """One stage from where it stands to its end."""
        if self.standing.stage > stage:
            return
        if self.standing.step == 0:
            self._begun(stage)
        steps, optimiser = self.steps[stage], self.optimisers[stage]
        rate = (self.settings.rate, self.settings.loop_rate)[stage]
        for step in range(self.standing.step, steps):
            if stage == 0 and step == steps // 2:
                self._split()
            optimiser.param_groups[0]["lr"] = rate * _pace(step, steps)
            loss = self._stepped(stage, step, optimiser)
            self.standing.step = step + 1
            if (step + 1) % self.settings.look_every == 0 or step + 1 == steps:
                self._look(stage, step + 1, loss)
                self.say(STAGES[stage], (step + 1) / steps, f"best on unseen lines {100 * self.standing.score:+.2f} %")
                checkpoint.save(self.path, asdict(self.settings), self.standing, self.learner, optimiser)
        self.keep_best()
        self.standing.stage, self.standing.step = stage + 1, 0

    def keep_best(self) -> None:
        """Put the heads where they did best on lines that they were not trained on."""
        checkpoint.restore(self.learner, self.standing.best)

    def _stepped(self, stage: int, step: int, optimiser: torch.optim.Adam) -> float:
        rng = np.random.default_rng([self.settings.seed, stage, step])
        rows = rng.permutation(len(self.seen))[: self.settings.at_once].tolist()
        lines = self._blurred(self.seen.chosen(rows), stage, step)
        change = self._thinly(lines, rng)
        if stage == 1:  # and it still has to be right where the pump rests
            change = 0.5 * (change + self._looped(lines, step, rng))
        loss = change.mean() + self.settings.tail_weight * material.tail(change, self.settings.tail_share)
        gating, plain = (self.learner.mean.w3**2).sum(), (self.learner.mean.b3**2).sum()
        optimiser.zero_grad()
        (loss + self.settings.gating_decay * gating + self.settings.decay * plain).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        optimiser.step()
        return float(loss.detach())

    def _blurred(self, lines: Lines, stage: int, step: int) -> Lines:
        seed = int(np.random.default_rng([self.settings.seed, stage, step, 1]).integers(2**62))
        return lines.blurred(self.settings.blur, torch.Generator().manual_seed(seed))

    def _thinly(self, lines: Lines, rng: np.random.Generator) -> Tensor:
        """Log of the belief's squared error with the network over that without, (lines,)."""
        return material.missed_log(
            self.learner, lines.thinned(int(rng.integers(self.settings.thin)), self.settings.thin)
        )

    def _looped(self, lines: Lines, step: int, rng: np.random.Generator) -> Tensor:
        """Log of the web's variance in the closed loop over what the belief alone leaves, (lines,)."""
        first = int(lines.live.to(torch.int64).argmax(dim=1).max())
        begin = int(rng.integers(first, max(lines.live.shape[1] - self.settings.loop_s, first + 1)))
        return looped(self.learner, lines, begin, self.settings.loop_s, (self.settings.seed, step))

    def _split(self) -> None:
        """The other guesses begin as parts of the first: what the truest gauge tells, and what is told before it. So a
        line's own weights can trust one of them more."""
        parts = (slice(0, FILTERS.size), slice(FILTERS.size, MEAN_TAPS))
        with torch.no_grad():
            for number, taps in enumerate(parts, start=1):
                for part in (self.learner.mean.w3, self.learner.mean.b3):
                    guess = part[..., number * MEAN_TAPS : (number + 1) * MEAN_TAPS]
                    guess[..., taps] = part[..., taps]

    def _look(self, stage: int, step: int, loss: float) -> None:
        """How it does on lines that it is not trained on; the best is kept."""
        with torch.no_grad():
            change = material.missed_log(self.learner, self.watched) if stage == 0 else self._watched_loop()
            worst = material.tail(change, self.settings.tail_share)
            score = float(change.mean() + self.settings.tail_weight * worst)
        row = {"stage": STAGES[stage], "step": step, "loss": None if math.isnan(loss) else loss, "score": score}
        self.standing.history.append(row | {"median": float(change.median()), "tail": float(worst)})
        if score < self.standing.score:
            self.standing.score, self.standing.best = score, checkpoint.state_of(self.learner)

    def _watched_loop(self) -> Tensor:
        """Of each line watched, in windows from the first moment on at which all are settled."""
        return _windows(self.learner, self.watched, self.settings)


def _windows(learner: Heads, lines: Lines, settings: Settings) -> Tensor:
    """Log of the web's variance in the closed loop over what the belief alone leaves, (lines,): of windows that follow
    each other, from the first moment on at which all lines are settled; their mean."""
    first = int(lines.live.to(torch.int64).argmax(dim=1).max())
    last = max(lines.live.shape[1] - settings.loop_s, first)
    begins = sorted({first + round(share * (last - first)) for share in np.linspace(0.0, 1.0, WINDOWS)})
    found = [looped(learner, lines, begin, settings.loop_s, (settings.seed, begin)) for begin in begins]
    return torch.stack(found).mean(dim=0)


def looped(learner: Heads, lines: Lines, begin: int, steps: int, seed: tuple[int, ...]) -> Tensor:
    """The same of the web's variance in the closed loop, with a model that is wrong."""
    wrong = loop.drawn(len(lines), seed)
    web = loop.played(learner, lines, wrong, begin, steps)
    with torch.no_grad():
        alone = loop.played(None, lines, wrong, begin, steps)
    change: Tensor = ((web**2).mean(dim=1) + lines.least).log() - ((alone**2).mean(dim=1) + lines.least).log()
    return change


def _pace(step: int, steps: int) -> float:
    """Of the learning rate: slowly in, slowly out."""
    return min((step + 1) / 20.0, 1.0) * (0.02 + 0.98 * 0.5 * (1.0 + math.cos(math.pi * step / steps)))


# --- what came of it ---------------------------------------------------------------------------------------------


def _figures(
    settings: Settings, folder: Path, say: Say, recorder: Recorder, learner: Heads, unseen: Sequence[int]
) -> dict[str, Any]:
    """On lines that nothing has looked at: with the network as the controller runs it, over the law `adaptive`."""
    guest, place = heads.plain(learner), folder / RECORDS
    batch_only = heads.beside(learner)
    got = {}
    for name, who in (("neural", guest), ("batch_only", batch_only), ("adaptive", None)):
        tasks = [record.held_out_line(settings.seed, index, settings.minutes, who, place) for index in unseen]
        got[name] = _said("unseen lines", tasks, who, say, recorder)
    names = [task.family for task in tasks]
    lines = material.stacked(got["neural"])
    with torch.no_grad():
        closed = _windows(learner, lines, settings)
    without = np.array([_mse(line) for line in got["adaptive"]])
    ratio = np.array([_mse(line) for line in got["neural"]]) / without
    batch_ratio = np.array([_mse(line) for line in got["batch_only"]]) / without
    return {
        "lines": len(unseen),
        "mse_over_adaptive": _spread(ratio),
        "mse_over_adaptive_batch_only": _spread(batch_ratio),
        "closed_loop_variance_over_adaptive": _spread(np.exp(closed.numpy().astype(np.float64))),
        "by_family": {name: float(np.median(ratio[np.array(names) == name])) for name in sorted(set(names))},
        "beats_adaptive": bool(np.median(ratio) < 1.0),
    }


def _mse(line: Record) -> float:
    """Mean square of what belief and network together miss, percent^2."""
    left = (line.missed - line.correction)[line.live]
    return float(np.mean(left * left))


def _spread(ratio: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    worst = np.sort(ratio)[-max(round(0.2 * ratio.size), 1) :]
    return {"median": float(np.median(ratio)), "mean": float(ratio.mean()), "worst_fifth": float(worst.mean())}
