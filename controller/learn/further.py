"""Training that goes on from a trained network, with what a line's own journal tells: few data, and no hidden truth.

The base counts as much as the drawn lines that it comes from, so that a little of a line's own cannot wreck it:

- `batch`: what the line's batches brought, each as unsurely as it was found, beside the base's own word on batches that
  are drawn (the divergence from it), where the line stood and elsewhere; that weighs as BASE_ANNOUNCEMENTS;
- `mean`: what the belief missed, as the truest gauge told it later, noise and all. Only the last layer moves, tied to
  where it began as firmly as it was held to nothing in the base's own training, by so many looks as that had.

What came of it is judged on web that lies later than all that was learnt from. A head is taken only where what it gains
there is more than its standard error; else the base's stays, to the byte.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from controller.core import foresight
from controller.core.network import KNOWN_STEPS, MEAN_CONTEXT, MEAN_TAPS
from controller.learn import material, recipes
from controller.learn.heads import Heads, Weights, tensor
from controller.learn.material import Lines
from controller.learn.record import KEPT_S
from controller.line.description import Array

Say = Callable[[str, float, str], None]  # stage, share of it that is done, words

BASE_ANNOUNCEMENTS = 30.0
BASE_LOOKS = 14_400.0  # 240 lines of half an hour, a look each half dead time of a minute
PLAIN_DECAY, GATING_DECAY = 3e-3, 1.0  # of the base's own training
STEPS, RATE = 200, 2e-3
DRAWN_LINES = 1000
ROW_SAMPLES = 1800  # after so many the weights of the guesses are learnt anew
ANNOUNCEMENTS_LEAST = (4, 2)  # to learn from, and to judge by
LOOKS_LEAST = (20, 10)


@dataclass(frozen=True, slots=True, eq=False)
class Announced:
    """Batches that were announced and came: taps (batches, BATCH_TAPS) and context (batches, BATCH_CONTEXT) that the
    head was shown; step (batches,) that was found, percent, and its variance, without what was expected of it."""

    taps: Array
    context: Array
    step: Array
    variance: Array

    def __len__(self) -> int:
        return int(self.step.size)


@dataclass(frozen=True, slots=True, eq=False)
class Stretch:
    """Web that passed without a break, every KEPT_S: taps (samples, MEAN_TAPS) and context (samples, MEAN_CONTEXT) that
    the head was shown; missed (samples,), percent, NaN where no gauge told. far_s: to the truest gauge."""

    taps: Array
    context: Array
    missed: Array
    far_s: float

    @property
    def looks(self) -> float:
        """How many of the samples tell something new."""
        return float(np.isfinite(self.missed).sum()) * KEPT_S / max(foresight.INDEPENDENT * self.far_s, KEPT_S)

    def cut(self, samples: slice) -> Stretch:
        """A part of it."""
        return Stretch(self.taps[samples], self.context[samples], self.missed[samples], self.far_s)


@dataclass(frozen=True, slots=True, eq=False)
class Lived:
    """What a line did: to learn from or to judge by."""

    batches: Announced
    stretches: tuple[Stretch, ...]

    @property
    def looks(self) -> float:
        return sum(stretch.looks for stretch in self.stretches)


def joined(parts: Sequence[Lived]) -> Lived:
    """Of several runs. Raises ValueError for none."""
    of_batches = (np.concatenate([getattr(part.batches, field.name) for part in parts]) for field in fields(Announced))
    return Lived(Announced(*of_batches), tuple(stretch for part in parts for stretch in part.stretches))


def learnt(base: Weights, earlier: Lived, later: Lived, seed: int, heads: Sequence[str], say: Say) -> Further:
    """Train these heads of the base further on the earlier web, and judge them on the later. Heads of which too little
    is known stay as they were. The same arguments give the same bytes."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tensors, figures = dict(base), {}
    for name in heads:
        learn, enough = HEADS[name]
        counts = enough(earlier), enough(later)
        least = ANNOUNCEMENTS_LEAST if name == "batch" else LOOKS_LEAST
        told: dict[str, Any] = {"earlier": counts[0], "later": counts[1], "least": list(least), "taken": False}
        if counts[0] >= least[0] and counts[1] >= least[1]:
            trained, gain, words = learn(base, earlier, later, seed, say)
            told |= {**_spread(gain), **words}
            told["taken"] = told["gain"] > told["standard_error"]
            tensors |= trained if told["taken"] else {}
        figures[name] = told
    return Further(tensors, figures)


