"""How good is the loop, from nothing but what it does: the Harris index, online and of a record.

Minimum variance over mean square, no model asked: what an answer could not have reached yet, because of the dead time,
against what was left. Only the mean is judged so; shapes have bounds of their own (evencoat.league.bounds).

Source: Harris, "Assessment of control loop performance", Can. J. Chem. Eng. 67 (1989).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from controller.line.description import Array


def harris_index(output: Array, delay: int, order: int = 10) -> float:
    """Minimum variance over mean square, from routine data: 1 is as good as the dead time allows, 0 is far from it.

    output: (samples,) about target, evenly spaced in web length; `delay` in samples, the first at which an answer acts.
    Returns NaN where the record is too short to say.
    """
    y = np.asarray(output, dtype=np.float64)
    rows = y.size - delay - order + 1
    if rows < 3 * order:
        return math.nan
    past = np.lib.stride_tricks.sliding_window_view(y, order)[:rows][:, ::-1]
    now = y[delay + order - 1 :]
    design = np.column_stack((past, np.ones(rows)))
    coefficients, *_ = np.linalg.lstsq(design, now, rcond=None)
    residual = now - design @ coefficients
    variance = float(residual @ residual) / (rows - order - 1)
    mean_square = float(now @ now) / rows
    return min(1.0, variance / mean_square) if mean_square > 0.0 else 1.0


@dataclass(frozen=True, slots=True)
class Harris:
    """The same index while the line runs: recursive least squares with forgetting, sampled by metres of web.

    Pure: `seen` returns the next state. history holds the newest outputs, newest first.
    """

    step_m: float
    delay: int
    order: int
    forget: float
    next_m: float
    history: Array
    weights: Array
    inverse: Array
    residual2: float
    square: float
    samples: int

    @staticmethod
    def start(delay_m: float, order: int = 5, memory_delays: float = 40.0) -> Harris:
        """An index for a loop whose dead time is `delay_m` of web. It forgets over `memory_delays` dead times."""
        per_delay = 5  # samples a dead time: finer tells no more of what lies beyond it
        step_m = delay_m / per_delay
        return Harris(
            step_m=step_m,
            delay=per_delay + 1,
            order=order,
            forget=1.0 - 1.0 / (per_delay * memory_delays),
            next_m=-math.inf,
            history=np.zeros(per_delay + 1 + order),
            weights=np.zeros(order),
            inverse=1e3 * np.eye(order),
            residual2=0.0,
            square=0.0,
            samples=0,
        )

    def seen(self, web_m: float, output: float) -> Harris:
        """Take in the output (percent about target) at a web position. A web set far back begins a new record."""
        if web_m < self.next_m - self.delay * self.step_m:
            return Harris.start(self.step_m * (self.delay - 1), self.order).seen(web_m, output)
        if self.resting(web_m) or not math.isfinite(output):
            return self
        history = np.concatenate(([output], self.history[:-1]))
        next_m = web_m + self.step_m
        samples = self.samples + 1
        if samples <= self.delay + self.order:
            return replace(self, history=history, next_m=next_m, samples=samples)
        past = history[self.delay : self.delay + self.order]
        error = output - float(past @ self.weights)
        direction = self.inverse @ past
        gain = direction / (self.forget + float(past @ direction))
        inverse = (self.inverse - np.outer(gain, direction)) / self.forget
        return replace(
            self,
            history=history,
            next_m=next_m,
            samples=samples,
            weights=self.weights + gain * error,
            inverse=0.5 * (inverse + inverse.T),
            residual2=self.forget * self.residual2 + (1.0 - self.forget) * error * error,
            square=self.forget * self.square + (1.0 - self.forget) * output * output,
        )

    def resting(self, web_m: float) -> bool:
        """Whether a look at this place of the web would tell nothing: the last one is too near."""
        return self.next_m - self.delay * self.step_m <= web_m < self.next_m

    @property
    def sigma_pct(self) -> float:
        """Standard deviation about target of late, percent; NaN before the first look."""
        return math.sqrt(self.square) if self.square > 0.0 else math.nan

    @property
    def index(self) -> float:
        """Minimum variance over mean square; NaN before there is enough to go by."""
        if self.samples < self.delay + 10 * self.order or self.square <= 0.0:
            return math.nan
        return min(1.0, self.residual2 / self.square)

    @property
    def words(self) -> str:
        """What the index says, to the person at the line."""
        return in_words(self.index, self.sigma_pct)


def in_words(index: float, now_pct: float) -> str:
    """What a Harris index says of a loop that stands at `now_pct` sigma."""
    if math.isnan(index):
        return "too little web so far to say how good the loop is"
    least_pct = now_pct * math.sqrt(index)
    if index > 0.8:
        return f"as even as the dead time allows: {now_pct:.2f} % where {least_pct:.2f} % is the least"
    if index > 0.5:
        return f"near what the dead time allows: {now_pct:.2f} % where {least_pct:.2f} % is the least"
    return f"room to improve: {now_pct:.2f} % where {least_pct:.2f} % would be possible with this dead time"


def index_of_run(deviation_pct: Array, web_m: npt.NDArray[np.float64], delay_m: float) -> float:
    """Harris index of a recorded mean or mode, resampled by web length. deviation_pct, web_m: (rows,)."""
    step_m = delay_m / 5.0
    grid = np.arange(web_m[0], web_m[-1], step_m)
    return harris_index(np.interp(grid, web_m, deviation_pct), delay=6, order=5)
