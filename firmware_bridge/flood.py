"""Who talks too much: a node that babbles takes the bus from the others. The bridge asks once a read.

In a quiet bus nothing is counted but frames. Only a read that brought far more than a line of this kind says makes the
next one be counted by identifier: a process that was stopped for a while finds a backlog once, a babbling node goes on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping

from firmware_bridge.codec import EXTENDED, Codec, key_of
from firmware_bridge.contract import BABBLE_FACTOR, Telegram
from firmware_bridge.frames import Frame

_STRANGERS = 20  # frames in a read that nodes not in the line's DBC may send, whoever they are


class FloodWatch:
    """Counts frames between two reads against what a line of these periods sends."""

    def __init__(self, codec: Codec, periods_s: Mapping[Telegram, float], read_s: float) -> None:
        """`periods_s` of the telegrams that are expected; others are events. `read_s`: time from read to read."""
        self._expected: dict[int, int] = {}
        for key, message, _ in codec.messages(list(Telegram)):
            self._expected[key] = max(1, math.ceil(read_s / periods_s.get(message.telegram, math.inf)))
        self._names = {key: message.name for key, message, _ in codec.messages(list(Telegram))}
        self._many = BABBLE_FACTOR * sum(self._expected.values()) + _STRANGERS
        self._frames = 0
        self._by_id: Counter[int] | None = None

    def see(self, frames: list[Frame]) -> None:
        """Take in what one look at the bus brought."""
        self._frames += len(frames)
        if self._by_id is not None:
            self._by_id.update(key_of(frame) for frame in frames if not frame.is_error)

    def end_of_read(self) -> list[str]:
        """What is wrong, in words, and begin anew."""
        counted, frames = self._by_id, self._frames
        self._frames, self._by_id = 0, Counter() if frames > self._many else None
        return [] if counted is None else list(self._babblers(counted.items()))

    def _babblers(self, counted: Iterable[tuple[int, int]]) -> Iterable[str]:
        for key, count in counted:
            expected = self._expected.get(key, 0)
            if count > (BABBLE_FACTOR * expected if expected else _STRANGERS):
                name = self._names.get(key, "a stranger")
                yield f"bus: {name} (0x{key & ~EXTENDED:X}) babbles: {count} frames in a cycle, expected {expected}"
