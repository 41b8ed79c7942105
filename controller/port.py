"""LinePort: the only door between the loop and a line, whatever the line is made of."""

from __future__ import annotations

from typing import Protocol

from controller.line.command import ActuatorCommand
from controller.line.profile import LineInputs


class LinePort(Protocol):
    """A line the loop can read and command. firmware_bridge.bridge implements it over any bus."""

    def read(self) -> LineInputs | None:
        """Everything that came in since the last call, or None until the line has been heard completely once."""
        ...

    def listen(self, timeout_s: float) -> int | None:
        """Wait for the line to say something, at most `timeout_s` of wall time, and take it in for the next read.

        Returns the line time (ns) of a SYNC that is newer than the last one told, or None.
        """
        ...

    def write(self, command: ActuatorCommand) -> bool:
        """Send a certified command. False when the transmit gate refused it; nothing was sent then."""
        ...

    def rearm(self) -> None:
        """Ask latched nodes to accept commands again."""
        ...

    def close(self) -> None:
        """Say good-bye on the bus and release it."""
        ...
