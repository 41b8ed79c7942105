"""A hub that runs beside a test, and sending and collecting with patience instead of sleeps."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from firmware_bridge.bus import Bus, BusError
from firmware_bridge.bus_hub import QUEUE_FRAMES, HubServer
from firmware_bridge.frames import Frame
from firmware_bridge.medium import Medium

PATIENCE_S = 20.0  # until a test gives up on a frame that will not come


@contextmanager
def running(
    path: Path, log: Path | None = None, queue_frames: int = QUEUE_FRAMES, medium: Medium | None = None
) -> Iterator[HubServer]:
    """A hub that serves on a thread of its own."""
    with HubServer(path, log, queue_frames=queue_frames, medium=medium) as server:
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join()


def probe(server: HubServer, clients: int) -> None:
    """Wait until the hub's thread has taken everyone in: a socket connects before that."""
    patience = threading.Event()
    for _ in range(int(PATIENCE_S / 0.005)):
        if len(server.stats()) >= clients:
            return
        patience.wait(0.005)
    raise AssertionError("the hub does not take clients in")


def collect(bus: Bus, count: int) -> list[Frame]:
    """The next `count` frames, without the times at which they came."""
    frames: list[Frame] = []
    while len(frames) < count:
        assert bus.wait(PATIENCE_S), f"{len(frames)} of {count} frames came"
        frames += [Frame(f.can_id, f.data, f.is_fd, f.is_extended, is_error=f.is_error) for f in bus.receive()]
    return frames


def send(bus: Bus, frame: Frame) -> None:
    """Send, and again while the queue to a busy hub is full."""
    for _ in range(int(PATIENCE_S / 0.1)):
        try:
            bus.send(frame)
        except BusError:
            continue
        return
    raise AssertionError("the bus stays full")
