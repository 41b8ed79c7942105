"""The text that is written for a message does what the plan says; its numbers are judged in test_codec.py."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.compiled import Block, Form, Header, Place, reader, writer
from firmware_bridge.contract import Integrity
from firmware_bridge.frames import Frame
from firmware_bridge.integrity import crc_for
from firmware_bridge.layout import Slot

HEADER = Header(crc=None, counter=Place(0, 24, 0xFF), scan_id=None, node=None, segment=None)
EMPTY = Form(
    can_id=7, is_extended=False, is_fd=True, size=8, crc=None, header=HEADER, node=4, segment=0, idle=bytes(8),
    slots=(), block=None,
)  # fmt: skip


def slot(name: str, word: int, shift: int, bits: int, **changes: object) -> Slot:
    plain = Slot(name, word, shift, (1 << bits) - 1, 0, 0, (1 << bits) - 1, 1, 0, True, True, 0.0, None)
    return plain._replace(**changes)  # type: ignore[arg-type]


def words(data: bytes) -> tuple[int, int]:
    return int.from_bytes(data, "little"), int.from_bytes(data, "big")


def test_what_is_written_is_read_again() -> None:
    slots = (
        slot("a", 0, 0, 8),
        slot("b", 1, 8, 12, half=1 << 11, low=-2048, high=2047, scale=0.5, offset=3.0, whole=False),
        slot("c", 0, 44, 3, required=False, default=5),
    )
    form = EMPTY._replace(slots=slots, idle=(1 << 36).to_bytes(8, "little"))
    data = writer(form)({"a": 200, "b": -7.5}, 0, 0x1FE, 0, None).data
    big = (-21 & 0xFFF) << 8  # (-7.5 - 3) / 0.5 = -21
    assert words(data)[0] == 1 << 36 | 0xFE << 24 | 200 | 5 << 44 | words(big.to_bytes(8, "big"))[0]
    assert reader(form)(data, True) == (0xFE, 0xFE, 4, {"a": 200, "b": -7.5, "c": 5}, None)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[list[Slot], dict[str, int]]:
    """Unsigned numbers of any width, side by side in a frame of eight bytes, and a value for each."""
    cuts = sorted(draw(st.sets(st.integers(0, 64), min_size=2, max_size=9)))
    slots = [slot(f"s{k}", 0, low, high - low) for k, (low, high) in enumerate(pairwise(cuts))]
    return slots, {each.name: draw(st.integers(0, each.mask)) for each in slots}


@given(crowds())
def test_numbers_of_any_width_stand_side_by_side(crowd: tuple[list[Slot], dict[str, int]]) -> None:
    slots, fields = crowd
    form = EMPTY._replace(slots=slots, header=HEADER._replace(counter=None))
    data = writer(form)(fields, 0, 0, 0, None).data
    assert words(data)[0] == sum(fields[each.name] << each.shift for each in slots)
    assert reader(form)(data, True) == (0, 0, 4, fields, None)


@pytest.mark.parametrize(("block", "given"), [(Block(4, 7, False), b"abc"), (Block(4, 7, True), 0x636261 << 32)])
def test_the_bytes_of_an_array_go_through(block: Block, given: Any) -> None:
    form = EMPTY._replace(block=block, idle=bytes([0, 0, 0, 0, 0, 0, 0, 0xFF]))
    data = writer(form)({}, 0, 7, 0, given).data
    assert data == b"\x00\x00\x00\x07abc\xff"
    assert reader(form)(data, True) == (7, 7, 4, {}, b"abc")


def test_a_frame_that_is_not_whole_is_not_read() -> None:
    header = HEADER._replace(crc=Place(0, 0, 0xFFFF), segment=Place(0, 32, 0xF))
    form = EMPTY._replace(header=header, segment=3, idle=bytes([0, 0, 0, 0, 3, 0, 0, 0]))
    form = form._replace(crc=crc_for(Integrity.CRC16, 0, False, 1))
    data, read = writer(form)({}, 0, 7, 0, None).data, reader(form)
    assert read(data, True) == read(data + bytes(4), True) == (7, 7, 4, {}, None)  # some buses pad
    assert read(data, False) is None and read(data[:7], True) is None
    assert read(data[:-1] + b"\x01", True) is None
    other = writer(form._replace(segment=2, idle=bytes([0, 0, 0, 0, 2, 0, 0, 0])))
    assert read(other({}, 0, 7, 0, None).data, True) is None


def test_what_is_missing_is_missed_unless_it_has_a_default() -> None:
    slots = (slot("a", 0, 0, 8, required=False, default=3), slot("b", 0, 8, 8))
    write = writer(EMPTY._replace(slots=slots))
    assert write({"b": 1.0}, 0, 0, 0, None).data[:2] == b"\x03\x01"
    with pytest.raises(KeyError):
        write({"a": 1}, 0, 0, 0, None)


@pytest.mark.parametrize("value", [None, "x", math.nan, math.inf, -1, 101, 1e30])
def test_the_writer_stumbles_over_what_does_not_fit(value: object) -> None:
    write = writer(EMPTY._replace(slots=(slot("a", 0, 0, 8, high=100),)))
    assert write({"a": 100}, 0, 0, 0, None) == Frame(7, bytes([100, 0, 0, 0, 0, 0, 0, 0]))
    with pytest.raises((KeyError, ValueError, TypeError, OverflowError)):
        write({"a": value}, 0, 0, 0, None)


def test_raw_counts_beyond_the_range_are_marked() -> None:
    slots = (slot("whole", 0, 0, 8, low=1, high=100), slot("real", 0, 8, 8, high=100, scale=0.1, whole=False))
    read = reader(EMPTY._replace(slots=slots))

    def fields(low: int, high: int) -> dict[str, Any]:
        opened = read(bytes([low, high, 0, 0, 0, 0, 0, 0]), True)
        assert opened is not None
        return opened[3]

    assert fields(101, 101)["whole"] == -1 and math.isnan(fields(101, 101)["real"])
    assert fields(100, 100) == {"whole": 100, "real": 10.0}
    assert fields(0, 0)["whole"] == -1
