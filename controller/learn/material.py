"""Recorded lines side by side, as training reckons with them; and what online weights would have made of guesses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from controller.core import foresight
from controller.learn.heads import Heads, tensor
from controller.learn.record import KEPT_S, Record

LOOK_S = 60.0  # how often training works the online weights out anew
FLOOR_PCT2 = 0.02**2  # variance that nobody would notice
MOST_PCT = 100.0 * foresight.CORRECTION_MOST


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """taps (lines, samples, MEAN_TAPS), context (lines, samples, MEAN_CONTEXT); believed, true, pulse, live (lines,
    samples), percent; seconds (lines, 5). least (lines,): variance that nobody can remove, percent^2."""

    taps: Tensor
    context: Tensor
    believed: Tensor
    true: Tensor
    pulse: Tensor
    live: Tensor
    seconds: Tensor
    least: Tensor
    every: int = 1  # samples of a record from one to the next

    @property
    def missed(self) -> Tensor:
        return self.true - self.believed

    def __len__(self) -> int:
        return int(self.taps.shape[0])

    def chosen(self, rows: Sequence[int]) -> Lines:
        """Some of the lines."""
        index = torch.tensor(rows, dtype=torch.int64)
        named = (column.name for column in fields(self))
        return replace(self, **{name: getattr(self, name)[index] for name in named if name != "every"})

    def thinned(self, begin: int, every: int) -> Lines:
        """Every so many samples only."""
        along = ("taps", "context", "believed", "true", "pulse", "live")
        return replace(self, every=every, **{name: getattr(self, name)[:, begin::every] for name in along})

    def blurred(self, size: float, generator: torch.Generator) -> Lines:
        """With noise in the context, one draw a line: what it says of a line shall not tell which line it is."""
        shape = (len(self), 1, self.context.shape[2])
        spread = self.context.flatten(0, 1).std(dim=0)
        return replace(self, context=self.context + size * spread * torch.randn(shape, generator=generator))


def stacked(records: Sequence[Record]) -> Lines:
    """Lines of equal length. Raises ValueError for none."""
    if not records:
        raise ValueError("records: at least one line is needed, found none")

    def column(name: str) -> Tensor:
        return tensor(np.stack([getattr(line, name) for line in records]))

    least = [float(np.var(line.pulse) + np.mean(np.diff(line.true) ** 2)) for line in records]
    live = torch.from_numpy(np.stack([line.live for line in records]))
    taps, context, believed, true = (column(name) for name in ("taps", "context", "believed", "true"))
    sure = tensor(np.array(least)) + FLOOR_PCT2
    return Lines(taps, context, believed, true, column("pulse"), live, column("seconds"), sure)


def per_line(values: Tensor, live: Tensor) -> Tensor:
    """Mean over the samples that count, (lines,)."""
    counts: Tensor = (values * live).sum(dim=1) / live.sum(dim=1).clamp(min=1)
    return counts


def weights(heads: Heads, lines: Lines, guesses: Tensor) -> Tensor:
    """What controller.core.foresight would weigh the guesses by at each sample, (lines, samples, predictors).

    The Kalman filter of constant weights in its closed form: the posterior from all metres that the truest gauge had
    seen, a dead time ago and longer, worked out every LOOK_S. Forgetting, which takes longer than a line, is left out.
    """
    every_s = lines.every * KEPT_S
    samples, look = guesses.shape[1], round(LOOK_S / every_s)
    far = lines.seconds[:, 1]
    missed2 = per_line(lines.missed**2, lines.live).clamp(min=1e4 * foresight.LEAST2)
    told = (every_s / (foresight.INDEPENDENT * far)).clamp(max=1.0) / missed2
    seen = guesses * lines.live[..., None]
    square = (seen[..., :, None] * seen[..., None, :]).cumsum(dim=1) * told[:, None, None, None]
    product = (seen * lines.missed[..., None]).cumsum(dim=1) * told[:, None, None]
    at = torch.arange(0, samples, look)
    row = (at[None, :] - (far / every_s).ceil().long()[:, None]).clamp(min=-1)
    known = (row >= 0)[..., None].to(guesses.dtype)
    line = torch.arange(len(lines))[:, None]
    square = square[line, row.clamp(min=0)] * known[..., None]
    product = product[line, row.clamp(min=0)] * known
    sure = 1.0 / heads.weight2
    posterior = torch.linalg.solve(square + torch.diag(sure), product + sure * heads.prior)
    held = posterior.repeat_interleave(look, dim=1)[:, :samples]
    size = held.abs().sum(dim=-1, keepdim=True).clamp(min=1e-12)
    bounded: Tensor = held * (foresight.WEIGHTS_MOST / size).clamp(max=1.0)
    return bounded


def foreseen(heads: Heads, lines: Lines) -> Tensor:
    """What the network adds to the belief, (lines, samples), percent."""
    guesses = heads.mean(lines.context, lines.taps)
    added: Tensor = (guesses * weights(heads, lines, guesses)).sum(dim=-1)
    return added.clamp(-MOST_PCT, MOST_PCT)


def missed_log(heads: Heads, lines: Lines) -> Tensor:
    """Log of the belief's squared error with the network over that without, (lines,)."""
    left = per_line((lines.missed - foreseen(heads, lines)) ** 2, lines.live)
    return ratio_log(left, per_line(lines.missed**2, lines.live), lines)


def ratio_log(left: Tensor, before: Tensor, lines: Lines) -> Tensor:
    """Log of the web's variance over what it was, (lines,): mean squares of errors in percent, with what nobody can
    remove on top of both."""
    change: Tensor = (left + lines.least).log() - (before + lines.least).log()
    return change


def tail(values: Tensor, share: float) -> Tensor:
    """Mean of the worst: conditional value at risk."""
    count = max(round(share * values.numel()), 1)
    worst: Tensor = values.topk(count).values.mean()
    return worst
