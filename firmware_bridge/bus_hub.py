"""A CAN bus between processes of one machine, without CAN hardware and without root: a hub on a Unix socket.

HubServer carries frames between its clients; HubBus is the client, a python-can interface registered under the entry
point `evencoat`, so that can.viewer, can.logger and any python-can program attach. On the socket (SOCK_SEQPACKET) one
packet is one Linux `struct canfd_frame`. The socket file's permission (0600) is the access control.

By itself the hub models no bit rate, arbitration or error; with a Medium it plays them, and what it plays can be
changed while it runs (PLAY_SUFFIX). `evencoat hub` runs it; whoever reads a bus goes through bus_pythoncan.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import logging
import os
import select
import selectors
import socket
import stat
import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import can

from firmware_bridge.error_frames import bus_off_frame, overrun_frame, restarted_frame
from firmware_bridge.frames import Frame
from firmware_bridge.medium import Medium, Played

_CANFD_FRAME = struct.Struct(
    "=IBBBB64s"
)  # struct canfd_frame: identifier and flags, length, FD flags, 2 reserved, data
_PACKET = _CANFD_FRAME.size
_EXTENDED, _REMOTE, _ERROR = 0x8000_0000, 0x4000_0000, 0x2000_0000
_ID_MASK = 0x1FFF_FFFF
_BRS, _ESI, _FDF = 0x01, 0x02, 0x04

_LOG = logging.getLogger(__name__)

PLAY_SUFFIX = ".play"  # beside the hub's socket: datagrams of JSON that change what its medium plays
QUEUE_FRAMES = 4096
_READS_PER_TURN = 64  # frames taken from one client before the others get their turn
_STOP_ASKED_EVERY_S = 0.1


class HubError(Exception):
    """The hub cannot start; the text says why."""


def pack(frame: Frame) -> bytes:
    """One frame as a packet on the hub's socket."""
    flags = frame.is_extended * _EXTENDED | frame.is_error * _ERROR
    return _CANFD_FRAME.pack(
        frame.can_id | flags, len(frame.data), (_FDF | _BRS) if frame.is_fd else 0, 0, 0, frame.data
    )


def frame_of(packet: bytes) -> Frame | None:
    """A data frame out of its packet; None for anything else."""
    word, length, flags, _, _, data = _CANFD_FRAME.unpack(packet)
    if word & (_REMOTE | _ERROR) or length > 64:
        return None
    return Frame(word & _ID_MASK, data[:length], bool(flags & _FDF), bool(word & _EXTENDED))


def message_of(packet: bytes, t_s: float) -> can.Message | None:
    """A packet as python-can's message, or None when it is no canfd_frame."""
    if len(packet) != _PACKET:
        return None
    word, length, flags, _, _, data = _CANFD_FRAME.unpack(packet)
    is_fd = bool(flags & _FDF)
    if length > (64 if is_fd else 8):
        return None
    return can.Message(
        timestamp=t_s,
        arbitration_id=word & _ID_MASK,
        is_extended_id=bool(word & _EXTENDED),
        is_remote_frame=bool(word & _REMOTE),
        is_error_frame=bool(word & _ERROR),
        is_fd=is_fd,
        bitrate_switch=bool(flags & _BRS),
        error_state_indicator=bool(flags & _ESI),
        dlc=length,
        data=None if word & _REMOTE else data[:length],
    )


def packet_of(message: can.Message) -> bytes:
    """python-can's message as a packet."""
    word = message.arbitration_id
    word |= message.is_extended_id * _EXTENDED | message.is_remote_frame * _REMOTE | message.is_error_frame * _ERROR
    flags = message.is_fd * _FDF | message.bitrate_switch * _BRS | message.error_state_indicator * _ESI
    length = message.dlc if message.is_remote_frame else len(message.data)
    return _CANFD_FRAME.pack(word, length, flags, 0, 0, bytes(message.data))


@dataclass(frozen=True, slots=True)
class ClientStats:
    """What the hub did for one client that is attached."""

    number: int
    frames_in: int
    frames_out: int
    dropped: int
    queued: int


