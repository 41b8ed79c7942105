"""Clocks of the loop. Line time is the time base that SYNC carries; the loop lives in it and never in wall time.

A plant played at twenty times its speed and a real line therefore look alike: only the rate of line time against the
machine's own clock differs, and that is measured, never configured.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

NS = 1_000_000_000
RATE_MEMORY_NS = 2 * NS  # wall time over which the rate of line time is averaged
RATE_SPAN_MIN_NS = NS // 20  # a rate measured over less says more of scheduling than of line time
RESET_NS = 5 * NS  # a jump of line time larger than this is a new time base


class Clock(Protocol):
    """What the loop needs of time."""

    @property
    def settled(self) -> bool:
        """Whether the rate of line time is known, so that deadlines mean something."""
        ...

    def observe(self, t_line_ns: int) -> None:
        """SYNC said that it is now `t_line_ns` of line time."""
        ...

    def now_ns(self) -> int:
        """Line time now, ns."""
        ...

    def wall_s_until(self, t_line_ns: int) -> float:
        """Wall time until `t_line_ns` of line time, s; negative by how long it is past."""
        ...


class SyncClock:
    """Line time that follows SYNC: offset from the newest one, rate from the last two seconds of wall time.

    Between two SYNCs it runs on at the last rate; when SYNC falls silent it keeps doing so, and the port's link health
    says that the encoder is lost.
    """

    def __init__(self, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._monotonic_ns = monotonic_ns
        self._anchor: tuple[int, int] | None = None  # (mono, line) where the rate is measured from
        self._latest: tuple[int, int] = (monotonic_ns(), 0)
        self._rate = 1.0
        self.settled = False

    @property
    def rate(self) -> float:
        """Line seconds in a second of wall time."""
        return self._rate

    def observe(self, t_line_ns: int) -> None:
        """Take in a SYNC. The same time again changes nothing; a jump starts a new time base."""
        mono = self._monotonic_ns()
        if t_line_ns == self._latest[1]:
            return
        jumped = t_line_ns < self._latest[1] or t_line_ns - self.now_ns() > RESET_NS * max(self._rate, 1.0)
        if self._anchor is None or jumped:
            self._anchor = (mono, t_line_ns)
        self._latest = (mono, t_line_ns)
        span = mono - self._anchor[0]
        if span > RATE_SPAN_MIN_NS:
            self.settled = True
            self._rate = (t_line_ns - self._anchor[1]) / span
        if span > RATE_MEMORY_NS:  # let the anchor follow at half the memory
            keep = span // 2
            self._anchor = (mono - keep, t_line_ns - int(keep * self._rate))

    def now_ns(self) -> int:
        """Line time now, ns: the newest SYNC plus what has passed since, at the measured rate."""
        mono, line = self._latest
        return line + int((self._monotonic_ns() - mono) * self._rate)

    def wall_s_until(self, t_line_ns: int) -> float:
        """Wall time until `t_line_ns` of line time at the measured rate, s."""
        return (t_line_ns - self.now_ns()) / max(self._rate, 1e-3) / NS


class LockstepClock:
    """Line time as the port last reported it: plant and controller take turns and nobody waits."""

    settled = True

    def __init__(self) -> None:
        self._t_line_ns = 0

    def observe(self, t_line_ns: int) -> None:
        """The plant's time."""
        self._t_line_ns = t_line_ns

    def now_ns(self) -> int:
        """The plant's time."""
        return self._t_line_ns

    def wall_s_until(self, t_line_ns: int) -> float:
        """Nothing to wait for: the caller advances the plant."""
        return 0.0
