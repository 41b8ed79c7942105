"""The text that is written for a message does what the plan says; its numbers are judged in test_codec.py."""

import math

import pytest

from firmware_bridge.compiled import Header, Place, reader, writer
from firmware_bridge.layout import Slot

HEADER = Header(counter=Place(0, 24, 0xFF), scan_id=None, node=None)


def slot(name: str, word: int, shift: int, bits: int, **changes: object) -> Slot:
    plain = Slot(name, word, shift, (1 << bits) - 1, 0, 0, (1 << bits) - 1, 1, 0, True, True, 0.0, None)
    return plain._replace(**changes)  # type: ignore[arg-type]


def test_what_is_written_is_read_again() -> None:
    slots = (
        slot("a", 0, 0, 8),
        slot("b", 1, 8, 12, half=1 << 11, low=-2048, high=2047, scale=0.5, offset=3.0, whole=False),
        slot("c", 0, 40, 3, required=False, default=5),
    )
    write, read = writer(HEADER, (1 << 60, 0), slots), reader(HEADER, 4, slots)
    little, big = write({"a": 200, "b": -7.5}, 0, 0x1FE, 0)
    assert little == 1 << 60 | 0xFE << 24 | 200 | 5 << 40
    assert big == (-21 & 0xFFF) << 8  # (-7.5 - 3) / 0.5 = -21
    assert read(little, big) == (0xFE, 0xFE, 4, {"a": 200, "b": -7.5, "c": 5})


@pytest.mark.parametrize("value", [None, "x", math.nan, math.inf, -1, 101, 1e30])
def test_the_writer_stumbles_over_what_does_not_fit(value: object) -> None:
    write = writer(HEADER, (0, 0), (slot("a", 0, 0, 8, high=100),))
    assert write({"a": 100}, 0, 0, 0) == (100, 0)
    with pytest.raises((ValueError, TypeError, OverflowError)):
        write({"a": value}, 0, 0, 0)


def test_raw_counts_beyond_the_range_are_marked() -> None:
    slots = (slot("whole", 0, 0, 8, low=1, high=100), slot("real", 0, 8, 8, high=100, scale=0.1, whole=False))
    fields = reader(HEADER, 0, slots)(101 | 101 << 8, 0)[3]
    assert fields["whole"] == -1 and math.isnan(fields["real"])
    assert reader(HEADER, 0, slots)(100 | 100 << 8, 0)[3] == {"whole": 100, "real": 10.0}
    assert reader(HEADER, 0, slots)(0, 0)[3]["whole"] == -1