class _Client:
    """One client's end at the hub: its socket, its bounded queue, its counts."""

    __slots__ = ("dropped", "frames_in", "frames_out", "limit", "number", "queue", "sock", "unreported")

    def __init__(self, sock: socket.socket, number: int, limit: int) -> None:
        self.sock = sock
        self.number = number
        self.limit = limit
        self.queue: deque[bytes] = deque()
        self.frames_in = self.frames_out = self.dropped = self.unreported = 0

    def offer(self, packet: bytes) -> bool:
        """Send or queue one packet; a full queue drops it, the newest. False when the client is gone."""
        if self.queue:
            if len(self.queue) >= self.limit:
                self.dropped += 1
                self.unreported += 1
            else:
                self.queue.append(packet)
            return True
        return self._send(packet)

    def flush(self) -> bool:
        """Send what is queued, then the report of what was dropped. False when the client is gone."""
        while self.queue:
            packet = self.queue.popleft()
            waiting = len(self.queue)
            if not self._send(packet, front=True):
                return False
            if len(self.queue) > waiting:
                return True  # it went back: the socket is full again
        if self.unreported:
            report, self.unreported = overrun_frame(self.unreported), 0
            return self._send(pack(report))
        return True

    def _send(self, packet: bytes, front: bool = False) -> bool:
        try:
            self.sock.send(packet)
        except (BlockingIOError, InterruptedError):
            if front:
                self.queue.appendleft(packet)
            else:
                self.queue.append(packet)
            return True
        except OSError as error:
            if error.errno == errno.ENOBUFS:
                self.queue.appendleft(packet)
                return True
            return False
        self.frames_out += 1
        return True


