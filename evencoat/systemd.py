"""What systemd is told of a service, by the protocol of sd_notify(3), and the unit that a line runs in.

Without NOTIFY_SOCKET in the environment nothing is told. A notice that cannot be delivered is dropped: whoever watches
draws his own conclusions from silence.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from importlib import resources

FEEDS_A_PERIOD = 4  # of the watchdog: so many notices in the time after which silence counts


class Notifier:
    """Says READY, STATUS and WATCHDOG to whoever started this process. Never blocks, never raises."""

    def __init__(
        self, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._to = environment.get("NOTIFY_SOCKET", "")
        self._clock, self._due_s = clock, 0.0
        self._every_s = _watched_us(environment) / 1e6 / FEEDS_A_PERIOD
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) if self._to else None
        if self._socket is not None:
            self._socket.setblocking(False)

    def tell(self, **what: str) -> None:
        """One notice: tell(READY="1", STATUS="holds")."""
        if self._socket is not None:
            to = f"\0{self._to[1:]}" if self._to.startswith("@") else self._to  # @: an abstract socket
            with contextlib.suppress(OSError):
                self._socket.sendto("\n".join(f"{key}={value}" for key, value in what.items()).encode(), to)

    def alive(self) -> None:
        """WATCHDOG=1, where somebody watches and it is time again."""
        if self._every_s > 0.0 and self._clock() >= self._due_s:
            self._due_s = self._clock() + self._every_s
            self.tell(WATCHDOG="1")

    def close(self) -> None:
        """No more notices."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _watched_us(environment: Mapping[str, str]) -> int:
    """WATCHDOG_USEC, where it is meant for this process or for the guard that forked it; 0 for nobody watches."""
    meant = environment.get("WATCHDOG_PID", str(os.getpid()))
    if meant not in (str(os.getpid()), str(os.getppid())):
        return 0
    period_us = environment.get("WATCHDOG_USEC", "0")
    return int(period_us) if period_us.isdecimal() else 0


def unit(command: str) -> str:
    """The unit file of a line, evencoat@LINE.service; `command` is what `evencoat` is called by, with its path."""
    text = resources.files("evencoat").joinpath("evencoat@.service").read_text(encoding="utf-8")
    return text.replace("/usr/bin/evencoat", command)
