"""What a bus is to the rest of the house: a few verbs and one error. Adapters live in bus_*.py; all may import this."""

from __future__ import annotations

from typing import Protocol

from firmware_bridge.frames import Frame


class BusError(Exception):
    """A frame could not be handed to the bus: it is down, gone or full. The text says which."""


class Bus(Protocol):
    """A CAN bus as one node sees it. Frames arrive in the order they were sent; a node never hears itself.

    Some interfaces do echo (udp_multicast): whoever reads must ignore frames that it sent.
    """

    def send(self, frame: Frame) -> None:
        """Hand over one frame; waits a moment at most, when the queue is full. Raises BusError."""
        ...

    def receive(self) -> list[Frame]:
        """Everything pending, oldest first; never blocks and never raises: a bus that is down brings nothing."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Sleep until a frame is pending (True) or the time is over (False)."""
        ...

    def fault(self) -> str | None:
        """Why the bus is down, in plain words, or None while it works."""
        ...

    def close(self) -> None:
        """Release the bus. Closing twice is harmless."""
        ...