@dataclass(frozen=True, slots=True)
class Further:
    """The weights, the base's where nothing was gained, and by head what was gained on the later web."""

    tensors: Weights
    figures: Mapping[str, dict[str, Any]]

    @property
    def better(self) -> bool:
        return any(told["taken"] for told in self.figures.values())


def _spread(gain: Array) -> dict[str, float]:
    if gain.size < 2:
        return {"gain": 0.0, "standard_error": 0.0}
    return {"gain": float(gain.mean()), "standard_error": float(gain.std(ddof=1)) / math.sqrt(gain.size)}


# --- batches -----------------------------------------------------------------------------------------------------


def _batches(
    base: Weights, earlier: Lived, later: Lived, seed: int, say: Say
) -> tuple[Weights, Array, dict[str, float]]:
    """Weights of the head `batch`, log-likelihood gained of each later batch, and errors before and after."""
    heads, before = Heads.of(base), Heads.of(base)
    drawn = recipes.draw(DRAWN_LINES, seed)
    some = drawn.known > 0
    here = np.arange(np.count_nonzero(some)) % len(earlier.batches)
    taps = np.concatenate((drawn.taps[some], drawn.taps[some]))
    context = np.concatenate((drawn.context[some], earlier.batches.context[here]))
    with torch.no_grad():
        was = _foretold(before, taps, context)
    parameters = [*heads.batch.parameters(), heads.batch_sd]
    optimiser = torch.optim.Adam(parameters, lr=RATE)
    count = float(len(earlier.batches))
    for step in range(STEPS):
        optimiser.zero_grad()
        own = _unlikely(heads, earlier.batches).mean()
        apart = _divergence(was, _foretold(heads, taps, context)).mean()
        loss = (count * own + BASE_ANNOUNCEMENTS * apart) / (count + BASE_ANNOUNCEMENTS)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        say("batch", (step + 1) / STEPS, f"loss {float(loss.detach()):.4f}")
    told = later.batches
    with torch.no_grad():
        gain = _unlikely(before, told) - _unlikely(heads, told)
        rms = [float(np.sqrt(np.mean((told.step - _guess(who, told)) ** 2))) for who in (before, heads)]
    trained = {**heads.batch.exported("batch"), "batch.sd": heads.exported()["batch.sd"]}
    return trained, gain.numpy().astype(np.float64), {"rms_before_pct": rms[0], "rms_pct": rms[1]}


def _foretold(heads: Heads, taps: Array, context: Array) -> tuple[Tensor, Tensor]:
    """Step and standard deviation that the head foretells, percent."""
    known = np.minimum(np.rint(np.exp2(context[:, 0]) - 1.0), KNOWN_STEPS - 1).astype(np.int64)
    guess = heads.batch(tensor(context), tensor(taps))[:, 0]
    return guess, 100.0 * heads.batch_sd.exp()[torch.from_numpy(known)]


def _guess(heads: Heads, told: Announced) -> Array:
    guess: Array = _foretold(heads, told.taps, told.context)[0].numpy().astype(np.float64)
    return guess


def _unlikely(heads: Heads, told: Announced) -> Tensor:
    """-log p of each step as it was found, Gaussian, its own doubt on top."""
    guess, sd = _foretold(heads, told.taps, told.context)
    variance = sd * sd + tensor(told.variance)
    unlikely: Tensor = 0.5 * (variance.log() + (tensor(told.step) - guess) ** 2 / variance)
    return unlikely


def _divergence(was: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor]) -> Tensor:
    """Kullback and Leibler's, of one Gaussian from the other."""
    (guess0, sd0), (guess, sd) = was, now
    apart: Tensor = (sd / sd0).log() + 0.5 * (sd0 * sd0 + (guess0 - guess) ** 2) / (sd * sd) - 0.5
    return apart


