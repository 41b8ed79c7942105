"""A bus inside one process, in lockstep: what is sent is pending at once at every other node, in order, lost never.

It models no bit rate, arbitration or errors; PlayedHub does. Simulations and tests may import it; so may evencoat.
"""

from __future__ import annotations

from collections.abc import Callable

from firmware_bridge.bus import BusError
from firmware_bridge.error_frames import bus_off_frame, restarted_frame
from firmware_bridge.frames import Frame
from firmware_bridge.medium import Medium

Tap = Callable[[Frame], None]


class MemoryHub:
    """The wire itself. Not thread-safe: lockstep means one thread."""

    def __init__(self) -> None:
        self._members: list[MemoryBus] = []
        self._taps: list[Tap] = []

    def attach(self, queue_frames: int = 65536) -> MemoryBus:
        """A new node on the wire. A queue that is full drops the newest frame and counts it in `MemoryBus.dropped`."""
        bus = MemoryBus(self, queue_frames)
        self._members.append(bus)
        self._introduce()
        return bus

    def tap(self, listener: Tap) -> None:
        """Call `listener` with every frame as it crosses the wire, before any node reads it (logs, checkers)."""
        self._taps.append(listener)

    def _detach(self, bus: MemoryBus) -> None:
        if bus in self._members:
            self._members.remove(bus)
            self._introduce()

    def _introduce(self) -> None:
        """Let each member know the others."""
        for bus in self._members:
            bus._others = tuple(member for member in self._members if member is not bus)


class MemoryBus:
    """One node's end of a MemoryHub. Implements firmware_bridge.bus.Bus."""

    __slots__ = ("_closed", "_hub", "_limit", "_others", "_pending", "_taps", "dropped")

    def __init__(self, hub: MemoryHub, queue_frames: int) -> None:
        self._hub, self._taps = hub, hub._taps
        self._limit = queue_frames
        self._others: tuple[MemoryBus, ...] = ()
        self._pending: list[Frame] = []
        self._closed = False
        self.dropped = 0

    def send(self, frame: Frame) -> None:
        if self._closed:
            raise BusError("memory bus: closed")
        for listener in self._taps:
            listener(frame)
        for member in self._others:
            if len(member._pending) < member._limit:
                member._pending.append(frame)
            else:
                member.dropped += 1

    def receive(self) -> list[Frame]:
        pending, self._pending = self._pending, []
        return pending

    def wait(self, timeout_s: float) -> bool:
        """True when a frame is pending. Never sleeps: in lockstep nobody else could send meanwhile."""
        return bool(self._pending)

    def fault(self) -> str | None:
        return "memory bus: closed" if self._closed else None

    def close(self) -> None:
        self._closed = True
        self._pending.clear()
        self._hub._detach(self)


class PlayedHub(MemoryHub):
    """A MemoryHub whose wire misbehaves as its Medium says. `clock` tells line time in seconds; members are numbered
    from 0 in the order in which they were attached.
    """

    def __init__(self, medium: Medium, clock: Callable[[], float] = float) -> None:
        super().__init__()
        self.medium, self.clock = medium, clock

    def attach(self, queue_frames: int = 65536) -> MemoryBus:
        bus = PlayedBus(self, queue_frames, len(self._members))
        self._members.append(bus)
        self._introduce()
        return bus

    def through(self) -> None:
        """Hand on what has come through by now."""
        off = self.medium.played.bus_off
        for frame, sender in self.medium.due(self.clock()):
            for member in self._members:
                if isinstance(member, PlayedBus) and member.number != sender and member.number not in off:
                    member.take(frame)


class PlayedBus(MemoryBus):
    """One node's end of a PlayedHub. Its chip tells it of bus-off and of the restart by error frames."""

    __slots__ = ("_is_off", "_played", "number")

    def __init__(self, hub: PlayedHub, queue_frames: int, number: int) -> None:
        super().__init__(hub, queue_frames)
        self._played, self.number, self._is_off = hub, number, False

    def send(self, frame: Frame) -> None:
        if self._closed:
            raise BusError("memory bus: closed")
        for listener in self._taps:
            listener(frame)
        self._played.medium.offer(frame, self.number, self._played.clock())

    def receive(self) -> list[Frame]:
        self._played.through()
        is_off = self.number in self._played.medium.played.bus_off
        if is_off is not self._is_off:
            self._is_off = is_off
            self._pending.append(bus_off_frame() if is_off else restarted_frame())
        return super().receive()

    def wait(self, timeout_s: float) -> bool:
        self._played.through()
        return bool(self._pending)

    def fault(self) -> str | None:
        return "memory bus: bus-off" if self._is_off else super().fault()

    def take(self, frame: Frame) -> None:
        """A frame has come."""
        if len(self._pending) < self._limit:
            self._pending.append(frame)
        else:
            self.dropped += 1
