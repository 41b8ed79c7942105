"""The adapter over real python-can buses: failures are told, never thrown, and end when the bus comes back."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import can
import pytest

from firmware_bridge.bus import BusError
from firmware_bridge.bus_hub import HubBus, HubServer
from firmware_bridge.bus_pythoncan import PythonCanBus, open_bus
from firmware_bridge.contract import WireDescription
from firmware_bridge.error_frames import overrun_frame
from firmware_bridge.frames import Frame
from tests.firmware_bridge.hubs import PATIENCE_S, collect, probe, running, send


class Clock:
    """Time that a test moves by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize("address", ["evencoat", "evencoat:", ":can0"])
def test_an_address_has_two_parts(address: str) -> None:
    with pytest.raises(BusError, match="INTERFACE:CHANNEL"):
        open_bus(address, WireDescription())


@pytest.mark.parametrize(
    "address", ["evencoat:/nowhere/hub.sock", "nosuchinterface:can0", "socketcan:nosuchcan0", "udp_multicast:nonsense"]
)
def test_what_cannot_be_opened_is_told_at_once(address: str) -> None:
    with pytest.raises(BusError, match=address.partition(":")[0]):
        open_bus(address, WireDescription())


def test_no_address_means_the_line_files_own(tmp_path: Path) -> None:
    path = tmp_path / "hub.sock"
    with HubServer(path):
        open_bus("", WireDescription(interface="evencoat", channel=str(path))).close()
    with pytest.raises(BusError, match=str(path)):
        open_bus("", WireDescription(interface="evencoat", channel=str(path)))


def test_options_of_the_line_file_reach_the_interface() -> None:
    bus = open_bus("virtual:options", WireDescription(options={"receive_own_messages": True}))
    bus.send(Frame(0x123, b"\x01", is_fd=False))
    assert [frame.can_id for frame in bus.receive()] == [0x123]
    bus.close()


def test_a_bus_without_a_descriptor_is_waited_for_by_reading() -> None:
    first, second = (open_bus("virtual:waiting", WireDescription()) for _ in range(2))
    assert second.wait(0.0) is False
    first.send(Frame(0x123, bytes(64)))
    assert second.wait(PATIENCE_S) is True
    assert [(frame.can_id, frame.data, frame.is_fd) for frame in second.receive()] == [(0x123, bytes(64), True)]
    first.close()
    second.close()


def test_a_hub_that_goes_and_comes_back(tmp_path: Path) -> None:
    path, clock = tmp_path / "hub.sock", Clock()
    with running(path) as server:
        bus = PythonCanBus("evencoat:x", lambda: HubBus(str(path)), clock)
        probe(server, 1)
    assert bus.receive() == []
    fault = bus.fault()
    assert fault is not None and "down" in fault
    with pytest.raises(BusError, match="down"):
        bus.send(Frame(1, b""))
    with running(path) as server:
        assert bus.receive() == [] and bus.fault() is not None  # the back-off has not run out
        clock.now_s = 1.0
        assert bus.receive() == [] and bus.fault() is None
        other = open_bus(f"evencoat:{path}", WireDescription())
        probe(server, 2)
        send(other, Frame(0x55, b"\x01"))
        assert collect(bus, 1)[0].can_id == 0x55


class Flaky(can.BusABC):
    """A bus that plays a script: messages come in, exceptions are raised."""

    def __init__(self, script: list[Any]) -> None:
        self.script = script
        self.channel_info = "script"
        super().__init__(channel="script")

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if not self.script:
            return None, False
        turn = self.script.pop(0)
        if isinstance(turn, Exception):
            raise turn
        return turn, False

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        turn = self.script.pop(0)
        if isinstance(turn, Exception):
            raise turn

    def shutdown(self) -> None:
        self._is_shutdown = True


@pytest.mark.parametrize("error", [can.CanOperationError("noise"), OSError(100, "Network is down"), ValueError("bad")])
def test_the_back_off_grows_and_ends_with_success(error: Exception) -> None:
    clock, attempts = Clock(), []

    def connect() -> can.BusABC:
        attempts.append(clock.now_s)
        if 1 <= len(attempts) - 1 <= 3:
            raise error
        return Flaky([can.Message(arbitration_id=7), error] if len(attempts) == 1 else [can.Message(arbitration_id=8)])

    bus = PythonCanBus("flaky", connect, clock)
    assert [frame.can_id for frame in bus.receive()] == [7]
    got: list[int] = []
    while not got:
        clock.now_s = round(clock.now_s + 0.05, 2)
        got = [frame.can_id for frame in bus.receive()]
    waits = [b - a for a, b in pairwise(attempts)]
    assert waits == pytest.approx([0.1, 0.2, 0.5, 1.0], abs=0.051)  # one tick of the loop above
    assert bus.fault() is None


def test_a_full_queue_does_not_close_the_bus() -> None:
    bus = PythonCanBus("flaky", lambda: Flaky([can.CanOperationError("full", 105), None]))
    with pytest.raises(BusError, match="full"):
        bus.send(Frame(1, b""))
    assert bus.fault() is None
    bus.send(Frame(1, b""))


def test_bus_off_is_read_from_error_frames_and_ends_with_data_or_a_restart() -> None:
    off = can.Message(arbitration_id=0x40, is_error_frame=True, data=bytes(8))
    restarted = can.Message(arbitration_id=0x100, is_error_frame=True, data=bytes(8))
    for end in (restarted, can.Message(arbitration_id=1)):
        script = [off]
        bus = PythonCanBus("flaky", lambda script=script: Flaky(script))  # type: ignore[misc]
        (frame,) = bus.receive()
        assert frame.is_error and bus.fault() == "flaky: bus-off"
        script.append(end)
        bus.receive()
        assert bus.fault() is None


def test_remote_frames_are_passed_over() -> None:
    script = [can.Message(arbitration_id=5, is_remote_frame=True), can.Message(arbitration_id=6)]
    bus = PythonCanBus("flaky", lambda: Flaky(script))
    assert [frame.can_id for frame in bus.receive()] == [6]


def test_a_flood_does_not_keep_the_reader_for_ever() -> None:
    class Endless(Flaky):
        def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
            return can.Message(arbitration_id=1), False

    assert 0 < len(PythonCanBus("endless", lambda: Endless([])).receive()) <= 20_000


def test_error_frames_cross_a_bus_as_error_frames() -> None:
    first, second = (open_bus("virtual:errors", WireDescription()) for _ in range(2))
    first.send(overrun_frame(7))
    (frame,) = second.receive()
    assert frame.is_error and frame.data == overrun_frame(7).data
    first.close()
    second.close()
