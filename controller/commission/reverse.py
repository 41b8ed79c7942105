"""A reverse bump test while the line runs: ask for a slightly uneven web, and see how well the loop knows its die.

In AUTO, few well separated zones are asked to be a little off target, up and down in turn, by a share of the tolerance;
then the target is as before. The lips make large moves for these small changes, large enough for `core.adapt` to learn
from what comes back. It begins when the web is well inside its tolerance and ends when it comes near to it: where the
map is right the web follows the target, where it is wrong it goes elsewhere by about as little. The whole test is a
request like any other; the core bounds and ends it.
"""

from __future__ import annotations

import math

import numpy as np

from controller.core.offset import SHARE_MAX
from controller.core.response import believe
from controller.core.step import Config
from controller.core.trace import Trace
from controller.line.command import Mode, OperatorRequest, Rung
from controller.line.description import Array, LineDescription

SHARE = 0.15  # of the tolerance, that a zone is off target at least; up to offset.SHARE_MAX where play asks for it
APART = (3, 4, 5, 6)  # zones from bump to bump: neighbours' kernels hardly overlap
HOLD_DELAYS = 3.25  # dead times of web that a pattern is held: adapt looks once a dead time, and a swing in the middle
# of one is two halves to it; no whole number, so that not all of them are
SWINGS = 12
MARGIN = 1.2  # times the moves that adapt looks at
ROOM = 3.0  # times the bumps' share that the web has to be inside its tolerance before the first one
NEAR = 0.9  # of the tolerance: a web that is believed so far off is left alone
TOO_UNEVEN = "the web came too near to its tolerance"
NOT_THE_LAW = "no bumps are made here: the law is not the adaptive one, or a head behind the dryer is the only gauge"
TOO_MUCH_PLAY = "play and resolution would swallow what bumps inside the tolerance make of the lips: commission instead"


def patterns(line: LineDescription) -> tuple[list[Array], float]:
    """Profiles to ask for, (zones,) each, log, a unit high: bumps up and down in turn, at every place. And their worth.

    The distance between bumps is the one for which the lips have to move most, by the map that is believed; their
    worth is that move: RMS over bolts and patterns, um per unit.
    """
    model = believe(line)
    best: tuple[list[Array], float] = ([], 0.0)
    for apart in (one for one in APART if one < line.zones):
        shapes = []
        for first in range(apart):
            places = np.arange(first, line.zones, apart)
            shape = np.zeros(line.zones)
            shape[places] = 1.0 - 2.0 * (np.arange(places.size) % 2)
            shapes.append(shape - shape.mean())
        moves_um = [model.shapes @ ((shape @ model.profiles) / model.gains) for shape in shapes]
        worth = float(np.sqrt(np.mean(np.square(moves_um))))
        best = max(best, (shapes, worth), key=lambda one: one[1])
    return best


class ReverseBump:
    """One test of one line that runs in AUTO: `turn` after every cycle gives what to ask for, if anything.

    `over` once it has ended, and `why`. It ends by itself where the loop is not in AUTO on its own law any more, and
    before it begins where nothing could come of it.
    """

    def __init__(self, config: Config, swings: int = SWINGS) -> None:
        line = config.line
        known = None if line.primary_gauge.is_scanner else config.adaptation  # a test would take an hour there
        self._shapes, worth = patterns(line)
        self._hold_m = HOLD_DELAYS * line.primary_gauge.distance_m
        self.swings, self._next_m = swings, -math.inf
        self.done, self.over, self.why = 0, False, ""
        self._target_gsm = line.target_profile_gsm
        self._tolerance_log = math.log1p(line.target.tolerance_pct / 100.0)
        least_um = 0.5 * (known.least_um + known.play_um) if known is not None else math.inf  # from swing to swing
        needed = MARGIN * least_um / max(worth * self._tolerance_log, 1e-9)
        self.share = max(SHARE, needed)
        if needed > SHARE_MAX:
            self.over, self.why = True, TOO_MUCH_PLAY if known is not None else NOT_THE_LAW
        self._size_log = self.share * self._tolerance_log

    def turn(self, trace: Trace) -> OperatorRequest | None:
        """After a cycle."""
        if self.over:
            return None
        if trace.mode_actual is not Mode.AUTO or trace.rung is not Rung.OWN:
            return self._end(f"the loop is not in AUTO on its own law: {trace.outcome}")
        nearness = self._nearness(trace)
        if nearness > NEAR:
            return self._end(TOO_UNEVEN)
        if trace.web_m < self._next_m or (not self.done and nearness > 1.0 - ROOM * self.share):
            return None
        if self.done >= self.swings:
            return self._end("all bumps were made")
        shape = self._shapes[self.done // 2 % len(self._shapes)]
        size_log = self._size_log if self.done % 2 == 0 else -self._size_log
        self.done, self._next_m = self.done + 1, trace.web_m + self._hold_m
        return OperatorRequest(offset_log=size_log * shape, offset_m=1.5 * self._hold_m)

    def _nearness(self, trace: Trace) -> float:
        """How far the zone that is furthest off is from its target, as believed, over the tolerance."""
        return float(np.abs(np.log(trace.profile_gsm / self._target_gsm)).max()) / self._tolerance_log

    def _end(self, why: str) -> OperatorRequest:
        """Back to the target."""
        self.over, self.why = True, why
        return OperatorRequest(offset_log=np.zeros(self._shapes[0].size))
