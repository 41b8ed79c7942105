"""The plant as a process of its own: steps at absolute deadlines, at a chosen multiple of real time.

Imported by the front door.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

LATE_STEPS = 10  # later than this, lost time is given up: a burst of steps would outrun the controller


class Stepped(Protocol):
    """Something that advances in simulated time, such as plant_sim.node.PlantNodes."""

    def step(self, dt_s: float) -> None: ...


class Pace:
    """Absolute deadlines: lateness of one step is not handed on to the next, so no error adds up."""

    def __init__(self, period_s: float, now_s: float) -> None:
        """period_s: wall time of one step. now_s: the wall clock."""
        self._period_s = period_s
        self._deadline_s = now_s
        self.given_up_s = 0.0  # wall time lost to being late

    def wait_s(self, now_s: float) -> float:
        """Time to sleep until the next step, 0 when it is already due."""
        self._deadline_s += self._period_s
        late_s = now_s - self._deadline_s
        if late_s > LATE_STEPS * self._period_s:
            self.given_up_s += late_s
            self._deadline_s = now_s
        return max(self._deadline_s - now_s, 0.0)


def realtime(
    nodes: Stepped,
    speed: float,
    dt_s: float,
    stop: Callable[[], bool],
    on_step: Callable[[], None] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Pace:
    """Step `nodes` by dt_s of line time every dt_s / speed of wall time until `stop()` is true. Returns the pace kept.

    Raises ValueError when speed or dt_s is not positive.
    """
    if not (speed > 0.0 and dt_s > 0.0):
        raise ValueError(f"realtime: speed and dt_s must be positive, found {speed!r} and {dt_s!r}")
    pace = Pace(dt_s / speed, clock())
    while not stop():
        nodes.step(dt_s)
        if on_step is not None:
            on_step()
        wait_s = pace.wait_s(clock())
        if wait_s > 0.0:
            sleep(wait_s)
    return pace
