"""Error frames in Linux's layout (linux/can/error.h), in plain words."""

import pytest

from firmware_bridge.error_frames import describe, is_bus_off, overrun_count, overrun_frame
from firmware_bridge.frames import Frame


def error(can_id: int, *data: int) -> Frame:
    return Frame(can_id, bytes(data) + bytes(8 - len(data)), is_fd=False, is_error=True)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (error(0x040), "bus-off"),
        (error(0x100), "controller restarted"),
        (error(0x020), "no acknowledge: nobody else is on the bus"),
        (error(0x004, 0, 0x10), "error passive (receive)"),
        (error(0x004, 0, 0x30), "error passive (receive), error passive (transmit)"),
        (error(0x004, 0, 0x01), "receive overrun: 1 frame lost"),
        (error(0x044, 0, 0x20), "bus-off, error passive (transmit)"),
        (error(0x1000), "error frame 0x1000"),
        (overrun_frame(300), "receive overrun: 300 frames lost"),
    ],
)
def test_words(frame: Frame, words: str) -> None:
    assert describe(frame) == words


@pytest.mark.parametrize(("dropped", "told"), [(1, 1), (70_000, 70_000), (1 << 30, 0xFF_FFFF)])
def test_overruns_tell_how_many(dropped: int, told: int) -> None:
    assert overrun_count(overrun_frame(dropped)) == told


def test_what_is_no_overrun_and_no_bus_off() -> None:
    assert overrun_count(Frame(0x004, bytes([0, 1, 0, 0, 0, 9, 0, 0]))) == 0  # a data frame
    assert overrun_count(error(0x004, 0, 0x10)) == 0
    assert not is_bus_off(Frame(0x040, bytes(8)))
    assert is_bus_off(error(0x040))
