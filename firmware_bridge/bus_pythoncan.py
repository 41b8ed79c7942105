"""Any python-can interface as a Bus: real hardware, the hub, udp_multicast. open_bus() is the door for everybody.

An own receive loop instead of can.Notifier, whose thread dies for good with the first error. A bus that fails is
reopened with back-off; nothing here raises out of receive().
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable
from typing import Any

import can

from firmware_bridge.bus import Bus, BusError
from firmware_bridge.contract import WireDescription
from firmware_bridge.error_frames import RESTARTED, describe, is_bus_off
from firmware_bridge.frames import Frame

_LOG = logging.getLogger(__name__)

RECEIVE_BUFFER_BYTES = 8 << 20  # the default keeps 278 of 2,000 frames while the reader is away
_SEND_PATIENCE_S = 0.1  # a burst may fill a queue for a moment; a bus that stays full is a fault
_FRAMES_PER_CALL = 20_000  # receive() returns after so many, whatever a flooding node does
_BACK_OFF_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_SO_RCVBUFFORCE = 33  # Linux: beyond rmem_max, for those who may


def open_bus(address: str, wire: WireDescription) -> Bus:
    """Open "INTERFACE:CHANNEL" ("socketcan:can0", "evencoat:/run/line.sock"); "" means the line file's own [bus].

    Raises BusError when it cannot be opened: at start a wrong name must be told, not retried for ever.
    """
    interface, colon, channel = address.partition(":") if address else (wire.interface, ":", wire.channel)
    if not interface or not colon or not channel:
        raise BusError(f"bus {address!r}: expected INTERFACE:CHANNEL, such as socketcan:can0")
    options: dict[str, object] = {"fd": wire.fd, "bitrate": wire.bitrate, "data_bitrate": wire.data_bitrate}
    if interface == "udp_multicast":
        options["hop_limit"] = 0  # python-can's default lets the frames out into the plant network
    options.update(wire.options)

    def connect() -> can.BusABC:
        return can.Bus(channel=channel, interface=interface, ignore_config=True, **options)  # type: ignore[arg-type]

    return PythonCanBus(f"{interface}:{channel}", connect)


class PythonCanBus:
    """Implements firmware_bridge.bus.Bus over a python-can bus that `connect` makes, now and after every failure."""

    def __init__(
        self, name: str, connect: Callable[[], can.BusABC], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Open the bus once. Raises BusError. `clock` (seconds) paces the reopening."""
        self._name = name
        self._connect = connect
        self._clock = clock
        self._bus: can.BusABC | None = None
        self._pending: list[Frame] = []
        self._closed = False
        self._fault: str | None = None
        self._bus_off = False
        self._error_told = ""
        self._failures = 0
        self._retry_at_s = 0.0
        self._open()
        if self._bus is None:
            raise BusError(f"{name}: {self._fault}")

    def send(self, frame: Frame) -> None:
        bus = self._usable()
        if bus is None:
            raise BusError(f"{self._name}: {self._fault}")
        message = can.Message(
            arbitration_id=frame.can_id,
            is_extended_id=frame.is_extended,
            is_error_frame=frame.is_error,
            is_fd=frame.is_fd,
            bitrate_switch=frame.is_fd,
            data=frame.data,
        )
        try:
            bus.send(message, timeout=_SEND_PATIENCE_S)
        except (can.CanError, OSError, ValueError) as error:
            if not _is_full(error):
                self._fail(error)
            raise BusError(f"{self._name}: {error}") from error

    def receive(self) -> list[Frame]:
        frames, self._pending = self._pending, []
        bus = self._usable()
        while bus is not None and len(frames) < _FRAMES_PER_CALL:
            frame = self._next(bus, 0.0)
            if frame is None:
                break
            frames.append(frame)
        return frames

    def wait(self, timeout_s: float) -> bool:
        if self._pending:
            return True
        bus = self._usable()
        if bus is None:
            time.sleep(min(timeout_s, _BACK_OFF_S[0]))
            return False
        try:
            descriptor = bus.fileno()
        except NotImplementedError:
            descriptor = -1
        if descriptor >= 0:  # select, for poll and epoll count in whole milliseconds and wake that much late
            return bool(select.select((descriptor,), (), (), timeout_s)[0])
        frame = self._next(bus, timeout_s)
        if frame is not None:
            self._pending.append(frame)
        return frame is not None

    def fault(self) -> str | None:
        if self._fault is not None:
            return f"{self._name}: {self._fault}"
        return f"{self._name}: bus-off" if self._bus_off else None

    def close(self) -> None:
        self._closed = True
        self._fault = "closed"
        self._release()

    def _next(self, bus: can.BusABC, timeout_s: float) -> Frame | None:
        """One frame, or None when there is none or the bus has just failed."""
        while True:
            try:
                message = bus.recv(timeout_s)
            except (can.CanError, OSError, ValueError) as error:
                self._fail(error)
                return None
            if message is None:
                return None
            if message.is_remote_frame:
                continue
            frame = Frame(
                message.arbitration_id,
                bytes(message.data),
                message.is_fd,
                message.is_extended_id,
                message.timestamp,
                message.is_error_frame,
            )
            self._note(frame)
            return frame

    def _note(self, frame: Frame) -> None:
        """Keep track of bus-off by the frames themselves: python-can's bus.state stays ACTIVE."""
        if not frame.is_error:
            self._bus_off, self._error_told = False, ""
            return
        words = describe(frame)
        if words != self._error_told:  # a flood of error frames must not flood the log
            self._error_told = words
            _LOG.warning("%s: %s", self._name, words)
        if is_bus_off(frame):
            self._bus_off = True
        elif frame.can_id & RESTARTED:
            self._bus_off = False

    def _usable(self) -> can.BusABC | None:
        if self._bus is None and not self._closed and self._clock() >= self._retry_at_s:
            self._open()
        return self._bus

    def _open(self) -> None:
        try:
            self._bus = self._connect()
        except (can.CanError, OSError, ValueError, ImportError, RuntimeError) as error:
            self._fail(error)
            return
        self._fault, self._failures, self._bus_off = None, 0, False
        _raise_receive_buffer(self._bus)

    def _fail(self, error: Exception) -> None:
        self._fault = f"down: {error}"
        _LOG.warning("%s: %s", self._name, self._fault)
        self._release()
        self._retry_at_s = self._clock() + _BACK_OFF_S[min(self._failures, len(_BACK_OFF_S) - 1)]
        self._failures += 1

    def _release(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            with contextlib.suppress(can.CanError, OSError):
                bus.shutdown()


def _is_full(error: Exception) -> bool:
    """Whether a send failed only because the queue is full (ENOBUFS, EAGAIN): no reason to reopen."""
    code = getattr(error, "error_code", None) or getattr(error, "errno", None)
    return code in {11, 105} or isinstance(error, can.CanTimeoutError)


def _raise_receive_buffer(bus: Any) -> None:
    """Let the kernel keep more frames while this process is busy. Interfaces without a socket are left alone."""
    holder = getattr(bus, "_multicast", bus)
    for name in ("socket", "sock", "_socket"):
        sock = getattr(holder, name, None)
        if isinstance(sock, socket.socket):
            try:
                sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
            except OSError:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            return
