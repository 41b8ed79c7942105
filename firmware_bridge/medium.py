"""What a real wire does to frames, played on purpose: bit rate, loss, corruption, repetition, delay, and bus-off.

Seeded and without a clock of its own, so that a wire in lockstep and a hub between processes misbehave alike. The hub
and the lockstep bus import it.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from firmware_bridge.frames import Frame
from firmware_bridge.load import frame_time_s

FLIPPED_BITS_MAX = 8  # of a frame that is corrupted: one at least
WAITING_MAX = 4096  # frames that wait for a slow wire; more are lost where they were sent


@dataclass(frozen=True, slots=True)
class Played:
    """How the wire behaves. Shares are of all frames, 0 to 1; times in seconds. The default is a perfect wire.

    Corruption is what CAN's own CRC did not see: a gateway's memory, a driver's bug. Jitter comes on top of the delay,
    anew for every frame, so that frames overtake each other. `bus_off` are members (clients of a hub, by number) whose
    controller chips have left the bus: they send and hear nothing.
    """

    bitrate: int = 0  # bit/s; 0: frames take no time
    data_bitrate: int = 0  # bit/s of FD's data phase; 0: as bitrate
    loss: float = 0.0
    corruption: float = 0.0
    repetition: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    bus_off: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        bounds = {"bitrate": 1e7, "data_bitrate": 2e7, "delay_s": 60.0, "jitter_s": 60.0}
        for one in fields(self):
            value: Any = getattr(self, one.name)
            most = bounds.get(one.name, 1.0)
            if one.name != "bus_off" and not (math.isfinite(value) and 0.0 <= value <= most):
                raise ValueError(f"{one.name} = {value}: expected 0 to {most:g}")


class Medium:
    """The wire between members. Frames go in with `offer` and come out of `due`; time is the caller's, in seconds."""

    def __init__(self, played: Played, seed: int = 1) -> None:
        self.played = played
        self.lost = self.corrupted = self.repeated = 0
        self._random = np.random.default_rng(seed)
        self._waiting: list[tuple[int, int, float, Frame, int]] = []  # priority, number, since, frame, sender
        self._crossing: tuple[float, Frame, int] | None = None  # when it is over
        self._free_s = -math.inf
        self._late: list[tuple[float, int, Frame, int]] = []  # due, number, frame, sender
        self._number = 0

    def offer(self, frame: Frame, sender: int, now_s: float) -> None:
        """A member sends. What a member sends that is bus-off goes nowhere."""
        if sender in self.played.bus_off:
            self.lost += 1
            return
        self._number += 1
        if self.played.bitrate:
            if len(self._waiting) >= WAITING_MAX:
                self.lost += 1
                return
            priority = frame.can_id if frame.is_extended else frame.can_id << 18
            self._waiting.append((priority, self._number, now_s, frame, sender))
        else:
            self._spoil(frame, sender, now_s)

    def due(self, now_s: float) -> list[tuple[Frame, int]]:
        """Frames and senders that have come through by `now_s`, in the order in which they did."""
        self._arbitrate(now_s)
        through = []
        while self._late and self._late[0][0] <= now_s:
            _, _, frame, sender = heapq.heappop(self._late)
            through.append((frame, sender))
        return through

    def next_s(self) -> float | None:
        """When `due` is worth asking next; None while the wire is empty."""
        times = [self._late[0][0]] if self._late else []
        if self._crossing is not None:
            times.append(self._crossing[0])
        elif self._waiting:
            times.append(max(self._free_s, min(since for _, _, since, _, _ in self._waiting)))
        return min(times, default=None)

    def _arbitrate(self, now_s: float) -> None:
        """Let frames cross one by one, of those that wait the lowest identifier first."""
        while True:
            if self._crossing is not None:
                over_s, frame, sender = self._crossing
                if over_s > now_s:
                    return
                self._crossing, self._free_s = None, over_s
                self._spoil(frame, sender, over_s)
            if not self._waiting:
                return
            start_s = max(self._free_s, min(since for _, _, since, _, _ in self._waiting))
            if start_s > now_s:
                return
            first = min(one for one in self._waiting if one[2] <= start_s)
            self._waiting.remove(first)
            self._crossing = start_s + self._takes_s(first[3]), first[3], first[4]

    def _takes_s(self, frame: Frame) -> float:
        slow, fast = self.played.bitrate, self.played.data_bitrate
        return frame_time_s(len(frame.data), frame.is_fd, frame.is_extended, slow, fast or slow)

    def _spoil(self, frame: Frame, sender: int, now_s: float) -> None:
        """Lose, corrupt, repeat and delay, each by its share."""
        played, random = self.played, self._random
        if played.loss and random.random() < played.loss:
            self.lost += 1
            return
        if played.corruption and frame.data and random.random() < played.corruption:
            frame = self._flipped(frame)
        copies = 1
        if played.repetition and random.random() < played.repetition:
            self.repeated += 1
            copies = 2
        for _ in range(copies):
            late_s = played.delay_s + (played.jitter_s * random.random() if played.jitter_s else 0.0)
            self._number += 1
            heapq.heappush(self._late, (now_s + late_s, self._number, frame, sender))

    def _flipped(self, frame: Frame) -> Frame:
        self.corrupted += 1
        bits = self._random.choice(8 * len(frame.data), self._random.integers(1, FLIPPED_BITS_MAX + 1), replace=False)
        data = bytearray(frame.data)
        for bit in bits.tolist():
            data[bit // 8] ^= 1 << bit % 8
        return frame._replace(data=bytes(data))
