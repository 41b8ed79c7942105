"""The loop in which the network speaks, to be differentiated: pump, dead times, and a model of them that is wrong.

A correction that is right in an open loop moves the pump, and what the pump does otherwise than believed comes back: a
gain or a dead time off shows as a disturbance at both gauges a dead time later, in the belief and in the taps. Belief
and taps are recorded with the pump at rest; what comes back is added to them, linearly, each belief as the first-order
filter that the estimate settles at. Steps of KEPT_S, percent of areal density, all lines side by side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from controller.core import foresight
from controller.learn.heads import Heads, tensor
from controller.learn.material import MOST_PCT, Lines, weights
from controller.learn.record import KEPT_S

PUMP_LAG_S = 0.3
TRIM_RATE_PCT_PER_S = 0.5
GAIN_OFF, DELAY_OFF = 0.06, 0.06  # half widths of what the model is wrong by
FILTERS = foresight.FILTERS.size
PUMP, BELIEF, FILM = 0, 1, 2  # columns of the past


@dataclass(frozen=True, slots=True, eq=False)
class Wrong:
    """How wrong the model is, (lines,): of the pump's gain and of both dead times, as shares."""

    gain: Tensor
    delay: Tensor


def drawn(lines: int, seed: tuple[int, ...]) -> Wrong:
    rng = np.random.default_rng(list(seed))
    return Wrong(tensor(rng.uniform(-GAIN_OFF, GAIN_OFF, lines)), tensor(rng.uniform(-DELAY_OFF, DELAY_OFF, lines)))


class _Reads(NamedTuple):
    """Which rows of the past are read at every step, (READS, lines): the two about each moment, and the share of the
    older one; columns (READS, 1). One look-up a step: a differentiable one costs as much as all the rest."""

    newer: Tensor
    share: Tensor
    columns: Tensor
    lines: Tensor

    @classmethod
    def of(cls, near: Tensor, far: Tensor, wrong: Wrong, length: int) -> _Reads:
        late = 1.0 + wrong.delay
        delays = torch.stack((late * near, near, late * far, far, near, far - near, far))
        back = (delays / KEPT_S).clamp(min=0.0, max=length - 2.0)
        columns = torch.tensor([PUMP, PUMP, PUMP, PUMP, FILM, FILM, BELIEF])[:, None]
        newer = length - 1 - back.floor().long()
        return cls(newer, back - back.floor(), columns, torch.arange(near.numel())[None, :])

    def of_past(self, past: Tensor) -> Tensor:
        """(READS, lines): the pump at both gauges' metres, as it was and as the model has it; film, film, belief."""
        index = torch.stack((self.newer, self.newer - 1))
        newer, older = past[index, self.lines, self.columns].unbind()
        return newer + self.share * (older - newer)


class _State(NamedTuple):
    asked: Tensor
    pump: Tensor
    film: Tensor
    level: Tensor
    bank: Tensor  # (lines, SIGNALS, filters)
    past: Tensor  # (steps, lines, 3): pump, moved belief and moved film, newest last


def played(heads: Heads | None, lines: Lines, wrong: Wrong, begin: int, steps: int) -> Tensor:
    """Deviation of the web from `begin` on, (lines, steps), pulse included; without heads, what the belief alone does.

    Before, the pump has answered the belief, and what that left behind is taken to be known.
    """
    window = slice(begin, begin + steps)
    near, far = lines.seconds[:, 0], lines.seconds[:, 1]
    shown = _coefficients(heads, lines, window) if heads is not None else None
    state = _begun(lines, begin, math.ceil(1.1 * float(far.max()) / KEPT_S) + 3)
    reads = _Reads.of(near, far, wrong, state.past.shape[0])
    stood = _returned(reads.of_past(state.past), wrong)
    decay = torch.exp(-KEPT_S / (far[:, None] * tensor(foresight.FILTERS)))[:, None, :]
    web = []
    for step in range(steps):
        added: Tensor | float = 0.0
        if shown is not None:
            taps = lines.taps[:, begin + step] + state.bank.flatten(1)
            added = (shown[:, step] * taps).sum(dim=1).clamp(-MOST_PCT, MOST_PCT)
        state = _answered(lines, state, lines.believed[:, begin + step] + state.film + state.level + added)
        web.append(lines.true[:, begin + step] + (1.0 + wrong.gain) * state.pump + lines.pulse[:, begin + step])
        read = reads.of_past(state.past)
        state = _believed(lines, state, _returned(read, wrong) - stood, read[4:], decay)
    return torch.stack(web, dim=1)


def _coefficients(heads: Heads, lines: Lines, window: slice) -> Tensor:
    """What each tap is multiplied by, guesses weighed, (lines, steps, taps): context and weights are as recorded."""
    found = heads.mean.coefficients(lines.context, lines.taps.shape[-1])
    with torch.no_grad():
        weighed = weights(heads, lines, (found * lines.taps[..., None, :]).sum(dim=-1))
    return (found[:, window] * weighed[:, window, :, None]).sum(dim=2)


def _begun(lines: Lines, begin: int, length: int) -> _State:
    """The pump as the belief had it, from so many steps ago."""
    before = lines.believed[:, max(begin - length, 0) : begin]
    first = before[:, :1].expand(-1, length - before.shape[1])
    pump = -torch.cat((first, before), dim=1).T
    zero = torch.zeros_like(pump[-1])
    rows = torch.stack((pump, torch.zeros_like(pump), torch.zeros_like(pump)), dim=2)
    bank = zero[:, None, None].expand(-1, foresight.SIGNALS, FILTERS)
    return _State(pump[-1], pump[-1], zero, zero, bank, rows)


def _answered(lines: Lines, state: _State, belief: Tensor) -> _State:
    """Law, rate limit and drive."""
    share = 1.0 - torch.exp(-KEPT_S / lines.seconds[:, 4])
    most = TRIM_RATE_PCT_PER_S * KEPT_S
    asked = state.asked + (share * (-belief - state.asked)).clamp(-most, most)
    pump = asked + math.exp(-KEPT_S / PUMP_LAG_S) * (state.pump - asked)
    row = torch.stack((pump, state.film + state.level, state.film), dim=1)
    return state._replace(asked=asked, pump=pump, past=torch.cat((state.past[1:], row[None])))


def _returned(read: Tensor, wrong: Wrong) -> Tensor:
    """What wet and truest gauge see of the pump beyond what the model takes out, (2, lines)."""
    return (1.0 + wrong.gain) * read[0:4:2] - read[1:4:2]


def _believed(lines: Lines, state: _State, came: Tensor, then: Tensor, decay: Tensor) -> _State:
    """What belief and taps make of it. then: what of the film and of the belief has passed both gauges."""
    near, _, film_s, level_s = lines.seconds[:, :4].unbind(dim=1)
    (wet, dry), (film_then, film_at_truest, belief_then) = came, then
    both = (near > 0.0).to(wet.dtype)
    film = both * (state.film + (1.0 - torch.exp(-KEPT_S / film_s)) * (wet - state.film))
    apart = dry - both * film_at_truest
    level = state.level + (1.0 - torch.exp(-KEPT_S / level_s)) * (apart - state.level)
    signals = torch.stack((dry - belief_then, both * (wet - film_then), both * (film - film_then)), dim=1)
    bank = signals[..., None] + decay * (state.bank - signals[..., None])
    return state._replace(film=film, level=level, bank=bank)
