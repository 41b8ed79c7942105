"""One contract, every bus: order, no own echo, bounded queues, and a fault that is told and never thrown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from firmware_bridge.bus import Bus, BusError
from firmware_bridge.bus_hub import HubServer
from firmware_bridge.bus_memory import MemoryHub
from firmware_bridge.bus_pythoncan import open_bus
from firmware_bridge.contract import WireDescription
from firmware_bridge.error_frames import overrun_count
from firmware_bridge.frames import Frame
from tests.firmware_bridge.hubs import PATIENCE_S, collect, probe, running, send

QUEUE = 16


class Network(Protocol):
    """A bus in use by a test."""

    attach: Callable[[], Bus]
    dropped: Callable[[], int]


class MemoryNetwork:
    def __init__(self) -> None:
        self.hub = MemoryHub()
        self.members: list[Bus] = []

    def attach(self) -> Bus:
        bus = self.hub.attach(QUEUE)
        self.members.append(bus)
        return bus

    def dropped(self) -> int:
        return sum(bus.dropped for bus in self.members)  # type: ignore[attr-defined]


class HubNetwork:
    def __init__(self, server: HubServer) -> None:
        self.server = server
        self.attached = 0

    def attach(self) -> Bus:
        bus = open_bus(f"evencoat:{self.server.path}", WireDescription())
        self.attached += 1
        probe(self.server, self.attached)
        return bus

    def dropped(self) -> int:
        return self.server.dropped


class KernelNetwork:
    """A real kernel's SocketCAN; make test-socketcan has one."""

    def __init__(self) -> None:
        self.members: list[Bus] = []

    def attach(self) -> Bus:
        self.members.append(open_bus(f"socketcan:{VCAN}", WireDescription()))
        return self.members[-1]

    def dropped(self) -> int:
        pytest.skip("the kernel keeps more than this test sends")


VCAN = os.environ.get("EVENCOAT_SOCKETCAN", "")
needs_vcan = pytest.mark.skipif(not VCAN, reason="needs a kernel with vcan: make test-socketcan")


@pytest.fixture(params=["memory", "hub", pytest.param("socketcan", marks=needs_vcan)])
def network(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Network]:
    if request.param == "memory":
        yield MemoryNetwork()
        return
    if request.param == "socketcan":
        kernel = KernelNetwork()
        yield kernel
        for bus in kernel.members:
            bus.close()
        return
    with running(tmp_path / "hub.sock", queue_frames=QUEUE) as server:
        yield HubNetwork(server)


FRAMES = [
    Frame(0x7FF, b"", is_fd=False),
    Frame(0x001, bytes(range(8)), is_fd=False),
    Frame(0x1FFF_FFFF, b"\x01", is_fd=False, is_extended=True),
    Frame(0x100, bytes(range(64))),
    Frame(0x100, bytes(12), is_extended=True),
]


def test_frames_arrive_whole_in_order_and_at_all_others_only(network: Network) -> None:
    sender, first, second = network.attach(), network.attach(), network.attach()
    for frame in FRAMES:
        send(sender, frame)
    assert collect(first, len(FRAMES)) == FRAMES
    assert collect(second, len(FRAMES)) == FRAMES
    send(first, FRAMES[0])
    assert collect(sender, 1) == [FRAMES[0]]  # and nothing of its own before it


def test_nothing_pending_is_an_empty_list(network: Network) -> None:
    bus = network.attach()
    assert bus.receive() == []
    assert bus.wait(0.0) is False
    assert bus.fault() is None


def test_a_member_that_never_reads_loses_its_own_frames_and_no_one_elses(network: Network) -> None:
    sender, reader, deaf = network.attach(), network.attach(), network.attach()
    sent = [Frame(0x100, k.to_bytes(4, "little")) for k in range(400)]
    got: list[Frame] = []
    for start in range(0, len(sent), 8):  # the reader keeps up, eight frames at a time
        for frame in sent[start : start + 8]:
            send(sender, frame)
        got += collect(reader, 8)
    assert got == sent
    assert network.dropped() > 0
    kept: list[bytes] = []
    for _ in range(int(PATIENCE_S / 0.1)):  # the hub may still be dropping the last for the deaf one
        kept += [f.data for f in deaf.receive() if not f.is_error]
        if len(kept) + network.dropped() == len(sent):
            break
        deaf.wait(0.1)
    assert kept == [f.data for f in sent[: len(kept)]]  # the newest were dropped, the older are whole
    assert len(kept) + network.dropped() == len(sent)


def test_closing_is_told_by_send_and_harmless_twice(network: Network) -> None:
    bus, other = network.attach(), network.attach()
    bus.close()
    bus.close()
    assert bus.receive() == [] and bus.fault() is not None
    with pytest.raises(BusError):
        bus.send(FRAMES[0])
    send(other, FRAMES[0])


def test_the_hub_tells_a_client_how_much_it_missed(tmp_path: Path) -> None:
    with running(tmp_path / "hub.sock", queue_frames=400) as server:  # more than the kernel takes back in one go
        net = HubNetwork(server)
        sender, witness, deaf = net.attach(), net.attach(), net.attach()
        for k in range(1000):
            send(sender, Frame(0x100, k.to_bytes(2, "little")))
            collect(witness, 1)
        reported = 0
        while reported == 0:
            assert deaf.wait(PATIENCE_S)
            reported = sum(overrun_count(frame) for frame in deaf.receive())
        assert reported == server.dropped > 0


def test_a_tap_sees_every_frame_before_its_readers() -> None:
    hub = MemoryHub()
    sender, reader = hub.attach(), hub.attach()
    seen: list[tuple[Frame, int]] = []
    hub.tap(lambda frame: seen.append((frame, len(reader._pending))))
    sender.send(FRAMES[1])
    assert seen == [(FRAMES[1], 0)]
