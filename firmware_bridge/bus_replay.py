"""A recorded log as a bus: BLF, ASC and candump, by python-can's readers. The log's own time stamps are its time.

Whoever replays moves that time; nothing waits. Frames can be heard and not sent: a recording answers nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from struct import error as StructError
from zlib import error as ZlibError

import can
from can.io.blf import OBJ_HEADER_BASE_STRUCT, BLFParseError

from firmware_bridge.bus import BusError
from firmware_bridge.frames import Frame

SUFFIXES = (".blf", ".asc", ".log")
UNREADABLE = (  # what python-can's readers say of a log that is damaged
    OSError,
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    StructError,
    ZlibError,
    BLFParseError,
    can.CanError,
)


class _Blf(can.BLFReader):
    """python-can's reader goes round for ever at an object that calls itself shorter than its own header."""

    def _parse_data(self, data: bytes) -> Iterator[can.Message]:
        for at in _objects(data):
            length = OBJ_HEADER_BASE_STRUCT.unpack_from(data, at)[3]
            if length < OBJ_HEADER_BASE_STRUCT.size:
                yield from super()._parse_data(data[:at])
                raise BLFParseError(f"an object of {length} bytes, expected {OBJ_HEADER_BASE_STRUCT.size} or more")
        yield from super()._parse_data(data)


def _objects(data: bytes) -> Iterator[int]:
    """Where the objects of a container begin: each within the padding after the one before."""
    at = data.find(b"LOBJ", 0, 8)
    while 0 <= at <= len(data) - OBJ_HEADER_BASE_STRUCT.size:
        yield at
        after = at + OBJ_HEADER_BASE_STRUCT.unpack_from(data, at)[3]
        at = data.find(b"LOBJ", after, after + 8)


class ReplayBus:
    """Implements firmware_bridge.bus.Bus over a log. Time stamps that step back are taken as standing still."""

    def __init__(self, path: Path) -> None:
        """Open a log and stand before its first frame. Raises BusError: no such file, not a log, or without frames."""
        if path.suffix.lower() not in SUFFIXES:
            raise BusError(f"log {path}: suffix {path.suffix or '(none)'}, expected {', '.join(SUFFIXES)}")
        self._path = path
        self._fault: str | None = None
        self._ahead: Frame | None = None
        self._pending: list[Frame] = []
        self.frames = 0  # handed on so far
        try:
            self._reader = _Blf(path) if path.suffix.lower() == ".blf" else can.LogReader(path)
        except UNREADABLE as error:
            raise BusError(f"log {path}: {error}") from error
        self._messages: Iterator[can.Message] = iter(self._reader)
        self.now_s = -float("inf")
        self._look_ahead()
        if self._ahead is None:
            self.close()
            raise BusError(f"log {path}: {self._fault or 'holds no frame'}")
        self.now_s = self._ahead.t_s

    @property
    def ended(self) -> bool:
        """Whether every frame has been handed on."""
        return self._ahead is None and not self._pending

    def next_s(self) -> float | None:
        """Time of the next frame that has not come yet; None after the last."""
        return None if self._ahead is None else self._ahead.t_s

    def advance(self, to_s: float) -> None:
        """Let the log's time run to `to_s`: all frames up to then are pending."""
        self.now_s = max(self.now_s, to_s)
        while self._ahead is not None and self._ahead.t_s <= self.now_s:
            self._pending.append(self._ahead)
            self._look_ahead()

    def send(self, frame: Frame) -> None:
        raise BusError(f"log {self._path}: a recording takes no frames")

    def receive(self) -> list[Frame]:
        frames, self._pending = self._pending, []
        self.frames += len(frames)
        return frames

    def wait(self, timeout_s: float) -> bool:
        """True when a frame is pending. Never sleeps."""
        return bool(self._pending)

    def fault(self) -> str | None:
        """Why the log breaks off, where it does; that it is over is none (`ended`)."""
        return None if self._fault is None else f"log {self._path}: {self._fault}"

    def close(self) -> None:
        self._ahead, self._messages = None, iter(())
        self._pending.clear()
        self._reader.stop()

    def _look_ahead(self) -> None:
        """Read one frame on. A log that breaks off, as a kill leaves it, is over there."""
        earliest_s = self._ahead.t_s if self._ahead is not None else self.now_s
        self._ahead = None
        while True:
            try:
                message = next(self._messages, None)
            except UNREADABLE as error:
                self._fault = f"cannot be read further: {error}"
                return
            if message is None:
                return
            if not message.is_remote_frame:
                break
        self._ahead = Frame(
            message.arbitration_id,
            bytes(message.data),
            message.is_fd,
            message.is_extended_id,
            max(message.timestamp, earliest_s),
            message.is_error_frame,
        )


def write_log(frames: Iterable[Frame], path: Path, epoch_s: float = 1.7e9) -> Path:
    """Log frames in the format of the suffix, `epoch_s` added to their times. Returns `path`. Raises OSError."""
    with can.Logger(path) as logger:
        for frame in frames:
            logger(
                can.Message(
                    timestamp=epoch_s + frame.t_s,
                    arbitration_id=frame.can_id,
                    data=frame.data,
                    is_fd=frame.is_fd,
                    bitrate_switch=frame.is_fd,
                    is_extended_id=frame.is_extended,
                )
            )
    return path
