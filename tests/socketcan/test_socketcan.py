"""What only a real kernel shows: buffers, links that go down, and error frames. Run by `make test-socketcan`."""

from __future__ import annotations

import os

import pytest

from firmware_bridge.bus import BusError
from firmware_bridge.bus_pythoncan import PythonCanBus, open_bus
from firmware_bridge.contract import Telegram, WireDescription
from firmware_bridge.error_frames import bus_off_frame, restarted_frame
from firmware_bridge.frames import Frame
from tests.firmware_bridge.hubs import collect, send
from tests.firmware_bridge.wires import shipped_codec
from tests.socketcan.link import set_up

CHANNEL = os.environ.get("EVENCOAT_SOCKETCAN", "")
pytestmark = pytest.mark.skipif(not CHANNEL, reason="needs a kernel with vcan: make test-socketcan")


def attach() -> PythonCanBus:
    bus = open_bus(f"socketcan:{CHANNEL}", WireDescription())
    assert isinstance(bus, PythonCanBus)
    return bus


def test_a_burst_is_kept_while_the_reader_is_away() -> None:
    """The kernel's own buffer would keep some 280 of these."""
    sender, reader = attach(), attach()
    sent = [Frame(0x100, k.to_bytes(4, "little") * 16) for k in range(2000)]
    for frame in sent:
        send(sender, frame)
    assert collect(reader, len(sent)) == sent


def test_a_telegram_of_the_line_crosses_whole() -> None:
    sender, reader = attach(), attach()
    frames = shipped_codec().encode(Telegram.DIE_COMMAND, {"gap_um": [600.0] * 40}, scan_id=7, counter=1)
    for frame in frames:
        send(sender, frame)
    told = shipped_codec().read_back(collect(reader, len(frames)))
    assert told is not None and list(told["gap_um"]) == [600.0] * 40  # type: ignore[arg-type]


def test_a_link_that_goes_down_is_told_and_comes_back_by_itself() -> None:
    """python-can's notifier would be dead for good; ours opens the bus again when its back-off is over."""
    now = [0.0]
    import can

    def connect() -> can.BusABC:
        return can.Bus(channel=CHANNEL, interface="socketcan", fd=True, ignore_config=True)

    bus, other = PythonCanBus("socketcan", connect, lambda: now[0]), attach()
    set_up(CHANNEL, False)
    try:
        assert bus.receive() == []
        fault = bus.fault()
        assert fault is not None and "down" in fault
        with pytest.raises(BusError):
            bus.send(Frame(1, b""))
    finally:
        set_up(CHANNEL, True)
    other.close()
    now[0] = 60.0
    assert bus.receive() == [] and bus.fault() is None
    send(bus, Frame(0x55, b"\x01"))
    fresh = attach()
    send(fresh, Frame(0x66, b"\x02"))
    assert [frame.can_id for frame in collect(bus, 1)] == [0x66]


def test_bus_off_is_read_from_the_error_frame_and_ends_with_the_restart() -> None:
    """vcan has no chip to fall off the bus, but carries the frame with which a driver would tell of it."""
    driver, bus = attach(), attach()
    send(driver, bus_off_frame())
    (told,) = collect(bus, 1)
    assert told.is_error and str(bus.fault()).endswith("bus-off")
    send(driver, restarted_frame())
    assert collect(bus, 1)[0].is_error and bus.fault() is None


def test_an_interface_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(BusError, match="nosuchcan0"):
        open_bus("socketcan:nosuchcan0", WireDescription())