# --- the mean ----------------------------------------------------------------------------------------------------


def _mean(base: Weights, earlier: Lived, later: Lived, seed: int, say: Say) -> tuple[Weights, Array, dict[str, float]]:
    """Last layer of the head `mean`, squared error taken away in each dead time of the later web as a share of what the
    base leaves, and the base's and its own mean square."""
    heads, before = Heads.of(base), Heads.of(base)
    lines = _rows(earlier.stretches)
    optimiser = torch.optim.Adam([heads.mean.w3, heads.mean.b3], lr=RATE)
    held = BASE_LOOKS / max(earlier.looks, 1.0)
    for step in range(STEPS):
        optimiser.zero_grad()
        moved = GATING_DECAY * ((heads.mean.w3 - before.mean.w3.detach()) ** 2).sum()
        moved = moved + PLAIN_DECAY * ((heads.mean.b3 - before.mean.b3.detach()) ** 2).sum()
        loss = material.missed_log(heads, lines).mean() + held * moved
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        say("mean", (step + 1) / STEPS, f"loss {float(loss.detach()):.4f}")
    told = _rows(later.stretches)
    with torch.no_grad():
        left = [_left(who, told) for who in (before, heads)]
    least = float(left[0].mean()) if left[0].size else 0.0
    exported = heads.mean.exported("mean")
    trained = {name: exported[name] for name in ("mean.w3", "mean.b3")}
    words = {"mse_before_pct2": least, "mse_pct2": float(left[1].mean()) if left[1].size else 0.0}
    return trained, (left[0] - left[1]) / max(least, 1e-12), words


def _rows(stretches: Sequence[Stretch]) -> Lines:
    """Stretches cut into rows of equal length, as training reckons with them; what is missing does not count."""
    rows = [
        whole.cut(slice(begin, begin + ROW_SAMPLES))
        for whole in stretches
        for begin in range(0, whole.missed.size, ROW_SAMPLES)
    ]
    rows = [row for row in rows if row.looks >= 1.0]
    longest = max(row.missed.size for row in rows)
    taps, context = np.zeros((len(rows), longest, MEAN_TAPS)), np.zeros((len(rows), longest, MEAN_CONTEXT))
    missed, live = np.zeros((len(rows), longest)), np.zeros((len(rows), longest), dtype=np.bool_)
    least = np.zeros(len(rows))
    for number, row in enumerate(rows):
        known, size = np.isfinite(row.missed), row.missed.size
        taps[number, :size], context[number, :size], live[number, :size] = row.taps, row.context, known
        missed[number, :size] = np.where(known, row.missed, 0.0)
        least[number] = 0.5 * float(np.mean(np.diff(row.missed[known]) ** 2)) if known.sum() > 1 else 0.0
    zero = torch.zeros(missed.shape)
    seconds = tensor(np.array([[0.0, row.far_s, 0.0, 0.0, 0.0] for row in rows]))
    sure = tensor(least) + material.FLOOR_PCT2
    return Lines(tensor(taps), tensor(context), zero, tensor(missed), zero, torch.from_numpy(live), seconds, sure)


def _left(heads: Heads, lines: Lines) -> Array:
    """Mean square that belief and network miss, by dead time of web, percent^2."""
    wrong = ((lines.missed - material.foreseen(heads, lines)) ** 2).numpy().astype(np.float64)
    live, left = lines.live.numpy(), []
    for row, far_s in enumerate(lines.seconds[:, 1].tolist()):
        every = max(round(far_s / KEPT_S), 1)
        for begin in range(0, live.shape[1], every):
            known = live[row, begin : begin + every]
            if 2 * known.sum() >= every:
                left.append(float(wrong[row, begin : begin + every][known].mean()))
    return np.array(left)


Learn = Callable[[Weights, Lived, Lived, int, Say], tuple[Weights, Array, dict[str, float]]]
HEADS: dict[str, tuple[Learn, Callable[[Lived], float]]] = {
    "batch": (_batches, lambda lived: len(lived.batches)),
    "mean": (_mean, lambda lived: round(lived.looks, 1)),
}
