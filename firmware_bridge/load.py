"""How full the bus is, in the worst case, from what is sent how often. Settings checks and the codec import it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


def frame_time_s(size: int, is_fd: bool, is_extended: bool, bitrate: int, data_bitrate: int) -> float:
    """Longest time one frame of `size` payload bytes occupies the bus, interframe space included.

    Classic CAN: 8n + 47 bits and a stuff bit after every four of the 34 + 8n that are stuffed (Davis et al. 2007);
    29-bit identifiers add 20 bits that are stuffed too. CAN FD (ISO 11898-1:2015): arbitration, end and interframe
    space at the nominal rate, the rest at the data rate, with the stuff count and the fixed stuff bits of the CRC.
    """
    bits = 8 * size
    extension = 20 if is_extended else 0
    if not is_fd:
        return (bits + 47 + extension + (34 + extension + bits - 1) // 4) / bitrate
    nominal = 30 + 4 + extension + extension // 4
    crc, fixed_stuff = (17, 6) if size <= 16 else (21, 7)
    data = 5 + bits + 4 + crc + fixed_stuff + (5 + bits) // 4
    return nominal / bitrate + data / data_bitrate


@dataclass(frozen=True, slots=True)
class MessageLoad:
    """One message's share of the bus."""

    name: str
    can_id: int
    size: int
    rate_hz: float
    frame_s: float

    @property
    def load_pct(self) -> float:
        return 100.0 * self.rate_hz * self.frame_s


@dataclass(frozen=True, slots=True)
class BusLoad:
    """All messages, most urgent first."""

    messages: tuple[MessageLoad, ...]

    @property
    def total_pct(self) -> float:
        return sum(message.load_pct for message in self.messages)

    @property
    def frames_per_s(self) -> float:
        return sum(message.rate_hz for message in self.messages)


def bus_load(rows: Iterable[tuple[str, int, int, bool, bool, float]], bitrate: int, data_bitrate: int) -> BusLoad:
    """Load of messages given as (name, identifier, bytes, is_fd, is_extended, frames per second)."""
    messages = [
        MessageLoad(name, can_id, size, rate_hz, frame_time_s(size, is_fd, is_extended, bitrate, data_bitrate))
        for name, can_id, size, is_fd, is_extended, rate_hz in rows
    ]
    return BusLoad(tuple(sorted(messages, key=lambda message: message.can_id)))
