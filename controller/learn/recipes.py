"""The head `batch`: what a batch that is announced will bring, from what is known of those before it.

No plant is needed for that: sequences of levels around a recipe, measured as unsurely as the estimate measures them,
with steps that nobody could measure and batches that had not come through when the next one was named.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from controller.core.network import KNOWN_STEPS
from controller.learn.heads import Head, Heads, tensor
from controller.line.description import Array

BATCHES = 7
SIZE_PCT = (0.4, 2.5)  # one standard deviation of the levels
WALKS, TWO_SIDED = 0.15, 0.4  # shares of lines: batches that walk; that are never near the recipe
UNSURE_PCT = (0.04, 0.7)  # standard deviation of a measured step
LOST = 0.08  # share of steps that are not counted
CAME_WHOLLY = 0.7  # share of batches that were there when the next one was named


@dataclass(frozen=True, slots=True, eq=False)
class Announcements:
    """What is known where a batch is announced, and what it brings. taps (samples, 2), context (samples, 4), step
    (samples,), percent; known (samples,): steps that are."""

    taps: Array
    context: Array
    step: Array

    @property
    def known(self) -> Array:
        known: Array = np.rint(np.exp2(self.context[:, 0]) - 1.0)
        return known


def draw(lines: int, seed: int) -> Announcements:
    """All announcements but the first batch's of so many lines."""
    rng = np.random.default_rng([seed, lines])
    size, kind = rng.uniform(*SIZE_PCT, lines), rng.random(lines)
    levels = size[:, None] * rng.standard_normal((lines, BATCHES))
    away = size[:, None] * rng.choice((-1.0, 1.0), (lines, BATCHES)) * rng.uniform(0.6, 1.3, (lines, BATCHES))
    levels = np.where((kind > 1.0 - TWO_SIDED)[:, None], away, levels)
    levels[:, 0] *= rng.random(lines)
    levels = np.where((kind < WALKS)[:, None], np.cumsum(0.7 * levels, axis=1), levels)
    wholly = rng.random((lines, BATCHES)) < CAME_WHOLLY
    there = np.where(wholly, 1.0, rng.uniform(0.3, 1.0, (lines, BATCHES)))
    low, high = np.log(UNSURE_PCT)
    sd = np.exp(rng.uniform(low, high, (lines, BATCHES)))
    noise, lost = rng.standard_normal((lines, BATCHES)), rng.random((lines, BATCHES)) < LOST
    now, zero = levels[:, 0].copy(), np.zeros(lines)
    steps, total, total2, last, last2 = zero, zero.copy(), zero.copy(), zero.copy(), zero.copy()
    taps, contexts, brings = [], [], []
    for batch in range(1, BATCHES):
        taps.append(np.column_stack((total, last)))
        contexts.append(np.column_stack((np.log2(1.0 + steps), np.sqrt(total2), np.sqrt(last2), np.ones(lines))))
        brings.append(levels[:, batch] - now)
        came = there[:, batch] * brings[-1]
        now = now + came
        counted = ~lost[:, batch]
        measured, variance = came + sd[:, batch] * noise[:, batch], sd[:, batch] ** 2
        steps = steps + counted
        total, total2 = total + counted * measured, total2 + counted * variance
        last, last2 = np.where(counted, measured, last), np.where(counted, variance, last2)
    return Announcements(np.concatenate(taps), np.concatenate(contexts), np.concatenate(brings))


def likelihood(head: Head, sd_log: Tensor, told: Announcements) -> Tensor:
    """Mean of -log p of the steps as they came, percent, Gaussian."""
    guess = head(tensor(told.context), tensor(told.taps))[:, 0]
    sd = 100.0 * sd_log.exp()[torch.from_numpy(np.minimum(told.known, KNOWN_STEPS - 1).astype(np.int64))]
    told_apart: Tensor = (sd.log() + 0.5 * ((tensor(told.step) - guess) / sd) ** 2).mean()
    return told_apart


def fit(heads: Heads, lines: int, steps: int, seed: int) -> list[float]:
    """Train the head `batch`; the loss by step."""
    told = draw(lines, seed)
    heads.batch.usual(tensor(told.context))
    heads.batch.scale[-1] = 1.0
    parameters = [*heads.batch.parameters(), heads.batch_sd]
    optimiser = torch.optim.Adam(parameters, lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(steps, 1))
    history = []
    for _ in range(steps):
        optimiser.zero_grad()
        loss = likelihood(heads.batch, heads.batch_sd, told)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        history.append(float(loss.detach()))
    return history


def judged(heads: Heads, told: Announcements) -> dict[str, float]:
    """How good the head is on announcements of which at least one step was known: RMS over that of saying nothing, and
    what it gains in log-likelihood over what is believed without it."""
    some = told.known > 0
    told = Announcements(told.taps[some], told.context[some], told.step[some])
    silent = Heads(1, 1, 0)
    with torch.no_grad():
        guess = heads.batch(tensor(told.context), tensor(told.taps))[:, 0].numpy()
        gain = likelihood(silent.batch, silent.batch_sd, told) - likelihood(heads.batch, heads.batch_sd, told)
    missed = told.step - guess
    return {
        "announcements": float(told.step.size),
        "rms_over_saying_nothing": float(np.sqrt((missed @ missed) / max(told.step @ told.step, 1e-12))),
        "log_likelihood_gained": float(gain),
    }