class HubServer:
    """Carries every client's frames to all other clients, in the order they came in. One thread, no blocking sends.

    A client that does not read fills its own queue of `queue_frames` and then loses its newest frames; it is told how
    many by an error frame once it reads again. The others do not notice. `log` names a frame log that other tools
    read: .blf, .asc or .log (candump).
    """

    def __init__(
        self,
        path: str | Path,
        log: Path | None = None,
        *,
        queue_frames: int = QUEUE_FRAMES,
        medium: Medium | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen on `path`: clients can attach from here on, and are served once serve() runs.

        With a `medium` every data frame goes through it, by `clock`; what it plays is changed by play(), or by a
        datagram to `path` + PLAY_SUFFIX.

        Raises HubError when a hub already serves `path`, or the path is not a socket's.
        """
        self.path = Path(path)
        self._queue_frames = queue_frames
        self._logger = _open_log(log)
        self._clients: dict[int, _Client] = {}
        self._number = 0
        self._wake_read, self._wake_write = os.pipe()
        self._selector = selectors.DefaultSelector()
        try:
            self._listener = _listen(self.path)
        except BaseException:
            self._release()
            raise
        self._inode = self.path.stat().st_ino
        self._medium, self._clock = medium, clock
        self._off: frozenset[int] = frozenset()
        self._director = None if medium is None else _direct(self.path.with_name(self.path.name + PLAY_SUFFIX))
        if self._director is not None:
            self._selector.register(self._director, selectors.EVENT_READ, None)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._stopped = False
        self.frames = 0  # carried so far
        self.dropped = 0  # for clients that did not read, all together

    def __enter__(self) -> HubServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def serve(self, stop: Callable[[], bool] | None = None, ready: Callable[[], None] | None = None) -> None:
        """Carry frames until stop() is called or the function `stop`, asked a few times a second, says so.

        `ready` is called once, before the first frame.
        """
        if ready is not None:
            ready()
        patience_s = None if stop is None else _STOP_ASKED_EVERY_S
        while not self._stopped and not (stop is not None and stop()):
            for key, events in self._selector.select(self._until_due(patience_s)):
                self._serve(key, events)
            if self._medium is not None:
                self._come_through(self._medium)

    def stop(self) -> None:
        """End serve(). May be called from a signal handler or another thread."""
        if not self._stopped:
            self._stopped = True
            os.write(self._wake_write, b"x")

    def play(self, **changes: Any) -> Played:
        """Change what the medium plays, by Played's names; returns all of it. From another thread it takes hold with
        the next frame. Raises ValueError for a name or value that is not known, HubError without a medium.
        """
        if self._medium is None:
            raise HubError("this hub plays nothing: it was started without a medium")
        try:
            played = dataclasses.replace(self._medium.played, **changes)
        except TypeError:
            known = ", ".join(field.name for field in dataclasses.fields(Played))
            raise ValueError(f"{', '.join(changes)}: known are {known}") from None
        self._medium.played = played
        if not self._stopped:
            os.write(self._wake_write, b"p")
        return played

    def stats(self) -> tuple[ClientStats, ...]:
        """Counts of every attached client, oldest first."""
        return tuple(
            ClientStats(c.number, c.frames_in, c.frames_out, c.dropped, len(c.queue))
            for c in list(self._clients.values())
        )

    def close(self) -> None:
        """Drop all clients, remove the socket file, finish the log. Closing twice is harmless."""
        if self._listener.fileno() < 0:
            return
        self._stopped = True
        for client in list(self._clients.values()):
            self._drop(client)
        self._selector.unregister(self._listener)
        self._listener.close()
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_ino == self._inode:  # never another hub's
                self.path.unlink()
        if self._director is not None:
            self._director.close()
            self.path.with_name(self.path.name + PLAY_SUFFIX).unlink(missing_ok=True)
        self._release()

    def _release(self) -> None:
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        if self._logger is not None:
            self._logger.stop()

    def _serve(self, key: selectors.SelectorKey, events: int) -> None:
        client: _Client | None = key.data
        if client is None:
            if key.fileobj is self._listener:
                self._accept()
            elif key.fileobj is self._director:
                self._obey_director()
            elif not self._stopped:
                os.read(self._wake_read, 64)
            return
        if events & selectors.EVENT_WRITE and not client.flush():
            self._drop(client)
            return
        if events & selectors.EVENT_READ and not self._read(client):
            self._drop(client)
            return
        self._watch(client)

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        sock.setblocking(False)
        client = _Client(sock, self._number, self._queue_frames)
        self._number += 1
        self._clients[sock.fileno()] = client
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _read(self, client: _Client) -> bool:
        """Take what the client sent, within its turn, and carry it on. False when the client is gone."""
        for _ in range(_READS_PER_TURN):
            try:
                packet = client.sock.recv(_PACKET + 1)
            except (BlockingIOError, InterruptedError):
                return True
            except OSError:
                return False
            if not packet:
                return False
            if len(packet) == _PACKET:
                client.frames_in += 1
                self.frames += 1
                if self._medium is None:
                    self._carry(client.number, packet)
                else:
                    frame = frame_of(packet)
                    if frame is not None:
                        self._medium.offer(frame, client.number, self._clock())
        return True

    def _until_due(self, patience_s: float | None) -> float | None:
        """How long to wait for sockets: no longer than until the next frame has crossed."""
        due_s = None if self._medium is None else self._medium.next_s()
        if due_s is None:
            return patience_s
        left_s = max(due_s - self._clock(), 0.0)
        return left_s if patience_s is None else min(left_s, patience_s)

    def _come_through(self, medium: Medium) -> None:
        """Deliver what has crossed by now, and tell clients of bus-off and restart."""
        off = medium.played.bus_off
        for number in self._off ^ off:
            for client in [client for client in self._clients.values() if client.number == number]:
                client.offer(pack(bus_off_frame() if number in off else restarted_frame()))
                self._watch(client)
        self._off = off
        for frame, sender in medium.due(self._clock()):
            self._carry(sender, pack(frame), off)

    def _obey_director(self) -> None:
        """One datagram: a JSON object of Played's names. What is no such thing changes nothing, and is logged."""
        assert self._director is not None
        try:
            told = json.loads(self._director.recv(4096))
            if "bus_off" in told:
                told["bus_off"] = frozenset(int(number) for number in told["bus_off"])
            _LOG.warning("hub plays %s", self.play(**told))
        except (OSError, ValueError, TypeError) as error:
            _LOG.warning("hub: not played: %s", error)

    def _carry(self, sender: int, packet: bytes, deaf: frozenset[int] = frozenset()) -> None:
        if self._logger is not None:
            message = message_of(packet, time.time())
            if message is not None:
                self._logger(message)
        for client in list(self._clients.values()):
            if client.number == sender or client.number in deaf:
                continue
            before = client.dropped
            if not client.offer(packet):
                self._drop(client)
            elif client.queue:
                self.dropped += client.dropped - before
                self._watch(client)

    def _watch(self, client: _Client) -> None:
        waits = client.queue or client.unreported
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if waits else 0)
        if self._selector.get_key(client.sock).events != events:
            self._selector.modify(client.sock, events, client)

    def _drop(self, client: _Client) -> None:
        if self._clients.pop(client.sock.fileno(), None) is not None:
            self._selector.unregister(client.sock)
            client.sock.close()


