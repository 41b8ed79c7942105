"""How many metres out of tolerance a test has cost so far, as the gauges tell; doubtful metres count.

A metre is out when more than 2 % of its width is. What the truest gauge has seen counts as it saw it, younger web as
the gauge next to the die sees it with what the truer one has taught of it, and web that nobody has seen yet as the
newest that was seen.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from controller.line.description import Array, LineDescription

OUT_WIDTH_SHARE = 0.02
DOUBTED = 0.85  # of the tolerance: beyond this a zone's mean counts as out, for strips in it may be
SMOOTHED_S = 1.5  # noise of single scans is no scrap
FIRST_M = 1e-9


@dataclass(slots=True)
class _Tally:
    """One gauge's count along the web at the die, m."""

    upto_m: float
    out_m: float = 0.0
    out_now: bool = True  # nothing is known to be well before it was seen


class Budget:
    """Counts for one line from web position `start_m` on."""

    def __init__(self, line: LineDescription, start_m: float, budget_m: float) -> None:
        self._line, self.budget_m = line, budget_m
        self._tolerance = line.target.tolerance_pct / 100.0
        self._near, self._far = _Tally(start_m), _Tally(start_m)
        self._marks: deque[tuple[float, float]] = deque([(start_m, 0.0)])  # near gauge: web, metres out until there
        self._now_m = self._start_m = start_m
        self._distance_m = line.primary_gauge.distance_m
        self.out_now = True  # the newest web seen is out of tolerance; before any is seen it is taken to be
        self.inside_m = 0.0  # web inside without a break, as the near gauge sees it

    def near(self, error: Array, laid_m: float) -> None:
        """What the gauge that closes the loop makes of the web laid until laid_m; error (zones,), corrected, log."""
        passed_m = _count(self._near, self._out(error, DOUBTED), laid_m)
        self.out_now = self._out(error, 1.0)
        self.inside_m = 0.0 if self.out_now else self.inside_m + passed_m
        self._marks.append((laid_m, self._near.out_m))

    def far(self, error: Array, laid_m: float) -> None:
        """What the truest gauge makes of the web laid until laid_m."""
        _count(self._far, self._out(error, DOUBTED), laid_m)
        while len(self._marks) > 1 and self._marks[1][0] <= self._far.upto_m:
            self._marks.popleft()

    def now(self, web_m: float) -> None:
        """The web has come so far."""
        self._now_m = max(self._now_m, web_m)

    @property
    def seen_m(self) -> float:
        """Web that the gauge that closes the loop has judged, m, and what was under way to it at the start."""
        return self._near.upto_m - self._start_m + self._distance_m

    @property
    def spent_m(self) -> float:
        """Metres out of tolerance that this has cost, those included that nobody has seen yet."""
        unseen_m = max(self._now_m - self._near.upto_m, 0.0) if self._near.out_now else 0.0
        return self._far.out_m + self._near.out_m - self._marks[0][1] + unseen_m

    @property
    def left_m(self) -> float:
        """What may still be spent."""
        return self.budget_m - self.spent_m

    def _out(self, error: Array, share: float) -> bool:
        return float(np.mean(np.abs(np.expm1(error)) > share * self._tolerance)) > OUT_WIDTH_SHARE


def _count(tally: _Tally, out: bool, laid_m: float) -> float:
    passed_m = laid_m - tally.upto_m
    if passed_m <= FIRST_M:
        return 0.0
    tally.out_m += passed_m if out else 0.0
    tally.out_now, tally.upto_m = out, laid_m
    return passed_m
