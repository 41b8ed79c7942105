"""What the feedback says of each bolt's motor: one that does not go, one that crawls, one whose position is noisy."""

from __future__ import annotations

from collections import deque

import numpy as np

from controller.line.description import Array, BoolArray, LineDescription

LOOK_S = 1.0
STOOD_LOOKS, STOOD_UM = 6, 0.12  # less than so far in so many looks is standing
LATELY = 0.15  # of the way in those looks, in the last two of them: less is a motor that has just stopped
LEFT_SHARE = 0.3  # of what is away: so far is one that the loop leaves alone (it leaves those, too, that move no web)
STILL_LOOKS = 4  # looks that a motor has to stand away from where it was sent
KEPT = 0.97  # of evidence from look to look


class Motors:
    """Evidence of each motor, in looks at which it stood still or crawled away from its target; (zones,)."""

    def __init__(self, line: LineDescription) -> None:
        lips, zones = line.lips, line.zones
        self._step_um = 0.75 * max(lips.resolution_um, lips.command_step_um) + 0.2
        self._reach_um = 0.25 * lips.rate_um_per_s * LOOK_S * STOOD_LOOKS
        self._noise_floor_um = 0.1 + 0.2 * lips.resolution_um
        self._quick_um = lips.rate_um_per_s * line.control.cycle_s
        self.stuck, self.slow = np.zeros(zones), np.zeros(zones)
        self.jitter_um2 = np.zeros(zones)
        self.apart_um = np.zeros(zones)
        self.unanswered = np.zeros(zones, dtype=np.bool_)  # it goes where it is sent, and still the loop left it alone
        self._sum = np.zeros((2, zones))
        self._cycles, self._elapsed_s = 0, 0.0
        self._before: Array | None = None
        self._stood: deque[Array] = deque(maxlen=STOOD_LOOKS + 1)
        self._sent_before: Array | None = None

    def see(self, gap_um: Array, target_um: Array, lost: BoolArray, dt_s: float) -> None:
        """One cycle: positions fed back, where the bolts were sent, and which the loop left alone."""
        if self._before is not None:
            step = gap_um - self._before
            share = min(dt_s / 5.0, 1.0)
            self.jitter_um2 += share * (np.square(np.clip(np.abs(step) - self._quick_um, 0.0, 20.0)) - self.jitter_um2)
        self._before = gap_um
        self._sum[0] += gap_um
        self._sum[1] += target_um
        self._cycles += 1
        self._elapsed_s += dt_s
        if self._elapsed_s >= LOOK_S:
            self._look(self._sum[0] / self._cycles, self._sum[1] / self._cycles, lost)
            self._sum[:] = 0.0
            self._cycles, self._elapsed_s = 0, 0.0

    def _look(self, at_um: Array, sent_um: Array, lost: BoolArray) -> None:
        """Compare with where it stood some looks ago: one that crawls is told from one that stands by that alone."""
        self._stood.append(at_um)
        if self._sent_before is not None and len(self._stood) == self._stood.maxlen:
            went_um = at_um - self._stood[0]
            self.apart_um = self._sent_before - self._stood[-2]
            slack = self._step_um + 3.0 * np.sqrt(self.jitter_um2) + 0.5 * np.abs(sent_um - self._sent_before)
            away = np.abs(self.apart_um) > np.where(lost, LEFT_SHARE * slack, slack)
            stands = np.abs(went_um) < STOOD_UM
            toward = ~stands & (np.sign(went_um) == np.sign(self.apart_um)) & (np.abs(went_um) < self._reach_um)
            toward &= away & (np.abs(at_um - self._stood[-3]) > LATELY * np.abs(went_um))  # it goes on crawling
            self.stuck = np.where(away & stands, self.stuck + 1.0, np.where(~stands, 0.0, KEPT * self.stuck))
            self.slow = np.where(toward, self.slow + 1.0, KEPT * self.slow)
            self.unanswered = lost & (np.maximum(self.stuck, self.slow) < STILL_LOOKS)
        self._sent_before = sent_um

    def noisy(self) -> Array:
        """Jitter of the feedback beyond what the motor can do in a cycle, times what may be; (zones,)."""
        return np.asarray(np.sqrt(self.jitter_um2) / self._noise_floor_um)
