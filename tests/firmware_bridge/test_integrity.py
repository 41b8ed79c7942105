"""CRCs against their published check values, and against a bit-by-bit reckoning of our own."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import integrity
from firmware_bridge.contract import Integrity, Telegram
from firmware_bridge.frames import Frame
from firmware_bridge.integrity import crc8_j1850, crc16_ccitt_false, crc_for
from tests.firmware_bridge.wires import crc8_bit_by_bit, crc16_bit_by_bit, foreign_codec, shipped_codec


def test_published_check_values() -> None:
    assert crc16_ccitt_false(b"123456789") == crc16_bit_by_bit(b"123456789") == 0x29B1
    assert crc8_j1850(b"123456789") == crc8_bit_by_bit(b"123456789") == 0x4B


@given(st.binary(max_size=80))
def test_crcs_agree_with_the_bit_by_bit_reckoning(data: bytes) -> None:
    assert crc16_ccitt_false(data) == crc16_bit_by_bit(data)
    assert crc8_j1850(data) == crc8_bit_by_bit(data)


@given(st.binary(min_size=8, max_size=64), st.integers(0, 6), st.integers(0, 0xFFFF), st.booleans())
def test_crc16_leaves_its_own_bytes_out_and_takes_the_data_id_in(
    data: bytes, position: int, data_id: int, big_endian: bool
) -> None:
    crc = crc_for(Integrity.CRC16, position, big_endian, data_id)
    frame = crc.sealed(data)
    expected = crc16_bit_by_bit(data[:position] + data[position + 2 :] + bytes([data_id & 0xFF, data_id >> 8]))
    assert frame[position : position + 2] == expected.to_bytes(2, "big" if big_endian else "little")
    assert frame[:position] == data[:position] and frame[position + 2 :] == data[position + 2 :]
    assert crc.of(frame) == crc.of(data) == expected


@given(st.binary(min_size=8, max_size=8), st.integers(0, 7), st.integers(0, 0xFFFF))
def test_crc8_runs_over_data_id_and_frame(data: bytes, position: int, data_id: int) -> None:
    crc = crc_for(Integrity.CRC8, position, False, data_id)
    frame = crc.sealed(data)
    rest = data[:position] + data[position + 1 :]
    assert frame[position] == crc8_bit_by_bit(bytes([data_id & 0xFF, data_id >> 8]) + rest)
    assert crc.of(frame) == frame[position] and frame[:position] + frame[position + 1 :] == rest


def flipped(data: bytes, bits: tuple[int, ...]) -> bytes:
    number = int.from_bytes(data, "little")
    for bit in bits:
        number ^= 1 << bit
    return number.to_bytes(len(data), "little")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_pattern_of_up_to_three_flipped_bits_is_caught_by_crc16(count: int) -> None:
    codec = shipped_codec()
    (frame,) = codec.encode(Telegram.REARM, {"epoch": 7}, scan_id=1, counter=9)
    assert len(frame.data) == 16
    for bits in combinations(range(128), count):
        part = codec.decode(Frame(frame.can_id, flipped(frame.data, bits)))
        assert part is not None and not part.crc_ok, bits


@pytest.mark.parametrize("count", [1, 2])
def test_every_pattern_of_up_to_two_flipped_bits_is_caught_by_crc8(count: int) -> None:
    codec = foreign_codec()
    (frame,) = codec.encode(Telegram.LINE_STATE, {"state": 1, "roll": 3, "batch": 4}, scan_id=1, counter=9)
    for bits in combinations(range(64), count):
        part = codec.decode(Frame(frame.can_id, flipped(frame.data, bits), is_fd=False))
        assert part is not None and not part.crc_ok, bits


def test_a_frame_under_another_identifier_does_not_pass() -> None:
    codec = shipped_codec()
    die, _ = codec.encode(Telegram.DIE_COMMAND, {"gap_um": [600.0] * 40}, scan_id=1, counter=0)
    part = codec.decode(Frame(0x180, die.data))
    assert part is not None and part.telegram is Telegram.DIE_FEEDBACK and not part.crc_ok and not part.fields


def test_the_table_of_single_bytes_is_that_of_the_polynomial() -> None:
    """From a register of zero and without a final xor, so that any start can be put in front."""
    table = integrity._table_crc8()
    assert isinstance(table, bytes) and len(table) == 256
    for byte in range(256):
        register = byte
        for _ in range(8):
            register = (register << 1 ^ 0x1D if register & 0x80 else register << 1) & 0xFF
        assert table[byte] == register


@pytest.mark.parametrize("profile", [Integrity.CRC16, Integrity.CRC8])
@pytest.mark.parametrize("position", [0, 3])
def test_the_texts_that_readers_take_in_say_what_the_functions_do(profile: Integrity, position: int) -> None:
    crc, data = crc_for(profile, position, False, 0x1234), bytes(range(8))
    names = {**integrity.NAMES, "data": data}
    assert eval(crc.of_text, names) == crc.of(data)
    assert eval(crc.sealed_text, names) == crc.sealed(data)


def test_a_data_id_has_two_bytes() -> None:
    data = bytes(8)
    assert crc_for(Integrity.CRC16, 0, False, 0x51234).of(data) == crc_for(Integrity.CRC16, 0, False, 0x1234).of(data)
    assert crc_for(Integrity.CRC16, 0, False, 0xFFFF).of(data) != crc_for(Integrity.CRC16, 0, False, 0xFFFE).of(data)