def _listen(path: Path) -> socket.socket:
    """Listen on `path`: refuse a living hub, replace a dead one's file, let only the owner in.

    The file appears under its name when connections are already accepted, so whoever waits for it may attach at once.
    """
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    newborn = path.with_name(f"{path.name}.{os.getpid()}")
    mask = os.umask(0o177)
    try:
        newborn.unlink(missing_ok=True)
        listener.bind(str(newborn))
        listener.listen(64)
        os.link(newborn, path)
    except FileExistsError:
        listener.close()
        raise HubError(f"{path}: another hub was faster") from None
    except OSError as error:
        listener.close()
        raise HubError(f"{path}: {error}") from error
    finally:
        os.umask(mask)
        newborn.unlink(missing_ok=True)
    listener.setblocking(False)
    return listener


def _direct(path: Path) -> socket.socket:
    """A datagram socket through which the owner alone changes what is played."""
    path.unlink(missing_ok=True)
    director = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    mask = os.umask(0o177)
    try:
        director.bind(str(path))
    except OSError as error:
        director.close()
        raise HubError(f"{path}: {error}") from error
    finally:
        os.umask(mask)
    director.setblocking(False)
    return director


def _clear(path: Path) -> None:
    """Remove a dead hub's socket file. Raises HubError where somebody listens or the file is something else."""
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not stat.S_ISSOCK(path.stat().st_mode):
        raise HubError(f"{path}: exists and is not a socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise HubError(f"{path}: a hub already serves this socket")
    path.unlink(missing_ok=True)


def _open_log(path: Path | None) -> Any:
    """A python-can writer by suffix. CSV and TRC would lose FD frames, SQLite bursts: refused."""
    if path is None:
        return None
    if path.suffix not in {".blf", ".asc", ".log"}:
        raise HubError(f"log {path}: suffix {path.suffix or '(none)'}, expected .blf, .asc or .log")
    return can.Logger(path)


class HubBus(can.BusABC):
    """python-can interface `evencoat`: channel is the hub's socket path. Filters are python-can's own."""

    def __init__(self, channel: str, can_filters: Any = None, **kwargs: Any) -> None:
        """Attach to the hub. Bit rates and other settings of real interfaces are taken and mean nothing here."""
        if kwargs.pop("receive_own_messages", False):
            raise can.CanInterfaceNotImplementedError("evencoat: the hub echoes nothing to its sender")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self.sock.connect(str(channel))
        except OSError as error:
            self.sock.close()
            self._is_shutdown = True
            raise can.CanInitializationError(f"no hub at {channel}: {error.strerror}", error.errno) from error
        self.sock.setblocking(False)
        self.channel_info = f"evencoat hub at {channel}"
        self._can_protocol = can.CanProtocol.CAN_FD
        super().__init__(channel=channel, can_filters=can_filters, **kwargs)

    def fileno(self) -> int:
        return self.sock.fileno()

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        """One message, or None when none came within `timeout` seconds (None: wait). Python-can filters it."""
        while True:
            try:
                packet = self.sock.recv(_PACKET + 1)
            except (BlockingIOError, InterruptedError):
                if not self._poll(select.POLLIN, timeout):
                    return None, False
                timeout = 0.0 if timeout is not None else None
                continue
            except OSError as error:
                raise can.CanOperationError(f"hub: {error.strerror}", error.errno) from error
            if not packet:
                raise can.CanOperationError("hub: closed the connection")
            return message_of(packet, time.time()), False

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Hand one message to the hub; wait up to `timeout` seconds for room in its queue (Linux keeps some 280).

        As everywhere in python-can, None waits for ever. Raises CanOperationError.
        """
        packet = packet_of(msg)
        try:
            try:
                self.sock.send(packet)
            except BlockingIOError:
                if not self._poll(select.POLLOUT, timeout):
                    raise can.CanOperationError("hub: transmit queue full", errno.ENOBUFS) from None
                self.sock.send(packet)
        except OSError as error:
            raise can.CanOperationError(f"hub: {error.strerror}", error.errno) from error

    def _poll(self, event: int, timeout: float | None) -> bool:
        poll = select.poll()
        poll.register(self.sock, event)
        return bool(poll.poll(None if timeout is None else timeout * 1e3))

    def shutdown(self) -> None:
        super().shutdown()
        self.sock.close()

    @staticmethod
    def _detect_available_configs() -> list[Any]:
        return []
